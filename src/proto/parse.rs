//! Reads prototype files: one item a line. A line that cannot be understood is left out and
//! complained about; whatever the file holds, nesting and sizes stay within limits.

use super::complaint::{Complaint, Severity};
use super::scanner::{Fault, Scanner};
use super::types::{Expr, Integer, Lens, Struct, Type};
use super::{Param, Prototype};
use std::collections::HashMap;
use std::sync::Arc;

mod c;
mod types;

pub(super) use c::named as usual_type;
pub(super) use types::is_moderate;

/// How many structures a file may announce: pointers may chain them all.
const MAX_ANNOUNCED: usize = 1000;

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The file that was read.
    pub origin: String,
    /// Functions by name; the last line about one counts.
    pub functions: HashMap<String, Arc<Prototype>>,
    /// Types by name.
    pub typedefs: HashMap<String, Type>,
}

/// Where `import "NAME";` finds what it names.
pub trait Imports {
    /// What `NAME.conf` says, or why that cannot be told.
    fn import(&mut self, name: &str) -> Result<Arc<Parsed>, String>;
}

/// For text that stands alone: nothing can be imported.
pub(super) struct Alone;

impl Imports for Alone {
    fn import(&mut self, _name: &str) -> Result<Arc<Parsed>, String> {
        Err("nothing can be imported here".to_owned())
    }
}

/// Reads a file's text: the lines that were understood, and complaints about the others.
pub fn parse(file_name: &str, text: &str) -> (Parsed, Vec<Complaint>) {
    parse_with(file_name, text, &mut Alone)
}

/// Reads a file's text, which may import others.
pub fn parse_with(
    file_name: &str,
    text: &str,
    imports: &mut dyn Imports,
) -> (Parsed, Vec<Complaint>) {
    let mut parsed = Parsed::default();
    let mut complaints = Vec::new();
    let mut announced = 0;
    for (index, line) in text.lines().enumerate() {
        let mut item = Item::new(line, &mut parsed, &mut announced);
        let outcome = item.read(imports);
        let complain = |severity, fault: Fault| Complaint {
            file: file_name.to_owned(),
            line: index + 1,
            column: line.get(..fault.at).unwrap_or(line).chars().count() + 1,
            severity,
            message: fault.message,
        };
        let warnings = item.warnings.into_iter();
        complaints.extend(warnings.map(|fault| complain(Severity::Warning, fault)));
        complaints.extend(outcome.err().map(|fault| complain(Severity::Error, fault)));
    }
    (parsed, complaints)
}

/// Adds what one line says to what is known, where there was no mistake in it.
pub(super) fn add_line(
    line: &str,
    parsed: &mut Parsed,
    imports: &mut dyn Imports,
) -> Result<(), Fault> {
    Item::new(line, parsed, &mut 0).read(imports)
}

/// One line, on its way into what the file says.
struct Item<'a> {
    scanner: Scanner<'a>,
    parsed: &'a mut Parsed,
    announced: &'a mut usize,
    warnings: Vec<Fault>,
}

