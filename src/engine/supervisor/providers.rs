//! Which library provides an imported function: it says how the calls are typed. A module's own list of what it
//! needs does not: libraries call themselves through their PLT, plugins the program that loads them, and who
//! comes first in the list of what is loaded stands in for those behind it.

use crate::base::Pid;
use crate::base::addr::{Addr, Vaddr};
use crate::elf::{Symbol, SymbolKind};
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::plan::{Kind, Tracepoint};
use crate::process::module::{Module, Planned};
use std::collections::HashMap;
use std::sync::Arc;

impl Supervisor {
    /// Types imports by what provides them, as far as that has been loaded by now: those of the space, and these
    /// that are about to be planted in it.
    pub(in crate::engine) fn type_imports(&mut self, id: SpaceId, wanted: &mut [(Addr, Purpose)]) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        // The modules that define a symbol, in the order of their loading, and where its code is.
        let untyped = space.modules.iter().flat_map(|module| &module.untyped);
        let mut providers: HashMap<Arc<str>, Vec<(&Module, &Symbol)>> =
            untyped.map(|p| (p.symbol.clone(), Vec::new())).collect();
        if providers.is_empty() {
            return;
        }
        for module in &space.modules {
            for symbol in &module.planned.image.exports {
                if let Some(modules) = providers.get_mut(symbol.name.as_str()) {
                    modules.push((module, symbol));
                }
            }
        }
        let mut typed: HashMap<*const Tracepoint, Arc<Tracepoint>> = HashMap::new();
        for module in &space.modules {
            for point in &module.untyped {
                let modules = providers.get(&point.symbol).into_iter().flatten();
                let own = modules.filter(|(other, _)| other.namespace == module.namespace);
                let own: Vec<_> = own.copied().collect();
                let Some((provider, symbol)) = own.first() else {
                    continue;
                };
                let names: Vec<&str> = own.iter().map(|(m, _)| m.name().name.as_str()).collect();
                let library = &self.plan.prototypes;
                let prototype = library.lookup_own(&point.symbol, &names);
                let key = &provider.planned.key;
                let code = (symbol.kind == SymbolKind::Func).then_some(symbol.vaddr);
                let prototype = prototype
                    .or_else(|| self.debug.prototype(key, space.pid, code?, &point.symbol))
                    .or_else(|| library.lookup(&point.symbol, &names))
                    .or_else(|| self.debug.by_name(key, code?, &point.symbol))
                    .map(|prototype| prototype.by_others());
                typed.insert(Arc::as_ptr(point), point.retyped(prototype));
            }
        }
        space.replace(&typed);
        put(wanted, &typed);
    }

    /// Types functions of `-x` that no prototype is meant for.
    pub(in crate::engine) fn type_entries(&mut self, id: SpaceId, wanted: &mut [(Addr, Purpose)]) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let mut typed: HashMap<*const Tracepoint, Arc<Tracepoint>> = HashMap::new();
        for (at, purpose) in wanted.iter() {
            let Purpose::Entry(point) = purpose else {
                continue;
            };
            let Kind::Entry { entry } = point.kind else {
                continue;
            };
            let module = space.modules.iter().find(|m| m.range.contains(&at.0));
            let Some(module) = module.filter(|module| module.bias.addr(entry) == *at) else {
                continue;
            };
            let names = [module.name().name.as_str()];
            let library = &self.plan.prototypes;
            if library.lookup_own(&point.symbol, &names).is_some() {
                continue;
            }
            let key = &module.planned.key;
            let symbol = &point.symbol;
            let prototype = self.debug.prototype(key, space.pid, entry, symbol);
            let prototype = prototype.or_else(|| match &point.prototype {
                Some(_) => None,
                None => self.debug.by_name(key, entry, symbol),
            });
            if let Some(prototype) = prototype {
                typed.insert(Arc::as_ptr(point), point.retyped(Some(prototype)));
            }
        }
        put(wanted, &typed);
    }

    /// Has debug information looked through for the functions of these files that may be typed by it: what it tells is
    /// kept for [`Supervisor::type_imports`] and [`Supervisor::type_entries`].
    pub(in crate::engine) fn type_ahead(&mut self, pid: Pid, files: &[Arc<Planned>]) {
        let points = || {
            files
                .iter()
                .flat_map(|file| file.points.iter().map(move |p| (file, p)))
        };
        let imports = points().filter(|(_, p)| matches!(p.tracepoint.kind, Kind::Plt { .. }));
        let mut functions: HashMap<&str, Vec<(&Planned, Vaddr)>> = imports
            .map(|(_, p)| (&*p.tracepoint.symbol, Vec::new()))
            .collect();
        for file in files {
            let exports = file.image.exports.iter();
            for symbol in exports.filter(|symbol| symbol.kind == SymbolKind::Func) {
                if let Some(providers) = functions.get_mut(symbol.name.as_str()) {
                    providers.push((file, symbol.vaddr));
                }
            }
        }
        for (file, point) in points() {
            if let Kind::Entry { entry } = point.tracepoint.kind {
                let functions = functions.entry(&point.tracepoint.symbol);
                functions.or_default().push((file, entry));
            }
        }
        for (symbol, providers) in functions {
            for (file, at) in providers {
                if self.is_ending() {
                    return;
                }
                let library = &self.plan.prototypes;
                let own = library.lookup_own(symbol, &[&file.name.name]);
                if own.is_none() {
                    self.debug.prototype(&file.key, pid, at, symbol);
                }
            }
        }
    }
}

/// Puts tracepoints in the place of those at these addresses.
fn put(wanted: &mut [(Addr, Purpose)], typed: &HashMap<*const Tracepoint, Arc<Tracepoint>>) {
    for point in wanted
        .iter_mut()
        .filter_map(|(_, purpose)| purpose.point_mut())
    {
        if let Some(other) = typed.get(&Arc::as_ptr(point)) {
            *point = other.clone();
        }
    }
}
