//! Ways that control takes: jumps out of calls, tail calls, recursion, forks, functions that do not return.

use super::area::{Area, point, thread_pointer};
use super::{RING, as_function};
use ltrace::plan::{Returns, Stack, Tracepoint};
use ltrace::record::rules::Rules;
use ltrace::record::{Kind, Reader, Seen, Shape, Target, header, threads};
use ltrace::stack::CallerRule;
use nix::libc;
use std::arch::global_asm;
use std::ffi::c_long;
use std::sync::Arc;

// `frames_start` calls what is in its first argument, which calls `frames`, which keeps a frame pointer; that calls one
// without, which overwrites it and calls what is in the second argument. `leave` goes back to where `guarded` was called. `countdown` jumps to what is in its second argument, and
// `jump_to` to what is in its first, with the others moved along. `deep` calls what is in its second argument.
global_asm!(
    ".globl recorder_frames_start, recorder_frames_third, recorder_frames, recorder_frames_second, recorder_frames_first",
    "recorder_frames_start:",
    "sub rsp, 8; call rdi",
    "recorder_frames_third:",
    "add rsp, 8; ret",
    "recorder_frames:",
    "push rbp; mov rbp, rsp; sub rsp, 48; call 3f",
    "recorder_frames_second:",
    "leave; ret",
    "3: sub rsp, 8; push rbp; push rbx; mov rdi, 21; xor ebp, ebp; call rsi",
    "recorder_frames_first:",
    "pop rbx; pop rbp; add rsp, 8; ret",
    ".globl recorder_guarded",
    "recorder_guarded:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15; push rdi",
    "mov [rdi+8], rsp",
    "call [rdi]",
    "pop rdi; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; mov rax, 1; ret",
    ".globl recorder_leave",
    "recorder_leave:",
    "mov rsp, [rdi+8]",
    "pop rdi; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; mov rax, 2; ret",
    ".globl recorder_countdown",
    "recorder_countdown:",
    "dec rdi; mov rax, rdi; js 2f; jmp rsi",
    "2: ret",
    ".globl recorder_jump_to",
    "recorder_jump_to:",
    "mov rax, rdi; mov rdi, rsi; mov rsi, rdx; jmp rax",
    ".globl recorder_deep",
    "recorder_deep:",
    "push rdi; dec rdi; js 2f; call rsi",
    "2: pop rax; ret",
);

unsafe extern "C" {
    fn recorder_frames_start();
    fn recorder_frames();
    fn recorder_frames_first();
    fn recorder_frames_second();
    fn recorder_frames_third();
    fn recorder_guarded(words: *mut u64) -> c_long;
    fn recorder_leave();
    fn recorder_countdown();
    fn recorder_jump_to();
    fn recorder_deep();
}

type Count = extern "C" fn(c_long, u64) -> c_long;

/// The kinds of the records that a ring holds, as letters.
fn kinds(area: &Area, reader: &mut Reader) -> String {
    let mut kinds = String::new();
    while reader.time(area.shared, area.code.shapes()).is_some() {
        let record = reader.take(area.code.shapes()).expect("a record");
        kinds.push(match record.kind {
            Kind::Call => 'c',
            Kind::CallOnly => 'o',
            Kind::Return => 'r',
            Kind::Skip => '?',
        });
        let _ = reader.release(area.shared);
    }
    assert_eq!(reader.corrupted(), 0);
    kinds
}

#[test]
fn a_jump_out_of_a_call() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("void f(long);"), recorder_leave as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let mut words = [stub.entry, 0];
    for _ in 0..3 {
        // SAFETY: the assembly keeps what it must, and no frame of Rust lies in between.
        assert_eq!(unsafe { recorder_guarded(words.as_mut_ptr()) }, 2);
    }
    assert_eq!(kinds(&area, &mut reader), "ccc");
}

