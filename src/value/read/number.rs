//! Numbers: how a type and a lens make a value of bits.

use super::{Absent, Reader, Reading, Source};
use crate::abi::sysv::MODEL;
use crate::proto::types::{Integer, Lens, Name, Real, Type, Width};
use crate::value::{Value, extended as x87};

/// How many bytes of a structure or array are shown as bits.
const MAX_BIT_BYTES: u64 = 256;

/// The number that the low bits mean, negative ones included.
pub(super) fn extended(bits: u64, integer: Integer) -> i64 {
    let unused = unused_bits(integer);
    if integer.signed {
        (bits << unused) as i64 >> unused
    } else {
        (bits << unused >> unused) as i64
    }
}

/// How many bits of a 64-bit word the integer leaves unused.
fn unused_bits(integer: Integer) -> u32 {
    64 - 8 * MODEL.integer(integer) as u32
}

pub(super) fn integer(bits: u64, integer: Integer, lens: Option<&Lens>) -> Value {
    let number = extended(bits, integer);
    match (through(bits, integer, lens), integer.signed) {
        (Some(value), _) => value,
        (None, true) => Value::Signed(number),
        (None, false) => Value::Unsigned(number as u64),
    }
}

pub(super) fn character(bits: u64, integer: Integer, lens: Option<&Lens>) -> Value {
    let code = match integer.width {
        // A byte has no room for EOF: 0xff is a letter like the others.
        Width::W8 => (bits & 0xff) as i64,
        _ => extended(bits, integer),
    };
    through(bits, integer, lens).unwrap_or(Value::Char(code))
}

/// What a lens makes of a number; `None` when it leaves it as it is.
fn through(bits: u64, integer: Integer, lens: Option<&Lens>) -> Option<Value> {
    let number = extended(bits, integer);
    let bits = extended(
        bits,
        Integer {
            signed: false,
            ..integer
        },
    ) as u64;
    match lens? {
        Lens::Octal => Some(Value::Octal(bits)),
        Lens::Hex => Some(Value::Hex(bits)),
        Lens::Bool => Some(Value::Bool(bits != 0)),
        Lens::Guess => Some(Value::Guess(number as u64)),
        Lens::Enum(names) => {
            let same = |name: &&Name| extended(name.value, integer) == number;
            let name = names.iter().find(same)?;
            Some(Value::Name(name.name.clone()))
        }
        Lens::Flags(names) => flags(bits, integer, names),
        Lens::Bits | Lens::Hide | Lens::Text | Lens::Format(_) | Lens::If(_) => None,
    }
}

/// Names in their order, each taking its bits away; what is left stands behind in hexadecimal.
fn flags(bits: u64, integer: Integer, names: &[Name]) -> Option<Value> {
    let all = u64::MAX >> unused_bits(integer);
    let mut left = bits;
    let mut shown = Vec::new();
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
    match (shown.is_empty(), left) {
        (true, 0) => None,
        (true, _) => Some(Value::Hex(bits)),
        (false, 0) => Some(Value::Name(shown.join("|"))),
        (false, _) => Some(Value::Name(format!("{}|{left:#x}", shown.join("|")))),
    }
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
    /// The bits of anything that is not a pointer, byte by byte.
    pub(super) fn bits(
        &self,
        ty: &Type,
        source: Source<'_>,
        around: Option<&super::Around<'_>>,
    ) -> Result<Value, Absent> {
        let size = match ty {
            Type::Array(element, length) => {
                let count = self.length(length, around);
                MODEL.layout(element).size.saturating_mul(count)
            }
            ty => MODEL.layout(ty).size,
        };
        let mut bytes = vec![0; size.min(MAX_BIT_BYTES) as usize];
        self.reader.fill(source, &mut bytes)?;
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

fn extend_runs(runs: &mut Vec<(u32, u32)>, bit: u32) {
    match runs.last_mut() {
        Some((_, last)) if *last + 1 == bit => *last = bit,
        _ => runs.push((bit, bit)),
    }
}
