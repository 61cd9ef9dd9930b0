//! Code in the target that records calls into rings, which are read here: a call stops nobody.
//!
//! The instructions by which a module uses the slot of an import are led to the stub of its tracepoint. What code
//! is made, what lies where and what stands in a ring is the business of [`crate::record`].

mod area;
mod clock;
pub mod drain;
mod fork;
mod islands;
pub mod left;
mod patches;
mod rings;
mod stops;
mod tell;

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::plan::Tracepoint;
use crate::record::{Caps, Code, Layout, Out, Shape, Shared, Target, log};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use crate::sys::shared::SharedMemory;
use clock::Clock;
use islands::Islands;
use patches::Patches;
use rings::Rings;

pub use fork::Forked;
pub use rings::Whose;
pub use stops::Claim;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// So many trampolines are made at once: one for each place that calls a function.
const TRAMPOLINES: u64 = 8192;

/// What records the calls of one address space.
pub struct Recorder {
    patched: Patched,
    memory: SharedMemory,
    rings: Rings,
    clock: Clock,
    /// Not [disabled](Recorder::disable).
    is_enabled: bool,
    /// No instruction is led to our code any more.
    is_removed: bool,
}

/// What has been made in a process, and is in the memory of a child that it forks as well.
#[derive(Clone)]
struct Patched {
    layout: Layout,
    code: Code,
    caps: Caps,
    /// The tracepoints by their numbers; the first is none's.
    points: Vec<Option<Arc<Tracepoint>>>,
    stubs: HashMap<*const Tracepoint, u64>,
    shapes: HashMap<Shape, Arc<Shape>>,
    /// The slots of `_dl_find_object` whose users are led to ours.
    unwinders: HashSet<u64>,
    islands: Islands,
    patches: Patches,
    /// The instruction pointers behind int3s of ours that were asked for.
    stops: HashSet<u64>,
}

impl Recorder {
    /// Maps what is needed into a process, by this task of its. Nothing is recorded yet.
    ///
    /// # Errors
    /// Why that cannot be done, in the user's words.
    pub fn new(
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
        caps: Caps,
    ) -> Result<Recorder, String> {
        let maps = proc::maps(memory.pid()).map_err(|why| why.to_string())?;
        let left = area::left(&maps).find_map(|layout| Some((layout, Code::left(layout, memory)?)));
        let (layout, code, shared) = match left {
            Some((layout, (code, tables))) => {
                let fill = |shared: Shared<'_>| tables.store(shared);
                let shared = area::map_shared(stopped, remote, memory, layout, fill)?;
                (layout, code, shared)
            }
            None => {
                let (layout, shared) = area::map(stopped, remote, memory)?;
                let code = Code::new(layout, TRAMPOLINES).map_err(|why| why.to_string())?;
                (layout, code, shared)
            }
        };
        let islands = Islands::left(memory, Shared(shared.words()));
        // The first is none's.
        let points = vec![None; code.shapes().len()];
        let mut recorder = Recorder {
            patched: Patched {
                layout,
                code,
                caps,
                points,
                stubs: HashMap::new(),
                shapes: HashMap::new(),
                unwinders: HashSet::new(),
                islands,
                patches: Patches::default(),
                stops: HashSet::new(),
            },
            memory: shared,
            rings: Rings::new(layout),
            clock: Clock::new(),
            is_enabled: true,
            is_removed: false,
        };
        recorder.write_code(memory)?;
        Ok(recorder)
    }

