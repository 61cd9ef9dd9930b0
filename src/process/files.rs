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

/// The file behind a mapping, or a copy of what the process has of it when it cannot be had any more.
pub(super) fn open(
    pid: Pid,
    maps: &[Mapping],
    mapping: &Mapping,
    bias: Bias,
    memory: &dyn Memory,
) -> io::Result<File> {
    if let Ok(file) = existing(pid, maps, mapping, memory) {
        return Ok(file);
    }
    let copy = copy(maps, mapping, memory)?;
    if let Ok((at, dynamic)) = elf::original_dynamic(&file::map(&copy)?, bias) {
        copy.write_all_at(&dynamic, at)?;
    }
    Ok(copy)
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
    let is_same = |file: &File| {
        let mut bytes = [0; HEAD];
        head.is_some_and(|head| file.read_exact_at(&mut bytes, 0).is_ok() && bytes == head)
    };
    by_path.find(is_same).ok_or(why)
}

/// A copy of the program that a process runs, out of its memory: who may trace it need not have a right to files.
pub(super) fn program(pid: Pid, memory: &dyn Memory) -> Option<File> {
    let path = proc::program(pid).ok()?;
    let maps = proc::maps(pid).ok()?;
    let first = maps.iter().find(|m| m.path == path && m.offset == 0)?;
    let start = Addr(first.range.start);
    let mut header = [0; 18];
    memory.read_exact(start, &mut header).ok()?;
    // e_type: a program at fixed addresses, or not.
    let bias = match u16::from_le_bytes([header[16], header[17]]) {
        goblin::elf::header::ET_EXEC => Bias(0),
        _ => Bias(start.0),
    };
    open(pid, &maps, first, bias, memory).ok()
}

/// How the file begins, as the process has it.
fn head(maps: &[Mapping], mapping: &Mapping, memory: &dyn Memory) -> Option<[u8; HEAD]> {
    let first = maps
        .iter()
        .find(|m| m.file == mapping.file && m.offset == 0)?;
    let mut bytes = [0; HEAD];
    memory
        .read_exact(Addr(first.range.start), &mut bytes)
        .ok()?;
    Some(bytes)
}

/// The loaded parts of a file, where they stand in it. Section headers are not loaded.
fn copy(maps: &[Mapping], mapping: &Mapping, memory: &dyn Memory) -> io::Result<File> {
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
    Ok(copy)
}
