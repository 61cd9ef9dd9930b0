//! Functions whose books are kept: the allocator's, and other pairs that hand out and take back. Each is
//! traced where the dynamic linker finds it first, in the module that provides it for the whole process.

use super::{Kind, ModuleName, Point, Returns, Sites, Stack, Tracepoint, Wanted};
use crate::base::addr::Vaddr;
use crate::elf::{self, Class, Scope, Symbol, SymbolKind};
use crate::proto::Prototype;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// By symbol.
    pub functions: Functions,
    /// Those that the user named: a function that only its own source file can call may be meant.
    pub named: HashSet<String>,
}

impl Resources {
    /// Some function's stacks are wanted.
    pub fn want_stacks(&self) -> bool {
        self.functions
            .values()
            .any(|watch| watch.stack == Stack::Wanted)
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
    ) -> Result<Vec<Point>, String> {
        match (self.functions.is_empty(), image.class, name.is_main) {
            (false, Class::Elf64, _) => {}
            (false, Class::Elf32, true) => {
                let program = &name.name;
                return Err(format!(
                    "{program} is a program of 32 bits, whose leaks cannot be told"
                ));
            }
            _ => return Ok(Vec::new()),
        }
        let own = match name.is_main {
            true => elf::Image::file_symbols(bytes).unwrap_or_default(),
            false => Vec::new(),
        };
        // A function that only its own source file can call is nobody's allocator.
        let own = own
            .iter()
            .filter(|own| own.scope != Scope::Local || self.named.contains(&own.name));
        let watched = |symbol: &&Symbol| {
            symbol.kind == SymbolKind::Func && self.functions.contains_key(&symbol.name)
        };
        let mut symbols: Vec<&Symbol> = image.exports.iter().chain(own).filter(watched).collect();
        // By the name that users know: `open` rather than `__open` or `open64`.
        let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
        symbols.sort_by_key(|symbol| (underscores(&symbol.name), symbol.name.len()));
        let mut seen = HashSet::new();
        let mut points = Vec::new();
        for symbol in symbols {
            if let Some(watch) = self.functions.get(&symbol.name)
                && seen.insert(symbol.vaddr)
            {
                points.push(point(name, &symbol.name, symbol.vaddr, watch));
            }
        }
        Ok(points)
    }
}

fn point(module: &Arc<ModuleName>, symbol: &str, entry: Vaddr, watch: &Watch) -> Point {
    let tracepoint = Tracepoint {
        module: module.clone(),
        symbol: symbol.into(),
        kind: Kind::Resource { entry },
        prototype: Some(watch.prototype.clone()),
        returns: watch.returns,
        stack: watch.stack,
    };
    Point {
        tracepoint: Arc::new(tracepoint),
        sites: Sites::Entry(entry),
        wanted: Wanted::IfFirst,
    }
}
