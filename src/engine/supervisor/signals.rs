//! Signals on their way to tasks.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::engine::calls::Landing;
use crate::engine::hit::What;
use crate::engine::space::Original;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::{Resume, move_out_of_slot};
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::Role;
use crate::sys;
use crate::sys::ptrace::Stopped;

impl Supervisor {
    /// A signal on its way to the task. One that finds it in a slot must not: a handler, and code
    /// that unwinds from it, is to see the program's own code.
    pub(in crate::engine) fn signalled(
        &mut self,
        stopped: Stopped,
        signal: Signal,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let tid = stopped.tid();
        if let Some(info) = self.postponed(tid, signal) {
            stopped.set_signal_info(&info)?;
            return Ok(Resume::Deliver(stopped, signal));
        }
        if self.interrupted(&stopped, signal)? {
            return Ok(Resume::Run(stopped));
        }
        let mut regs = stopped.regs()?;
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Resume::Deliver(stopped, signal));
        };
        let space = self.spaces.get(&task.space);
        let original = space.and_then(|space| space.original(regs.rip));
        let dying = space.is_some_and(|space| space.is_guard(Addr(regs.rip)));
        if let Some(original) = original {
            move_out_of_slot(&mut regs, original);
            stopped.set_regs(&regs)?;
        }
        task.stacks.interrupt(&regs);
        // In our handler a task raises the program's own SIGTRAP for the second time.
        if task.role == Role::Shown && !dying {
            let ip = Addr(regs.rip);
            out.tell(task.pid, tid, What::Signal { signal, ip });
        }
        if let Some(original) = original {
            self.taken_back(tid, &regs, original);
        }
        match self.told_of_end(&stopped, signal, out)? {
            true => Ok(Resume::Run(stopped)),
            false => Ok(Resume::Deliver(stopped, signal)),
        }
    }

    /// A signal took the task out of a slot: the breakpoint will be hit once more.
    fn taken_back(&mut self, tid: Tid, regs: &Regs, original: Original) {
        self.enter_goroutine(tid, regs);
        if let Some(task) = self.tasks.get_mut(&tid) {
            if let Original::Before(address) = original {
                task.calls.lands_again(Landing {
                    address,
                    rsp: regs.rsp,
                    result: regs.rax,
                });
            }
            if !matches!(original, Original::After(_)) {
                task.calls.entered_again(regs.rsp);
            }
        }
        self.leave_goroutine(tid);
    }
}
