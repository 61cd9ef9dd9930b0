//! Values as JSON: what a line would show, what that means, and what was passed.

use crate::base::addr::Addr;
use crate::base::errno;
use crate::value::Value;
use crate::value::render::render;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::fmt::Write as _;
use std::sync::Arc;

/// An argument or a result.
#[derive(serde::Serialize)]
pub(super) struct Shown<'a> {
    text: String,
    value: Meaning<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl Shown<'_> {
    pub(super) fn new(value: &Value, word: Option<u64>) -> Shown<'_> {
        Shown {
            text: render(value),
            value: Meaning(value),
            raw: word.map(Addr),
            error: match value {
                Value::Failed(_, number) => errno::name(*number),
                _ => None,
            },
        }
    }
}

/// A value as the reader's language would have it.
struct Meaning<'a>(&'a Value);

impl Serialize for Meaning<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Signed(number) => out.serialize_i64(*number),
            Value::Thread(tid, None) => out.serialize_i32(*tid),
            Value::Thread(tid, Some(name)) => {
                let mut map = out.serialize_map(Some(2))?;
                map.serialize_entry("thread", tid)?;
                map.serialize_entry("name", &**name)?;
                map.end()
            }
            Value::Leads { at, to, name } => {
                let mut map = out.serialize_map(Some(2))?;
                map.serialize_entry("address", at)?;
                match name {
                    Some(name) => map.serialize_entry("leads_to", &**name)?,
                    None => map.serialize_entry("leads_to", to)?,
                }
                map.end()
            }
            Value::Guess(word) => out.serialize_i64(*word as i64),
            Value::Unsigned(number) | Value::Hex(number) | Value::Octal(number) => {
                out.serialize_u64(*number)
            }
            Value::Bool(truth) => out.serialize_bool(*truth),
            Value::Char(code) => out.serialize_i64(*code),
            Value::Float(number) | Value::HexFloat(number) if number.is_finite() => {
                out.serialize_f64(*number)
            }
            Value::Float(_) | Value::HexFloat(_) | Value::Recurse(_) | Value::Bits { .. } => {
                out.serialize_str(&render(self.0))
            }
            Value::Pointer(Addr(0))
            | Value::Void
            | Value::Hidden
            | Value::Elided
            | Value::Unknown => out.serialize_unit(),
            Value::Pointer(at) | Value::Unreadable(at) => at.serialize(out),
            Value::Bytes { bytes, cut } => match (str::from_utf8(bytes), cut) {
                (Ok(text), false) => out.serialize_str(text),
                (Ok(text), true) => cut_text(out, "string", text),
                (Err(_), false) => {
                    let mut map = out.serialize_map(Some(1))?;
                    map.serialize_entry("bytes", &hex(bytes))?;
                    map.end()
                }
                (Err(_), true) => cut_text(out, "bytes", &hex(bytes)),
            },
            Value::Wide { text, cut: false } => out.serialize_str(text),
            Value::Wide { text, cut: true } => cut_text(out, "string", text),
            Value::Descriptor(number, what) => {
                let mut map = out.serialize_map(Some(2))?;
                map.serialize_entry("descriptor", number)?;
                map.serialize_entry("path", &**what)?;
                map.end()
            }
            Value::Name(name) => out.serialize_str(name),
            Value::Flags { names, rest } | Value::OctalFlags { names, rest } => {
                let mut map = out.serialize_map(None)?;
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                map.serialize_entry("flags", &names)?;
                if *rest != 0 {
                    map.serialize_entry("rest", &Addr(*rest))?;
                }
                map.end()
            }
            Value::Members { names, values } => {
                let mut map = out.serialize_map(Some(1))?;
                map.serialize_entry("members", &Members(names, values))?;
                map.end()
            }
            Value::Set {
                members,
                inverted: false,
            } => all(out, members),
            Value::Set { members, .. } => {
                let members: Vec<Meaning<'_>> = members.iter().map(Meaning).collect();
                let mut map = out.serialize_map(Some(1))?;
                map.serialize_entry("all_but", &members)?;
                map.end()
            }
            Value::Failed(value, _) | Value::Again(value) => Meaning(value).serialize(out),
            Value::Struct(members) => {
                let shown = members.iter().filter(|member| **member != Value::Hidden);
                out.collect_seq(shown.map(Meaning))
            }
            Value::Case(name, value) => match &**value {
                Value::Struct(values) if values.is_empty() => out.serialize_str(name),
                value => {
                    let mut map = out.serialize_map(Some(2))?;
                    map.serialize_entry("case", &**name)?;
                    map.serialize_entry("holds", &Meaning(value))?;
                    map.end()
                }
            },
            Value::Array { items, cut: false } => all(out, items),
            Value::Array { items, cut: true } => {
                let items: Vec<Meaning<'_>> = items.iter().map(Meaning).collect();
                let mut map = out.serialize_map(Some(2))?;
                map.serialize_entry("items", &items)?;
                map.serialize_entry("cut", &true)?;
                map.end()
            }
        }
    }
}

