//! Births, execs and deaths of tasks.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::base::{Pid, Tid};
use crate::engine::hit::What;
use crate::engine::instrument::inprocess::Whose;
use crate::engine::space::{Missing, Space};
use crate::engine::stacks::Stacks;
use crate::engine::supervisor::linker::Stage;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::privileges;
use crate::engine::supervisor::resume::{Resume, finish};
use crate::engine::supervisor::state::{Ending, Follow, Supervisor};
use crate::engine::task::{Role, SpaceId, Task, Tracing};
use crate::event::Why;
use crate::sys;
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use crate::sys::traceme;
use crate::sys::wait::{self, Stop};
use nix::libc;
use std::ops::Range;

/// A process that was made just now.
struct Child {
    tid: Tid,
    /// It is followed.
    follows: bool,
}

impl Supervisor {
    /// A task made another one. Both orders occur: this event, or the child's first stop, comes first.
    pub(in crate::engine) fn gave_birth(
        &mut self,
        stopped: Stopped,
        stop: Stop,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let child = Tid(stopped.event_message()? as i32);
        let regs = stopped.regs()?;
        if let Some(thread_pointer) = self.thread_pointer_of_child(&stopped, &regs, stop) {
            self.take_back_ring(stopped.tid(), thread_pointer, out);
            self.thread_born(&stopped, &regs, (child, thread_pointer));
        }
        let Some(parent) = self.tasks.get(&stopped.tid()) else {
            return Ok(Resume::Run(stopped));
        };
        let Some(space) = self.spaces.get(&parent.space) else {
            return Ok(Resume::Run(stopped));
        };
        let flags = clone_flags(&regs, stop, &space.memory);
        let has = |flag: i32| flags & flag as u64 != 0;
        let maker = parent.pid;
        let follows = self.follow == Follow::Children && parent.role == Role::Shown;
        if has(libc::CLONE_THREAD) {
            let mut task = Task::new(parent.pid, parent.space, parent.role);
            if let Some(own) = clone_stack(&regs, &space.memory) {
                task.stacks = Stacks::born_on(own);
            }
            self.announce(child, task, maker, out);
        } else if has(libc::CLONE_VM) {
            let role = if follows {
                Role::Shown
            } else {
                Role::VforkChild
            };
            let mut task = Task::new(Pid(child.0), parent.space, role);
            task.calls = parent.calls.for_child(Pid(child.0));
            if role == Role::VforkChild && stop == Stop::Vfork && Cloning::is_plain(&regs) {
                task.tracing = Tracing::Possible;
            }
            self.announce(child, task, maker, out);
        } else {
            self.copied(
                &stopped,
                &regs,
                Child {
                    tid: child,
                    follows,
                },
                out,
            );
        }
        if has(libc::CLONE_VFORK) {
            self.lend_ring(stopped.tid(), Whose::VforkChild(child));
        } else if has(libc::CLONE_VM) && !has(libc::CLONE_SETTLS) {
            // Both have one thread pointer, by which rings are found.
            if let Some(id) = self.tasks.get(&stopped.tid()).map(|task| task.space) {
                self.stop_at_stubs(&stopped, id, out);
            }
        }
        if let Some(child) = self.unannounced.remove(&child) {
            let resume = self.first_stop(child, out);
            finish(self.watched(resume));
        }
        Ok(Resume::Run(stopped))
    }

    /// The thread pointer that a task gives to another in the same memory.
    fn thread_pointer_of_child(&self, maker: &Stopped, regs: &Regs, stop: Stop) -> Option<u64> {
        let task = self.tasks.get(&maker.tid())?;
        let memory = &self.spaces.get(&task.space)?.memory;
        let flags = clone_flags(regs, stop, memory);
        let both = (libc::CLONE_VM | libc::CLONE_SETTLS) as u64;
        (flags & both == both).then(|| clone_tls(regs, memory))?
    }

