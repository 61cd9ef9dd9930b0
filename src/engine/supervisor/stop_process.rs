//! One traced process brought to a stop, for a snapshot or to take its breakpoints out. What its tasks do until
//! they stand still is served as ever.

use crate::base::{Pid, Tid};
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::{Resume, finish};
use crate::engine::supervisor::state::{Ending, Supervisor};
use crate::engine::supervisor::stop_all::kernel::Linux;
use crate::engine::supervisor::stop_all::{Limits, Next, Policy, StopAll, Want};
use crate::sys::interrupt::{LookOut, Meant};
use crate::sys::ptrace::Stopped;
use crate::sys::wait::{Status, Stop};
use std::time::Duration;

/// A task that waits in the kernel for its vfork child cannot be stopped; nor does it change anything. Any other
/// comes to its stop sooner.
const LIMITS: Limits = Limits {
    asleep: Duration::from_millis(200),
    running: Duration::from_secs(10),
};

impl Supervisor {
    /// Stops every task of a process, those included that are born meanwhile, and but those that stand still in
    /// the batch; `None` when one does not come to a stop, or the user wants us to end.
    pub(in crate::engine) fn stop_process(
        &mut self,
        pid: Pid,
        out: &mut Out<'_>,
    ) -> Option<Vec<(Stopped, Stop)>> {
        let look_out = self.look_out();
        let mut process = Process {
            supervisor: self,
            pid,
            look_out,
            out,
        };
        let halted = StopAll::new(&Linux).run(&mut process, LIMITS);
        if !halted.is_complete {
            // A task that runs on may do anything: nothing can be said.
            resume_all(halted.stopped);
            return None;
        }
        Some(halted.stopped)
    }

    /// A terminal's Ctrl-C is for a command that we launched.
    pub(in crate::engine) fn look_out(&self) -> LookOut {
        LookOut::begin(match self.launched {
            Some(_) => Meant::Command,
            None => Meant::Us,
        })
    }
}

/// Lets all of them go on.
pub(in crate::engine) fn resume_all(stopped: Vec<(Stopped, Stop)>) {
    for (stopped, stop) in stopped {
        // ESRCH: it was killed meanwhile; its end comes through a wait.
        finish(Resume::after(stopped, stop));
    }
}

/// All tasks of one process.
struct Process<'s, 'o, 'h> {
    supervisor: &'s mut Supervisor,
    pid: Pid,
    look_out: LookOut,
    out: &'o mut Out<'h>,
}

impl Policy<Stopped> for Process<'_, '_, '_> {
    fn wants(&mut self) -> Vec<(Tid, Want)> {
        let Supervisor { tasks, batch, .. } = &*self.supervisor;
        let is_served = |tid: &Tid| batch.iter().any(|(other, _)| other == tid);
        let of_process = tasks.iter().filter(|(_, task)| task.pid == self.pid);
        of_process
            .filter(|(tid, task)| !task.is_exiting && !is_served(tid))
            .map(|(&tid, _)| (tid, Want::Stopped))
            .collect()
    }

    fn serve(&mut self, stopped: Stopped, stop: Stop) -> Next<Stopped> {
        let tid = stopped.tid();
        let status = Status::Stopped(stopped, stop);
        match self.supervisor.serve(tid, status, self.out) {
            Resume::Run(stopped) if stop == Stop::Exit => Next::Keep(stopped),
            resume => Next::GoOn(resume),
        }
    }

    fn ended(&mut self, tid: Tid, ending: Option<Ending>) {
        // One that is gone without a word has another's id now, by an exec.
        if let Some(ending) = ending {
            self.supervisor.ended(tid, ending, self.out);
        }
    }

    fn gives_up(&mut self) -> bool {
        self.look_out.is_asked()
    }
}
