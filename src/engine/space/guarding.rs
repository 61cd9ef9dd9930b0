//! How a space comes by its guard, keeps it, and is rid of it; and of what a killed tracer has left.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::engine::instrument::inprocess::left;
use crate::engine::instrument::int3::guard::{Guard, There, Unguarded};
use crate::engine::space::Space;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::{self, Remote};
use nix::libc;

/// What a killed tracer has left in a process, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOver {
    /// How many int3s stood, which are out now.
    pub breakpoints: usize,
    /// The SIGTRAP handler.
    pub handler: Handler,
}

/// What may have happened to the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Nothing.
    #[default]
    None,
    /// The kernel has reset the action, for an int3 that found SIGTRAP blocked: /proc tells.
    Reset,
    /// The program has replaced it by sigaction(2): only a system call in the process tells.
    Replaced,
}

/// What became of a SIGTRAP handler that was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// The program has its own action back.
    GivenBack,
    /// The program had its own action already.
    Gone,
    /// It cannot be taken away, and does no harm.
    Stays,
}

impl Space {
    /// Why the program would not survive the killing of its tracer, if so.
    pub fn unguarded(&self) -> Option<&Unguarded> {
        self.guard.as_ref()?.as_ref().err()
    }

    /// Whether the guard stands in for the program's own SIGTRAP action.
    pub fn is_guarded(&self) -> bool {
        matches!(self.guard, Some(Ok(_)))
    }

    /// Whether an address is in our SIGTRAP handler.
    pub fn is_guard(&self, at: Addr) -> bool {
        matches!(&self.guard, Some(Ok(guard)) if guard.contains(at))
    }

    /// The guard is to be looked after when there is an occasion.
    pub fn doubt_guard(&mut self, doubt: Doubt) {
        if self.guard.is_some() {
            self.doubt = self.doubt.max(doubt);
        }
    }

    /// Sees to it that the guard is in its place. `stopped` is a task of the process itself that has just
    /// hit an int3 of ours, its registers right again.
    pub fn see_to_guard(&mut self, stopped: &Stopped) {
        let is_needed = match std::mem::take(&mut self.doubt) {
            Doubt::None => false,
            Doubt::Reset => self.is_guard_reset(stopped.tid()),
            Doubt::Replaced => true,
        };
        if is_needed {
            self.renew_guard(stopped);
        }
    }

    /// Puts the guard back in its place.
    pub fn renew_guard(&mut self, stopped: &Stopped) {
        if let Some(remote) = self.remote(stopped)
            && let Some(Ok(guard)) = &self.guard
        {
            // When it fails the program goes on as before, and next time may be better.
            let _ = guard.renew(stopped, &remote, &self.memory);
        }
    }

    /// Whether the kernel has reset the action that the guard is, in the process of this task.
    pub fn is_guard_reset(&self, tid: Tid) -> bool {
        self.is_guarded() && !proc::is_caught(tid, libc::SIGTRAP)
    }

    /// Answers rt_sigaction(2) for SIGTRAP, called with these, out of what is kept. `false`: we cannot.
    pub fn answer_action(&self, new: Addr, old: Addr) -> bool {
        match &self.guard {
            Some(Ok(guard)) => guard.answer(&self.memory, new, old),
            _ => false,
        }
    }

    /// Guards another process that shares the memory; `stopped` is a task of it.
    pub fn guard_sharer(&mut self, stopped: &Stopped) {
        if let (Some(remote), Some(Ok(guard))) = (self.remote(stopped), &self.guard) {
            // Without it the other process would not survive a kill -9 of ours, that is all.
            let _ = guard.share(stopped, &remote, &self.memory);
        }
    }

    /// Gives the programs their own SIGTRAP actions back, after the last int3 is out: by one task of each
    /// process that shares the memory.
    pub fn remove_guard<'a>(&mut self, tasks: impl IntoIterator<Item = &'a Stopped>) {
        let Some(Ok(guard)) = self.guard.take() else {
            return;
        };
        for stopped in tasks {
            if let Some(remote) = self.remote(stopped) {
                if let Some(recorder) = &mut self.recorder {
                    recorder.unmap_islands(stopped, &remote, &self.memory);
                }
                // A task that is gone takes its action with it; otherwise the handler stays, and does no harm.
                let there = guard.there(stopped, &remote, &self.memory);
                if let Ok(There::Ours | There::Default) = there {
                    let _ = guard.remove(stopped, &remote, &self.memory);
                }
            }
        }
    }

    /// Takes over what an earlier tracer has left in the process: the handler's pages, and the int3s of one
    /// that was killed. Every task must stand still. The result is the number of those int3s.
    pub fn take_over(&mut self, stopped: &Stopped) -> usize {
        let maps = proc::maps(self.pid).unwrap_or_default();
        let patches = left::remove_left_over(&maps, &self.memory);
        let Some(mut guard) = Guard::left_over(&maps, &self.memory) else {
            return patches;
        };
        self.remote = Remote::left_over(guard.page(), &self.memory);
        let taken = guard.clean_up(&self.memory);
        self.take_areas(&taken);
        let active = match self.remote(stopped) {
            Some(remote) => guard.activate(stopped, &remote, &self.memory),
            None => Err("no syscall instruction".into()),
        };
        self.guard = Some(active.map(|()| guard));
        patches + taken.stood
    }

    /// Takes out what a killed tracer has left in the process, and gives the program its own SIGTRAP action
    /// back. Every task must stand still. `None` when there was nothing, or only pages that do nothing.
    pub fn remove_left_over(&mut self, stopped: &Stopped) -> Option<LeftOver> {
        let maps = proc::maps(self.pid).unwrap_or_default();
        let patches = left::remove_left_over(&maps, &self.memory);
        let mut guard = Guard::left_over(&maps, &self.memory)?;
        self.remote = Remote::left_over(guard.page(), &self.memory);
        let breakpoints = patches + guard.clean_up(&self.memory).stood;
        let handler = self.give_back(stopped, &guard);
        let found = breakpoints > 0 || handler == Handler::GivenBack;
        found.then_some(LeftOver {
            breakpoints,
            handler,
        })
    }

    fn give_back(&mut self, stopped: &Stopped, guard: &Guard) -> Handler {
        let Some(remote) = self.remote(stopped).filter(|_| remote::may_call(stopped)) else {
            return Handler::Stays;
        };
        match guard.there(stopped, &remote, &self.memory) {
            Ok(There::Default | There::Other) => Handler::Gone,
            Ok(There::Ours) if guard.remove(stopped, &remote, &self.memory).is_ok() => {
                Handler::GivenBack
            }
            _ => Handler::Stays,
        }
    }

    /// Has the guard let tasks go on behind the int3s of the code that records.
    pub fn cover_stops(&mut self, stopped: &Stopped) {
        if self.guard.is_none() {
            self.guard = Some(self.install_guard(stopped));
        }
        let (Some(Ok(guard)), Some(recorder)) = (&mut self.guard, &self.recorder) else {
            return;
        };
        for ip in recorder.stops() {
            // Without it the program would not survive a kill -9 of ours at that very place.
            let _ = guard.pass(&self.memory, Addr(ip));
        }
    }

    pub(super) fn install_guard(&mut self, stopped: &Stopped) -> Result<Guard, Unguarded> {
        let remote = self.remote(stopped).ok_or("no syscall instruction")?;
        Guard::install(stopped, &remote, &self.memory)
    }
}
