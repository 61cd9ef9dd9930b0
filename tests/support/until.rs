//! Waiting for what gives no signal of its own: states that the kernel tells of in /proc, counters of other threads.

use std::thread;
use std::time::{Duration, Instant};

/// Waits until something holds; a test fails for which it does not within a minute.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
