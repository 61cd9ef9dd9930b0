//! Which tracepoints code in the target records, and what the supervisor does for it: births, signals, ends.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::base::signal::Signal;
use crate::elf::Unwinder;
use crate::engine::instrument::inprocess::drain::Share;
use crate::engine::instrument::inprocess::{Callee, Claim, Forked, Function, Recorder, Whose};
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::space::Space;
use crate::engine::stacks::Runner;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::plan::{Holder, Kind};
use crate::process::module::Module;
use crate::record::Caps;
use crate::sys;
use crate::sys::interrupt;
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::{Remote, is_sandboxed};
use crate::sys::wait::{self, Patience, Status};
use nix::libc;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// By what tracepoints are realised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instrument {
    /// By int3s: each hit stops its task.
    #[default]
    Stop,
    /// By code that records calls, wherever that is possible; so much is shown of values.
    Record(Caps),
}

/// How long we sleep at least and at most when nothing was recorded: a reader on its heels would slow a thread down.
const SHORT: Duration = Duration::from_micros(50);
const LONG: Duration = Duration::from_millis(10);

/// From a function's first byte to behind what a jump may take the place of, with an `endbr64` before it.
const LONGEST_DETOUR: i64 = 10;

/// What code is to be patched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Modules {
    /// That of modules in which no task is yet, unless all stand still.
    New,
    /// Any.
    Running,
}

impl Supervisor {
    /// Has calls recorded as far as that can be done; gives what is left for int3s.
    pub(in crate::engine) fn record(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        wanted: Vec<(Addr, Purpose)>,
        modules: Modules,
        out: &mut Out<'_>,
    ) -> Vec<(Addr, Purpose)> {
        let caps = match (self.instrument, self.never_records(id)) {
            (Instrument::Record(caps), None) => caps,
            (Instrument::Record(_), Some(why)) => {
                let tell = self.on_realised;
                wanted.iter().for_each(|place| seen(tell, place, Err(why)));
                return wanted;
            }
            (Instrument::Stop, _) => return wanted,
        };
        let may_detour = modules == Modules::New || self.stands_still(id, stopped.tid());
        let tell = self.on_realised;
        let Some(space) = self.spaces.get_mut(&id) else {
            return wanted;
        };
        // Where it cannot be done, an int3 can.
        let mut left = Vec::new();
        for place in wanted {
            match record_import(space, stopped, caps, place.0, &place.1) {
                Ok(()) => seen(tell, &place, Ok(())),
                Err(why) => left.push((place, why)),
            }
        }
        let mut taken: BTreeSet<Addr> = left.iter().map(|((at, _), _)| *at).collect();
        left.retain_mut(|(place, why)| {
            let (at, purpose) = &*place;
            let inside = at.offset(1)..at.offset(LONGEST_DETOUR);
            let is_at_once =
                matches!(purpose, Purpose::Entry(point) if point.holder() == Some(Holder::Process));
            let made = if !may_detour {
                Err("tasks may be in its first instructions".to_owned())
            } else if taken.range(inside).next().is_some() {
                Err("another place is too near".to_owned())
            } else if is_at_once {
                Err("what it did is read while its task stands still".to_owned())
            } else {
                detour(space, stopped, caps, *at, purpose)
            };
            match made {
                Ok(()) => {
                    seen(tell, place, Ok(()));
                    return false;
                }
                Err(_) if matches!(purpose, Purpose::CallSite(_)) => {}
                Err(other) => *why = other,
            }
            taken.insert(*at);
            true
        });
        let left: Vec<(Addr, Purpose)> = left
            .into_iter()
            .map(|(place, why)| {
                seen(tell, &place, Err(&why));
                place
            })
            .collect();
        self.make_way(stopped, id);
        let Some(space) = self.spaces.get_mut(&id) else {
            return left;
        };
        let led = lead_unwinders(space, stopped);
        space.cover_stops(stopped);
        let Some(recorder) = &mut space.recorder else {
            return left;
        };
        let begun = led
            .and_then(|()| recorder.write(&space.memory))
            .and_then(|()| recorder.enable(&space.memory));
        if let Err(why) = begun {
            self.complain(
                stopped.tid(),
                &format!("not all calls are traced: {why}"),
                out,
            );
        }
        left
    }

    /// Whether no task of a space runs but this one, which stands still.
    fn stands_still(&self, id: SpaceId, stopped: Tid) -> bool {
        let mut tasks = self.tasks.iter().filter(|(_, task)| task.space == id);
        let is_held = |tid: Tid| self.held.iter().any(|(held, _)| held.tid() == tid);
        tasks.all(|(tid, _)| *tid == stopped || is_held(*tid))
    }

