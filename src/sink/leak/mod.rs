//! The leak hunter: what is handed out and never given back, by who asked for it.

pub mod kinds;
pub mod table;
