//! How callers are found from return addresses: a table in shared memory, which only the tracer writes, and by which
//! threads walk their stacks.

use super::code::asm::GOLDEN;
use super::layout::{RULES, RULES_LOG2};
use super::shared::Shared;
use crate::stack::CallerRule;

/// So many return addresses are recorded of a stack.
pub const MOST_FRAMES: u16 = 128;
/// The table stays half empty: a search ends at an empty place.
const MOST: usize = 1 << (RULES_LOG2 - 1);

/// Bits 0 and 1 of a rule: the caller's stack pointer is `rsp`, or `rbp`, and the offset in bits 2 to 31. Bits 32 to
/// 63: from there, where its `rbp` is; 0 when that is what it was.
pub(super) const ROOT: u64 = 0;
pub(super) const BY_RSP: u64 = 1;
pub(super) const BY_RBP: u64 = 2;
const OTHER: u64 = 3;

/// The return addresses whose rules are in the table.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Their places.
    used: Vec<u32>,
}

impl Rules {
    /// Adds a rule, unless there is no room. A thread finds it at once. Says whether the address is new.
    pub fn add(&mut self, shared: Shared<'_>, return_address: u64, rule: &CallerRule) -> bool {
        let free = places(return_address).find(|number| {
            let there = shared.load(place(*number));
            there == 0 || there == return_address
        });
        let Some(number) = free.filter(|_| self.used.len() < MOST && return_address != 0) else {
            return false;
        };
        let at = place(number);
        let is_new = shared.load(at) == 0;
        if is_new {
            self.used.push(number);
        }
        shared.store(at + 8, encode(rule));
        shared.store(at, return_address);
        is_new
    }

    /// There is room for rules that no thread has asked for.
    pub fn have_room(&self) -> bool {
        self.used.len() < MOST / 2
    }

    /// Forgets all: other code may stand where some of it was.
    pub fn clear(&mut self, shared: Shared<'_>) {
        for number in self.used.drain(..) {
            shared.store(place(number), 0);
        }
    }
}

fn encode(rule: &CallerRule) -> u64 {
    let CallerRule::Frame {
        by_rbp,
        offset,
        rbp,
    } = *rule
    else {
        return match rule {
            CallerRule::Root => ROOT,
            _ => OTHER,
        };
    };
    let base = if by_rbp { BY_RBP } else { BY_RSP };
    let offset = offset.checked_mul(4).map(i32::try_from);
    let (Some(Ok(offset)), Ok(rbp)) = (offset, i32::try_from(rbp)) else {
        return OTHER;
    };
    u64::from(rbp as u32) << 32 | u64::from(offset as u32) | base
}

/// The places where the rule for a return address may be, in the order in which threads look.
fn places(return_address: u64) -> impl Iterator<Item = u32> {
    const MASK: u64 = (1 << RULES_LOG2) - 1;
    let first = return_address.wrapping_mul(GOLDEN) >> (64 - RULES_LOG2);
    (0..=MASK).map(move |n| (first.wrapping_add(n) & MASK) as u32)
}

/// The offset of the place of this number in the shared part.
fn place(number: u32) -> u64 {
    RULES + 16 * u64::from(number)
}