    /// Has the tasks that stand still leave instructions that are about to be replaced.
    fn make_way(&self, stopped: &Stopped, id: SpaceId) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let Some(recorder) = &space.recorder else {
            return;
        };
        for task in self.held.iter().map(|(held, _)| held).chain([stopped]) {
            recorder.make_way(task, &space.memory);
        }
    }

    /// Has a forked child record calls as its maker does. It has executed nothing yet.
    pub(in crate::engine) fn record_child(
        &mut self,
        stopped: &Stopped,
        forked: Forked,
        out: &mut Out<'_>,
    ) {
        let task = self.tasks.get(&stopped.tid());
        let Some(space) = task.and_then(|task| self.spaces.get_mut(&task.space)) else {
            return;
        };
        let remote = space
            .remote(stopped)
            .ok_or("no syscall instruction".to_owned());
        match remote.and_then(|remote| forked.record(stopped, &remote, &space.memory)) {
            Ok(recorder) => space.recorder = Some(recorder),
            Err(why) => {
                let what = format!("calls of process {} are not traced: {why}", space.pid);
                self.complain(stopped.tid(), &what, out);
            }
        }
    }

    /// From now on int3s in the stubs show calls, each by a stop. Calls that are open return to int3s as well.
    pub(in crate::engine) fn stop_at_stubs(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        self.drain(id, out, Share::All);
        let recorder = self
            .spaces
            .get(&id)
            .and_then(|space| space.recorder.as_ref());
        let Some(recorder) = recorder.filter(|recorder| recorder.is_enabled()) else {
            return;
        };
        // A task that comes to one of these goes on when we have done with this, and then records no more.
        for (at, purpose) in recorder.stubs() {
            self.plant(stopped, id, at, purpose, out);
        }
        if let Some(space) = self.spaces.get_mut(&id)
            && let Some(recorder) = &mut space.recorder
        {
            recorder.disable(&space.memory);
        }
        // What was recorded before the last of those stood.
        self.drain(id, out, Share::All);
        let tasks = self.tasks.values().filter(|task| task.space == id);
        let returns: HashSet<Addr> = tasks
            .flat_map(|task| task.calls.return_addresses())
            .collect();
        for at in returns {
            self.expect_return(stopped, id, at, out);
        }
    }

    /// Why no calls of this space's program can be recorded, if so.
    fn never_records(&self, id: SpaceId) -> Option<&'static str> {
        let space = self.spaces.get(&id)?;
        // What an interpreter runs is read in the call's own moment.
        let runs_scripts = |module: &Module| {
            let mut exports = module.planned.image.exports.iter();
            exports.any(|symbol| symbol.name == "Py_BytesMain")
        };
        let is_other = |module: &Module| matches!(module.planned.unwinder, Unwinder::Other);
        let is_enabled = space.recorder.as_ref().is_none_or(Recorder::is_enabled);
        let reasons = [
            (
                space.memory.machine() != Machine::Amd64,
                "the program is one of 32 bits",
            ),
            (!is_enabled, "its tasks cannot be told apart any more"),
            (
                self.plan.want_stacks() && space.modules.iter().any(runs_scripts),
                "stacks with the frames of scripts are read while a task stands still",
            ),
            // It looks at return addresses for that.
            (space.go().is_some(), "Go moves stacks"),
            (
                space.modules.iter().any(is_other),
                "it has an unwinder of its own",
            ),
        ];
        let found = reasons.into_iter().find(|(is_so, _)| *is_so);
        found.map(|(_, why)| why)
    }

    /// Waits for the next thing that happens to any task, reading what is recorded meanwhile. `None` when it is time
    /// to look around.
    pub(in crate::engine) fn look(
        &mut self,
        out: &mut Out<'_>,
    ) -> sys::Result<Option<(Tid, Status)>> {
        let records = |space: &Space| space.recorder.as_ref().is_some_and(Recorder::is_enabled);
        if !self.spaces.values().any(records) {
            return self.placement.look();
        }
        let ticks = interrupt::ticks();
        let mut pause = SHORT;
        loop {
            let seen = wait::look(Patience::Poll)?;
            let is_due = interrupt::ticks() != ticks || interrupt::is_requested();
            if seen.is_some() {
                return Ok(seen);
            }
            let count = self.drain_all(out, Share::Much);
            if is_due || out.request.is_some() {
                return Ok(None);
            }
            pause = match count {
                0 => (2 * pause).min(LONG),
                _ => SHORT,
            };
            wait::nap(pause);
        }
    }

    /// Tells of what tasks of this one's space have recorded before it stopped.
    pub(in crate::engine) fn drain_before(&mut self, tid: Tid, out: &mut Out<'_>) {
        if let Some(id) = self.tasks.get(&tid).map(|task| task.space) {
            self.drain(id, out, Share::All);
        }
    }

    /// A task may ask for a ring: then it goes on as it has to. Where there is none left, int3s show the calls of the
    /// whole space from now on.
    pub(in crate::engine) fn claimed(
        &mut self,
        stopped: &Stopped,
        regs: &Regs,
        out: &mut Out<'_>,
    ) -> sys::Result<bool> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(false);
        };
        let (id, pid) = (task.space, task.pid);
        let space = self.spaces.get_mut(&id);
        let Some((space, claim)) = space.and_then(|space| {
            let claim = space.recorder.as_mut()?.claimed(tid, regs)?;
            Some((space, claim))
        }) else {
            return Ok(false);
        };
        let runner = Runner {
            tid,
            pid,
            thread_pointer: regs.fs_base,
            memory: &space.memory,
        };
        // To be known when records are read, perhaps after its end.
        task.stacks.is_own(regs.rsp, runner);
        match claim {
            Claim::Given { resume } => {
                let stack = task.stacks.own_range(runner);
                if let Some((stack, recorder)) = stack.zip(space.recorder.as_ref()) {
                    recorder.set_stack(tid, &stack);
                }
                stopped.set_rip(resume)?;
            }
            Claim::NoneLeft => {
                let recorder = space.recorder.as_ref();
                let again = recorder.and_then(|recorder| recorder.out(regs, &space.memory));
                self.stop_at_stubs(stopped, id, out);
                if let Some(regs) = again {
                    stopped.set_regs(&regs)?;
                }
            }
        }
        Ok(true)
    }

    /// A signal has stopped a task that may be in the code that records. Gives where it goes on if the signal is not
    /// the program's.
    pub(in crate::engine) fn interrupted(
        &mut self,
        stopped: &Stopped,
        signal: Signal,
    ) -> sys::Result<bool> {
        let task = self.tasks.get(&stopped.tid());
        let space = task.and_then(|task| self.spaces.get(&task.space));
        let Some((space, recorder)) = space.and_then(|s| Some((s, s.recorder.as_ref()?))) else {
            return Ok(false);
        };
        let regs = stopped.regs()?;
        if matches!(signal.0, libc::SIGSEGV | libc::SIGBUS)
            && let Some(resume) = recorder.resume_after_fault(regs.rip)
            && stopped.signal_info()?.code() > 0
        {
            stopped.set_rip(resume)?;
            return Ok(true);
        }
        if let Some(regs) = recorder.out(&regs, &space.memory) {
            stopped.set_regs(&regs)?;
        }
        Ok(false)
    }

    /// A task is about to give itself a seccomp filter, or to become one that may.
    pub(in crate::engine) fn sandboxes_itself(&mut self, id: SpaceId, regs: &Regs) {
        let option = regs.rdi as i32;
        if matches!(option, libc::PR_SET_SECCOMP | libc::PR_SET_NO_NEW_PRIVS)
            && let Some(space) = self.spaces.get(&id)
            && let Some(recorder) = &space.recorder
        {
            recorder.make_no_system_calls();
        }
    }

    /// A task has gone, and all that it recorded was told.
    pub(in crate::engine) fn release_ring(&mut self, tid: Tid) {
        let space = self.tasks.get(&tid).map(|task| task.space);
        if let Some(space) = space.and_then(|id| self.spaces.get_mut(&id))
            && let Some(recorder) = &mut space.recorder
        {
            recorder.release(tid);
        }
    }

    /// A thread is about to begin that has the thread pointer of one that has ended, perhaps without our having seen it
    /// end: what that has recorded is told, and its ring is no longer found.
    pub(in crate::engine) fn take_back_ring(
        &mut self,
        maker: Tid,
        thread_pointer: u64,
        out: &mut Out<'_>,
    ) {
        let Some(id) = self.tasks.get(&maker).map(|task| task.space) else {
            return;
        };
        let holder = |space: &Space| space.recorder.as_ref()?.holder(thread_pointer);
        if let Some(tid) = self.spaces.get(&id).and_then(holder)
            && tid != maker
        {
            self.drain(id, out, Share::All);
            self.release_ring(tid);
        }
    }

    /// A task waits for its vfork child, which runs in its place, or does so no longer.
    pub(in crate::engine) fn lend_ring(&mut self, tid: Tid, whose: Whose) {
        let space = self.tasks.get(&tid).map(|task| task.space);
        if let Some(space) = space.and_then(|id| self.spaces.get_mut(&id))
            && let Some(recorder) = &mut space.recorder
        {
            recorder.lend(tid, whose);
        }
    }
}