    /// A task gives another one in the same memory its thread pointer.
    fn thread_born(&self, maker: &Stopped, regs: &Regs, (child, thread_pointer): (Tid, u64)) {
        let task = self.tasks.get(&maker.tid());
        if let Some(space) = task.and_then(|task| self.spaces.get(&task.space)) {
            space.seen(regs.thread_pointer(), maker.tid());
            let lives = |tid| self.tasks.contains_key(&tid);
            space.born(thread_pointer, child, (self.tasks.len(), lives));
        }
    }

    /// A task made a child with a copy of its memory.
    fn copied(&mut self, maker: &Stopped, regs: &Regs, child: Child, out: &mut Out<'_>) {
        let Child { tid, follows } = child;
        let pid = Pid(tid.0);
        let Some(parent) = self.tasks.get(&maker.tid()) else {
            return;
        };
        let Some(space) = self.spaces.get(&parent.space) else {
            return;
        };
        let mut copy = space.copy_for(pid);
        let (owner, role) = (parent.pid, parent.role);
        if !follows {
            self.to_release.insert(tid, copy);
            if role == Role::Shown {
                out.tell(owner, maker.tid(), What::Unfollowed);
            }
            return;
        }
        if let Some(recorder) = space.recorder.as_ref().filter(|r| r.is_enabled()) {
            self.forked.insert(tid, recorder.forked());
        }
        let missing = copy.take_missing(parent.planted);
        if !missing.is_empty() {
            self.incomplete.insert(tid, missing);
        }
        let calls = parent.calls.for_child(pid);
        let memory: &dyn Memory = &copy.memory;
        let is_closed = memory.read_uint(Addr(regs.rip), 1).is_err();
        let id = self.add_space(copy);
        let task = Task {
            calls,
            ..Task::new(pid, id, Role::Shown)
        };
        self.announce(tid, task, owner, out);
        if is_closed {
            self.complain(tid, &privileges::closed(pid), out);
        }
    }

    /// The first stop of a task, of which its parent's event may or may not have told already.
    pub(in crate::engine) fn first_stop(&mut self, stopped: Stopped, out: &mut Out<'_>) -> Resume {
        let tid = stopped.tid();
        if self.tasks.contains_key(&tid) {
            self.complete_copy(&stopped, out);
            return Resume::Run(stopped);
        }
        if let Some(mut copy) = self.to_release.remove(&tid) {
            copy.remove_breakpoints();
            return Resume::Release(stopped);
        }
        // Consumed, or the next look would show it again for ever.
        let _ = wait::consume(tid);
        self.unannounced.insert(tid, stopped);
        Resume::Nothing
    }

    /// Plants what a child's copy lacks, before the child has executed anything.
    pub(in crate::engine) fn complete_copy(&mut self, stopped: &Stopped, out: &mut Out<'_>) {
        if let Some(forked) = self.forked.remove(&stopped.tid()) {
            self.record_child(stopped, forked, out);
        }
        let Some(missing) = self.incomplete.remove(&stopped.tid()) else {
            return;
        };
        let Some(id) = self.tasks.get(&stopped.tid()).map(|task| task.space) else {
            return;
        };
        for Missing { at, purposes } in missing {
            for purpose in purposes {
                self.plant(stopped, id, at, purpose, out);
            }
        }
    }

    fn announce(&mut self, tid: Tid, task: Task, parent: Pid, out: &mut Out<'_>) {
        let (pid, role) = (task.pid, task.role);
        let shares_memory = self.shares_memory(&task);
        self.tasks.insert(tid, task);
        if role == Role::Shown {
            let what = What::Started {
                parent: (tid.0 == pid.0).then_some(parent),
                shares_memory,
            };
            out.tell(pid, tid, what);
        }
    }

