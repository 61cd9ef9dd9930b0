//! The two kinds of program that the kernel runs here, and what differs between them wherever words are
//! read: how wide an address is. What differs between their calling conventions is in `abi`.

/// What a program is compiled for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64.
    #[default]
    Amd64,
    /// i386: 32 bits, run by the same kernel on the same processor.
    I386,
}

impl Machine {
    /// The bytes of an address, and of what a call pushes.
    pub fn word(self) -> usize {
        match self {
            Machine::Amd64 => 8,
            Machine::I386 => 4,
        }
    }

    /// The bits of an address.
    pub fn bits(self) -> u32 {
        8 * self.word() as u32
    }

    /// The little-endian words of a structure that was read, zero-extended.
    pub fn words(self, bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
        bytes.chunks_exact(self.word()).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        })
    }

    /// A word as a signed number.
    pub fn sign_extended(self, word: u64) -> i64 {
        let unused = 64 - self.bits();
        (word << unused) as i64 >> unused
    }

    /// Whether a call whose return address lies at `frame` can leave the stack pointer at `sp` when it
    /// returns. On i386 a function whose result is a structure in memory takes the address of that place,
    /// its first argument, off the stack (i386 psABI 2.2.3).
    pub fn returns_to(self, frame: u64, sp: u64) -> bool {
        let word = self.word() as u64;
        let popped = sp.wrapping_sub(frame.wrapping_add(word));
        match self {
            Machine::Amd64 => popped == 0,
            Machine::I386 => popped == 0 || popped == word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Machine::{self, Amd64, I386};

    #[track_caller]
    fn check(machine: Machine, popped: u64, returned: bool) {
        assert_eq!(machine.returns_to(0x1000, 0x1000 + popped), returned);
    }

    #[test]
    fn stack_pointers_after_a_return() {
        check(Amd64, 8, true);
        check(Amd64, 0, false);
        check(Amd64, 16, false);
        check(I386, 4, true);
        check(I386, 8, true);
        check(I386, 0, false);
        check(I386, 12, false);
    }

    #[test]
    fn words_of_both_widths() {
        let bytes = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 9];
        assert!(I386.words(&bytes).eq([1, 0xffff_ffff]));
        assert!(Amd64.words(&bytes).eq([0xffff_ffff_0000_0001]));
    }
}
