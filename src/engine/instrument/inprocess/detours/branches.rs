//! Which code branches into the first bytes of a function: a jump must not take their place then.

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use std::ops::Range;

/// How far a short branch reaches, its own length with it (Intel SDM vol. 2, Jcc).
const SHORT: usize = 130;
/// Decoding that begins at an instruction or in one is right from some instructions on.
const PHASES: usize = 15;

/// The longest branch with a displacement of 32 bits, its own length with it.
pub(super) const LONGEST: usize = 6;

/// Adds where the branches with 32-bit displacements lead to that this part of a text may hold: it begins at this offset
/// of the text, which is `length` long. What begins in the last bytes may be cut off.
pub(super) fn add_far_targets(part: &[u8], offset: usize, length: usize, targets: &mut Vec<u32>) {
    each_far_branch(part, |at, opcode| {
        let Some(displacement) = part[at + opcode..].first_chunk() else {
            return;
        };
        let end = (offset + at + opcode + 4) as i64;
        let target = end + i64::from(i32::from_le_bytes(*displacement));
        if (0..length as i64).contains(&target) {
            targets.push(target as u32);
        }
    });
}

/// Tells where a branch with a displacement of 32 bits may begin, and how long its opcode is: `jmp` and `jcc`. Calls do not
/// lead into a function's middle. Eight bytes are looked at together, as there are megabytes.
fn each_far_branch(code: &[u8], mut found: impl FnMut(usize, usize)) {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    // The bytes that are zero, and perhaps some behind one that is.
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word & (0x80 * EACH);
    let mut look = |at: usize| match (code[at], code.get(at + 1)) {
        (0xe9, _) => found(at, 1),
        (0x0f, Some(0x80..=0x8f)) => found(at, 2),
        _ => {}
    };
    let mut at = 0;
    while let Some(bytes) = code[at..].first_chunk::<9>() {
        let [first @ .., _] = *bytes;
        let [_, second @ ..] = *bytes;
        let (first, second) = (u64::from_le_bytes(first), u64::from_le_bytes(second));
        let conditional =
            zeros(first ^ (0x0f * EACH)) & zeros((second & (0xf0 * EACH)) ^ (0x80 * EACH));
        let mut marks = zeros(first ^ (0xe9 * EACH)) | conditional;
        while marks != 0 {
            look(at + marks.trailing_zeros() as usize / 8);
            marks &= marks - 1;
        }
        at += 8;
    }
    (at..code.len()).for_each(look);
}

/// Whether one of these leads there.
pub(super) fn leads_to(targets: &[u32], place: &Range<u32>) -> bool {
    let index = targets.partition_point(|target| *target < place.start);
    targets.get(index).is_some_and(|target| *target < place.end)
}

/// Whether a short branch in this code may lead into a stretch of it.
pub(super) fn short_leads_to(code: &[u8], place: &Range<usize>) -> bool {
    let leads = |start: usize, end: usize| {
        let stretch = code.get(start..end.min(code.len())).unwrap_or_default();
        let decoder = Decoder::with_ip(64, stretch, start as u64, DecoderOptions::NONE);
        decoder.into_iter().any(|instruction| {
            let is_branch = matches!(
                instruction.flow_control(),
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            );
            let target = instruction.near_branch_target();
            is_branch && (place.start as u64..place.end as u64).contains(&target)
        })
    };
    let first = place.start.saturating_sub(SHORT + PHASES);
    let before = (first..first + PHASES).take_while(|start| *start < place.start);
    leads(place.start, place.end + SHORT)
        || before.into_iter().any(|start| leads(start, place.start))
}

/// Whether a function, which begins with this code, comes to one of its first bytes again: then what it finds on the
/// stack need not be a return address. Ways through tables are not followed.
pub(super) fn comes_back(code: &[u8], first: &Range<usize>) -> bool {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut seen = vec![false; code.len()];
    let mut ways = vec![0];
    while let Some(start) = ways.pop() {
        let mut at = start;
        while at < code.len() && !std::mem::replace(&mut seen[at], true) {
            if decoder.set_position(at).is_err() {
                break;
            }
            decoder.set_ip(at as u64);
            let instruction = decoder.decode();
            let flow = instruction.flow_control();
            if let FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch = flow {
                let target = instruction.near_branch_target() as usize;
                if first.contains(&target) {
                    return true;
                }
                ways.push(target);
            }
            let goes_on = matches!(
                flow,
                FlowControl::Next
                    | FlowControl::ConditionalBranch
                    | FlowControl::Call
                    | FlowControl::IndirectCall
            );
            if !goes_on || instruction.is_invalid() {
                break;
            }
            at += instruction.len();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{add_far_targets, comes_back, leads_to, short_leads_to};

    #[test]
    fn loops() {
        // push rbx; L: dec edi; jne L; pop rbx; ret
        let inner = [0x53, 0xff, 0xcf, 0x75, 0xfc, 0x5b, 0xc3];
        assert!(!comes_back(&inner, &(0..1)));
        assert!(comes_back(&inner, &(0..2)));
        // jmp +1; what is never reached; ret
        let over = [0xeb, 0x02, 0xeb, 0xfc, 0xc3];
        assert!(!comes_back(&over, &(0..1)));
        // Behind a call, and out of the code.
        let call = [0xe8, 0, 0, 0, 0, 0x74, 0xf9, 0xeb, 0x70];
        assert!(comes_back(&call, &(0..1)));
    }

    #[test]
    fn branches_with_32_bits() {
        let mut code = [0x90; 64];
        code[10..15].copy_from_slice(&[0xe9, 1, 0, 0, 0]);
        code[40..46].copy_from_slice(&[0x0f, 0x84, 0xd4, 0xff, 0xff, 0xff]);
        // Out of the code, and cut off.
        code[50..55].copy_from_slice(&[0xe9, 0, 1, 0, 0]);
        code[62] = 0xe9;
        let mut targets = Vec::new();
        add_far_targets(&code[..30], 0, code.len(), &mut targets);
        add_far_targets(&code[30..], 30, code.len(), &mut targets);
        targets.sort_unstable();
        assert_eq!(targets, [2, 16]);
        assert!(leads_to(&targets, &(16..17)));
        assert!(leads_to(&targets, &(0..5)));
        assert!(!leads_to(&targets, &(17..60)));
    }

    #[test]
    fn branches_at_every_place() {
        for at in 0..24 {
            for (opcode, length) in [(&[0x0f, 0x8f][..], 6), (&[0xe9], 5)] {
                let mut code = vec![0x0f; 40];
                code[at..at + opcode.len()].copy_from_slice(opcode);
                code[at + opcode.len()..at + length].copy_from_slice(&[2, 0, 0, 0]);
                let mut targets = Vec::new();
                add_far_targets(&code, 0, code.len(), &mut targets);
                assert_eq!(targets, [(at + length + 2) as u32], "{at}");
            }
        }
    }

    #[test]
    fn short_branches() {
        let mut code = vec![0x90; 512];
        assert!(!short_leads_to(&code, &(201..205)));
        // jne from behind, and from before
        code[220..222].copy_from_slice(&[0x75, 0xec]);
        assert!(short_leads_to(&code, &(201..205)));
        assert!(!short_leads_to(&code, &(203..207)));
        code[220..222].copy_from_slice(&[0x90, 0x90]);
        code[100..102].copy_from_slice(&[0xeb, 0x64]);
        assert!(short_leads_to(&code, &(201..205)));
    }
}
