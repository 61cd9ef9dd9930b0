//! Names of functions and types (Itanium C++ ABI 5.1.2 and 5.1.3).

use super::parser::Parser;
use super::tree::{Function, Name, Named, Scope, Tree, What};
use std::rc::Rc;

/// So many parameters a function has at most.
const MOST_PARAMS: usize = 64;

/// Whose name it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A function: parameters in its type stand for its template's arguments.
    Function,
    /// A type.
    Type,
}

impl Parser<'_> {
    /// `<encoding>`: a function's name and what it takes; `None` of data.
    pub(super) fn function(&mut self) -> Option<Function> {
        let name = self.name(Of::Function)?;
        if self.is_at_end() {
            return None;
        }
        let has_result = name.is_template && matches!(name.what, What::Plain | What::Operator(_));
        let result = if has_result { Some(self.ty()?) } else { None };
        let mut function = Function {
            name,
            params: Vec::new(),
            is_variadic: false,
            result,
        };
        while !self.is_at_end() && !matches!(self.peek(), Some(b'E' | b'.')) {
            if self.eat("z") {
                function.is_variadic = true;
                continue;
            }
            if self.eat("v") {
                continue;
            }
            let ty = self.ty()?;
            match &*ty {
                Tree::Pack(types) => function.params.extend(types.iter().cloned()),
                _ => function.params.push(ty),
            }
            if function.params.len() > MOST_PARAMS {
                return None;
            }
        }
        Some(function)
    }

    /// `<call-offset>` of a thunk, which goes on as the function does: whether it is one.
    pub(super) fn thunk(&mut self) -> Option<bool> {
        let count = match (self.eat("Th"), self.eat("Tv")) {
            (false, false) => return Some(false),
            (is_plain, _) => 2 - usize::from(is_plain),
        };
        for _ in 0..count {
            self.eat("n");
            self.number()?;
            self.expect("_")?;
        }
        Some(true)
    }

    /// `<name>`
    pub(super) fn name(&mut self, of: Of) -> Option<Name> {
        self.nested(|parser| match parser.peek()? {
            b'N' => parser.nested_name(of),
            b'Z' => parser.local_name(of),
            _ => parser.unscoped_name(of),
        })
    }

    fn unscoped_name(&mut self, of: Of) -> Option<Name> {
        let mut what = What::Plain;
        let mut tree = if self.peek() == Some(b'S') && self.second() != Some(b't') {
            self.substitution()?
        } else {
            let outer = self.eat("St").then(|| Tree::named("std"));
            let (component, found) = self.unqualified_name()?;
            what = found;
            let tree = inside(outer.as_deref(), &component);
            if self.peek() == Some(b'I') {
                self.keep(tree.clone());
            }
            tree
        };
        let is_template = self.peek() == Some(b'I');
        if is_template {
            let arguments = self.template_arguments(of)?;
            tree = made_of(&tree, arguments);
        }
        Some(Name {
            what,
            is_template,
            scope: Scope::Namespace,
            tree,
        })
    }

    fn nested_name(&mut self, of: Of) -> Option<Name> {
        self.expect("N")?;
        // What stands here are qualifiers of `*this`.
        let mut has_object = false;
        while self.eat("r") || self.eat("V") || self.eat("K") {
            has_object = true;
        }
        has_object |= self.eat("R") || self.eat("O");
        let mut outer: Option<Rc<Tree>> = None;
        let mut tree: Option<Rc<Tree>> = None;
        let mut what = What::Plain;
        let mut is_template = false;
        while !self.eat("E") {
            match (self.peek()?, self.second()) {
                (b'S', Some(b't')) => {
                    self.expect("St")?;
                    tree = Some(Tree::named("std"));
                }
                (b'S', _) => tree = Some(self.substitution()?),
                (b'I', _) => {
                    let arguments = self.template_arguments(of)?;
                    let made = made_of(tree.as_deref()?, arguments);
                    tree = Some(self.keep(made));
                    is_template = true;
                }
                (b'T', _) => {
                    let param = self.template_parameter()?;
                    tree = Some(self.keep(param));
                }
                (b'D', Some(b't' | b'T')) => {
                    let ty = self.decltype()?;
                    tree = Some(self.keep(ty));
                }
                // Of a member's initialiser.
                (b'M', _) => {
                    self.bump();
                }
                _ => {
                    let (component, found) = self.unqualified_name()?;
                    outer = tree;
                    let whole = inside(outer.as_deref(), &component);
                    tree = Some(self.keep(whole));
                    what = found;
                    is_template = false;
                }
            }
        }
        // The whole name is one of a type, which is kept as such, or of a function, which is not.
        self.unkeep();
        let scope = match has_object || is_called_with_object(&what) {
            true => Scope::Object,
            // Those of a class are static.
            false if matches!(&what, What::Operator(letters) if is_allocating(letters)) => {
                Scope::Namespace
            }
            false if is_static(tree.as_deref()) => Scope::Namespace,
            false => scope(outer),
        };
        Some(Name {
            what,
            is_template,
            scope,
            tree: tree?,
        })
    }

    /// Something in a function.
    fn local_name(&mut self, of: Of) -> Option<Name> {
        self.expect("Z")?;
        let arguments = std::mem::take(&mut self.arguments);
        // What the function takes may be missing, as that of `main`.
        let outer = self.name(Of::Function)?;
        if !self.starts_with("E") {
            if outer.is_template && matches!(outer.what, What::Plain | What::Operator(_)) {
                self.ty()?;
            }
            while !self.starts_with("E") {
                if !self.eat("z") {
                    self.ty()?;
                }
            }
        }
        self.expect("E")?;
        if of == Of::Type {
            self.arguments = arguments;
        }
        if self.eat("s") {
            self.discriminator();
            return Some(Name {
                what: What::Plain,
                is_template: false,
                scope: Scope::Namespace,
                tree: Rc::new(Tree::Unknown),
            });
        }
        if self.eat("d") {
            self.ordinal()?;
        }
        let mut name = self.name(of)?;
        self.discriminator();
        if name.scope != Scope::Namespace {
            // Local classes have no static functions.
            name.scope = Scope::Object;
        }
        if let Tree::Named(named) = &*name.tree {
            let path = format!("{}::{}", path(&outer.tree), named.path);
            name.tree = Rc::new(Tree::Named(Named {
                path,
                arguments: named.arguments.clone(),
            }));
        }
        Some(name)
    }

    /// `<discriminator>`, if there is one.
    fn discriminator(&mut self) {
        if self.eat("__") {
            self.number();
            self.eat("_");
        } else if self.eat("_") {
            // One digit, and what follows is something else.
            self.bump();
        }
    }

    fn unqualified_name(&mut self) -> Option<(String, What)> {
        self.eat("L");
        let found = match (self.peek()?, self.second()) {
            (b'0'..=b'9', _) => (self.source_name()?.to_owned(), What::Plain),
            (b'C', Some(b'I' | b'1'..=b'5')) => {
                self.bump();
                let is_inherited = self.eat("I");
                let variant = self.bump()?;
                if is_inherited {
                    self.ty()?;
                }
                ("{structor}".to_owned(), What::Structor { variant })
            }
            (b'D', Some(b'0'..=b'5')) => {
                let variant = self.pair()?[1];
                ("{structor}".to_owned(), What::Structor { variant })
            }
            (b'U', Some(b'l')) => (self.lambda()?, What::Plain),
            (b'U', Some(b't')) => {
                self.pair();
                (format!("{{unnamed#{}}}", self.ordinal()?), What::Plain)
            }
            (b'a'..=b'z', _) => self.operator_name()?,
            _ => return None,
        };
        while self.eat("B") {
            self.source_name()?;
        }
        Some(found)
    }

    fn lambda(&mut self) -> Option<String> {
        self.pair();
        while !self.eat("E") {
            if !self.eat("z") {
                self.ty()?;
            }
        }
        Some(format!("{{lambda#{}}}", self.ordinal()?))
    }

    /// `<operator-name>`
    pub(super) fn operator_name(&mut self) -> Option<(String, What)> {
        let letters = self.pair()?;
        let what = match &letters {
            b"cv" => What::Conversion(self.ty()?),
            b"li" => {
                self.source_name()?;
                What::Plain
            }
            _ => What::Operator(letters),
        };
        let letters = String::from_utf8_lossy(&letters);
        Some((format!("operator {letters}"), what))
    }

    /// `<substitution>`: what was named before, or one of the standard abbreviations.
    pub(super) fn substitution(&mut self) -> Option<Rc<Tree>> {
        self.expect("S")?;
        let usual = |path: &str, is_whole: bool| {
            let arguments = is_whole.then(|| vec![character()]);
            let path = path.to_owned();
            Some(Rc::new(Tree::Named(Named { path, arguments })))
        };
        let letter = self.peek()?;
        if matches!(letter, b'a' | b'b' | b's' | b'i' | b'o' | b'd') {
            self.bump();
            while self.eat("B") {
                self.source_name()?;
            }
        }
        match letter {
            b'a' => usual("std::allocator", false),
            b'b' => usual("std::basic_string", false),
            b's' => usual("std::basic_string", true),
            b'i' => usual("std::basic_istream", true),
            b'o' => usual("std::basic_ostream", true),
            b'd' => usual("std::basic_iostream", true),
            _ => {
                let number = self.sequence()?;
                self.kept(number)
            }
        }
    }
}

