//! Rings: several threads, records beyond the end of a ring, a reader that is slow, stopped or dead.

use super::area::{Area, thread_pointer};
use super::{RING, as_function};
use ltrace::record::{Kind, Reader, Shared, head, header, threads};
use nix::libc;
use std::ffi::c_long;
use std::sync::atomic::{AtomicBool, Ordering};

extern "C" fn same(number: c_long) -> c_long {
    number
}

type Same = extern "C" fn(c_long) -> c_long;

/// Wakes whoever waits for room in a ring.
fn wake(shared: Shared<'_>, reader: &Reader) {
    let futex = &shared.0[reader.futex() as usize / 8];
    // SAFETY: wakes threads, and reads or writes nothing.
    unsafe { libc::syscall(libc::SYS_futex, futex, libc::FUTEX_WAKE, i32::MAX) };
}

/// Reads a ring until so many calls of consecutive numbers have come, each with its return.
fn read(area: &Area, reader: &mut Reader, calls: c_long) {
    let shapes = area.code.shapes();
    let (mut next, mut last) = (0, 0);
    while next < 2 * calls {
        while let Some(time) = reader.time(area.shared, shapes) {
            assert!(time >= last);
            last = time;
            let record = reader.take(shapes).expect("a record");
            let expected = match record.kind {
                Kind::Call => (0, 0),
                Kind::Return => (1, record.word),
                kind => panic!("{kind:?}"),
            };
            assert_eq!(next % 2, expected.0);
            if expected.0 == 1 {
                assert_eq!(record.word, (next / 2) as u64);
            }
            next += 1;
        }
        if reader.release(area.shared) {
            wake(area.shared, reader);
        }
        std::thread::yield_now();
    }
    assert_eq!(reader.corrupted(), 0);
    assert_eq!(reader.take_lost(area.shared), 0);
}

#[test]
fn threads_have_rings_of_their_own() {
    const CALLS: c_long = 50_000;
    let mut area = Area::new(4, 0);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    let area = &area;
    std::thread::scope(|scope| {
        for ring in 0..4 {
            let (send, receive) = std::sync::mpsc::channel();
            scope.spawn(move || {
                let reader = Reader::new(&area.layout, ring, area.shared);
                assert!(threads::assign(
                    &area.layout,
                    area.shared,
                    thread_pointer(),
                    ring
                ));
                send.send(reader).expect("a reader");
                for number in 0..CALLS {
                    assert_eq!(f(number), number);
                }
            });
            scope.spawn(move || {
                let mut reader = receive.recv().expect("a reader");
                read(area, &mut reader, CALLS);
            });
        }
    });
}

#[test]
fn a_reader_that_has_stopped() {
    let mut area = Area::new(1, 0);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    let started = std::time::Instant::now();
    let calls = area.layout.ring_bytes() as c_long / 40;
    for number in 0..calls {
        assert_eq!(f(number), number);
    }
    // It was waited for once, not at each call.
    let seconds = started.elapsed().as_secs_f32();
    assert!((0.9..5.0).contains(&seconds), "{seconds}");
    let mut found = 0;
    while reader.time(area.shared, area.code.shapes()).is_some() {
        assert!(reader.take(area.code.shapes()).is_some());
        found += 1;
    }
    assert_eq!(reader.corrupted(), 0);
    // A call that is lost has no return.
    let lost = reader.take_lost(area.shared);
    assert!(
        lost > 0 && found + 2 * lost <= 2 * calls as u64 + 1,
        "{found} {lost}"
    );
    assert!(reader.release(area.shared));
    f(1);
    assert!(reader.time(area.shared, area.code.shapes()).is_some());
}

/// It reads other threads' rings, and comes to this one late.
#[test]
fn a_reader_that_is_busy() {
    let mut area = Area::new(1, 0);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    let mut reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    let calls = area.layout.ring_bytes() as c_long / 40;
    let area = &area;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for round in 1..=100 {
                std::thread::sleep(std::time::Duration::from_millis(20));
                area.shared.store(header::PROGRESS, round);
            }
            let shapes = area.code.shapes();
            while reader.time(area.shared, shapes).is_some() {
                assert!(reader.take(shapes).is_some());
            }
            assert!(reader.release(area.shared));
            wake(area.shared, &reader);
            assert_eq!(reader.take_lost(area.shared), 0);
        });
        for number in 0..calls {
            assert_eq!(f(number), number);
        }
    });
}

#[test]
fn a_reader_that_is_dead() {
    let mut area = Area::new(1, 0);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    let _reader = area.ring();
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    // As the kernel leaves it (FUTEX_OWNER_DIED).
    area.shared.store(header::OWNER, 0x4000_0000);
    for number in 0..100_000 {
        assert_eq!(f(number), number);
    }
    assert!(!area.is_enabled());
}

#[test]
fn a_thread_without_a_ring_and_nobody_there() {
    let mut area = Area::new(1, 0);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    area.shared.store(header::OWNER, 0);
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    assert_eq!(f(1), 1);
}

#[test]
fn a_waiting_thread_is_let_go() {
    let mut area = Area::new(1, 0);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    let waits = area.layout.head(0) + head::WAITING;
    let done = AtomicBool::new(false);
    let area = &area;
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let done = &done;
        scope.spawn(move || {
            let reader = Reader::new(&area.layout, 0, area.shared);
            assert!(threads::assign(
                &area.layout,
                area.shared,
                thread_pointer(),
                0
            ));
            send.send(reader).expect("a reader");
            for number in 0..10_000 {
                assert_eq!(f(number), number);
            }
            done.store(true, Ordering::Release);
        });
        let reader = receive.recv().expect("a reader");
        while area.shared.load(waits) == 0 && !done.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        area.enable(0);
        reader.nudge(area.shared);
        wake(area.shared, &reader);
    });
    assert!(done.load(Ordering::Acquire));
}

#[test]
fn rings_are_used_again() {
    let mut area = Area::new(1, RING);
    let stub = area.stub(Some("long f(long);"), same as *const () as usize);
    area.enable(1);
    let f = as_function!(stub.entry, Same);
    for round in 0..1000 {
        // Threads come and go, each at an address of its own.
        let mut reader = Reader::new(&area.layout, 0, area.shared);
        let others = (1..40).map(|n| round * 0x10_0000 + n * 0x80_1000);
        for other in others.clone() {
            assert!(threads::assign(&area.layout, area.shared, other, 0));
        }
        assert!(threads::assign(
            &area.layout,
            area.shared,
            thread_pointer(),
            0
        ));
        f(round as c_long);
        assert_eq!(area.lines(&mut reader).len(), 2);
        threads::forget(area.shared, thread_pointer());
        others.for_each(|other| threads::forget(area.shared, other));
    }
}
