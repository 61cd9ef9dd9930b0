//! Turns values into the text that lines show.

use super::Value;
use crate::base::printable::{is_plain, printable as printable_text};
use crate::base::{errno, message};
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

/// The value as a line shows it; empty for a hidden one.
pub fn render(value: &Value) -> String {
    let mut text = String::new();
    render_into(&mut text, value);
    text
}

/// Which characters stand for themselves in texts of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// Those of ASCII.
    #[default]
    Ascii,
    /// All that can be printed, where the bytes are UTF-8.
    Utf8,
}

/// Appends the value as a line shows it.
pub fn render_into(out: &mut String, value: &Value) {
    render_in(out, value, Charset::Ascii);
}

/// The same, for a reader of this character set.
pub fn render_in(out: &mut String, value: &Value, charset: Charset) {
    match value {
        Value::Signed(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::Unsigned(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::Hex(0) => out.push('0'),
        Value::Hex(n) => hex(out, *n),
        // A leading zero says "octal", for zero too.
        Value::Octal(n) => push(out, format_args!("0{n:o}")),
        Value::Guess(word) => guess(out, *word),
        Value::Bool(truth) => push(out, format_args!("{truth}")),
        Value::Char(-1) => out.push_str("EOF"),
        Value::Char(code) => character(out, *code),
        Value::Float(n) => float(out, *n),
        Value::HexFloat(n) => hex_float(out, *n),
        Value::Pointer(at) if at.0 == 0 => out.push_str("nil"),
        Value::Pointer(at) | Value::Unreadable(at) => hex(out, at.0),
        Value::Bytes { bytes, cut } => {
            quoted_bytes(out, bytes, charset);
            ellipsis(out, *cut);
        }
        Value::Wide { text, cut } => {
            quoted(out, '"', text.chars().map(u32::from), printable);
            ellipsis(out, *cut);
        }
        Value::Name(name) => out.push_str(name),
        Value::Flags { names, rest } => {
            joined(out, names);
            if *rest != 0 {
                push(out, format_args!("|{rest:#x}"));
            }
        }
        Value::OctalFlags { names, rest } => {
            joined(out, names);
            if *rest != 0 {
                push(out, format_args!("|0{rest:o}"));
            }
        }
        Value::Failed(value, error) => {
            render_in(out, value, charset);
            failure(out, *error);
        }
        Value::Struct(members) => {
            out.push_str("{ ");
            list_in(out, members, charset);
            out.push_str(" }");
        }
        Value::Members { names, values } => {
            out.push_str("{ ");
            members(out, names, values, charset);
            out.push_str(" }");
        }
        Value::Set { members, inverted } => {
            out.push_str(if *inverted { "~[ " } else { "[ " });
            list_in(out, members, charset);
            out.push_str(if members.is_empty() { "]" } else { " ]" });
        }
        Value::Array { items, cut } => {
            out.push_str("[ ");
            list_in(out, items, charset);
            ellipsis(out, *cut);
            out.push_str(" ]");
        }
        Value::Bits { runs, inverted } => bits(out, runs, *inverted),
        Value::Again(value) => render_in(out, value, charset),
        Value::Case(name, value) => case(out, name, value, charset),
        Value::Hidden => {}
        Value::Void => out.push_str("<void>"),
        Value::Unknown => out.push('?'),
        Value::Recurse(levels) => {
            out.push_str("recurse");
            (0..*levels).for_each(|_| out.push('^'));
        }
        Value::Elided => out.push_str("..."),
        Value::Thread(tid, name) => {
            out.push_str(itoa::Buffer::new().format(*tid));
            if let Some(name) = name {
                push(out, format_args!("<{}>", printable_text(name)));
            }
        }
        Value::Leads { at, to, name } => match name {
            Some(name) => push(out, format_args!("{at}<{}>", printable_text(name))),
            None => push(out, format_args!("{at}<{to}>")),
        },
        Value::Descriptor(number, what) => {
            out.push_str(itoa::Buffer::new().format(*number));
            push(out, format_args!("<{}>", printable_text(what)));
        }
    }
}

/// Values with commas between them; hidden ones leave no trace.
pub fn list(out: &mut String, values: &[Value]) {
    list_in(out, values, Charset::Ascii);
}

fn list_in(out: &mut String, values: &[Value], charset: Charset) {
    let shown = values.iter().filter(|value| **value != Value::Hidden);
    for (i, value) in shown.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        render_in(out, value, charset);
    }
}

/// Values behind their names, as far as they have some.
fn members(out: &mut String, names: &[Arc<str>], values: &[Value], charset: Charset) {
    let names = names.iter().map(|name| &**name);
    let named = names.chain(std::iter::repeat("")).zip(values);
    let shown = named.filter(|(_, value)| **value != Value::Hidden);
    for (i, (name, value)) in shown.enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        if !name.is_empty() {
            // A file tells them, debug information may be damaged.
            out.push_str(&printable_text(name));
            out.push('=');
        }
        render_in(out, value, charset);
    }
}

