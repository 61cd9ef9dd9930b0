//! What a call costs: run by hand, in a release build.

use super::area::{Area, thread_pointer};
use super::{RING, as_function, libc_function};
use ltrace::record::{Reader, threads};
use nix::libc;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds for one of so many rounds, while another thread reads the ring; the best of nine.
#[allow(clippy::print_stderr)]
fn measure(area: &Area, name: &str, round: impl Fn() + Sync) {
    const ROUNDS: u32 = 1_000_000;
    let mut times: Vec<f64> = (0..9).map(|_| once(area, ROUNDS, &round)).collect();
    times.sort_by(f64::total_cmp);
    eprintln!("{name}: {:.1} ns, median {:.1}", times[0], times[4]);
}

fn once(area: &Area, rounds: u32, round: &(impl Fn() + Sync)) -> f64 {
    let done = AtomicBool::new(false);
    let done = &done;
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let measured = scope.spawn(move || {
            let reader = Reader::new(&area.layout, 0, area.shared);
            assert!(threads::assign(
                &area.layout,
                area.shared,
                thread_pointer(),
                0
            ));
            send.send(reader).expect("a reader");
            let started = Instant::now();
            for _ in 0..rounds {
                round();
            }
            let nanoseconds = started.elapsed().as_nanos() as f64 / f64::from(rounds);
            threads::forget(area.shared, thread_pointer());
            nanoseconds
        });
        let reading = scope.spawn(move || {
            let mut reader: Reader = receive.recv().expect("a reader");
            while !done.load(Ordering::Acquire) {
                while reader.time(area.shared, area.code.shapes()).is_some() {
                    std::hint::black_box(reader.take(area.code.shapes()));
                }
                if reader.release(area.shared) {
                    let futex = &area.shared.0[reader.futex() as usize / 8];
                    // SAFETY: wakes threads, and reads or writes nothing.
                    unsafe { libc::syscall(libc::SYS_futex, futex, libc::FUTEX_WAKE, 9) };
                }
                std::thread::sleep(Duration::from_micros(60));
            }
        });
        let time = measured.join().expect("no panic");
        done.store(true, Ordering::Release);
        reading.join().expect("no panic");
        time
    })
}

#[test]
#[ignore = "measures"]
fn calls() {
    let mut area = Area::new(1, RING);
    let malloc = area.stub(Some("addr f(ulong);"), libc_function(c"malloc"));
    let free = area.stub(Some("void f(addr);"), libc_function(c"free"));
    let strlen = area.stub(Some("ulong f(string);"), libc_function(c"strlen"));
    let cos = area.stub(Some("double f(double);"), libc_function(c"cos"));
    let malloc = as_function!(malloc.entry, extern "C" fn(usize) -> *mut c_void);
    let free = as_function!(free.entry, extern "C" fn(*mut c_void));
    let strlen = as_function!(strlen.entry, extern "C" fn(*const u8) -> usize);
    let cos = as_function!(cos.entry, extern "C" fn(f64) -> f64);
    let text = c"a text of thirty-two characters.";
    for enabled in [0, 1] {
        area.enable(enabled);
        measure(&area, &format!("malloc and free, {enabled}"), || {
            free(malloc(32))
        });
        measure(&area, &format!("strlen of 32 bytes, {enabled}"), || {
            std::hint::black_box(strlen(text.as_ptr().cast()));
        });
        measure(&area, &format!("cos, {enabled}"), || {
            std::hint::black_box(cos(1.0));
        });
    }
}
