//! Realises tracepoints in running programs and reports hits. Knows no prototypes and no sinks.
//!
//! The supervisor sees births, execs, signals, modules and ends of traced processes; an instrument realises
//! the tracepoints in an address space.

pub mod calls;
pub mod goroutines;
pub mod hit;
pub mod instrument;
pub mod space;
pub mod stacks;
pub mod supervisor;
pub mod task;
