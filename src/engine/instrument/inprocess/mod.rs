//! Code in the target that records calls into rings, which are read here: a call stops nobody.
//!
//! The instructions by which a module uses the slot of an import are led to the stub of its tracepoint. What code
//! is made, what lies where and what stands in a ring is the business of [`crate::record`].

pub(in crate::engine) mod area;
mod clock;
mod detours;
pub mod drain;
mod fork;
mod islands;
pub mod left;
mod patches;
mod rings;
mod stops;
mod tell;
mod walks;

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::plan::Tracepoint;
use crate::record::{Caps, Code, Layout, Out, Shape, Shared, Target, header, log};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use crate::sys::shared::SharedMemory;
use clock::Clock;
use detours::Detours;
use islands::Islands;
use patches::{Patches, Unpatched};
use rings::Rings;
use walks::Walks;

pub use detours::Function;
pub use fork::{Forked, Inherited};
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
    /// What is recorded, by its number; the first is nothing.
    points: Vec<Option<Recorded>>,
    /// The stubs of imports.
    stubs: HashMap<*const Tracepoint, u64>,
    /// Functions all calls of which are seen.
    functions: HashSet<u64>,
    /// Imports that are seen at the imported function, by the address of its jump.
    callees: HashMap<u64, Vec<Callee>>,
    shapes: HashMap<Shape, Arc<Shape>>,
    /// The slots of `_dl_find_object` whose users are led to ours.
    unwinders: HashSet<u64>,
    islands: Islands,
    detours: Detours,
    walks: Walks,
    patches: Patches,
}

/// What the records of one number are about.
#[derive(Clone, Debug)]
struct Recorded {
    point: Arc<Tracepoint>,
    /// The stub.
    stub: u64,
    /// The function's first instruction, where the jump to the stub is.
    entry: Option<Addr>,
    /// It is an import that is seen at its function, whose jump is there.
    callee: Option<(u64, Callee)>,
}

/// An import whose calls are seen at the imported function.
#[derive(Clone, Debug)]
pub struct Callee {
    /// The import.
    pub point: Arc<Tracepoint>,
    /// Where the importing module lies.
    pub caller: Range<u64>,
    /// The import's slot.
    pub slot: Addr,
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
        let detours = Detours::left(memory, Shared(shared.words()));
        // The first is none's.
        let points = vec![None; code.shapes().len()];
        let mut recorder = Recorder {
            patched: Patched {
                layout,
                code,
                caps,
                points,
                stubs: HashMap::new(),
                functions: HashSet::new(),
                callees: HashMap::new(),
                shapes: HashMap::new(),
                unwinders: HashSet::new(),
                islands,
                detours,
                walks: Walks::default(),
                patches: Patches::default(),
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
        let key = Arc::as_ptr(point);
        if let Some(stub) = self.patched.stubs.get(&key) {
            return Ok(*stub);
        }
        let stub = self.add(point, Target::Slot(slot.0), None)?;
        self.patched.stubs.insert(key, stub);
        Ok(stub)
    }

    fn add(
        &mut self,
        point: &Arc<Tracepoint>,
        target: Target,
        callee: Option<(u64, Callee)>,
    ) -> Result<u64, String> {
        let shared = Shared(self.memory.words());
        let Patched {
            code,
            caps,
            points,
            shapes,
            ..
        } = &mut self.patched;
        let shape = Shape::asking(point, *caps).map_err(|why| why.to_string())?;
        let shape = shapes
            .entry(shape)
            .or_insert_with_key(|shape| Arc::new(shape.clone()));
        let caller = callee.as_ref().map(|(_, callee)| &callee.caller);
        let made = code.add(shape, target, caller, shared);
        let stub = made.map_err(|why| why.to_string())?;
        points.resize(stub.number as usize + 1, None);
        points[stub.number as usize] = Some(Recorded {
            point: point.clone(),
            stub: stub.entry,
            entry: None,
            callee,
        });
        Ok(stub.entry)
    }

    /// Puts other tracepoints in the place of those at these addresses of ours, as soon as [`Recorder::write`] is called:
    /// it is known by now how their calls are typed. Where something else is taken of them, their stub leads to
    /// another; nobody has come to it, as there was no function to be called.
    pub fn replace(&mut self, by: &HashMap<*const Tracepoint, Arc<Tracepoint>>) {
        for number in 1..self.patched.points.len() {
            let Some(Some(recorded)) = self.patched.points.get_mut(number) else {
                continue;
            };
            let Some(other) = by.get(&Arc::as_ptr(&recorded.point)) else {
                continue;
            };
            let old = std::mem::replace(&mut recorded.point, other.clone());
            if let Some((_, callee)) = &mut recorded.callee {
                callee.point = other.clone();
            }
            let (stub, entry, callee) = (recorded.stub, recorded.entry, recorded.callee.clone());
            if let Some(known) = self.patched.stubs.remove(&Arc::as_ptr(&old)) {
                self.patched.stubs.insert(Arc::as_ptr(other), known);
            }
            let Patched { code, caps, .. } = &self.patched;
            let shape = Shape::asking(other, *caps);
            let is_same = |shape: Shape| code.shapes().get(number).is_some_and(|s| **s == shape);
            if shape.map_or(true, is_same) {
                continue;
            }
            let Some(target) = code.target(number as u32, callee.is_some(), self.shared()) else {
                continue;
            };
            // Left as it is, it shows fewer of its arguments.
            if let Ok(new) = self.add(other, target, callee) {
                self.patched.code.redirect(stub, new);
                if let Some(Some(recorded)) = self.patched.points.last_mut() {
                    recorded.entry = entry;
                }
            }
        }
        for callees in self.patched.callees.values_mut() {
            for callee in callees {
                if let Some(other) = by.get(&Arc::as_ptr(&callee.point)) {
                    callee.point = other.clone();
                }
            }
        }
    }

    /// Has the calls of a function recorded at its beginning, as soon as [`Recorder::write`] is called: all of them,
    /// or those that are an import's. Every task that may be in it must stand still. `code`: the memory without int3s
    /// of ours.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn detour(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        (memory, code): (&ProcessMemory, &dyn Memory),
        function: Function,
        (point, callee): (&Arc<Tracepoint>, Option<Callee>),
    ) -> Result<(), String> {
        if self.patched.patches.is_full() {
            return Err("there is no more room for patches".to_owned());
        }
        let Patched {
            detours, patches, ..
        } = &mut self.patched;
        let program = Unpatched {
            memory: code,
            patches,
        };
        let place = detours.place(stopped, remote, (memory, &program), function)?;
        if !place.is_led && self.patched.patches.is_near(place.at) {
            return Err("another instruction there is led to a stub".to_owned());
        }
        let stub = self.add(
            point,
            Target::Code(place.head),
            callee.clone().map(|callee| (place.at, callee)),
        )?;
        if let Some(Some(recorded)) = self.patched.points.last_mut() {
            recorded.entry = Some(function.entry);
        }
        self.patched.detours.lead(place.at, stub);
        match callee {
            Some(callee) => {
                let callees = &mut self.patched.callees;
                callees.entry(place.at).or_default().push(callee);
            }
            None => {
                self.patched.functions.insert(function.entry.0);
            }
        }
        match place.is_led {
            true => Ok(()),
            false => {
                let patches = &mut self.patched.patches;
                patches.add_jump(memory, place.at, place.slot)
            }
        }
    }

