//! Types in mangled names (Itanium C++ ABI 5.1.5), and what templates are given (5.1.7).

use super::names::{Of, made_of};
use super::parser::Parser;
use super::tree::{Builtin, Tree};
use std::rc::Rc;

/// So many arguments a template has at most, those of packs counted.
const MOST_ARGUMENTS: usize = 256;

impl Parser<'_> {
    /// `<type>`
    pub(super) fn ty(&mut self) -> Option<Rc<Tree>> {
        self.nested(Parser::any_type)
    }

    fn any_type(&mut self) -> Option<Rc<Tree>> {
        let found = match (self.peek()?, self.second()) {
            (b'r' | b'V' | b'K', _) => self.qualified()?,
            (b'P', _) => Tree::Pointer(self.after()?),
            (b'R' | b'O', _) => Tree::Reference(self.after()?),
            (b'C', _) => Tree::Complex(self.after()?),
            (b'G', _) => {
                self.after()?;
                Tree::Unknown
            }
            // A qualifier of the compiler's own.
            (b'U', Some(b'0'..=b'9')) => {
                self.bump();
                self.source_name()?;
                if self.starts_with("I") {
                    self.template_arguments(Of::Type)?;
                }
                Tree::clone(&*self.ty()?)
            }
            (b'F', _) => self.function_type()?,
            (b'A', _) => self.array()?,
            (b'M', _) => {
                self.after()?;
                Tree::Member(self.ty()?)
            }
            (b'T', Some(b's' | b'u' | b'e')) => {
                self.pair();
                Tree::clone(&*self.name(Of::Type)?.tree)
            }
            (b'T', _) => return self.parameter_type(),
            (b'D', Some(b'p')) => {
                self.pair();
                let pattern = self.ty()?;
                expanded(&pattern)
            }
            (b'D', Some(b't' | b'T')) => Tree::clone(&*self.decltype()?),
            (b'D', Some(b'v')) => self.vector()?,
            (b'D', Some(b'o' | b'O' | b'w' | b'x')) => {
                self.exceptions()?;
                self.function_type()?
            }
            (b'D', _) => return self.two_letters(),
            (b'S', Some(b't')) => Tree::clone(&*self.name(Of::Type)?.tree),
            (b'S', _) => return self.named_before(),
            (b'u', _) => {
                self.bump();
                self.source_name()?;
                if self.starts_with("I") {
                    self.template_arguments(Of::Type)?;
                }
                Tree::Unknown
            }
            (letter @ b'a'..=b'z', _) => {
                self.bump();
                return builtin(letter).map(Rc::new);
            }
            _ => Tree::clone(&*self.name(Of::Type)?.tree),
        };
        Some(self.keep(Rc::new(found)))
    }

    /// The type behind one letter.
    fn after(&mut self) -> Option<Rc<Tree>> {
        self.bump();
        self.ty()
    }

    fn qualified(&mut self) -> Option<Tree> {
        self.eat("r");
        self.eat("V");
        let is_const = self.eat("K");
        let inner = self.ty()?;
        Some(match is_const {
            true => Tree::Const(inner),
            false => Tree::clone(&inner),
        })
    }

    fn function_type(&mut self) -> Option<Tree> {
        self.expect("F")?;
        self.eat("Y");
        while !self.eat("E") {
            // What `this` is, of a member function.
            let is_reference = (self.starts_with("RE") || self.starts_with("OE")).then_some(());
            match is_reference {
                Some(()) => drop(self.bump()),
                None if self.eat("z") => {}
                None => drop(self.ty()?),
            }
        }
        Some(Tree::Function)
    }

    /// `noexcept` and its kind.
    fn exceptions(&mut self) -> Option<()> {
        match &self.pair()? {
            b"Do" | b"Dx" => {}
            b"DO" => {
                self.expression()?;
                self.expect("E")?;
            }
            _ => {
                while !self.eat("E") {
                    self.ty()?;
                }
            }
        }
        Some(())
    }

    fn array(&mut self) -> Option<Tree> {
        self.bump();
        let length = match self.peek()? {
            b'0'..=b'9' => self.number(),
            b'_' => None,
            _ => {
                self.expression()?;
                None
            }
        };
        self.expect("_")?;
        Some(Tree::Array(length, self.ty()?))
    }

    fn vector(&mut self) -> Option<Tree> {
        self.pair();
        if self.eat("_") {
            self.expression()?;
        } else {
            self.number()?;
        }
        self.expect("_")?;
        if !self.eat("p") {
            self.ty()?;
        }
        Some(Tree::Unknown)
    }

    /// `decltype(…)`
    pub(super) fn decltype(&mut self) -> Option<Rc<Tree>> {
        self.pair();
        self.expression()?;
        self.expect("E")?;
        Some(Rc::new(Tree::Unknown))
    }

    /// Types of the language that begin with `D`.
    fn two_letters(&mut self) -> Option<Rc<Tree>> {
        let tree = match &self.pair()? {
            b"Du" => Tree::Builtin(Builtin::Char8),
            b"Ds" => Tree::Builtin(Builtin::Char16),
            b"Di" => Tree::Builtin(Builtin::Char32),
            b"Dn" => Tree::Builtin(Builtin::Nullptr),
            b"DF" => {
                self.number()?;
                if !self.eat("_") && !self.eat("b") {
                    self.expect("x")?;
                }
                Tree::Unknown
            }
            b"DB" | b"DU" => {
                self.number()?;
                self.expect("_")?;
                Tree::Unknown
            }
            // Decimal and half floats, `auto`.
            b"Dd" | b"De" | b"Df" | b"Dh" | b"Da" | b"Dc" => Tree::Unknown,
            _ => return None,
        };
        Some(Rc::new(tree))
    }

    /// A template's parameter, or a template that is one.
    fn parameter_type(&mut self) -> Option<Rc<Tree>> {
        let param = self.template_parameter()?;
        let tree = self.keep(param);
        if self.peek() != Some(b'I') {
            return Some(tree);
        }
        let arguments = self.template_arguments(Of::Type)?;
        Some(self.keep(made_of(&tree, arguments)))
    }

    fn named_before(&mut self) -> Option<Rc<Tree>> {
        let tree = self.substitution()?;
        if self.peek() != Some(b'I') {
            return Some(tree);
        }
        let arguments = self.template_arguments(Of::Type)?;
        Some(self.keep(made_of(&tree, arguments)))
    }

    /// `<template-param>`: what it stands for.
    pub(super) fn template_parameter(&mut self) -> Option<Rc<Tree>> {
        self.expect("T")?;
        if self.eat("L") {
            self.ordinal()?;
            self.ordinal()?;
            return Some(Rc::new(Tree::Unknown));
        }
        let number = self.ordinal()?;
        let argument = self.arguments.get(number).cloned();
        Some(argument.unwrap_or_else(|| Rc::new(Tree::Unknown)))
    }

    /// `<template-args>`
    pub(super) fn template_arguments(&mut self, of: Of) -> Option<Vec<Rc<Tree>>> {
        self.expect("I")?;
        let arguments = self.nested(Parser::arguments_to_end)?;
        if of == Of::Function {
            self.arguments.clone_from(&arguments);
        }
        Some(arguments)
    }

    fn arguments_to_end(&mut self) -> Option<Vec<Rc<Tree>>> {
        let mut arguments = Vec::new();
        while !self.eat("E") {
            let argument = self.template_argument()?;
            arguments.push(argument);
            if arguments.len() > MOST_ARGUMENTS {
                return None;
            }
        }
        Some(arguments)
    }

    fn template_argument(&mut self) -> Option<Rc<Tree>> {
        match self.peek()? {
            b'X' => {
                self.bump();
                self.expression()?;
                self.expect("E")?;
            }
            b'L' => self.literal()?,
            b'J' => {
                self.bump();
                let pack = self.nested(Parser::arguments_to_end)?;
                return Some(Rc::new(Tree::Pack(pack)));
            }
            _ => return self.ty(),
        }
        Some(Rc::new(Tree::Unknown))
    }
}

