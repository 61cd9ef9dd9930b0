//! Breakpoints: each hit stops its task.

pub mod actions;
pub mod arrivals;
pub mod breakpoint;
mod clones;
pub mod displaced;
pub mod guard;
pub mod hits;
mod ifuncs;
mod tell;