fn character() -> Rc<Tree> {
    Rc::new(Tree::Builtin(super::tree::Builtin::Char))
}

/// A part of a name, in what was named before it.
fn inside(outer: Option<&Tree>, component: &str) -> Rc<Tree> {
    match outer {
        None => Tree::named(component),
        Some(Tree::Named(_)) => {
            let outer = outer.map_or_else(String::new, path);
            Tree::named(&format!("{outer}::{component}"))
        }
        Some(_) => Rc::new(Tree::Unknown),
    }
}

fn path(tree: &Tree) -> String {
    match tree {
        Tree::Named(named) if named.arguments.is_some() => format!("{}<>", named.path),
        Tree::Named(named) => named.path.clone(),
        _ => String::new(),
    }
}

/// A template with its arguments.
pub(super) fn made_of(template: &Tree, arguments: Vec<Rc<Tree>>) -> Rc<Tree> {
    match template {
        Tree::Named(named) => Rc::new(Tree::Named(Named {
            path: named.path.clone(),
            arguments: Some(arguments),
        })),
        _ => Rc::new(Tree::Unknown),
    }
}

/// Functions that are members by their kind, and not static ones.
fn is_called_with_object(what: &What) -> bool {
    match what {
        What::Structor { .. } | What::Conversion(_) => true,
        What::Operator(letters) => matches!(letters, b"aS" | b"cl" | b"ix" | b"pt"),
        What::Plain => false,
    }
}

