//! The seam: what an engine has seen, good for the duration of one callback.

use crate::base::addr::{Addr, Bias};
use crate::base::regs::View;
use crate::base::signal::Signal;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Why};
use crate::plan::{ModuleName, Tracepoint};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// An observation, good for the duration of one callback.
pub struct Hit<'e> {
    /// The process.
    pub pid: Pid,
    /// The task.
    pub tid: Tid,
    /// When it was seen.
    pub time: Timestamp,
    /// What was seen.
    pub what: What<'e>,
}

/// Of whom and when an observation is.
#[derive(Clone, Copy)]
pub struct Stamp {
    /// The process.
    pub pid: Pid,
    /// The task.
    pub tid: Tid,
    /// When it was seen.
    pub time: Timestamp,
}

impl Hit<'_> {
    /// Of whom and when it is.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            pid: self.pid,
            tid: self.tid,
            time: self.time,
        }
    }
}

/// A call, at its beginning or its end.
pub struct Call<'e> {
    /// Which.
    pub id: CallId,
    /// How many traced calls of its task were open before it.
    pub depth: usize,
    /// The function.
    pub point: &'e Arc<Tracepoint>,
    /// Where it will return to, or has.
    pub return_address: Addr,
    /// What can be seen at that moment.
    pub view: View<'e>,
}

/// What an engine can see. The kinds are those of [`crate::event::Kind`], not yet decoded.
#[allow(missing_docs)]
pub enum What<'e> {
    Call(Call<'e>),
    Return {
        call: Call<'e>,
        began: Timestamp,
    },
    /// A call, and its return, before which its task did nothing else. The time is that of the call.
    Complete {
        call: Call<'e>,
        returned: View<'e>,
        ended: Timestamp,
    },
    ReturnedAgain {
        depth: usize,
        point: &'e Arc<Tracepoint>,
        return_address: Addr,
        view: View<'e>,
    },
    NoReturn {
        id: CallId,
        depth: usize,
        point: &'e Arc<Tracepoint>,
        why: Why,
        began: Timestamp,
    },
    Signal {
        signal: Signal,
        ip: Addr,
    },
    Started {
        parent: Option<Pid>,
        shares_memory: bool,
    },
    Exec {
        ip: Addr,
    },
    /// The process is about to end; its memory is there for the last time.
    Exiting,
    Exited {
        status: i32,
        last: bool,
    },
    Killed {
        signal: Signal,
        last: bool,
    },
    Detached,
    Loaded {
        module: &'e Arc<ModuleName>,
        range: Range<u64>,
        bias: Bias,
        file: Option<&'e File>,
    },
    Unloaded {
        module: &'e Arc<ModuleName>,
        range: Range<u64>,
    },
    /// `count`: as in [`crate::event::Kind::Lost`].
    Lost {
        what: &'e str,
        count: Option<u64>,
    },
    NoAllocator {
        what: &'e str,
    },
    /// The process made a child with a copy of its memory, which is not followed.
    Unfollowed,
    /// We are about to let go of all tasks; of no task.
    Leaving,
    /// Nothing happened for a while; of no task.
    Tick,
}
