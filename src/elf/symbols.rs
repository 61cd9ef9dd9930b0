//! The functions that a file defines: those it exports (`.dynsym`), and all it has names for
//! (`.symtab`).

use super::dynamic::Dynamic;
use super::error::Error;
use super::layout::{Layout, record, records, slice, u32s};
use super::strings::Strings;
use super::{Class, InFile, Scope, Segment, Symbol, SymbolKind, header};
use crate::base::addr::Vaddr;
use goblin::elf::section_header::{SHF_ALLOC, SHF_EXECINSTR, SHN_ABS, SHN_UNDEF, SHT_SYMTAB};
use goblin::elf::sym::*;
use goblin::elf::{SectionHeader, Sym};
use std::rc::Rc;

/// The functions among the defined dynamic symbols.
pub(super) fn exports(
    layout: Layout<'_>,
    dynamic: &Dynamic,
    strings: &mut Strings<'_>,
) -> Vec<Symbol> {
    let table = records::<Sym, _>(layout.from(dynamic.symbols), layout.class.ctx());
    table
        .take(count(layout, dynamic))
        .filter_map(|symbol| defined_function(&symbol, layout.segments, strings))
        .collect()
}

/// What `.symtab` names in the code, found by section headers: functions, and what has no type and lies in a section with
/// code. Nothing when the file is stripped of either. Names stay where they are: there may be millions. Only
/// those at addresses that are wanted.
pub(super) fn in_code<'a>(
    bytes: &'a [u8],
    is_wanted: impl Fn(Vaddr) -> bool + Clone,
) -> Result<impl Iterator<Item = InFile<'a>> + Clone, Error> {
    let (sections, symbols, mut strings) = symtab(bytes)?;
    let is_code = |s: &SectionHeader| s.sh_flags & u64::from(SHF_EXECINSTR | SHF_ALLOC) == CODE;
    let code: Rc<[bool]> = sections.iter().map(is_code).collect();
    Ok(symbols.filter_map(move |symbol| {
        let kind = defined(&symbol).filter(|_| is_wanted(Vaddr(symbol.st_value)))?;
        let is_code = || code.get(symbol.st_shndx) == Some(&true);
        if kind == SymbolKind::NoType && !is_code() {
            return None;
        }
        Some(named(&symbol, kind, strings.name(symbol.st_name as u64)?))
    }))
}

/// The functions among those.
pub(super) fn functions(bytes: &[u8]) -> Result<impl Iterator<Item = InFile<'_>> + Clone, Error> {
    Ok(in_code(bytes, |_| true)?.filter(|symbol| symbol.kind != SymbolKind::NoType))
}

/// Where the thread-local variable with this name is in its module's block, by `.symtab`.
pub(super) fn thread_local(bytes: &[u8], name: &str) -> Result<Option<u64>, Error> {
    let (_, mut symbols, mut strings) = symtab(bytes)?;
    let found = symbols.find(|symbol| {
        let mut own = || strings.name(symbol.st_name as u64);
        symbol.st_type() == STT_TLS && own().is_some_and(|own| own == name)
    });
    Ok(found.map(|symbol| symbol.st_value))
}

/// The flags of `.text`.
const CODE: u64 = (SHF_EXECINSTR | SHF_ALLOC) as u64;

/// The section headers, the symbols in `.symtab`, and their names.
fn symtab(
    bytes: &[u8],
) -> Result<
    (
        Vec<SectionHeader>,
        impl Iterator<Item = Sym> + Clone + '_,
        Strings<'_>,
    ),
    Error,
> {
    let (class, header) = header(bytes)?;
    let sections: Vec<SectionHeader> = sections(bytes, class, &header)?.collect();
    let symtab = sections.iter().find(|s| s.sh_type == SHT_SYMTAB);
    let (table, names) = match symtab {
        None => (&[][..], &[][..]),
        Some(symtab) => {
            let strtab = sections.get(symtab.sh_link as usize);
            let strtab = strtab.ok_or(Error::Outside("symbol string table"))?;
            (
                slice(bytes, symtab.sh_offset, symtab.sh_size),
                slice(bytes, strtab.sh_offset, strtab.sh_size),
            )
        }
    };
    let symbols = records::<Sym, _>(table, class.ctx());
    Ok((sections, symbols, Strings::new(names)))
}

