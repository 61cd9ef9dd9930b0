//! What a running program writes to one of its streams, collected as it comes, so that a test can
//! wait for a text instead of sleeping.

use std::io::{Read, Write};
use std::process::ChildStdin;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    ended: bool,
}

/// One output stream of a running program.
#[derive(Clone)]
pub struct Stream {
    shared: Arc<(Mutex<Seen>, Condvar)>,
}

impl Stream {
    /// Collects `from` in the background until it ends.
    pub fn collect(mut from: impl Read + Send + 'static) -> Stream {
        let stream = Stream {
            shared: Arc::default(),
        };
        let shared = Arc::clone(&stream.shared);
        std::thread::spawn(move || {
            let mut chunk = [0; 65536];
            loop {
                let count = from.read(&mut chunk).unwrap_or(0);
                let (seen, changed) = &*shared;
                let mut seen = seen.lock().expect("not poisoned");
                seen.bytes.extend_from_slice(&chunk[..count]);
                seen.ended = count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        stream
    }

    /// Blocks until `wanted` says yes to what was written so far, the stream ends, or `deadline`
    /// passes. Says whether `wanted` was met.
    fn wait(&self, deadline: Instant, mut wanted: impl FnMut(&Seen) -> bool) -> bool {
        let (seen, changed) = &*self.shared;
        let mut seen = seen.lock().expect("not poisoned");
        loop {
            if wanted(&seen) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.ended || left.is_zero() {
                return false;
            }
            seen = changed.wait_timeout(seen, left).expect("not poisoned").0;
        }
    }

    /// Waits until `text` was written; false when the stream ended or `deadline` passed before.
    pub fn wait_for(&self, text: &str, deadline: Instant) -> bool {
        self.wait_for_beyond(0, text, deadline)
    }

    /// The same, behind the first `so_far` bytes.
    pub fn wait_for_beyond(&self, so_far: usize, text: &str, deadline: Instant) -> bool {
        let text = text.as_bytes();
        let mut from = so_far;
        self.wait(deadline, |seen| {
            let mut windows = seen.bytes[from..].windows(text.len());
            let found = windows.any(|window| window == text);
            // What was searched once need not be searched again.
            from = from.max((seen.bytes.len() + 1).saturating_sub(text.len()));
            found
        })
    }

    /// Waits for the end; false when `deadline` passed before.
    pub fn wait_for_end(&self, deadline: Instant) -> bool {
        self.wait(deadline, |seen| seen.ended)
    }

    /// How many bytes came so far.
    pub fn len(&self) -> usize {
        self.shared.0.lock().expect("not poisoned").bytes.len()
    }

    /// All that was written so far.
    pub fn text(&self) -> String {
        let seen = self.shared.0.lock().expect("not poisoned");
        String::from_utf8_lossy(&seen.bytes).into_owned()
    }
}

/// Writes all of `bytes`; a program that does not read them is no error.
pub fn feed(stdin: &mut ChildStdin, bytes: &[u8]) {
    let _ = stdin.write_all(bytes);
    let _ = stdin.flush();
}
