//! Names out of symbol tables, for code without debug information.

use crate::base::addr::Vaddr;
use crate::elf::{Image, Scope, Sections, Symbol};

/// A module's functions by address; of several names for one address, the one that users know.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    functions: Vec<Symbol>,
}

impl Symbols {
    /// All functions that the first of the files with a `.symtab` names, else those that the first
    /// file exports.
    pub(super) fn read(files: &[&[u8]]) -> Symbols {
        let mut functions = files
            .iter()
            .filter_map(|file| Image::file_symbols(file).ok())
            .find(|symbols| !symbols.is_empty())
            .or_else(|| Some(Image::parse(files.first()?).ok()?.exports))
            .unwrap_or_default();
        functions.sort_by_key(|symbol| (symbol.vaddr, rank(symbol)));
        functions.dedup_by_key(|symbol| symbol.vaddr);
        // Assembly may leave the size out: to the end of the section then, so that
        // what comes after `_init` does not go by its name.
        let ends = files.first().and_then(|file| Sections::read(file).ok());
        let ends = ends.map(|sections| sections.ends()).unwrap_or_default();
        for function in functions.iter_mut().filter(|f| f.size == 0) {
            let after = ends.partition_point(|end| *end <= function.vaddr);
            let end = ends.get(after).unwrap_or(&Vaddr(u64::MAX));
            function.size = end.0 - function.vaddr.0;
        }
        Symbols { functions }
    }

    /// The function around an address, and how far into it the address is.
    pub(super) fn find(&self, at: Vaddr) -> Option<(&str, u64)> {
        let after = self.functions.partition_point(|f| f.vaddr <= at);
        let function = self.functions.get(after.checked_sub(1)?)?;
        let offset = at.0 - function.vaddr.0;
        (offset < function.size).then_some((&*function.name, offset))
    }
}

/// `malloc` rather than `__libc_malloc` or a local alias.
fn rank(symbol: &Symbol) -> (bool, bool, usize, usize) {
    let underscores = symbol.name.len() - symbol.name.trim_start_matches('_').len();
    (
        symbol.size == 0,
        symbol.scope == Scope::Local,
        underscores,
        symbol.name.len(),
    )
}