    /// Whether all calls of the function that begins there are seen.
    pub fn sees(&self, entry: Addr) -> bool {
        self.patched.functions.contains(&entry.0)
    }

    /// Has a task that stands still, and what it will come back to, leave instructions that are about to be replaced.
    pub fn make_way(&self, stopped: &Stopped, memory: &ProcessMemory) {
        self.patched.detours.make_way(stopped, memory);
    }

    /// The program's own code at an address, where it has been patched.
    pub fn original(&self, at: Addr, code: &mut [u8]) {
        self.patched.patches.original(at.0, code);
    }

    /// Whether an instruction that leads to a stub begins before this address and ends behind it.
    pub fn is_inside_patch(&self, at: Addr) -> bool {
        self.patched.patches.is_inside(at.0)
    }

    /// Where the program goes on when it returns to an address that may be a trampoline's.
    pub fn caller(&self, return_address: Addr) -> Addr {
        let code = &self.patched.code;
        Addr(code.caller(return_address.0, self.shared()))
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

    /// A seccomp filter may stand before system calls: our code makes none from now on.
    pub fn make_no_system_calls(&self) {
        self.shared().store(header::SANDBOXED, 1);
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
        self.patched.detours.write(memory)?;
        let shared = Shared(self.memory.words());
        self.patched.islands.note(shared);
        self.patched.detours.note(shared);
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
    pub fn stubs(&self) -> Vec<(Addr, Purpose)> {
        let purpose = |recorded: &Recorded| match recorded.callee.clone() {
            None => Purpose::Entry(recorded.point.clone()),
            Some((_, callee)) => Purpose::Callee {
                point: callee.point,
                caller: callee.caller,
                slot: callee.slot,
            },
        };
        let recorded = self.patched.points.iter().flatten();
        recorded
            .map(|recorded| (Addr(recorded.stub), purpose(recorded)))
            .collect()
    }

    /// Where the function begins, or the caller goes on, of a call that has come to the stub at this address.
    pub fn seen_at(&self, stub: Addr, return_address: Addr) -> Option<Addr> {
        if !self.patched.layout.code().contains(&stub.0) {
            return None;
        }
        let mut recorded = self.patched.points.iter().flatten();
        let recorded = recorded.find(|recorded| recorded.stub == stub.0)?;
        Some(recorded.entry.unwrap_or(return_address))
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

    /// Whose ring is found by this thread pointer.
    pub fn holder(&self, thread_pointer: u64) -> Option<Tid> {
        let mut rings = self.rings.used.iter();
        let ring = rings.find(|ring| ring.thread_pointer == thread_pointer)?;
        Some(ring.tid)
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
    fn past_island(&self, regs: &Regs) -> Option<Regs> {
        let rip = self.patched.islands.past(regs.rip)?;
        Some(Regs { rip, ..*regs })
    }

    /// Forgets the patches of a module that is no longer mapped.
    pub fn forget(&mut self, range: &Range<u64>) {
        self.forget_rules();
        self.patched.patches.forget(range);
        self.patched.detours.forget(range);
        self.patched.functions.retain(|at| !range.contains(at));
        self.patched.callees.retain(|at, _| !range.contains(at));
        for callees in self.patched.callees.values_mut() {
            callees.retain(|callee| callee.caller != *range);
        }
        self.patched.unwinders.retain(|slot| !range.contains(slot));
    }

    /// Puts the instructions back and has nobody record any more. Our code stays: calls return there.
    pub fn remove(&mut self, memory: &ProcessMemory) {
        self.disable(memory);
        // From now on no thread stops for us.
        self.memory.release();
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
