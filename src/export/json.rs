//! JSON in which words of others command no terminal and turn no text: what is not plain is written as `\uXXXX`, which
//! readers take for the same characters.

use crate::base::printable::is_plain;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// Writes a value as JSON on one line, without the end of that line.
///
/// # Errors
/// It cannot be written, or is none that JSON can express.
pub fn write(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Plain))?;
    Ok(())
}

/// The form without spaces.
struct Plain;

impl Formatter for Plain {
    /// Text in which JSON itself asks for no escape: it does for controls below 0x20 only.
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Most is.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_plain(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn what_is_not_plain_is_escaped_and_read_back() {
        let text = "a\u{1b}[1m\u{9b}b\u{7f}\u{202e}naïve 名前 \"\\\n😀";
        let mut bytes = Vec::new();
        write(&mut bytes, &(text, 1.5)).expect("JSON");
        let shown = r#"["a\u001b[1m\u009bb\u007f\u202enaïve 名前 \"\\\n😀",1.5]"#;
        assert_eq!(String::from_utf8_lossy(&bytes), shown);
        let read: (String, f64) = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(read, (text.to_owned(), 1.5));
    }
}
