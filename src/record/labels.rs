//! Where a task is when its instruction pointer is in our code, and how it gets out.
//!
//! Until its record is complete, a call or a return can begin again: nothing but the frame has changed. Afterwards
//! it must go on, which takes a few instructions without loops or system calls. So a task that is to be taken out,
//! because a signal is delivered or the tracer leaves, is put back or stepped on.

use super::code::asm::frame;
use super::code::trampolines;
use super::layout::{Layout, TABLE, TRAMPOLINE};
use super::shared::Shared;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a task was doing at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not our code.
    Elsewhere,
    /// In a stub that has changed nothing.
    Stub,
    /// In a stub that uses `rax`, which is pushed.
    Checking,
    /// The number is pushed.
    Pushed,
    /// The frame is made.
    Framed,
    /// In the code of a call or a return that uses the registers which the frame holds.
    Body,
    /// In a subroutine, which uses no more registers.
    Called,
    /// In a subroutine that has saved more.
    Saved,
    /// The record is complete, or there is none.
    Done,
    /// In a trampoline.
    Pool,
}

/// From here on, as far as the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) place: Place,
}

/// A load that may fault when a page is gone that could be read shortly before. The task then goes on as if the
/// page had been found unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The load.
    pub at: Range<u64>,
    /// Where to go on.
    pub resume: u64,
}

/// What a thread is stopped at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A call.
    Call,
    /// A return.
    Return,
}

/// A call or a return that the tracer has to look at itself. Nothing of it will be recorded; the thread goes on where
/// it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which of both.
    pub when: When,
    /// The number of the tracepoint.
    pub number: u32,
    /// Where the word lies on the stack that holds, or held, the return address.
    pub frame: u64,
    /// The registers: of a call as on the function's first instruction, of a return as behind the call; `rip` is
    /// not told.
    pub regs: Box<Regs>,
    /// Of a call that has no trampoline, and whose return will not be seen.
    pub only: bool,
}

/// How a task gets out of our code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// It is not in it.
    Not,
    /// With these registers: the call, or the return, begins again. A system call that it was in is given up.
    Restart(Box<Regs>),
    /// By single steps, at most [`MOST_STEPS`]; or to where it can be put back.
    Step,
}

/// So many steps are enough.
pub const MOST_STEPS: usize = 32;

/// What there is to know about the code of one target.
#[derive(Clone, Debug)]
pub struct Labels {
    layout: Layout,
    pub(super) spans: BTreeMap<u64, Place>,
    /// The stubs of the tracepoints, by their numbers.
    pub(super) stubs: Vec<u64>,
    /// The instruction pointer of a thread that has stopped for the tracer to look at its call or return.
    pub(super) asked: u64,
    /// Loads that may fault.
    pub faults: Vec<Fault>,
    /// The instruction pointer of a thread that asks for a ring by an int3. When it is left alone, it goes on
    /// without.
    pub claim: u64,
    /// Where it goes on when it has got one.
    pub retry: u64,
}

impl Labels {
    pub(super) fn new(layout: Layout) -> Labels {
        Labels {
            layout,
            spans: BTreeMap::new(),
            stubs: vec![0],
            asked: 0,
            faults: Vec::new(),
            claim: 0,
            retry: 0,
        }
    }

    pub(super) fn add(&mut self, spans: &[Span]) {
        self.spans
            .extend(spans.iter().map(|span| (span.start, span.place)));
    }

    /// Where a task goes on that a load of ours has stopped by SIGSEGV or SIGBUS.
    pub fn resume_after_fault(&self, ip: u64) -> Option<u64> {
        let fault = self.faults.iter().find(|fault| fault.at.contains(&ip));
        fault.map(|fault| fault.resume)
    }

    /// The instruction pointers of threads that have stopped for the tracer at an int3. A thread that is left alone
    /// goes on there.
    pub fn stops(&self) -> [u64; 2] {
        [self.claim, self.asked]
    }

    /// What a thread asks for that an int3 has stopped.
    pub fn asked(&self, regs: &Regs, memory: &dyn Memory, shared: Shared<'_>) -> Option<Asked> {
        if regs.rip != self.asked {
            return None;
        }
        let regs = above(*regs, 8);
        let pushed = word(memory, regs.rsp, frame::NUMBER) as u32;
        let (when, number, above_number) = match pushed & trampolines::PUSHED {
            0 => (When::Call, pushed, 8),
            _ => {
                let trampoline = u64::from(pushed & !trampolines::PUSHED);
                let number = shared.load(TABLE + TRAMPOLINE * trampoline + 8) as u32;
                (When::Return, number, 0)
            }
        };
        let only = when == When::Call && word(memory, regs.rsp, frame::TRAMPOLINE) == 0;
        let out = above(framed(regs, memory), above_number);
        let frame = out.rsp;
        let after = match when {
            When::Call => out,
            When::Return => above(out, 8),
        };
        Some(Asked {
            when,
            number,
            frame,
            regs: Box::new(Regs { rip: 0, ..after }),
            only,
        })
    }

