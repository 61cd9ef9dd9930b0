//! Two sinks as one: lines of calls, and a report on what they leave behind.

use super::Sink;
use crate::base::Pid;
use crate::base::snapshot::Snapshot;
use crate::event::{Event, Request};
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

    fn complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.0.complete(call, returned)?;
        self.1.complete(call, returned)
    }

    fn request(&mut self) -> Option<Request> {
        self.1.request()
    }

    fn snapshot(&mut self, pid: Pid, snapshot: Option<Snapshot>) -> io::Result<()> {
        self.1.snapshot(pid, snapshot)
    }

    fn tracing_stopped(&mut self) {
        self.1.tracing_stopped();
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
