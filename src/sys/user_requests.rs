//! Signals that ask a tracer for something while it goes on. Like requests to end they come to the front
//! end, which passes them on.

use crate::sys::Result;
use crate::sys::interrupt::install;
use nix::sys::signal::{SigHandler, Signal as Nix};
use std::sync::atomic::{AtomicU32, Ordering};

/// Something to be done meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRequest {
    /// Growth is to be told from now on.
    Mark,
    /// A report is to be kept.
    Snapshot,
    /// The terminal is to be left to others.
    Hide,
    /// The terminal is ours again.
    Show,
}

/// By which signals they come. The terminal's stop and what continues us only to those who draw on it.
const ALL: [(Nix, UserRequest); 4] = [
    (Nix::SIGUSR1, UserRequest::Mark),
    (Nix::SIGUSR2, UserRequest::Snapshot),
    (Nix::SIGTSTP, UserRequest::Hide),
    (Nix::SIGCONT, UserRequest::Show),
];

/// Those that came: a bit for each, by its place in [`ALL`].
static CAME: AtomicU32 = AtomicU32::new(0);

/// The signals that users send.
pub(super) const SENT: [Nix; 2] = [Nix::SIGUSR1, Nix::SIGUSR2];

/// Turns the signals into [`take`]n user requests.
pub(super) fn listen() -> Result<()> {
    ALL.iter()
        .try_for_each(|(signal, _)| install(*signal, SigHandler::Handler(note)))
}

/// The user requests that came since this was asked last. The same one, sent again meanwhile, is one.
pub fn take() -> impl Iterator<Item = UserRequest> {
    let came = match CAME.load(Ordering::Relaxed) {
        0 => 0,
        _ => CAME.swap(0, Ordering::Relaxed),
    };
    let is_there = move |at: &usize| came & (1 << at) != 0;
    let request = |at: usize| ALL.get(at).map(|(_, request)| *request);
    (0..ALL.len()).filter(is_there).filter_map(request)
}

extern "C" fn note(signal: nix::libc::c_int) {
    if let Some(at) = ALL.iter().position(|(known, _)| *known as i32 == signal) {
        CAME.fetch_or(1 << at, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wish_once() {
        let taken = || take().collect::<Vec<UserRequest>>();
        for signal in [Nix::SIGUSR2, Nix::SIGUSR1, Nix::SIGUSR2, Nix::SIGCHLD] {
            note(signal as i32);
        }
        assert_eq!(taken(), [UserRequest::Mark, UserRequest::Snapshot]);
        assert_eq!(taken(), []);
        note(Nix::SIGCONT as i32);
        assert_eq!(taken(), [UserRequest::Show]);
    }
}
