//! Code in the target that records calls into rings, which are read here: a call stops no thread.
//!
//! The instructions by which a module uses the slot of an import are led to the stub of its tracepoint. What code
//! is made, what lies where and what stands in a ring is told by [`crate::record`].

pub(in crate::engine) mod area;
mod clock;
mod detours;
pub mod drain;
mod fork;
mod formats;
mod islands;
pub mod left;
mod merge;
mod operators;
mod patches;
mod removal;
mod rings;
mod samples;
mod stops;
mod stubs;
mod tell;
mod walks;

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::plan::Tracepoint;
use crate::record::{Caps, Code, Layout, Out, Shape, Shared, header};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use crate::sys::shared::SharedMemory;
use clock::Clock;
use detours::Detours;
use islands::Islands;
use merge::Queue;
use operators::Operators;
use patches::Patches;
use rings::Rings;
use samples::Samples;
use stubs::Recorded;
use walks::Walks;

pub use detours::Function;
pub use fork::{Forked, Inherited};
pub use rings::Whose;
pub use stops::Claim;
pub use stubs::Callee;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// So many trampolines are made at once: one for each place that calls a function.
const TRAMPOLINES: u64 = 8192;

/// What records the calls of one address space.
pub struct Recorder {
    patched: Patched,
    memory: SharedMemory,
    rings: Rings,
    /// Kept for its memory.
    queue: Queue,
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
    /// The stubs that jumps by way of an import's slot are led to, as in a PLT, by their addresses.
    jumps: HashMap<u64, u64>,
    /// Imports that are seen at the imported function, by the address of its jump.
    callees: HashMap<u64, Vec<Callee>>,
    shapes: HashMap<Shape, Arc<Shape>>,
    /// The slots of `_dl_find_object` whose users are led to ours.
    unwinders: HashSet<u64>,
    islands: Islands,
    operators: Operators,
    detours: Detours,
    walks: Walks,
    samples: Samples,
    patches: Patches,
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
        // The first stands for none.
        let points = vec![None; code.shapes().len()];
        let patched = Patched {
            layout,
            code,
            caps,
            points,
            stubs: HashMap::new(),
            functions: HashSet::new(),
            jumps: HashMap::new(),
            callees: HashMap::new(),
            shapes: HashMap::new(),
            unwinders: HashSet::new(),
            islands,
            operators: Operators::default(),
            detours,
            walks: Walks::default(),
            samples: Samples::default(),
            patches: Patches::default(),
        };
        let mut recorder = Recorder::of(patched, shared);
        recorder.write_code(memory)?;
        Ok(recorder)
    }

    /// What records by code that has been made, in memory that is shared with the process.
    fn of(patched: Patched, memory: SharedMemory) -> Recorder {
        let recorder = Recorder {
            rings: Rings::new(patched.layout),
            patched,
            memory,
            queue: Queue::default(),
            clock: Clock::new(),
            is_enabled: true,
            is_removed: false,
        };
        recorder.publish_operators();
        recorder
    }

    fn shared(&self) -> Shared<'_> {
        Shared(self.memory.words())
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

    /// Where errno is, against the thread pointer.
    pub fn set_errno(&self, offset: Option<i64>) {
        self.patched.code.set_errno(offset, self.shared());
    }

    /// A seccomp filter may stand before system calls: our code makes none from now on.
    pub fn make_no_system_calls(&self) {
        self.shared().store(header::SANDBOXED, 1);
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
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("layout", &self.patched.layout)
            .finish_non_exhaustive()
    }
}
