//! Pieces of files as gimli reads them.

use super::bytes::Piece;
use gimli::{Error, LittleEndian, Reader, ReaderOffsetId, Result};
use std::borrow::Cow;

impl Piece {
    fn id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.as_ptr() as u64)
    }

    /// Checks that so many bytes are left.
    fn check(&self, length: usize) -> Result<()> {
        match length <= self.end - self.start {
            true => Ok(()),
            false => Err(Error::UnexpectedEof(self.id())),
        }
    }
}

impl Reader for Piece {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn empty(&mut self) {
        self.end = self.start;
    }

    fn truncate(&mut self, length: usize) -> Result<()> {
        self.check(length)?;
        self.end = self.start + length;
        Ok(())
    }

    fn offset_from(&self, base: &Piece) -> usize {
        self.start.wrapping_sub(base.start)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        let offset = id.0.checked_sub(self.id().0)?;
        let offset = usize::try_from(offset).ok()?;
        (offset <= self.end - self.start).then_some(offset)
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let found = self.iter().position(|&b| b == byte);
        found.ok_or(Error::UnexpectedEof(self.id()))
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        self.check(length)?;
        self.start += length;
        Ok(())
    }

    fn split(&mut self, length: usize) -> Result<Piece> {
        let mut first = self.clone();
        first.truncate(length)?;
        self.start += length;
        Ok(first)
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        std::str::from_utf8(self)
            .map(Cow::Borrowed)
            .map_err(|_| Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        Ok(String::from_utf8_lossy(self))
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.check(buffer.len())?;
        let from = &self[..buffer.len()];
        buffer.copy_from_slice(from);
        self.start += buffer.len();
        Ok(())
    }
}
