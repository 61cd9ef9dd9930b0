//! `ltrace`: a library-call tracer for Linux x86-64. See `docs/architecture.md` for the way of the data.
//!
//! The API is the program: its command line, its output and the language of its files. This library
//! serves the program, its tests and its benches; any version may change what is `pub` here.

pub mod abi;
pub mod base;
pub mod cli;
pub mod config;
pub mod debug;
pub mod decode;
pub mod elf;
pub mod engine;
pub mod error;
pub mod event;
pub mod export;
pub mod leak;
pub mod mangled;
pub mod plan;
pub mod process;
pub mod program;
pub mod proto;
pub mod record;
pub mod serve;
pub mod session;
pub mod sink;
pub mod stack;
#[allow(unsafe_code)]
pub mod sys;
pub mod value;
