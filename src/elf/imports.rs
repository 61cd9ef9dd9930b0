//! The functions that a file takes from elsewhere, each with the slot in the GOT that the dynamic
//! linker stores its address in.

use super::dynamic::{Dynamic, Form};
use super::error::Error;
use super::layout::{Layout, Table, record, records, slice};
use super::strings::Strings;
use super::versions::Versions;
use super::{Binding, Import, InFile, SymbolKind, header, symbols};
use crate::base::addr::Vaddr;
use goblin::elf::header::{EM_386, EM_X86_64, ET_EXEC};
use goblin::elf::reloc::*;
use goblin::elf::section_header::{SHF_ALLOC, SHT_RELA};
use goblin::elf::{Reloc, SectionHeader, Sym};
use std::collections::HashMap;

/// Reads the relocations of imported functions.
pub(super) fn imports(
    layout: Layout<'_>,
    machine: u16,
    dynamic: &Dynamic,
    strings: &mut Strings<'_>,
) -> Result<Vec<Import>, Error> {
    let versions = Versions::read(layout, dynamic, strings);
    let symbols = layout.from(dynamic.symbols);
    let mut imports = Vec::new();
    for (table, form) in tables(dynamic) {
        let table = layout.table(table, "relocation table")?;
        for reloc in records::<Reloc, _>(table, (form == Form::Rela, layout.class.ctx())) {
            let Some(relocation) = Relocation::of(machine, reloc.r_type) else {
                continue;
            };
            let symbol = record::<Sym, _>(symbols, reloc.r_sym, layout.class.ctx());
            let import = match relocation {
                Relocation::Irelative => irelative(layout, &reloc),
                Relocation::JumpSlot => symbol.and_then(|symbol| {
                    let binding = Binding::JumpSlot;
                    named(layout, &reloc, &symbol, binding, strings, &versions)
                }),
                Relocation::GlobDat => symbol
                    .filter(|symbol| SymbolKind::of(symbol).is_some())
                    .and_then(|symbol| {
                        let binding = Binding::GlobDat;
                        named(layout, &reloc, &symbol, binding, strings, &versions)
                    }),
            };
            imports.extend(import);
        }
    }
    Ok(imports)
}

/// The kinds of relocation that fill the slot of a function.
enum Relocation {
    JumpSlot,
    GlobDat,
    Irelative,
}

impl Relocation {
    fn of(machine: u16, r_type: u32) -> Option<Relocation> {
        match (machine, r_type) {
            (EM_X86_64, R_X86_64_JUMP_SLOT) | (EM_386, R_386_JMP_SLOT) => {
                Some(Relocation::JumpSlot)
            }
            (EM_X86_64, R_X86_64_GLOB_DAT) | (EM_386, R_386_GLOB_DAT) => Some(Relocation::GlobDat),
            (EM_X86_64, R_X86_64_IRELATIVE) | (EM_386, R_386_IRELATIVE) => {
                Some(Relocation::Irelative)
            }
            _ => None,
        }
    }
}

/// All relocation tables but `DT_RELR`, whose relocations have no symbol.
fn tables(dynamic: &Dynamic) -> [(Table, Form); 3] {
    let plt = dynamic.plt_relocs;
    // The sizes of DT_RELA and DT_REL may count the PLT's table in, at their end (gABI, DT_JMPREL).
    let without_plt = |table: Table| match plt.at.0.checked_sub(table.at.0) {
        Some(before) if plt.size > 0 && before < table.size => Table {
            size: before,
            ..table
        },
        _ => table,
    };
    [
        (plt, dynamic.plt_relocs_form),
        (without_plt(dynamic.rela), Form::Rela),
        (without_plt(dynamic.rel), Form::Rel),
    ]
}

fn named(
    layout: Layout<'_>,
    reloc: &Reloc,
    symbol: &Sym,
    binding: Binding,
    strings: &mut Strings<'_>,
    versions: &Versions<'_>,
) -> Option<Import> {
    Some(Import {
        symbol: strings.get(symbol.st_name as u64)?,
        version: versions.of(reloc.r_sym),
        slot: Vaddr(reloc.r_offset),
        binding,
        kind: SymbolKind::of(symbol).unwrap_or(SymbolKind::NoType),
        content: content(layout, reloc),
    })
}

fn irelative(layout: Layout<'_>, reloc: &Reloc) -> Option<Import> {
    let slot = Vaddr(reloc.r_offset);
    let resolver = match reloc.r_addend {
        Some(addend) => addend as u64,
        // Without an addend of its own, it is what the slot holds.
        None => layout.word(slot)?,
    };
    Some(Import {
        symbol: String::new(),
        version: None,
        slot,
        binding: Binding::Irelative {
            resolver: Vaddr(resolver),
        },
        kind: SymbolKind::Ifunc,
        content: content(layout, reloc),
    })
}

/// Zero where the file has nothing, as the kernel fills it.
fn content(layout: Layout<'_>, reloc: &Reloc) -> u64 {
    layout.word(Vaddr(reloc.r_offset)).unwrap_or(0)
}

/// The IFUNCs of a program that is linked statically: its start code fills their slots by a table that
/// only the section headers tell of to others (`__rela_iplt_start`; glibc: csu/libc-start.c, apply_irel).
pub(super) fn without_dynamic_section(layout: Layout<'_>) -> Vec<Import> {
    let Ok((class, header)) = header(layout.bytes) else {
        return Vec::new();
    };
    // Object files have relocations of the same kinds, with sections' offsets for addresses.
    let sections = match header.e_type {
        ET_EXEC => symbols::sections(layout.bytes, class, &header),
        _ => return Vec::new(),
    };
    let is_table =
        |s: &SectionHeader| s.sh_type == SHT_RELA && s.sh_flags & u64::from(SHF_ALLOC) != 0;
    sections
        .into_iter()
        .flatten()
        .filter(is_table)
        .take(MOST_TABLES)
        .flat_map(|s| {
            records::<Reloc, _>(
                slice(layout.bytes, s.sh_offset, s.sh_size),
                (true, class.ctx()),
            )
        })
        .filter(|reloc| reloc.r_type == R_X86_64_IRELATIVE)
        .filter_map(|reloc| irelative(layout, &reloc))
        .collect()
}

/// Linkers make one or two; those that lie may all hold the whole file.
const MOST_TABLES: usize = 8;

/// Gives `IRELATIVE` imports the name of the IFUNC symbol that stands at their resolver.
pub(super) fn name_resolvers<'a>(
    imports: &mut [Import],
    symbols: impl Iterator<Item = InFile<'a>>,
) {
    let mut names = HashMap::new();
    for symbol in symbols.filter(|s| s.kind == SymbolKind::Ifunc) {
        names.entry(symbol.vaddr).or_insert(symbol.name);
    }
    for import in imports.iter_mut().filter(|i| i.symbol.is_empty()) {
        if let Binding::Irelative { resolver } = import.binding {
            let name = names.get(&resolver).map(|name| name.to_string());
            import.symbol = name.unwrap_or_default();
        }
    }
}
