//! Control messages of a socket: what goes with data, such as descriptors (cmsg(3), unix(7), socket(7)).

use super::source::Absent;
use super::{Around, Reading, Source};
use crate::proto::types::Expr;
use crate::value::Value;
use std::sync::Arc;

/// `SOL_SOCKET`, and what it has: `bits/socket.h`, `asm-generic/socket.h`.
const SOCKET: i32 = 1;
const RIGHTS: i32 = 1;
const CREDENTIALS: i32 = 2;
const KINDS: [(i32, &str); 6] = [
    (RIGHTS, "SCM_RIGHTS"),
    (CREDENTIALS, "SCM_CREDENTIALS"),
    (3, "SCM_SECURITY"),
    (4, "SCM_PIDFD"),
    (29, "SCM_TIMESTAMP"),
    (35, "SCM_TIMESTAMPNS"),
];

/// Protocols that have messages of their own: `in.h`.
const LEVELS: [(i32, &str); 5] = [
    (0, "SOL_IP"),
    (SOCKET, "SOL_SOCKET"),
    (6, "SOL_TCP"),
    (17, "SOL_UDP"),
    (41, "SOL_IPV6"),
];

impl Reading<'_> {
    /// All messages in so many bytes.
    pub(super) fn control(
        &mut self,
        length: &Expr,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let block = self.block(source, self.length(length, around))?.0;
        let mut rest = &block[..];
        let mut items = Vec::new();
        // A length, rounded up to words, then level and kind.
        let word = self.reader.model.pointer() as usize;
        let header = word + 8;
        while items.len() < self.limits.array && rest.len() >= header {
            let length = uint(&rest[..word]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length < header {
                break;
            }
            let number = |at: usize| uint(&rest[at..at + 4]) as i32;
            let data = &rest[header..length.min(rest.len())];
            items.push(self.message(number(word), number(word + 4), data));
            let next = length.saturating_add(word - 1) / word * word;
            rest = rest.get(next..).unwrap_or_default();
        }
        let cut = rest.len() >= header && items.len() == self.limits.array;
        Ok(Value::Array { items, cut })
    }

    fn message(&mut self, level: i32, kind: i32, data: &[u8]) -> Value {
        let known = |names: &[(i32, &str)], number: i32| {
            let found = names.iter().find(|(known, _)| *known == number);
            found.map_or(Value::Signed(number.into()), |(_, name)| {
                Value::Name((*name).into())
            })
        };
        let kinds: &[(i32, &str)] = if level == SOCKET { &KINDS } else { &[] };
        let of = match (level, kind) {
            (SOCKET, RIGHTS) => self.numbers(data),
            (SOCKET, CREDENTIALS) => credentials(data),
            _ => {
                let shown = data.len().min(self.limits.string);
                Value::Bytes {
                    bytes: data[..shown].into(),
                    cut: shown < data.len(),
                }
            }
        };
        Value::Struct(vec![known(&LEVELS, level), known(kinds, kind), of])
    }

    /// Descriptors.
    fn numbers(&mut self, data: &[u8]) -> Value {
        let all = data.chunks_exact(4).map(number);
        Value::Array {
            cut: all.len() > self.limits.array,
            items: all.take(self.limits.array).collect(),
        }
    }
}

/// `struct ucred`.
fn credentials(data: &[u8]) -> Value {
    let names = ["pid", "uid", "gid"];
    let values: Vec<Value> = data.chunks_exact(4).take(names.len()).map(number).collect();
    let names = names.into_iter().take(values.len());
    Value::Members {
        names: names.map(Arc::from).collect(),
        values,
    }
}

fn number(bytes: &[u8]) -> Value {
    Value::Signed((uint(bytes) as i32).into())
}

fn uint(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().rev();
    digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
}
