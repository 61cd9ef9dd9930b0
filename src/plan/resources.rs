//! Functions whose resources are tracked: the allocator's, and other pairs that hand out and take back. Each is
//! traced where the dynamic linker finds it first, in the module that provides it for the whole process.

use super::allocators::{self, Known};
use super::nesting::Nesting;
use super::sample::Sample;
use super::written::{Written, taken_as};
use super::{Holder, Kind, ModuleName, Point, Returns, Sites, Stack, Tracepoint, Wanted};
use crate::base::addr::Vaddr;
use crate::elf::{self, Class, Scope, Symbol, SymbolKind};
use crate::proto::Prototype;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// The functions, by their symbols.
pub type Functions = HashMap<String, Watch>;

/// What is to be known of a function's calls.
#[derive(Clone, Debug)]
pub struct Watch {
    /// How they are read.
    pub prototype: Arc<Prototype>,
    /// Whether their results matter: [`Returns::Unwatched`] when they do not.
    pub returns: Returns,
    /// Whether it matters who calls.
    pub stack: Stack,
    /// Whose the things are. About a process's the kernel is asked, in the call's own moment.
    pub holder: Holder,
    /// Which calls are to be seen, if not all.
    pub sample: Option<Sample>,
    /// What it does for others of its allocator, if inner calls are of no interest.
    pub nesting: Option<Nesting>,
}

/// A function that a program has by another name, or by none (`--alloc-sym`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// As the user wrote it.
    pub text: String,
    /// How it is usually called.
    pub usual: String,
    /// Where it is.
    pub place: Place,
}

/// Where a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where this symbol is.
    Symbol(String),
    /// At this address in the program's file.
    Address(Vaddr),
}

impl Alias {
    /// Understands `malloc=my_malloc` and `malloc=0x401136`.
    pub fn parse(text: &str) -> Option<Alias> {
        let (usual, place) = text.split_once('=')?;
        let place = match place.strip_prefix("0x") {
            Some(digits) => Place::Address(Vaddr(u64::from_str_radix(digits, 16).ok()?)),
            None if place.is_empty() => return None,
            None => Place::Symbol(place.to_owned()),
        };
        Some(Alias {
            text: text.to_owned(),
            usual: usual.to_owned(),
            place,
        })
    }

    /// Where it is in a module with these symbols.
    fn find<'s>(
        &self,
        image: &elf::Image,
        name: &ModuleName,
        mut symbols: impl Iterator<Item = &'s Symbol>,
    ) -> Option<Vaddr> {
        let at = match &self.place {
            Place::Symbol(wanted) => symbols.find(|symbol| symbol.name == *wanted)?.vaddr,
            Place::Address(at) => *at,
        };
        let is_there = matches!(self.place, Place::Symbol(_)) || name.is_main;
        (is_there && image.is_code(at)).then_some(at)
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Those that have other names in this program.
    pub aliases: Vec<Alias>,
    /// Those of which a program is thought to have some.
    pub expected: Vec<String>,
    /// By symbol.
    pub functions: Functions,
    /// Those that the user named: a function that only its own source file can call may be meant.
    pub named: HashSet<String>,
}

/// What a module provides.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) points: Vec<Point>,
    /// The aliases that mean something here, by their places.
    pub(super) aliases: Vec<usize>,
    /// Names that are no symbols', and what they were taken as.
    pub(super) taken: Vec<String>,
}

impl Resources {
    /// Some function's stacks are wanted.
    pub fn want_stacks(&self) -> bool {
        self.functions
            .values()
            .any(|watch| watch.stack == Stack::Wanted)
    }

    /// Of some function's calls samples are seen, each while its task stands still.
    pub fn want_samples(&self) -> bool {
        self.functions.values().any(|watch| watch.sample.is_some())
    }

    /// The function is one of those that are expected.
    pub fn expects(&self, tracepoint: &Tracepoint) -> bool {
        let expected = || {
            self.expected
                .iter()
                .any(|name| **name == *tracepoint.symbol)
        };
        matches!(tracepoint.kind, Kind::Resource { .. }) && expected()
    }

