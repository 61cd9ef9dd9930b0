//! Leak tracking: what is handed out and never given back, by who asked for it.

mod allocators;
pub mod book;
pub mod check_thread;
pub mod functions;
mod history;
pub mod kinds;
pub mod leak_sink;
mod made;
pub mod misuse;
pub mod options;
pub mod output;
pub mod pages;
pub mod progress;
pub mod reach;
pub mod recent_frees;
pub mod report;
pub mod site;
pub mod symbols;
pub mod system;
pub mod table;
pub mod tracker;
pub mod view;
mod words;
pub mod worker;
