//! Where observations go to.

use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::engine::calls::OpenCall;
use crate::engine::hit::{Hit, What};
use crate::event::{Request, Why};
use std::ops::ControlFlow;
use std::time::{Instant, SystemTime};

/// Where observations go to, and what is asked for in answer to the last of them.
pub(in crate::engine) struct Out<'a> {
    on_hit: &'a mut dyn FnMut(&Hit<'_>) -> ControlFlow<Request>,
    pub(in crate::engine) request: Option<Request>,
    began: Instant,
    epoch: Timestamp,
    /// When that was which is told of, if not now.
    at: Option<Timestamp>,
}

impl<'a> Out<'a> {
    pub(in crate::engine) fn new(
        on_hit: &'a mut dyn FnMut(&Hit<'_>) -> ControlFlow<Request>,
    ) -> Out<'a> {
        let epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Out {
            on_hit,
            request: None,
            began: Instant::now(),
            epoch: Timestamp(epoch),
            at: None,
        }
    }

    /// The wall clock of the beginning, carried on by a clock that never runs backwards.
    pub(in crate::engine) fn now(&self) -> Timestamp {
        Timestamp(self.epoch.0 + self.began.elapsed())
    }

    /// What is told from now on was seen at that moment.
    pub(in crate::engine) fn at(&mut self, time: Option<Timestamp>) {
        self.at = time;
    }

    /// Tells what was seen; gives when that was.
    pub(in crate::engine) fn tell(&mut self, pid: Pid, tid: Tid, what: What<'_>) -> Timestamp {
        let time = self.at.unwrap_or_else(|| self.now());
        self.tell_at(time, pid, tid, what);
        time
    }

    pub(in crate::engine) fn tell_at(
        &mut self,
        time: Timestamp,
        pid: Pid,
        tid: Tid,
        what: What<'_>,
    ) {
        // Who asks for something else is told all the same what happens until then.
        if self.request == Some(Request::End) {
            return;
        }
        let answer = (self.on_hit)(&Hit {
            pid,
            tid,
            time,
            what,
        });
        self.request = answer.break_value();
    }

    /// Tells that a call will never return.
    pub(in crate::engine) fn tell_no_return(&mut self, tid: Tid, call: &OpenCall, why: Why) {
        self.tell(call.pid, tid, call.no_return(why));
    }
}
