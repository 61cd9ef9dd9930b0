//! Two sinks as one: lines of calls, and a report on what they leave behind.

use super::Sink;
use crate::base::Pid;
use crate::base::frozen::{After, Frozen};
use crate::event::Event;
use std::io;

/// The first one shows, the second one also asks.
pub struct Both<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Both<A, B> {
    fn begin(&mut self) {
        self.0.begin();
        self.1.begin();
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.event(event)?;
        self.1.event(event)
    }

    fn wants(&mut self) -> Option<(Pid, After)> {
        self.1.wants()
    }

    fn wants_rest(&mut self) -> bool {
        self.1.wants_rest()
    }

    fn frozen(&mut self, pid: Pid, frozen: Option<Frozen>) -> io::Result<()> {
        self.1.frozen(pid, frozen)
    }

    fn is_done(&self) -> bool {
        self.1.is_done()
    }

    fn status(&self) -> Option<u8> {
        self.1.status()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()?;
        self.1.finish()
    }
}
