//! One step from a frame to its caller's.

use super::cfi::{Cfi, Row};
use super::raw::{RBP, RIP, RSP, RawStack, Registers};
use super::unwind::End;
use crate::base::addr::Addr;
use gimli::{
    CfaRule, Evaluation, EvaluationResult, Location, RegisterRule, UnwindExpression, Value,
};

/// Real expressions have a handful of operations; one that goes round in circles has no end.
const OPERATIONS: u32 = 1000;

/// By call frame information. The result are the caller's registers.
pub(super) fn by_row(
    row: &Row,
    cfi: &Cfi,
    raw: &RawStack,
    registers: &Registers,
) -> Result<Registers, End> {
    let frame = Frame {
        row,
        cfi,
        raw,
        registers,
    };
    let cfa = frame.cfa()?;
    let mut caller = registers.clone();
    if !row.is_signal {
        caller.keep_callee_saved();
    }
    // What the convention calls the CFA is the caller's stack pointer, unless there is a rule.
    caller.set(RSP, Some(cfa));
    caller.set(RIP, None);
    for (register, rule) in &row.rules {
        let value = match frame.apply(register.0, rule, cfa) {
            // A register that is not needed is not missed.
            Err(_) if register.0 != RIP => None,
            other => other?,
        };
        caller.set(register.0, value);
    }
    match caller.get(RIP) {
        // No rule for the return address: the first function of a stack.
        None | Some(0) => Err(End::Root),
        Some(_) => Ok(caller),
    }
}

/// By the frame pointer, for code that nothing is known of: a zero there marks the outermost frame
/// (psABI 3.4.1, "Initial Stack and Register State").
pub(super) fn by_frame_pointer(raw: &RawStack, registers: &Registers) -> Result<Registers, End> {
    let frame = registers.get(RBP).ok_or(End::Lost)?;
    if frame == 0 {
        return Err(End::Root);
    }
    if registers.get(RSP).is_some_and(|sp| frame < sp) {
        return Err(End::Lost);
    }
    let mut caller = registers.clone();
    caller.keep_callee_saved();
    caller.set(RBP, Some(word(raw, frame)?));
    pop_return_address(raw, caller, frame.checked_add(8).ok_or(End::Lost)?)
}

/// From where C runs on the stack of its thread to the goroutine that has called it. What calls C there keeps the
/// goroutine on that stack, and below it how far from the upper end of its own stack it was; as that may have
/// moved, both are read again when C returns (runtime.asmcgocall), by the code that stands here.
pub(super) fn to_goroutine(
    raw: &RawStack,
    code: &[u8],
    registers: &Registers,
) -> Option<Registers> {
    /// `mov OFFSET(%rsp), %rdi`
    const RELOAD: [u8; 4] = [0x48, 0x8b, 0x7c, 0x24];
    /// As much code as is between.
    const NEAR: usize = 24;
    let left = raw.left()?;
    let near = code.get(..NEAR.min(code.len()))?;
    let at = near.windows(4).position(|bytes| bytes == RELOAD)?;
    let offset = u64::from(*code.get(at + RELOAD.len())?);
    let note = registers.get(RSP)?.checked_add(offset)?;
    let goroutine = raw.read(Addr(note), 8)?;
    let depth = raw.read(Addr(note.checked_sub(8)?), 8)?;
    if goroutine != left.goroutine || left.end.checked_sub(depth) != Some(left.bottom) {
        return None;
    }
    let mut caller = registers.clone();
    caller.keep_callee_saved();
    pop_return_address(raw, caller, left.bottom).ok()
}

/// From a function that has not done anything yet.
pub(super) fn from_entry(raw: &RawStack, registers: &Registers) -> Result<Registers, End> {
    let mut caller = registers.clone();
    caller.keep_callee_saved();
    pop_return_address(raw, caller, registers.get(RSP).ok_or(End::Lost)?)
}