impl<'a> Item<'a> {
    fn new(line: &'a str, parsed: &'a mut Parsed, announced: &'a mut usize) -> Item<'a> {
        Item {
            scanner: Scanner::new(line),
            parsed,
            announced,
            warnings: Vec::new(),
        }
    }

    fn read(&mut self, imports: &mut dyn Imports) -> Result<(), Fault> {
        if matches!(self.scanner.peek(), None | Some(';' | '#')) {
            return Ok(());
        }
        let start = self.scanner.position();
        match self.scanner.word() {
            // Names of types may be the same as these words.
            word @ ("typedef" | "function") if self.is_type(word) => {
                self.scanner.go_to(start);
                self.function()
            }
            "import" if self.scanner.peek() == Some('"') => self.import(imports),
            "typedef" => self.typedef(),
            "function" => self.function(),
            _ => {
                self.scanner.go_to(start);
                self.function()
            }
        }
    }

    /// A word that begins a line, and has been read, is the name of a type here.
    fn is_type(&mut self, word: &str) -> bool {
        let at = self.scanner.position();
        self.scanner.symbol();
        let follows = if word == "typedef" { '=' } else { '(' };
        let is_keyword = (self.scanner.peek() == Some(follows)) == (word == "typedef");
        self.scanner.go_to(at);
        !is_keyword && self.parsed.typedefs.contains_key(word)
    }

    fn import(&mut self, imports: &mut dyn Imports) -> Result<(), Fault> {
        let at = self.scanner.position();
        let name = self.scanner.quoted()?;
        let imported = imports
            .import(name)
            .map_err(|message| Fault { at, message })?;
        for (name, ty) in &imported.typedefs {
            let known = &mut self.parsed.typedefs;
            known.entry(name.clone()).or_insert_with(|| ty.clone());
        }
        for (name, function) in &imported.functions {
            let known = &mut self.parsed.functions;
            known
                .entry(name.clone())
                .or_insert_with(|| Arc::clone(function));
        }
        Ok(())
    }

    fn typedef(&mut self) -> Result<(), Fault> {
        let at = self.scanner.position();
        let name = self.scanner.word();
        if name.is_empty() {
            return Err(self.scanner.fault("expected a name".to_owned()));
        }
        if types::is_reserved(name) {
            let message = format!("'{name}' is a word of the language");
            return Err(Fault { at, message });
        }
        self.scanner.expect('=')?;
        if self.announces() {
            return self.announce(at, name);
        }
        let ty = self.whole_type()?;
        match self.parsed.typedefs.get(name) {
            None => {
                self.parsed.typedefs.insert(name.to_owned(), ty);
                Ok(())
            }
            Some(known) if tell(known, &ty) => Ok(()),
            Some(_) => {
                let message = format!("redefinition of typedef '{name}'");
                Err(Fault { at, message })
            }
        }
    }

    /// The rest of the line is `struct` without members.
    fn announces(&mut self) -> bool {
        let start = self.scanner.position();
        if self.scanner.word() == "struct" && self.scanner.peek() != Some('(') {
            return true;
        }
        self.scanner.go_to(start);
        false
    }

    fn announce(&mut self, at: usize, name: &str) -> Result<(), Fault> {
        let message = if self.parsed.typedefs.contains_key(name) {
            format!("redefinition of typedef '{name}'")
        } else if *self.announced == MAX_ANNOUNCED {
            format!("more than {MAX_ANNOUNCED} structures announced")
        } else {
            *self.announced += 1;
            let ty = Type::Struct(Arc::new(Struct::announced()));
            self.parsed.typedefs.insert(name.to_owned(), ty);
            return Ok(());
        };
        Err(Fault { at, message })
    }

    fn function(&mut self) -> Result<(), Fault> {
        let at = self.scanner.position();
        let result = self.whole_type()?.decayed();
        if !matches!(result.unshown(), Type::Void) {
            self.check_complete(at, &result)?;
        }
        let name = self.scanner.symbol();
        if name.is_empty() {
            let message = format!("expected a function, got {}", self.scanner.next_shown());
            return Err(self.scanner.fault(message));
        }
        self.scanner.expect('(')?;
        let params = self.params()?;
        let prototype = Prototype::new(name, result, params);
        let functions = &mut self.parsed.functions;
        functions.insert(name.to_owned(), Arc::new(prototype));
        Ok(())
    }

    /// Parameters up to and with the closing parenthesis.
    fn params(&mut self) -> Result<Vec<Param>, Fault> {
        let mut params = Vec::new();
        if self.scanner.eat(')') {
            return Ok(params);
        }
        loop {
            let marked = self.scanner.eat('+');
            let at = self.scanner.position();
            let mut ty = self.whole_type()?.decayed();
            if ty == Type::Void {
                if params.is_empty() && self.scanner.eat(')') {
                    return Ok(params);
                }
                let message = "void parameter assumed to be 'hide(int)'".to_owned();
                self.warnings.push(Fault { at, message });
                ty = Type::Integer(Integer::INT).shown(Lens::Hide);
            }
            self.check_complete(at, &ty)?;
            let name = self.parameter_name();
            let is_again = matches!(ty, Type::Shown(Lens::Again(_), _));
            let at_return = marked || is_again || ty.needs_result();
            params.push(Param {
                ty,
                name,
                at_return,
            });
            if self.scanner.eat(')') {
                return Ok(params);
            }
            self.scanner.expect(',')?;
        }
    }

    /// A type, checked against the limits on what one type may hold.
    fn whole_type(&mut self) -> Result<Type, Fault> {
        let at = self.scanner.position();
        let ty = self.ty(0)?;
        if types::is_moderate(&ty) {
            return Ok(ty);
        }
        let message = "the type is too large or too deep".to_owned();
        Err(Fault { at, message })
    }
}

/// Tells the members of a structure that was announced under this name.
fn tell(known: &Type, ty: &Type) -> bool {
    let (Type::Struct(known), Type::Struct(told)) = (known, ty) else {
        return false;
    };
    let Some(members) = told.members() else {
        return false;
    };
    let names = told.names().cloned().unwrap_or_default();
    known.is_announced() && known.tell(members.to_vec(), names, told.laid().cloned())
}

/// `string[EXPR]` ends at a NUL as well.
fn until_zero(length: Expr) -> Expr {
    match length {
        Expr::Zero(_) => length,
        length => Expr::Zero(Some(Box::new(length))),
    }
}
