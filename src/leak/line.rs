//! A frame of a stack with its names.

use serde::{Deserialize, Serialize};

/// One call of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// The function, shortened.
    pub function: String,
    /// Its source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The module it is in.
    pub module: String,
    /// The address in the module's file.
    pub vaddr: u64,
    /// How far behind the function's first instruction the call returns to, when only a symbol table tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Whose code it is.
    pub origin: Origin,
    /// It was inlined into the next one.
    pub inlined: bool,
}

impl Line {
    /// Nothing is known of it but its address, which stands for its name.
    pub fn is_unnamed(&self) -> bool {
        self.function == format!("{:#x}", self.vaddr)
    }
}

/// Whose code a call is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The program's, or a library's that is none of the others.
    #[default]
    User,
    /// A language's standard library.
    Standard,
    /// An allocator's.
    Allocator,
    /// What runs around the program.
    Runtime,
}