    fn shared(&self) -> Shared<'_> {
        Shared(self.memory.words())
    }

    /// The stub of a tracepoint whose function's address is in this slot.
    ///
    /// # Errors
    /// Why its calls cannot be recorded.
    pub fn stub(&mut self, point: &Arc<Tracepoint>, slot: Addr) -> Result<u64, String> {
        let shared = Shared(self.memory.words());
        let Patched {
            code,
            caps,
            points,
            stubs,
            shapes,
            ..
        } = &mut self.patched;
        if let Some(stub) = stubs.get(&Arc::as_ptr(point)) {
            return Ok(*stub);
        }
        let shape = Shape::asking(point, *caps).map_err(|why| why.to_string())?;
        let shape = shapes
            .entry(shape)
            .or_insert_with_key(|shape| Arc::new(shape.clone()));
        let made = code.add(shape, Target::Slot(slot.0), shared);
        let stub = made.map_err(|why| why.to_string())?;
        points.resize(stub.number as usize + 1, None);
        points[stub.number as usize] = Some(point.clone());
        stubs.insert(Arc::as_ptr(point), stub.entry);
        Ok(stub.entry)
    }

    /// What is to be called in the place of the `_dl_find_object` whose address is in this slot, so that unwinders find
    /// their way through our code. `None`: it is in its place.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn object_finder(&mut self, slot: Addr) -> Result<Option<u64>, String> {
        if !self.patched.unwinders.insert(slot.0) {
            return Ok(None);
        }
        let shared = Shared(self.memory.words());
        let made = self.patched.code.add_find_object(slot.0, shared);
        // It has a number like tracepoints.
        self.patched.points.push(None);
        made.map(Some).map_err(|why| why.to_string())
    }

    /// Where errno is, against the thread pointer.
    pub fn set_errno(&self, offset: Option<i64>) {
        self.patched.code.set_errno(offset, self.shared());
    }

    /// Leads the instruction at this address, which uses the slot of an import, to a stub, as soon as
    /// [`Recorder::write`] is called.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn lead(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
        (at, slot): (Addr, Addr),
        stub: u64,
    ) -> Result<(), String> {
        if self.patched.patches.is_full() {
            return Err("there is no more room for patches".to_owned());
        }
        let target = self
            .patched
            .islands
            .towards(stopped, remote, memory, at, stub)?;
        self.patched.patches.add(memory, at, slot, target)
    }

    /// Writes code and patches into the target.
    ///
    /// # Errors
    /// Its memory cannot be written.
    pub fn write(&mut self, memory: &ProcessMemory) -> Result<(), String> {
        self.write_code(memory)?;
        let shared = Shared(self.memory.words());
        self.patched.islands.note(shared);
        self.patched.patches.write(memory, shared)
    }

    fn write_code(&mut self, memory: &ProcessMemory) -> Result<(), String> {
        for piece in self.patched.code.take_written() {
            let written = memory.write(Addr(piece.at), &piece.bytes);
            written.map_err(|why| format!("cannot write code into the process: {why}"))?;
        }
        self.patched.code.publish(Shared(self.memory.words()));
        Ok(())
    }

    /// Makes more trampolines before the last is used. Without one a call's return is not recorded.
    fn make_trampolines(&mut self, memory: &ProcessMemory) {
        if self.patched.code.is_short_of_trampolines(self.shared()) {
            self.patched.code.add_trampolines(TRAMPOLINES);
            // It is tried again when more has been recorded.
            let _ = self.write_code(memory);
        }
    }

    /// The stubs, and what is called by way of them.
    pub fn stubs(&self) -> Vec<(Addr, Arc<Tracepoint>)> {
        let Patched { points, stubs, .. } = &self.patched;
        let points = points.iter().flatten();
        let stub = |point: &Arc<Tracepoint>| stubs.get(&Arc::as_ptr(point)).copied();
        points
            .filter_map(|point| Some((Addr(stub(point)?), point.clone())))
            .collect()
    }

    /// From now on no call is recorded, and functions are called by way of our code as if it were not there.
    pub fn disable(&mut self, memory: &ProcessMemory) {
        self.is_enabled = false;
        // A process that is gone needs nothing.
        let _ = memory.write(Addr(self.patched.layout.enabled()), &[0]);
        self.rings.wake_all(&self.memory);
    }

    /// Whether calls are recorded.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// From now on calls are recorded.
    ///
    /// # Errors
    /// The process's memory cannot be written.
    pub fn enable(&self, memory: &ProcessMemory) -> Result<(), String> {
        let written = memory.write(Addr(self.patched.layout.enabled()), &[1]);
        written.map_err(|why| format!("cannot write to the process: {why}"))
    }

    /// Gives a task with this thread pointer a ring.
    pub fn assign(&mut self, tid: Tid, thread_pointer: u64) -> bool {
        let shared = Shared(self.memory.words());
        thread_pointer != 0 && self.rings.assign(shared, tid, thread_pointer)
    }

    /// A task has gone; what it has recorded has been read.
    pub fn release(&mut self, tid: Tid) {
        self.rings.release(Shared(self.memory.words()), tid);
    }

    /// What a task records from now on is not its own: a child runs in its place that shares its memory.
    pub fn lend(&mut self, tid: Tid, whose: Whose) {
        self.rings.lend(tid, whose);
    }

    /// Where a task goes on whose load of ours has found a page gone.
    pub fn resume_after_fault(&self, ip: u64) -> Option<u64> {
        self.patched.code.labels().resume_after_fault(ip)
    }

    /// The registers with which a task is out of our code, where it must be taken out.
    pub fn out(&self, regs: &Regs, memory: &dyn Memory) -> Option<Regs> {
        if let Some(regs) = self.past_island(regs) {
            return Some(regs);
        }
        match self.patched.code.labels().out(regs, memory) {
            // No system call is restarted.
            Out::Restart(regs) => Some(Regs {
                orig_rax: !0,
                ..*regs
            }),
            // A few instructions without loops or calls, after the record was written.
            Out::Step | Out::Not => None,
        }
    }

    /// The registers with which a task has left the jump to a stub behind it, if it stands there.
    pub fn past_island(&self, regs: &Regs) -> Option<Regs> {
        let rip = self.patched.islands.past(regs.rip)?;
        Some(Regs { rip, ..*regs })
    }

    /// Forgets the patches of a module that is no longer mapped.
    pub fn forget(&mut self, range: &Range<u64>) {
        self.patched.patches.forget(range);
        self.patched.unwinders.retain(|slot| !range.contains(slot));
    }

    /// Puts the instructions back and has nobody record any more. Our code stays: calls return there.
    pub fn remove(&mut self, memory: &ProcessMemory) {
        self.disable(memory);
        self.is_removed = self.patched.patches.undo(memory);
        if self.is_removed {
            log::clear(self.shared());
        }
        // The process keeps the mapping, but not what was recorded.
        self.memory.discard(self.patched.layout.all_rings());
    }

    /// Unmaps what is no longer needed after that. No task may be on the way to a stub.
    pub fn unmap_islands(&mut self, stopped: &Stopped, remote: &Remote, memory: &ProcessMemory) {
        if self.is_removed {
            self.patched.islands.unmap(stopped, remote, memory);
            self.patched.islands.note(self.shared());
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("layout", &self.patched.layout)
            .finish_non_exhaustive()
    }
}
