//! One address space: its modules, its int3s, and the pages of slots where displaced instructions run.
//! Threads and vfork children share it; a forked child gets a copy.

mod copies;
mod errno;
mod guarding;
mod slots;
pub mod stack;

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::base::regs::Regs;
use crate::base::{Pid, message};
use crate::elf::Go;
use crate::engine::calls::Frames;
use crate::engine::instrument::inprocess::{Inherited, Recorder};
use crate::engine::instrument::int3::breakpoint::{Breakpoint, INT3, Purpose, Slot};
use crate::engine::instrument::int3::displaced::{self, SLOT};
use crate::engine::instrument::int3::guard::{self, Guard, Unguarded};
use crate::plan::Tracepoint;
use crate::process::callsite::{self, CallSite};
use crate::process::files::GoneFiles;
use crate::process::goroutine::Goroutine;
use crate::process::module::Module;
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use crate::sys::snapshot_process::SnapshotProcess;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use slots::Area;

pub use copies::Missing;
pub use guarding::{Doubt, Handler, LeftOver};

/// The instruction `nop`.
const NOP: u8 = 0x90;
/// How far a function is read for branches: its end is not known.
const MOST_FUNCTION: usize = 4096;
/// What follows a call of runtime.morestack: arguments are put back into registers.
const MOST_AFTER_MORESTACK: usize = 160;
/// The instructions before a comparison of the stack pointer to its limit.
const MOST_PROLOGUE: usize = 40;

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
    /// What records calls there without a stop, if anything does.
    pub recorder: Option<Recorder>,
    /// The patches of its maker's recorder, if it was forked and has none of its own.
    inherited: Option<Inherited>,
    /// Where a thread's errno is, against its thread pointer.
    errno: Option<i64>,
    breakpoints: HashMap<u64, Breakpoint>,
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

/// Why an int3 cannot be planted at an address.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no code there.
    #[error("there is no code at {0}")]
    NoCode(Addr),
    /// The code there cannot be read.
    #[error("the code at {0} cannot be read")]
    Unreadable(Addr),
    /// A breakpoint that is not ours stands there.
    #[error("at {0} the program has a breakpoint instruction of its own")]
    NotOurs(Addr),
    /// The instruction there cannot run elsewhere.
    #[error("the instruction at {0} cannot be moved")]
    Unmovable(Addr),
    /// No page for slots could be mapped near it.
    #[error("no memory for displaced instructions can be had in the process: {0}")]
    NoRoom(String),
    /// The guard's table is full.
    #[error("a program can hold {} breakpoints, and this one does", guard::MOST)]
    Full,
    /// The process's memory cannot be written.
    #[error("cannot write to the process's memory at {at}: {}", message(why))]
    Unwritable {
        /// Where.
        at: Addr,
        /// Why.
        why: std::io::Error,
    },
}

