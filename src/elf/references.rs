//! How code uses its GOT slots. Whatever a linker's PLT looks like, it jumps through the slot, so
//! one scan of the text for the slots' addresses finds stubs, direct calls and all other uses alike.

use super::{Image, References};
use crate::base::addr::Vaddr;
use goblin::elf::header::{EM_386, EM_X86_64};
use std::collections::HashMap;
use std::ops::RangeInclusive;

impl Image {
    /// How the file's code uses each of `slots`, in the same order. Knows x86-64 and i386 code only.
    ///
    /// Code for i386 that does not know its own address has the GOT's in a register; any other structure may
    /// be behind that register just as well. When such an instruction is hit, the register decides.
    pub fn references(&self, bytes: &[u8], slots: &[Vaddr]) -> Vec<References> {
        let mut found: HashMap<Vaddr, References> = slots
            .iter()
            .map(|slot| (*slot, References::default()))
            .collect();
        let (Some(&first), Some(&last)) = (slots.iter().min(), slots.iter().max()) else {
            return Vec::new();
        };
        let addressing = match self.machine {
            EM_X86_64 => Addressing::Relative,
            EM_386 => Addressing::Absolute { got: self.got },
            _ => return vec![References::default(); slots.len()],
        };
        for (at, code) in self.text(bytes) {
            scan(at, code, addressing, first..=last, |used, at, slot| {
                if let Some(references) = found.get_mut(&slot) {
                    references.add(used, at);
                }
            });
        }
        slots.iter().map(|slot| found[slot].clone()).collect()
    }
}

/// How an operand with a displacement of 32 bits and no index names a slot (Intel SDM 2, tables 2-2 and 2-7).
#[derive(Clone, Copy, Debug)]
enum Addressing {
    /// x86-64: from the next instruction on.
    Relative,
    /// i386: by itself, or from the GOT's address in a register on.
    Absolute { got: Option<Vaddr> },
}

