//! The modules of a program: found through the dynamic linker, planned once a file, their tracepoints
//! turned into breakpoints.

use super::What;
use super::privileges;
use super::ptrace::{Out, PtraceEngine};
use super::task::SpaceId;
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::base::memory::Memory;
use crate::base::{Pid, message};
use crate::elf::Image;
use crate::plan::{Point, Sites, Wanted};
use crate::sys::ptrace::Stopped;
use crate::sys::{file, proc};
use crate::tracee::breakpoint::Purpose;
use crate::tracee::linkmap;
use crate::tracee::module::{FileKey, Found, Module, Planned};
use crate::tracee::space::{Refused, Space};
use nix::libc;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The names under which dynamic linkers export the function that `r_brk` points to.
const BRK_NAMES: [&str; 2] = ["_dl_debug_state", "__dl_debug_state"];

/// How far the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its first instruction, the dynamic linker's, is still to come.
    Beginning,
    /// It runs.
    Running,
}

impl PtraceEngine {
    /// Plants what is to be seen of a program: at its beginning, or in the middle of its life.
    pub(super) fn program_found(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        stage: Stage,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let aux = proc::auxv(space.pid, space.memory.machine()).unwrap_or_default();
        let aux: HashMap<u64, u64> = aux.into_iter().collect();
        let entry = aux.get(&libc::AT_ENTRY).copied().unwrap_or(0);
        let pid = space.pid;
        let execfn = self.text_at(id, aux.get(&libc::AT_EXECFN).copied().unwrap_or(0));
        if let Err(why) = self.add_program(stopped, id, entry, &execfn, out) {
            return self.complain(stopped.tid(), &why, out);
        }
        if stage == Stage::Beginning {
            let base = aux.get(&libc::AT_BASE).copied().unwrap_or(0);
            self.watch_linker(stopped, id, base, out);
            if let Some(why) = privileges::lost(pid) {
                self.complain(stopped.tid(), &why, out);
            }
            self.plant(stopped, id, Addr(entry), Purpose::Relocated, out);
        }
        self.modules_changed(stopped, id, out);
        if stage == Stage::Running {
            self.resolve_imports(stopped, id, out);
        }
    }

