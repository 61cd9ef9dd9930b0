//! What is told of a process: one model, and the texts and files that are made of it.

pub mod model;
mod numbers;
pub mod text;
