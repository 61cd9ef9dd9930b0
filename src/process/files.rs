//! Which file a module was loaded from. Its path may lead elsewhere by now, or nowhere, and a wrong file
//! would have us plant breakpoints in the middle of instructions.

use crate::base::Pid;
use crate::base::addr::{Addr, Bias};
use crate::base::memory::Memory;
use crate::elf;
use crate::sys::file;
use crate::sys::proc::{self, Mapping};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much of a file's beginning is compared: the ELF header, the program headers and the build id behind
/// them, which no breakpoint of ours stands in.
const HEAD: usize = 1024;
/// More than is worth being copied out of a process.
const MOST: u64 = 256 << 20;

/// GoneFiles of what a process has of files that cannot be had any more, made while it ran.
#[derive(Debug, Default)]
pub struct GoneFiles(Vec<(Key, File)>);

/// A file, by its device and number, and where its beginning is mapped.
type Key = ((u64, u64), u64);

impl GoneFiles {
    /// Makes a copy of the file behind a mapping, unless that can be had or there is one.
    pub(super) fn add(
        &mut self,
        maps: &[Mapping],
        mapping: &Mapping,
        memory: &dyn Memory,
    ) -> Option<File> {
        let first = first(maps, mapping)?;
        if self.find(maps, mapping, memory).is_none() {
            let copy = copy(maps, mapping, bias(first, memory)?, memory).ok()?;
            self.0.push((key(first), copy));
        }
        self.find(maps, mapping, memory)?.try_clone().ok()
    }

    /// The copy of the file behind a mapping. It must begin as that does.
    fn find(&self, maps: &[Mapping], mapping: &Mapping, memory: &dyn Memory) -> Option<&File> {
        let key = key(first(maps, mapping)?);
        let (_, copy) = self.0.iter().find(|(known, _)| *known == key)?;
        begins_so(copy, head(maps, mapping, memory)?).then_some(copy)
    }

    /// The file behind a mapping, or a copy of what the process has of it when it cannot be had any more.
    pub(super) fn open(
        &self,
        pid: Pid,
        maps: &[Mapping],
        mapping: &Mapping,
        bias: Bias,
        memory: &dyn Memory,
    ) -> io::Result<File> {
        if let Ok(file) = existing(pid, maps, mapping, memory) {
            return Ok(file);
        }
        match self.find(maps, mapping, memory) {
            Some(copy) => copy.try_clone(),
            None => copy(maps, mapping, bias, memory),
        }
    }

    /// A copy of the program that a process runs, out of its memory: who may trace it need not have a right to files.
    pub(super) fn program(&self, pid: Pid, memory: &dyn Memory) -> Option<File> {
        let path = proc::program(pid).ok()?;
        let maps = proc::maps(pid).ok()?;
        let first = maps.iter().find(|m| m.path == path && m.offset == 0)?;
        self.open(pid, &maps, first, bias(first, memory)?, memory)
            .ok()
    }
}

fn key(first: &Mapping) -> Key {
    (first.file, first.range.start)
}

/// Where the beginning of a file is mapped.
fn first<'m>(maps: &'m [Mapping], mapping: &Mapping) -> Option<&'m Mapping> {
    maps.iter()
        .find(|m| m.file == mapping.file && m.offset == 0)
}

/// Where a file lies that begins with this mapping, against its addresses.
fn bias(first: &Mapping, memory: &dyn Memory) -> Option<Bias> {
    let start = Addr(first.range.start);
    let mut header = [0; 18];
    memory.read_exact(start, &mut header).ok()?;
    if !header.starts_with(goblin::elf::header::ELFMAG) {
        return None;
    }
    // e_type: a program at fixed addresses, or not.
    Some(match u16::from_le_bytes([header[16], header[17]]) {
        goblin::elf::header::ET_EXEC => Bias(0),
        _ => Bias(start.0),
    })
}

