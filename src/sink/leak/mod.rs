//! The leak hunter: what is handed out and never given back, by who asked for it.

mod allocators;
pub mod aside;
pub mod book;
mod history;
pub mod hunter;
pub mod kinds;
mod made;
pub mod misuse;
pub mod options;
pub mod output;
pub mod outside;
pub mod pages;
pub mod progress;
pub mod reach;
pub mod report;
pub mod site;
pub mod table;
pub mod tombstones;
pub mod tracker;
pub mod view;
mod words;
