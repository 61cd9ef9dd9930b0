//! Numbers: how a type and a lens make a value of bits.

use super::{Absent, Reader, Reading, Source};
use crate::abi::extended as x87;
use crate::base::signal::Signal;
use crate::proto::layout::Model;
use crate::proto::types::{Integer, Lens, MAX_BIT_BYTES, Name, Real, Type, Width};
use crate::value::Value;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// The bits of an integer, whatever stands above them.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) bits: u64,
    /// How many bits of a 64-bit word the integer leaves unused.
    pub(super) unused: u32,
    pub(super) integer: Integer,
    pub(super) model: Model,
}

impl Number {
    /// The number that the bits mean, negative ones included.
    pub(super) fn extended(self) -> i64 {
        if self.integer.signed {
            (self.bits << self.unused) as i64 >> self.unused
        } else {
            self.unsigned() as i64
        }
    }

    pub(super) fn unsigned(self) -> u64 {
        self.bits << self.unused >> self.unused
    }

    pub(super) fn as_integer(self, lens: Option<&Lens>) -> Value {
        match (self.through(lens), self.integer.signed) {
            (Some(value), _) => value,
            (None, true) => Value::Signed(self.extended()),
            (None, false) => Value::Unsigned(self.unsigned()),
        }
    }

    pub(super) fn as_character(self, lens: Option<&Lens>) -> Value {
        let code = match self.integer.width {
            // A byte has no room for EOF: 0xff is a letter like the others.
            Width::W8 => (self.bits & 0xff) as i64,
            _ => self.extended(),
        };
        self.through(lens).unwrap_or(Value::Char(code))
    }

    /// What a lens makes of it; `None` when it leaves it as it is.
    fn through(self, lens: Option<&Lens>) -> Option<Value> {
        let bits = self.unsigned();
        match lens? {
            Lens::Octal => Some(Value::Octal(bits)),
            Lens::Hex => Some(Value::Hex(bits)),
            Lens::Bool => Some(Value::Bool(bits != 0)),
            Lens::Guess => Some(Value::guess(self.extended() as u64, self.model)),
            Lens::Enum(names) => name_of(names, bits, self.unused),
            Lens::Flags(names) => {
                let (names, rest) = self.flags(names)?;
                Some(match names.is_empty() {
                    true => Value::Hex(rest),
                    false => Value::Flags { names, rest },
                })
            }
            Lens::OctalFlags(names) => match self.flags(names) {
                Some((names, rest)) if !names.is_empty() => Some(Value::OctalFlags { names, rest }),
                _ => Some(Value::Octal(bits)),
            },
            Lens::Ascii => {
                let is_letter = (0x20..0x7f).contains(&bits);
                is_letter.then_some(Value::Char(bits as i64))
            }
            Lens::WaitStatus => Some(Value::Name(wait_status(bits as u32).into())),
            Lens::Error => {
                let number = self.extended();
                let error = i32::try_from(number.unsigned_abs())
                    .ok()
                    .filter(|n| *n != 0)?;
                Some(Value::Failed(Box::new(Value::Signed(number)), error))
            }
            Lens::Ticks(unit) => ticks(self.extended(), *unit),
            Lens::OneMore => Some(Value::Signed(self.extended().wrapping_add(1))),
            Lens::Bits
            | Lens::Blocks(_)
            | Lens::Contents
            | Lens::Duration
            | Lens::Endpoint
            | Lens::Hide
            | Lens::Unknown
            | Lens::Text
            | Lens::Thread
            | Lens::Format(_)
            | Lens::If(_)
            | Lens::Set(_)
            | Lens::Lp64(_)
            | Lens::Locale
            | Lens::Jump
            | Lens::TypeName
            | Lens::Nodes(_)
            | Lens::When(_)
            | Lens::Total(_)
            | Lens::Filled(_)
            | Lens::Control
            | Lens::Wide { .. }
            | Lens::Again(_)
            | Lens::Switch(_)
            | Lens::Errno => None,
        }
    }

    /// Names in their order, each taking its bits away, and what is left. `None` when that is nothing at all.
    fn flags(self, names: &[Name]) -> Option<(SmallVec<[Arc<str>; 4]>, u64)> {
        let bits = self.unsigned();
        let all = u64::MAX >> self.unused;
        let mut left = bits;
        let mut shown = SmallVec::new();
        for Name { name, value, mask } in names {
            let mask = mask & all;
            let value = value & all;
            // A field that is zero is so in the whole number, not for bits that were taken away.
            let fits = match (mask, value) {
                (0, _) => bits == 0,
                (_, 0) => bits & mask == 0,
                _ => left & mask == value,
            };
            if fits {
                shown.push(name.clone());
                left &= !mask;
            }
        }
        let is_something = !shown.is_empty() || left != 0;
        is_something.then_some((shown, left))
    }
}

/// The name of a number, of which so many upper bits of a word do not count.
pub(super) fn name_of(names: &[Name], bits: u64, unused: u32) -> Option<Value> {
    let same = |name: &&Name| name.value << unused == bits << unused;
    let name = names.iter().find(same)?;
    Some(Value::Name(name.name.clone()))
}

