//! The terminal as a view's screen.

use crate::leak::view::Screen;
use crate::sys::front;
use crate::sys::terminal::Terminal;
use std::io::{self, Write};

/// A terminal that is taken over when something is shown.
pub(super) struct OnTerminal {
    terminal: Terminal,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was shown yet.
    Fresh,
    Ours,
    /// Left to others for now.
    Hidden,
    /// Left for good.
    Left,
}

/// For a terminal that does not know its size.
const SIZE: (u16, u16) = (80, 24);

impl OnTerminal {
    /// Nothing happens to it yet.
    pub(super) fn new(terminal: Terminal) -> OnTerminal {
        OnTerminal {
            terminal,
            state: State::Fresh,
        }
    }
}

/// What a panic has to say is not to vanish with the view.
fn leave_on_panic(terminal: Terminal) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        terminal.leave();
        before(info);
    }));
}

impl Screen for OnTerminal {
    fn size(&self) -> (usize, usize) {
        let size = self.terminal.size().filter(|size| size.0 > 0 && size.1 > 0);
        let (columns, rows) = size.unwrap_or(SIZE);
        (usize::from(columns), usize::from(rows))
    }

    fn typed(&mut self) -> Vec<u8> {
        match self.state {
            State::Ours => self.terminal.typed(),
            State::Fresh | State::Hidden | State::Left => Vec::new(),
        }
    }

    fn show(&mut self, text: &str) -> io::Result<()> {
        match self.state {
            State::Fresh => {
                leave_on_panic(self.terminal.clone());
                self.again();
            }
            State::Ours => {}
            State::Hidden | State::Left => return Ok(()),
        }
        if !self.terminal.is_writable() {
            return Ok(());
        }
        let mut out = io::stderr();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn hide(&mut self) {
        if matches!(self.state, State::Fresh | State::Ours) {
            if self.state == State::Ours {
                self.terminal.leave();
            }
            self.state = State::Hidden;
        }
        front::stop_front();
    }

    fn again(&mut self) {
        // One that is refused is none any more, as the next thing that is written will tell.
        let _ = self.terminal.enter();
        self.state = State::Ours;
    }

    fn leave(&mut self) {
        if self.state == State::Ours {
            self.terminal.leave();
        }
        self.state = State::Left;
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        self.leave();
    }
}
