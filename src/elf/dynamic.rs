//! The dynamic section (`PT_DYNAMIC`): what the dynamic linker goes by, hence what we go by.

use super::layout::{Layout, Table, records};
use crate::base::addr::Vaddr;
use goblin::elf::dynamic::*;

/// The entries of the dynamic section that we use (gABI, "Dynamic Section"). Of an entry that is
/// given twice, the last counts, as for glibc.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    pub(super) strings: Table,
    pub(super) symbols: Vaddr,
    pub(super) gnu_hash: Option<Vaddr>,
    pub(super) hash: Option<Vaddr>,
    pub(super) plt_relocs: Table,
    pub(super) plt_relocs_form: Form,
    pub(super) rela: Table,
    pub(super) rel: Table,
    pub(super) versym: Option<Vaddr>,
    pub(super) verneed: Option<Vaddr>,
    pub(super) got: Option<Vaddr>,
    pub(super) init: Option<Vaddr>,
    pub(super) debug_entry: Option<Vaddr>,
    /// Offsets into the string table.
    pub(super) soname: Option<u64>,
    pub(super) needed: Vec<u64>,
    pub(super) rpath: Option<u64>,
    pub(super) runpath: Option<u64>,
}

/// Whether relocations carry their addend (`DT_PLTREL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Rela,
    Rel,
}

/// Reads the dynamic section at `at`.
pub(super) fn read(layout: Layout<'_>, at: Vaddr) -> Dynamic {
    let mut dynamic = Dynamic::default();
    let word = layout.class.word() as u64;
    let entries = records::<Dyn, _>(layout.from(at), layout.class.ctx());
    for (index, entry) in (0u64..).zip(entries) {
        let value_at = Vaddr(at.0.wrapping_add((2 * index + 1) * word));
        match entry.d_tag {
            DT_NULL => break,
            DT_DEBUG => dynamic.debug_entry = Some(value_at),
            tag => dynamic.take(tag, entry.d_val),
        }
    }
    dynamic
}

impl Dynamic {
    fn take(&mut self, tag: u64, value: u64) {
        let at = Vaddr(value);
        match tag {
            DT_STRTAB => self.strings.at = at,
            DT_STRSZ => self.strings.size = value,
            DT_SYMTAB => self.symbols = at,
            DT_GNU_HASH => self.gnu_hash = Some(at),
            DT_HASH => self.hash = Some(at),
            DT_JMPREL => self.plt_relocs.at = at,
            DT_PLTRELSZ => self.plt_relocs.size = value,
            DT_PLTREL if value == DT_REL => self.plt_relocs_form = Form::Rel,
            DT_PLTREL => self.plt_relocs_form = Form::Rela,
            DT_RELA => self.rela.at = at,
            DT_RELASZ => self.rela.size = value,
            DT_REL => self.rel.at = at,
            DT_RELSZ => self.rel.size = value,
            DT_VERSYM => self.versym = Some(at),
            DT_VERNEED => self.verneed = Some(at),
            DT_PLTGOT => self.got = Some(at),
            DT_INIT => self.init = Some(at),
            DT_SONAME => self.soname = Some(value),
            DT_NEEDED => self.needed.push(value),
            DT_RPATH => self.rpath = Some(value),
            DT_RUNPATH => self.runpath = Some(value),
            _ => {}
        }
    }
}
