//! What the user asked to see: tracepoints, computed from an ELF image, the filters and the
//! prototypes. How a tracepoint is realised is the engine's business.

mod allocators;
pub mod capture;
pub mod descriptors;
mod entries;
pub mod filter;
pub mod near;
pub mod nesting;
pub mod pairs;
pub mod quiet;
pub mod resources;
mod returns;
pub mod sample;
pub mod spare;
mod symbols;
pub mod system_calls;
mod tracepoint;
pub mod written;

use crate::base::addr::Vaddr;
use crate::elf;
use crate::proto::library::Library;
use filter::{Filter, Here, LibraryPattern};
use resources::Resources;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use system_calls::SystemCalls;
pub use tracepoint::{Holder, Kind, ModuleName, Returns, Stack, Tracepoint};
use written::taken_as;

/// A tracepoint, and where in its module's code it can be seen.
#[derive(Clone, Debug)]
pub struct Point {
    /// What is traced.
    pub tracepoint: Arc<Tracepoint>,
    /// Where.
    pub sites: Sites,
    /// In which programs it is wanted.
    pub wanted: Wanted,
}

/// In which of the programs that load its module a point is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// In all.
    Always,
    /// Where a library of `-l` provides its symbol.
    IfProvided,
    /// Where no module before its own has a function of that name.
    IfFirst,
}

/// Where in its own module's code a tracepoint can be seen.
#[derive(Clone, Debug)]
pub enum Sites {
    /// A function's first instruction.
    Entry(Vaddr),
    /// The function that this resolver chooses when the program runs.
    Chosen {
        /// The resolver's first instruction.
        resolver: Vaddr,
    },
    /// An import: every instruction that uses its slot.
    Code {
        /// `call *slot(%rip)`.
        calls: Vec<Vaddr>,
        /// `jmp *slot(%rip)`: PLT stubs, and tail jumps.
        jumps: Vec<Vaddr>,
    },
    /// An import whose address the code also loads, to call it later: only the callee sees them all.
    Callee {
        /// `jmp *slot(%rip)`: tail jumps, which leave a foreign return address.
        jumps: Vec<Vaddr>,
    },
}

/// What is to be traced in one module.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// The tracepoints.
    pub points: Vec<Point>,
    /// What was asked for by name or address and cannot be traced, in the user's words.
    pub refused: Vec<String>,
    /// Names that are no symbols', and what they were taken as.
    pub taken: Vec<String>,
    /// What means anything here of what was [`named`](Plan::named), by its place.
    pub matched: Vec<usize>,
    /// Its functions have no names but those that it exports, and `-x` asks for some.
    pub is_stripped: bool,
    /// What is known here of the names that `-e` and `-x` spell out.
    pub heard: Vec<near::Heard>,
}

/// What the user named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// By which option.
    pub option: &'static str,
    /// In these words.
    pub text: &'a str,
}

/// The symbols that the libraries of `-l` provide.
pub type Provided = HashSet<String>;

impl Point {
    /// Whether only the imported function itself sees all calls.
    pub fn sees_callee(&self) -> bool {
        matches!(self.sites, Sites::Callee { .. })
    }
}