/// Rust's own way to write one of several cases.
fn case(out: &mut String, name: &str, value: &Value, charset: Charset) {
    out.push_str(&printable_text(name));
    match value {
        Value::Struct(values) if values.is_empty() => {}
        Value::Struct(values) => {
            out.push('(');
            list_in(out, values, charset);
            out.push(')');
        }
        Value::Members { .. } => {
            out.push(' ');
            render_in(out, value, charset);
        }
        value => {
            out.push('(');
            render_in(out, value, charset);
            out.push(')');
        }
    }
}

/// <linux/errno.h>: from here on the kernel keeps errors to itself.
const FIRST_INTERNAL: i32 = 512;

/// The name of an error and what strerror(3) says of it.
fn failure(out: &mut String, error: i32) {
    let Some(name) = errno::name(error) else {
        return;
    };
    push(out, format_args!(" {name}"));
    // strerror(3) knows nothing of those that no program sees, such as ERESTARTSYS.
    if error < FIRST_INTERNAL {
        let text = message(&io::Error::from_raw_os_error(error));
        push(out, format_args!(" ({text})"));
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

fn ellipsis(out: &mut String, cut: bool) {
    if cut {
        out.push_str("...");
    }
}

fn guess(out: &mut String, word: u64) {
    let number = word as i64;
    if super::SMALL.contains(&number) {
        out.push_str(itoa::Buffer::new().format(number));
    } else {
        hex(out, word);
    }
}

fn character(out: &mut String, code: i64) {
    match u32::try_from(code) {
        Ok(code) if code > 0xff => quoted(out, '\'', [code].into_iter(), printable),
        // A negative `char` is the byte that it was.
        _ => quoted(out, '\'', [code as u32 & 0xff].into_iter(), ascii),
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// As `{:#x}`, without the cost of a formatter: nearly each line has an address.
fn hex(out: &mut String, number: u64) {
    let digits = (64 - (number | 1).leading_zeros()).div_ceil(4) as usize;
    let mut text = *b"0x0123456789abcdef";
    for (place, digit) in text[2..][..digits].iter_mut().rev().enumerate() {
        *digit = DIGITS[(number >> (4 * place) & 0xf) as usize];
    }
    out.push_str(str::from_utf8(&text[..2 + digits]).unwrap_or_default());
}

/// Most of a text is plain: that is copied as it is.
fn quoted_bytes(out: &mut String, bytes: &[u8], charset: Charset) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    out.push('"');
    // Without a way out of the loop it is compiled for many bytes at a time.
    let all_plain = bytes
        .iter()
        .fold(true, |plain, byte| plain & is_plain(byte));
    let mut rest = bytes;
    if all_plain {
        out.push_str(str::from_utf8(bytes).unwrap_or_default());
        rest = &[];
    }
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| !is_plain(byte));
        let (plain, others) = rest.split_at(end.unwrap_or(rest.len()));
        out.push_str(str::from_utf8(plain).unwrap_or_default());
        rest = match others {
            [0x80..=0xff, ..] if charset == Charset::Utf8 => others_of_utf8(out, others),
            [first, rest @ ..] => {
                code(out, '"', u32::from(*first), ascii);
                rest
            }
            [] => others,
        };
    }
    out.push('"');
}

/// Takes what begins with a byte that is not ASCII's: a character, else a byte.
fn others_of_utf8<'b>(out: &mut String, bytes: &'b [u8]) -> &'b [u8] {
    let most = &bytes[..bytes.len().min(4)];
    let valid = match str::from_utf8(most) {
        Ok(text) => text,
        Err(end) => str::from_utf8(&most[..end.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) if is_plain(c) => {
            out.push(c);
            &bytes[c.len_utf8()..]
        }
        _ => {
            code(out, '"', bytes.first().copied().map_or(0, u32::from), ascii);
            &bytes[1..]
        }
    }
}

