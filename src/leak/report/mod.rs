//! What is told of a process: one model, and the texts and files that are made of it.

pub mod build;
pub mod checked;
mod describe;
pub mod diff;
pub mod exports;
mod misuses;
pub mod model;
pub(super) mod mtrace;
mod noise;
pub(super) mod numbers;
mod open;
mod sites;
pub mod suppress;
pub mod survey;
pub mod text;
mod texts;
