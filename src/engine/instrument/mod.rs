//! What realises tracepoints in an address space.

pub mod inprocess;
pub mod int3;
