//! Allocators by their names.

use crate::base::printable::printable;
use crate::plan::{Kind, ModuleName, Tracepoint};
use std::sync::Arc;

/// Functions that only an allocator has.
const FUNCTIONS: [&str; 6] = [
    "malloc",
    "calloc",
    "realloc",
    "free",
    "posix_memalign",
    "aligned_alloc",
];

const JEMALLOC: &str = "jemalloc";

/// One that a process was seen to use.
#[derive(Clone, Debug)]
pub(super) struct Allocator {
    /// As it is told.
    pub(super) name: String,
    /// Where it is.
    pub(super) module: Arc<ModuleName>,
    known: Option<&'static str>,
}

impl Allocator {
    /// Whose function it is; nothing when any may have such a one.
    pub(super) fn of(point: &Tracepoint) -> Option<Allocator> {
        let known = known(point);
        let is_one = known.is_some() || FUNCTIONS.contains(&&*point.symbol);
        is_one.then(|| Allocator {
            name: name(&point.module.name, known),
            module: point.module.clone(),
            known,
        })
    }

    /// The function is one of its.
    pub(super) fn has(&self, point: &Tracepoint) -> bool {
        Arc::ptr_eq(&self.module, &point.module) && self.known == known(point)
    }

    /// It may be jemalloc: that, or whatever a program has under the usual names.
    pub(super) fn is_jemalloc(&self) -> bool {
        self.name == JEMALLOC || self.module.is_main && self.known.is_none()
    }

    /// The file whose data are its own only.
    pub(super) fn file(&self) -> Option<&str> {
        (!self.module.is_main).then_some(&*self.module.path)
    }
}

/// `jemalloc and glibc malloc`
pub(super) fn names(allocators: &[Allocator]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for allocator in allocators {
        if !names.contains(&&*allocator.name) {
            names.push(&allocator.name);
        }
    }
    (!names.is_empty()).then(|| names.join(" and "))
}

fn known(point: &Tracepoint) -> Option<&'static str> {
    match point.kind {
        Kind::Resource { allocator, .. } => allocator,
        _ => None,
    }
}

/// Whose malloc it is.
fn name(module: &str, known: Option<&str>) -> String {
    let own = match known {
        Some("Rust") => return "a #[global_allocator]".to_owned(),
        Some("operators") => "operator new",
        Some(known) => return known.to_owned(),
        None => "malloc",
    };
    let libraries = [
        ("libc.so.6", "glibc malloc"),
        ("libc-2", "glibc malloc"),
        ("libc.so", "musl malloc"),
        ("ld-musl", "musl malloc"),
        ("libc.musl", "musl malloc"),
        ("libjemalloc", JEMALLOC),
        ("libtcmalloc", "tcmalloc"),
        ("libmimalloc", "mimalloc"),
    ];
    let found = libraries
        .iter()
        .find(|(prefix, _)| module.starts_with(prefix));
    found.map_or_else(
        || format!("{own} of {}", printable(module)),
        |(_, allocator)| (*allocator).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_they_are_called() {
        let check = |module, known, expected| assert_eq!(name(module, known), expected);
        check("libc.so.6", None, "glibc malloc");
        check("server", None, "malloc of server");
        check("server", Some("jemalloc"), "jemalloc");
        check("server", Some("operators"), "operator new of server");
        check("libjemalloc.so.2", Some("operators"), "jemalloc");
        check("server", Some("Rust"), "a #[global_allocator]");
    }
}
