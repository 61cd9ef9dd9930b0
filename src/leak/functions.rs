//! The functions whose calls the leak tracker needs to see, and what of each.

use crate::leak::kinds::{Action, Kinds, Role};
use crate::leak::options::Options;
use crate::plan::pairs::{Function, Param, Source, Width};
use crate::plan::resources::{Functions, Resources, Watch};
use crate::plan::{Holder, Returns, Stack};
use crate::proto::Prototype;
use crate::proto::library::Library;
use crate::proto::types::Type;
use std::sync::Arc;

/// Those of the pairs, of `--per` and of `--context`.
pub fn resources(kinds: &Kinds, options: &Options, prototypes: &Library) -> Resources {
    let mut functions = Functions::new();
    for name in &options.context {
        let known = prototypes.lookup(name, &[]);
        let prototype = known.unwrap_or_else(|| nothing(name));
        functions.insert(
            name.clone(),
            watch(prototype, Returns::Unwatched, Stack::Unwanted),
        );
    }
    if let Some(name) = &options.per {
        functions.insert(
            name.clone(),
            watch(nothing(name), Returns::Once, Stack::Unwanted),
        );
    }
    for (name, roles) in kinds.symbols() {
        let is_per = options.per.as_deref() == Some(name);
        let returns = match is_per || roles.iter().any(|role| role.function.needs_return()) {
            true => Returns::Once,
            false => Returns::Unwatched,
        };
        let stack = match roles.iter().any(|role| wants_stack(kinds, role)) {
            true => Stack::Wanted,
            false => Stack::Unwanted,
        };
        let prototype = Arc::new(merged(roles).prototype(name));
        let has_descriptors = |role: &Arc<Role>| {
            let kind = kinds.kind(role.kind);
            kind.is_some_and(|kind| kind.has_descriptors())
        };
        let watch = Watch {
            holder: match roles.iter().any(has_descriptors) {
                true => Holder::Process,
                false => Holder::Memory,
            },
            ..watch(prototype, returns, stack)
        };
        functions.insert(name.to_owned(), watch);
    }
    let named = options
        .per
        .iter()
        .chain(&options.context)
        .cloned()
        .collect();
    let heap = options.sets.iter().any(|set| set.label == HEAP);
    let usual = || HEAP_SYMBOLS.map(str::to_owned).to_vec();
    Resources {
        aliases: options.aliases.clone(),
        expected: if heap { usual() } else { Vec::new() },
        functions,
        named,
    }
}

/// The heap, as its set is called.
const HEAP: &str = "heap";
/// What a program that has an allocator has some of.
const HEAP_SYMBOLS: [&str; 7] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
    "free",
];

fn watch(prototype: Arc<Prototype>, returns: Returns, stack: Stack) -> Watch {
    Watch {
        prototype,
        returns,
        stack,
        holder: Holder::Memory,
    }
}

fn nothing(name: &str) -> Arc<Prototype> {
    Arc::new(Prototype::new(name, Type::Void, Vec::new()))
}

/// Who frees blocks is asked often and seldom of interest: the caller's address must do.
fn wants_stack(kinds: &Kinds, role: &Role) -> bool {
    let is_sized = kinds.kind(role.kind).is_some_and(|kind| kind.sized);
    role.action != Action::Release || !is_sized
}

/// One signature for all that a function has to do with.
fn merged(roles: &[Arc<Role>]) -> Function {
    let mut roles = roles.iter().map(|role| &role.function);
    let Some(mut all) = roles.next().cloned() else {
        return Function {
            names: Vec::new(),
            params: Vec::new(),
            result: Width::Word,
            key: Source::Result,
            sizes: Vec::new(),
            old: None,
            tests: Vec::new(),
            reasons: Vec::new(),
        };
    };
    for other in roles {
        for (at, param) in other.params.iter().enumerate() {
            match all.params.get_mut(at) {
                None => all.params.push(*param),
                Some(known @ Param::Unused) => *known = *param,
                Some(_) => {}
            }
        }
        if other.result == Width::Word {
            all.result = Width::Word;
        }
    }
    all
}
