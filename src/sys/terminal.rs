//! The terminal that a view is drawn on: keys come one by one, and all is put back afterwards.

use super::{Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::termios::{
    InputFlags, LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::{getpgrp, read, tcgetpgrp};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// A terminal that is standard input and standard error, and ours to draw on.
#[derive(Clone, Debug)]
pub struct Terminal {
    before: nix::libc::termios,
}

/// The other screen and no cursor, and the way back (console_codes(4); xterm's private mode 1049).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

impl Terminal {
    /// The terminal, if [`Terminal::can_draw`].
    pub fn ours() -> Option<Terminal> {
        let (stdin, stderr) = (io::stdin(), io::stderr());
        if !(stdin.is_terminal() && Terminal::can_draw()) {
            return None;
        }
        let is_same = fstat(&stdin).ok()?.st_rdev == fstat(&stderr).ok()?.st_rdev;
        let before = tcgetattr(&stdin).ok()?.into();
        is_same.then_some(Terminal { before })
    }

    /// Standard error is a terminal that can move its cursor, and we run in its foreground.
    pub fn can_draw() -> bool {
        let stderr = io::stderr();
        let knows_how = std::env::var("TERM").is_ok_and(|term| !["", "dumb"].contains(&&*term));
        let is_in_front = || tcgetpgrp(&stderr).is_ok_and(|group| group == getpgrp());
        stderr.is_terminal() && knows_how && is_in_front()
    }

    /// Takes it over. Ctrl-C, Ctrl-\ and Ctrl-Z stay signals; Ctrl-S would let us, and with us all that is
    /// traced, wait for Ctrl-Q.
    pub fn enter(&self) -> Result<()> {
        let mut own = Termios::from(self.before);
        own.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        own.input_flags.remove(InputFlags::IXON);
        own.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        own.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        self.set(&own)?;
        // One that cannot be written to will be noticed soon.
        let _ = write(ENTER);
        Ok(())
    }

    /// Puts everything back. Who is not there any more needs nothing.
    pub fn leave(&self) {
        let _ = write(LEAVE);
        let _ = self.set(&self.before.into());
    }

    /// Stops, as every background process that does this, until it is ours again (tcsetattr(3),
    /// SIGTTOU).
    pub(super) fn wait_for_front(&self) {
        let _ = self.set(&self.before.into());
    }

    fn set(&self, to: &Termios) -> Result<()> {
        loop {
            match tcsetattr(io::stdin(), SetArg::TCSANOW, to) {
                Err(Errno::EINTR) => {}
                other => {
                    return other.map_err(|errno| Error {
                        call: "tcsetattr",
                        errno,
                    });
                }
            }
        }
    }

    /// What was typed since this was asked last.
    pub fn typed(&self) -> Vec<u8> {
        let mut bytes = [0; 64];
        match is_ready(io::stdin(), PollFlags::POLLIN) {
            true => {
                let length = read(io::stdin(), &mut bytes).unwrap_or(0);
                bytes.get(..length).unwrap_or_default().to_vec()
            }
            false => Vec::new(),
        }
    }

    /// It takes what is written to it, instead of letting the writer wait.
    pub fn is_writable(&self) -> bool {
        is_ready(io::stderr(), PollFlags::POLLOUT)
    }

    /// Columns and rows.
    pub fn size(&self) -> Option<(u16, u16)> {
        let (width, height) = terminal_size::terminal_size_of(io::stderr())?;
        Some((width.0, height.0))
    }
}

fn is_ready(of: impl AsFd, what: PollFlags) -> bool {
    let mut polled = [PollFd::new(of.as_fd(), what)];
    let ready = poll(&mut polled, PollTimeout::ZERO);
    let [polled] = polled;
    ready.is_ok_and(|count| count > 0) && polled.revents().is_some_and(|came| came.contains(what))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stderr();
    out.write_all(text.as_bytes())?;
    out.flush()
}
