//! Why an ELF file cannot be used.

use thiserror::Error;

/// Why an ELF file cannot be used, worded to stand behind the file's name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The magic number is missing.
    #[error("not an ELF file")]
    NotElf,
    /// `EI_CLASS` is neither `ELFCLASS32` nor `ELFCLASS64`.
    #[error("unknown ELF class {0}")]
    Class(u8),
    /// `EI_DATA` is not `ELFDATA2LSB`.
    #[error("a big-endian ELF file, which this tracer cannot read")]
    Endianness,
    /// Something that the file speaks of is not in it: the file is cut short, or it lies.
    #[error("damaged ELF file: its {0} lies outside the file")]
    Outside(&'static str),
    /// The entries of a table have a size that no linker gives them.
    #[error("damaged ELF file: its {0} has entries of a wrong size")]
    EntrySize(&'static str),
}
