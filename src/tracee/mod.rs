//! What the tracer knows of the programs it traces: address spaces with their modules and
//! breakpoints. Prints nothing and decodes nothing.

pub mod auxv;
pub mod breakpoint;
pub mod callsite;
pub mod displaced;
mod files;
pub mod goroutine;
pub mod guard;
pub mod linkmap;
pub mod module;
pub mod space;
