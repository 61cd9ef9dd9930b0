//! What is mapped in a process, and who says so. No breakpoints here; prints nothing and decodes nothing.

pub mod auxv;
pub mod callsite;
pub mod descriptors;
pub mod errno;
pub mod files;
pub mod gaps;
pub mod goroutine;
pub mod linkmap;
pub mod module;
pub mod streams;
