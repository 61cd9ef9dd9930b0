//! How code uses its GOT slots. Whatever a linker's PLT looks like, it jumps through the slot, so
//! one scan of the text for the slots' addresses finds stubs, direct calls and all other uses alike.

use super::{Image, References};
use crate::base::addr::Vaddr;
use goblin::elf::header::EM_X86_64;
use std::collections::HashMap;
use std::ops::RangeInclusive;

impl Image {
    /// How the file's code uses each of `slots`, in the same order. Knows x86-64 code only.
    pub fn references(&self, bytes: &[u8], slots: &[Vaddr]) -> Vec<References> {
        let mut found: HashMap<Vaddr, References> = slots
            .iter()
            .map(|slot| (*slot, References::default()))
            .collect();
        let (Some(&first), Some(&last)) = (slots.iter().min(), slots.iter().max()) else {
            return Vec::new();
        };
        if self.machine == EM_X86_64 {
            for (at, code) in self.text(bytes) {
                scan(at, code, first..=last, |used, at, slot| {
                    if let Some(references) = found.get_mut(&slot) {
                        references.add(used, at);
                    }
                });
            }
        }
        slots.iter().map(|slot| found[slot].clone()).collect()
    }
}

/// What an instruction does with the slot in its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Call,
    Jump,
    Compare,
    Other,
}

/// Tells `found` of every instruction with a RIP-relative operand in the range of `slots` and no
/// immediate behind it: what it does, where its opcode is, and the operand's address.
fn scan(
    at: Vaddr,
    code: &[u8],
    slots: RangeInclusive<Vaddr>,
    mut found: impl FnMut(Use, Vaddr, Vaddr),
) {
    let (first, span) = (slots.start().0, slots.end().0 - slots.start().0);
    // operand = address of the next instruction + displacement (Intel SDM 2, 2.2.1.6)
    let mut next = at.0.wrapping_add(6);
    for window in code.windows(6) {
        let &[opcode, modrm, a, b, c, d] = window else {
            return;
        };
        let displacement = i32::from_le_bytes([a, b, c, d]);
        let operand = next.wrapping_add_signed(displacement.into());
        if operand.wrapping_sub(first) <= span
            && let Some(used) = Use::of(opcode, modrm)
        {
            found(used, Vaddr(next.wrapping_sub(6)), Vaddr(operand));
        }
        next = next.wrapping_add(1);
    }
}

impl Use {
    /// Goes by the last byte of the opcode and the ModRM byte (Intel SDM 2, tables 2-2 and A-2).
    fn of(opcode: u8, modrm: u8) -> Option<Use> {
        const RIP_RELATIVE: u8 = 0b00_000_101;
        if modrm & 0b11_000_111 != RIP_RELATIVE {
            return None;
        }
        Some(match (opcode, modrm >> 3 & 7) {
            (0xff, 2) => Use::Call,
            (0xff, 4) => Use::Jump,
            (0x38..=0x3b | 0x84 | 0x85, _) => Use::Compare,
            _ => Use::Other,
        })
    }
}

impl References {
    fn add(&mut self, used: Use, at: Vaddr) {
        match used {
            Use::Call => self.calls.push(at),
            Use::Jump => self.jumps.push(at),
            Use::Compare => {}
            Use::Other => self.escapes = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u64 = 0x1000;
    const SLOT: u64 = 0x2008;

    /// Scans `before`, the displacement that leads to the slot, and `after`.
    #[track_caller]
    fn check(before: &[u8], after: &[u8], expected: &[(Use, u64)]) {
        let next = CODE + before.len() as u64 + 4;
        let displacement = SLOT.wrapping_sub(next) as u32;
        let code = [before, &displacement.to_le_bytes(), after].concat();
        let mut found = Vec::new();
        scan(
            Vaddr(CODE),
            &code,
            Vaddr(SLOT)..=Vaddr(SLOT + 8),
            |used, at, slot| {
                assert_eq!(slot, Vaddr(SLOT));
                found.push((used, at.0 - CODE));
            },
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn instructions() {
        check(&[0xff, 0x15], &[], &[(Use::Call, 0)]);
        check(&[0x67, 0xff, 0x15], &[], &[(Use::Call, 1)]);
        check(&[0xff, 0x25], &[0x66, 0x90], &[(Use::Jump, 0)]);
        // A .plt.sec entry: endbr64; bnd jmp.
        check(
            &[0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25],
            &[],
            &[(Use::Jump, 5)],
        );
        check(&[0x48, 0x8b, 0x05], &[], &[(Use::Other, 1)]);
        check(&[0x4c, 0x8b, 0x3d], &[0xc3], &[(Use::Other, 1)]);
        check(&[0xff, 0x35], &[], &[(Use::Other, 0)]);
        check(&[0x48, 0x39, 0x05], &[], &[(Use::Compare, 1)]);
        // No operand of this kind: call *disp32(%rax), an immediate, too little code.
        check(&[0xff, 0x90], &[], &[]);
        check(&[0x48, 0xb8], &[0; 4], &[]);
        check(&[0x15], &[], &[]);
    }

    #[test]
    fn an_immediate_behind_the_operand_moves_it_off_the_slot() {
        // cmpq $0, slot(%rip), with a displacement that counts the immediate.
        let displacement = (SLOT - (CODE + 8)) as u32;
        let code = [&[0x48, 0x83, 0x3d], &displacement.to_le_bytes()[..], &[0]].concat();
        scan(
            Vaddr(CODE),
            &code,
            Vaddr(SLOT)..=Vaddr(SLOT),
            |used, at, _| {
                panic!("{used:?} at {at}");
            },
        );
    }
}