/// What the user asked to see: the three kinds of filter, and the prototypes.
#[derive(Debug)]
pub struct Plan {
    /// `-e`: calls through imports, by symbol and calling module. `None` when not given.
    pub calls: Option<Vec<Filter>>,
    /// `-l`: calls through imports, by the library that provides the symbol.
    pub libraries: Vec<LibraryPattern>,
    /// `-x`: functions, by symbol and defining module.
    pub entries: Vec<Filter>,
    /// Whether the stacks of calls are wanted (`-w`).
    pub stacks: Stack,
    /// `-S`: system calls.
    pub system_calls: Option<SystemCalls>,
    /// Functions that are tracked, by their symbols.
    pub resources: Resources,
    /// The prototypes.
    pub prototypes: Library,
    /// Functions of which conditions on calls speak, and the options of these.
    pub conditions: Vec<(&'static str, Filter)>,
    /// Code is to be named: each module is told of with its file.
    pub files: bool,
}

impl Plan {
    /// The tracepoints of one module. `bytes` is its file.
    pub fn points(&self, image: &elf::Image, bytes: &[u8], name: &Arc<ModuleName>) -> Points {
        let calls = self.calls_here(image, name);
        let mut found = Points {
            points: self.imports(image, bytes, name, &calls),
            ..Points::default()
        };
        self.add_functions(image, bytes, name, &mut found);
        let symbols = || image.imports.iter().map(|import| &*import.symbol);
        let written = calls.iter().flat_map(|f| taken(f, symbols()));
        found.taken.extend(written);
        found.matched.extend(self.named_calls(image, name, &calls));
        found.heard.extend(self.heard_of_calls(image, bytes, name));
        match self.resources.points(image, bytes, name) {
            Ok(provided) => {
                found.points.extend(provided.points);
                found.taken.extend(provided.taken);
                let behind = self.entries.len();
                let aliases = provided.aliases.iter().map(|index| behind + index);
                found.matched.extend(aliases);
            }
            Err(why) => found.refused.push(why),
        }
        found
    }

    /// Whether any stacks are wanted.
    pub fn want_stacks(&self) -> bool {
        self.stacks == Stack::Wanted || self.resources.want_stacks()
    }

    /// Whether files of modules are handed on.
    pub fn want_files(&self) -> bool {
        self.files || self.want_stacks()
    }

    /// What the user named; nothing for what means whatever there is.
    pub fn named(&self) -> impl Iterator<Item = Named<'_>> {
        let entries = self.entries.iter().map(|filter| ("-x", &filter.text));
        let aliases = self.resources.aliases.iter();
        let aliases = aliases.map(|alias| ("--alloc-sym", &alias.text));
        let calls = self.calls.iter().flatten();
        let calls = calls.map(|filter| ("-e", &filter.text));
        let libraries = self.libraries.iter().map(|pattern| ("-l", &pattern.text));
        let all = entries.chain(aliases).chain(calls).chain(libraries);
        all.map(|(option, text)| Named { option, text })
    }

    /// Whether calls through imports are asked for, be it by default.
    pub fn wants_imports(&self) -> bool {
        self.calls.as_ref().is_none_or(|calls| !calls.is_empty()) || !self.libraries.is_empty()
    }

    /// The filters of `-e` as they are read in a module, by what it imports.
    fn calls_here<'a>(&'a self, image: &elf::Image, name: &'a ModuleName) -> Vec<Here<'a>> {
        let calls = self.calls.iter().flatten();
        let here = calls.map(|filter| {
            let mut here = Here::new(filter, name);
            let imports = image.imports.iter();
            imports.for_each(|import| here.note(&import.symbol));
            here
        });
        here.collect()
    }

    /// What of the filters of `-e` and `-l` means anything in a module, by their places in what is named.
    fn named_calls(&self, image: &elf::Image, name: &ModuleName, calls: &[Here<'_>]) -> Vec<usize> {
        let before = self.entries.len() + self.resources.aliases.len();
        let is_called = |filter: &Here<'_>| {
            let mut imports = image.imports.iter();
            imports.any(|import| filter.matches(&import.symbol))
        };
        let calls_here = calls.iter().map(is_called);
        let libraries = self.libraries.iter().map(|pattern| pattern.matches(name));
        let all = (before..).zip(calls_here.chain(libraries));
        all.filter(|(_, means)| *means)
            .map(|(index, _)| index)
            .collect()
    }

