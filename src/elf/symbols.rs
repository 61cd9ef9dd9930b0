//! The functions that a file defines: those it exports (`.dynsym`), and all it has names for
//! (`.symtab`).

use super::dynamic::Dynamic;
use super::error::Error;
use super::layout::{Layout, record, records, slice, u32s};
use super::strings::Strings;
use super::{Class, Scope, Segment, Symbol, SymbolKind, header};
use crate::base::addr::Vaddr;
use goblin::elf::section_header::{SHF_ALLOC, SHF_EXECINSTR, SHN_ABS, SHN_UNDEF, SHT_SYMTAB};
use goblin::elf::sym::*;
use goblin::elf::{SectionHeader, Sym};

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

/// The functions in `.symtab`, found by section headers; none when the file is stripped of either.
pub(super) fn file_symbols(bytes: &[u8]) -> Result<Vec<Symbol>, Error> {
    symtab(bytes, |_, symbol, strings| {
        defined_function(symbol, &[], strings)
    })
}

/// The symbols in `.symtab` that have no type and lie in a section with code.
pub(super) fn labels(bytes: &[u8]) -> Result<Vec<Symbol>, Error> {
    symtab(bytes, |sections, symbol, strings| {
        let is_code = |s: &SectionHeader| s.sh_flags & u64::from(SHF_EXECINSTR | SHF_ALLOC) == CODE;
        if symbol.st_type() != STT_NOTYPE || !sections.get(symbol.st_shndx).is_some_and(is_code) {
            return None;
        }
        Some(named(
            symbol,
            SymbolKind::NoType,
            strings.get(symbol.st_name as u64)?,
        ))
    })
}

/// Where the thread-local variable with this name is in its module's block, by `.symtab`.
pub(super) fn thread_local(bytes: &[u8], name: &str) -> Result<Option<u64>, Error> {
    let found = symtab(bytes, |_, symbol, strings| {
        if symbol.st_type() != STT_TLS {
            return None;
        }
        let own = strings.get(symbol.st_name as u64)?;
        (own == name).then(|| named(symbol, SymbolKind::NoType, String::new()))
    })?;
    Ok(found.first().map(|symbol| symbol.vaddr.0))
}

/// The flags of `.text`.
const CODE: u64 = (SHF_EXECINSTR | SHF_ALLOC) as u64;

/// What `take` makes of the symbols in `.symtab`. It is given the section headers as well.
fn symtab(
    bytes: &[u8],
    take: impl Fn(&[SectionHeader], &Sym, &mut Strings<'_>) -> Option<Symbol>,
) -> Result<Vec<Symbol>, Error> {
    let (class, header) = header(bytes)?;
    let sections: Vec<SectionHeader> = sections(bytes, class, &header)?.collect();
    let Some(symtab) = sections.iter().find(|s| s.sh_type == SHT_SYMTAB) else {
        return Ok(Vec::new());
    };
    let strtab = sections.get(symtab.sh_link as usize);
    let strtab = strtab.ok_or(Error::Outside("symbol string table"))?;
    let mut strings = Strings::new(slice(bytes, strtab.sh_offset, strtab.sh_size));
    let table = slice(bytes, symtab.sh_offset, symtab.sh_size);
    let symbols = records::<Sym, _>(table, class.ctx())
        .filter_map(|symbol| take(&sections, &symbol, &mut strings))
        .collect();
    Ok(symbols)
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
    if [SHN_UNDEF, SHN_ABS]
        .map(|i| i as usize)
        .contains(&symbol.st_shndx)
    {
        return None;
    }
    let vaddr = Vaddr(symbol.st_value);
    let kind = SymbolKind::of(symbol)?;
    if kind == SymbolKind::NoType && !segments.iter().any(|s| s.executable && s.contains(vaddr)) {
        return None;
    }
    Some(named(symbol, kind, strings.get(symbol.st_name as u64)?))
}

fn named(symbol: &Sym, kind: SymbolKind, name: String) -> Symbol {
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
