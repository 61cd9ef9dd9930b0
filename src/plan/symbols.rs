//! Which symbols of a module the filters of `-x` are about. There may be millions, of which mostly one is meant: they are
//! looked through where they are.

use super::ModuleName;
use super::filter::{Filter, Here};
use crate::base::addr::Vaddr;
use crate::elf::{Image, InFile, Symbol, SymbolKind};
use std::borrow::Cow;

/// The symbols of a module, those that it exports first.
pub(super) struct Symbols<'m> {
    pub(super) filters: &'m [Filter],
    pub(super) image: &'m Image,
    pub(super) bytes: &'m [u8],
    pub(super) module: &'m ModuleName,
}

impl<'m> Symbols<'m> {
    /// All functions; and what has no type, where it is meant by its very name.
    pub(super) fn all(&self) -> impl Iterator<Item = InFile<'m>> + Clone {
        self.exported().chain(self.own(|_| true))
    }

    fn exported(&self) -> impl Iterator<Item = InFile<'m>> + Clone + use<'m> {
        let exports = self.image.exports.iter().map(Symbol::borrowed);
        exports.filter(self.is_function())
    }

    /// Those of `.symtab` at some addresses.
    fn own<F: Fn(Vaddr) -> bool + Clone>(
        &self,
        is_wanted: F,
    ) -> impl Iterator<Item = InFile<'m>> + Clone + use<'m, F> {
        Image::in_code(self.bytes, is_wanted).filter(self.is_function())
    }

    fn is_function(&self) -> impl Fn(&InFile<'_>) -> bool + Clone + use<'m> {
        let (filters, module) = (self.filters, self.module);
        move |symbol| {
            let mut filters = filters.iter();
            symbol.kind != SymbolKind::NoType || filters.any(|f| f.names(&symbol.name, module))
        }
    }

    /// The filters as they are read here, where symbols are called as they are, and imports too.
    pub(super) fn filters_here(&self) -> Vec<Here<'m>> {
        let filters = self.filters.iter();
        let mut here: Vec<Here> = filters.map(|f| Here::new(f, self.module)).collect();
        let imports = self.image.imports.iter();
        let imports = imports.map(|import| Cow::Borrowed(&*import.symbol));
        for symbol in imports.chain(self.all().map(|symbol| symbol.name)) {
            if !here.iter().any(Here::is_written) {
                break;
            }
            here.iter_mut().for_each(|filter| filter.note(&symbol));
        }
        here
    }

    /// Those that filters mean, with the others of the same addresses; all where addresses are meant, as any symbol may be
    /// around one. In the order of their addresses: of several names exported ones stay in front, labels behind.
    pub(super) fn wanted(&self, here: &[Here<'_>]) -> Vec<Symbol> {
        let mut filters = self.filters.iter();
        let is_everything = filters.any(|f| f.addresses(self.module).next().is_some());
        let places = match is_everything {
            true => Vec::new(),
            false => self.places(here),
        };
        if places.is_empty() && !is_everything {
            return Vec::new();
        }
        let is_wanted = |at: Vaddr| is_everything || places.binary_search(&at).is_ok();
        let exported = self.exported().filter(|s| is_wanted(s.vaddr));
        let mut wanted: Vec<Symbol> = exported.map(|s| s.owned()).collect();
        wanted.sort_by_key(|s| strangeness(&s.name));
        let mut own: Vec<Symbol> = self.own(is_wanted).map(|s| s.owned()).collect();
        own.sort_by_key(|s| s.kind == SymbolKind::NoType);
        wanted.append(&mut own);
        wanted.sort_by_key(|s| s.vaddr);
        wanted
    }

    /// Where those are that filters mean, in order.
    fn places(&self, here: &[Here<'_>]) -> Vec<Vaddr> {
        let is_meant = |s: &InFile<'_>| here.iter().any(|f| f.matches(&s.name));
        let mut places: Vec<Vaddr> = self.all().filter(is_meant).map(|s| s.vaddr).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// Of several names for one address, the one that users know goes first: `strrchr` rather than `rindex`, which
/// POSIX has withdrawn, and `open` rather than `__open` or `open64`.
fn strangeness(name: &str) -> (usize, bool, bool) {
    const WITHDRAWN: [&str; 5] = ["bcmp", "bcopy", "bzero", "index", "rindex"];
    let underscores = name.len() - name.trim_start_matches('_').len();
    // Those of C++ and Rust are mangled.
    let underscores = if underscores == 1 && name.starts_with("_Z") {
        0
    } else {
        underscores
    };
    (underscores, WITHDRAWN.contains(&name), name.ends_with("64"))
}