/// What a pattern with a parameter pack stands for.
fn expanded(pattern: &Tree) -> Tree {
    let of = |inner: &Tree, wrap: fn(Rc<Tree>) -> Tree| match expanded(inner) {
        Tree::Pack(types) => {
            let types = types.into_iter().map(|ty| Rc::new(wrap(ty)));
            Tree::Pack(types.collect())
        }
        _ => Tree::Unknown,
    };
    match pattern {
        Tree::Pack(_) => pattern.clone(),
        Tree::Reference(inner) => of(inner, Tree::Reference),
        Tree::Pointer(inner) => of(inner, Tree::Pointer),
        Tree::Const(inner) => of(inner, Tree::Const),
        _ => Tree::Unknown,
    }
}

/// `<builtin-type>`, of one letter.
fn builtin(letter: u8) -> Option<Tree> {
    Some(Tree::Builtin(match letter {
        b'v' => Builtin::Void,
        b'b' => Builtin::Bool,
        b'c' => Builtin::Char,
        b'a' => Builtin::SignedChar,
        b'h' => Builtin::UnsignedChar,
        b'w' => Builtin::Wchar,
        b's' => Builtin::Short,
        b't' => Builtin::UnsignedShort,
        b'i' => Builtin::Int,
        b'j' => Builtin::UnsignedInt,
        b'l' | b'x' => Builtin::Long,
        b'm' | b'y' => Builtin::UnsignedLong,
        b'n' | b'o' => Builtin::Int128,
        b'f' => Builtin::Float,
        b'd' => Builtin::Double,
        b'e' => Builtin::LongDouble,
        b'g' => return Some(Tree::Unknown),
        _ => return None,
    }))
}
