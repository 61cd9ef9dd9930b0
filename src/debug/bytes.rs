//! The content of a file that several owners share, and pieces of it: the readers of unwind and
//! debug information keep pieces for as long as they need them.

use crate::sys::mapped::Mapped;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A file's content, mapped or in memory. A clone shares it.
#[derive(Clone)]
pub struct Bytes(Arc<Content>);

enum Content {
    Mapped(Mapped),
    Owned(Vec<u8>),
}

impl From<Mapped> for Bytes {
    fn from(file: Mapped) -> Bytes {
        Bytes(Arc::new(Content::Mapped(file)))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(Arc::new(Content::Owned(bytes)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Content::Mapped(file) => file,
            Content::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// A piece of a file.
#[derive(Clone)]
pub(crate) struct Piece {
    file: Bytes,
    /// Both are inside the file, and `start <= end`.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Piece {
    /// A piece, as far as it is inside the file.
    pub(crate) fn new(file: &Bytes, range: Range<usize>) -> Piece {
        let end = range.end.min(file.len());
        Piece {
            file: file.clone(),
            start: range.start.min(end),
            end,
        }
    }

    /// All of it.
    pub(crate) fn whole(file: Bytes) -> Piece {
        let end = file.len();
        Piece {
            file,
            start: 0,
            end,
        }
    }
}

impl Default for Piece {
    fn default() -> Piece {
        Piece::whole(Bytes::from(Vec::new()))
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.file.get(self.start..self.end).unwrap_or_default()
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {:#x}..{:#x}", self.start, self.end)
    }
}
