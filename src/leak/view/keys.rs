//! Keys of the view, from the bytes that a terminal sends for them.

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    Mark,
    Check,
    Snapshot,
    Help,
    Back,
    Up,
    Down,
    First,
    Last,
    NextProcess,
    Redraw,
}

/// What keys send that are no characters (xterm's control sequences, "PC-Style Function Keys"; terminals
/// in application mode send `O` for `[`).
const SEQUENCES: [(&[u8], Key); 8] = [
    (b"[A", Key::Up),
    (b"OA", Key::Up),
    (b"[B", Key::Down),
    (b"OB", Key::Down),
    (b"[H", Key::First),
    (b"OH", Key::First),
    (b"[F", Key::Last),
    (b"OF", Key::Last),
];

/// All keys of what was typed. Those that mean nothing here are left out.
pub(super) fn keys(mut typed: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = typed {
        typed = rest;
        let key = match first {
            b'\x1b' if rest.is_empty() => Some(Key::Back),
            b'\x1b' => {
                let (length, key) = sequence(rest);
                typed = rest.get(length..).unwrap_or_default();
                key
            }
            b'q' | b'Q' => Some(Key::Quit),
            b's' => Some(Key::Sort),
            b'm' => Some(Key::Mark),
            b'c' => Some(Key::Check),
            b'w' => Some(Key::Snapshot),
            b'?' | b'h' => Some(Key::Help),
            b'k' => Some(Key::Up),
            b'j' => Some(Key::Down),
            b'g' => Some(Key::First),
            b'G' => Some(Key::Last),
            b'\t' => Some(Key::NextProcess),
            b'\x0c' => Some(Key::Redraw),
            _ => None,
        };
        keys.extend(key);
    }
    keys
}

/// How long what follows an escape is, and what it means.
fn sequence(bytes: &[u8]) -> (usize, Option<Key>) {
    let known = SEQUENCES.iter().find(|(known, _)| bytes.starts_with(known));
    if let Some((known, key)) = known {
        return (known.len(), Some(*key));
    }
    match bytes {
        // Parameters, then one final byte (ECMA-48, section 5.4).
        [b'[', parameters @ ..] => {
            let last = parameters.iter().position(|b| (0x40..=0x7e).contains(b));
            (last.map_or(bytes.len(), |at| at + 2), None)
        }
        // Alt and another key, or one of the function keys.
        [b'O', ..] => (bytes.len().min(2), None),
        _ => (1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &[u8], expected: &[Key]) {
        assert_eq!(keys(typed), expected, "{typed:?}");
    }

    #[test]
    fn characters_and_sequences() {
        check(b"", &[]);
        check(b"smc", &[Key::Sort, Key::Mark, Key::Check]);
        check(b"xqX", &[Key::Quit]);
        check(b"\x1b", &[Key::Back]);
        check(
            b"?\x1b[A\x1bOBj",
            &[Key::Help, Key::Up, Key::Down, Key::Down],
        );
        check(
            b"\x1b[H\x1b[F\tw\x0c",
            &[
                Key::First,
                Key::Last,
                Key::NextProcess,
                Key::Snapshot,
                Key::Redraw,
            ],
        );
    }

    /// Neither their parts nor what follows them is taken for something else.
    #[test]
    fn other_keys_mean_nothing() {
        check(b"\x1b[15~q", &[Key::Quit]);
        check(b"\x1b[1;5Cm", &[Key::Mark]);
        check(b"\x1bOPs", &[Key::Sort]);
        check(b"\x1bqq", &[Key::Quit]);
        check(b"\x1b[", &[]);
        check("ü日".as_bytes(), &[]);
    }

    #[test]
    fn any_bytes() {
        for first in 0..=255 {
            for second in 0..=255 {
                let keys = keys(&[0x1b, first, second]);
                assert!(keys.len() <= 2, "{first} {second}: {keys:?}");
            }
        }
    }
}
