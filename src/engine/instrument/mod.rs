//! What realises tracepoints in an address space.

pub mod int3;
