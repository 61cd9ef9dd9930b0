//! What happened in the traced program, owned and decoded: the language between decoder and sinks.
//!
//! Five promises of every event stream, whichever engine made it:
//! 1. Every `Call` is followed by exactly one `Return` or `NoReturn` with its id, unless a sink asks for the end before, or
//!    the function is one of a resource's whose returns are not watched: then the `Call` is all. A sink may take it as a
//!    [`PlainCall`].
//!    `NoReturn` says why: unwound (longjmp, exception), gone (exit, exec, kill) or detached. A second return of
//!    setjmp, vfork or getcontext is `ReturnedAgain`, bound to no open call.
//! 2. Events of one task are in order, and their times do not run backwards.
//! 3. An event owns its data.
//! 4. What was lost is told.
//! 5. `depth` is the number of traced calls of that task, or of the goroutine that it runs, that were open
//!    before this one. Of a goroutine's call the return may be another task's event.

use crate::base::addr::{Addr, Bias};
use crate::base::signal::Signal;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::plan::{self, ModuleName, Tracepoint};
use crate::stack::{Bytes, CallStack};
use crate::value::Value;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One call, from its entry to its end. Never used twice in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Why a call did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// longjmp, an exception or thread cancellation took its frame away.
    Unwound,
    /// The task or its program image is no more: exit, exec, kill.
    Gone,
    /// We left it.
    Detached,
    /// Whether it did is not of interest.
    Unwatched,
}

/// What those who take events ask of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Registers and memory of a process as they are now.
    Snapshot(Pid),
    /// No more calls are to be trapped. Processes stay traced.
    StopTracing,
    /// No more events.
    End,
}

/// Something that happened to a task.
#[derive(Clone, Debug)]
pub struct Event {
    /// The process.
    pub pid: Pid,
    /// The thread it happened to.
    pub tid: Tid,
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: Kind,
}

/// A call of a resource's function whose arguments and result are numbers: told without an event, as there are
/// millions of them.
pub struct PlainCall<'e> {
    /// The process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// When it was made.
    pub time: Timestamp,
    /// Which call.
    pub id: CallId,
    /// The function.
    pub point: &'e Arc<Tracepoint>,
    /// Where it will return to, or has.
    pub return_address: Addr,
    /// The arguments.
    pub args: &'e [u64],
    /// Where the function begins, and the return addresses, innermost first; nothing when its stack is not wanted.
    pub stack: &'e [u64],
    /// Its return, when its task did nothing else before. Otherwise, if it is watched, that comes as an event.
    pub returned: Option<PlainReturn>,
}

/// The return of a [`PlainCall`].
#[derive(Clone, Copy, Debug)]
pub struct PlainReturn {
    /// When.
    pub time: Timestamp,
    /// The result, if there is any.
    pub result: Option<u64>,
}

/// The kinds of event.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A tracepoint's function was called.
    Call {
        /// Which call.
        id: CallId,
        /// How many traced calls of this task were open before it.
        depth: usize,
        /// The function.
        point: Arc<Tracepoint>,
        /// Where it will return to.
        return_address: Addr,
        /// The arguments that are known at entry, in order.
        args: Vec<Value>,
        /// All arguments as they were passed, the low eight bytes of each, if that is wanted.
        words: Vec<u64>,
        /// Its stack, when the tracepoint wants it.
        stack: Option<CallStack>,
    },
    /// A call came back.
    Return {
        /// Which call.
        id: CallId,
        /// Its depth, as at the call.
        depth: usize,
        /// The function.
        point: Arc<Tracepoint>,
        /// Where it returned to.
        return_address: Addr,
        /// The arguments that are known only now (`+` parameters and all right of them).
        out_args: Vec<Value>,
        /// The result.
        result: Value,
        /// Its low eight bytes, or where it is if it is in memory.
        word: u64,
        /// Time from entry to return.
        elapsed: Duration,
    },
    /// A function that returns more than once did so again (setjmp after longjmp).
    ReturnedAgain {
        /// The function.
        point: Arc<Tracepoint>,
        /// How many traced calls of this task are open.
        depth: usize,
        /// Where it returned to.
        return_address: Addr,
        /// This return's result.
        result: Value,
    },
    /// A call will never come back.
    NoReturn {
        /// Which call.
        id: CallId,
        /// Its depth, as at the call.
        depth: usize,
        /// The function.
        point: Arc<Tracepoint>,
        /// Why.
        why: Why,
        /// Time from entry until this was known.
        elapsed: Duration,
    },
    /// A signal is about to be delivered.
    Signal {
        /// Which.
        signal: Signal,
        /// Where the task was.
        ip: Addr,
    },
    /// The task begins to be traced: a new thread, a followed child, or at start and attach.
    Started {
        /// The process that made it, if it is the first of its own.
        parent: Option<Pid>,
        /// It runs in another process's memory, as a vfork child does: what it allocates there is told of that one.
        shares_memory: bool,
    },
    /// The process now runs another program.
    Exec {
        /// Where the new program begins.
        ip: Addr,
    },
    /// The process is about to end, by itself or killed: its memory is there for the last time. Of one that runs in
    /// another's memory this is not told.
    Exiting,
    /// The task ended by itself.
    Exited {
        /// Exit status.
        status: i32,
        /// It was the last one of its process: the process is gone with it.
        last: bool,
    },
    /// A signal ended the task.
    Killed {
        /// Which.
        signal: Signal,
        /// It was the last one of its process.
        last: bool,
    },
    /// We let go of the task; it goes on untraced.
    Detached,
    /// A module was loaded: the program itself, or a library.
    Loaded {
        /// Its name.
        module: Arc<ModuleName>,
        /// Where it lies.
        range: Range<u64>,
        /// Where it lies, against its file.
        bias: Bias,
        /// Its file, when stacks are wanted.
        file: Option<Bytes>,
    },
    /// A library was unloaded.
    Unloaded {
        /// Its name.
        module: Arc<ModuleName>,
        /// Where it lay.
        range: Range<u64>,
    },
    /// Something could not be traced or was lost; in the user's words.
    Lost {
        /// What and why.
        what: String,
        /// Of calls and returns that were seen and could not be kept: how many, since this was told the last time.
        count: Option<u64>,
    },
    /// None of a process's modules has an allocator's functions: nothing is known of its heap.
    NoAllocator {
        /// The same in the user's words, with what to do about it.
        what: String,
    },
    /// The process made a child with a copy of its memory, which is not followed.
    Unfollowed,
    /// We are about to let go of all tasks; of no task.
    Leaving,
    /// Nothing happened for a while, to no task: time to write out what is held back.
    Tick,
}

impl Kind {
    /// It is about a call.
    pub fn is_of_call(&self) -> bool {
        matches!(
            self,
            Kind::Call { .. }
                | Kind::Return { .. }
                | Kind::ReturnedAgain { .. }
                | Kind::NoReturn { .. }
        )
    }

    /// It is about a call that only those want to know of who keep the books of a resource.
    pub fn is_bookkeeping(&self) -> bool {
        let (Kind::Call { point, .. }
        | Kind::Return { point, .. }
        | Kind::ReturnedAgain { point, .. }
        | Kind::NoReturn { point, .. }) = self
        else {
            return false;
        };
        matches!(point.kind, plan::Kind::Resource { .. })
    }
}
