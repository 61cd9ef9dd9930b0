//! How callers are found from all return addresses of a function: a thread that has come by one of them comes by others
//! soon.

use super::emulate::Code;
use super::unwind::{CallerRule, Unwinder};

/// Longer functions are looked at so far.
const MOST_CODE: usize = 1 << 20;

impl Unwinder {
    /// The rules for the return addresses of the function around one of them, behind whatever looks like a call. What is
    /// none does no harm: no thread returns there.
    pub fn function_rules(&self, return_address: u64) -> Vec<(u64, CallerRule)> {
        let parts = self.function(return_address.wrapping_sub(1));
        let Some((start, end)) = parts
            .first()
            .zip(parts.last())
            .map(|(first, last)| (first.0.start, last.0.end))
        else {
            return Vec::new();
        };
        if return_address.wrapping_sub(start) > MOST_CODE as u64 {
            return Vec::new();
        }
        let code = self.code_at(start);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(MOST_CODE);
        let code = &code[..length.min(MOST_CODE).min(code.len())];
        let rule = |at: u64| {
            let part = parts.get(parts.partition_point(|(range, _)| range.end < at))?;
            // Of these the unwinder says something else.
            let is_plain = part.0.start < at && !self.is_signal_return(at);
            is_plain.then_some((at, part.1))
        };
        behind_calls(code)
            .filter_map(|offset| rule(start + offset as u64))
            .collect()
    }
}

/// Where what looks like a call ends (Intel SDM 2, CALL: `E8 rel32`, `FF /2` with a ModRM byte, perhaps an SIB byte and a
/// displacement).
fn behind_calls(code: &[u8]) -> impl Iterator<Item = usize> {
    let behind = |at: usize| match code[at..] {
        // Functions are no further away than that.
        [0xe8, _, _, _, 0..=7 | 0xf8.., ..] => Some(at + 5),
        [0xff, modrm, ref rest @ ..] if modrm >> 3 & 7 == 2 => {
            let sib = rest.first().filter(|_| modrm & 7 == 4 && modrm >> 6 != 3);
            let base = sib.unwrap_or(&modrm) & 7;
            let displacement = match (modrm >> 6, base) {
                (0, 5) | (2, _) => 4,
                (1, _) => 1,
                _ => 0,
            };
            Some(at + 2 + usize::from(sib.is_some()) + displacement)
        }
        _ => None,
    };
    (0..code.len())
        .filter_map(behind)
        .filter(|at| *at <= code.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Bias;
    use crate::stack::{Bytes, ModuleId};

    #[test]
    fn each_call_of_a_function_has_the_rule_of_its_place() {
        let file = std::fs::read(std::env::current_exe().expect("ourselves")).expect("our file");
        // e_entry (elf(5))
        let entry = file[24..32].try_into().expect("eight bytes");
        let entry = u64::from_le_bytes(entry);
        let mut unwinder = Unwinder::default();
        let id = ModuleId::numbered(1);
        unwinder.add_module(id, 0..u64::MAX, Bias(0), &Bytes::from(file));
        let code = &unwinder.code_at(entry)[..1 << 18];
        let some: Vec<u64> = behind_calls(code)
            .step_by(100)
            .map(|at| entry + at as u64)
            .collect();
        let (mut functions, mut calls) = (0, 0);
        for at in some {
            let rules = unwinder.function_rules(at);
            functions += usize::from(rules.iter().any(|(other, _)| *other == at));
            calls += rules.len();
            for (other, rule) in rules {
                let row = unwinder.row(other - 1).expect("a row");
                assert_eq!(row.compact(), rule, "{other:#x}");
            }
        }
        assert!(
            functions > 20 && calls > 3 * functions,
            "{functions}, {calls}"
        );
    }

    #[test]
    fn calls_of_all_lengths() {
        #[track_caller]
        fn check(code: &[u8], expected: &[usize]) {
            let found: Vec<usize> = behind_calls(code).collect();
            assert_eq!(found, expected, "{code:x?}");
        }
        check(&[0x90, 0xe8, 1, 2, 3, 0, 0x90], &[6]);
        check(&[0xe8, 1, 2, 3, 0xff], &[5]);
        check(&[0xe8, 1, 2, 3, 0x55], &[]);
        check(&[0xe8, 1, 2, 3], &[]);
        check(&[0xff, 0xd0, 0x41, 0xff, 0xd4], &[2, 5]);
        check(
            &[0xff, 0x10, 0xff, 0x50, 8, 0xff, 0x54, 0x24, 8],
            &[2, 5, 9],
        );
        check(&[0xff, 0x15, 1, 2, 3, 4, 0xff, 0x90, 1, 2, 3, 4], &[6, 12]);
        check(&[0xff, 0x14, 0xc5, 1, 2, 3, 4, 0xff, 0x14, 0xc0], &[7, 10]);
        check(&[0xff, 0xe0, 0xff, 0x25, 1, 2, 3, 4], &[]);
    }
}
