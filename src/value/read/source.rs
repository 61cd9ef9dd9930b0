//! Where the bytes of values come from.

use super::{MAX_BLOCK, Reader, Reading, number};
use crate::abi::Place;
use crate::base::addr::Addr;
use crate::base::memory::Unreadable;
use crate::proto::types::{Integer, Part, Width};
use crate::value::Value;
use smallvec::SmallVec;

/// Where a value is read from.
#[derive(Clone, Copy)]
pub(super) enum Source<'b> {
    Bytes(&'b [u8]),
    Memory(Addr),
    Lost,
}

/// Bytes that cannot be had.
pub(super) struct Absent(pub(super) Value);

impl<'b> Source<'b> {
    pub(super) fn of(place: &'b Place) -> Source<'b> {
        match place {
            Place::Bytes(bytes) => Source::Bytes(bytes),
            Place::Memory(at) => Source::Memory(*at),
            Place::Lost => Source::Lost,
        }
    }

    /// What stands `offset` bytes further on.
    pub(super) fn at(self, offset: u64) -> Source<'b> {
        match self {
            Source::Bytes(bytes) => {
                let rest = usize::try_from(offset)
                    .ok()
                    .and_then(|from| bytes.get(from..));
                Source::Bytes(rest.unwrap_or_default())
            }
            Source::Memory(at) => Source::Memory(at.offset(offset as i64)),
            Source::Lost => Source::Lost,
        }
    }
}

/// The first bytes of a structure or array.
pub(super) struct Block(pub(super) SmallVec<[u8; 128]>);

impl Block {
    /// A part of what was fetched, else of what it was fetched from.
    pub(super) fn part<'b>(&'b self, whole: Source<'b>, offset: u64, size: u64) -> Source<'b> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = from.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        match self.0.get(from..end) {
            Some(bytes) if size > 0 => Source::Bytes(bytes),
            _ => whole.at(offset),
        }
    }
}

impl Reader<'_> {
    pub(super) fn integer(
        &self,
        source: Source<'_>,
        integer: Integer,
    ) -> Result<number::Number, Absent> {
        let bits = self.uint(source, self.model.integer(integer))?;
        Ok(self.number_of(bits, integer))
    }

    pub(super) fn number_of(&self, bits: u64, integer: Integer) -> number::Number {
        number::Number {
            bits,
            unused: 64 - 8 * self.model.integer(integer) as u32,
            integer,
            model: self.model,
        }
    }

    /// A bit-field.
    pub(super) fn part(&self, source: Source<'_>, part: Part) -> Result<number::Number, Absent> {
        let unused = 64 - u32::from(part.bits.clamp(1, 64));
        let word = self.uint(source, part.bytes.into())?;
        let width = Width::W64;
        Ok(number::Number {
            bits: word >> part.from.min(63),
            unused,
            integer: match part.signed {
                true => Integer::signed(width),
                false => Integer::unsigned(width),
            },
            model: self.model,
        })
    }

    /// A little-endian number of at most 8 bytes, zero-extended.
    pub(super) fn uint(&self, source: Source<'_>, size: u64) -> Result<u64, Absent> {
        let mut word = [0; 8];
        let size = (size as usize).min(word.len());
        self.fill(source, &mut word[..size])?;
        Ok(u64::from_le_bytes(word))
    }

    pub(super) fn fill(&self, source: Source<'_>, buf: &mut [u8]) -> Result<(), Absent> {
        match source {
            Source::Bytes(bytes) => match bytes.get(..buf.len()) {
                Some(bytes) => {
                    buf.copy_from_slice(bytes);
                    Ok(())
                }
                None => Err(Absent(Value::Elided)),
            },
            Source::Memory(at) => {
                let read = self.memory.read_exact(at, buf);
                read.map_err(|Unreadable(_)| Absent(Value::Unreadable(at)))
            }
            Source::Lost => Err(Absent(Value::Elided)),
        }
    }
}

impl Reading<'_> {
    /// Nothing but zero bytes, or nothing that can be read.
    pub(super) fn is_zero(&self, source: Source<'_>, size: u64) -> bool {
        let mut bytes = vec![0; size.min(MAX_BLOCK) as usize];
        let filled = self.reader.fill(source, &mut bytes);
        filled.is_err() || bytes.iter().all(|b| *b == 0)
    }

    /// Fetches what is in memory at once, as far as it can be read; nothing of what is at hand.
    pub(super) fn block(&self, source: Source<'_>, size: u64) -> Result<Block, Absent> {
        let Source::Memory(at) = source else {
            return Ok(Block(SmallVec::new()));
        };
        let mut bytes = SmallVec::from_elem(0, size.min(MAX_BLOCK) as usize);
        if !bytes.is_empty() {
            let read = self.reader.memory.read(at, &mut bytes);
            bytes.truncate(read.map_err(|_| Absent(Value::Unreadable(at)))?);
        }
        Ok(Block(bytes))
    }
}