    /// A process runs another program. It has one task now, which carries the process's id whichever
    /// thread asked for it (ptrace(2), "execve(2) under ptrace").
    pub(in crate::engine) fn executed(
        &mut self,
        stopped: Stopped,
        out: &mut Out<'_>,
    ) -> sys::Result<Resume> {
        let tid = stopped.tid();
        let pid = Pid(tid.0);
        let regs = stopped.regs()?;
        let doomed: Vec<Tid> = self
            .tasks
            .iter()
            .filter(|(_, t)| t.pid == pid)
            .map(|(&tid, _)| tid)
            .collect();
        let (mut role, mut tracing) = (Role::Shown, Tracing::Unasked);
        for other in doomed {
            if let Some(task) = self.close(other, Why::Gone, out) {
                (role, tracing) = (task.role, task.tracing);
            }
        }
        self.see_to_spaces();
        self.ending.forget(pid);
        if role == Role::VforkChild {
            // It has memory of its own now, and none of our int3s in it.
            if tracing != Tracing::Promised {
                return Ok(Resume::Release(stopped));
            }
            let memory = ProcessMemory::new(pid, regs.machine());
            traceme::make_up_for(leave_exec(stopped)?, &memory)?;
            return Ok(Resume::Nothing);
        }
        let id = self.add_space(Space::new(pid, regs.machine()));
        self.tasks.insert(tid, Task::new(pid, id, Role::Shown));
        out.tell(pid, tid, What::Exec { ip: Addr(regs.rip) });
        let stopped = leave_exec(stopped)?;
        self.program_found(&stopped, id, Stage::Beginning, out);
        Ok(Resume::Run(stopped))
    }

    /// A task ended.
    pub(in crate::engine) fn ended(
        &mut self,
        tid: Tid,
        ending: Ending,
        out: &mut Out<'_>,
    ) -> Resume {
        let _ = wait::reap(tid);
        self.unannounced.remove(&tid);
        self.to_release.remove(&tid);
        self.incomplete.remove(&tid);
        self.forked.remove(&tid);
        if !self.tasks.contains_key(&tid) {
            return Resume::Nothing;
        }
        if self.tasks.len() == 1 {
            self.explain_nothing(tid, out);
        }
        if let Some(task) = self.close(tid, Why::Gone, out) {
            let last = task.pid.0 == tid.0;
            if let Some(launched) = self.launched.as_mut().filter(|l| last && l.pid == task.pid) {
                launched.end = Some(ending);
            }
            if task.role == Role::Shown {
                let what = match ending {
                    Ending::Exited(status) => What::Exited { status, last },
                    Ending::Killed(signal) => What::Killed { signal, last },
                };
                out.tell(task.pid, tid, what);
            }
            if last {
                self.ending.forget(task.pid);
            }
            self.see_to_spaces();
        }
        Resume::Nothing
    }

    /// Forgets a task, its open calls closed.
    pub(in crate::engine) fn close(
        &mut self,
        tid: Tid,
        why: Why,
        out: &mut Out<'_>,
    ) -> Option<Task> {
        self.release_ring(tid);
        let mut task = self.tasks.remove(&tid)?;
        if let Some(call) = task.system_call.take() {
            out.tell(task.pid, tid, call.no_return(why));
        }
        for call in task.calls.take_all() {
            out.tell_no_return(tid, &call, why);
        }
        if self.tasks.values().all(|other| other.space != task.space) {
            self.close_goroutines(task.space, tid, why, out);
        }
        Some(task)
    }

    pub(in crate::engine) fn add_space(&mut self, space: Space) -> SpaceId {
        let id = SpaceId(self.next_space);
        self.next_space += 1;
        self.spaces.insert(id, space);
        id
    }

    /// Whether a task runs in another process's memory.
    pub(in crate::engine) fn shares_memory(&self, task: &Task) -> bool {
        let space = self.spaces.get(&task.space);
        space.is_some_and(|space| space.pid != task.pid)
    }

    /// Forgets spaces that no process uses any more. One whose process is gone belongs to another that uses it.
    pub(in crate::engine) fn see_to_spaces(&mut self) {
        let tasks = &self.tasks;
        self.spaces.retain(|id, space| {
            let mut users = tasks.values().filter(|task| task.space == *id);
            let Some(first) = users.next() else {
                return false;
            };
            if first.pid != space.pid && users.all(|task| task.pid != space.pid) {
                space.pass_on_to(first.pid);
            }
            true
        });
    }
}

