//! Which library provides an imported function: it says how the calls are typed. A module's own list of what it
//! needs does not: libraries call themselves through their PLT, plugins the program that loads them, and who
//! comes first in the list of what is loaded stands in for those behind it.

use crate::base::addr::Addr;
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::plan::Tracepoint;
use std::collections::HashMap;
use std::sync::Arc;

impl Supervisor {
    /// Types imports by what provides them, as far as that has been loaded by now: those of the space, and these
    /// that are about to be planted in it.
    pub(in crate::engine) fn type_imports(&mut self, id: SpaceId, wanted: &mut [(Addr, Purpose)]) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        // The modules that define a symbol, in the order of their loading: their namespaces and names.
        let untyped = space.modules.iter().flat_map(|module| &module.untyped);
        let mut providers: HashMap<Arc<str>, Vec<(usize, &str)>> =
            untyped.map(|p| (p.symbol.clone(), Vec::new())).collect();
        if providers.is_empty() {
            return;
        }
        for module in &space.modules {
            for symbol in &module.planned.image.exports {
                if let Some(modules) = providers.get_mut(symbol.name.as_str()) {
                    modules.push((module.namespace, &module.name().name));
                }
            }
        }
        let mut typed: HashMap<*const Tracepoint, Arc<Tracepoint>> = HashMap::new();
        for module in &space.modules {
            for point in &module.untyped {
                let modules = providers.get(&point.symbol).into_iter().flatten();
                let own = modules.filter(|(namespace, _)| *namespace == module.namespace);
                let names: Vec<&str> = own.map(|(_, name)| *name).collect();
                if names.is_empty() {
                    continue;
                }
                let prototype = self.plan.prototypes.lookup(&point.symbol, &names);
                typed.insert(Arc::as_ptr(point), point.retyped(prototype));
            }
        }
        space.replace(&typed);
        for point in wanted
            .iter_mut()
            .filter_map(|(_, purpose)| purpose.point_mut())
        {
            if let Some(other) = typed.get(&Arc::as_ptr(point)) {
                *point = other.clone();
            }
        }
    }
}
