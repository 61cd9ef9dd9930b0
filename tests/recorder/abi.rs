//! What a callee and its caller must not notice: registers, the stack, every way to pass values.

use super::area::Area;
use super::{RING, as_function};
use std::arch::global_asm;
use std::ffi::{c_int, c_long};

// `look` stores all registers in the page at `r12`, and returns others. `call_with` loads all registers from the
// page at `rdi`, calls what is in its first word, and stores them all behind.
global_asm!(
    ".macro store_all base",
    "mov [\\base], rax; mov [\\base+8], rcx; mov [\\base+16], rdx; mov [\\base+24], rbx",
    "mov [\\base+32], rsi; mov [\\base+40], rdi; mov [\\base+48], r8; mov [\\base+56], r9",
    "mov [\\base+64], r10; mov [\\base+72], r11; mov [\\base+80], rbp; mov [\\base+88], rsp",
    "movups [\\base+96], xmm0; movups [\\base+112], xmm1; movups [\\base+128], xmm2; movups [\\base+144], xmm3",
    "movups [\\base+160], xmm4; movups [\\base+176], xmm5; movups [\\base+192], xmm6; movups [\\base+208], xmm7",
    "movups [\\base+224], xmm8; movups [\\base+240], xmm9; movups [\\base+256], xmm15; mov [\\base+272], r13",
    ".endm",
    ".macro load_all base",
    "mov rax, [\\base]; mov rcx, [\\base+8]; mov rdx, [\\base+16]; mov rbx, [\\base+24]",
    "mov rsi, [\\base+32]; mov rdi, [\\base+40]; mov r8, [\\base+48]; mov r9, [\\base+56]",
    "mov r10, [\\base+64]; mov r11, [\\base+72]",
    "movups xmm0, [\\base+96]; movups xmm1, [\\base+112]; movups xmm2, [\\base+128]; movups xmm3, [\\base+144]",
    "movups xmm4, [\\base+160]; movups xmm5, [\\base+176]; movups xmm6, [\\base+192]; movups xmm7, [\\base+208]",
    "movups xmm8, [\\base+224]; movups xmm9, [\\base+240]; movups xmm15, [\\base+256]; mov r13, [\\base+272]",
    ".endm",
    ".globl recorder_look",
    "recorder_look:",
    "store_all r12",
    "mov r14, [rsp]; mov [r12+280], r14; mov r14, [rsp+8]; mov [r12+288], r14",
    "load_all r12+512",
    "ret",
    ".globl recorder_call_with",
    "recorder_call_with:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15; sub rsp, 24",
    "mov qword ptr [rsp], 0x5eed",
    "mov r15, rdi; mov r12, rdi; lea rbp, [rdi+7]",
    "load_all r15+1024",
    "call [r15+2048]",
    "store_all r15+1536",
    "add rsp, 24; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; ret",
);

unsafe extern "C" {
    fn recorder_look();
    fn recorder_call_with(page: *mut u64);
}

/// Words of the page: as the callee finds the registers, as it leaves them, as the caller gives them, as it finds
/// them, and what is called.
const FOUND: usize = 0;
const LEFT: usize = 64;
const GIVEN: usize = 128;
const BACK: usize = 192;
const CALLED: usize = 256;

/// Words of general and vector registers; `rbp` and `rsp`, which are not loaded, are 10 and 11.
fn is_loaded(word: usize) -> bool {
    word < 35 && !(10..12).contains(&word)
}

fn page(called: u64) -> Vec<u64> {
    let mut page = vec![0; 512];
    for word in (0..64).filter(|word| is_loaded(*word)) {
        page[GIVEN + word] = 0x1111_0000_0000_0000 + word as u64;
        page[LEFT + word] = 0x2222_0000_0000_0000 + word as u64;
    }
    page[CALLED] = called;
    page
}

fn call(page: &mut [u64]) {
    // SAFETY: the assembly keeps what the calling convention tells it to.
    unsafe { recorder_call_with(page.as_mut_ptr()) }
}

