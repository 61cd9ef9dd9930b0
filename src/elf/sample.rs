//! A small ELF file with one of everything, written by hand so that tests know each address in it.

use super::Class;
use crate::base::addr::Vaddr;
use goblin::elf::dynamic::*;
use goblin::elf::header::*;
use goblin::elf::program_header::*;
use goblin::elf::section_header::{SHN_ABS, SHT_STRTAB, SHT_SYMTAB};
use goblin::elf::sym::*;

/// The file, and where things are in it.
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    /// The slots, in the order of [`SLOTS`].
    pub(super) slots: Vec<Vaddr>,
    /// The code: `jmp *puts`, `call *abort`, `mov hook,%rax`, `cmp puts,%rax`, each six or seven bytes.
    pub(super) text: Vaddr,
    pub(super) dynamic: Vaddr,
    pub(super) init: Vaddr,
    /// File offsets of tables, for tests that damage them.
    pub(super) program_headers: usize,
    pub(super) dynamic_offset: usize,
}

/// The file is loaded here, so that addresses are no file offsets.
pub(super) const BASE: u64 = 0x10000;

/// The symbols of the slots; the first two and the fourth are in the PLT's table.
pub(super) const SLOTS: [&str; 6] = ["puts", "choose", "hook", "", "abort", "stdout"];

const NAMES: &str = "\0libsample.so.1\0libc.so.6\0libm.so.6\0GLIBC_2.34\0puts\0stdout\0hook\0abort\0\
                     work\0choose\0label\0absolute\0outside\0";
const LOCAL_NAMES: &str = "\0helper\0pick\0table\0";

/// The program headers, and where the parts are that they speak of.
const PROGRAM_HEADERS: usize = 5;

