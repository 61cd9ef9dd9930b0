//! The data of a file by name: variables, virtual tables, and the sections they are in.

use super::layout::{records, slice};
use super::strings::Strings;
use super::symbols::sections;
use super::{Error, header};
use crate::base::addr::Vaddr;
use goblin::elf::Sym;
use goblin::elf::section_header::{SHF_ALLOC, SHF_TLS, SHN_UNDEF, SHT_DYNSYM, SHT_SYMTAB};
use goblin::elf::sym::STT_OBJECT;

/// A variable or table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// As the file spells it (mangled).
    pub name: String,
    /// Where it is.
    pub vaddr: Vaddr,
    /// How large it is.
    pub size: u64,
}

/// All named data of a file, by address.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    objects: Vec<Object>,
    /// Sections that are loaded: begin, size, name.
    sections: Vec<(Vaddr, u64, String)>,
}

impl Objects {
    /// Reads `.symtab`, or `.dynsym` where there is none. Section headers that are missing or broken are as
    /// none.
    pub fn read(bytes: &[u8]) -> Result<Objects, Error> {
        let (class, header) = header(bytes)?;
        let headers: Vec<_> = sections(bytes, class, &header)?.collect();
        let names = headers.get(usize::from(header.e_shstrndx));
        let mut names = Strings::new(names.map_or(&[], |s| slice(bytes, s.sh_offset, s.sh_size)));
        let flags = |flags: u64, flag: u32| flags & u64::from(flag) != 0;
        // Thread-local data has no address of its own.
        let is_loaded = |s: &&goblin::elf::SectionHeader| {
            flags(s.sh_flags, SHF_ALLOC) && !flags(s.sh_flags, SHF_TLS)
        };
        let loaded = headers.iter().filter(is_loaded);
        let sections = loaded
            .filter_map(|s| Some((Vaddr(s.sh_addr), s.sh_size, names.get(s.sh_name as u64)?)))
            .collect();
        let table = |kind| headers.iter().find(|section| section.sh_type == kind);
        let table = table(SHT_SYMTAB).or_else(|| table(SHT_DYNSYM));
        let mut objects = Vec::new();
        if let Some(table) = table
            && let Some(strings) = headers.get(table.sh_link as usize)
        {
            let mut strings = Strings::new(slice(bytes, strings.sh_offset, strings.sh_size));
            let symbols = slice(bytes, table.sh_offset, table.sh_size);
            let is_object = |symbol: &Sym| {
                symbol.st_type() == STT_OBJECT && symbol.st_shndx != SHN_UNDEF as usize
            };
            for symbol in records::<Sym, _>(symbols, class.ctx()).filter(is_object) {
                if let Some(name) = strings.get(symbol.st_name as u64) {
                    let (vaddr, size) = (Vaddr(symbol.st_value), symbol.st_size);
                    objects.push(Object { name, vaddr, size });
                }
            }
        }
        objects.sort_by_key(|object| (object.vaddr, object.size));
        Ok(Objects { objects, sections })
    }

    /// The object around an address, and how far into it the address is.
    pub fn find(&self, at: Vaddr) -> Option<(&Object, u64)> {
        let after = self.objects.partition_point(|object| object.vaddr <= at);
        let object = self.objects.get(after.checked_sub(1)?)?;
        let offset = at.0 - object.vaddr.0;
        (offset < object.size.max(1)).then_some((object, offset))
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// The object of this name.
    pub fn named(&self, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.name == name)
    }

    /// The section around an address.
    pub fn section(&self, at: Vaddr) -> Option<&str> {
        let holds =
            |(start, size, _): &&(Vaddr, u64, String)| at >= *start && at.0 - start.0 < *size;
        self.sections
            .iter()
            .find(holds)
            .map(|(.., name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COUNTED: [u64; 4] = [1, 2, 3, 4];

    #[test]
    fn data_of_this_very_program() {
        let path = std::env::current_exe().expect("a program");
        let bytes = std::fs::read(path).expect("its file");
        let objects = Objects::read(&bytes).expect("an ELF file");
        assert_eq!(std::hint::black_box(&COUNTED).len(), 4);
        let named = |object: &&Object| object.name.contains("COUNTED");
        let object = objects
            .objects
            .iter()
            .find(named)
            .expect("the static above");
        assert_eq!(object.size, 32);
        assert_eq!(objects.named(&object.name), Some(object));
        assert_eq!(objects.named("no such object"), None);
        let inside = Vaddr(object.vaddr.0 + 8);
        assert_eq!(
            objects.find(inside).map(|(o, at)| (o.vaddr, at)),
            Some((object.vaddr, 8))
        );
        let section = objects.section(object.vaddr).expect("a section");
        assert!(
            [".rodata", ".data.rel.ro", ".data"].contains(&section),
            "{section}"
        );
    }

    #[test]
    fn damaged_files() {
        let path = std::env::current_exe().expect("a program");
        let bytes = std::fs::read(path).expect("its file");
        for length in [0, 1, 63, 64, 1000, bytes.len() / 2, bytes.len() - 1] {
            let _ = Objects::read(&bytes[..length]);
        }
    }
}