#[test]
fn recursion() {
    const DEPTH: c_long = 100_000;
    let mut area = Area::new(1, 16 << 20);
    let stub = area.stub(Some("long f(long);"), recorder_deep as *const () as usize);
    area.enable(1);
    let f = as_function!(stub.entry, Count);
    let run = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(64 << 20);
        let spawned = builder.spawn_scoped(scope, || {
            let mut reader = area_ring(&area);
            let result = f(DEPTH, stub.entry);
            (result, kinds(&area, &mut reader))
        });
        spawned.expect("a thread").join().expect("no panic")
    });
    assert_eq!(run.0, DEPTH);
    let calls = DEPTH as usize + 1;
    assert!(run.1 == "c".repeat(calls) + &"r".repeat(calls));
}

/// Gives the calling thread the first ring.
fn area_ring(area: &Area) -> Reader {
    let reader = Reader::new(&area.layout, 0, area.shared);
    let thread = thread_pointer();
    assert!(threads::assign(&area.layout, area.shared, thread, 0));
    reader
}

#[test]
fn endless_tail_calls() {
    let mut area = Area::new(1, RING);
    let one = area.stub(
        Some("long f(long);"),
        recorder_countdown as *const () as usize,
    );
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(one.entry, Count);
    assert_eq!(f(1000, one.entry), -1);
    // Only the first has a trampoline, which catches the return of all.
    assert_eq!(kinds(&area, &mut reader), format!("c{}r", "o".repeat(1000)));
    let used = area.shared.load(header::NEXT_TRAMPOLINE);
    assert!(used < 8, "{used}");
}

extern "C" fn double(number: c_long) -> c_long {
    number * 2
}

