//! What stands between engine and sink: hits become events, and the engine learns what the sink wants.

use super::tell;
use crate::base::Pid;
use crate::base::frozen::{After, Freezing};
use crate::decode::Decoder;
use crate::engine::hit::Hit;
use crate::engine::supervisor::run::{Cease, Supervisor};
use crate::event::Kind;
use crate::sink::Sink;
use std::io;
use std::ops::ControlFlow;

/// Between engine and sink.
pub(super) struct Consumer {
    pub(super) decoder: Decoder,
    pub(super) sink: Box<dyn Sink>,
    /// The trace goes elsewhere than to standard error, or there is none to tell of what was lost.
    pub(super) elsewhere: bool,
    pub(super) failure: Option<io::Error>,
    /// What the sink wants frozen.
    pub(super) wanted: Option<(Pid, After)>,
    /// How that is done.
    pub(super) freezing: Freezing,
    /// It wants no more calls trapped.
    pub(super) rest: bool,
}

impl Consumer {
    pub(super) fn take(&mut self, hit: &Hit<'_>) -> ControlFlow<Cease> {
        if self.failure.is_some() {
            return ControlFlow::Break(Cease::End);
        }
        let event = self.decoder.event(hit);
        if let Kind::Lost { what } | Kind::NoAllocator { what } = &event.kind
            && self.elsewhere
        {
            tell(what);
        }
        let mut written = self.sink.event(event);
        if matches!(event.kind, Kind::Tick | Kind::Leaving) {
            written = written.and_then(|()| self.sink.flush());
        }
        match self.note(written) {
            ControlFlow::Continue(()) => {
                self.wanted = self.sink.wants();
                self.rest |= self.sink.wants_rest();
                match self.wanted {
                    _ if self.rest => ControlFlow::Break(Cease::Pause),
                    Some(_) => ControlFlow::Break(Cease::Pause),
                    None if self.sink.is_done() => ControlFlow::Break(Cease::End),
                    None => ControlFlow::Continue(()),
                }
            }
            end => end,
        }
    }

    /// Gives the sink what it has asked the engine to pause for, and whatever it asks for meanwhile: there may
    /// be no later time.
    pub(super) fn serve(&mut self, engine: &mut Supervisor) {
        if std::mem::take(&mut self.rest) {
            engine.rest(&mut |hit| self.take_quietly(hit));
        }
        while let Some((pid, after)) = self.wanted.take() {
            let frozen =
                engine.freeze(pid, self.freezing, after, &mut |hit| self.take_quietly(hit));
            let taken = self.sink.frozen(pid, frozen);
            if self.note(taken).is_continue() {
                self.wanted = self.sink.wants();
            }
        }
    }

    /// Takes a hit on the way into a freeze, when nothing more can be asked for.
    fn take_quietly(&mut self, hit: &Hit<'_>) -> ControlFlow<Cease> {
        match self.take(hit) {
            ControlFlow::Break(Cease::Pause) => ControlFlow::Continue(()),
            other => other,
        }
    }

    fn note(&mut self, written: io::Result<()>) -> ControlFlow<Cease> {
        let Err(why) = written else {
            return ControlFlow::Continue(());
        };
        self.failure.get_or_insert(why);
        ControlFlow::Break(Cease::End)
    }

    /// The sink's last words. A reader that has gone away is not an error.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let result = match self.failure.take() {
            Some(why) => Err(why),
            None => self.sink.finish(),
        };
        match result {
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
