//! Declarations: what is declared, and as what.

use super::lexer::Word;
use super::types::{Function, Kind, Meaning};
use super::{Fault, Reader};
use crate::proto::types::Type;
use crate::proto::{Param, Prototype, parse, tell_format};
use std::sync::Arc;

/// How deep declarators may nest, and how many parameters a function may have.
const DEEPEST: usize = 32;
const MOST_PARAMS: usize = 128;

/// What stands around a name, from the inside out.
enum Around {
    Pointer {
        is_const: bool,
    },
    Array(u64),
    Function {
        params: Vec<(Meaning, Option<Arc<str>>)>,
        is_variadic: bool,
    },
}

impl<'t> Reader<'t> {
    /// One declaration, with all that it declares.
    pub(super) fn declaration(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Word::Mark(';' | '}') => {
                self.next();
                return Ok(());
            }
            // `extern "C" {`: its closing brace is met by itself.
            Word::Name("extern") if self.peek_at(1) == Word::Text => {
                self.at += 2;
                self.eat('{');
                return Ok(());
            }
            Word::Name("_Static_assert" | "static_assert" | "__asm__" | "asm") => {
                self.next();
                self.skip_pair();
                return Ok(());
            }
            _ => {}
        }
        let (storage, base) = self.specifiers(0)?;
        if self.eat(';') {
            return Ok(());
        }
        loop {
            let (name, meaning) = self.declarator(base.clone(), 0)?;
            self.skip_attributes();
            if let Some(name) = name {
                match (&meaning.kind, storage.is_typedef) {
                    (_, true) => {
                        self.typedefs.insert(name, meaning);
                    }
                    (Kind::Function(function), false) => self.add(name, function)?,
                    _ => {}
                }
            }
            match self.peek() {
                Word::Mark('=') => {
                    while !matches!(self.peek(), Word::Mark(',' | ';') | Word::End) {
                        match self.peek() {
                            Word::Mark('(' | '{' | '[') => self.skip_pair(),
                            _ => drop(self.next()),
                        }
                    }
                }
                Word::Mark('{') => {
                    self.skip_pair();
                    return Ok(());
                }
                _ => {}
            }
            if self.eat(';') {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    /// Notes a function.
    fn add(&mut self, name: &str, function: &Function) -> Result<(), Fault> {
        let result = function.result.passed();
        let is_void = matches!(result.unshown(), Type::Void);
        if !is_void && !result.is_complete() {
            return Err(self.fault("the result's members have not been told yet"));
        }
        let mut params = Vec::new();
        for (meaning, name) in &function.params {
            let ty = meaning.passed();
            if !ty.is_complete() {
                return Err(self.fault("a parameter's members have not been told yet"));
            }
            params.push(Param {
                ty,
                name: name.clone(),
                at_return: false,
            });
        }
        let is_moderate = |param: &Param| parse::is_moderate(&param.ty);
        if !params.iter().all(is_moderate) || !parse::is_moderate(&result) {
            return Err(self.fault("a type is too large or too deep"));
        }
        if function.is_variadic {
            tell_format(params.last_mut());
        }
        let prototype = Prototype::new(name, result, params);
        let functions = &mut self.parsed.functions;
        functions.insert(name.to_owned(), Arc::new(prototype));
        Ok(())
    }

    /// A type without a name, as in a cast.
    pub(super) fn type_name(&mut self, depth: usize) -> Result<Meaning, Fault> {
        let (_, base) = self.specifiers(depth)?;
        Ok(self.declarator(base, depth)?.1)
    }

    /// What is declared, if it has a name, and its type.
    pub(super) fn declarator(
        &mut self,
        base: Meaning,
        depth: usize,
    ) -> Result<(Option<&'t str>, Meaning), Fault> {
        let mut around = Vec::new();
        let name = self.around(&mut around, depth)?;
        let meaning = around.into_iter().rev().fold(base, |inner, around| {
            let kind = match around {
                Around::Pointer { is_const } => {
                    return Meaning {
                        is_const,
                        ..inner.pointer()
                    };
                }
                Around::Array(length) => Kind::Array(Arc::new(inner), length),
                Around::Function {
                    params,
                    is_variadic,
                } => Kind::Function(Arc::new(Function {
                    result: inner,
                    params,
                    is_variadic,
                })),
            };
            Meaning {
                kind,
                is_const: false,
            }
        });
        Ok((name, meaning))
    }

    fn around(&mut self, around: &mut Vec<Around>, depth: usize) -> Result<Option<&'t str>, Fault> {
        if depth > DEEPEST {
            return Err(self.fault("nested too deep"));
        }
        let mut pointers = Vec::new();
        loop {
            self.skip_attributes();
            if !(self.eat('*') || self.eat('^')) {
                break;
            }
            if pointers.len() > DEEPEST {
                return Err(self.fault("too many '*'"));
            }
            let mut is_const = false;
            while let Word::Name(
                name @ ("const" | "__const" | "volatile" | "restrict" | "__restrict"
                | "__restrict__" | "_Nonnull" | "_Nullable"),
            ) = self.peek()
            {
                self.next();
                is_const |= name.contains("const");
            }
            pointers.push(Around::Pointer { is_const });
        }
        self.skip_attributes();
        let name = match self.peek() {
            Word::Name(name) => {
                self.next();
                Some(name)
            }
            // `(*name)(…)`, and not a list of parameters without a name.
            Word::Mark('(') if self.is_grouped() => {
                self.next();
                let name = self.around(around, depth + 1)?;
                self.expect(')')?;
                name
            }
            _ => None,
        };
        self.suffixes(around, depth)?;
        pointers.reverse();
        around.extend(pointers);
        Ok(name)
    }

    fn is_grouped(&mut self) -> bool {
        let at = self.at;
        self.next();
        self.skip_attributes();
        let is_grouped = match self.peek() {
            Word::Mark('*' | '^' | '(' | '[') => true,
            Word::Name(_) => !self.begins_type(),
            _ => false,
        };
        self.at = at;
        is_grouped
    }

    /// Arrays and parameters behind a name.
    fn suffixes(&mut self, around: &mut Vec<Around>, depth: usize) -> Result<(), Fault> {
        loop {
            if self.eat('[') {
                while let Word::Name(
                    "static" | "const" | "restrict" | "__restrict" | "__restrict__" | "volatile",
                ) = self.peek()
                {
                    self.next();
                }
                let length = match self.peek() {
                    Word::Mark(']' | '*') => {
                        self.eat('*');
                        0
                    }
                    _ => match self.constant(depth + 1) {
                        Ok(length) => length,
                        // As long as another parameter says.
                        Err(_) => {
                            while !matches!(self.peek(), Word::Mark(']') | Word::End) {
                                self.next();
                            }
                            0
                        }
                    },
                };
                self.expect(']')?;
                around.push(Around::Array(length));
            } else if self.eat('(') {
                let (params, is_variadic) = self.params(depth)?;
                around.push(Around::Function {
                    params,
                    is_variadic,
                });
            } else {
                return Ok(());
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn params(&mut self, depth: usize) -> Result<(Vec<(Meaning, Option<Arc<str>>)>, bool), Fault> {
        let mut params = Vec::new();
        if self.eat(')') {
            return Ok((params, false));
        }
        loop {
            if self.peek() == Word::Dots {
                self.next();
                self.expect(')')?;
                return Ok((params, true));
            }
            let (_, base) = self.specifiers(depth + 1)?;
            let (name, meaning) = self.declarator(base, depth + 1)?;
            self.skip_attributes();
            let is_void = matches!(meaning.kind, Kind::Plain(Type::Void));
            if !(is_void && params.is_empty() && self.peek() == Word::Mark(')')) {
                params.push((meaning, name.map(Arc::from)));
            }
            if params.len() > MOST_PARAMS {
                return Err(self.fault("too many parameters"));
            }
            if self.eat(')') {
                return Ok((params, false));
            }
            self.expect(',')?;
        }
    }

    /// Attributes, and names that the linker is to use.
    pub(super) fn skip_attributes(&mut self) {
        while let Word::Name(
            "__attribute__" | "__attribute" | "__asm__" | "asm" | "__asm" | "__extension__"
            | "__declspec",
        ) = self.peek()
        {
            self.next();
            if self.peek() == Word::Mark('(') {
                self.skip_pair();
            }
        }
    }
}
