//! Panics and backtraces through calls that are recorded.

use super::area::Area;
use super::{RING, as_function, libc_function};
use std::arch::global_asm;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

// Calls what is in its first argument with the second, from where unwinders know the frame. Jumps there with nothing
// on the stack in between.
global_asm!(
    ".globl recorder_onward",
    "recorder_onward:",
    ".cfi_startproc",
    "mov rax, rdi; mov rdi, rsi; mov rsi, rdx; jmp rax",
    ".cfi_endproc",
);

unsafe extern "C" {
    fn recorder_onward();
    fn __register_frame(frames: *const c_void);
    fn __deregister_frame(frames: *const c_void);
    fn backtrace(buffer: *mut *mut c_void, size: c_int) -> c_int;
}

/// The frame information of an area, known to the unwinder as long as this lives.
struct Known(u64);

impl Known {
    fn new(area: &Area) -> Known {
        // SAFETY: an `.eh_frame` that ends with a zero.
        unsafe { __register_frame(area.code.frames() as *const c_void) };
        Known(area.code.frames())
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        // SAFETY: was registered.
        unsafe { __deregister_frame(self.0 as *const c_void) };
    }
}

type Throw = extern "C-unwind" fn(u64) -> u64;

extern "C-unwind" fn throw(number: u64) -> u64 {
    if number == 0 {
        std::panic::resume_unwind(Box::new(7_u64));
    }
    number
}

/// What is thrown comes out of a call, and cleans up on its way.
fn caught(call: impl FnOnce() -> u64) -> u64 {
    struct Dropped<'d>(&'d mut u64);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            *self.0 += 1;
        }
    }
    let mut dropped = 0;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _dropped = Dropped(&mut dropped);
        call()
    }));
    let thrown = result.expect_err("a panic").downcast_ref::<u64>().copied();
    assert_eq!(dropped, 1);
    thrown.expect("a number")
}

#[test]
fn panics_through_calls() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("ulong f(ulong);"), throw as *const () as usize);
    let _reader = area.ring();
    let _known = Known::new(&area);
    area.enable(1);
    let f = as_function!(stub.entry, Throw);
    assert_eq!(f(1), 1);
    for _ in 0..100 {
        assert_eq!(caught(|| f(0)), 7);
        // Through more than one frame.
        assert_eq!(caught(|| caught(|| f(0)) - 7 + f(0)), 7);
    }
}

#[test]
fn panics_through_chains_of_tail_calls() {
    let mut area = Area::new(1, RING);
    let onward = recorder_onward as *const () as usize;
    let first = area.stub(Some("ulong f(addr);"), onward);
    let second = area.stub(Some("ulong f(addr);"), onward);
    let last = area.stub(Some("ulong f(ulong);"), throw as *const () as usize);
    let _reader = area.ring();
    let _known = Known::new(&area);
    area.enable(1);
    let one = as_function!(first.entry, extern "C-unwind" fn(u64, u64) -> u64);
    let two = as_function!(first.entry, extern "C-unwind" fn(u64, u64, u64) -> u64);
    assert_eq!(two(second.entry, last.entry, 5), 5);
    for _ in 0..100 {
        assert_eq!(caught(|| one(last.entry, 0)), 7);
        assert_eq!(caught(|| two(second.entry, last.entry, 0)), 7);
    }
}

extern "C" fn depth(_: u64) -> u64 {
    let mut buffer = [std::ptr::null_mut(); 256];
    // SAFETY: the buffer has this size.
    let depth = unsafe { backtrace(buffer.as_mut_ptr(), 256) };
    depth as u64
}

#[inline(never)]
fn depth_by(f: extern "C" fn(u64) -> u64) -> u64 {
    std::hint::black_box(f(std::hint::black_box(0)))
}

#[test]
fn backtraces_go_on() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("ulong f(ulong);"), depth as *const () as usize);
    let _reader = area.ring();
    let _known = Known::new(&area);
    let f = as_function!(stub.entry, extern "C" fn(u64) -> u64);
    let plain = depth_by(depth);
    area.enable(1);
    // The trampoline is a frame of its own.
    assert_eq!(depth_by(f), plain + 1);
    area.enable(0);
    assert_eq!(depth_by(f), plain);
}

/// `struct dl_find_object` (`<dlfcn.h>`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
struct Found {
    flags: u64,
    range: [u64; 2],
    link_map: u64,
    header: u64,
    reserved: [u64; 7],
}

#[test]
fn objects_are_found() {
    let mut area = Area::new(1, RING);
    let original = libc_function(c"_dl_find_object");
    let entry = area.find_object(&raw const original as u64);
    type Find = extern "C" fn(u64, *mut Found) -> c_int;
    let (ours, theirs) = (as_function!(entry, Find), as_function!(original, Find));
    let mut found = [Found::default(); 2];
    let here = depth as *const () as u64;
    assert_eq!(ours(here, &mut found[0]), 0);
    assert_eq!(theirs(here, &mut found[1]), 0);
    assert_eq!(found[0], found[1]);
    assert_ne!(ours(1, &mut found[0]), 0);
    let code = area.layout.code();
    for address in [code.start, area.layout.pool().start + 3, code.end - 1] {
        assert_eq!(ours(address, &mut found[0]), 0);
        assert_eq!(found[0].range, [code.start, code.end]);
        assert!(code.contains(&found[0].header));
    }
    assert_ne!(ours(code.end, &mut found[0]), 0);
}