/// Where a task really is, whose instruction pointer is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// Before the displaced instruction: at the breakpoint.
    Before(Addr),
    /// After it.
    After(Addr),
    /// In the middle of a displaced call, its return address pushed: at the breakpoint, one word up.
    Pushed(Addr),
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
            recorder: None,
            inherited: None,
            errno: None,
            breakpoints: HashMap::new(),
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

    /// The breakpoint planted at an address.
    pub fn breakpoint(&self, at: Addr) -> Option<&Breakpoint> {
        self.breakpoints.get(&at.0)
    }

    /// Where a call returns to whose return address may lead to code of ours.
    pub fn caller(&self, return_address: Addr) -> Addr {
        let recorder = self.recorder.as_ref();
        recorder.map_or(return_address, |recorder| recorder.caller(return_address))
    }

    /// The call instruction before a return address; read once.
    pub fn call_site(&self, return_address: Addr) -> CallSite {
        let mut known = self.call_sites.borrow_mut();
        *known
            .entry(return_address.0)
            .or_insert_with(|| self.read_call_site(return_address))
    }

    fn read_call_site(&self, return_address: Addr) -> CallSite {
        let module = self.module_at(return_address);
        let got = module.and_then(Module::got);
        let site = CallSite::before(self, return_address, got);
        match site {
            // By way of a register that need not hold the GOT's address.
            CallSite::Slot(slot)
                if got.is_some() && !module.is_some_and(|module| module.has_slot(slot)) =>
            {
                CallSite::Computed
            }
            site => site,
        }
    }

    /// Whether a displaced jump or call goes through its module's GOT, as far as that depends on a register.
    pub fn goes_through_got(&self, at: Addr, breakpoint: &Breakpoint, regs: &Regs) -> bool {
        let Some(base) = breakpoint.base else {
            return true;
        };
        let got = self.module_at(at).and_then(Module::got);
        got == Some(Addr(regs.by_number(base)))
    }

    fn module_at(&self, at: Addr) -> Option<&Module> {
        self.modules.iter().find(|m| m.range.contains(&at.0))
    }

    /// Whether a call instruction stands before this address, so that it may be where one returns to. Read once.
    pub fn follows_call(&self, return_address: Addr) -> bool {
        let mut known = self.returns.borrow_mut();
        *known
            .entry(return_address.0)
            .or_insert_with(|| self.read_whether_call(return_address))
    }

    fn read_whether_call(&self, return_address: Addr) -> bool {
        let code = self.code_at(return_address.offset(-8), 8);
        // The first function of a goroutine returns behind the `nop` that runtime.goexit begins with.
        let is_goexit = self.go().is_some() && code.last() == Some(&NOP);
        self.is_code(return_address)
            && code.len() == 8
            && (is_goexit || callsite::ends_with_call(self.memory.machine(), &code))
    }

    /// Facts of Go's runtime, if the program has one.
    pub fn go(&self) -> Option<Go> {
        self.modules.first()?.planned.image.go
    }

    /// Whether the arrival at a function's first instruction may be no call but a branch of its own, when an
    /// earlier arrival with the same return address is still open.
    pub fn comes_back(&self, entry: Addr, goroutine: Option<&Goroutine>) -> bool {
        let Some(goroutine) = goroutine else {
            return self.loops_to(entry);
        };
        // A function that finds no room on its stack calls runtime.morestack, which lets the goroutine go on
        // behind that call, where a jump to the beginning is. If it went on elsewhere since, this is a call that
        // comes after one that a panic has ended.
        let next = self.code_at(goroutine.resumed_at, MOST_AFTER_MORESTACK);
        let machine = self.memory.machine();
        callsite::jumps_on_to(machine, &next, goroutine.resumed_at) == Some(entry)
            || !self.grows_stack(entry) && self.loops_to(entry)
    }

    /// Whether a function of Go's begins by looking for room on the stack: with a comparison to
    /// `stackguard0`, which is 16 bytes into what %r14, or %rcx in older code, points at.
    fn grows_stack(&self, entry: Addr) -> bool {
        let code = self.code_at(entry, MOST_PROLOGUE);
        let is_check = |bytes: &[u8]| matches!(bytes, [0x3b, 0x66 | 0x61, 0x10]);
        code.windows(3).any(is_check)
    }

    /// Whether a function's code branches back to its first instruction: to arrive there once more is no
    /// call then. Read once.
    fn loops_to(&self, entry: Addr) -> bool {
        let mut known = self.loops.borrow_mut();
        *known
            .entry(entry.0)
            .or_insert_with(|| self.branches_back(entry))
    }

    fn branches_back(&self, entry: Addr) -> bool {
        let code = self.code_at(entry, MOST_FUNCTION);
        callsite::branches_to(self.memory.machine(), &code, entry)
    }

    /// Puts back what stood there before our int3s.
    fn without_int3s(&self, at: Addr, code: &mut [u8]) {
        for (byte, at) in code.iter_mut().zip(at.0..) {
            if let Some(breakpoint) = self.breakpoints.get(&at) {
                *byte = breakpoint.original;
            }
        }
    }

    /// Code as the program has it.
    fn code_at(&self, at: Addr, length: usize) -> Vec<u8> {
        let mut code = vec![0; length];
        let got = Memory::read(self, at, &mut code).unwrap_or(0);
        code.truncate(got);
        code
    }

    /// Whether there is code at this address: an int3 in data would be read, not executed.
    fn is_code(&self, at: Addr) -> bool {
        let holds = |code: &[Range<u64>]| code.iter().any(|range| range.contains(&at.0));
        if holds(&self.code.borrow()) {
            return true;
        }
        let maps = proc::maps(self.pid).unwrap_or_default();
        let executable = maps.into_iter().filter(|m| m.executable);
        let code: Vec<Range<u64>> = executable.map(|m| m.range).collect();
        let holds = holds(&code);
        self.code.replace(code);
        holds
    }

    /// Plants an int3, or adds a purpose to the one that is there. The slot is complete before the int3
    /// stands, so that no task can ever hit one without the other. `stopped` is any task of the space in
    /// a stop that no signal of the program's own caused.
    pub fn plant(&mut self, stopped: &Stopped, at: Addr, purpose: Purpose) -> Result<(), Refused> {
        if let Some(breakpoint) = self.breakpoints.get_mut(&at.0) {
            breakpoint.purposes.push(purpose);
            return Ok(());
        }
        if !self.is_code(at) {
            return Err(Refused::NoCode(at));
        }
        self.memory.write_by(stopped);
        if self.guard.is_none() {
            self.guard = Some(self.install_guard(stopped));
        }
        if matches!(&self.guard, Some(Ok(guard)) if guard.is_full()) {
            return Err(Refused::Full);
        }
        let recorder = self.recorder.as_ref();
        if recorder.is_some_and(|recorder| recorder.is_inside_patch(at)) {
            return Err(Refused::Unmovable(at));
        }
        // As it stands, with what is led to stubs: that is what runs behind the int3.
        let mut code = [0; displaced::LONGEST];
        let got = self.memory.read(at, &mut code).unwrap_or(0);
        let code = &mut code[..got];
        self.without_int3s(at, code);
        let original = *code.first().ok_or(Refused::Unreadable(at))?;
        if original == INT3 {
            return Err(Refused::NotOurs(at));
        }
        let (area, start) = self.room(stopped, at)?;
        let machine = self.memory.machine();
        let displaced =
            displaced::displace(machine, code, at, Addr(start)).ok_or(Refused::Unmovable(at))?;
        self.write(Addr(start), &displaced.code)?;
        self.take_slot(area, start, at);
        if let Some(Ok(guard)) = &mut self.guard {
            guard
                .cover(&self.memory, at, Addr(start), original)
                .map_err(|why| Refused::Unwritable { at, why })?;
        }
        self.write(at, &[INT3])?;
        // An instruction that holds an int3 makes no system calls any more.
        self.remote.take_if(|remote| remote.uses(at));
        let slot = Slot {
            start: Addr(start),
            body: displaced.body,
            next: displaced.next,
        };
        self.breakpoints.insert(
            at.0,
            Breakpoint {
                original,
                slot,
                base: displaced.base,
                number: self.planted,
                purposes: vec![purpose],
            },
        );
        self.planted += 1;
        Ok(())
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
        let areas = &mut self.areas;
        self.breakpoints.retain(|at, breakpoint| {
            let keep = !range.contains(at);
            if !keep
                && let Some(area) = areas
                    .iter_mut()
                    .find(|a| a.contains(breakpoint.slot.start.0))
            {
                area.free.push(breakpoint.slot.start.0);
            }
            keep
        });
        for breakpoint in self.breakpoints.values_mut() {
            breakpoint
                .purposes
                .retain(|p| !matches!(p, Purpose::Callee { caller, .. } if caller == range));
        }
    }

    /// Takes every int3 out of the memory, where it still stands. The slots stay: a task may be in one.
    pub fn remove_breakpoints(&mut self) {
        for (at, breakpoint) in self.breakpoints.drain() {
            // Twice, as an int3 that stays kills the program; nothing better can be done for a page that has
            // become unwritable meanwhile.
            let _ = lift(&self.memory, Addr(at), breakpoint.original)
                || lift(&self.memory, Addr(at), breakpoint.original);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.remove(&self.memory);
        } else if let Some(inherited) = self.inherited.take() {
            inherited.remove(&self.memory);
        }
    }

    /// Where a task really is, when its instruction pointer is in one of our slots.
    pub fn home(&self, rip: u64) -> Option<Original> {
        let area = self.areas.iter().find(|a| a.contains(rip))?;
        let offset = (rip - area.start) as usize;
        let at = *area.slots.get(offset / SLOT)?;
        let slot = self.breakpoints.get(&at.0)?.slot;
        Some(match offset % SLOT {
            0 => Original::Before(at),
            inside if slot.body != 0 && inside >= slot.body => Original::After(slot.next),
            _ => Original::Pushed(at),
        })
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

    fn write(&self, at: Addr, bytes: &[u8]) -> Result<(), Refused> {
        self.memory
            .write(at, bytes)
            .map_err(|why| Refused::Unwritable { at, why })
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

/// Takes one int3 out, and says whether none stands there now.
fn lift(memory: &ProcessMemory, at: Addr, original: u8) -> bool {
    let mut byte = [0];
    match memory.read(at, &mut byte) {
        Ok(_) => byte[0] != INT3 || memory.write(at, &[original]).is_ok(),
        Err(_) => false,
    }
}
