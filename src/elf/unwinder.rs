//! Whether a file unwinds stacks, for exceptions and the cancelling of threads, and how it finds frame information.

use super::{Image, References};
use crate::base::addr::Vaddr;

/// How a file's unwinder finds frame information.
#[derive(Clone, Debug, Default)]
pub enum Unwinder {
    /// There is none in it.
    #[default]
    None,
    /// By `_dl_find_object` (glibc 2.35 and newer), called through this slot by these instructions.
    FindObject {
        /// Where the dynamic linker stores the function's address.
        slot: Vaddr,
        /// The instructions.
        uses: References,
    },
    /// In another way.
    Other,
}

impl Image {
    /// The unwinder in the file.
    pub fn unwinder(&self, bytes: &[u8]) -> Unwinder {
        let mut imports = self.imports.iter();
        if let Some(import) = imports.find(|import| import.symbol == "_dl_find_object") {
            let mut uses = self.references(bytes, &[import.slot]);
            return Unwinder::FindObject {
                slot: import.slot,
                uses: uses.pop().unwrap_or_default(),
            };
        }
        // Level 1 of the Itanium C++ ABI for exception handling.
        let is_unwinder = |name: &str| name == "_Unwind_RaiseException";
        match self.exports.iter().any(|symbol| is_unwinder(&symbol.name)) {
            true => Unwinder::Other,
            false => Unwinder::None,
        }
    }
}