pub(super) fn real(
    reader: &Reader<'_>,
    real: Real,
    source: Source<'_>,
    lens: Option<&Lens>,
) -> Result<Value, Absent> {
    let number = match real {
        Real::Single => f64::from(f32::from_bits(reader.uint(source, 4)? as u32)),
        Real::Double => f64::from_bits(reader.uint(source, 8)?),
        Real::Extended => {
            let mut bytes = [0; 10];
            reader.fill(source, &mut bytes)?;
            x87::to_f64(bytes)
        }
    };
    Ok(match lens {
        Some(Lens::Hex) => Value::HexFloat(number),
        _ => Value::Float(number),
    })
}

impl Reading<'_> {
    /// The first bytes of anything that is not a pointer.
    fn bytes_of_bits(
        &self,
        ty: &Type,
        source: Source<'_>,
        around: Option<&super::Around<'_>>,
    ) -> Result<Vec<u8>, Absent> {
        let size = match ty {
            Type::Array(element, length) => {
                let count = self.length(length, around);
                self.reader.model.layout(element).size.saturating_mul(count)
            }
            ty => self.reader.model.layout(ty).size,
        };
        let mut bytes = vec![0; size.min(MAX_BIT_BYTES) as usize];
        self.reader.fill(source, &mut bytes)?;
        Ok(bytes)
    }

    /// The bits of anything that is not a pointer, byte by byte.
    pub(super) fn bits(
        &self,
        ty: &Type,
        source: Source<'_>,
        around: Option<&super::Around<'_>>,
    ) -> Result<Value, Absent> {
        let bytes = self.bytes_of_bits(ty, source, around)?;
        let set: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        let inverted = set as usize * 2 > bytes.len() * 8;
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for (index, byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                if (byte >> bit & 1 == 1) != inverted {
                    extend_runs(&mut runs, 8 * index as u32 + bit);
                }
            }
        }
        Ok(Value::Bits { runs, inverted })
    }
}

impl Reading<'_> {
    /// The bits that are set of a number or an array of numbers, by their names as far as they have some. With names,
    /// a set of more than half of them is told by those that are missing.
    pub(super) fn set(
        &mut self,
        ty: &Type,
        names: &[Name],
        source: Source<'_>,
        around: Option<&super::Around<'_>>,
    ) -> Result<Value, Absent> {
        let bytes = self.bytes_of_bits(ty, source, around)?;
        let is_set = |bit: u64| {
            let byte = usize::try_from(bit / 8).ok().and_then(|at| bytes.get(at));
            byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        };
        let named = names.iter().filter(|name| is_set(name.value)).count();
        if named * 2 > names.len() {
            let missing = names.iter().filter(|name| !is_set(name.value));
            return Ok(Value::Set {
                members: missing.map(|name| Value::Name(name.name.clone())).collect(),
                inverted: true,
            });
        }
        let mut members = Vec::new();
        for bit in (0..8 * bytes.len() as u64).filter(|bit| is_set(*bit)) {
            if self.parts_left == 0 {
                members.push(Value::Elided);
                break;
            }
            self.parts_left -= 1;
            members.push(match names.iter().find(|name| name.value == bit) {
                Some(name) => Value::Name(name.name.clone()),
                None => Value::Unsigned(bit),
            });
        }
        Ok(Value::Set {
            members,
            inverted: false,
        })
    }
}

/// What a status of wait(2) means, as C asks it.
fn wait_status(status: u32) -> String {
    let signal = |number: u32| {
        let signal = i32::try_from(number & 0x7f).ok();
        signal.map_or_else(String::new, |number| Signal(number).to_string())
    };
    match (status & 0x7f, status >> 8 & 0xff) {
        _ if status == 0xffff => "WIFCONTINUED(s)".to_owned(),
        (0, code) => format!("WIFEXITED(s) && WEXITSTATUS(s) == {code}"),
        (0x7f, stop) => format!("WIFSTOPPED(s) && WSTOPSIG(s) == {}", signal(stop)),
        (killed, _) => {
            let core = if status & 0x80 != 0 {
                " && WCOREDUMP(s)"
            } else {
                ""
            };
            format!("WIFSIGNALED(s) && WTERMSIG(s) == {}{core}", signal(killed))
        }
    }
}

fn extend_runs(runs: &mut Vec<(u32, u32)>, bit: u32) {
    match runs.last_mut() {
        Some((_, last)) if *last + 1 == bit => *last = bit,
        _ => runs.push((bit, bit)),
    }
}

/// How long so many units of time are.
fn ticks(count: i64, unit: u64) -> Option<Value> {
    const SECOND: u128 = 1_000_000_000;
    let sign = if count < 0 { "-" } else { "" };
    let all = u128::from(count.unsigned_abs()) * u128::from(unit);
    let text = duration(u64::try_from(all / SECOND).ok()?, (all % SECOND) as u64)?;
    Some(Value::Name(format!("{sign}{text}").into()))
}

/// How long it is, `1.5s`; `None` when it holds what no duration does.
pub(super) fn duration(seconds: u64, nanoseconds: u64) -> Option<String> {
    let nanoseconds = u32::try_from(nanoseconds)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    Some(format!("{:?}", Duration::new(seconds, nanoseconds)))
}

/// A number of two words.
pub(super) fn wide(low: u64, high: u64, signed: bool) -> Value {
    let number = u128::from(high) << 64 | u128::from(low);
    let text = match (signed, number as i128) {
        (true, number) => match i64::try_from(number) {
            Ok(number) => return Value::Signed(number),
            Err(_) => number.to_string(),
        },
        (false, _) => match high {
            0 => return Value::Unsigned(low),
            _ => number.to_string(),
        },
    };
    Value::Name(text.into())
}