    /// Makes the modules of a space those of the dynamic linker's list.
    pub(super) fn modules_changed(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let Some(list) = listed(space) else { return };
        let pid = space.pid;
        let stays = |m: &Module| {
            m.name().is_main
                || list
                    .iter()
                    .any(|e| e.bias == m.bias && dynamic(m) == Some(e.dynamic))
        };
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut space.modules)
            .into_iter()
            .partition(stays);
        space.modules = kept;
        for module in &gone {
            space.forget(&module.range);
        }
        let known: Vec<_> = space.modules.iter().map(|m| (m.bias, dynamic(m))).collect();
        let maps = proc::maps(pid).unwrap_or_default();
        let is_new = |e: &&linkmap::Entry| !known.contains(&(e.bias, Some(e.dynamic)));
        let news: Vec<Result<Found, String>> = list
            .iter()
            .filter(is_new)
            .filter_map(|e| Found::at(pid, &maps, e.dynamic, e.bias, &space.memory))
            .collect();
        for module in gone {
            out.tell(
                pid,
                stopped.tid(),
                What::Unloaded {
                    module: module.name(),
                    range: module.range.clone(),
                },
            );
        }
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
        if !is_empty {
            self.plant_all(stopped, id, out);
        }
        self.find_chosen(stopped, id, out);
    }

    /// Plants breakpoints at the callees of imports whose slots the dynamic linker has filled by now.
    pub(super) fn resolve_imports(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
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
                let crate::plan::Kind::Plt { slot } = point.kind else {
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
        for (callee, purpose) in callees {
            self.plant(stopped, id, callee, purpose, out);
        }
        self.find_chosen(stopped, id, out);
    }

    fn text_at(&self, id: SpaceId, at: u64) -> String {
        let memory = self
            .spaces
            .get(&id)
            .map(|space| &space.memory as &dyn Memory);
        let text = memory.and_then(|memory| memory.read_c_string(Addr(at), 4096).ok());
        text.map_or(String::new(), |(text, _)| {
            String::from_utf8_lossy(&text).into_owned()
        })
    }

    fn add_program(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        entry: u64,
        execfn: &str,
        out: &mut Out<'_>,
    ) -> Result<(), String> {
        let pid = self
            .spaces
            .get(&id)
            .map_or(Pid(stopped.tid().0), |space| space.pid);
        let unreadable = |e| privileges::unreadable(pid, e);
        let mut found = Found::program(pid, execfn, Bias(0)).map_err(unreadable)?;
        let bytes = file::map(&found.file).map_err(unreadable)?;
        let image = Image::parse(&bytes).map_err(|e| format!("{}: {e}", found.path))?;
        found.bias = Bias(entry.wrapping_sub(image.entry.0));
        self.add(stopped, id, &found, out)?;
        self.plant_all(stopped, id, out);
        Ok(())
    }

    /// Watches the dynamic linker from its very beginning, where it says what its `r_brk` is called.
    fn watch_linker(&mut self, stopped: &Stopped, id: SpaceId, base: u64, out: &mut Out<'_>) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let maps = proc::maps(space.pid).unwrap_or_default();
        let found = Found::at(space.pid, &maps, Addr(base), Bias(base), &space.memory);
        let Some(Ok(found)) = found else {
            return;
        };
        let Ok(bytes) = file::map(&found.file) else {
            return;
        };
        let Ok(image) = Image::parse(&bytes) else {
            return;
        };
        let brk = image
            .exports
            .iter()
            .find(|symbol| BRK_NAMES.contains(&symbol.name.as_str()));
        if let Some(brk) = brk {
            self.plant(
                stopped,
                id,
                found.bias.addr(brk.vaddr),
                Purpose::LinkMap,
                out,
            );
        }
    }

    /// Adds a module to a space, its file planned, its breakpoints still to be planted.
    fn add(
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
        let module = Module::new(planned.clone(), found.bias);
        let what = What::Loaded {
            module: &planned.name,
            range: module.range.clone(),
            bias: module.bias,
            file: self.plan.resources.want_stacks().then_some(&found.file),
        };
        out.tell(space.pid, stopped.tid(), what);
        space.modules.push(module);
        self.matched.extend(&planned.matched);
        for why in &planned.refused {
            self.complain(stopped.tid(), why, out);
        }
        Ok(())
    }

    fn planned(&mut self, found: &Found) -> Result<Arc<Planned>, String> {
        let key = FileKey::of(&found.file).map_err(|e| message(&e))?;
        let key = (key, found.started_as.clone());
        if let Some(planned) = self.images.get(&key) {
            return Ok(planned.clone());
        }
        let bytes = file::map(&found.file).map_err(|e| message(&e))?;
        let image = Image::parse(&bytes).map_err(|e| e.to_string())?;
        let name = Arc::new(found.name(&image));
        let found = self.plan.points(&image, &bytes, &name);
        let planned = Arc::new(Planned {
            name,
            image,
            points: found.points,
            matched: found.matched,
            refused: found.refused,
        });
        self.images.insert(key, planned.clone());
        Ok(planned)
    }

    /// Plants the breakpoints of all modules that are not planted yet.
    fn plant_all(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
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
                    Wanted::IfFirst => firsts.insert(symbol.clone()),
                };
                if !*is_planted && is_wanted {
                    *is_planted = true;
                    self.provided |= self.plan.resources.expects(&point.tracepoint);
                    wanted.extend(places(point, module.bias));
                    if point.sees_callee() {
                        module.unresolved.push(point.tracepoint.clone());
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
        for (at, purpose) in wanted {
            if self.is_ending() {
                break;
            }
            self.plant(stopped, id, at, purpose, out);
        }
        for at in initializers {
            self.plant_relocated(stopped, id, at, out);
        }
    }

    /// Watches for a module's relocation: its `DT_INIT` runs right after it.
    fn plant_relocated(&mut self, stopped: &Stopped, id: SpaceId, at: Addr, out: &mut Out<'_>) {
        let breakpoint = self.spaces.get(&id).and_then(|space| space.breakpoint(at));
        if !breakpoint.is_some_and(|b| b.purposes.iter().any(|p| matches!(p, Purpose::Relocated))) {
            self.plant(stopped, id, at, Purpose::Relocated, out);
        }
    }

    pub(super) fn plant(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        purpose: Purpose,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get_mut(&id).filter(|_| !self.is_resting) else {
            return;
        };
        let name = purpose.name();
        let refused = space
            .plant(stopped, at, purpose)
            .err()
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

/// The dynamic linker's list, once it has one that is not being changed.
fn listed(space: &mut Space) -> Option<Vec<linkmap::Entry>> {
    let main = space.modules.iter().find(|m| m.name().is_main)?;
    let memory: &dyn Memory = &space.memory;
    let r_debug = match space.r_debug {
        Some(r_debug) => r_debug,
        None => {
            let entry = main.bias.addr(main.planned.image.debug_entry?);
            Addr(memory.read_word(entry).ok().filter(|&at| at != 0)?)
        }
    };
    let debug = linkmap::debug(memory, r_debug).ok()??;
    let entries = linkmap::modules(memory, r_debug);
    space.r_debug = Some(r_debug);
    debug.consistent.then_some(entries)
}

fn dynamic(module: &Module) -> Option<Addr> {
    module.planned.image.dynamic.map(|at| module.bias.addr(at))
}
