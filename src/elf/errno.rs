//! Who tells where errno is: a C library, or a program that holds one.

use super::{Image, InFile, Symbol, header, program_headers, thread_local};
use crate::base::addr::Vaddr;

/// What a file says of the place of errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// This function gives a thread its errno's address (LSB, `__errno_location`).
    Function(Vaddr),
    /// It is so far behind the thread pointer.
    Offset(i64),
}

impl Image {
    /// Who tells where errno is; `None` of most files.
    pub fn errno(&self, bytes: &[u8]) -> Option<Errno> {
        let is_static =
            self.interpreter.is_none() && self.needed.is_empty() && self.soname.is_none();
        // Nothing need use the function there.
        let variable = || {
            let (class, header) = header(bytes).ok()?;
            let headers = program_headers(bytes, class, &header).ok()?;
            thread_local::offset(bytes, &headers, "errno").map(Errno::Offset)
        };
        let own = || variable().or_else(|| function(Image::functions(bytes)));
        let exported = function(self.exports.iter().map(Symbol::borrowed));
        exported.or_else(|| is_static.then(own).flatten())
    }
}

/// The function that tells it, if it is among these.
fn function<'a>(mut symbols: impl Iterator<Item = InFile<'a>>) -> Option<Errno> {
    let found = symbols.find(|symbol| symbol.name == "__errno_location");
    found.map(|symbol| Errno::Function(symbol.vaddr))
}
