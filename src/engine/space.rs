//! One address space: its modules, its memory, and what both instruments have put into it. Threads and vfork children share
//! it; a forked child gets a copy.

mod code;
mod copies;
mod errno;
mod guarding;
mod int3s;
mod slots;
pub mod stack;
mod threads;

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::engine::calls::Frames;
use crate::engine::instrument::inprocess::{Inherited, Recorder};
use crate::engine::instrument::int3::breakpoint::Breakpoint;
use crate::engine::instrument::int3::guard::{Guard, Unguarded};
use crate::plan::Tracepoint;
use crate::process::callsite::CallSite;
use crate::process::files::GoneFiles;
use crate::process::module::Module;
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use crate::sys::snapshot_process::SnapshotProcess;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use slots::Area;

pub use copies::Missing;
pub use guarding::{Doubt, Handler, LeftOver};
pub use int3s::{Original, Refused};
use threads::KnownThreads;

/// An address space.
#[derive(Debug)]
pub struct Space {
    /// The process whose memory it is.
    pub pid: Pid,
    /// Its memory.
    pub memory: ProcessMemory,
    /// What is loaded, the main program first.
    pub modules: Vec<Module>,
    /// The dynamic linker's `r_debug`, once known.
    pub r_debug: Option<Addr>,
    /// The `r_debug` that the dynamic linker exports, filled or not.
    pub exported_r_debug: Option<Addr>,
    /// Copies of files that are gone, made before the process was stopped.
    pub gone_files: GoneFiles,
    /// Each of its tasks has a thread pointer of its own, by which its records are known.
    pub tells_tasks_apart: bool,
    threads: KnownThreads,
    /// What records calls there without a stop, if anything does.
    pub recorder: Option<Recorder>,
    /// The patches of its maker's recorder, if it was forked and has none of its own.
    inherited: Option<Inherited>,
    /// Where a thread's errno is, against its thread pointer.
    errno: Option<i64>,
    breakpoints: BTreeMap<u64, Breakpoint>,
    /// How many were ever planted.
    planted: u64,
    areas: Vec<Area>,
    /// The slots of an earlier tracer, by the addresses that they stand for.
    old_slots: HashMap<u64, u64>,
    remote: Option<Remote>,
    guard: Option<Result<Guard, Unguarded>>,
    /// What may have happened to the guard since we looked.
    doubt: Doubt,
    call_sites: RefCell<HashMap<u64, CallSite>>,
    /// Addresses, and whether a call may return there.
    returns: RefCell<HashMap<u64, bool>>,
    /// Functions, and whether they have a branch back to their first instruction.
    loops: RefCell<HashMap<u64, bool>>,
    /// The executable mappings, as they were when one was missed.
    code: RefCell<Vec<Range<u64>>>,
}

impl Space {
    /// The space of a program that has just begun, or is being attached to.
    pub fn new(pid: Pid, machine: Machine) -> Space {
        Space {
            pid,
            memory: ProcessMemory::new(pid, machine),
            modules: Vec::new(),
            r_debug: None,
            exported_r_debug: None,
            gone_files: GoneFiles::default(),
            tells_tasks_apart: true,
            threads: KnownThreads::default(),
            recorder: None,
            inherited: None,
            errno: None,
            breakpoints: BTreeMap::new(),
            planted: 0,
            areas: Vec::new(),
            old_slots: HashMap::new(),
            remote: None,
            guard: None,
            doubt: Doubt::None,
            call_sites: RefCell::default(),
            returns: RefCell::default(),
            loops: RefCell::default(),
            code: RefCell::default(),
        }
    }

    /// Where a call returns to whose return address may lead to code of ours.
    pub fn caller(&self, return_address: Addr) -> Addr {
        let recorder = self.recorder.as_ref();
        recorder.map_or(return_address, |recorder| recorder.caller(return_address))
    }

    /// Puts other tracepoints in the place of those at these addresses of ours.
    pub fn replace(&mut self, by: &HashMap<*const Tracepoint, Arc<Tracepoint>>) {
        let other = |point: &Arc<Tracepoint>| by.get(&Arc::as_ptr(point)).cloned();
        for module in &mut self.modules {
            module.untyped.retain(|point| other(point).is_none());
            for point in &mut module.unresolved {
                *point = other(point).unwrap_or_else(|| point.clone());
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.replace(by);
        }
        for breakpoint in self.breakpoints.values_mut() {
            for purpose in &mut breakpoint.purposes {
                if let Some(point) = purpose.point_mut()
                    && let Some(other) = other(point)
                {
                    *point = other;
                }
            }
        }
    }

    /// Forgets the breakpoints of a module that is no longer mapped, and what stood for its imports
    /// elsewhere.
    pub fn forget(&mut self, range: &Range<u64>) {
        self.code.get_mut().clear();
        if let Some(recorder) = &mut self.recorder {
            recorder.forget(range);
        }
        if let Some(inherited) = &mut self.inherited {
            inherited.forget(range);
        }
        for known in [self.loops.get_mut(), self.returns.get_mut()] {
            known.retain(|at, _| !range.contains(at));
        }
        self.call_sites
            .get_mut()
            .retain(|at, _| !range.contains(at));
        self.forget_int3s(range);
    }

    /// Takes int3s and patches out of the memory, where they still stand. The code that they lead to stays: a task may
    /// be in it.
    pub fn remove_breakpoints(&mut self) {
        self.remove_int3s();
        if let Some(recorder) = &mut self.recorder {
            recorder.remove(&self.memory);
        } else if let Some(inherited) = self.inherited.take() {
            inherited.remove(&self.memory);
        }
    }

    /// Another process has the memory from now on, as the one that had it is gone.
    pub fn pass_on_to(&mut self, pid: Pid) {
        self.pid = pid;
        self.memory = ProcessMemory::new(pid, self.memory.machine());
    }

    /// A copy of the process that stands still, made by this task of its. All tasks must stand still.
    pub fn snapshot_process(&mut self, stopped: &Stopped) -> Result<SnapshotProcess, String> {
        if proc::is_init(self.pid) {
            return Err("its child would be left to itself, an init".to_owned());
        }
        let remote = self.remote(stopped).ok_or("no syscall instruction")?;
        SnapshotProcess::make(&remote, stopped, &self.memory).map_err(|why| why.to_string())
    }

    /// How this task makes system calls for us. When the first is made, all others must stand still.
    pub(in crate::engine) fn remote(&mut self, stopped: &Stopped) -> Option<Remote> {
        if self.remote.is_none() {
            self.memory.write_by(stopped);
            self.remote = Remote::settle(stopped, &self.memory);
        }
        self.remote
    }
}

impl Frames for Space {
    fn return_address(&self, frame: u64) -> Option<Addr> {
        let memory: &dyn Memory = &self.memory;
        let word = memory.read_word(Addr(frame)).ok()?;
        Some(self.caller(Addr(word)))
    }
}

/// Memory as the program has it, without our int3s and patches.
impl Memory for Space {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let got = self.memory.read(at, buf)?;
        let code = &mut buf[..got];
        self.without_int3s(at, code);
        // An int3 may stand in a patch.
        if let Some(recorder) = &self.recorder {
            recorder.original(at, code);
        }
        Ok(got)
    }

    fn machine(&self) -> Machine {
        self.memory.machine()
    }
}