    /// Those that a module provides. Only the main program may hide its own from the dynamic linker, as
    /// one that is statically linked does. Of two names for one address, one is enough.
    ///
    /// # Errors
    /// None can be given of a program of 32 bits: the reachability check knows no words but those of 64.
    pub(super) fn points(
        &self,
        image: &elf::Image,
        bytes: &[u8],
        name: &Arc<ModuleName>,
    ) -> Result<Found, String> {
        match (self.functions.is_empty(), image.class, name.is_main) {
            (false, Class::Elf64, _) => {}
            (false, Class::Elf32, true) => {
                let program = &name.name;
                return Err(format!(
                    "{program} is a program of 32 bits, whose leaks cannot be told"
                ));
            }
            _ => return Ok(Found::default()),
        }
        let own = elf::Image::file_symbols(bytes).unwrap_or_default();
        let mut found = Found::default();
        let mut seen = HashSet::new();
        self.add_aliases(image, name, &own, &mut seen, &mut found);
        let all = || image.exports.iter().chain(&own);
        let operators = self.operators(all());
        let is_told_apart = |symbol: &Symbol| operators.contains(&*symbol.name);
        for known in allocators::find(image, bytes, name, all(), &is_told_apart) {
            if let Some(watch) = self.functions.get(known.usual)
                && seen.insert(known.at)
            {
                found.points.push(known_point(name, known, watch));
            }
        }
        let own = if name.is_main { own.as_slice() } else { &[] };
        let is_watched = |symbol: &Symbol| {
            let is_operator = allocators::is_operator(&symbol.name);
            self.functions.contains_key(&symbol.name) && (!is_operator || is_told_apart(symbol))
        };
        for symbol in self.named(image, own, &is_watched) {
            if let Some(watch) = self.functions.get(&symbol.name)
                && seen.insert(symbol.vaddr)
            {
                found.points.push(provided(name, symbol, watch));
            }
        }
        let all: Vec<&Symbol> = all().collect();
        self.add_written(image, name, &all, &mut seen, &mut found);
        Ok(found)
    }

    /// Functions that the user named as their language writes them; a name without a namespace or a class is
    /// one of the program's, and none that it imports.
    fn add_written(
        &self,
        image: &elf::Image,
        name: &Arc<ModuleName>,
        all: &[&Symbol],
        seen: &mut HashSet<Vaddr>,
        found: &mut Found,
    ) {
        for wanted in &self.named {
            let mut known = all.iter().map(|symbol| &symbol.name);
            let is_symbol = known.any(|symbol| symbol == wanted)
                || image
                    .imports
                    .iter()
                    .any(|import| *import.symbol == **wanted);
            let is_qualified = Written::is_qualified(wanted);
            let (Some(written), Some(watch)) = (Written::of(wanted), self.functions.get(wanted))
            else {
                continue;
            };
            if is_symbol || !(is_qualified || name.is_main) {
                continue;
            }
            let is_meant = |symbol: &&&Symbol| {
                symbol.kind == SymbolKind::Func
                    && written.means(&symbol.name)
                    && image.is_code(symbol.vaddr)
            };
            let meant: Vec<&&Symbol> = all.iter().filter(is_meant).collect();
            if !is_qualified {
                let symbols = meant.iter().map(|symbol| &*symbol.name);
                found.taken.extend(taken_as(wanted, symbols));
            }
            for symbol in meant.iter().filter(|symbol| seen.insert(symbol.vaddr)) {
                found.points.push(Point {
                    wanted: Wanted::Always,
                    ..point(name, wanted, symbol.vaddr, watch)
                });
            }
        }
    }

    fn add_aliases(
        &self,
        image: &elf::Image,
        name: &Arc<ModuleName>,
        own: &[Symbol],
        seen: &mut HashSet<Vaddr>,
        found: &mut Found,
    ) {
        let own = if name.is_main { own } else { &[] };
        for (index, alias) in self.aliases.iter().enumerate() {
            let symbols = image.exports.iter().chain(own);
            if let Some(at) = alias.find(image, name, symbols)
                && let Some(watch) = self.functions.get(&alias.usual)
                && seen.insert(at)
            {
                found.points.push(point(name, &alias.usual, at, watch));
                found.aliases.push(index);
            }
        }
    }

