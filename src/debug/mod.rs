//! Debug information (DWARF): where that of a module is, and what it says of functions.

pub(crate) mod bytes;
mod contents;
mod entries;
mod files;
mod functions;
pub(crate) mod inflate;
mod reader;
mod rust;
pub(crate) mod sections;
pub(crate) mod separate;
mod system;
mod types;
mod units;

use crate::sys::root::Root;

pub use bytes::Bytes;
pub use files::Files;
pub use functions::Functions;
pub use separate::below_roots;
pub use types::Named;

/// A file that code was run from, whichever processes mapped it and where.
#[derive(Clone, Debug)]
pub struct Module {
    /// How it is called: its soname, or its base name.
    pub name: String,
    /// The path that the process knew it by.
    pub path: String,
    /// What identifies this very build.
    pub build_id: Option<Vec<u8>>,
    /// The root directory of the process that was seen with it, where that is not ours.
    pub root: Option<Root>,
    /// Its content, which stays readable when the file is deleted.
    pub file: Bytes,
}
