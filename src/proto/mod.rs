//! Prototypes: how a function's arguments and result are typed, and the language they are written
//! in. Pure text and types; no process, no registers.
//!
//! The language is told in `docs/prototypes.md`.

pub mod complaint;
pub mod format;
pub mod header;
pub mod held;
pub mod layout;
pub mod library;
pub mod parse;
pub mod scan;
mod scanner;
mod shipped;
#[cfg(test)]
pub(crate) mod tests;
pub mod types;

use std::fmt;
use std::sync::Arc;
use types::{Format, Language, Lens, Type, Varargs};

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

/// In the language of prototypes.
impl fmt::Display for Prototype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}(", self.result, self.name)?;
        for (i, param) in self.params.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let mark = if param.at_return && !param.ty.needs_result() {
                "+"
            } else {
                ""
            };
            write!(f, "{comma}{mark}{}", param.ty)?;
            if let Some(name) = &param.name {
                write!(f, " {name}")?;
            }
        }
        f.write_str(")")
    }
}

/// Behind a text that is called so, and is the last before `...`, stands what it tells of.
pub fn tell_format(last: Option<&mut Param>) {
    if let Some(param) = last
        && matches!(
            param.name.as_deref(),
            Some("fmt" | "format" | "__fmt" | "__format")
        )
        && param.ty == Type::string()
    {
        param.ty = Type::string().shown(Lens::Format(Format {
            language: Language::Printf,
            arguments: Varargs::Passed,
        }));
    }
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

    /// For who does not know the function's code, and so passes what it does not read as well.
    pub fn by_others(self: Arc<Self>) -> Arc<Prototype> {
        // A vector in a register that is not seen is passed, and stays unknown.
        let unread = |param: &Param| match &param.ty {
            Type::Shown(Lens::Unknown, ty) if !matches!(ty.unshown(), Type::Struct(_)) => {
                Some(Type::clone(ty))
            }
            _ => None,
        };
        if self.params.iter().all(|param| unread(param).is_none()) {
            return self;
        }
        let mut all = Prototype::clone(&self);
        for param in &mut all.params {
            if let Some(ty) = unread(param) {
                param.ty = ty;
            }
        }
        Arc::new(all)
    }

    /// How many of the parameters are shown at entry: those before the first that is not.
    pub fn shown_at_entry(&self) -> usize {
        let later = self.params.iter().position(|p| p.at_return);
        later.unwrap_or(self.params.len())
    }
}
