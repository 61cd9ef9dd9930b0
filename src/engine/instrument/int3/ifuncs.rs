//! IFUNCs under `-x`: where the code is that their resolvers have chosen.
//!
//! A resolver that is seen to come back says so itself. Most of them run before we can see them, called
//! by the dynamic linker while it relocates a module; then a GOT slot that it has filled tells.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::elf::{Binding, Import};
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::space::Space;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::realise::Modules;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::plan::{Kind, Sites, Tracepoint};
use crate::process::module::Module;
use crate::sys::proc;
use crate::sys::ptrace::Stopped;
use std::collections::HashMap;
use std::sync::Arc;

/// The unchosen of all modules by their names: which module's, and which of its.
type Unchosen<'m> = HashMap<&'m str, Vec<(usize, usize)>>;

impl Supervisor {
    /// Plants the breakpoints of what was chosen, as far as filled slots tell by now.
    pub(in crate::engine) fn find_chosen(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let mut found = chosen_by_slots(space);
        found.sort();
        found.dedup_by_key(|(index, _)| *index);
        let mut wanted = Vec::with_capacity(found.len());
        // From the last to the first, so that indices stay right.
        for ((module, index), at) in found.into_iter().rev() {
            let (_, point) = space.modules[module].unchosen.swap_remove(index);
            wanted.push((at, point));
        }
        for (at, point) in wanted {
            self.plant_chosen(stopped, id, at, point, out);
        }
    }

    /// A resolver came back, and this is what it chose.
    pub(in crate::engine) fn chosen(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        choosing: &Tracepoint,
        at: Addr,
        out: &mut Out<'_>,
    ) {
        let Kind::Resolver { entry } = choosing.kind else {
            return;
        };
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let mut modules = space.modules.iter_mut();
        let Some(module) = modules.find(|m| Arc::ptr_eq(m.name(), &choosing.module)) else {
            return;
        };
        module.unchosen.retain(|(resolver, _)| *resolver != entry);
        let is_meant =
            |sites: &Sites| matches!(sites, Sites::Chosen { resolver } if *resolver == entry);
        let mut points = module.planned.points.iter();
        let point = points
            .find(|p| is_meant(&p.sites))
            .map(|p| p.tracepoint.clone());
        if let Some(point) = point.filter(|_| at.0 != 0) {
            self.plant_chosen(stopped, id, at, point, out);
        }
    }

    /// Resolvers may choose the same code (memcpy and memmove), which may have been asked for by a name
    /// of its own as well: one line a call is enough.
    fn plant_chosen(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        point: Arc<Tracepoint>,
        out: &mut Out<'_>,
    ) {
        let is_entry = |purpose: &Purpose| matches!(purpose, Purpose::Entry(p) if matches!(p.kind, Kind::Entry { .. }));
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let breakpoint = space.breakpoint(at);
        let is_recorded = space
            .recorder
            .as_ref()
            .is_some_and(|recorder| recorder.sees(at));
        if !is_recorded && !breakpoint.is_some_and(|b| b.purposes.iter().any(is_entry)) {
            let wanted = vec![(at, Purpose::Entry(point))];
            self.realise(stopped, id, wanted, Modules::Running, out);
        }
    }
}

/// What the slots of all modules tell of the unchosen.
fn chosen_by_slots(space: &Space) -> Vec<((usize, usize), Addr)> {
    let modules = &space.modules;
    if modules.iter().all(|m| m.unchosen.is_empty()) {
        return Vec::new();
    }
    let mut by_name = Unchosen::new();
    for (module, unchosen) in modules.iter().map(|m| &m.unchosen).enumerate() {
        for (index, (_, point)) in unchosen.iter().enumerate() {
            by_name
                .entry(&point.symbol)
                .or_default()
                .push((module, index));
        }
    }
    let maps = proc::maps(space.pid).unwrap_or_default();
    let is_code = |at: Addr| maps.iter().any(|m| m.executable && m.contains(at));
    let mut found = Vec::new();
    for (number, importer) in modules.iter().enumerate() {
        for import in &importer.planned.image.imports {
            let means = meant(importer, number, import, &by_name);
            if means.is_empty() {
                continue;
            }
            let Some(at) = filled(space, importer, import).filter(|&at| is_code(at)) else {
                continue;
            };
            // In no module at all: the kernel's own code, which `time` of glibc chooses (vdso(7)).
            let owner = modules.iter().position(|m| m.range.contains(&at.0));
            let own = means
                .into_iter()
                .filter(|(module, _)| owner.is_none_or(|o| o == *module));
            found.extend(own.map(|index| (index, at)));
        }
    }
    found
}

/// Which of the unchosen an import may tell of.
fn meant(
    importer: &Module,
    number: usize,
    import: &Import,
    by_name: &Unchosen<'_>,
) -> Vec<(usize, usize)> {
    let Binding::Irelative { resolver } = import.binding else {
        return by_name
            .get(import.symbol.as_str())
            .cloned()
            .unwrap_or_default();
    };
    let mut unchosen = importer.unchosen.iter();
    let index = unchosen.position(|(theirs, _)| *theirs == resolver);
    index.map(|index| (number, index)).into_iter().collect()
}

/// What was written to a slot since the file was loaded: unless it was, it holds what the file has, as
/// it stands there or moved with the module.
fn filled(space: &Space, importer: &Module, import: &Import) -> Option<Addr> {
    let memory: &dyn Memory = &space.memory;
    let at = Addr(memory.read_word(importer.bias.addr(import.slot)).ok()?);
    let content = crate::base::addr::Vaddr(import.content);
    (at.0 != content.0 && at != importer.bias.addr(content)).then_some(at)
}