#[test]
fn a_chain_of_tail_calls() {
    let mut area = Area::new(1, RING);
    let jump = area.stub(
        Some("long f(addr, long);"),
        recorder_jump_to as *const () as usize,
    );
    let last = area.stub(Some("long f(long);"), double as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(jump.entry, extern "C" fn(u64, c_long) -> c_long);
    assert_eq!(f(last.entry, 21), 42);
    assert!(reader.time(area.shared, area.code.shapes()).is_some());
    let outer = reader
        .take(area.code.shapes())
        .map(|r| (r.frame, r.word))
        .expect("a call");
    assert!(reader.time(area.shared, area.code.shapes()).is_some());
    let inner = reader
        .take(area.code.shapes())
        .map(|r| (r.frame, r.word))
        .expect("a call");
    assert_eq!(outer.0, inner.0);
    assert_ne!(outer.1, inner.1);
    assert_eq!(area.code.caller(inner.1, area.shared), outer.1);
    assert_eq!(area.code.caller(outer.1, area.shared), outer.1);
    assert_eq!(area.lines(&mut reader), ["() = 42", "() = 42"]);
}

#[test]
fn functions_that_do_not_return() {
    let mut area = Area::new(1, RING);
    let never = Tracepoint {
        returns: Returns::Never,
        ..(*point("f", Some("void f(long);"))).clone()
    };
    let stub = area.stub_of(Arc::new(never), double as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(c_long) -> c_long);
    assert_eq!(f(21), 42);
    assert_eq!(area.lines(&mut reader), ["f(21) only"]);
}

#[test]
fn functions_behind_slots() {
    let mut area = Area::new(1, RING);
    let slot = double as *const () as usize;
    let shape = Shape::of(&point("f", Some("long f(long);")), super::area::CAPS).expect("a shape");
    let target = Target::Slot(&raw const slot as u64);
    let stub = area
        .code
        .add(&Arc::new(shape), target, None, area.shared)
        .expect("a stub");
    area.points.push(point("f", Some("long f(long);")));
    area.write();
    let mut reader = area.ring();
    let f = as_function!(stub.entry, extern "C" fn(c_long) -> c_long);
    assert_eq!(f(21), 42);
    area.enable(1);
    assert_eq!(f(21), 42);
    assert_eq!(area.lines(&mut reader), ["f(21)", "() = 42"]);
}

extern "C" fn fork(_: c_long) -> c_long {
    // SAFETY: the child calls nothing but code of ours and _exit.
    c_long::from(unsafe { libc::fork() })
}

#[test]
fn a_child_passes_through() {
    let mut area = Area::new(1, RING);
    let forking = area.stub(Some("long f(long);"), fork as *const () as usize);
    let stub = area.stub(Some("long f(long);"), double as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let fork = as_function!(forking.entry, extern "C" fn(c_long) -> c_long);
    let f = as_function!(stub.entry, extern "C" fn(c_long) -> c_long);
    // The child comes back through the trampoline.
    let child = fork(0);
    if child == 0 {
        let doubled = f(21);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(doubled as i32) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made.
    let waited = unsafe { libc::waitpid(child as i32, &mut status, 0) };
    assert_eq!(waited, child as i32);
    assert_eq!(libc::WEXITSTATUS(status), 42);
    assert_eq!(kinds(&area, &mut reader), "cr");
}

#[test]
fn trampolines_may_run_out() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("long f(long);"), double as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    area.shared.store(header::TRAMPOLINES, 1);
    let f = as_function!(stub.entry, extern "C" fn(c_long) -> c_long);
    let call = || assert_eq!(f(21), 42);
    call();
    assert_eq!(area.lines(&mut reader), ["f(21) only"]);
    area.code.add_trampolines(10);
    area.write();
    call();
    assert_eq!(area.lines(&mut reader), ["f(21)", "() = 42"]);
}

/// Who has called is seen through the trampolines of other calls.
#[test]
fn calls_out_of_one_module_behind_other_stubs() {
    let mut area = Area::new(1, RING);
    let here = around();
    let elsewhere = here.end..here.end + 1;
    let of = |name| point(name, Some("long f(long);"));
    let inner = area.stub_from(Some(here), of("inner"), double as *const () as usize);
    let not = area.stub_from(Some(elsewhere), of("not"), inner.entry as usize);
    let middle = area.stub_of(of("middle"), not.entry as usize);
    let outer = area.stub_of(of("outer"), middle.entry as usize);
    let mut reader = area_ring(&area);
    area.enable(1);
    let f = as_function!(outer.entry, extern "C" fn(c_long) -> c_long);
    assert_eq!(f(4), 8);
    assert_eq!(
        area.lines(&mut reader),
        [
            "outer(4)",
            "middle(4)",
            "inner(4)",
            "() = 8",
            "() = 8",
            "() = 8"
        ]
    );
}

/// This module's code.
fn around() -> std::ops::Range<u64> {
    let here = around as *const () as u64;
    here - (64 << 20)..here + (64 << 20)
}

/// Frames of functions with and without frame pointers are walked as they lie, the trampolines of other calls told as
/// what they stand for.
#[test]
fn stacks_behind_other_stubs() {
    let mut area = Area::new(1, RING);
    let inner = Tracepoint {
        stack: Stack::Wanted,
        ..(*point("inner", Some("long f(long);"))).clone()
    };
    let inner = area.stub_of(Arc::new(inner), double as *const () as usize);
    let of = |name| point(name, Some("long f(addr);"));
    let outer = area.stub_of(of("outer"), recorder_frames as *const () as usize);
    let mut reader = area_ring(&area);
    let here = std::ptr::from_ref(&area) as u64;
    reader.set_stack(&(here - (4 << 20)..here + (4 << 20)), area.shared);
    let mut rules = Rules::default();
    let [first, second, third] = [
        recorder_frames_first as *const () as u64,
        recorder_frames_second as *const () as u64,
        recorder_frames_third as *const () as u64,
    ];
    let frame = |by_rbp, offset, rbp| CallerRule::Frame {
        by_rbp,
        offset,
        rbp,
    };
    rules.add(area.shared, first, &frame(false, 32, -24));
    rules.add(area.shared, second, &frame(true, 16, -16));
    rules.add(area.shared, third, &CallerRule::Root);
    area.enable(1);
    let f = as_function!(
        recorder_frames_start as *const () as usize,
        extern "C" fn(u64, u64) -> c_long
    );
    assert_eq!(f(outer.entry, inner.entry), 42);
    let mut returns = Vec::new();
    while reader.time(area.shared, area.code.shapes()).is_some() {
        let record = reader.take(area.code.shapes()).expect("a record");
        let mut regs = Seen::registers(1);
        let seen = Seen::new(&record, &mut regs, 2);
        returns.extend(
            seen.view(&ltrace::base::regs::Unknown)
                .memory
                .returns()
                .map(<[u64]>::to_vec),
        );
    }
    assert_eq!(returns, [[first, second, third]]);
}
