//! Where code asks the kernel for signal actions.

use super::Image;
use crate::base::addr::Vaddr;
use goblin::elf::header::EM_X86_64;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl};

/// `mov $13, %eax`: the number of rt_sigaction(2) (asm/unistd_64.h).
const NUMBER: [u8; 5] = [0xb8, 13, 0, 0, 0];
/// So many instructions may stand between that and the call.
const MOST: usize = 16;
/// And so many bytes.
const REACH: usize = 96;

impl Image {
    /// The `syscall` instructions by which a C library, or a program without one, makes rt_sigaction(2). Looks
    /// at x86-64 only.
    pub fn signal_actions(&self, bytes: &[u8]) -> Vec<Vaddr> {
        let is_provider = self.exports.iter().any(|symbol| symbol.name == "sigaction");
        if self.machine != EM_X86_64 || !(is_provider || self.needed.is_empty()) {
            return Vec::new();
        }
        self.text(bytes)
            .flat_map(|(at, code)| calls(at, code))
            .collect()
    }
}

fn calls(at: Vaddr, code: &[u8]) -> Vec<Vaddr> {
    let starts = code.windows(NUMBER.len()).enumerate();
    let starts = starts.filter(|(_, bytes)| *bytes == NUMBER);
    let call = |(offset, _): (usize, &[u8])| {
        let rest = &code[offset..code.len().min(offset + REACH)];
        let ip = at.0.wrapping_add(offset as u64);
        let decoder = Decoder::with_ip(64, rest, ip, DecoderOptions::NONE);
        for instruction in decoder.into_iter().take(MOST) {
            if instruction.code() == Code::Syscall {
                return Some(Vaddr(instruction.ip()));
            }
            if instruction.flow_control() != FlowControl::Next {
                return None;
            }
        }
        None
    };
    starts.filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::calls;
    use crate::base::addr::Vaddr;

    #[track_caller]
    fn check(code: &[u8], expected: &[u64]) {
        let expected: Vec<Vaddr> = expected.iter().map(|&at| Vaddr(at)).collect();
        assert_eq!(calls(Vaddr(0x1000), code), expected);
    }

    #[test]
    fn calls_behind_their_number() {
        // As glibc has it, and as musl does with other arguments in between.
        check(&[0x90, 0xb8, 13, 0, 0, 0, 0x0f, 0x05], &[0x1006]);
        check(
            &[0xb8, 13, 0, 0, 0, 0x41, 0xba, 8, 0, 0, 0, 0x0f, 0x05, 0xc3],
            &[0x100b],
        );
        // Another number, a branch, the end of the code.
        check(&[0xb8, 14, 0, 0, 0, 0x0f, 0x05], &[]);
        check(&[0xb8, 13, 0, 0, 0, 0xc3, 0x0f, 0x05], &[]);
        check(&[0xb8, 13, 0, 0, 0], &[]);
    }
}
