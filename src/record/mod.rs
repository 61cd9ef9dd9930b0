//! The second instrument: generated code in the target records calls into rings that the tracer reads. Numbers and
//! bytes in, bytes and facts out: no process, no ptrace. Amd64 only.
//!
//! # How it is used
//!
//! 1. A [`Layout`] tells what is to be mapped. [`Code::new`] makes the common code, [`Code::add`] a [`Stub`] for
//!    each tracepoint that has a [`Shape`] ([`Shape::of`] tells why not). What [`Code::take_written`] gives is to be
//!    written into the target, then [`Code::publish`] lets it be used, then call sites may be led to the stubs.
//! 2. The futex [`header::OWNER`] holds the tracer's thread id and is on its robust list. Nothing is recorded
//!    before the byte at [`Layout::enabled`] is set, nor before a thread has a thread pointer: code reads `fs:0`.
//! 3. [`Reader::new`] makes a ring ready, [`threads::assign`] gives it to a thread: when the thread is born, or when
//!    it asks at [`Labels::claim`]; it then goes on at [`Labels::retry`]. A ring that is used again
//!    is emptied first, and the thread forgotten ([`threads::forget`]).
//! 4. [`Code::forget_pages`] is called every few milliseconds. [`Reader::time`] and [`Reader::take`] give records, [`Reader::release`] makes room. A [`Seen`] is what the
//!    decoder needs of one.
//! 5. A task that a signal is delivered to, or that the tracer leaves, must not be in our code:
//!    [`Labels::out`]. A SIGSEGV or SIGBUS at a load of ours is not the target's: [`Labels::resume_after_fault`].
//! 6. What cannot be recorded, as a text behind two pointers or one that a new [format](formats) tells of, can be looked at in a stub:
//!    [`Shape::asking`], [`Labels::asked`]. These stops, and that of a thread that asks for a ring, are int3s;
//!    no thread comes to one when the owner is dead, but one that is there when it dies needs a handler.
//! 7. To leave: clear the byte, [`Reader::nudge`] and wake all threads, take them out, give the call sites back.
//!    The code stays mapped as long as a frame may return to a trampoline.

mod blocks;
mod code;
pub mod formats;
pub mod labels;
pub mod layout;
pub mod log;
pub mod ring;
pub mod rules;
pub mod shape;
pub mod shared;
mod tables;
pub mod threads;
pub mod view;

pub use blocks::Blocks;
pub use code::{Code, Failed, Stub, Target, Written};
pub use labels::{Asked, Labels, Out, When};
pub use layout::{Layout, MOST_PATCHES, head, header};
pub use ring::{Kind, Reader, Record};
pub use shape::{Caps, Refused, Shape};
pub use shared::Shared;
pub use tables::Tables;
pub use view::Seen;
