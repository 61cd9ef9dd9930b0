//! Code that records calls, run in the test's own process: real functions are called through stubs, and what the
//! rings hold is shown by the decoder.
#![allow(unsafe_code)]

mod abi;
mod area;
mod control;
mod memory;
mod prototypes;
mod rings;
mod speed;
mod steps;
mod unwinding;

use area::Area;
use std::ffi::{c_char, c_int, c_long};

const RING: u64 = 1 << 20;

/// A function of this type at the address of a stub.
macro_rules! as_function {
    ($entry:expr, $type:ty) => {
        // SAFETY: the stub has the interface of the function that it leads to.
        unsafe { std::mem::transmute::<usize, $type>($entry as usize) }
    };
}
pub(crate) use as_function;

extern "C" fn add(a: c_long, b: c_long) -> c_long {
    a + b
}

extern "C" fn ten(
    a: c_int,
    b: c_int,
    c: c_int,
    d: c_int,
    e: c_int,
    f: c_int,
    g: c_int,
    h: c_int,
    i: c_int,
    j: c_int,
) -> c_int {
    a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j
}

#[test]
fn words() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("long f(long, long);"), add as *const () as usize);
    let unknown = area.stub(None, add as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(c_long, c_long) -> c_long);
    assert_eq!(f(1, 2), 3);
    assert_eq!(f(-5, 2), -3);
    assert_eq!(
        area.lines(&mut reader),
        ["f(1, 2)", "() = 3", "f(-5, 2)", "() = -3"]
    );
    let f = as_function!(unknown.entry, extern "C" fn(c_long, c_long) -> c_long);
    assert_eq!(f(40, 2), 42);
    let lines = area.lines(&mut reader);
    assert!(lines[0].starts_with("f(40, 2, "), "{lines:?}");
    assert_eq!(lines[1], "() = 42");
    area.enable(0);
    assert_eq!(f(40, 2), 42);
    assert!(area.lines(&mut reader).is_empty());
}

#[test]
fn arguments_on_the_stack() {
    let mut area = Area::new(1, RING);
    let prototype = "int f(int, int, int, int, int, int, int, int, int, int);";
    let stub = area.stub(Some(prototype), ten as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    type Ten = extern "C" fn(
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
    ) -> c_int;
    let f = as_function!(stub.entry, Ten);
    assert_eq!(f(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 385);
    assert_eq!(
        area.lines(&mut reader),
        ["f(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)", "() = 385"]
    );
}

#[test]
fn texts() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("ulong f(string);"), libc_function(c"strlen"));
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(*const c_char) -> usize);
    assert_eq!(f(c"hello".as_ptr()), 5);
    assert_eq!(f(c"".as_ptr()), 0);
    let long = c"a text that has more than thirty-two characters";
    assert_eq!(f(long.as_ptr()), 47);
    assert_eq!(
        area.lines(&mut reader),
        [
            "f(\"hello\")",
            "() = 5",
            "f(\"\")",
            "() = 0",
            "f(\"a text that has more than thirty\"...)",
            "() = 47"
        ]
    );
}

fn libc_function(name: &std::ffi::CStr) -> usize {
    // SAFETY: looks a name up.
    let found = unsafe { nix::libc::dlsym(nix::libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?}");
    found as usize
}