    /// How a stopped task gets out of our code.
    pub fn out(&self, regs: &Regs, memory: &dyn Memory) -> Out {
        let place = self.place(regs.rip);
        let restarted = match place {
            Place::Elsewhere => return Out::Not,
            Place::Done => return Out::Step,
            Place::Stub => self.at_stub(*regs),
            Place::Checking => {
                let rax = word(memory, regs.rsp, 0);
                self.at_stub(Regs {
                    rax,
                    ..above(*regs, 8)
                })
            }
            Place::Pool => return self.in_pool(regs),
            Place::Pushed => self.again(*regs, memory),
            Place::Framed => self.again(above(*regs, frame::NUMBER), memory),
            Place::Body => self.again(framed(*regs, memory), memory),
            Place::Called => self.again(framed(above(*regs, 8), memory), memory),
            Place::Saved => {
                let regs = saved(above(*regs, 8), memory);
                self.again(framed(regs, memory), memory)
            }
        };
        restarted.map_or(Out::Step, |regs| Out::Restart(Box::new(regs)))
    }

    fn place(&self, ip: u64) -> Place {
        if !self.layout.code().contains(&ip) {
            return Place::Elsewhere;
        }
        if self.layout.pool().contains(&ip) {
            return Place::Pool;
        }
        let last = self.spans.range(..=ip).next_back();
        last.map_or(Place::Elsewhere, |(_, place)| *place)
    }

    fn at_stub(&self, regs: Regs) -> Option<Regs> {
        let index = self.stubs.partition_point(|stub| *stub <= regs.rip);
        let rip = *self.stubs.get(index.checked_sub(1)?)?;
        Some(Regs { rip, ..regs })
    }

    /// A trampoline's call has left the stack as the caller will find it; behind it nothing has been done yet.
    fn in_pool(&self, regs: &Regs) -> Out {
        let start = self.layout.pool().start;
        let offset = (regs.rip - start) % TRAMPOLINE;
        let behind_call = regs.rip - offset + trampolines::BEHIND_CALL;
        match offset {
            0 => Out::Step,
            _ if regs.rip == behind_call => Out::Restart(Box::new(*regs)),
            _ => Out::Restart(Box::new(Regs {
                rip: behind_call,
                ..above(*regs, 8)
            })),
        }
    }

    /// Back to the stub, or to the trampoline, whose number is on the top of the stack.
    fn again(&self, regs: Regs, memory: &dyn Memory) -> Option<Regs> {
        let number = memory.read_uint(Addr(regs.rsp), 8).ok()? as u32;
        let rip = match number & trampolines::PUSHED {
            0 => *self.stubs.get(number as usize).filter(|stub| **stub != 0)?,
            _ => {
                let number = u64::from(number & !trampolines::PUSHED);
                self.layout.pool().start + number * TRAMPOLINE + trampolines::BEHIND_CALL
            }
        };
        Some(Regs {
            rip,
            ..above(regs, 8)
        })
    }
}

/// So many bytes taken off the stack.
fn above(regs: Regs, bytes: i32) -> Regs {
    Regs {
        rsp: regs.rsp.wrapping_add_signed(bytes.into()),
        ..regs
    }
}

/// The registers that the code of calls and returns uses, out of the frame, and the frame gone.
fn framed(regs: Regs, memory: &dyn Memory) -> Regs {
    let slot = |offset: i32| word(memory, regs.rsp, offset);
    let regs = Regs {
        rax: slot(frame::RAX),
        rdx: slot(frame::RDX),
        r10: slot(frame::R10),
        r11: slot(frame::R11),
        ..regs
    };
    above(regs, frame::NUMBER)
}

/// Those that subroutines use besides.
fn saved(regs: Regs, memory: &dyn Memory) -> Regs {
    let slot = |offset: i32| word(memory, regs.rsp, offset);
    Regs {
        rcx: slot(frame::RCX),
        rsi: slot(frame::RSI),
        rdi: slot(frame::RDI),
        r8: slot(frame::R8),
        r9: slot(frame::R9),
        ..regs
    }
}

fn word(memory: &dyn Memory, at: u64, offset: i32) -> u64 {
    let at = Addr(at).offset(offset.into());
    memory.read_uint(at, 8).unwrap_or_default()
}
