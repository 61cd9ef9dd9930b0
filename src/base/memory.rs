//! How the memory of a traced program is read: one trait, and what can be derived from it.

use super::addr::Addr;
use super::machine::Machine;
use smallvec::SmallVec;

/// Bytes that were read. Short ones need no heap.
pub type Text = SmallVec<[u8; 64]>;

/// Nothing could be read at this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub Addr);

/// Readable memory, as it is for the moment of one hit.
pub trait Memory {
    /// Fills `buf` from `at` as far as memory is readable and says how many bytes that is, at least
    /// one for a buffer that is not empty. A short count means that the next byte is unreadable.
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable>;

    /// Where there may be something to read again behind an address that cannot be read.
    fn beyond(&self, at: Addr) -> Addr {
        Addr((at.0 | 0xfff).saturating_add(1))
    }

    /// What is behind an address, where it lies in our own memory in one piece, at least one byte of it. What is behind that
    /// piece, [`Memory::read`] cannot read either.
    fn borrow(&self, _: Addr) -> Option<&[u8]> {
        None
    }

    /// The return addresses of the task's stack, innermost first, where they were taken in the place of it.
    fn returns(&self) -> Option<&[u64]> {
        None
    }

    /// What the program is compiled for whose memory it is.
    fn machine(&self) -> Machine {
        Machine::Amd64
    }
}

impl dyn Memory + '_ {
    /// Fills the whole of `buf`, or says where memory ended.
    pub fn read_exact(&self, at: Addr, buf: &mut [u8]) -> Result<(), Unreadable> {
        let got = self.read(at, buf)?;
        if got < buf.len() {
            return Err(Unreadable(at.offset(got as i64)));
        }
        Ok(())
    }

    /// A little-endian unsigned integer of 1, 2, 4 or 8 bytes, zero-extended.
    pub fn read_uint(&self, at: Addr, size: usize) -> Result<u64, Unreadable> {
        let mut bytes = [0; 8];
        let size = size.min(8);
        self.read_exact(at, &mut bytes[..size])?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A word as wide as the program's addresses, zero-extended.
    pub fn read_word(&self, at: Addr) -> Result<u64, Unreadable> {
        self.read_uint(at, self.machine().word())
    }

    /// The bytes before the first NUL, at most `limit` of them; the flag says whether the NUL was
    /// seen. Text that runs into unreadable memory ends there.
    pub fn read_c_string(&self, at: Addr, limit: usize) -> Result<(Text, bool), Unreadable> {
        let mut text = Text::new();
        let ended = self.read_c_string_into(at, limit, &mut text)?;
        Ok((text, ended))
    }

    /// The same, added to an empty text where that is: to move one costs as much as to read it.
    pub fn read_c_string_into(
        &self,
        at: Addr,
        limit: usize,
        text: &mut Text,
    ) -> Result<bool, Unreadable> {
        if let Some(piece) = self.borrow(at) {
            // One byte more than may be shown, so that a string of just `limit` bytes is whole.
            let piece = &piece[..piece.len().min(limit.saturating_add(1))];
            let end = memchr::memchr(0, piece);
            text.extend_from_slice(&piece[..end.unwrap_or(piece.len().min(limit))]);
            return Ok(end.is_some());
        }
        loop {
            let from = text.len();
            // One byte more than may be shown, so that a string of just `limit` bytes is whole.
            let want = CHUNK[usize::from(from > 0)].min(limit + 1 - from);
            text.resize(from + want, 0);
            let got = match self.read(at.offset(from as i64), &mut text[from..]) {
                Ok(got) => got,
                Err(e) if from == 0 => return Err(e),
                Err(_) => 0,
            };
            let read = &text[from..from + got];
            if let Some(end) = memchr::memchr(0, read) {
                text.truncate(from + end);
                return Ok(true);
            }
            text.truncate((from + got).min(limit));
            if got < want || from + got > limit {
                return Ok(false);
            }
        }
    }
}

/// How much of a text is read at first, as much as needs no heap, and then at a time.
const CHUNK: [usize; 2] = [64, 256];

/// Memory that holds one stretch of bytes at one address: for tests and for records.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// Where the bytes begin.
    pub at: Addr,
    /// What is there.
    pub bytes: Vec<u8>,
}

impl Memory for Stretch {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let from =
            at.0.checked_sub(self.at.0)
                .and_then(|n| usize::try_from(n).ok());
        let rest = from
            .and_then(|from| self.bytes.get(from..))
            .unwrap_or_default();
        let count = rest.len().min(buf.len());
        if count == 0 && !buf.is_empty() {
            return Err(Unreadable(at));
        }
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that is borrowed.
    struct Borrowed(Stretch);

    impl Memory for Borrowed {
        fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
            self.0.read(at, buf)
        }

        fn borrow(&self, at: Addr) -> Option<&[u8]> {
            let from = usize::try_from(at.0.checked_sub(self.0.at.0)?).ok()?;
            self.0.bytes.get(from..).filter(|piece| !piece.is_empty())
        }
    }

    #[test]
    fn texts_are_the_same_read_or_borrowed() {
        let text: Vec<u8> = (0..200)
            .map(|n| [b'a', b'b', 0][usize::from(n % 70 == 69) * 2])
            .collect();
        let read = Stretch {
            at: Addr(0x1000),
            bytes: text,
        };
        let borrowed = Borrowed(read.clone());
        for at in (0xfff..0x10d0).map(Addr) {
            for limit in [0, 1, 5, 63, 64, 65, 100, 1000] {
                let expected = (&read as &dyn Memory).read_c_string(at, limit);
                let found = (&borrowed as &dyn Memory).read_c_string(at, limit);
                assert_eq!(found, expected, "{at:?} {limit}");
            }
        }
    }
}
