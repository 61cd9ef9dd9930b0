//! The modules of a program: found through the dynamic linker, planned once a file, their tracepoints
//! turned into breakpoints.

use crate::base::addr::{Addr, Bias, Vaddr};
use crate::base::memory::Memory;
use crate::base::message;
use crate::debug::Bytes;
use crate::elf::Image;
use crate::engine::hit::What;
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::space::{Refused, Space};
use crate::engine::supervisor::explain::leak_sanitizer;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::realise::Modules;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::plan::{Kind, Point, Sites, Wanted};
use crate::process::linkmap;
use crate::process::module::{FileKey, Found, Module, Planned};
use crate::sys::ptrace::Stopped;
use crate::sys::{file, proc};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

impl Supervisor {
    /// Makes the modules of a space those of the dynamic linker's list, as far as it has come.
    pub(in crate::engine) fn modules_changed(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        let Some((r_debug, debug)) = self.debug(id) else {
            return;
        };
        self.watch_list(stopped, id, debug.brk, out);
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let list = linkmap::modules(&space.memory, r_debug);
        for module in take_gone(space, &list) {
            let what = What::Unloaded {
                module: module.name(),
                range: module.range.clone(),
            };
            out.tell(space.pid, stopped.tid(), what);
        }
        let news = new_in(space, &list);
        let is_unknown = self.program(id).is_none();
        let is_empty = news.is_empty();
        for found in news {
            if self.is_ending() {
                break;
            }
            let added = found.and_then(|found| self.add(stopped, id, &found, out));
            if let Err(why) = added {
                self.complain(stopped.tid(), &why, out);
            }
        }
        let begins = self.program(id).map(Module::entry).filter(|_| is_unknown);
        if !is_empty {
            self.plant_all(stopped, id, out);
        }
        if let Some(entry) = begins {
            self.plant(stopped, id, entry, Purpose::Relocated, out);
        }
        self.find_chosen(stopped, id, out);
    }

    /// The program of a space, once it is known.
    pub(in crate::engine) fn program(&self, id: SpaceId) -> Option<&Module> {
        let modules = &self.spaces.get(&id)?.modules;
        modules.iter().find(|m| m.name().is_main)
    }

    /// Plants breakpoints at the callees of imports whose slots the dynamic linker has filled by now.
    pub(in crate::engine) fn resolve_imports(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        space.find_errno();
        let maps = proc::maps(space.pid).unwrap_or_default();
        let is_code = |at: Addr| maps.iter().any(|m| m.executable && m.contains(at));
        let mut callees = Vec::new();
        let Space {
            modules, memory, ..
        } = space;
        let memory: &dyn Memory = memory;
        for module in modules {
            let (bias, range) = (module.bias, module.range.clone());
            module.unresolved.retain(|point| {
                let Kind::Plt { slot } = point.kind else {
                    return false;
                };
                let slot = bias.addr(slot);
                let callee = Addr(memory.read_word(slot).unwrap_or(0));
                let found = is_code(callee);
                if found {
                    callees.push((
                        callee,
                        Purpose::Callee {
                            point: point.clone(),
                            caller: range.clone(),
                            slot,
                        },
                    ));
                }
                !found
            });
        }
        self.realise(stopped, id, callees, Modules::Running, out);
        self.find_chosen(stopped, id, out);
    }

    /// Adds a module to a space, its file planned, its breakpoints still to be planted.
    pub(in crate::engine) fn add(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        found: &Found,
        out: &mut Out<'_>,
    ) -> Result<(), String> {
        let planned = self
            .planned(found)
            .map_err(|why| format!("{}: {why}", found.path))?;
        let Some(space) = self.spaces.get_mut(&id) else {
            return Ok(());
        };
        let module = Module::new(planned.clone(), found);
        let what = What::Loaded {
            module: &planned.name,
            range: module.range.clone(),
            bias: module.bias,
            file: self.plan.want_files().then_some(&found.file),
        };
        let pid = space.pid;
        out.tell(pid, stopped.tid(), what);
        // The program comes first.
        let place = match planned.name.is_main {
            true => 0,
            false => space.modules.len(),
        };
        space.modules.insert(place, module);
        self.matched.extend(&planned.matched);
        for why in planned.taken.iter().chain(&planned.refused) {
            self.complain(stopped.tid(), why, out);
        }
        if let Some(why) = leak_sanitizer(pid, &planned.image, &planned.name.name) {
            self.complain(stopped.tid(), &why, out);
        }
        Ok(())
    }