impl Sample {
    /// A library for x86-64 (with `RELA`) or i386 (with `REL`).
    pub(super) fn new(class: Class) -> Sample {
        let mut file = Writer {
            class,
            bytes: Vec::new(),
        };
        let wide = class == Class::Elf64;
        let (header_size, program_header_size) = if wide { (64, 56) } else { (52, 32) };
        file.zeros(header_size + PROGRAM_HEADERS * program_header_size);
        let interp = file.put(b"/lib/ld-sample.so\0");
        let note = file.put(b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\xde\xad\xbe\xef");
        file.align();
        // The dynamic section comes early, so that a file that is cut short speaks of what it lost.
        let dynamic = file.zeros(24 * 2 * class.word());
        let slots = file.zeros(SLOTS.len() * class.word());
        let slot = |index: usize| slots + (index * class.word()) as u64;
        let text = file.here();
        file.operand(&[0xff, 0x25], slot(0));
        file.operand(&[0xff, 0x15], slot(4));
        file.operand(&[0x48, 0x8b, 0x05], slot(2));
        file.operand(&[0x48, 0x3b, 0x05], slot(0));
        file.align();

        let names = file.put(NAMES.as_bytes());
        file.align();
        let global = |kind| STB_GLOBAL << 4 | kind;
        let symbols = file.symbol(NAMES, "", 0, 0, 0);
        file.symbol(NAMES, "puts", global(STT_FUNC), 0, 0);
        file.symbol(NAMES, "stdout", global(STT_OBJECT), 0, 0);
        file.symbol(NAMES, "hook", STB_WEAK << 4 | STT_NOTYPE, 0, 0);
        file.symbol(NAMES, "abort", global(STT_FUNC), 0, 0);
        file.symbol(NAMES, "work", global(STT_FUNC), 1, text);
        file.symbol(NAMES, "choose", STB_WEAK << 4 | STT_GNU_IFUNC, 1, text + 6);
        file.symbol(NAMES, "label", global(STT_NOTYPE), 1, text + 12);
        file.symbol(NAMES, "absolute", global(STT_FUNC), SHN_ABS as u16, text);
        file.symbol(NAMES, "outside", global(STT_NOTYPE), 1, 0x10);
        // Two buckets; the hashed symbols are 5 to 9, and bit 0 ends a chain.
        let gnu_hash = file.words(&[2, 5, 1, 6]);
        file.word(0);
        file.words(&[5, 8, 2, 4, 7, 6, 9]);
        let hash = file.words(&[1, 10, 0]);
        let versym = file.put(&[
            0, 0, 2, 0, 1, 0, 1, 0, 3, 0x80, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0,
        ]);
        file.align();
        let verneed = file.words(&[1 | 1 << 16, offset(NAMES, "libc.so.6"), 16, 32]);
        file.words(&[0, 2 << 16, offset(NAMES, "GLIBC_2.34"), 0]);
        file.words(&[1 | 1 << 16, offset(NAMES, "libm.so.6"), 16, 0]);
        file.words(&[0, 3 << 16, offset(NAMES, "GLIBC_2.34"), 0]);

        let irelative = if wide { 37 } else { 42 };
        let relocs = file.relocation(slot(2), 3, 6, 0);
        file.relocation(slot(4), 4, 6, 0);
        file.relocation(slot(5), 2, 6, 0);
        file.relocation(slot(0), 1, 1, 0);
        // The loader's R_*_RELATIVE has no symbol.
        file.relocation(slot(0), 0, 8, 0);
        let plt_relocs = file.relocation(slot(0), 1, 7, 0);
        file.relocation(slot(1), 0, irelative, text + 6);
        file.relocation(slot(3), 0, irelative, text + 12);
        let end = file.here();
        // A symbol that is not there.
        let lost = file.relocation(slot(5), 999, 7, 0);
        assert_eq!(lost, end);
        let end = file.here();

        let (table, size, form) = if wide {
            (DT_RELA, DT_RELASZ, DT_RELA)
        } else {
            (DT_REL, DT_RELSZ, DT_REL)
        };
        let offset_of = |name| u64::from(offset(NAMES, name));
        let entries = [
            (DT_NEEDED, offset_of("libm.so.6")),
            (DT_NEEDED, offset_of("libc.so.6")),
            (DT_SONAME, offset_of("libsample.so.1")),
            (DT_DEBUG, 0),
            (DT_INIT, text),
            (DT_PLTGOT, slot(0)),
            (DT_STRTAB, names),
            (DT_STRSZ, NAMES.len() as u64),
            (DT_SYMTAB, symbols),
            (DT_GNU_HASH, gnu_hash),
            (DT_HASH, hash),
            (DT_JMPREL, plt_relocs),
            (DT_PLTRELSZ, end - plt_relocs),
            (DT_PLTREL, form),
            (table, relocs),
            // As some linkers do, the PLT's relocations are counted in.
            (size, end - relocs),
            (DT_VERSYM, versym),
            (DT_VERNEED, verneed),
            (DT_VERNEEDNUM, 2),
            (DT_NULL, 0),
            (DT_SONAME, offset_of("puts")),
        ];
        file.patch(dynamic, |file| {
            for (tag, value) in entries {
                file.word(tag);
                file.word(value);
            }
        });
        if !wide {
            file.patch(slot(1), |file| file.word(text + 6));
            file.patch(slot(3), |file| file.word(text + 12));
        }

        let local_names = file.put(LOCAL_NAMES.as_bytes());
        file.align();
        let local_symbols = file.symbol(LOCAL_NAMES, "", 0, 0, 0);
        file.symbol(LOCAL_NAMES, "helper", STT_FUNC, 1, text + 12);
        file.symbol(LOCAL_NAMES, "pick", STT_GNU_IFUNC, 1, text + 12);
        file.symbol(LOCAL_NAMES, "table", STT_OBJECT, 1, text);
        let local_symbols_end = file.here();
        let sections = file.here();
        file.section(0, 0, 0, 0);
        file.section(
            SHT_SYMTAB,
            local_symbols,
            local_symbols_end - local_symbols,
            2,
        );
        file.section(SHT_STRTAB, local_names, LOCAL_NAMES.len() as u64, 0);

        let loaded = file.here() - BASE;
        file.patch(BASE, |file| {
            file.header(header_size, program_header_size, text, sections);
            let table = (PROGRAM_HEADERS * program_header_size) as u64;
            file.program_header(PT_PHDR, PF_R, file.here(), table);
            file.program_header(PT_INTERP, PF_R, interp, 18);
            file.program_header(PT_LOAD, PF_R | PF_X, BASE, loaded);
            file.program_header(PT_DYNAMIC, PF_R, dynamic, 24 * 2 * class.word() as u64);
            file.program_header(PT_NOTE, PF_R, note, 20);
        });
        Sample {
            slots: (0..SLOTS.len()).map(|index| Vaddr(slot(index))).collect(),
            text: Vaddr(text),
            dynamic: Vaddr(dynamic),
            init: Vaddr(text),
            program_headers: header_size,
            dynamic_offset: (dynamic - BASE) as usize,
            bytes: file.bytes,
        }
    }

    /// The same file with a dynamic entry's tag replaced by an unknown one.
    pub(super) fn without(mut self, tag: u64) -> Sample {
        let word = if self.bytes[EI_CLASS] == ELFCLASS64 {
            8
        } else {
            4
        };
        for entry in self.bytes[self.dynamic_offset..]
            .chunks_exact_mut(2 * word)
            .take(24)
        {
            if entry[..word] == tag.to_le_bytes()[..word] {
                entry[..4].copy_from_slice(&0x6000_0000u32.to_le_bytes());
            }
        }
        self
    }
}

/// Where a name stands in a string table.
fn offset(table: &str, name: &str) -> u32 {
    let found = table.find(&format!("\0{name}\0")).map(|at| at + 1);
    if name.is_empty() {
        0
    } else {
        found.unwrap() as u32
    }
}

struct Writer {
    class: Class,
    bytes: Vec<u8>,
}

impl Writer {
    /// The address of what is written next.
    fn here(&self) -> u64 {
        BASE + self.bytes.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.here();
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn zeros(&mut self, count: usize) -> u64 {
        self.put(&vec![0; count])
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    /// Writes over what is at `at`, if it is not longer.
    fn patch(&mut self, at: u64, write: impl FnOnce(&mut Writer)) {
        let rest = self.bytes.split_off((at - BASE) as usize);
        write(self);
        let written = self.bytes.len() - (at - BASE) as usize;
        self.bytes.extend_from_slice(&rest[written..]);
    }

    fn half(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    fn words(&mut self, values: &[u32]) -> u64 {
        let at = self.here();
        for value in values {
            self.put(&value.to_le_bytes());
        }
        at
    }

    /// A word of the class's size.
    fn word(&mut self, value: u64) {
        self.put(&value.to_le_bytes()[..self.class.word()]);
    }

    /// An instruction with an operand by address: on x86-64 it is RIP-relative.
    fn operand(&mut self, opcode: &[u8], target: u64) {
        self.put(opcode);
        let displacement = match self.class {
            Class::Elf32 => target,
            Class::Elf64 => target.wrapping_sub(self.here() + 4),
        };
        self.put(&displacement.to_le_bytes()[..4]);
    }

    fn symbol(&mut self, names: &str, name: &str, info: u8, section: u16, value: u64) -> u64 {
        let at = self.here();
        self.words(&[offset(names, name)]);
        let size = if value == 0 { 0 } else { 6 };
        if self.class == Class::Elf32 {
            self.words(&[value as u32, size]);
        }
        self.put(&[info, 0]);
        self.half(section);
        if self.class == Class::Elf64 {
            self.word(value);
            self.word(size.into());
        }
        at
    }

    fn relocation(&mut self, slot: u64, symbol: u32, kind: u32, addend: u64) -> u64 {
        let at = self.here();
        self.word(slot);
        match self.class {
            Class::Elf32 => {
                self.words(&[symbol << 8 | kind]);
            }
            Class::Elf64 => {
                self.words(&[kind, symbol]);
                self.word(addend);
            }
        }
        at
    }

    fn section(&mut self, kind: u32, at: u64, size: u64, link: u32) {
        self.words(&[0, kind]);
        self.word(0);
        self.word(0);
        self.word(at.saturating_sub(BASE));
        self.word(size);
        self.words(&[link, 0]);
        self.word(0);
        self.word(0);
    }

    fn program_header(&mut self, kind: u32, flags: u32, at: u64, size: u64) {
        self.words(&[kind]);
        if self.class == Class::Elf64 {
            self.words(&[flags]);
        }
        for value in [at - BASE, at, at, size, size] {
            self.word(value);
        }
        if self.class == Class::Elf32 {
            self.words(&[flags]);
        }
        self.word(4);
    }

    fn header(&mut self, size: usize, program_header_size: usize, entry: u64, sections: u64) {
        let (class, machine, section_size) = match self.class {
            Class::Elf32 => (ELFCLASS32, EM_386, 40),
            Class::Elf64 => (ELFCLASS64, EM_X86_64, 64),
        };
        self.put(&[0x7f, b'E', b'L', b'F', class, ELFDATA2LSB, EV_CURRENT, 0]);
        self.put(&[0; 8]);
        self.half(ET_DYN);
        self.half(machine);
        self.words(&[1]);
        self.word(entry);
        self.word(size as u64);
        self.word(sections - BASE);
        self.words(&[0]);
        for value in [
            size,
            program_header_size,
            PROGRAM_HEADERS,
            section_size,
            3,
            0,
        ] {
            self.half(value as u16);
        }
    }
}
