//! The program that a process runs, and the dynamic linker that loads the rest of it: found in whatever state
//! they are, and watched from there on.
//!
//! A process may be met at its first instruction, in the middle of its start-up, while a library is being
//! loaded, or later. The list of what is loaded is read as far as it has come, and a breakpoint at `r_brk`
//! tells of each change that is complete. A program that was given to its dynamic linker as an argument
//! (`ld.so PROGRAM`) is known once it stands in that list.

use crate::base::Pid;
use crate::base::addr::{Addr, Bias};
use crate::base::memory::Memory;
use crate::elf::{Image, Objects};
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::space::Space;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::privileges;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::process::auxv::{self, Auxv};
use crate::process::linkmap::{self, Debug};
use crate::process::module::{Found, Planned};
use crate::sys::ptrace::Stopped;
use crate::sys::{file, proc};
use std::sync::Arc;
use std::time::Instant;

/// The `r_debug` that glibc's dynamic linker exports.
const R_DEBUG: &str = "_r_debug";

/// How far the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Stage {
    /// Its first instruction, the dynamic linker's, is still to come.
    Beginning,
    /// It runs.
    Running,
}

impl Supervisor {
    /// Plants what is to be seen of a program: at its beginning, or in the middle of its life.
    pub(in crate::engine) fn program_found(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        stage: Stage,
        out: &mut Out<'_>,
    ) {
        self.found = Instant::now();
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let pid = space.pid;
        let auxv =
            auxv::read(space.pid, &space.memory).map_err(|why| privileges::unreadable(pid, why));
        let added = auxv.and_then(|auxv| self.add_program(stopped, id, auxv, out));
        let auxv = match added {
            Ok(auxv) => auxv,
            Err(why) => return self.complain(stopped.tid(), &why, out),
        };
        if auxv.base.0 != 0 {
            self.watch_linker(stopped, id, auxv.base, out);
        }
        if stage == Stage::Beginning
            && let Some(why) = privileges::lost(pid)
        {
            self.complain(stopped.tid(), &why, out);
        }
        // Until it gets there, not all slots are filled.
        if stage == Stage::Beginning || self.is_loading(id) {
            self.plant(stopped, id, auxv.entry, Purpose::Relocated, out);
        }
        self.modules_changed(stopped, id, out);
        self.watch_actions(stopped, id, out);
        if stage == Stage::Running {
            self.resolve_imports(stopped, id, out);
        }
    }

    /// Adds the program, or the dynamic linker that was asked to run one: `base` is told of the latter.
    fn add_program(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        auxv: Auxv,
        out: &mut Out<'_>,
    ) -> Result<Auxv, String> {
        let Some(space) = self.spaces.get(&id) else {
            return Ok(auxv);
        };
        let (pid, memory): (_, &dyn Memory) = (space.pid, &space.memory);
        let unreadable = |e| privileges::unreadable(pid, e);
        let mut found =
            Found::program(pid, auxv.execfn, memory, &space.gone_files).map_err(unreadable)?;
        let planned = self
            .planned(&found)
            .map_err(|why| format!("{}: {why}", found.path))?;
        let image = &planned.image;
        if planned.is_linker
            && let Some(bias) = mapped(pid, &found, image)
        {
            found.bias = bias;
            found.started_as = None;
            self.add(stopped, id, &found, out)?;
            let base = bias.addr(image.first_page());
            return Ok(Auxv { base, ..auxv });
        }
        found.bias = Bias(auxv.entry.0.wrapping_sub(image.entry.0));
        self.add(stopped, id, &found, out)?;
        self.plant_all(stopped, id, out);
        Ok(auxv)
    }

    /// Watches the dynamic linker from its very beginning on, when its `r_debug` is still empty: what it
    /// exports says what its `r_brk` is.
    fn watch_linker(&mut self, stopped: &Stopped, id: SpaceId, base: Addr, out: &mut Out<'_>) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let maps = proc::maps(space.pid).unwrap_or_default();
        let found = Found::at(
            space.pid,
            &maps,
            base,
            Bias(base.0),
            &space.memory,
            &space.gone_files,
        );
        let Some(Ok(found)) = found else {
            return;
        };
        let Ok(bytes) = file::map(&found.file) else {
            return;
        };
        let Ok(image) = Image::parse(&bytes) else {
            return;
        };
        let bias = Bias(base.0.wrapping_sub(image.first_page().0));
        let objects = Objects::read(&bytes).unwrap_or_default();
        let r_debug = objects.named(R_DEBUG);
        space.exported_r_debug = r_debug.map(|object| bias.addr(object.vaddr));
        if let Some(brk) = image.linker_brk() {
            self.watch_list(stopped, id, bias.addr(brk), out);
        }
    }