/// Tells who wants to know it by what calls are seen at a place, and why not by code that records them.
fn seen(tell: Option<fn(&str)>, (at, purpose): &(Addr, Purpose), recorded: Result<(), &str>) {
    let (Some(tell), Some(point)) = (tell, purpose.point()) else {
        return;
    };
    let what = format!("{} in {} at {at}", point.symbol, point.module.name);
    match recorded {
        Ok(()) => tell(&format!("{what}: recorded")),
        Err(why) => tell(&format!("{what}: int3, as {why}")),
    }
}

/// Has one import recorded at one of its places.
///
/// # Errors
/// Why that cannot be done.
fn record_import(
    space: &mut Space,
    stopped: &Stopped,
    caps: Caps,
    at: Addr,
    purpose: &Purpose,
) -> Result<(), String> {
    let (Purpose::CallSite(point) | Purpose::Entry(point)) = purpose else {
        return Err("its calls are seen at the function".to_owned());
    };
    let Kind::Plt { slot } = point.kind else {
        return Err("it is a function's entry".to_owned());
    };
    if space.breakpoint(at).is_some() {
        return Err("a breakpoint stands there".to_owned());
    }
    let module = space.modules.iter().find(|m| m.range.contains(&at.0));
    let slot = module.ok_or("there is no module")?.bias.addr(slot);
    let (recorder, remote, memory) = recorder(space, stopped, caps)?;
    let stub = recorder.stub(point, slot)?;
    recorder.lead(stopped, &remote, memory, (at, slot), stub)
}

