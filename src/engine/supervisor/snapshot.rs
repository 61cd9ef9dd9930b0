//! A process held for a moment, and what it was like: all its tasks stopped, registers copied and writable
//! memory kept, all of them let go on.

use crate::base::memory::Memory;
use crate::base::regs::{FloatRegs, Regs};
use crate::base::snapshot::{Region, Snapshot, SnapshotMethod, TaskState};
use crate::base::{Pid, Tid};
use crate::engine::hit::Hit;
use crate::engine::instrument::inprocess::area;
use crate::engine::instrument::inprocess::drain::Share;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::resume::{Resume, finish};
use crate::engine::supervisor::snapshot_memory::{self, Kept};
use crate::engine::supervisor::state::Supervisor;
use crate::engine::supervisor::stop_process::resume_all;
use crate::event::Request;
use crate::sys::memory::ProcessMemory;
use crate::sys::proc::{self, Mapping};
use crate::sys::ptrace::Stopped;
use crate::sys::wait::Stop;
use std::ops::ControlFlow;
use std::time::Instant;

impl Supervisor {
    /// The process as it is now. What its tasks do until each of them stands still is told as ever. One that is about
    /// to end, and has much memory, stands still until the next run, as it cannot have a child ([`InPlace`](crate::base::snapshot::Copying::InPlace)).
    /// `None`: it is no longer there, or the user wants us to end.
    pub fn snapshot(
        &mut self,
        pid: Pid,
        how: SnapshotMethod,
        on_hit: &mut dyn FnMut(&Hit<'_>) -> ControlFlow<Request>,
    ) -> Option<Snapshot> {
        let mut out = Out::new(on_hit);
        let mut plan = snapshot_memory::Plan::new(pid, how, self.look_out());
        self.placement.hurry();
        let snapshot = self.snapshot_now(pid, &mut plan, &mut out);
        self.placement.relax();
        snapshot
    }

    fn snapshot_now(
        &mut self,
        pid: Pid,
        plan: &mut snapshot_memory::Plan,
        out: &mut Out<'_>,
    ) -> Option<Snapshot> {
        let began = Instant::now();
        let held = self.stop_process(pid, out)?;
        if let Some(id) = self
            .tasks
            .values()
            .find(|task| task.pid == pid)
            .map(|task| task.space)
        {
            self.drain(id, out, Share::All);
        }
        let tasks = self.states(pid, &held);
        // The process's own id may be that of a thread that has ended, and has no memory.
        let Some(one) = tasks.first().map(|task| Pid(task.thread.0)) else {
            resume_all(held);
            return None;
        };
        let maps = proc::maps(one).unwrap_or_default();
        let writable: Vec<&Mapping> = maps
            .iter()
            .filter(|m| snapshot_memory::is_data(m) && !area::is_ours(m))
            .collect();
        let kept = match self.ending.is_last(pid) {
            true => plan.keep_ending(one, &writable).ok(),
            false => self.keep(pid, one, plan, &writable, &held),
        };
        match &kept {
            Some(kept) if kept.is_in_place() => self.batch.extend(
                held.into_iter()
                    .map(|(stopped, stop)| (stopped.tid(), Resume::after(stopped, stop))),
            ),
            _ => {
                resume_all(held);
                self.batch.drain(..).for_each(|(_, resume)| finish(resume));
            }
        }
        let pause = began.elapsed();
        let kept = kept?;
        let region = |m: &&Mapping| Region {
            range: m.range.clone(),
            name: m.path.to_string_lossy().into_owned(),
        };
        let is_image = |m: &&Mapping| !m.writable && m.file.1 != 0;
        let images = maps.iter().filter(is_image).map(|m| m.range.clone());
        let (memory, copying) = kept.finish();
        Some(Snapshot {
            regions: writable.iter().map(region).collect(),
            images: images.collect(),
            tasks,
            memory,
            pause,
            copying,
        })
    }

    /// The tasks of a process, all of which stand still, those that are about to end last.
    fn states(&self, pid: Pid, held: &[(Stopped, Stop)]) -> Vec<TaskState> {
        let still = self.batch.iter().filter(|(tid, _)| self.is_of(*tid, pid));
        let still = still.filter_map(|(_, resume)| resume.stopped());
        let stops = still.chain(held.iter().map(|(stopped, _)| stopped));
        let mut tasks: Vec<TaskState> = stops.filter_map(state).collect();
        if tasks.is_empty() {
            return tasks;
        }
        for ended in self.ending.states(pid) {
            if tasks.iter().all(|task| task.thread != ended.thread) {
                tasks.push(ended.clone());
            }
        }
        tasks
    }

    /// Keeps the memory of a process, all of whose tasks stand still; `one` of them has it.
    fn keep(
        &mut self,
        pid: Pid,
        one: Pid,
        plan: &mut snapshot_memory::Plan,
        writable: &[&Mapping],
        held: &[(Stopped, Stop)],
    ) -> Option<Kept> {
        let tasks = &self.tasks;
        let is_of = |tid: &Tid| tasks.get(tid).is_some_and(|task| task.pid == pid);
        let batch = self.batch.iter().filter_map(|(tid, resume)| match resume {
            Resume::Run(stopped) if is_of(tid) && !self.is_exiting(*tid) => Some(stopped),
            _ => None,
        });
        let interrupted = held.iter().filter_map(|(stopped, stop)| match stop {
            Stop::Interrupt => Some(stopped),
            _ => None,
        });
        let able: Vec<&Stopped> = interrupted.chain(batch).collect();
        let space = self.spaces.values_mut().find(|space| space.pid == pid);
        let machine = space.as_ref().map(|space| space.memory.machine());
        let memory = ProcessMemory::new(one, machine.unwrap_or_default());
        let kept = plan.keep(writable, &memory, || {
            let stopped = able.first().ok_or("no task can make one")?;
            let space = space.ok_or("nothing is known of it")?;
            space.snapshot_process(stopped)
        });
        kept.ok()
    }

    fn is_of(&self, tid: Tid, pid: Pid) -> bool {
        self.tasks.get(&tid).is_some_and(|task| task.pid == pid)
    }
}

/// What a task that stands still is like; `None`: it is gone.
pub(in crate::engine) fn state(stopped: &Stopped) -> Option<TaskState> {
    let regs: Regs = stopped.regs().ok()?;
    let floats: FloatRegs = stopped.float_regs().unwrap_or_default();
    let general = [
        regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.r8, regs.r9,
        regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ];
    let halves = floats.xmm.iter().flat_map(|xmm| xmm.chunks_exact(8));
    let vector = halves.map(|half| half.try_into().map_or(0, u64::from_le_bytes));
    let words = general.into_iter().chain(vector).collect();
    Some(TaskState {
        thread: stopped.tid(),
        sp: regs.rsp,
        fs_base: regs.fs_base,
        words,
    })
}
