//! Breakpoints that serve the tracing itself: nothing is told of their hits.

use crate::base::addr::Addr;
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::realise::Instrument;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::sys::ptrace::Stopped;
use std::mem::discriminant;

impl Supervisor {
    /// What comes with functions that `-x` means, in whatever they run, and with resources that are tracked.
    pub(super) fn watch_functions(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let mut places = Vec::new();
        for module in &space.modules {
            let mut found = Vec::new();
            let exported = |name: &str| {
                let mut exports = module.planned.image.exports.iter();
                let symbol = exports.find(|symbol| symbol.name == name)?;
                Some(symbol.vaddr)
            };
            if !self.plan.entries.is_empty() {
                // Nothing but the catching of an exception may tell that one has left them.
                found.extend(exported("__cxa_begin_catch").map(|at| (at, Purpose::Caught)));
                let clones = module.planned.clones.iter();
                found.extend(clones.map(|at| (*at, Purpose::Clone)));
            }
            if self.plan.resources.want_stacks() {
                found.extend(exported("_exit").map(|at| (at, Purpose::End)));
            }
            let found = found.into_iter();
            places.extend(found.map(|(at, purpose)| (module.bias.addr(at), purpose)));
        }
        self.plant_once(stopped, id, places, out);
    }

    /// Watches for what matters to code that records: sandboxes, and the end of programs whose output has an order with
    /// ours.
    pub(super) fn watch_recorded(&mut self, stopped: &Stopped, id: SpaceId, out: &mut Out<'_>) {
        let space = self.spaces.get_mut(&id);
        let (Instrument::Record(caps), Some(space)) = (self.instrument, space) else {
            return;
        };
        if space.recorder.is_none() {
            return;
        }
        let mut watched = vec![("prctl", Purpose::Prctl)];
        if caps.in_order {
            watched.push(("exit", Purpose::Exit));
        }
        let mut places = Vec::new();
        let mut modules = space.modules.iter_mut();
        while let Some(module) = modules.find(|module| !module.is_watched_for_records) {
            module.is_watched_for_records = true;
            let exports = module.planned.image.exports.iter();
            places.extend(exports.filter_map(|symbol| {
                let (_, purpose) = watched.iter().find(|(name, _)| symbol.name == *name)?;
                Some((module.bias.addr(symbol.vaddr), purpose.clone()))
            }));
        }
        self.plant_once(stopped, id, places, out);
    }

    /// Plants what does not stand yet.
    fn plant_once(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        mut places: Vec<(Addr, Purpose)>,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get(&id) else {
            return;
        };
        let stands = |(at, purpose): &(Addr, Purpose)| {
            let is_same = |p: &Purpose| discriminant(p) == discriminant(purpose);
            space
                .breakpoint(*at)
                .is_some_and(|b| b.purposes.iter().any(is_same))
        };
        places.retain(|place| !stands(place));
        for (at, purpose) in places {
            self.plant(stopped, id, at, purpose, out);
        }
    }

    /// Watches for the program's setting its SIGTRAP action, where our guard is.
    pub(in crate::engine) fn watch_actions(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        out: &mut Out<'_>,
    ) {
        let Some(space) = self.spaces.get_mut(&id).filter(|s| s.is_guarded()) else {
            return;
        };
        let mut places = Vec::new();
        for module in space.modules.iter_mut().filter(|m| !m.is_watched) {
            module.is_watched = true;
            let actions = &module.planned.signal_actions;
            // The child of posix_spawn(3) makes the calls with every signal blocked, and would die of an int3
            // there once we have been killed. It does not pass the entry.
            let (at, purpose) = match actions.entries.is_empty() {
                true => (&actions.calls, Purpose::SignalAction),
                false => (&actions.entries, Purpose::SignalEntry),
            };
            places.extend(at.iter().map(|&at| (module.bias.addr(at), purpose.clone())));
        }
        for (at, purpose) in places {
            self.plant(stopped, id, at, purpose, out);
        }
    }

    /// Watches for a module's relocation: its `DT_INIT` runs right after it.
    pub(super) fn plant_relocated(
        &mut self,
        stopped: &Stopped,
        id: SpaceId,
        at: Addr,
        out: &mut Out<'_>,
    ) {
        let breakpoint = self.spaces.get(&id).and_then(|space| space.breakpoint(at));
        if !breakpoint.is_some_and(|b| b.purposes.iter().any(|p| matches!(p, Purpose::Relocated))) {
            self.plant(stopped, id, at, Purpose::Relocated, out);
        }
    }
}
