//! The functions whose calls the leak tracker needs to see, and what of each.

use crate::leak::heap;
use crate::leak::kinds::{Action, Kinds, Role};
use crate::leak::options::Options;
use crate::plan::nesting::Nesting;
use crate::plan::pairs::{Function, Param, Source, Width};
use crate::plan::resources::{Functions, Resources, Watch};
use crate::plan::sample::Sample;
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
        let function = merged(roles);
        let sample = options.sample.filter(|_| is_of_heap(kinds, roles));
        let sample = match sample.map(|interval| Sample::of(&function, interval)) {
            // What calls a function whose size is not known is seen there.
            Some(None) => continue,
            other => other.flatten(),
        };
        let is_named = is_per || options.context.iter().any(|other| other == name);
        let is_one = sample.is_none() && !is_named && is_of_heap(kinds, roles);
        let nesting = is_one.then(|| Nesting::of(name, &function)).flatten();
        let prototype = Arc::new(sampled(function, sample).prototype(name));
        let has_descriptors = |role: &Arc<Role>| {
            let kind = kinds.kind(role.kind);
            kind.is_some_and(|kind| kind.has_descriptors())
        };
        let watch = Watch {
            holder: match roles.iter().any(has_descriptors) {
                true => Holder::Process,
                false => Holder::Memory,
            },
            sample,
            nesting,
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
        sample: None,
        nesting: None,
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

/// All that it has to do with is blocks of a heap.
fn is_of_heap(kinds: &Kinds, roles: &[Arc<Role>]) -> bool {
    let mut kinds = roles.iter().filter_map(|role| kinds.kind(role.kind));
    kinds.all(heap::is_heap)
}

/// The signature with the argument by which it is told what was drawn.
fn sampled(function: Function, sample: Option<Sample>) -> Function {
    let told = sample.and_then(|sample| sample.told);
    let own = function.params.iter().copied();
    Function {
        params: own.chain(told.map(|_| Param::In(Width::Word))).collect(),
        ..function
    }
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