/// Takes a task from its exec stop to its program's first instruction. In the former it is still inside
/// the system call, whose result would overwrite rax behind the back of a remote one.
pub(in crate::engine) fn leave_exec(stopped: Stopped) -> sys::Result<Stopped> {
    let tid = stopped.tid();
    sys::ptrace::interrupt(tid)?;
    stopped.resume(None)?;
    sys::remote::next_stop(tid).map(|(stopped, _)| stopped)
}

/// The flags of the clone(2) that a birth event is about, out of the system call's registers.
pub(in crate::engine) fn clone_flags(regs: &Regs, stop: Stop, memory: &dyn Memory) -> u64 {
    let by_event = match stop {
        Stop::Vfork => (libc::CLONE_VM | libc::CLONE_VFORK) as u64,
        _ => 0,
    };
    match Cloning::of(regs) {
        Cloning::Clone(flags) => flags,
        // struct clone_args begins with the flags (clone(2)).
        Cloning::Clone3(args) => memory.read_uint(args, 8).unwrap_or(by_event),
        Cloning::Other => by_event,
    }
}

/// The stack that clone3(2) was given for the new task; clone(2) is told its end only.
fn clone_stack(regs: &Regs, memory: &dyn Memory) -> Option<Range<u64>> {
    let Cloning::Clone3(args) = Cloning::of(regs) else {
        return None;
    };
    // struct clone_args: five words of 64 bits, then stack and stack_size.
    let word = |index: i64| memory.read_uint(args.offset(index * 8), 8).ok();
    let start = word(5)?;
    Some(start..start.checked_add(word(6)?)?).filter(|stack| !stack.is_empty())
}

/// The thread pointer that the new task is given with CLONE_SETTLS.
fn clone_tls(regs: &Regs, memory: &dyn Memory) -> Option<u64> {
    let user_desc = |at: u64| memory.read_uint(Addr(at).offset(4), 4).ok();
    match (regs.machine(), Cloning::of(regs)) {
        // Its fifth argument (clone(2), "C library/kernel differences").
        (Machine::Amd64, Cloning::Clone(_)) => Some(regs.r8),
        // struct clone_args: seven words of 64 bits before it.
        (Machine::Amd64, Cloning::Clone3(args)) => memory.read_uint(args.offset(7 * 8), 8).ok(),
        // clone(2) is told by a struct user_desc (asm/ldt.h): a number, then the address.
        (Machine::I386, Cloning::Clone(_)) => user_desc(regs.rsi),
        (Machine::I386, Cloning::Clone3(args)) => {
            user_desc(memory.read_uint(args.offset(7 * 8), 8).ok()?)
        }
        (_, Cloning::Other) => None,
    }
}

/// The system call that makes a task.
enum Cloning {
    /// clone(2), with these flags.
    Clone(u64),
    /// clone3(2), with its arguments there.
    Clone3(Addr),
    /// fork(2) or vfork(2).
    Other,
}

impl Cloning {
    /// It is fork(2) or vfork(2): posix_spawn(3) has flags of its own.
    fn is_plain(regs: &Regs) -> bool {
        matches!(Cloning::of(regs), Cloning::Other)
    }

    fn of(regs: &Regs) -> Cloning {
        // System call numbers of i386: asm/unistd_32.h.
        let (clone, clone3, first) = match regs.machine() {
            Machine::I386 => (120, 435, regs.rbx),
            Machine::Amd64 => (libc::SYS_clone, libc::SYS_clone3, regs.rdi),
        };
        match regs.orig_rax as i64 {
            number if number == clone => Cloning::Clone(first),
            number if number == clone3 => Cloning::Clone3(Addr(first)),
            _ => Cloning::Other,
        }
    }
}
