//! Strings and bytes of CPython: how `str` and `bytes` objects lie in memory.

use super::Object;
use super::layout::Text;
use crate::base::addr::Addr;
use crate::base::memory::Memory;

/// `ob_size` of objects that have one (object.h), and the length of a `str` (unicodeobject.h).
pub(super) const SIZE: u64 = 16;
/// Where the bytes of a `bytes` object are (bytesobject.h).
const BYTES: u64 = 32;
/// The bit fields of a `str` (unicodeobject.h).
const STATE: u64 = 32;

/// No table of lines of a function written by hand is longer.
const TABLE: u64 = 1 << 20;
/// No longer name or path is shown.
const CHARACTERS: u64 = 4096;

/// The content of a `bytes` object.
pub(super) fn bytes(at: Addr, memory: &dyn Memory) -> Option<Vec<u8>> {
    let size = memory.read_word(Addr(at.0.checked_add(SIZE)?)).ok()?;
    content(at, BYTES, size.min(TABLE), memory)
}

/// The content of a `str`, what would move a terminal's cursor left out.
pub(super) fn text(layout: &Text, at: Addr, memory: &dyn Memory) -> Option<String> {
    let object = Object::read(at, memory)?;
    let (length, state) = (object.word(SIZE)?, object.word(STATE)?);
    let length = length.min(CHARACTERS);
    let width = state >> 2 & 7;
    let (is_compact, is_ascii) = (state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    if !is_compact || !matches!(width, 1 | 2 | 4) {
        return None;
    }
    let from = match is_ascii {
        true => layout.ascii,
        false => layout.compact,
    };
    let bytes = content(at, from, length * width, memory)?;
    let character = |unit: &[u8]| {
        let mut code = [0; 4];
        code.get_mut(..unit.len())?.copy_from_slice(unit);
        char::from_u32(u32::from_le_bytes(code)).filter(|c| !c.is_control())
    };
    let units = bytes.chunks_exact(width as usize);
    Some(
        units
            .map(|unit| character(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    )
}

fn content(at: Addr, from: u64, size: u64, memory: &dyn Memory) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let at = Addr(at.0.checked_add(from)?);
    memory.read_exact(at, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Stretch;

    const LAYOUT: Text = Text {
        ascii: 40,
        compact: 56,
    };
    const ASCII: u64 = 1 << 2 | 1 << 5 | 1 << 6;

    fn string(length: u64, state: u64, from: usize, content: &[u8]) -> Stretch {
        let mut bytes = vec![0; from];
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        bytes[32..40].copy_from_slice(&state.to_le_bytes());
        bytes.extend(content);
        Stretch {
            at: Addr(0x1000),
            bytes,
        }
    }

    #[track_caller]
    fn check(memory: &Stretch, expected: Option<&str>) {
        let read = text(&LAYOUT, Addr(0x1000), memory);
        assert_eq!(read.as_deref(), expected);
    }

    #[test]
    fn strings() {
        check(&string(4, ASCII, 40, b"load"), Some("load"));
        check(&string(2, 1 << 2 | 1 << 5, 56, &[0xe9, b'a']), Some("éa"));
        check(
            &string(2, 2 << 2 | 1 << 5, 56, &[0x20, 0x04, b'a', 0]),
            Some("Рa"),
        );
        check(
            &string(1, 4 << 2 | 1 << 5, 56, &[0, 0xf6, 1, 0]),
            Some("😀"),
        );
        check(&string(0, ASCII, 40, b""), Some(""));
        check(&string(3, ASCII, 40, b"a\x1bb"), Some("a\u{fffd}b"));
    }

    #[test]
    fn what_is_none() {
        check(&string(4, ASCII, 40, b"loa"), None);
        check(&string(u64::MAX, ASCII, 40, b"load"), None);
        check(&string(4, 0, 40, b"load"), None);
        check(&string(4, 3 << 2 | 1 << 5, 56, &[0; 16]), None);
        check(&Stretch::default(), None);
        let whole = string(4, ASCII, 40, b"load");
        for length in 0..whole.bytes.len() {
            let bytes = whole.bytes[..length].to_vec();
            let part = Stretch {
                at: whole.at,
                bytes,
            };
            assert_ne!(text(&LAYOUT, whole.at, &part).as_deref(), Some("load"));
        }
    }

    #[test]
    fn tables() {
        let memory = string(3, 7, 40, b"");
        // Bytes begin where the state of a string is.
        assert_eq!(bytes(Addr(0x1000), &memory), Some(vec![7, 0, 0]));
        assert_eq!(bytes(Addr(0x1010), &memory), None);
    }
}
