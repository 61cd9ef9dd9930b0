//! What is taken of a call: which registers, how much of the stack, and which memory, so that all that is shown of it
//! can be read later.

mod chain;
pub mod formats;
mod memory;
#[cfg(test)]
mod tests;

use super::layout::MOST_RECORD;
use super::ring::{CALL_FIXED, RETURN_FIXED};
use super::rules::MOST_FRAMES;
use crate::abi::location::{Location, Register};
use crate::abi::sysv;
use crate::base::machine::Machine;
use crate::plan::capture::Capture;
use crate::plan::nesting::Nesting;
use crate::plan::quiet::is_quiet;
use crate::plan::sample::Sample;
use crate::plan::{self, Stack, Tracepoint};
use crate::proto::Prototype;
use crate::proto::types::Language;
use memory::Walk;

/// What the records of a tracepoint hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// So many general argument registers.
    pub(super) general: u8,
    /// So many vector registers.
    pub(super) vector: u8,
    /// So many words of the stack behind the return address.
    pub(super) stack: u16,
    /// Memory that is copied at the call.
    pub(super) at_entry: Box<[Blob]>,
    /// Where a format is that tells which of it is.
    pub(super) format: Option<Format>,
    /// What the call keeps for its return: at most [`MOST_KEPT`].
    pub(super) kept: Box<[Source]>,
    /// Where the result is, besides `rax`.
    pub(super) result: ResultRegisters,
    /// Memory that is copied at the return.
    pub(super) at_return: Box<[Blob]>,
    /// The return addresses of the stack are taken.
    pub(super) walks: bool,
    /// Whether returns are recorded.
    pub(super) returns: Returns,
    /// Which calls are seen, if not all.
    pub(super) sample: Option<Sample>,
    /// Which calls are another one's own business.
    pub(super) inner: Option<Inner>,
    /// What the tracer looks at itself, while the thread stands still.
    pub(super) asks: Asks,
}

/// Calls that are not recorded, as the calls are that made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Inner {
    /// Those of operator new.
    OfNew,
    /// Those that a release of a higher rank has jumped to.
    LedTo { rank: u8 },
}

/// At what a thread stops, for what cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Asks {
    /// Instead of the record of a call.
    pub(super) at_entry: bool,
    /// Instead of the record of a return.
    pub(super) at_return: bool,
}

/// Whether returns of a tracepoint are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Returns {
    /// The call goes through a trampoline.
    #[default]
    Recorded,
    /// The function is jumped to: it never returns, or its return is not asked for.
    Unrecorded,
}

/// Registers that may hold a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ResultRegisters {
    pub(super) rdx: bool,
    /// `xmm0` and `xmm1`, as many of them.
    pub(super) vector: u8,
    /// `st(0)`
    pub(super) x87: bool,
}

impl ResultRegisters {
    /// The words that they take in a record.
    pub(super) fn words(self) -> u16 {
        u16::from(self.rdx) + u16::from(self.vector) + 2 * u16::from(self.x87)
    }
}

/// Memory that is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Blob {
    pub(super) source: Source,
    /// Bytes. Memory may end before.
    pub(super) most: u32,
    pub(super) ends: Ends,
    /// Only if the call's format tells that it is a text.
    pub(super) by_format: bool,
}

/// A format, as the calls of a tracepoint are given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Format {
    /// Where its address is.
    pub(super) source: Source,
    /// The registers and words of the stack before those that it tells of: these differ between functions that are given
    /// the same format.
    pub(super) named: u16,
}

/// Where the address is of what is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// In a general argument register.
    General(u8),
    /// In this word behind the return address.
    Stack(u16),
    /// At a return: in what the call has kept.
    Kept(u8),
    /// At a return: in `rax`.
    Result,
    /// At a return that tells of a failure: where errno is.
    Errno(Failure),
    /// The last word of what was copied just before.
    Before,
}

impl Source {
    /// The word of a call that such an argument is, if it is one.
    fn of(location: Location) -> Option<Source> {
        match location {
            Location::Registers(Register::General(number), None) => Some(Source::General(number)),
            // From behind the return address on.
            Location::Stack { offset, size: 8 } => {
                let word = u16::try_from((offset - 8) / 8).ok()?;
                Some(Source::Stack(word))
            }
            _ => None,
        }
    }
}

