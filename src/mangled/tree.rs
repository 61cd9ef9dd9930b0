//! What a mangled name is made of.

use std::rc::Rc;

/// A type, or something else that is named in the place of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// A type of the language, by the letters that stand for it.
    Builtin(Builtin),
    /// `T*`
    Pointer(Rc<Tree>),
    /// `T&` and `T&&`
    Reference(Rc<Tree>),
    /// `const T`
    Const(Rc<Tree>),
    /// A function's type, without what it takes.
    Function,
    /// A pointer to a member of this type.
    Member(Rc<Tree>),
    /// So many of a type, if that is told.
    Array(Option<u64>, Rc<Tree>),
    /// `T _Complex`
    Complex(Rc<Tree>),
    /// A class, an enumeration or a namespace.
    Named(Named),
    /// What a template's parameter pack stands for.
    Pack(Vec<Rc<Tree>>),
    /// What is not told by the name alone, and what is of no interest here.
    Unknown,
}

/// A class, an enumeration or a namespace.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    /// Such as `std::vector`, without arguments of templates: `std::vector<>::iterator`.
    pub(super) path: String,
    /// What its template is given.
    pub(super) arguments: Option<Vec<Rc<Tree>>>,
}

/// Types of the language (Itanium C++ ABI 5.1.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    Void,
    Bool,
    Char,
    SignedChar,
    UnsignedChar,
    Wchar,
    Char8,
    Char16,
    Char32,
    Short,
    UnsignedShort,
    Int,
    UnsignedInt,
    Long,
    UnsignedLong,
    Int128,
    Float,
    Double,
    LongDouble,
    Nullptr,
}

/// A function's name, and what it says of the function.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) what: What,
    /// It is what a template was made into: its result is told.
    pub(super) is_template: bool,
    /// What the function is in.
    pub(super) scope: Scope,
    pub(super) tree: Rc<Tree>,
}

/// What kind of function it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Plain,
    /// A constructor or destructor.
    Structor {
        /// Which of those of one class: `1` of whole objects, `2` of those that are a part of another, `4` what both have
        /// in common with gcc.
        variant: u8,
    },
    /// `operator T`
    Conversion(Rc<Tree>),
    /// By its two letters.
    Operator([u8; 2]),
}

/// What a function is in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scope {
    /// Nothing, or a namespace.
    Namespace,
    /// A namespace or a class.
    Either(Rc<Tree>),
    /// A class; it may be a static function of that.
    Class,
    /// A class: it is called with an object.
    Object,
}

/// What a mangled name says of a function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: Name,
    pub(super) params: Vec<Rc<Tree>>,
    /// `...`
    pub(super) is_variadic: bool,
    pub(super) result: Option<Rc<Tree>>,
}

impl Tree {
    /// A class of this path.
    pub(super) fn named(path: &str) -> Rc<Tree> {
        Rc::new(Tree::Named(Named {
            path: path.to_owned(),
            arguments: None,
        }))
    }

    /// The type without `const`.
    pub(super) fn plain(&self) -> &Tree {
        match self {
            Tree::Const(inner) => inner.plain(),
            tree => tree,
        }
    }
}
