//! Seeing no more calls of processes that stay traced: every int3 out, so that they run as they would
//! without us.

use crate::base::{Pid, Tid};
use crate::engine::hit::Hit;
use crate::engine::supervisor::detach::put_back;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::finish;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::supervisor::stop_process::resume_all;
use crate::event::Request;
use crate::event::Why;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

impl Supervisor {
    /// Takes every int3 out, for good. What tasks do until they stand still for it is told as ever. A process
    /// that does not come to a stop keeps its own.
    pub fn stop_tracing(&mut self, on_hit: &mut dyn FnMut(&Hit<'_>) -> ControlFlow<Request>) {
        let mut out = Out::new(on_hit);
        self.is_tracing_stopped = true;
        self.batch.drain(..).for_each(|(_, resume)| finish(resume));
        let processes: BTreeSet<Pid> = self.tasks.values().map(|task| task.pid).collect();
        for pid in processes {
            self.placement.hurry();
            let held = self.stop_process(pid, &mut out);
            if let Some(held) = held {
                for (stopped, _) in &held {
                    let space = self.tasks.get(&stopped.tid()).map(|task| task.space);
                    if let Some(space) = space.and_then(|id| self.spaces.get(&id)) {
                        // ESRCH: it was killed meanwhile and needs no help.
                        let _ = put_back(stopped, space);
                    }
                }
                let own = self.spaces.values_mut().filter(|space| space.pid == pid);
                own.for_each(crate::engine::space::Space::remove_breakpoints);
                self.forget_calls(pid, &mut out);
                resume_all(held);
            }
            self.placement.relax();
        }
    }

    /// Their returns will not be seen.
    fn forget_calls(&mut self, pid: Pid, out: &mut Out<'_>) {
        let of = self.tasks.iter().filter(|(_, task)| task.pid == pid);
        let tids: Vec<Tid> = of.map(|(tid, _)| *tid).collect();
        for tid in tids {
            if let Some(task) = self.tasks.get_mut(&tid) {
                let space = task.space;
                for call in task.calls.take_all() {
                    out.tell_no_return(tid, &call, Why::Detached);
                }
                self.close_goroutines(space, tid, Why::Detached, out);
            }
        }
    }
}
