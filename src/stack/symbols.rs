//! Names out of symbol tables, for code without debug information.

use crate::base::addr::Vaddr;
use crate::elf::{Image, Object, Objects, Scope, Sections, Symbol};
use std::sync::Arc;

/// A module's functions by address; of several names for one address, the one that users know.
#[derive(Debug, Default)]
pub struct Symbols {
    functions: Vec<Symbol>,
}

impl Symbols {
    /// All functions that the first of the files with a `.symtab` names, else those that the first
    /// file exports.
    pub fn read(files: &[&[u8]]) -> Symbols {
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
    pub fn find(&self, at: Vaddr) -> Option<(&str, u64)> {
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

/// Streams by their symbols in glibc, musl, libstdc++ and libc++.
const STREAMS: [(&str, &str); 17] = [
    ("_IO_2_1_stdin_", "stdin"),
    ("_IO_2_1_stdout_", "stdout"),
    ("_IO_2_1_stderr_", "stderr"),
    ("__stdin_FILE", "stdin"),
    ("__stdout_FILE", "stdout"),
    ("__stderr_FILE", "stderr"),
    ("_ZSt3cin", "std::cin"),
    ("_ZSt4cout", "std::cout"),
    ("_ZSt4cerr", "std::cerr"),
    ("_ZSt4clog", "std::clog"),
    ("_ZSt4wcin", "std::wcin"),
    ("_ZSt5wcout", "std::wcout"),
    ("_ZSt5wcerr", "std::wcerr"),
    ("_ZNSt3__13cinE", "std::cin"),
    ("_ZNSt3__14coutE", "std::cout"),
    ("_ZNSt3__14cerrE", "std::cerr"),
    ("_ZNSt3__14clogE", "std::clog"),
];

/// The streams of the C and C++ libraries that are in a file, and where.
pub fn streams(file: &[u8]) -> Vec<(Vaddr, Arc<str>)> {
    let objects = Objects::read(file).unwrap_or_default();
    let stream = |object: &Object| {
        // Behind it a version may stand.
        let symbol = object.name.split('@').next().unwrap_or_default();
        let (_, name) = STREAMS.iter().find(|(known, _)| *known == symbol)?;
        Some((object.vaddr, Arc::from(*name)))
    };
    objects.iter().filter_map(stream).collect()
}