/// Static functions of classes of libstdc++ are called so.
fn is_static(function: Option<&Tree>) -> bool {
    let path = function.map_or_else(String::new, path);
    let name = path.rsplit("::").next();
    name.is_some_and(|name| name.starts_with("_S_"))
}

/// `new` and `delete`, by their letters.
fn is_allocating(letters: &[u8; 2]) -> bool {
    matches!(letters, b"nw" | b"na" | b"dl" | b"da")
}

/// What a function is in that has no object for sure.
fn scope(outer: Option<Rc<Tree>>) -> Scope {
    match outer.as_deref() {
        Some(Tree::Named(named)) if named.arguments.is_some() => Scope::Class,
        Some(Tree::Named(named)) if named.path.contains("<>") => Scope::Class,
        Some(Tree::Named(named)) if is_namespace(&named.path) => Scope::Namespace,
        Some(_) => outer.map_or(Scope::Namespace, Scope::Either),
        None => Scope::Namespace,
    }
}

/// Namespaces of the C++ libraries, and those without a name.
fn is_namespace(path: &str) -> bool {
    matches!(
        path,
        "std"
            | "std::__cxx11"
            | "std::__1"
            | "std::__detail"
            | "std::__exception_ptr"
            | "std::chrono"
            | "std::chrono::_V2"
            | "std::filesystem"
            | "std::filesystem::__cxx11"
            | "std::__1::__fs::filesystem"
            | "std::placeholders"
            | "std::pmr"
            | "std::ranges"
            | "std::this_thread"
            | "__cxxabiv1"
            | "__gnu_cxx"
            | "__gnu_debug"
    ) || path.ends_with("_GLOBAL__N_1")
}