/// By what `rax` tells of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    /// All bits of its low half are set.
    Int,
    /// All bits are set.
    Long,
    /// No bit is set, or all are.
    Pointer,
}

/// What ends a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ends {
    /// A byte that is zero, which is copied as well.
    AtZero,
    /// Nothing but its length.
    AtLength,
}

/// What holds for all tracepoints: how much of a value is shown at most (`-s`, `-A`), and which calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Characters of a text.
    pub text: usize,
    /// Elements of an array.
    pub array: usize,
    /// Whether arguments are shown, and not only results and whether these tell of failures.
    pub arguments: bool,
    /// The trace goes to the place to which the program writes: calls and returns of functions that may write wait until
    /// what was recorded before is told.
    pub in_order: bool,
}

/// Why calls of a tracepoint are not recorded by code in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Memory behind memory has to be read.
    #[error("what is shown lies behind more than one pointer")]
    Deep,
    /// What was called before is to be told before it writes.
    #[error("it may write to where the trace goes")]
    MayWrite,
    /// A format tells what is shown, and not only of texts in registers.
    #[error("a format tells what is shown")]
    Format,
    /// More than a record can hold.
    #[error("too much is shown")]
    Long,
    /// Of vector registers, records hold the low halves.
    #[error("a whole vector register is shown")]
    Wide,
    /// It behaves by its return address, which a trampoline replaces.
    #[error("the function looks at who called it")]
    LooksAtCaller,
    /// There may be no return address where one should be.
    #[error("it may not be a function")]
    Unsure,
}

/// What calls are kept for at most, and how much of the stack is taken.
pub(super) const MOST_KEPT: usize = 6;
const MOST_STACK: u64 = 32;

/// Words that are shown of a function without a prototype.
const UNKNOWN: u8 = 4;

impl Shape {
    /// What is taken of the calls of a tracepoint, without a stop.
    pub fn of(point: &Tracepoint, caps: Caps) -> Result<Shape, Refused> {
        let parts = Parts::of(point, caps)?;
        parts.entry?;
        parts.returned?;
        Ok(parts.shape)
    }

    /// The same; where that is refused for what is shown, the thread stops in the stub, at the call or at the
    /// return: see [`Labels::asked`](super::Labels::asked).
    pub fn asking(point: &Tracepoint, caps: Caps) -> Result<Shape, Refused> {
        let Parts {
            mut shape,
            mut entry,
            mut returned,
        } = Parts::of(point, caps)?;
        let is_shown = !matches!(point.kind, plan::Kind::Resource { .. });
        if caps.in_order && is_shown && !is_quiet(&point.symbol) {
            entry = Err(Refused::MayWrite);
            if shape.returns == Returns::Recorded {
                returned = Err(Refused::MayWrite);
            }
        }
        // Few calls are drawn, and it is to be known at once which blocks are theirs.
        let is_sampled = shape.sample.is_some();
        shape.asks = Asks {
            at_entry: entry.is_err() || is_sampled,
            at_return: returned.is_err() || is_sampled,
        };
        if shape.asks.at_entry {
            shape.at_entry = Box::default();
            shape.format = None;
        }
        if shape.asks.at_return {
            shape.at_return = Box::default();
            shape.kept = Box::default();
        }
        Ok(shape)
    }

    /// The words of a call's registers and stack.
    pub(super) fn entry_words(&self) -> u16 {
        u16::from(self.general) + u16::from(self.vector) + self.stack
    }
}

/// A shape, and why its calls or its returns cannot be recorded.
struct Parts {
    shape: Shape,
    entry: Result<(), Refused>,
    returned: Result<(), Refused>,
}