fn quoted(
    out: &mut String,
    quote: char,
    codes: impl Iterator<Item = u32>,
    plain: fn(u32) -> Option<char>,
) {
    out.push(quote);
    codes.for_each(|number| code(out, quote, number, plain));
    out.push(quote);
}

/// One character of a quoted text.
fn code(out: &mut String, quote: char, code: u32, plain: fn(u32) -> Option<char>) {
    match (escape(code), plain(code)) {
        (Some(escape), _) => out.extend(['\\', escape]),
        (None, Some(c)) if c == quote => out.extend(['\\', quote]),
        (None, Some(c)) => out.push(c),
        (None, None) if code > 0xff => push(out, format_args!("\\u{code:04x}")),
        (None, None) => push(out, format_args!("\\{code:03o}")),
    }
}

/// The letters of C's escapes.
fn escape(code: u32) -> Option<char> {
    match code {
        0 => Some('0'),
        7 => Some('a'),
        8 => Some('b'),
        9 => Some('t'),
        10 => Some('n'),
        11 => Some('v'),
        12 => Some('f'),
        13 => Some('r'),
        0x5c => Some('\\'),
        _ => None,
    }
}

fn ascii(code: u32) -> Option<char> {
    let c = char::from_u32(code)?;
    (c.is_ascii_graphic() || c == ' ').then_some(c)
}

fn printable(code: u32) -> Option<char> {
    char::from_u32(code).filter(|c| is_plain(*c))
}

/// Numbers of which six decimals say nothing, and those of more digits than they have.
const SMALL: f64 = 1e-5;
const LARGE: f64 = 1e16;

/// As `%f` of printf(3); with an exponent where that would be mostly zeros.
fn float(out: &mut String, n: f64) {
    match n.abs() {
        _ if !n.is_finite() => not_finite(out, n),
        0.0 | SMALL..LARGE => push(out, format_args!("{n:.6}")),
        _ => exponential(out, n),
    }
}

/// The shortest text that means this number, with two digits of the exponent at least, as C has it.
fn exponential(out: &mut String, n: f64) {
    let text = format!("{n:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            push(out, format_args!("{digits}e{sign}{exponent:0>2}"));
        }
        None => out.push_str(&text),
    }
}

fn not_finite(out: &mut String, n: f64) {
    out.push_str(if n.is_sign_negative() { "-" } else { "" });
    out.push_str(if n.is_nan() { "nan" } else { "inf" });
}