impl Addressing {
    /// What the operand of an instruction names that ends at `next`, if it names anything.
    fn operand(self, modrm: u8, displacement: i32, next: u64) -> Option<u64> {
        const INDEXED: u8 = 0b100;
        match (self, modrm >> 6, modrm & 7) {
            (Addressing::Relative, 0b00, 0b101) => {
                Some(next.wrapping_add_signed(displacement.into()))
            }
            (Addressing::Absolute { .. }, 0b00, 0b101) => Some((displacement as u32).into()),
            (Addressing::Absolute { got }, 0b10, base) if base != INDEXED => {
                Some((got?.0 as u32).wrapping_add_signed(displacement).into())
            }
            _ => None,
        }
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

/// Tells `found` of every instruction whose operand is in the range of `slots`, on x86-64 only of those with
/// no immediate behind it: what it does, where its opcode is, and the operand's address.
fn scan(
    at: Vaddr,
    code: &[u8],
    addressing: Addressing,
    slots: RangeInclusive<Vaddr>,
    mut found: impl FnMut(Use, Vaddr, Vaddr),
) {
    let (first, span) = (slots.start().0, slots.end().0 - slots.start().0);
    let mut look = |index: usize| {
        let Some(&[opcode, modrm, a, b, c, d]) = code[index..].first_chunk() else {
            return;
        };
        let here = at.0.wrapping_add(index as u64);
        let displacement = i32::from_le_bytes([a, b, c, d]);
        let operand = addressing.operand(modrm, displacement, here.wrapping_add(6));
        if let Some(operand) = operand
            && operand.wrapping_sub(first) <= span
        {
            found(Use::of(opcode, modrm), Vaddr(here), Vaddr(operand));
        }
        // mov slot, %eax has a form without a ModRM byte (Intel SDM 2, MOV, moffs32).
        if matches!(addressing, Addressing::Absolute { .. }) && opcode == 0xa1 {
            let operand = u64::from(u32::from_le_bytes([modrm, a, b, c]));
            if operand.wrapping_sub(first) <= span {
                found(Use::Other, Vaddr(here), Vaddr(operand));
            }
        }
    };
    match addressing {
        Addressing::Relative => each_relative_modrm(code, |modrm| look(modrm - 1)),
        Addressing::Absolute { .. } => (0..code.len()).for_each(look),
    }
}

/// Tells where bytes behind the first are that may be the ModRM byte of an operand relative to the next instruction: mod
/// is 0, r/m is 5. Eight bytes are looked at together, as there are megabytes.
fn each_relative_modrm(code: &[u8], mut found: impl FnMut(usize)) {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let (words, rest) = code.get(1..).unwrap_or_default().as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        // The bytes that are zero now, and perhaps some behind one that is.
        let zero = (u64::from_le_bytes(*word) & (0xc7 * EACH)) ^ (5 * EACH);
        let mut marks = zero.wrapping_sub(EACH) & !zero & (0x80 * EACH);
        while marks != 0 {
            found(1 + number * 8 + marks.trailing_zeros() as usize / 8);
            marks &= marks - 1;
        }
    }
    let behind = 1 + words.len() * 8;
    (behind..behind + rest.len()).for_each(found);
}

impl Use {
    /// Goes by the last byte of the opcode and the ModRM byte (Intel SDM 2, tables ).
    fn of(opcode: u8, modrm: u8) -> Use {
        match (opcode, modrm >> 3 & 7) {
            (0xff, 2) => Use::Call,
            (0xff, 4) => Use::Jump,
            (0x38..=0x3b | 0x84 | 0x85, _) | (0x80 | 0x81 | 0x83, 7) | (0xf6 | 0xf7, 0) => {
                Use::Compare
            }
            _ => Use::Other,
        }
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
    const GOT: u64 = 0x3000;

    /// Scans `before`, the displacement that leads to the slot, and `after`.
    #[track_caller]
    fn check(before: &[u8], after: &[u8], expected: &[(Use, u64)]) {
        let next = CODE + before.len() as u64 + 4;
        let displacement = SLOT.wrapping_sub(next) as u32;
        let code = [before, &displacement.to_le_bytes(), after].concat();
        assert_eq!(found(&code, Addressing::Relative), expected);
    }

    /// The same in code of i386, where the displacement is from the slot's own address or the GOT's.
    #[track_caller]
    fn check_32(before: &[u8], displacement: u64, after: &[u8], expected: &[(Use, u64)]) {
        let code = [before, &(displacement as u32).to_le_bytes(), after].concat();
        let got = Some(Vaddr(GOT));
        assert_eq!(found(&code, Addressing::Absolute { got }), expected);
    }

    fn found(code: &[u8], addressing: Addressing) -> Vec<(Use, u64)> {
        let mut found = Vec::new();
        let slots = Vaddr(SLOT)..=Vaddr(SLOT + 8);
        scan(Vaddr(CODE), code, addressing, slots, |used, at, slot| {
            assert_eq!(slot, Vaddr(SLOT));
            found.push((used, at.0 - CODE));
        });
        found
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
        assert_eq!(found(&code, Addressing::Relative), []);
    }

    #[test]
    fn instructions_of_i386_by_address() {
        check_32(&[0xff, 0x15], SLOT, &[], &[(Use::Call, 0)]);
        check_32(&[0xff, 0x25], SLOT, &[0x68], &[(Use::Jump, 0)]);
        check_32(
            &[0xf3, 0x0f, 0x1e, 0xfb, 0xff, 0x25],
            SLOT,
            &[],
            &[(Use::Jump, 4)],
        );
        check_32(&[0x8b, 0x15], SLOT, &[], &[(Use::Other, 0)]);
        check_32(&[0xa1], SLOT, &[0xc3], &[(Use::Other, 0)]);
        check_32(&[0x83, 0x3d], SLOT, &[0], &[(Use::Compare, 0)]);
    }

    #[test]
    fn instructions_of_i386_by_the_got() {
        let offset = SLOT.wrapping_sub(GOT);
        check_32(&[0xff, 0xa3], offset, &[], &[(Use::Jump, 0)]);
        check_32(&[0xff, 0x93], offset, &[], &[(Use::Call, 0)]);
        check_32(&[0xff, 0x96], offset, &[], &[(Use::Call, 0)]);
        check_32(&[0x8b, 0x83], offset, &[], &[(Use::Other, 0)]);
        check_32(&[0x83, 0xbb], offset, &[0], &[(Use::Compare, 0)]);
        // An index stands behind the ModRM byte, and a displacement of one byte leads nowhere near.
        check_32(&[0xff, 0x94], offset, &[], &[]);
        check_32(&[0xff, 0x53], offset, &[], &[]);
        let code = [&[0xff, 0x93][..], &(offset as u32).to_le_bytes()].concat();
        assert_eq!(found(&code, Addressing::Absolute { got: None }), []);
    }
}
