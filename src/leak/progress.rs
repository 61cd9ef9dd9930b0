//! How far something is that lets the user wait: nothing for a second, then a bar.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

/// What is told of it.
pub struct Progress {
    /// The terminal, where there is one and nothing else is drawn on it.
    out: Option<Box<dyn Write>>,
    drawn: Option<Instant>,
}

/// What takes no longer needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);
/// How wide it is.
const WIDTH: usize = 30;

impl Progress {
    /// Nothing takes long yet.
    pub fn new(out: Option<Box<dyn Write>>) -> Progress {
        Progress { out, drawn: None }
    }

    /// What began then has come so far. The bar comes back for those who draw it themselves, when it is
    /// time to.
    pub(super) fn at(&mut self, since: Instant, what: &str, part: f64) -> Option<String> {
        let now = Instant::now();
        let is_new = self.drawn.is_none_or(|drawn| now - drawn >= EVERY);
        if now - since < PATIENCE || !is_new {
            return None;
        }
        self.drawn = Some(now);
        let text = bar(what, part);
        self.write(&format!("\r{text}\x1b[K"));
        Some(text)
    }

    /// Nothing takes long any more. Says whether there was a bar.
    pub(super) fn done(&mut self) -> bool {
        let was_drawn = self.drawn.take().is_some();
        if was_drawn {
            self.write("\r\x1b[K");
        }
        was_drawn
    }

    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out {
            // A bar that cannot be written is left out.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

/// `following pointers [#########.....] 64 %`
fn bar(what: &str, part: f64) -> String {
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let full = (part * WIDTH as f64) as usize;
    let mut text = format!("{what} [");
    text.extend(std::iter::repeat_n('#', full));
    text.extend(std::iter::repeat_n('.', WIDTH - full));
    let _ = write!(text, "] {:.0} %", (part * 100.0).floor());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("ours").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bars() {
        let check = |part, expected: &str| assert_eq!(bar("reading", part), expected);
        check(0.0, "reading [..............................] 0 %");
        check(0.5, "reading [###############...............] 50 %");
        check(0.999, "reading [#############################.] 99 %");
        check(1.0, "reading [##############################] 100 %");
        check(7.0, "reading [##############################] 100 %");
        check(f64::NAN, "reading [..............................] 0 %");
    }

    #[test]
    fn only_what_takes_long() {
        let kept = Kept::default();
        let written = || String::from_utf8(kept.0.lock().expect("ours").clone()).expect("text");
        let mut progress = Progress::new(Some(Box::new(kept.clone())));
        let now = Instant::now();
        assert_eq!(progress.at(now, "reading", 0.5), None);
        assert!(!progress.done());
        assert_eq!(written(), "");
        let Some(before) = now.checked_sub(PATIENCE * 2) else {
            return;
        };
        assert!(progress.at(before, "reading", 0.5).is_some());
        // Not again at once.
        assert_eq!(progress.at(before, "reading", 0.6), None);
        assert!(written().ends_with("50 %\x1b[K"), "{}", written());
        assert!(progress.done());
        assert!(!progress.done());
        assert!(written().ends_with("50 %\x1b[K\r\x1b[K"), "{}", written());
    }
}