    /// Plants the breakpoint that tells of changes of the list, unless it stands.
    pub(in crate::engine) fn watch_list(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        brk: Addr,
        out: &mut Out<'_>,
    ) {
        let breakpoint = self.spaces.get(&id).and_then(|space| space.breakpoint(brk));
        let is_watched = |p: &Purpose| matches!(p, Purpose::LinkMap);
        if brk.0 != 0 && !breakpoint.is_some_and(|b| b.purposes.iter().any(is_watched)) {
            self.plant(stopped, id, brk, Purpose::LinkMap, out);
        }
    }

    /// The dynamic linker tells of a change. One that it has just begun is told of again.
    pub(in crate::engine) fn list_changed(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        let debug = self.debug(id);
        if debug.is_some_and(|(_, debug)| debug.consistent) {
            self.modules_changed(stopped, id, out);
        }
    }

    /// The dynamic linker is at work, so that libraries are still to come.
    pub(in crate::engine) fn is_loading(&mut self, id: SpaceId) -> bool {
        let debug = self.debug(id);
        let modules = self.spaces.get(&id).map(|space| space.modules.as_slice());
        let main = modules.unwrap_or_default().first();
        match debug {
            Some((_, debug)) => !debug.consistent,
            // One that is linked statically has none.
            None => main.is_some_and(|main| {
                !main.name().is_main || main.planned.image.interpreter.is_some()
            }),
        }
    }

    /// The dynamic linker's `r_debug` and what it says, once it says anything.
    pub(in crate::engine) fn debug(&mut self, id: SpaceId) -> Option<(Addr, Debug)> {
        let space = self.spaces.get(&id)?;
        let filled = |space: &Space, at| Some((at, linkmap::debug(&space.memory, at).ok()??));
        let found = match space.r_debug {
            Some(at) => filled(space, at),
            None => [named_by_program(space), space.exported_r_debug]
                .into_iter()
                .flatten()
                .find_map(|at| filled(space, at)),
        };
        let (at, debug) = match found {
            Some(found) => found,
            // A program that its dynamic linker runs is not known without the list.
            None if self.program(id).is_none() => {
                let at = self.named_by_any(id)?;
                filled(self.spaces.get(&id)?, at)?
            }
            None => return None,
        };
        self.spaces.get_mut(&id)?.r_debug = Some(at);
        Some((at, debug))
    }

    /// The `r_debug` that any mapped file names.
    fn named_by_any(&mut self, id: SpaceId) -> Option<Addr> {
        let space = self.spaces.get(&id)?;
        let (pid, maps) = (space.pid, proc::maps(space.pid).ok()?);
        for mapping in maps.iter().filter(|m| m.offset == 0) {
            let at = Addr(mapping.range.start);
            let space = self.spaces.get(&id)?;
            let found = Found::at(pid, &maps, at, Bias(0), &space.memory, &space.gone_files);
            let Some(Ok(found)) = found else { continue };
            let planned: Option<Arc<Planned>> = self.planned(&found).ok();
            let Some(image) = planned.as_ref().map(|planned| &planned.image) else {
                continue;
            };
            let bias = Bias(at.0.wrapping_sub(image.first_page().0));
            let space = self.spaces.get(&id)?;
            if let Some(r_debug) = named_by(space, image, bias) {
                return Some(r_debug);
            }
        }
        None
    }
}

fn named_by_program(space: &Space) -> Option<Addr> {
    let main = space.modules.iter().find(|m| m.name().is_main)?;
    named_by(space, &main.planned.image, main.bias)
}

/// What the dynamic linker has written to DT_DEBUG.
fn named_by(space: &Space, image: &Image, bias: Bias) -> Option<Addr> {
    let memory: &dyn Memory = &space.memory;
    let entry = bias.addr(image.debug_entry?);
    memory.read_word(entry).ok().filter(|&at| at != 0).map(Addr)
}

/// Where the process has its own program, by its mappings: the auxiliary vector on the stack of a dynamic linker
/// tells of the program that it runs.
fn mapped(pid: Pid, found: &Found, image: &Image) -> Option<Bias> {
    let path = proc::program(pid).ok()?;
    let maps = proc::maps(pid).ok()?;
    let first = maps.iter().find(|m| m.path == path && m.offset == 0);
    let first = first.or_else(|| maps.iter().find(|m| m.path.ends_with(&found.path)))?;
    Some(Bias(first.range.start.wrapping_sub(image.first_page().0)))
}
