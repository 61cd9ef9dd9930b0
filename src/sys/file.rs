//! Files that are looked at in place.

use memmap2::Mmap;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;

/// Maps a whole file for reading. An empty file gives an empty mapping.
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and only read. Bytes that somebody rewrites in place may change
    // under us, which the parsers of this crate bear, as they believe nothing; a file that is *cut*
    // under us would raise SIGBUS, but whoever cuts the file of a mapped program kills that program too.
    unsafe { Mmap::map(file) }
}

/// A file of no directory, to be filled (memfd_create(2)).
pub fn anonymous() -> io::Result<File> {
    let fd = memfd_create(c"module", MFdFlags::MFD_CLOEXEC)?;
    Ok(File::from(fd))
}