    pub(in crate::engine) fn planned(&mut self, found: &Found) -> Result<Arc<Planned>, String> {
        let key = FileKey::of(&found.file).map_err(|e| message(&e))?;
        let key = (key, found.started_as.clone());
        let path = found.path.clone();
        if let Some(planned) = self.images.get(&key) {
            return Ok(planned.clone());
        }
        let bytes = file::map(&found.file).map_err(|e| message(&e))?;
        let image = Image::parse(&bytes).map_err(|e| e.to_string())?;
        let name = Arc::new(found.name(&image));
        let signal_actions = image.signal_actions(&bytes);
        let clones = match self.plan.entries.is_empty() {
            true => Vec::new(),
            false => image.clones(&bytes),
        };
        let unwinder = image.unwinder(&bytes);
        let errno = image.errno(&bytes);
        let found = self.plan.points(&image, &bytes, &name);
        let bytes = Bytes::from(bytes);
        self.debug
            .add(key.0.clone(), &name.name, path, bytes.clone());
        let planned = Arc::new(Planned {
            key: key.0.clone(),
            name,
            is_linker: image.is_linker(),
            image,
            points: found.points,
            matched: found.matched,
            is_stripped: found.is_stripped,
            heard: found.heard,
            refused: found.refused,
            errno,
            signal_actions,
            clones,
            file: self.plan.want_stacks().then_some(bytes),
            unwinder,
            taken: found.taken,
            sizes: OnceLock::new(),
        });
        self.images.insert(key, planned.clone());
        Ok(planned)
    }

    /// Plants the breakpoints of all modules that are not planted yet.
    pub(in crate::engine) fn plant_all(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let images = space.modules.iter().map(|m| (&m.planned.image, m.name()));
        let provided = self.plan.provided(images);
        let mut firsts = HashSet::new();
        let mut wanted = Vec::new();
        let mut initializers = Vec::new();
        for module in &mut space.modules {
            let planned = module.planned.clone();
            for (point, is_planted) in planned.points.iter().zip(&mut module.planted) {
                let symbol = &point.tracepoint.symbol;
                let is_wanted = match point.wanted {
                    Wanted::Always => true,
                    Wanted::IfProvided => provided.contains(&**symbol),
                    Wanted::IfFirst => firsts.insert((module.namespace, symbol.clone())),
                };
                if !*is_planted && is_wanted {
                    *is_planted = true;
                    self.provided |= self.plan.resources.expects(&point.tracepoint);
                    wanted.extend(places(point, module.bias));
                    if point.sees_callee() {
                        module.unresolved.push(point.tracepoint.clone());
                    }
                    if matches!(point.tracepoint.kind, Kind::Plt { .. }) {
                        module.untyped.push(point.tracepoint.clone());
                    }
                    if let Sites::Chosen { resolver } = point.sites {
                        module.unchosen.push((resolver, point.tracepoint.clone()));
                    }
                }
            }
            if !module.unresolved.is_empty()
                && let Some(init) = planned.image.init
            {
                initializers.push(module.bias.addr(init));
            }
        }
        self.planted |= !wanted.is_empty();
        self.type_imports(id, &mut wanted);
        self.type_entries(id, &mut wanted);
        self.realise(stopped, id, wanted, Modules::New, out);
        for at in initializers {
            self.plant_relocated(stopped, id, at, out);
        }
        self.watch_functions(stopped, id, out);
        self.watch_recorded(stopped, id, out);
        self.watch_actions(stopped, id, out);
        if let Some(space) = self.spaces.get_mut(&id) {
            space.find_errno();
        }
    }

