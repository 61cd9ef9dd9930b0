//! Sections by name, and the table that leads to unwind information: what unwinding and
//! symbolizing read of a file. They tell where things are, so that the holder of the file can keep
//! pieces of it.

use super::layout::{record, slice};
use super::notes;
use super::symbols::sections;
use super::{Class, Error, header, program_headers};
use crate::base::addr::Vaddr;
use goblin::elf::program_header::{PF_X, PT_GNU_EH_FRAME, PT_LOAD};
use goblin::elf::section_header::{SHF_ALLOC, SHF_COMPRESSED, SHN_XINDEX, SHT_NOBITS};
use goblin::elf::{ProgramHeader, SectionHeader};
use std::ops::Range;

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it goes when the file is loaded.
    pub vaddr: Vaddr,
    /// Where its content is in the file; never beyond the end of it.
    pub range: Range<usize>,
    /// How the content is packed.
    pub packing: Packing,
}

/// How a section's content is packed, and what size it claims to have had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// `ELFCOMPRESS_ZLIB`, and GNU's older `.zdebug_`.
    Zlib(u64),
    /// `ELFCOMPRESS_ZSTD`.
    Zstd(u64),
}

/// The sections and loaded pieces of a file.
#[derive(Debug)]
pub struct Sections<'a> {
    bytes: &'a [u8],
    class: Class,
    headers: Vec<ProgramHeader>,
    sections: Vec<SectionHeader>,
    /// The section that holds the sections' names.
    names: &'a [u8],
}

impl<'a> Sections<'a> {
    /// Reads the tables of a file. Section headers that are missing or broken are as none.
    pub fn read(bytes: &'a [u8]) -> Result<Sections<'a>, Error> {
        let (class, header) = header(bytes)?;
        let headers = program_headers(bytes, class, &header)?;
        let sections: Vec<_> = sections(bytes, class, &header)
            .map(Iterator::collect)
            .unwrap_or_default();
        // gABI, "ELF Header": an index too big for the header is in the first section's link.
        let index = match u32::from(header.e_shstrndx) {
            SHN_XINDEX => sections.first().map_or(0, |first| first.sh_link),
            index => index,
        };
        let names = sections
            .get(index as usize)
            .map_or(&[][..], |s| slice(bytes, s.sh_offset, s.sh_size));
        Ok(Sections {
            bytes,
            class,
            headers,
            sections,
            names,
        })
    }

    /// The size of addresses.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The section with this name, or a debug section by its older, packed name. A section that has
    /// an address only, as those that `objcopy --only-keep-debug` leaves, is none.
    pub fn get(&self, name: &str) -> Option<Section> {
        if let Some(header) = self.header(name) {
            let section = self.at(header.sh_offset, header.sh_size, header.sh_addr)?;
            return match header.sh_flags & u64::from(SHF_COMPRESSED) {
                0 => Some(section),
                _ => self.unpacked_header(section),
            };
        }
        let header = self.header(&format!(".z{}", name.strip_prefix('.')?))?;
        let section = self.at(header.sh_offset, header.sh_size, header.sh_addr)?;
        self.zdebug_header(section)
    }

    /// Whether there is a section with this name that has content.
    pub fn has(&self, name: &str) -> bool {
        self.header(name).is_some()
    }

    /// The table that the run-time unwinder searches (`PT_GNU_EH_FRAME`, LSB "Program Headers").
    pub fn frame_header(&self) -> Option<Section> {
        let header = self.headers.iter().find(|h| h.p_type == PT_GNU_EH_FRAME)?;
        self.at(header.p_offset, header.p_filesz, header.p_vaddr)
    }

    /// What the file loads from this address on, to the end of the segment around it.
    pub fn loaded(&self, at: Vaddr) -> Option<Section> {
        self.loads()
            .filter(|h| at.0 >= h.p_vaddr && at.0 - h.p_vaddr < h.p_filesz)
            .find_map(|h| {
                let skip = at.0 - h.p_vaddr;
                self.at(h.p_offset.checked_add(skip)?, h.p_filesz - skip, at.0)
            })
    }

    /// The code: the executable segments.
    pub fn code(&self) -> impl Iterator<Item = Section> {
        self.loads()
            .filter(|h| h.p_flags & PF_X != 0)
            .filter_map(|h| self.at(h.p_offset, h.p_filesz, h.p_vaddr))
    }

    /// Where the sections end that are loaded, in order.
    pub fn ends(&self) -> Vec<Vaddr> {
        let loaded = |s: &&SectionHeader| s.sh_flags & u64::from(SHF_ALLOC) != 0;
        let mut ends: Vec<Vaddr> = self
            .sections
            .iter()
            .filter(loaded)
            .map(|s| Vaddr(s.sh_addr.saturating_add(s.sh_size)))
            .collect();
        ends.sort_unstable();
        ends
    }

    /// What identifies this very build.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let in_segment = notes::build_id(self.bytes, &self.headers);
        // What dwz(1) makes for several files to share has no segments.
        in_segment.or_else(|| {
            let note = self.get(".note.gnu.build-id")?;
            notes::find(self.bytes.get(note.range)?, 4)
        })
    }

    fn loads(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.headers.iter().filter(|h| h.p_type == PT_LOAD)
    }

    fn header(&self, name: &str) -> Option<&SectionHeader> {
        let called = |header: &&SectionHeader| {
            let rest = self.names.get(header.sh_name..).unwrap_or_default();
            rest.strip_prefix(name.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&0))
        };
        self.sections
            .iter()
            .filter(called)
            .find(|header| header.sh_type != SHT_NOBITS)
    }

    fn at(&self, offset: u64, size: u64, vaddr: u64) -> Option<Section> {
        let start = usize::try_from(offset).ok()?;
        let length = slice(self.bytes, offset, size).len();
        (length > 0).then(|| Section {
            vaddr: Vaddr(vaddr),
            range: start..start + length,
            packing: Packing::Plain,
        })
    }

    /// Takes the header off a compressed section (gABI, "Section Compression": `Elf64_Chdr` has a
    /// reserved word after the type).
    fn unpacked_header(&self, mut section: Section) -> Option<Section> {
        const ELFCOMPRESS_ZLIB: u32 = 1;
        const ELFCOMPRESS_ZSTD: u32 = 2;
        let bytes = self.bytes.get(section.range.clone())?;
        let kind: u32 = record(bytes, 0, scroll::LE)?;
        let (size, length) = match self.class {
            Class::Elf64 => (record::<u64, _>(bytes, 1, scroll::LE)?, 24),
            Class::Elf32 => (record::<u32, _>(bytes, 1, scroll::LE)?.into(), 12),
        };
        section.packing = match kind {
            ELFCOMPRESS_ZLIB => Packing::Zlib(size),
            ELFCOMPRESS_ZSTD => Packing::Zstd(size),
            _ => return None,
        };
        section.range.start += length.min(bytes.len());
        Some(section)
    }

    /// Takes `ZLIB` and the size, big-endian, off a `.zdebug_` section (binutils, bfd/compress.c).
    fn zdebug_header(&self, mut section: Section) -> Option<Section> {
        let bytes = self.bytes.get(section.range.clone())?;
        let size = bytes.strip_prefix(b"ZLIB")?.first_chunk::<8>()?;
        section.packing = Packing::Zlib(u64::from_be_bytes(*size));
        section.range.start += 12;
        Some(section)
    }
}