/// The file behind a mapping.
pub(super) fn existing(
    pid: Pid,
    maps: &[Mapping],
    mapping: &Mapping,
    memory: &dyn Memory,
) -> io::Result<File> {
    let why = match proc::open_mapped(pid, mapping) {
        Ok(file) => return Ok(file),
        Err(why) => why,
    };
    // An overlay shows another device in maps than in stat.
    let mut by_path = proc::open_by_path(pid, mapping);
    let head = head(maps, mapping, memory);
    let is_same = |file: &File| head.is_some_and(|head| begins_so(file, head));
    by_path.find(is_same).ok_or(why)
}

fn begins_so(file: &File, head: [u8; HEAD]) -> bool {
    let mut bytes = [0; HEAD];
    file.read_exact_at(&mut bytes, 0).is_ok() && bytes == head
}

/// How the file begins, as the process has it.
fn head(maps: &[Mapping], mapping: &Mapping, memory: &dyn Memory) -> Option<[u8; HEAD]> {
    let first = first(maps, mapping)?;
    let mut bytes = [0; HEAD];
    memory
        .read_exact(Addr(first.range.start), &mut bytes)
        .ok()?;
    Some(bytes)
}

/// The loaded parts of a file, where they stand in it, as they were before they were relocated. Section headers are
/// not loaded.
fn copy(maps: &[Mapping], mapping: &Mapping, bias: Bias, memory: &dyn Memory) -> io::Result<File> {
    let parts = maps.iter().filter(|m| m.file == mapping.file && m.readable);
    let copy = file::anonymous()?;
    let mut buffer = vec![0; 1 << 20];
    for part in parts {
        let length = part.range.end - part.range.start;
        if part.offset.saturating_add(length) > MOST {
            return Err(io::Error::other(
                "it is gone, and too long to be copied from memory",
            ));
        }
        let mut done = 0;
        while done < length {
            let wanted = buffer.len().min((length - done) as usize);
            let at = Addr(part.range.start + done);
            // What lies behind the end of the file has no memory.
            let Ok(got) = memory.read(at, &mut buffer[..wanted]) else {
                break;
            };
            copy.write_all_at(&buffer[..got], part.offset + done)?;
            done += got as u64;
        }
    }
    if let Ok((at, dynamic)) = elf::original_dynamic(&file::map(&copy)?, bias) {
        copy.write_all_at(&dynamic, at)?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::machine::Machine;
    use crate::base::memory::Unreadable;
    use crate::sys::memory::ProcessMemory;
    use std::os::unix::fs::MetadataExt;

    /// Memory that holds nothing but zeros.
    struct Zeros;

    impl Memory for Zeros {
        fn read(&self, _: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
            buf.fill(0);
            Ok(buf.len())
        }
    }

    #[test]
    fn what_was_copied_before_is_not_copied_again() {
        let pid = proc::own_pid().expect("a pid");
        let memory = ProcessMemory::new(pid, Machine::default());
        let maps = proc::maps(pid).expect("maps");
        let is_libc = |m: &&Mapping| m.executable && m.path.to_string_lossy().contains("/libc.so");
        let mapping = maps.iter().find(is_libc).expect("a C library");
        let number = |file: Option<File>| file.expect("a copy").metadata().expect("stat").ino();
        let mut copies = GoneFiles::default();
        assert!(copies.find(&maps, mapping, &memory).is_none());
        let first = number(copies.add(&maps, mapping, &memory));
        assert_eq!(number(copies.add(&maps, mapping, &memory)), first);
        let found = copies.find(&maps, mapping, &memory).expect("the copy");
        assert!(elf::Image::parse(&file::map(found).expect("a map")).is_ok());
        // Something else is there by now, and what is not a module is not copied.
        assert!(copies.find(&maps, mapping, &Zeros).is_none());
        assert!(GoneFiles::default().add(&maps, mapping, &Zeros).is_none());
    }
}
