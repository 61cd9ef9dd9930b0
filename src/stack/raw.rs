//! What is copied of a task at a stop, so that its stack can be unwound when there is time.

use crate::base::addr::Addr;
use crate::base::regs::Regs;

/// Registers and the top of the stack. Other registers than these are not needed: code that runs
/// without a frame pointer finds its caller by the stack pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawStack {
    /// The instruction that is run next.
    pub rip: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// The frame pointer, where there is one.
    pub rbp: u64,
    /// When the copy was taken.
    pub moment: Moment,
    /// The stack from `rsp` up.
    pub bytes: Box<[u8]>,
}

/// When a copy was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// On the first instruction of a function: the return address is at `rsp`, whatever is known
    /// of the function.
    Entry,
    /// Anywhere else.
    Inside,
}

impl RawStack {
    /// The copy of a task with these registers and the bytes from `rsp` up.
    pub fn new(regs: &Regs, moment: Moment, bytes: Box<[u8]>) -> RawStack {
        RawStack {
            rip: regs.rip,
            rsp: regs.rsp,
            rbp: regs.rbp,
            moment,
            bytes,
        }
    }

    /// The word at an address, if it was copied.
    pub(super) fn word(&self, at: Addr) -> Option<u64> {
        let from = usize::try_from(at.0.checked_sub(self.rsp)?).ok()?;
        let word = self.bytes.get(from..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word))
    }
}