impl Parts {
    fn of(point: &Tracepoint, caps: Caps) -> Result<Parts, Refused> {
        use crate::plan::Returns as Comes;
        let returns = match point.returns {
            Comes::Never | Comes::Unwatched => Returns::Unrecorded,
            Comes::Perhaps => return Err(Refused::Unsure),
            Comes::Once | Comes::Again if looks_at_caller(&point.symbol) => {
                return Err(Refused::LooksAtCaller);
            }
            Comes::Once | Comes::Again => Returns::Recorded,
        };
        let mut parts = match point.typed(Machine::Amd64) {
            Some((prototype, capture)) => Parts::typed(prototype, capture, caps, returns),
            None => Parts {
                shape: Shape {
                    general: UNKNOWN,
                    returns,
                    ..Shape::default()
                },
                entry: Ok(()),
                returned: Ok(()),
            },
        };
        parts.shape.walks = point.stack == Stack::Wanted;
        parts.shape.sample = point.sample().copied();
        parts.shape.inner = point.nesting().map(|nesting| match nesting {
            Nesting::Acquires | Nesting::New { .. } => Inner::OfNew,
            Nesting::Releases { rank } => Inner::LedTo { rank },
        });
        Ok(parts)
    }

    /// What is taken of the calls of a function with this prototype.
    fn typed(prototype: &Prototype, capture: &Capture, caps: Caps, returns: Returns) -> Parts {
        let mut shape = Shape {
            returns,
            ..Shape::default()
        };
        let mut walk = Walk::new(prototype, capture, caps);
        let (mut entry, mut returned) = (Ok(()), Ok(()));
        if returns == Returns::Recorded {
            let at = sysv::results(&prototype.result);
            shape.result = ResultRegisters {
                rdx: at.general > 1,
                vector: at.vector,
                x87: at.x87,
            };
            walk.failure();
        }
        if caps.arguments {
            entry = walk.entry();
            if returns == Returns::Recorded {
                returned = match sysv::results(&prototype.result).wide {
                    true => Err(Refused::Wide),
                    false => walk.returned(),
                };
            }
            for location in &capture.locations {
                entry = entry.and(take(&mut shape, *location));
            }
            if let Some((index, format)) = capture.format {
                entry = entry.and(walk.format(&mut shape, index, format));
                if format.language == Language::Scanf {
                    returned = Err(Refused::Format);
                }
            }
        }
        walk.finish(&mut shape);
        entry = entry.and(fits(CALL_FIXED + shape.entry_words(), &shape.at_entry));
        returned = returned.and(fits(RETURN_FIXED + shape.result.words(), &shape.at_return));
        Parts {
            shape,
            entry,
            returned,
        }
    }
}

/// Whether a record is not too long.
fn fits(words: u16, blobs: &[Blob]) -> Result<(), Refused> {
    let blob = |blob: &Blob| 16 + u64::from(blob.most).next_multiple_of(8);
    let walked = 16 + 8 * u64::from(MOST_FRAMES);
    let whole = 8 * u64::from(words) + blobs.iter().map(blob).sum::<u64>() + walked;
    match whole <= MOST_RECORD {
        true => Ok(()),
        false => Err(Refused::Long),
    }
}

/// Makes room for an argument.
fn take(shape: &mut Shape, location: Location) -> Result<(), Refused> {
    match location {
        Location::Nowhere => {}
        Location::Registers(first, second) => {
            for register in std::iter::once(first).chain(second) {
                match register {
                    Register::General(n) => shape.general = shape.general.max(n + 1),
                    Register::Vector(n) => shape.vector = shape.vector.max(n + 1),
                }
            }
        }
        Location::Split {
            register, offset, ..
        } => {
            take(shape, Location::Registers(register, None))?;
            take(shape, Location::Stack { offset, size: 8 })?;
        }
        Location::Vector(_) => return Err(Refused::Wide),
        Location::Stack { offset, size } => {
            // From behind the return address on.
            let end = (offset - 8).saturating_add(size).div_ceil(8);
            if end > MOST_STACK {
                return Err(Refused::Long);
            }
            shape.stack = shape.stack.max(end as u16);
        }
    }
    Ok(())
}

/// Functions that find out which module or which frame has called them.
fn looks_at_caller(symbol: &str) -> bool {
    matches!(
        symbol,
        "dlsym"
            | "dlvsym"
            | "dlopen"
            | "dlmopen"
            | "__tls_get_addr"
            | "_dl_runtime_resolve"
            | "mcount"
            | "_mcount"
            | "__fentry__"
            | "__morestack"
    ) || symbol.starts_with("_Unwind_")
}
