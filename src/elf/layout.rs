//! Where things are in an ELF file: class and byte order, segments, and reading through them.

use super::error::Error;
use super::{Class, Segment};
use crate::base::addr::Vaddr;
use goblin::container::{Container, Ctx, Endian};
use scroll::ctx::{SizeWith, TryFromCtx};

impl Class {
    /// How goblin's record readers are told of it. Only little-endian files get this far.
    pub(super) fn ctx(self) -> Ctx {
        let container = match self {
            Class::Elf32 => Container::Little,
            Class::Elf64 => Container::Big,
        };
        Ctx::new(container, Endian::Little)
    }

    /// The size of an address in the file's tables.
    pub(super) fn word(self) -> usize {
        self.ctx().size()
    }
}

/// The bytes of a file as its segments lay them out in memory.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) class: Class,
    pub(super) segments: &'a [Segment],
}

impl<'a> Layout<'a> {
    /// What the file holds from `at` to the end of the segment around it. Like the dynamic linker,
    /// this trusts segments only; empty when no segment has file content there.
    pub(super) fn from(&self, at: Vaddr) -> &'a [u8] {
        let inside = |s: &&Segment| at.0.wrapping_sub(s.vaddr.0) < s.file_size && at >= s.vaddr;
        self.segments
            .iter()
            .find(inside)
            .and_then(|s| {
                s.bytes(self.bytes)
                    .get(usize::try_from(at.0 - s.vaddr.0).ok()?..)
            })
            .unwrap_or_default()
    }

    /// Exactly the bytes of a table, or the complaint that they are not there.
    pub(super) fn table(&self, table: Table, name: &'static str) -> Result<&'a [u8], Error> {
        if table.size == 0 {
            return Ok(&[]);
        }
        usize::try_from(table.size)
            .ok()
            .and_then(|size| self.from(table.at).get(..size))
            .ok_or(Error::Outside(name))
    }

    /// An address stored in the file; `None` where there is none.
    pub(super) fn word(&self, at: Vaddr) -> Option<u64> {
        let bytes = self.from(at).get(..self.class.word())?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }
}

/// A table of the dynamic section: where it is, and its size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) at: Vaddr,
    pub(super) size: u64,
}

impl Segment {
    /// The segment's content, as far as the file has it.
    pub(super) fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let rest = slice(file, self.file_offset, u64::MAX);
        let size = usize::try_from(self.file_size).unwrap_or(usize::MAX);
        &rest[..size.min(rest.len())]
    }
}

/// The bytes at a file offset, as far as the file has them.
pub(super) fn slice(file: &[u8], offset: u64, size: u64) -> &[u8] {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| file.get(offset..))
        .unwrap_or_default();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    &rest[..size.min(rest.len())]
}

/// The whole records of a table.
pub(super) fn records<'a, T, C>(table: &'a [u8], ctx: C) -> impl Iterator<Item = T> + Clone + 'a
where
    T: TryFromCtx<'a, C> + SizeWith<C> + 'a,
    C: Copy + 'a,
{
    table
        .chunks_exact(T::size_with(&ctx))
        .map_while(move |record| Some(T::try_from_ctx(record, ctx).ok()?.0))
}

/// The record of a table with this index.
pub(super) fn record<'a, T, C>(table: &'a [u8], index: usize, ctx: C) -> Option<T>
where
    T: TryFromCtx<'a, C> + SizeWith<C> + 'a,
    C: Copy + 'a,
{
    let size = T::size_with(&ctx);
    let start = index.checked_mul(size)?;
    let bytes = table.get(start..start.checked_add(size)?)?;
    Some(T::try_from_ctx(bytes, ctx).ok()?.0)
}

/// The little-endian 32-bit words of a hash table.
pub(super) fn u32s(table: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (words, _) = table.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}
