//! Values of a traced program, owned and complete: what was read, before it is turned into text.

mod nested;
pub mod read;
pub mod render;
#[cfg(test)]
mod tests;

use crate::base::addr::Addr;
use crate::base::memory::Text;
use crate::proto::layout::Model;
use crate::proto::types::Names;
use nested::nested;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// How much of a value is read and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a text (`-s`).
    pub string: usize,
    /// Elements of an array, and how deep structures of one type are shown in each other (`-A`).
    pub array: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            string: 32,
            array: 4,
        }
    }
}

/// One argument, result or part of one. That something could not be read is a value too. Recordings hold values as
/// they are here: new kinds go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A signed number, shown in decimal.
    Signed(i64),
    /// An unsigned number, shown in decimal.
    Unsigned(u64),
    /// A number shown as `0xff`; zero as `0`.
    Hex(u64),
    /// A number shown as `010`; zero as `00`.
    Octal(u64),
    /// A word without a type: decimal from -10000 to 10000, else `0x` and all its bits.
    Guess(u64),
    /// `true` or `false`.
    Bool(bool),
    /// A character as a signed code, `'a'`; -1 is `EOF`.
    Char(i64),
    /// Shown with six decimals, as `%f` does.
    Float(f64),
    /// Shown as `%a` does.
    HexFloat(f64),
    /// An address that nothing is shown behind: `0x55d0c8`; zero as `nil`.
    Pointer(Addr),
    /// Text of a program; `cut` when there was more of it.
    Bytes {
        /// What was read, without the terminating NUL.
        bytes: Text,
        /// There was more than may be shown.
        cut: bool,
    },
    /// Wide text (`wchar_t`), already turned into Unicode.
    Wide {
        /// What was read, without the terminating NUL.
        text: String,
        /// There was more than may be shown.
        cut: bool,
    },
    /// The name that an enumeration gives the number, or a text that stands for a value.
    Name(Arc<str>),
    /// Names of the bits that are set, in the order of the type: `O_RDWR|O_CREAT|0x40`.
    Flags {
        /// The names, at least one.
        names: SmallVec<[Arc<str>; 4]>,
        /// The bits that no name stands for, shown in hexadecimal.
        rest: u64,
    },
    /// A value that stands for a failure, and its error: `-1 ENOENT (No such file or directory)`.
    Failed(#[serde(deserialize_with = "nested")] Box<Value>, i32),
    /// `{ 1, 2.500000 }`
    Struct(#[serde(deserialize_with = "nested")] Vec<Value>),
    /// `[ 1, 2, 3, 4... ]`; `cut` when there are more elements.
    Array {
        /// The elements that may be shown.
        #[serde(deserialize_with = "nested")]
        items: Vec<Value>,
        /// There are more.
        cut: bool,
    },
    /// Numbers of the bits that are set, as `<3-5,7>`; `inverted` lists those that are not: `~<0>`.
    Bits {
        /// Inclusive runs of bit numbers, ascending.
        runs: Vec<(u32, u32)>,
        /// The runs name the bits that are clear.
        inverted: bool,
    },
    /// Nothing is shown, nor a comma.
    Hidden,
    /// `<void>`
    Void,
    /// A pointer to itself or to an enclosing structure: `recurse` and one `^` for each level up.
    Recurse(u32),
    /// Cut for depth: `...`.
    Elided,
    /// A pointer that leads nowhere we can read; its address is shown.
    Unreadable(Addr),
    /// A descriptor, and what it is open on: `3</etc/passwd>`.
    Descriptor(i64, Arc<str>),
    /// `{ tv_sec=1, tv_nsec=0 }`
    Members {
        /// What the values are called; an empty name where there is none.
        names: Names,
        /// As many values.
        #[serde(deserialize_with = "nested")]
        values: Vec<Value>,
    },
    /// `S_IFREG|0644`
    OctalFlags {
        /// The names, at least one.
        names: SmallVec<[Arc<str>; 4]>,
        /// The bits that no name stands for, shown in octal.
        rest: u64,
    },
    /// `[ SIGINT, SIGTERM ]`; `inverted` lists those that are not in it: `~[ SIGINT ]`.
    Set {
        /// Names, or numbers of bits.
        #[serde(deserialize_with = "nested")]
        members: Vec<Value>,
        /// They are those that are missing.
        inverted: bool,
    },
    /// What an argument that was shown at the call holds at the return. Lines show `=>` before the first of them.
    Again(#[serde(deserialize_with = "nested")] Box<Value>),
    /// One of several cases with what it holds: `Some(1)`, `Circle { r=1 }`, `None`.
    Case(Arc<str>, #[serde(deserialize_with = "nested")] Box<Value>),
    /// A thread, by its id, and its name where that is wanted: `12346<worker>`.
    Thread(i32, Option<Arc<str>>),
    /// An address, and where what is there leads: `0x7ffe40<main+0x42>`.
    Leads {
        /// The address.
        at: Addr,
        /// Where it leads.
        to: Addr,
        /// The name of that.
        name: Option<Arc<str>>,
    },
    /// Nothing is known of it: `?`.
    Unknown,
}

/// The numbers that a word without a type is shown as in decimal.
const SMALL: std::ops::RangeInclusive<i64> = -10_000..=10_000;

impl Value {
    /// A word without a type, of such a program: what stands above its bits does not count.
    pub fn guess(word: u64, model: Model) -> Value {
        let unused = 64 - 8 * model.pointer() as u32;
        let number = (word << unused) as i64 >> unused;
        match SMALL.contains(&number) {
            true => Value::Guess(number as u64),
            false => Value::Guess(word << unused >> unused),
        }
    }
}
