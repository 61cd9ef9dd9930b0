//! What stands between engine and sink: hits become events, and the engine learns what the sink wants.

use super::tell;
use crate::base::snapshot::SnapshotMethod;
use crate::decode::Decoder;
use crate::engine::hit::{Hit, What};
use crate::engine::supervisor::state::Supervisor;
use crate::event::Kind;
use crate::event::Request;
use crate::plan::Tracepoint;
use crate::sink::Sink;
use crate::sink::promises::Promises;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Between engine and sink.
pub(super) struct Consumer {
    pub(super) decoder: Decoder,
    pub(super) sink: Box<dyn Sink>,
    /// What was lost is told on standard error: the trace goes elsewhere, or does not show it.
    pub(super) tells_losses: bool,
    pub(super) failure: Option<io::Error>,
    /// Checks the events, in tests.
    pub(super) promises: Option<Promises>,
    /// How memory is kept for it.
    pub(super) copying: SnapshotMethod,
}

impl Consumer {
    pub(super) fn take(&mut self, hit: &Hit<'_>) -> ControlFlow<Request> {
        if self.failure.is_some() {
            return ControlFlow::Break(Request::End);
        }
        // The promises are those of events.
        if self.promises.is_none()
            && let Some(call) = self.decoder.plain(hit)
        {
            match self.sink.plain_call(&call) {
                Ok(false) => {}
                taken => return self.answer(taken.map(drop)),
            }
        }
        if let What::Complete { call, .. } = &hit.what {
            return self.take_complete(hit, call.point);
        }
        let event = self.decoder.event(hit);
        if let Some(promises) = &mut self.promises {
            promises.event(event);
        }
        if let Kind::Lost { what, .. } | Kind::NoAllocator { what } = &event.kind
            && self.tells_losses
        {
            tell(what);
        }
        let mut written = self.sink.event(event);
        if matches!(event.kind, Kind::Tick | Kind::Leaving) {
            written = written.and_then(|()| self.sink.flush());
        }
        self.answer(written)
    }

    /// Takes a call and its return.
    fn take_complete(&mut self, hit: &Hit<'_>, point: &Arc<Tracepoint>) -> ControlFlow<Request> {
        self.decoder.event(hit);
        let Some((call, returned)) = self.decoder.complete(point) else {
            return ControlFlow::Continue(());
        };
        if let Some(promises) = &mut self.promises {
            promises.event(call);
            promises.event(returned);
        }
        let written = self.sink.complete(call, returned);
        self.answer(written)
    }

    /// What the engine is told of what was written.
    fn answer(&mut self, written: io::Result<()>) -> ControlFlow<Request> {
        match self.note(written) {
            ControlFlow::Continue(()) => match self.sink.request() {
                Some(request) => ControlFlow::Break(request),
                None => ControlFlow::Continue(()),
            },
            end => end,
        }
    }

    /// Gives the sink what it has asked the engine for, and whatever it asks for meanwhile: there may be no
    /// later time.
    pub(super) fn serve(&mut self, first: Request, engine: &mut Supervisor) {
        let mut next = Some(first);
        while let Some(request) = next.take() {
            let served = match request {
                Request::StopTracing => {
                    self.sink.tracing_stopped();
                    engine.stop_tracing(&mut |hit| self.take_quietly(hit));
                    Ok(())
                }
                Request::Snapshot(pid) => {
                    let how = self.copying;
                    let snapshot = engine.snapshot(pid, how, &mut |hit| self.take_quietly(hit));
                    self.sink.snapshot(pid, snapshot)
                }
                Request::End => return,
            };
            if self.note(served).is_continue() {
                next = self.sink.request();
            }
        }
    }

    /// Takes a hit on the way into a stop, when nothing more can be asked for.
    fn take_quietly(&mut self, hit: &Hit<'_>) -> ControlFlow<Request> {
        match self.take(hit) {
            ControlFlow::Break(Request::End) => ControlFlow::Break(Request::End),
            _ => ControlFlow::Continue(()),
        }
    }

    fn note(&mut self, written: io::Result<()>) -> ControlFlow<Request> {
        let Err(why) = written else {
            return ControlFlow::Continue(());
        };
        self.failure.get_or_insert(why);
        ControlFlow::Break(Request::End)
    }

    /// The sink's last words. A reader that has gone away is not an error.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let result = match self.failure.take() {
            Some(why) => Err(why),
            None => {
                // Who has asked for the end is told nothing more, of open calls neither.
                if let Some(promises) = &mut self.promises
                    && self.sink.request() != Some(Request::End)
                {
                    promises.finish();
                }
                self.sink.finish()
            }
        };
        match result {
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
