//! Sinks around others: what they do not change reaches the other, and comes from it.

use super::Sink;
use crate::base::Pid;
use crate::base::snapshot::Snapshot;
use crate::event::{Event, PlainCall, Request};
use std::io;

/// A sink that gives another what it takes, changed or in part.
pub trait Around {
    /// The other.
    fn inner(&self) -> &dyn Sink;

    /// The other.
    fn inner_mut(&mut self) -> &mut dyn Sink;

    /// Gives it what this event is to it.
    fn pass(&mut self, event: &Event) -> io::Result<()>;

    /// Gives it what a call and its return are to it.
    fn pass_complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.pass(call)?;
        match self.ask() {
            Some(Request::End) => Ok(()),
            _ => self.pass(returned),
        }
    }

    /// Gives it a call that is told without an event. `false`: the events are wanted.
    fn pass_plain_call(&mut self, _: &PlainCall<'_>) -> io::Result<bool> {
        Ok(false)
    }

    /// What it asks of the engine, or we ask in its place.
    fn ask(&mut self) -> Option<Request> {
        self.inner_mut().request()
    }
}

impl<A: Around> Sink for A {
    fn begin(&mut self) {
        self.inner_mut().begin();
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.pass(event)
    }

    fn complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.pass_complete(call, returned)
    }

    fn plain_call(&mut self, call: &PlainCall<'_>) -> io::Result<bool> {
        self.pass_plain_call(call)
    }

    fn request(&mut self) -> Option<Request> {
        self.ask()
    }

    fn snapshot(&mut self, pid: Pid, snapshot: Option<Snapshot>) -> io::Result<()> {
        self.inner_mut().snapshot(pid, snapshot)
    }

    fn tracing_stopped(&mut self) {
        self.inner_mut().tracing_stopped();
    }

    fn status(&self) -> Option<u8> {
        self.inner().status()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner_mut().flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.inner_mut().finish()
    }
}

impl Around for Box<dyn Sink> {
    fn inner(&self) -> &dyn Sink {
        &**self
    }

    fn inner_mut(&mut self) -> &mut dyn Sink {
        &mut **self
    }

    fn pass(&mut self, event: &Event) -> io::Result<()> {
        self.inner_mut().event(event)
    }

    fn pass_complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.inner_mut().complete(call, returned)
    }

    fn pass_plain_call(&mut self, call: &PlainCall<'_>) -> io::Result<bool> {
        self.inner_mut().plain_call(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a snapshot until it has got one.
    #[derive(Default)]
    struct Asks {
        has_got_it: bool,
    }

    impl Sink for Asks {
        fn event(&mut self, _: &Event) -> io::Result<()> {
            Ok(())
        }

        fn request(&mut self) -> Option<Request> {
            (!self.has_got_it).then_some(Request::Snapshot(Pid(1)))
        }

        fn snapshot(&mut self, _: Pid, _: Option<Snapshot>) -> io::Result<()> {
            self.has_got_it = true;
            Ok(())
        }
    }

    #[test]
    fn what_is_asked_for_comes_to_who_asked() {
        let inner: Box<dyn Sink> = Box::new(Asks::default());
        let mut outer: Box<dyn Sink> = Box::new(inner);
        assert_eq!(outer.request(), Some(Request::Snapshot(Pid(1))));
        outer.snapshot(Pid(1), None).expect("nothing is written");
        assert_eq!(outer.request(), None);
    }
}