/// The section headers; none is no error.
pub(super) fn sections<'a>(
    bytes: &'a [u8],
    class: Class,
    header: &goblin::elf::Header,
) -> Result<impl Iterator<Item = SectionHeader> + Clone + 'a, Error> {
    const NAME: &str = "section header table";
    let size = SectionHeader::size(class.ctx());
    let table = slice(bytes, header.e_shoff, u64::MAX);
    // gABI, "Sections": no offset, no table; a count too big for the header is in the first entry.
    let count = match (header.e_shoff, header.e_shnum) {
        (0, _) => 0,
        (_, 0) => record::<SectionHeader, _>(table, 0, class.ctx()).map_or(0, |s| s.sh_size),
        (_, count) => count.into(),
    };
    if count > 0 && usize::from(header.e_shentsize) != size {
        return Err(Error::EntrySize(NAME));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > table.len() / size {
        return Err(Error::Outside(NAME));
    }
    Ok((0..count).map_while(move |i| record(table, i, class.ctx())))
}

/// What `symbol` is, if it is a function with a place in the file. Symbols without a type count
/// when they lie in one of the executable `segments`: hand-written assembly often says no more.
fn defined_function(
    symbol: &Sym,
    segments: &[Segment],
    strings: &mut Strings<'_>,
) -> Option<Symbol> {
    let kind = defined(symbol)?;
    let vaddr = Vaddr(symbol.st_value);
    if kind == SymbolKind::NoType && !segments.iter().any(|s| s.executable && s.contains(vaddr)) {
        return None;
    }
    Some(named(symbol, kind, strings.get(symbol.st_name as u64)?))
}

/// What kind of function it is, if it is defined here.
fn defined(symbol: &Sym) -> Option<SymbolKind> {
    let nowhere = [SHN_UNDEF as usize, SHN_ABS as usize];
    SymbolKind::of(symbol).filter(|_| !nowhere.contains(&symbol.st_shndx))
}

fn named<N>(symbol: &Sym, kind: SymbolKind, name: N) -> Symbol<N> {
    Symbol {
        name,
        vaddr: Vaddr(symbol.st_value),
        size: symbol.st_size,
        kind,
        scope: match symbol.st_bind() {
            STB_LOCAL => Scope::Local,
            STB_WEAK => Scope::Weak,
            _ => Scope::Global,
        },
    }
}

impl SymbolKind {
    /// The kind of a symbol that may be a function.
    pub(super) fn of(symbol: &Sym) -> Option<SymbolKind> {
        match symbol.st_type() {
            STT_FUNC => Some(SymbolKind::Func),
            STT_GNU_IFUNC => Some(SymbolKind::Ifunc),
            STT_NOTYPE => Some(SymbolKind::NoType),
            _ => None,
        }
    }
}

/// How many dynamic symbols there are. Nothing but the hash tables says so.
fn count(layout: Layout<'_>, dynamic: &Dynamic) -> usize {
    let count = match (dynamic.gnu_hash, dynamic.hash) {
        (Some(at), _) => gnu_hash_count(layout, at),
        // gABI, "Hash Table": nbucket, nchain, and there are as many chain entries as symbols.
        (None, Some(at)) => u32s(layout.from(at)).nth(1),
        (None, None) => None,
    };
    count.unwrap_or(0) as usize
}

/// The index after the last symbol that a `DT_GNU_HASH` table reaches: the highest bucket's chain
/// runs on to the end of the symbol table, where a value with bit 0 set ends it.
fn gnu_hash_count(layout: Layout<'_>, at: Vaddr) -> Option<u32> {
    let table = layout.from(at);
    let mut words = u32s(table);
    let (buckets, first, bloom) = (words.next()?, words.next()?, words.next()?);
    let bloom_size = (bloom as usize).checked_mul(layout.class.word())?;
    let rest = table.get(bloom_size.checked_add(16)?..)?;
    let last = u32s(rest).take(buckets as usize).max()?;
    if last < first {
        return Some(first);
    }
    let chains = rest.get((buckets as usize).checked_mul(4)?..)?;
    let ends = u32s(chains)
        .skip((last - first) as usize)
        .position(|hash| hash & 1 == 1)?;
    last.checked_add(u32::try_from(ends).ok()?)?.checked_add(1)
}
