//! Sections as they were before a linker packed them.

use super::bytes::{Bytes, Piece};
use crate::elf::{Packing, Section};
use std::io::Read;

/// Debug information packs to about a third. What claims to have been this many times larger lies,
/// and is not worth the memory.
const RATIO: u64 = 1024;

/// A section's content: a piece of the file, or unpacked into memory. `None` when it cannot be
/// unpacked.
pub(crate) fn content(file: &Bytes, section: &Section) -> Option<Piece> {
    let packed = Piece::new(file, section.range.clone());
    let (Packing::Zlib(size) | Packing::Zstd(size)) = section.packing else {
        return Some(packed);
    };
    if size > RATIO * packed.len() as u64 {
        return None;
    }
    let mut bytes = Vec::new();
    let read = match section.packing {
        Packing::Plain => return Some(packed),
        Packing::Zlib(_) => flate2::read::ZlibDecoder::new(&packed[..])
            .take(size)
            .read_to_end(&mut bytes),
        Packing::Zstd(_) => ruzstd::decoding::StreamingDecoder::new(&packed[..])
            .ok()?
            .take(size)
            .read_to_end(&mut bytes),
    };
    read.ok()?;
    (bytes.len() as u64 == size).then(|| Piece::whole(bytes.into()))
}