    /// Has calls seen at these places, by code that records them or by int3s.
    pub(in crate::engine) fn realise(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        wanted: Vec<(Addr, Purpose)>,
        modules: Modules,
        out: &mut Out<'_>,
    ) {
        for (at, purpose) in self.record(stopped, id, wanted, modules, out) {
            if self.is_ending() {
                break;
            }
            // An int3 sees all calls.
            if let Some(point) = purpose.point().filter(|point| point.sample().is_some()) {
                let what = format!(
                    "no samples are taken of {}: its calls cannot be recorded",
                    point.module.name
                );
                self.complain(stopped.tid(), &what, out);
                continue;
            }
            self.plant(stopped, id, at, purpose, out);
        }
    }

    pub(in crate::engine) fn plant(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        purpose: Purpose,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self
            .spaces
            .get_mut(&id)
            .filter(|_| !self.is_tracing_stopped)
        else {
            return;
        };
        let name = purpose.name();
        let is_return = matches!(purpose, Purpose::Return);
        let refused = space
            .plant(stopped, at, purpose)
            .err()
            // Behind a call that does not return, there may be padding.
            .filter(|why| !is_return || !matches!(why, Refused::NotOurs(_)))
            .map(|why| match why {
                // One line for all the rest.
                Refused::Full => format!("not every call is traced: {why}; a narrower -e helps"),
                // One line for all.
                Refused::NoRoom(_) => format!("not all calls can be traced: {why}"),
                _ => format!("{name} cannot be traced: {why}"),
            });
        let unguarded = space
            .unguarded()
            .map(|why| format!("a kill -9 of ltrace would kill the program: {why}"));
        for what in [refused, unguarded].into_iter().flatten() {
            self.complain(stopped.tid(), &what, out);
        }
    }
}

/// Where a point's breakpoints go.
fn places(point: &Point, bias: Bias) -> Vec<(Addr, Purpose)> {
    let tracepoint = &point.tracepoint;
    let entry = |&at: &Vaddr| (bias.addr(at), Purpose::Entry(tracepoint.clone()));
    match &point.sites {
        Sites::Entry(at) => vec![entry(at)],
        Sites::Code { calls, jumps } => {
            let call = |&at: &Vaddr| (bias.addr(at), Purpose::CallSite(tracepoint.clone()));
            calls
                .iter()
                .map(call)
                .chain(jumps.iter().map(entry))
                .collect()
        }
        Sites::Callee { jumps } => jumps.iter().map(entry).collect(),
        Sites::Chosen { .. } => Vec::new(),
    }
}

/// Takes out the modules that are no longer listed, and what is known of their places.
fn take_gone(space: &mut Space, list: &[linkmap::Entry]) -> Vec<Module> {
    let is_listed = |m: &Module| {
        let mut list = list.iter();
        list.any(|e| e.bias == m.bias && dynamic(m) == Some(e.dynamic))
    };
    let stays = |m: &Module| m.name().is_main || is_listed(m);
    let (kept, gone) = std::mem::take(&mut space.modules)
        .into_iter()
        .partition(stays);
    space.modules = kept;
    let gone: Vec<Module> = gone;
    for module in &gone {
        space.forget(&module.range);
    }
    gone
}

/// The modules that are listed, mapped and not known yet. Without a program, the first that is not the dynamic
/// linker is the one that it runs.
fn new_in(space: &Space, list: &[linkmap::Entry]) -> Vec<Result<Found, String>> {
    let known: Vec<_> = space.modules.iter().map(|m| (m.bias, dynamic(m))).collect();
    let mut has_program = space.modules.iter().any(|m| m.name().is_main);
    let maps = proc::maps(space.pid).unwrap_or_default();
    let mut found = Vec::new();
    let is_new = |e: &&linkmap::Entry| !known.contains(&(e.bias, Some(e.dynamic)));
    for entry in list.iter().filter(is_new) {
        let Some(new) = Found::at(
            space.pid,
            &maps,
            entry.dynamic,
            entry.bias,
            &space.memory,
            &space.gone_files,
        ) else {
            continue;
        };
        let is_program = !std::mem::replace(&mut has_program, true);
        found.push(new.map(|new| match is_program {
            true => new.run_by_linker(),
            false => Found {
                namespace: entry.namespace,
                ..new
            },
        }));
    }
    found
}

fn dynamic(module: &Module) -> Option<Addr> {
    module.planned.image.dynamic.map(|at| module.bias.addr(at))
}
