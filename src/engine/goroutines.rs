//! The open calls of goroutines. They go where their goroutine goes: from task to task, and with its stack to
//! other memory. Calls on what else a task runs on (Go's scheduler and C on a thread's own stack) are the task's.

use crate::base::Tid;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::engine::calls::{Calls, OpenCall};
use crate::engine::stacks::Runner;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::event::Why;
use crate::process::goroutine::Goroutine;
use std::collections::HashMap;
use std::ops::Range;

/// Goroutines with open calls that no task is being served for.
pub(in crate::engine) type Parked = HashMap<(SpaceId, u64), GoroutineCalls>;

/// The open calls of one goroutine.
#[derive(Debug)]
pub(in crate::engine) struct GoroutineCalls {
    calls: Calls,
    /// Where its stack was when they were looked at last.
    stack: Range<u64>,
}

impl Supervisor {
    /// Gives a task with these registers the calls of the goroutine that it runs, if it runs one.
    pub(in crate::engine) fn enter_goroutine(&mut self, tid: Tid, regs: &Regs) {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return;
        };
        let Some(space) = self.spaces.get(&task.space) else {
            return;
        };
        let Some(go) = space.go() else {
            return;
        };
        let memory: &dyn Memory = &space.memory;
        let runner = Runner {
            tid,
            pid: task.pid,
            thread_pointer: regs.thread_pointer(),
            memory,
        };
        if task.stacks.is_own(regs.rsp, runner) {
            return;
        }
        let Some(goroutine) = Goroutine::running(go, regs, memory) else {
            return;
        };
        let parked = self.goroutines.remove(&(task.space, goroutine.id));
        let calls = parked.map_or_else(Calls::default, |mut parked| {
            parked.calls.moved(&parked.stack, &goroutine.stack);
            parked.calls
        });
        let own = std::mem::replace(&mut task.calls, calls);
        task.goroutine = Some((goroutine, own));
    }

    /// Takes a goroutine's calls from the task again.
    pub(in crate::engine) fn leave_goroutine(&mut self, tid: Tid) {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return;
        };
        let Some((Goroutine { id, stack, .. }, own)) = task.goroutine.take() else {
            return;
        };
        let calls = std::mem::replace(&mut task.calls, own);
        if !calls.is_empty() {
            let parked = GoroutineCalls { calls, stack };
            self.goroutines.insert((task.space, id), parked);
        }
    }

    /// Closes the calls of all goroutines in a space, whose ends will not be seen.
    pub(in crate::engine) fn close_goroutines(
        &mut self,
        space: SpaceId,
        tid: Tid,
        why: Why,
        out: &mut Out<'_>,
    ) {
        let of_space = |key: &(SpaceId, u64), _: &mut GoroutineCalls| key.0 == space;
        let parked: Vec<_> = self.goroutines.extract_if(of_space).collect();
        let taken = parked
            .into_iter()
            .map(|(_, mut parked)| parked.calls.take_all());
        let mut calls: Vec<OpenCall> = taken.flatten().collect();
        // The last first, as ever.
        calls.sort_by_key(|call| std::cmp::Reverse(call.id));
        for call in calls {
            out.tell_no_return(tid, &call, why);
        }
    }
}