    /// The symbols that those of the modules provide which `-l` names.
    pub fn provided<'i>(
        &self,
        modules: impl Iterator<Item = (&'i elf::Image, &'i Arc<ModuleName>)>,
    ) -> Provided {
        if self.libraries.is_empty() {
            return Provided::new();
        }
        let matching =
            modules.filter(|(_, name)| self.libraries.iter().any(|pattern| pattern.matches(name)));
        matching
            .flat_map(|(image, _)| image.exports.iter().map(|symbol| symbol.name.clone()))
            .collect()
    }

    fn imports(
        &self,
        image: &elf::Image,
        bytes: &[u8],
        name: &Arc<ModuleName>,
        calls: &[Here<'_>],
    ) -> Vec<Point> {
        let chosen = |import| Some((import, self.choose(import, image, name, calls)?));
        let chosen: Vec<(&elf::Import, Wanted)> = image.imports.iter().filter_map(chosen).collect();
        let slots: Vec<Vaddr> = chosen.iter().map(|(import, _)| import.slot).collect();
        let references = image.references(bytes, &slots);
        let sonames: Vec<&str> = image.needed.iter().map(String::as_str).collect();
        let point =
            |((import, chosen), references): ((&elf::Import, Wanted), elf::References)| Point {
                tracepoint: self.tracepoint(
                    name,
                    &import.symbol,
                    Kind::Plt { slot: import.slot },
                    &sonames,
                ),
                sites: sites(import, references),
                wanted: chosen,
            };
        chosen.into_iter().zip(references).map(point).collect()
    }

    /// Whether calls through an import are wanted. Those of a program to an IFUNC of its own have a slot and a
    /// stub like others; libraries, and programs that are linked statically, have them for what is the C
    /// library's own business.
    fn choose(
        &self,
        import: &elf::Import,
        image: &elf::Image,
        name: &ModuleName,
        calls: &[Here<'_>],
    ) -> Option<Wanted> {
        let is_own = matches!(import.binding, elf::Binding::Irelative { .. });
        if is_own && (!name.is_main || import.symbol.is_empty()) {
            return None;
        }
        let is_static = image.interpreter.is_none();
        let by_default = self.calls.is_none() && self.libraries.is_empty();
        let is_hidden = is_start_code(&import.symbol) || is_own && is_static;
        if by_default && name.is_main && !is_hidden {
            return Some(Wanted::Always);
        }
        if calls.iter().any(|filter| filter.matches(&import.symbol)) {
            return Some(Wanted::Always);
        }
        (!self.libraries.is_empty()).then_some(Wanted::IfProvided)
    }

    fn tracepoint(
        &self,
        module: &Arc<ModuleName>,
        symbol: &str,
        kind: Kind,
        sonames: &[&str],
    ) -> Arc<Tracepoint> {
        Arc::new(Tracepoint {
            module: module.clone(),
            symbol: symbol.into(),
            kind,
            prototype: self.prototypes.lookup(symbol, sonames),
            capture: OnceLock::new(),
            returns: Returns::of(symbol),
            stack: self.stacks,
        })
    }
}

/// Says which names of a filter are no symbols', and what they were taken as.
fn taken<'s>(filter: &Here<'_>, symbols: impl Iterator<Item = &'s str>) -> Vec<String> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    if filter.is_written() {
        for symbol in symbols {
            if let Some(name) = filter.written(symbol) {
                by_name.entry(name).or_default().push(symbol);
            }
        }
    }
    let taken = by_name.into_iter();
    taken
        .filter_map(|(name, symbols)| taken_as(name, symbols.into_iter()))
        .collect()
}

/// How an import's calls can all be seen. A lazily bound slot holds a PLT address at first, so its callee
/// cannot be known; nothing loads such a slot but the PLT.
fn sites(import: &elf::Import, references: elf::References) -> Sites {
    let elf::References {
        calls,
        jumps,
        escapes,
    } = references;
    let unseen = calls.is_empty() && jumps.is_empty();
    if import.binding == elf::Binding::GlobDat && (escapes || unseen) {
        return Sites::Callee { jumps };
    }
    Sites::Code { calls, jumps }
}

/// What the linker's own start files call around main. These calls are not in the source, and whether they go
/// through a PLT differs from linker to linker, so they are shown only when asked for.
fn is_start_code(symbol: &str) -> bool {
    matches!(
        symbol,
        "__libc_start_main" | "__cxa_finalize" | "__gmon_start__" | "__libc_start_call_main"
    ) || symbol.starts_with("_ITM_")
        || symbol.starts_with("__deregister_frame_info")
        || symbol.starts_with("__register_frame_info")
}