/// Has the calls of a function recorded where it begins.
///
/// # Errors
/// Why that cannot be done.
fn detour(
    space: &mut Space,
    stopped: &Stopped,
    caps: Caps,
    at: Addr,
    purpose: &Purpose,
) -> Result<(), String> {
    let (point, callee) = match purpose {
        Purpose::Entry(point)
            if matches!(point.kind, Kind::Entry { .. } | Kind::Resource { .. }) =>
        {
            (point, None)
        }
        Purpose::Callee {
            point,
            caller,
            slot,
        } => {
            let callee = Callee {
                point: point.clone(),
                caller: caller.clone(),
                slot: *slot,
            };
            (point, Some(callee))
        }
        _ => return Err("it is no function's entry".to_owned()),
    };
    // The dynamic linker's functions, and a static program's, run before there is a thread pointer.
    let module = space.modules.iter().find(|m| m.range.contains(&at.0));
    let image = &module.ok_or("it is in no module")?.planned.image;
    let is_static = module.is_some_and(|m| m.name().is_main) && image.interpreter.is_none();
    if image.is_linker() || is_static {
        return Err("it may run before there is a thread pointer".to_owned());
    }
    if (0..LONGEST_DETOUR).any(|offset| space.breakpoint(at.offset(offset)).is_some()) {
        return Err("a breakpoint stands there".to_owned());
    }
    let symbol = |module: &Module| {
        let mut exports = module.planned.image.exports.iter();
        exports
            .find(|symbol| module.bias.addr(symbol.vaddr) == at)
            .map(|symbol| symbol.size)
    };
    let function = Function {
        entry: at,
        size: module.and_then(symbol).unwrap_or_default(),
    };
    let (_, remote, _) = recorder(space, stopped, caps)?;
    let mut recorder = space.recorder.take().ok_or("no memory")?;
    let memory: (_, &dyn Memory) = (&space.memory, space);
    let made = recorder.detour(stopped, &remote, memory, function, (point, callee));
    space.recorder = Some(recorder);
    made
}

/// What records the calls of a space.
fn recorder<'s>(
    space: &'s mut Space,
    stopped: &Stopped,
    caps: Caps,
) -> Result<(&'s mut Recorder, Remote, &'s ProcessMemory), String> {
    let remote = space.remote(stopped).ok_or("no syscall instruction")?;
    if space.recorder.is_none() {
        let recorder = Recorder::new(stopped, &remote, &space.memory, caps)?;
        if is_sandboxed(stopped.tid()) {
            recorder.make_no_system_calls();
        }
        space.recorder = Some(recorder);
    }
    match &mut space.recorder {
        Some(recorder) => Ok((recorder, remote, &space.memory)),
        None => Err("no memory".to_owned()),
    }
}

/// Has unwinders find the frame information of our code.
fn lead_unwinders(space: &mut Space, stopped: &Stopped) -> Result<(), String> {
    let remote = space.remote(stopped).ok_or("no syscall instruction")?;
    let Some(recorder) = &mut space.recorder else {
        return Ok(());
    };
    for module in &space.modules {
        let Unwinder::FindObject { slot, uses } = &module.planned.unwinder else {
            continue;
        };
        let slot = module.bias.addr(*slot);
        let Some(finder) = recorder.object_finder(slot)? else {
            continue;
        };
        for at in uses.calls.iter().chain(&uses.jumps) {
            let at = module.bias.addr(*at);
            recorder.lead(stopped, &remote, &space.memory, (at, slot), finder)?;
        }
    }
    Ok(())
}