/// From the frame that a signal handler returns to: `rsp` points at the `ucontext` that the kernel
/// made, whose general registers begin at 40 (`struct rt_sigframe` in
/// arch/x86/include/asm/sigframe.h, `struct sigcontext_64` in asm/sigcontext.h).
pub(super) fn from_signal(raw: &RawStack, registers: &Registers) -> Result<Registers, End> {
    // r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip by their DWARF numbers.
    const ORDER: [u16; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];
    let context = registers.get(RSP).ok_or(End::Lost)?;
    let mut interrupted = registers.clone();
    for (index, number) in (0..).zip(ORDER) {
        let at = context.checked_add(40 + 8 * index).ok_or(End::Lost)?;
        interrupted.set(number, Some(word(raw, at)?));
    }
    Ok(interrupted)
}

fn pop_return_address(raw: &RawStack, mut caller: Registers, at: u64) -> Result<Registers, End> {
    let address = word(raw, at)?;
    if address == 0 {
        return Err(End::Root);
    }
    caller.set(RIP, Some(address));
    caller.set(RSP, Some(at.checked_add(8).ok_or(End::Lost)?));
    Ok(caller)
}

fn word(raw: &RawStack, at: u64) -> Result<u64, End> {
    read(raw, at, 8)
}

fn read(raw: &RawStack, at: u64, size: usize) -> Result<u64, End> {
    let lost = match raw.ends_before(Addr(at)) {
        true => End::Cut,
        false => End::Lost,
    };
    raw.read(Addr(at), size).ok_or(lost)
}

/// What rules are applied to.
struct Frame<'a> {
    row: &'a Row,
    cfi: &'a Cfi,
    raw: &'a RawStack,
    registers: &'a Registers,
}

impl Frame<'_> {
    fn cfa(&self) -> Result<u64, End> {
        match &self.row.cfa {
            CfaRule::RegisterAndOffset { register, offset } => self
                .registers
                .get(register.0)
                .and_then(|value| value.checked_add_signed(*offset))
                .ok_or(End::Lost),
            CfaRule::Expression(expression) => self.evaluate(expression, None),
        }
    }

    /// The value that a register has in the caller's frame.
    fn apply(&self, number: u16, rule: &RegisterRule<usize>, cfa: u64) -> Result<Option<u64>, End> {
        let at = |offset: i64| cfa.checked_add_signed(offset).ok_or(End::Lost);
        Ok(match rule {
            RegisterRule::SameValue => self.registers.get(number),
            RegisterRule::Offset(offset) => Some(word(self.raw, at(*offset)?)?),
            RegisterRule::ValOffset(offset) => Some(at(*offset)?),
            RegisterRule::Register(other) => self.registers.get(other.0),
            RegisterRule::Expression(expression) => {
                Some(word(self.raw, self.evaluate(expression, Some(cfa))?)?)
            }
            RegisterRule::ValExpression(expression) => Some(self.evaluate(expression, Some(cfa))?),
            RegisterRule::Constant(value) => Some(*value),
            _ => None,
        })
    }

    /// An expression's result. Those of registers start with the CFA (DWARF 5, 6.4.2.3).
    fn evaluate(&self, place: &UnwindExpression<usize>, cfa: Option<u64>) -> Result<u64, End> {
        let expression = self.cfi.expression(self.row, place).ok_or(End::Lost)?;
        let mut evaluation = Evaluation::new(expression.0, self.row.encoding);
        evaluation.set_max_iterations(OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut state = evaluation.evaluate();
        loop {
            state = match state {
                Ok(EvaluationResult::Complete) => break,
                Ok(EvaluationResult::RequiresRegister { register, .. }) => {
                    let value = self.registers.get(register.0).ok_or(End::Lost)?;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                Ok(EvaluationResult::RequiresMemory { address, size, .. }) => {
                    let value = read(self.raw, address, size.into())?;
                    evaluation.resume_with_memory(Value::Generic(value))
                }
                _ => return Err(End::Lost),
            };
        }
        match evaluation.as_result() {
            [piece] => match piece.location {
                Location::Address { address } => Ok(address),
                _ => Err(End::Lost),
            },
            _ => Err(End::Lost),
        }
    }
}
