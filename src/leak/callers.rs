//! Whose code calls, by return addresses (`--caller`).

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::event::Event;
use crate::leak::backtrace::learn;
use crate::leak::book::Book;
use crate::plan::ModuleName;
use crate::sink::places::Places;
use crate::sink::sieve;
use crate::stack::Symbolizer;
use std::sync::Arc;

/// Modules of all processes, and the names of their functions.
pub struct Callers {
    book: Book,
    places: Places,
    symbolizer: Symbolizer,
}

impl Callers {
    /// Functions named so.
    pub fn new(symbolizer: Symbolizer) -> Callers {
        Callers {
            book: Book::default(),
            places: Places::default(),
            symbolizer,
        }
    }
}

impl sieve::Callers for Callers {
    fn event(&mut self, event: &Event) {
        self.places.event(event);
        learn(&mut self.book, event);
    }

    fn caller(&mut self, pid: Pid, return_address: Addr) -> Option<(String, Arc<ModuleName>)> {
        let module = self.places.module(pid, return_address)?;
        let frame = self.book.caller(pid, return_address)?;
        let symbol = self.symbolizer.symbol(self.book.stacks(), &frame);
        // Behind it a version may stand. What has no name still has a module.
        let name = symbol.map_or_else(String::new, |(symbol, _)| {
            symbol.split('@').next().unwrap_or_default().to_owned()
        });
        Some((name, module))
    }
}
