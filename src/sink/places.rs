//! What lies where in each process: whose code an address is.

use crate::base::Pid;
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::event::{Event, Kind};
use crate::plan::ModuleName;
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// The modules of all processes.
#[derive(Default)]
pub struct Places {
    /// In the order of their addresses.
    processes: FxHashMap<Pid, Vec<Place>>,
    /// Between which addresses of a process nothing was found last: most often there is nothing again.
    gap: Cell<Option<(Pid, u64, u64)>>,
}

#[derive(Clone)]
struct Place {
    range: Range<u64>,
    bias: Bias,
    module: Arc<ModuleName>,
}

impl Places {
    /// Modules come and go, processes fork and end.
    pub fn event(&mut self, event: &Event) {
        let pid = event.pid;
        if !event.kind.is_of_call() {
            self.gap.set(None);
        }
        match &event.kind {
            Kind::Started { parent, .. } => {
                if let Some(places) = parent.and_then(|parent| self.processes.get(&parent).cloned())
                {
                    self.processes.entry(pid).or_insert(places);
                }
            }
            Kind::Loaded {
                module,
                range,
                bias,
                ..
            } => {
                let places = self.processes.entry(pid).or_default();
                let place = Place {
                    range: range.clone(),
                    bias: *bias,
                    module: module.clone(),
                };
                let after = places.partition_point(|other| other.range.start < range.start);
                places.insert(after, place);
            }
            Kind::Unloaded { range, .. } => {
                if let Some(places) = self.processes.get_mut(&pid) {
                    places.retain(|place| place.range.start != range.start);
                }
            }
            Kind::Exec { .. } => drop(self.processes.remove(&pid)),
            Kind::Exited { last: true, .. } | Kind::Killed { last: true, .. } => {
                self.processes.remove(&pid);
            }
            _ => (),
        }
    }

    /// The module around an address, and what its file calls the address.
    pub fn find(&self, pid: Pid, at: Addr) -> Option<(&ModuleName, Vaddr)> {
        let place = self.place(pid, at)?;
        Some((&place.module, place.bias.vaddr(at)))
    }

    /// The module around an address, shared, and what its file calls the address.
    pub fn at(&self, pid: Pid, at: Addr) -> Option<(&Arc<ModuleName>, Vaddr)> {
        let place = self.place(pid, at)?;
        Some((&place.module, place.bias.vaddr(at)))
    }

    /// The module around an address.
    pub fn module(&self, pid: Pid, at: Addr) -> Option<Arc<ModuleName>> {
        self.place(pid, at).map(|place| place.module.clone())
    }

    fn place(&self, pid: Pid, at: Addr) -> Option<&Place> {
        if let Some((of, from, to)) = self.gap.get()
            && of == pid
            && (from..to).contains(&at.0)
        {
            return None;
        }
        let places = self.processes.get(&pid)?;
        let after = places.partition_point(|place| place.range.start <= at.0);
        let before = after.checked_sub(1).and_then(|before| places.get(before));
        if let Some(place) = before
            && place.range.contains(&at.0)
        {
            return Some(place);
        }
        let from = before.map_or(0, |place| place.range.end);
        let to = places
            .get(after)
            .map_or(u64::MAX, |place| place.range.start);
        self.gap.set(Some((pid, from, to)));
        None
    }
}
