//! Eaters of events: text lines, the `-c` table, and the reports of leaks.

pub mod around;
pub mod behind;
pub mod both;
pub mod chrome;
pub mod counts;
pub mod debug;
pub mod demangle;
pub mod descriptors;
pub mod json;
pub mod named;
pub mod output;
pub mod page;
pub mod per_process;
pub mod places;
pub mod promises;
pub mod recording;
pub mod sieve;
pub mod summary;
pub mod text;
pub mod tree;

#[cfg(test)]
mod tests;

use crate::base::Pid;
use crate::base::snapshot::Snapshot;
use crate::event::{Event, PlainCall, Request};
use std::io;

/// Something that takes events.
pub trait Sink {
    /// Called once, when all tasks to be traced are stopped, and before they go on.
    fn begin(&mut self) {}

    /// Takes one event. An error means that nothing more can be written, and ends the session.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Takes a call and its return, before which its task did nothing else.
    fn complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.event(call)?;
        match self.request() {
            Some(Request::End) => Ok(()),
            _ => self.event(returned),
        }
    }

    /// Takes a call that is told without an event. `false`: it wants the events, and has taken nothing.
    fn plain_call(&mut self, _: &PlainCall<'_>) -> io::Result<bool> {
        Ok(false)
    }

    /// What it asks of the engine: asked after each event, and told again until it was given.
    fn request(&mut self) -> Option<Request> {
        None
    }

    /// Takes the process that it asked for, as it was; `None` when it is gone.
    fn snapshot(&mut self, _: Pid, _: Option<Snapshot>) -> io::Result<()> {
        Ok(())
    }

    /// No more calls are trapped, as it asked for.
    fn tracing_stopped(&mut self) {}

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

/// Takes all, and does nothing.
pub struct Nothing;

impl Sink for Nothing {
    fn event(&mut self, _: &Event) -> io::Result<()> {
        Ok(())
    }
}
