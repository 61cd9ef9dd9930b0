//! What a call costs: run by hand. The code is the same in every build; nobody reads meanwhile.

use super::area::Area;
use super::{RING, as_function, libc_function};
use ltrace::record::Reader;
use std::ffi::c_void;
use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds for one of so many rounds: what fits into a ring, timed, many times.
#[allow(clippy::print_stderr)]
fn measure(area: &Area, name: &str, round: impl Fn()) {
    const ROUNDS: u32 = 3000;
    let once = || {
        let _reader = Reader::new(&area.layout, 0, area.shared);
        let started = Instant::now();
        for _ in 0..ROUNDS {
            round();
        }
        started.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    let mut times: Vec<f64> = (0..2000).map(|_| once()).collect();
    times.sort_by(f64::total_cmp);
    let [least, tenth, median] = [0, 200, 1000].map(|index| times[index]);
    eprintln!("{name}: {least:.1} ns, p10 {tenth:.1}, median {median:.1}");
}

#[test]
#[ignore = "measures"]
fn calls() {
    let mut area = Area::new(1, RING);
    let malloc = area.stub(Some("addr f(ulong);"), libc_function(c"malloc"));
    let free = area.stub(Some("void f(addr);"), libc_function(c"free"));
    let strlen = area.stub(Some("ulong f(string);"), libc_function(c"strlen"));
    let difftime = area.stub(Some("double f(long, long);"), libc_function(c"difftime"));
    let malloc = as_function!(malloc.entry, extern "C" fn(usize) -> *mut c_void);
    let free = as_function!(free.entry, extern "C" fn(*mut c_void));
    let strlen = as_function!(strlen.entry, extern "C" fn(*const u8) -> usize);
    let difftime = as_function!(difftime.entry, extern "C" fn(i64, i64) -> f64);
    let _reader = area.ring();
    let text = c"a text of thirty-two characters.";
    for enabled in [0, 1] {
        area.enable(enabled);
        measure(&area, &format!("malloc and free, {enabled}"), || {
            free(malloc(32));
        });
        measure(&area, &format!("strlen of 32 bytes, {enabled}"), || {
            black_box(strlen(text.as_ptr().cast()));
        });
        measure(&area, &format!("difftime, {enabled}"), || {
            black_box(difftime(3, 1));
        });
    }
}
