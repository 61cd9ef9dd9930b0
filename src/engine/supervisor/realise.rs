//! By which instrument tracepoints are realised: by code that records calls as far as that can be done, else by int3s.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::elf::Unwinder;
use crate::engine::instrument::inprocess::{Callee, Function, Recorder};
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::space::Space;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::plan::{Holder, Kind};
use crate::process::module::Module;
use crate::record::Caps;
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::{Remote, is_sandboxed};
use std::collections::BTreeSet;

/// By what tracepoints are realised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instrument {
    /// By int3s: each hit stops its task.
    #[default]
    Stop,
    /// By code that records calls, wherever that is possible; so much is shown of values.
    Record(Caps),
}

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
        let mut recording = Recording {
            space,
            stopped,
            caps,
            tell,
        };
        let mut refused = recording.imports(wanted);
        match may_detour {
            true => recording.functions(&mut refused),
            false => refuse_functions(&mut refused),
        }
        let left = refused.into_iter().map(|Refused { place, why }| {
            seen(tell, &place, Err(&why));
            place
        });
        let left = left.collect();
        self.begin_to_record(stopped, id, out);
        left
    }

    /// Writes code and patches into the process, and has it record.
    fn begin_to_record(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
        self.make_way(stopped, id);
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let led = lead_unwinders(space, stopped);
        space.cover_stops(stopped);
        let Some(recorder) = &mut space.recorder else {
            return;
        };
        let begun = led
            .and_then(|()| recorder.write(&space.memory))
            .and_then(|()| recorder.enable(&space.memory));
        if let Err(why) = begun {
            let what = format!("not all calls are traced: {why}");
            self.complain(stopped.tid(), &what, out);
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
            (
                !space.tells_tasks_apart,
                "processes that share its memory have one thread pointer",
            ),
            (!is_enabled, "its tasks cannot be told apart any more"),
            (
                self.plan.want_stacks()
                    && !self.plan.resources.want_samples()
                    && space.modules.iter().any(runs_scripts),
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
}

/// A place of a tracepoint's where its calls cannot be recorded: an int3 can show them.
struct Refused {
    place: (Addr, Purpose),
    why: String,
}

/// Has calls of one space recorded, while a task of it stands still.
struct Recording<'s> {
    space: &'s mut Space,
    stopped: &'s Stopped,
    caps: Caps,
    /// Where it is told what is recorded.
    tell: Option<fn(&str)>,
}

impl Recording<'_> {
    /// Has imports recorded where that can be done; gives the other places.
    fn imports(&mut self, wanted: Vec<(Addr, Purpose)>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for place in wanted {
            match self.import(place.0, &place.1) {
                Ok(()) => seen(self.tell, &place, Ok(())),
                Err(why) => refused.push(Refused { place, why }),
            }
        }
        refused
    }

    /// Has functions recorded where they begin, as far as that can be done. No task may be there.
    fn functions(&mut self, refused: &mut Vec<Refused>) {
        let mut taken: BTreeSet<Addr> = refused.iter().map(|refused| refused.place.0).collect();
        refused.retain_mut(|Refused { place, why }| {
            let (at, purpose) = &*place;
            let inside = at.offset(1)..at.offset(LONGEST_DETOUR);
            let is_at_once =
                matches!(purpose, Purpose::Entry(point) if point.holder() == Some(Holder::Process));
            let made = if taken.range(inside).next().is_some() {
                Err("another place is too near".to_owned())
            } else if is_at_once {
                Err("what it did is read while its task stands still".to_owned())
            } else {
                self.function(*at, purpose)
            };
            match made {
                Ok(()) => {
                    seen(self.tell, place, Ok(()));
                    return false;
                }
                Err(_) if matches!(purpose, Purpose::CallSite(_)) => {}
                Err(other) => *why = other,
            }
            taken.insert(*at);
            true
        });
    }

    /// Has one import recorded at one of its places.
    ///
    /// # Errors
    /// Why that cannot be done.
    fn import(&mut self, at: Addr, purpose: &Purpose) -> Result<(), String> {
        let Recording {
            space,
            stopped,
            caps,
            ..
        } = self;
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
        let (recorder, remote, memory) = recorder(space, stopped, *caps)?;
        let stub = recorder.stub(point, slot)?;
        recorder.lead(stopped, &remote, memory, (at, slot), stub)
    }

    /// Has the calls of a function recorded where it begins.
    ///
    /// # Errors
    /// Why that cannot be done.
    fn function(&mut self, at: Addr, purpose: &Purpose) -> Result<(), String> {
        let Recording {
            space,
            stopped,
            caps,
            ..
        } = self;
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
        let module = module.ok_or("it is in no module")?;
        let planned = &module.planned;
        let is_static = module.name().is_main && planned.image.interpreter.is_none();
        if planned.is_linker || is_static {
            return Err("it may run before there is a thread pointer".to_owned());
        }
        if (0..LONGEST_DETOUR).any(|offset| space.breakpoint(at.offset(offset)).is_some()) {
            return Err("a breakpoint stands there".to_owned());
        }
        let function = Function {
            entry: at,
            size: planned.size_of(module.bias.vaddr(at)),
        };
        let (_, remote, _) = recorder(space, stopped, *caps)?;
        let mut recorder = space.recorder.take().ok_or("no memory")?;
        let memory: (_, &dyn Memory) = (&space.memory, &**space);
        let made = recorder.detour(stopped, &remote, memory, function, (point, callee));
        space.recorder = Some(recorder);
        made
    }
}

/// The same where tasks may be in functions: their first instructions are not to be replaced.
fn refuse_functions(refused: &mut [Refused]) {
    for Refused { place, why } in refused {
        if !matches!(place.1, Purpose::CallSite(_)) {
            *why = "tasks may be in its first instructions".to_owned();
        }
    }
}

/// Tells, where that was asked for, by what calls are seen at a place, and why not by code that records them.
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