/// As `%a` of printf(3): `0x1.8p+0`.
fn hex_float(out: &mut String, n: f64) {
    if !n.is_finite() {
        return not_finite(out, n);
    }
    let bits = n.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = (bits >> 52 & 0x7ff) as i64;
    // Subnormal numbers have no implied one, and the exponent of the smallest normal ones.
    let (whole, exponent) = match biased {
        0 if fraction == 0 => (0, 0),
        0 => (0, -1022),
        _ => (1, biased - 1023),
    };
    out.push_str(if n.is_sign_negative() { "-" } else { "" });
    push(out, format_args!("0x{whole}"));
    if fraction != 0 {
        let digits = format!("{fraction:013x}");
        push(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
    push(out, format_args!("p{exponent:+}"));
}

fn joined(out: &mut String, names: &[Arc<str>]) {
    for (i, name) in names.iter().enumerate() {
        out.push_str(if i > 0 { "|" } else { "" });
        out.push_str(name);
    }
}

fn bits(out: &mut String, runs: &[(u32, u32)], inverted: bool) {
    out.push_str(if inverted { "~<" } else { "<" });
    for (i, (first, last)) in runs.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        if first == last {
            push(out, format_args!("{first}"));
        } else {
            push(out, format_args!("{first}-{last}"));
        }
    }
    out.push('>');
}

#[cfg(test)]
mod tests {
    use super::{Charset, Value, list, render, render_in};
    use crate::base::addr::Addr;

    #[track_caller]
    fn check(value: Value, text: &str) {
        assert_eq!(render(&value), text);
    }

    fn bytes(bytes: &[u8]) -> Value {
        let bytes = bytes.into();
        Value::Bytes { bytes, cut: false }
    }

    #[test]
    fn numbers() {
        check(Value::Signed(-1), "-1");
        check(Value::Unsigned(u64::MAX), "18446744073709551615");
        check(Value::Hex(255), "0xff");
        check(Value::Hex(0), "0");
        check(Value::Octal(8), "010");
        check(Value::Octal(0), "00");
        check(Value::Bool(true), "true");
        check(Value::Bool(false), "false");
        check(Value::Name("SEEK_SET".into()), "SEEK_SET");
        check(Value::Hex(u64::MAX), "0xffffffffffffffff");
        check(Value::Hex(16), "0x10");
        let names = || ["A".into(), "B".into()].into_iter().collect();
        let flags = |rest| Value::Flags {
            names: names(),
            rest,
        };
        check(flags(0), "A|B");
        check(flags(0x40), "A|B|0x40");
        let flags = |rest| Value::OctalFlags {
            names: names(),
            rest,
        };
        check(flags(0), "A|B");
        check(flags(0o644), "A|B|0644");
    }

    #[test]
    fn guesses() {
        check(Value::Guess(10_000), "10000");
        check(Value::Guess(10_001), "0x2711");
        check(Value::Guess(-10_000_i64 as u64), "-10000");
        check(Value::Guess(-10_001_i64 as u64), "0xffffffffffffd8ef");
        check(Value::Guess(0xffff_ffff), "0xffffffff");
        check(Value::Guess(0), "0");
    }

    #[test]
    fn characters() {
        check(Value::Char(97), "'a'");
        check(Value::Char(0), r"'\0'");
        check(Value::Char(10), r"'\n'");
        check(Value::Char(0x5c), r"'\\'");
        check(Value::Char(0x27), r"'\''");
        check(Value::Char(0x22), "'\"'");
        check(Value::Char(200), r"'\310'");
        check(Value::Char(-56), r"'\310'");
        check(Value::Char(-1), "EOF");
        check(Value::Char(0x20ac), "'€'");
        check(Value::Char(i64::MAX), r"'\377'");
    }

    #[test]
    fn texts() {
        check(bytes(b"abc"), r#""abc""#);
        check(bytes(b""), r#""""#);
        check(
            bytes(b"tab\there\x01\xffq\"\\'"),
            r#""tab\there\001\377q\"\\'""#,
        );
        check(
            bytes(b"\x07\x08\t\n\x0b\x0c\r\0\x1b\x7f"),
            r#""\a\b\t\n\v\f\r\0\033\177""#,
        );
        check(bytes("ä".as_bytes()), r#""\303\244""#);
        let utf8 = |bytes: &[u8], shown: &str| {
            let bytes = bytes.into();
            let mut out = String::new();
            render_in(&mut out, &Value::Bytes { bytes, cut: false }, Charset::Utf8);
            assert_eq!(out, shown);
        };
        utf8("aä\"€😀".as_bytes(), "\"aä\\\"€😀\"");
        utf8(b"\xc3(\xff", r#""\303(\377""#);
        utf8(&"ä€".as_bytes()[..4], r#""ä\342\202""#);
        utf8("\u{202e}\u{85}".as_bytes(), r#""\342\200\256\302\205""#);
        let text = Value::Bytes {
            bytes: b"ab"[..].into(),
            cut: true,
        };
        check(text, r#""ab"..."#);
        let wide = |text: &str| Value::Wide {
            text: text.to_owned(),
            cut: false,
        };
        check(wide("wid€"), "\"wid€\"");
        check(wide("a\"\u{1b}\u{202e}"), "\"a\\\"\\033\\u202e\"");
    }

    #[test]
    fn reals() {
        check(Value::Float(2.5), "2.500000");
        check(Value::Float(-0.0), "-0.000000");
        check(Value::Float(1e15), "1000000000000000.000000");
        check(Value::Float(1e16), "1e+16");
        check(Value::Float(-1.5e100), "-1.5e+100");
        check(Value::Float(1e-5), "0.000010");
        check(Value::Float(2.5e-7), "2.5e-07");
        check(Value::Float(f64::INFINITY), "inf");
        check(Value::Float(f64::NEG_INFINITY), "-inf");
        check(Value::Float(f64::NAN), "nan");
        check(Value::Float(-f64::NAN), "-nan");
        check(Value::HexFloat(1.5), "0x1.8p+0");
        check(Value::HexFloat(-0.1), "-0x1.999999999999ap-4");
        check(Value::HexFloat(0.0), "0x0p+0");
        check(Value::HexFloat(1.0), "0x1p+0");
        check(Value::HexFloat(f64::MIN_POSITIVE / 2.0), "0x0.8p-1022");
        check(Value::HexFloat(f64::INFINITY), "inf");
    }

    #[test]
    fn addresses() {
        check(Value::Pointer(Addr(0)), "nil");
        check(Value::Pointer(Addr(0x55d0c8)), "0x55d0c8");
        check(Value::Unreadable(Addr(16)), "0x10");
        check(Value::Unreadable(Addr(0)), "0x0");
        check(Value::Recurse(0), "recurse");
        check(Value::Recurse(2), "recurse^^");
        check(Value::Void, "<void>");
        check(Value::Elided, "...");
        check(Value::Thread(12346, None), "12346");
        check(Value::Thread(12346, Some("a\tb".into())), "12346<a\\tb>");
        let leads = |name: Option<&str>| Value::Leads {
            at: Addr(0x10),
            to: Addr(0x20),
            name: name.map(Into::into),
        };
        check(leads(None), "0x10<0x20>");
        check(leads(Some("main+0x42")), "0x10<main+0x42>");
        check(Value::Descriptor(3, "/a b".into()), "3</a b>");
    }

    #[test]
    fn aggregates() {
        let ones = |n| vec![Value::Signed(1); n];
        check(Value::Struct(ones(2)), "{ 1, 1 }");
        check(Value::Struct(Vec::new()), "{  }");
        check(
            Value::Array {
                items: ones(2),
                cut: false,
            },
            "[ 1, 1 ]",
        );
        check(
            Value::Array {
                items: ones(2),
                cut: true,
            },
            "[ 1, 1... ]",
        );
        check(
            Value::Array {
                items: ones(0),
                cut: false,
            },
            "[  ]",
        );
        check(
            Value::Array {
                items: ones(0),
                cut: true,
            },
            "[ ... ]",
        );
        check(
            Value::Struct(vec![Value::Hidden, Value::Signed(1), Value::Hidden]),
            "{ 1 }",
        );
    }

    #[test]
    fn members_and_sets() {
        let members = |values: &[Value]| Value::Members {
            names: ["a".into(), "".into(), "c".into()].into(),
            values: values.to_vec(),
        };
        let one = Value::Signed(1);
        check(
            members(&[one.clone(), one.clone(), one.clone()]),
            "{ a=1, 1, c=1 }",
        );
        check(members(&[Value::Hidden, Value::Hidden, one]), "{ c=1 }");
        let set = |count, inverted| Value::Set {
            members: vec![Value::Name("SIGINT".into()); count],
            inverted,
        };
        check(set(2, false), "[ SIGINT, SIGINT ]");
        check(set(0, false), "[ ]");
        check(set(1, true), "~[ SIGINT ]");
        check(set(0, true), "~[ ]");
    }

    #[test]
    fn cases() {
        let case = |value| Value::Case("A".into(), Box::new(value));
        let one = Value::Signed(1);
        check(case(Value::Struct(vec![])), "A");
        check(
            case(Value::Struct(vec![one.clone(), one.clone()])),
            "A(1, 1)",
        );
        check(case(one.clone()), "A(1)");
        let members = Value::Members {
            names: ["r".into()].into(),
            values: vec![one],
        };
        check(case(members), "A { r=1 }");
    }

    #[test]
    fn bits() {
        let bits = |runs: &[(u32, u32)], inverted| Value::Bits {
            runs: runs.to_vec(),
            inverted,
        };
        check(bits(&[(3, 5), (7, 7)], false), "<3-5,7>");
        check(bits(&[], false), "<>");
        check(bits(&[(0, 0)], true), "~<0>");
        check(bits(&[], true), "~<>");
    }

    #[test]
    fn lists() {
        let mut text = String::new();
        list(
            &mut text,
            &[Value::Signed(1), Value::Hidden, Value::Pointer(Addr(0))],
        );
        assert_eq!(text, "1, nil");
    }
}