/// Values by their names; of those that have none, by their numbers from 0.
struct Members<'a>(&'a [Arc<str>], &'a [Value]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        for (number, value) in self.1.iter().enumerate() {
            let name = self.0.get(number).filter(|name| !name.is_empty());
            match name {
                _ if *value == Value::Hidden => {}
                Some(name) => map.serialize_entry(&**name, &Meaning(value))?,
                None => map.serialize_entry(&number.to_string(), &Meaning(value))?,
            }
        }
        map.end()
    }
}

fn all<S: Serializer>(out: S, values: &[Value]) -> Result<S::Ok, S::Error> {
    let mut list = out.serialize_seq(Some(values.len()))?;
    for value in values {
        list.serialize_element(&Meaning(value))?;
    }
    list.end()
}

/// A text of which there is more.
fn cut_text<S: Serializer>(out: S, name: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(Some(2))?;
    map.serialize_entry(name, text)?;
    map.serialize_entry("cut", &true)?;
    map.end()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(value: Value, expected: serde_json::Value) {
        let found = serde_json::to_value(Shown::new(&value, None)).expect("JSON");
        assert_eq!(found["value"], expected, "{value:?}");
        assert_eq!(found["text"], render(&value));
    }

    fn bytes(bytes: &[u8], cut: bool) -> Value {
        let bytes = bytes.into();
        Value::Bytes { bytes, cut }
    }

    #[test]
    fn meanings() {
        check(Value::Signed(-1), json!(-1));
        check(Value::Unsigned(u64::MAX), json!(u64::MAX));
        check(Value::Hex(255), json!(255));
        check(Value::Octal(8), json!(8));
        check(Value::Guess(-5_i64 as u64), json!(-5));
        check(Value::Bool(true), json!(true));
        check(Value::Char(65), json!(65));
        check(Value::Float(0.5), json!(0.5));
        check(
            Value::Float(f64::NAN),
            json!(render(&Value::Float(f64::NAN))),
        );
        check(Value::Pointer(Addr(0)), json!(null));
        check(Value::Pointer(Addr(0x10)), json!("0x10"));
        check(Value::Unreadable(Addr(0x10)), json!("0x10"));
        check(Value::Void, json!(null));
        check(Value::Hidden, json!(null));
        check(Value::Name(Arc::from("SEEK_SET")), json!("SEEK_SET"));
        check(bytes(b"a\0\x1b", false), json!("a\0\u{1b}"));
        check(bytes(b"ab", true), json!({"string": "ab", "cut": true}));
        check(bytes(b"\xff", false), json!({"bytes": "ff"}));
        check(
            bytes(b"\xff\0", true),
            json!({"bytes": "ff00", "cut": true}),
        );
        check(Value::Thread(12346, None), json!(12346));
        check(
            Value::Thread(12346, Some("worker".into())),
            json!({"thread": 12346, "name": "worker"}),
        );
        check(
            Value::Leads {
                at: Addr(0x10),
                to: Addr(0x20),
                name: Some("main+0x42".into()),
            },
            json!({"address": "0x10", "leads_to": "main+0x42"}),
        );
        check(
            Value::Descriptor(3, "/x".into()),
            json!({"descriptor": 3, "path": "/x"}),
        );
        let flags = |rest| Value::Flags {
            names: [Arc::from("A"), Arc::from("B")].into_iter().collect(),
            rest,
        };
        check(flags(0), json!({"flags": ["A", "B"]}));
        check(flags(64), json!({"flags": ["A", "B"], "rest": "0x40"}));
        let members = Value::Members {
            names: ["a".into(), "".into(), "c".into()].into(),
            values: vec![Value::Signed(1), Value::Signed(2), Value::Hidden],
        };
        check(members, json!({"members": {"a": 1, "1": 2}}));
        let set = |inverted| Value::Set {
            members: vec![Value::Name(Arc::from("SIGINT")), Value::Unsigned(40)],
            inverted,
        };
        check(set(false), json!(["SIGINT", 40]));
        check(set(true), json!({"all_but": ["SIGINT", 40]}));
        check(Value::Again(Box::new(Value::Signed(1))), json!(1));
        let case = |values| Value::Case("A".into(), Box::new(Value::Struct(values)));
        check(case(Vec::new()), json!("A"));
        let one = vec![Value::Signed(1), Value::Hidden];
        check(case(one), json!({"case": "A", "holds": [1]}));
        let items = vec![Value::Signed(1), Value::Struct(vec![Value::Signed(2)])];
        let array = |cut| Value::Array {
            items: items.clone(),
            cut,
        };
        check(array(false), json!([1, [2]]));
        check(array(true), json!({"items": [1, [2]], "cut": true}));
        check(Value::Failed(Box::new(Value::Signed(-1)), 2), json!(-1));
    }

    #[test]
    fn words_and_errors() {
        let failed = Value::Failed(Box::new(Value::Signed(-1)), 2);
        let found = serde_json::to_value(Shown::new(&failed, Some(u64::MAX))).expect("JSON");
        assert_eq!(found["raw"], "0xffffffffffffffff");
        assert_eq!(found["error"], "ENOENT");
    }
}
