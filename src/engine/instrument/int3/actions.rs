//! The program's own SIGTRAP, whose action our guard stands in for.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::sys;
use crate::sys::ptrace::Stopped;
use nix::libc;

impl Supervisor {
    /// sigaction(3) begins at `at`. Where it is about SIGTRAP, the system calls that its module makes for it are
    /// watched from now on.
    pub(in crate::engine) fn watch_action_calls(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        regs: Regs,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let memory: &dyn Memory = &space.memory;
        let signal = match regs.machine() {
            Machine::Amd64 => regs.rdi,
            // Behind the return address (psABI i386, 2.2.3).
            Machine::I386 => memory.read_uint(Addr(regs.rsp + 4), 4).unwrap_or(0),
        };
        let Some(module) = space.modules.iter().find(|m| m.range.contains(&at.0)) else {
            return;
        };
        if signal as i32 != libc::SIGTRAP {
            return;
        }
        let is_watched = |p: &Purpose| matches!(p, Purpose::SignalAction);
        let stands = |at: &Addr| {
            let breakpoint = space.breakpoint(*at);
            breakpoint.is_some_and(|b| b.purposes.iter().any(is_watched))
        };
        let calls = module.planned.signal_actions.calls.iter();
        let calls = calls.map(|&call| module.bias.addr(call));
        let calls: Vec<Addr> = calls.filter(|call| !stands(call)).collect();
        for call in calls {
            self.plant(stopped, id, call, Purpose::SignalAction, out);
        }
    }

    /// rt_sigaction(2) is about to be made. Where it is about SIGTRAP we answer in the kernel's place: the
    /// guard stays, and the program sees the action that it has set itself.
    pub(in crate::engine) fn answer_action(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        regs: Regs,
    ) -> sys::Result<()> {
        let pid = self.tasks.get(&stopped.tid()).map(|task| task.pid);
        let space = self.spaces.get(&id);
        // One with actions of its own, though it shares the memory, is not guarded by this one.
        let Some(space) = space.filter(|space| Some(space.pid) == pid) else {
            return Ok(());
        };
        let Some(next) = space.breakpoint(at).map(|b| b.slot.next.0) else {
            return Ok(());
        };
        let Some((new, old)) = asked_for_trap(&regs) else {
            return Ok(());
        };
        if space.answer_action(new, old) {
            stopped.set_regs(&answered(&regs, next))?;
        }
        Ok(())
    }

    /// A SIGTRAP that no breakpoint of ours caused. When one has found the signal blocked or ignored, the
    /// kernel has reset the action (kernel/signal.c, force_sig_info_to_task). It is put back by a system call,
    /// for which the signal makes way: it is sent once more, and gets its description back when it comes.
    pub(in crate::engine) fn own_trap(
        &mut self,
        stopped: Stopped,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let signal = Signal(libc::SIGTRAP);
        let tid = stopped.tid();
        if let Some(task) = self.tasks.get_mut(&tid) {
            if let Some((_, info)) = task.postponed.take() {
                stopped.set_signal_info(&info)?;
                return self.signalled(stopped, signal, out);
            }
            let space = self.spaces.get_mut(&task.space);
            if let Some(space) = space.filter(|space| space.pid == task.pid)
                && space.is_guard_reset(tid)
                // The handler itself sets the default action, to end a program that has no other.
                && !space.is_guard(Addr(stopped.regs()?.rip))
            {
                let info = stopped.signal_info()?;
                // To trace another user's process does not take the right to send it signals.
                if stopped.send(task.pid, signal).is_ok() {
                    task.postponed = Some((signal, info));
                    space.renew_guard(&stopped);
                    return Ok(Resume::Run(stopped));
                }
            }
        }
        self.signalled(stopped, signal, out)
    }
}

/// The actions of SIGTRAP to be set and to be told, when a task with these registers is about to make rt_sigaction(2)
/// for it (system call numbers by asm/unistd_64.h and asm/unistd_32.h).
fn asked_for_trap(regs: &Regs) -> Option<(Addr, Addr)> {
    let (number, [signal, new, old, size]) = match regs.machine() {
        Machine::Amd64 => (13, [regs.rdi, regs.rsi, regs.rdx, regs.r10]),
        Machine::I386 => {
            let words = [regs.rbx, regs.rcx, regs.rdx, regs.rsi];
            (174, words.map(|word| word & u64::from(u32::MAX)))
        }
    };
    let is_asked = regs.rax == number && signal as i32 == libc::SIGTRAP && size == 8;
    is_asked.then_some((Addr(new), Addr(old)))
}

/// The registers as the kernel leaves a system call that went well and ends at `next` (Intel SDM vol. 2, SYSCALL; on
/// i386 no other register changes).
fn answered(regs: &Regs, next: u64) -> Regs {
    let after = Regs {
        rip: next,
        rax: 0,
        ..*regs
    };
    match regs.machine() {
        Machine::Amd64 => Regs {
            rcx: next,
            r11: regs.eflags,
            ..after
        },
        Machine::I386 => after,
    }
}
