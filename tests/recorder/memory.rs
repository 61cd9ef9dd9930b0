//! Memory that is copied: texts and buffers, at the call and at its return, wherever pointers lead.

use super::area::Area;
use super::{RING, as_function, libc_function};
use nix::libc;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::{null, null_mut};

extern "C" fn fill(buffer: *mut u8, length: *mut c_int, text: *const c_char) -> c_long {
    // SAFETY: the test passes room for these.
    unsafe { buffer.copy_from_nonoverlapping(c"filled".as_ptr().cast(), 6) };
    // SAFETY: as above.
    unsafe { *length = 6 };
    let _ = text;
    4
}

#[test]
fn at_the_return() {
    let mut area = Area::new(1, RING);
    let prototype = "long f(+string[retval], int*, string);";
    let stub = area.stub(Some(prototype), fill as *const () as usize);
    let by_pointer = "long f(+string[arg2], int*, string);";
    let by_pointer = area.stub(Some(by_pointer), fill as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    type Fill = extern "C" fn(*mut u8, *mut c_int, *const c_char) -> c_long;
    for stub in [stub, by_pointer] {
        let f = as_function!(stub.entry, Fill);
        let (mut buffer, mut length) = ([0; 64], 0);
        assert_eq!(f(buffer.as_mut_ptr(), &mut length, c"text".as_ptr()), 4);
    }
    assert_eq!(
        area.lines(&mut reader),
        [
            "f()",
            "(\"fill\", 6, \"text\") = 4",
            "f()",
            "(\"filled\", 6, \"text\") = 4"
        ]
    );
}

extern "C" fn suffix(text: *const c_char) -> *const c_char {
    match text.is_null() {
        true => text,
        false => text.wrapping_add(2),
    }
}

#[test]
fn results() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("string f(string);"), suffix as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(*const c_char) -> *const c_char);
    f(c"a text".as_ptr());
    f(null());
    assert_eq!(
        area.lines(&mut reader),
        ["f(\"a text\")", "() = \"text\"", "f(nil)", "() = nil"]
    );
}

extern "C" fn ignore(_: *const c_char) {}

/// Two pages, the second of which cannot be read.
pub(crate) fn half_readable() -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(null_mut(), 8192, both, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    let second = at.wrapping_byte_add(4096);
    // SAFETY: nobody uses the page.
    let changed = unsafe { libc::mprotect(second, 4096, libc::PROT_NONE) };
    assert_eq!(changed, 0);
    at.cast()
}

#[test]
fn pointers_that_lead_nowhere() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("void f(string);"), ignore as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(*const c_char));
    let page = half_readable();
    for address in [
        1,
        0xfff,
        0x8000_0000_0000_0000,
        usize::MAX,
        page as usize + 4096,
    ] {
        f(address as *const c_char);
    }
    let lines = area.lines(&mut reader);
    let lines: Vec<&String> = lines.iter().filter(|line| line.starts_with('f')).collect();
    let end = format!("f({:#x})", page as usize + 4096);
    assert_eq!(
        lines,
        [
            "f(0x1)",
            "f(0xfff)",
            "f(0x8000000000000000)",
            "f(0xffffffffffffffff)",
            &end
        ]
    );
}

#[test]
fn texts_at_the_end_of_a_page() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("void f(string);"), ignore as *const () as usize);
    let whole = area.stub(
        Some("void f(array(int, 4)*);"),
        ignore as *const () as usize,
    );
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(*const c_char));
    let page = half_readable();
    for length in 0..40 {
        for ended in [0, b'x'] {
            let start = page.wrapping_add(4096 - length - 1);
            // SAFETY: in the readable page.
            unsafe { start.write_bytes(b'x', length) };
            // SAFETY: as above.
            unsafe { start.wrapping_add(length).write(ended) };
            f(start.cast());
            let text = "x".repeat((length + usize::from(ended != 0)).min(32));
            let dots = match ended {
                0 if length <= 32 => "",
                _ => "...",
            };
            let lines = area.lines(&mut reader);
            assert_eq!(lines[0], format!("f(\"{text}\"{dots})"));
        }
    }
    let f = as_function!(whole.entry, extern "C" fn(*const c_char));
    f(page.wrapping_add(4096 - 8).cast());
    let lines = area.lines(&mut reader);
    assert!(
        lines[0].starts_with("f([ 2021161080, 2021161080, 0x"),
        "{lines:?}"
    );
}

#[test]
fn every_length_and_alignment() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(
        Some("void f(string, array(schar, 4)*);"),
        ignore as *const () as usize,
    );
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(*const c_char, *const c_char));
    for shift in 0..16 {
        for length in 0..33 {
            // All bytes but zero, those with the upper bit as well.
            let mut text: Vec<u8> = (0..length).map(|n| 0xff - (n * 7 % 250) as u8).collect();
            text.push(0);
            let mut room = vec![1; shift];
            room.extend(&text);
            room.extend([1; 16]);
            f(room[shift..].as_ptr().cast(), c"\x01\x02\x03\x04".as_ptr());
            {
                assert!(reader.time(area.shared, area.code.shapes()).is_some());
                let record = reader.take(area.code.shapes()).expect("a call");
                let mut regs = ltrace::record::Seen::registers(0);
                let seen = ltrace::record::Seen::new(&record, &mut regs, 0);
                let at = ltrace::base::addr::Addr(room[shift..].as_ptr() as u64);
                let read = seen
                    .view(&ltrace::base::regs::Unknown)
                    .memory
                    .read_c_string(at, 33)
                    .expect("readable");
                assert_eq!((&read.0[..], read.1), (&text[..length], true));
            }
            assert!(reader.time(area.shared, area.code.shapes()).is_some());
            reader.take(area.code.shapes()).expect("a return");
            let _ = reader.release(area.shared);
        }
    }
}

#[test]
fn a_page_that_goes_is_looked_at_anew() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("int f(string);"), libc_function(c"abs"));
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, extern "C" fn(*const c_char) -> c_int);
    let page = half_readable();
    f(page.cast());
    // SAFETY: the pages are the test's own.
    unsafe { libc::munmap(page.cast::<c_void>(), 8192) };
    area.code.forget_pages(area.shared);
    f(page.cast());
    let lines = area.lines(&mut reader);
    assert_eq!(lines[0], "f(\"\")");
    assert_eq!(lines[2], format!("f({:#x})", page as usize));
}
