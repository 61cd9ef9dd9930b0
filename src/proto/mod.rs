//! Prototypes: how a function's arguments and result are typed, and the language they are written in.

/// How one function's arguments and result are typed.
#[derive(Debug)]
pub struct Prototype {
    /// The function's name.
    pub name: String,
}
