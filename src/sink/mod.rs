//! Eaters of events: text lines, the `-c` table, and the reports of leaks.

pub mod both;
pub mod demangle;
pub mod output;
pub mod per_process;
pub mod summary;
pub mod text;

#[cfg(test)]
mod tests;

use crate::base::Pid;
use crate::base::frozen::{After, Frozen};
use crate::event::Event;
use std::io;

/// Something that eats events.
pub trait Sink {
    /// Called once, when everybody is held who is to be traced, and before they go on.
    fn begin(&mut self) {}

    /// Takes one event. An error means that nothing more can be written, and ends the session.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// The process that it wants frozen, now, and what then becomes of it: asked after each event.
    fn wants(&mut self) -> Option<(Pid, After)> {
        None
    }

    /// It has seen enough calls, and no more are to be trapped: asked after each event.
    fn wants_rest(&mut self) -> bool {
        false
    }

    /// Takes the process that it wanted, as it was; `None` when it is gone.
    fn frozen(&mut self, _: Pid, _: Option<Frozen>) -> io::Result<()> {
        Ok(())
    }

    /// It has seen enough, and the session may end: asked after each event.
    fn is_done(&self) -> bool {
        false
    }

    /// The exit status that what it found calls for; asked after the end.
    fn status(&self) -> Option<u8> {
        None
    }

    /// Writes out what is held back, so that a reader sees all of it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called once, after the last event.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
