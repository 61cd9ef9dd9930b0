//! What is told of a process: one model, and the texts and files that are made of it.

pub mod build;
mod describe;
pub mod exports;
mod misuses;
pub mod model;
mod noise;
mod numbers;
mod open;
mod sites;
pub mod suppress;
pub mod survey;
pub mod text;