    /// The operators new and delete that are watched as such: all that are watched, unless the module has some
    /// at the address of a function that does not go with it, as allocators have `operator delete` and `free`.
    fn operators<'s>(&self, symbols: impl Iterator<Item = &'s Symbol>) -> HashSet<&'s str> {
        let mut operators = HashSet::new();
        let mut forms: HashMap<Vaddr, &str> = HashMap::new();
        let watched = symbols.filter(|symbol| self.functions.contains_key(&symbol.name));
        for symbol in watched {
            let form = allocators::form(&symbol.name);
            let other = *forms.entry(symbol.vaddr).or_insert(form);
            let is_any_operator = [form, other].into_iter().any(allocators::is_operator);
            if form != other && is_any_operator {
                return HashSet::new();
            }
            if allocators::is_operator(&symbol.name) {
                operators.insert(&*symbol.name);
            }
        }
        operators
    }

    /// The functions that are watched by their names, those first by whose name a function is called.
    fn named<'s>(
        &self,
        image: &'s elf::Image,
        own: &'s [Symbol],
        is_watched: &dyn Fn(&Symbol) -> bool,
    ) -> Vec<&'s Symbol> {
        // A function that only its own source file can call is no allocator; but some linkers make
        // `malloc` local where `__malloc` stays, its other name.
        let callable = own.iter().filter(|own| own.scope != Scope::Local);
        let callable: HashSet<Vaddr> = callable.map(|own| own.vaddr).collect();
        let own = own
            .iter()
            .filter(|own| callable.contains(&own.vaddr) || self.named.contains(&own.name));
        let watched = |symbol: &&Symbol| symbol.kind == SymbolKind::Func && is_watched(symbol);
        let mut symbols: Vec<&Symbol> = image.exports.iter().chain(own).filter(watched).collect();
        // By the name that users say, or at least know: `open` rather than `__open` or `open64`.
        let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
        let strangeness = |name: &str| (!self.named.contains(name), underscores(name), name.len());
        symbols.sort_by_key(|symbol| strangeness(&symbol.name));
        symbols
    }
}

/// A function of an allocator that is known: whatever module is first, this is another one.
fn known_point(module: &Arc<ModuleName>, known: Known, watch: &Watch) -> Point {
    let kind = Kind::Resource {
        entry: known.at,
        allocator: Some(known.allocator),
        holder: watch.holder,
        sample: watch.sample,
        nesting: None,
    };
    Point {
        tracepoint: tracepoint(module, known.usual, kind, watch),
        sites: Sites::Entry(known.at),
        wanted: Wanted::Always,
    }
}

/// A function that a module provides by the name that it is watched by.
fn provided(module: &Arc<ModuleName>, symbol: &Symbol, watch: &Watch) -> Point {
    let is_standard = allocators::is_standard_library(&module.name);
    let nesting = watch.nesting.map(|nesting| match is_standard {
        true => nesting.in_standard_library(&symbol.name, symbol.size),
        false => nesting,
    });
    let kind = Kind::Resource {
        entry: symbol.vaddr,
        allocator: None,
        holder: watch.holder,
        sample: watch.sample,
        nesting,
    };
    Point {
        tracepoint: tracepoint(module, &symbol.name, kind, watch),
        sites: Sites::Entry(symbol.vaddr),
        wanted: Wanted::IfFirst,
    }
}

fn point(module: &Arc<ModuleName>, symbol: &str, entry: Vaddr, watch: &Watch) -> Point {
    let kind = Kind::Resource {
        entry,
        allocator: None,
        holder: watch.holder,
        sample: watch.sample,
        nesting: None,
    };
    Point {
        tracepoint: tracepoint(module, symbol, kind, watch),
        sites: Sites::Entry(entry),
        wanted: Wanted::IfFirst,
    }
}

fn tracepoint(
    module: &Arc<ModuleName>,
    symbol: &str,
    kind: Kind,
    watch: &Watch,
) -> Arc<Tracepoint> {
    Arc::new(Tracepoint {
        module: module.clone(),
        symbol: symbol.into(),
        kind,
        prototype: Some(watch.prototype.clone()),
        capture: OnceLock::new(),
        returns: watch.returns,
        stack: watch.stack,
    })
}