/// A call through a stub finds and leaves the registers that a plain one does.
#[track_caller]
fn check(prototype: Option<&str>, records: usize) {
    let look = recorder_look as *const () as usize;
    let mut area = Area::new(1, RING);
    let stub = area.stub(prototype, look);
    let mut reader = area.ring();
    area.enable(1);
    let mut plain = page(look as u64);
    call(&mut plain);
    // The first call makes a trampoline, the second finds it.
    for _ in 0..2 {
        let mut traced = page(stub.entry);
        call(&mut traced);
        for word in 0..64 {
            let registers = [FOUND, BACK].map(|at| (plain[at + word], traced[at + word]));
            for (plain, traced) in registers {
                let is_pointer = matches!(word, 10 | 35 | 40);
                if !is_pointer && word != 35 {
                    assert_eq!(plain, traced, "{prototype:?}: word {word}");
                }
            }
        }
        assert_eq!(traced[FOUND + 36], 0x5eed, "the stack");
        assert_eq!(area.lines(&mut reader).len(), records);
    }
    area.enable(0);
    let mut passed = page(stub.entry);
    call(&mut passed);
    assert_eq!(plain[FOUND..FOUND + 10], passed[FOUND..FOUND + 10]);
}

#[test]
fn registers_are_what_they_were() {
    check(None, 2);
    check(Some("void f();"), 2);
    check(Some("long f(int, int, int, int, int, int);"), 2);
    check(Some("double f(double, double);"), 2);
    check(
        Some("string f(string, string, string, string, string, string);"),
        2,
    );
    check(
        Some("struct(long, double) f(+string, int*, +array(int, 3)*);"),
        2,
    );
    check(
        Some("struct(double, double) f(double, double, double, int);"),
        2,
    );
}

extern "C" fn mixed(a: f64, b: f32, c: c_int) -> f64 {
    a * f64::from(b) + f64::from(c)
}

#[test]
fn floating_point() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(
        Some("double f(double, float, int);"),
        mixed as *const () as usize,
    );
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(f64, f32, c_int) -> f64);
    assert_eq!(f(1.5, 2.0, 4), 7.0);
    assert_eq!(
        area.lines(&mut reader),
        ["f(1.500000, 2.000000, 4)", "() = 7.000000"]
    );
}

#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C)]
struct Large(c_long, c_long, f64);

#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C)]
struct Both(c_long, f64);

extern "C" fn large(value: Large, number: c_int) -> Large {
    Large(value.1, value.0 + c_long::from(number), value.2 * 2.0)
}

extern "C" fn both(value: Both) -> Both {
    Both(value.0 + 1, value.1 + 0.5)
}

#[test]
fn structures() {
    let mut area = Area::new(1, RING);
    let of_large = "struct(long, long, double) f(struct(long, long, double), int);";
    let of_both = "struct(long, double) f(struct(long, double));";
    let stubs = [
        area.stub(Some(of_large), large as *const () as usize),
        area.stub(Some(of_both), both as *const () as usize),
    ];
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stubs[0].entry, extern "C" fn(Large, c_int) -> Large);
    assert_eq!(f(Large(1, 2, 1.5), 3), Large(2, 4, 3.0));
    let f = as_function!(stubs[1].entry, extern "C" fn(Both) -> Both);
    assert_eq!(f(Both(1, 0.25)), Both(2, 0.75));
    assert_eq!(
        area.lines(&mut reader),
        [
            "f({ 1, 2, 1.500000 }, 3)",
            "() = { 2, 4, 3.000000 }",
            "f({ 1, 0.250000 })",
            "() = { 2, 0.750000 }"
        ]
    );
}

// Twice its argument, as C's `long double`; and the number that lies in `st(1)` stays.
global_asm!(
    ".globl recorder_twice",
    "recorder_twice:",
    "fld tbyte ptr [rsp+8]; fadd st, st; ret",
    ".globl recorder_call_twice",
    "recorder_call_twice:",
    "sub rsp, 24; fld qword ptr [rdi]; fstp tbyte ptr [rsp]",
    "fld1; call [rdi+16]; fstp qword ptr [rdi]; fstp qword ptr [rdi+8]; add rsp, 24; ret",
);

unsafe extern "C" {
    fn recorder_twice();
    fn recorder_call_twice(words: *mut u64);
}

#[test]
fn long_double() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(
        Some("ldouble f(ldouble);"),
        recorder_twice as *const () as usize,
    );
    let mut reader = area.ring();
    area.enable(1);
    let mut words = [1.25_f64.to_bits(), 0, stub.entry];
    // SAFETY: keeps to the calling convention.
    unsafe { recorder_call_twice(words.as_mut_ptr()) };
    assert_eq!(
        words[..2]
            .iter()
            .map(|word| f64::from_bits(*word))
            .collect::<Vec<_>>(),
        [2.5, 1.0]
    );
    assert_eq!(area.lines(&mut reader), ["f(1.250000)", "() = 2.500000"]);
}
