//! Prototypes: how a function's arguments and result are typed, and the language they are written
//! in. Pure text and types; no process, no registers.
//!
//! # The language
//!
//! It is ltrace's (ltrace.conf(5)), and more. One item stands on one line; empty lines and lines
//! that begin with `;` or `#` say nothing, and neither does what follows an item's end.
//!
//! | line | meaning |
//! |---|---|
//! | `TYPE NAME(TYPE, …);` | a function; the word `function` may stand before it |
//! | `typedef NAME = TYPE;` | a name for a type |
//! | `typedef NAME = struct;` | a structure told later, by another line, and pointed to meanwhile |
//! | `import "FILE";` | the types and functions of `FILE.conf` |
//!
//! A parameter with a `+` before it, and every one to its right, is shown when the call returns:
//! its word is taken at entry and followed at return. A sole `void` parameter means none.
//!
//! **Types**: `void`, `char`, `short`, `ushort`, `int`, `uint`, `long`, `ulong`, `float`, `double`,
//! `addr` and `file` (both `void*`), `TYPE*` (shown as what it points to; `nil` when it is null),
//! `array(TYPE, EXPR)`, `struct(TYPE, …)`. As a parameter, an array is a pointer to one.
//! Added here: `schar`, `uchar`, `llong`, `ullong`, `int8` to `int64`, `uint8` to `uint64`,
//! `ldouble` (C's 80-bit `long double`), `wchar` (a character of 32 bits), `char(TYPE)` (an integer
//! shown as a character: `char(int)` tells `EOF` from `'\377'`). A typedef may take these names over.
//!
//! **C's own spelling** is understood as well: its usual typedefs (`size_t`, `pid_t`, `uint8_t`, …; without large
//! files on i386), types of several words (`unsigned long`, `long double`), `struct NAME*` (to an unknown type,
//! unless a typedef of that name tells), qualifiers, and names of parameters, which say nothing. `const char*` and
//! `const wchar_t*` are text, as `string` is; `char*` is a pointer to one character.
//!
//! **Lenses** say how a type is shown:
//!
//! | lens | shown |
//! |---|---|
//! | `hex(T)`, `oct(T)`, `octal(T)` | `0xff`, `010`; alone they mean `hex(uint)`, `oct(uint)` |
//! | `bool(T)` | `true` or `false`; alone it is C's `bool`, one byte |
//! | `hide(T)` | nothing; alone `hide(int)` |
//! | `guess(T)` | small numbers in decimal, others in hexadecimal; alone `guess(long)` |
//! | `bitvec(T)` | numbers of the bits that are set: `<3-5,7>` |
//! | `endpoint(struct(…))` | behind a socket's family, the address: `{ AF_INET, 127.0.0.1:80 }` |
//! | `enum(A, B=7)`, `enum[T](A, B=7)` | the name of the number; `T` is `int` when not told |
//! | `flags(A=1, B=2)`, `flags[T](…)` | `A\|B\|0x40`. `NAME=VALUE/MASK` names a value of a field of bits: `O_WRONLY=1/3` |
//! | `if(argN & NUMBER, T)` | `T` when argument N has one of these bits, else nothing: for arguments that need not be passed |
//! | `errno(T)` | of a result that fails, with -1 or as a pointer with `nil` too, what errno says: `-1 ENOENT (No such file or directory)` |
//! | `error(T)` | of an error's own number, or its negative, its name: `16 EBUSY (Device or resource busy)` |
//! | `string`, `string[EXPR]` | text up to a NUL, or EXPR bytes if that comes first |
//! | `stringN`, `string0` | `string[argN]`, `string[retval]` |
//! | `string(T)` | `T` as text: `array(char, EXPR)` in place or behind a pointer; wide when its elements are integers: `string(wchar)`, `string(array(wchar, EXPR)*)`. An integer is one character: `string(uint)` |
//! | `format`, `format(T)` | a printf format; what its conversions take follows the parameters, at the end |
//! | `vformat` | the same, taken from the `va_list` that is the next parameter |
//! | `scan_format`, `vscan_format` | a scanf format; what was stored is shown at return |
//! | `wformat` and so on | the same for formats of `wchar_t` |
//!
//! A lens on a pointer, array or structure acts on what is in it. All names of numbers may be
//! followed by `= NUMBER` in decimal, octal (`017`) or hexadecimal (`0x1f`).
//!
//! **Expressions** (`EXPR`): a number; `argN`, the N-th argument; `arg0` or `retval`, the result;
//! `eltN`, the N-th member of the structure around; `zero`, as far as an element that is zero;
//! `zero(EXPR)`, the same but no further than EXPR. A parameter that needs the result is shown at return.

pub mod complaint;
pub mod format;
pub mod layout;
pub mod library;
pub mod parse;
pub mod scan;
mod scanner;
mod shipped;
#[cfg(test)]
pub(crate) mod tests;
pub mod types;

use std::sync::Arc;
use types::Type;

/// How one function's arguments and result are typed.
#[derive(Clone, Debug)]
pub struct Prototype {
    /// The function's name.
    pub name: String,
    /// What it returns.
    pub result: Type,
    /// Its parameters, in order.
    pub params: Vec<Param>,
}

/// One parameter of a function.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its type and how it is shown.
    pub ty: Type,
    /// How its source calls it.
    pub name: Option<Arc<str>>,
    /// It, and all right of it, is shown at return.
    pub at_return: bool,
}

impl Prototype {
    /// A prototype of these parts.
    pub fn new(name: &str, result: Type, params: Vec<Param>) -> Prototype {
        Prototype {
            name: name.to_owned(),
            result,
            params,
        }
    }

    /// How many of the parameters are shown at entry: those before the first that is not.
    pub fn shown_at_entry(&self) -> usize {
        let later = self.params.iter().position(|p| p.at_return);
        later.unwrap_or(self.params.len())
    }
}
