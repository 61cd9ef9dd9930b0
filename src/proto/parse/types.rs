//! The grammar of types, lenses and expressions.

use super::super::scanner::Fault;
use super::super::types::{
    Condition, Expr, Format, Integer, Language, Lens, Name, Names, Real, Struct, Switch, Type,
    Varargs, Width,
};
use super::{Item, until_zero};
use std::sync::Arc;

/// How deep parentheses may nest, and how many `*` may follow one type.
const MAX_NESTING: usize = 24;
const MAX_STARS: usize = 8;
/// How deep a type may be, and how many types may be in it, with its typedefs spelt out.
const MAX_DEPTH: usize = 64;
const MAX_PARTS: usize = 4096;

/// C's `char` and `wchar_t`.
const CHAR: Integer = Integer::CHAR;
const WIDE: Integer = Integer::INT;

/// Words that no typedef may take: those that ltrace's own files may rely on.
const RESERVED: [&str; 24] = [
    "void", "char", "short", "ushort", "int", "uint", "long", "ulong", "float", "double", "addr",
    "file", "array", "struct", "string", "enum", "octal", "oct", "hex", "bool", "bitvec", "hide",
    "format", "itn",
];

/// The word has a meaning of its own that cannot be changed.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word) || string_number(word).is_some()
}

/// The type keeps within the limits, however its typedefs were piled up. What announced structures
/// point to is not counted: it may lead back here.
pub(in crate::proto) fn is_moderate(ty: &Type) -> bool {
    let mut parts = MAX_PARTS;
    weigh(ty, 0, &mut parts)
}

fn weigh(ty: &Type, depth: usize, parts: &mut usize) -> bool {
    if depth > MAX_DEPTH || *parts == 0 {
        return false;
    }
    *parts -= 1;
    match ty {
        Type::Void | Type::Integer(_) | Type::Character(_) | Type::Part(_) | Type::Real(_) => true,
        Type::Pointer(to) => match to.unshown() {
            Type::Struct(s) if s.is_announced() => true,
            _ => weigh(to, depth + 1, parts),
        },
        Type::Shown(Lens::Switch(switch), _) => {
            let mut types = switch.types();
            types.all(|ty| weigh(ty, depth + 1, parts))
        }
        Type::Array(ty, _) | Type::Shown(_, ty) => weigh(ty, depth + 1, parts),
        Type::Struct(s) => {
            let members = s.members().unwrap_or_default();
            members.iter().all(|ty| weigh(ty, depth + 1, parts))
        }
    }
}

impl Item<'_> {
    pub(super) fn ty(&mut self, depth: usize) -> Result<Type, Fault> {
        if depth > MAX_NESTING {
            return Err(self.scanner.fault("nested too deep".to_owned()));
        }
        let is_const = self.qualifiers();
        let mut ty = self.base(depth)?;
        self.qualifiers();
        let mut stars = 0;
        while self.scanner.eat('*') {
            self.qualifiers();
            // What is read only, and of characters, is text.
            if is_const && stars == 0 && matches!(ty, Type::Character(CHAR | WIDE)) {
                ty = Type::text(ty, Expr::Zero(None));
                stars = 1;
                continue;
            }
            stars += 1;
            if stars > MAX_STARS {
                return Err(self.scanner.fault("too many '*'".to_owned()));
            }
            ty = ty.pointer();
        }
        Ok(ty)
    }

    /// A type up to its stars. The typedefs of a file come before words that ltrace does not know.
    fn base(&mut self, depth: usize) -> Result<Type, Fault> {
        let at = self.scanner.position();
        let word = self.scanner.word();
        if word.is_empty() {
            let message = format!("expected a type, got {}", self.scanner.next_shown());
            return Err(Fault { at, message });
        }
        if !is_reserved(word)
            && let Some(ty) = self.parsed.typedefs.get(word)
        {
            return Ok(ty.clone());
        }
        let is_call = self.scanner.peek() == Some('(');
        if let Some(ty) = (!is_call).then(|| self.c_type(word)).flatten() {
            return Ok(ty);
        }
        if word == "format" && is_call {
            return self.format_of(depth);
        }
        if let Some(ty) = plain(word) {
            return Ok(ty);
        }
        match word {
            "char" => self.character(depth),
            "array" => self.array(depth),
            "struct" => self.structure(depth, Struct::named),
            "packed" if is_call => self.structure(depth, Struct::packed),
            "string" => self.string(depth),
            "enum" => self.names(depth, Lens::Enum),
            "flags" => self.names(depth, Lens::Flags),
            "set" if is_call => self.lens(depth, at, word),
            "set" => self.names(depth, Lens::Set),
            "switch" => self.switch(depth),
            "total" => self.measured(depth, Lens::Total),
            "filled" => self.measured(depth, Lens::Filled),
            "again" => self.again(depth),
            "list" if is_call => self.list(depth),
            "if" => self.conditional(depth),
            _ => self.lens(depth, at, word),
        }
    }

    fn character(&mut self, depth: usize) -> Result<Type, Fault> {
        if !self.scanner.eat('(') {
            return Ok(Type::Character(Integer::CHAR));
        }
        let at = self.scanner.position();
        let ty = self.ty(depth + 1)?;
        self.scanner.expect(')')?;
        match ty.unshown() {
            Type::Integer(integer) | Type::Character(integer) => Ok(Type::Character(*integer)),
            _ => {
                let message = "a character must be an integer".to_owned();
                Err(Fault { at, message })
            }
        }
    }

    /// `format(T)`: what its text is like.
    fn format_of(&mut self, depth: usize) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let at = self.scanner.position();
        let text = self.ty(depth + 1)?;
        self.scanner.expect(')')?;
        if text.is_text() {
            return Ok(formatted(text, Language::Printf, Varargs::Passed));
        }
        let message = "a format must be text".to_owned();
        Err(Fault { at, message })
    }

    fn array(&mut self, depth: usize) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let at = self.scanner.position();
        let element = self.ty(depth + 1)?;
        self.check_complete(at, &element)?;
        self.scanner.expect(',')?;
        let length = self.expr()?;
        self.scanner.expect(')')?;
        Ok(Type::Array(Arc::new(element), length))
    }

    fn structure(
        &mut self,
        depth: usize,
        made: fn(Vec<Type>, Names) -> Struct,
    ) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let mut members = Vec::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        while !self.scanner.eat(')') {
            if !members.is_empty() {
                self.scanner.expect(',')?;
            }
            let at = self.scanner.position();
            let member = self.ty(depth + 1)?;
            self.check_complete(at, &member)?;
            members.push(member);
            names.push(self.parameter_name().unwrap_or_default());
        }
        if names.iter().all(|name| name.is_empty()) {
            names.clear();
        }
        Ok(Type::Struct(Arc::new(made(members, names.into()))))
    }

    /// `switch(EXPR, VALUE|VALUE: TYPE, …, TYPE)`
    fn switch(&mut self, depth: usize) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let subject = self.expr()?;
        let mut switch = Switch {
            subject,
            cases: Vec::new(),
            other: None,
        };
        while switch.other.is_none() && self.scanner.eat(',') {
            let at = self.scanner.position();
            let values = self.case_values()?;
            let ty = self.word_type(depth + 1, at)?;
            match values.is_empty() {
                true => switch.other = Some(ty),
                false => switch.cases.push((values, ty)),
            }
        }
        self.scanner.expect(')')?;
        let is_int = |ty: &Type| matches!(ty.unshown(), Type::Integer(i) | Type::Character(i) if i.width == Width::W32);
        let base = match switch.types().all(is_int) {
            true => Integer::INT,
            false => Integer::LONG,
        };
        Ok(Type::Integer(base).shown(Lens::Switch(Arc::new(switch))))
    }

    /// The numbers before a colon, if there are any.
    fn case_values(&mut self) -> Result<Vec<u64>, Fault> {
        let mut values = Vec::new();
        let is_number = |c: char| c.is_ascii_digit() || c == '-';
        if !self.scanner.peek().is_some_and(is_number) {
            return Ok(values);
        }
        loop {
            values.push(self.scanner.number()?);
            if !self.scanner.eat('|') {
                self.scanner.expect(':')?;
                return Ok(values);
            }
        }
    }

    /// A type that a general register holds.
    fn word_type(&mut self, depth: usize, at: usize) -> Result<Type, Fault> {
        let ty = self.ty(depth)?.decayed();
        match ty.unshown() {
            Type::Integer(_) | Type::Character(_) | Type::Pointer(_) => Ok(ty),
            _ => {
                let message = "it must be an integer or a pointer".to_owned();
                Err(Fault { at, message })
            }
        }
    }

    /// `again(argN, TYPE)`
    fn again(&mut self, depth: usize) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let argument = self.argument()?;
        self.scanner.expect(',')?;
        let at = self.scanner.position();
        let ty = self.word_type(depth + 1, at)?;
        self.scanner.expect(')')?;
        Ok(ty.shown(Lens::Again(argument)))
    }

    /// `list(TYPE)`
    fn list(&mut self, depth: usize) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let at = self.scanner.position();
        let ty = self.word_type(depth + 1, at)?;
        self.scanner.expect(')')?;
        Ok(formatted(ty, Language::List, Varargs::Passed))
    }

    /// `argN`
    fn argument(&mut self) -> Result<usize, Fault> {
        let at = self.scanner.position();
        match self.expr()? {
            Expr::Argument(argument) => Ok(argument),
            _ => {
                let message = "only an argument can tell: argN".to_owned();
                Err(Fault { at, message })
            }
        }
    }

    /// `total(EXPR, TYPE)`, `filled(EXPR, TYPE)`
    fn measured(&mut self, depth: usize, lens: fn(Expr) -> Lens) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let length = self.expr()?;
        self.scanner.expect(',')?;
        let ty = self.ty(depth + 1)?;
        self.scanner.expect(')')?;
        Ok(ty.shown(lens(length)))
    }

    fn string(&mut self, depth: usize) -> Result<Type, Fault> {
        if self.scanner.eat('[') {
            let length = self.expr()?;
            self.scanner.expect(']')?;
            let element = Type::Character(Integer::CHAR);
            return Ok(Type::text(element, until_zero(length)));
        }
        if !self.scanner.eat('(') {
            return Ok(Type::string());
        }
        let ty = self.ty(depth + 1)?;
        self.scanner.expect(')')?;
        Ok(as_text(ty))
    }

    /// `enum(…)`, `flags(…)`, with the base type in brackets before.
    fn names(&mut self, depth: usize, lens: fn(Arc<[Name]>) -> Lens) -> Result<Type, Fault> {
        let mut ty = Type::Integer(Integer::INT);
        if self.scanner.eat('[') {
            ty = self.ty(depth + 1)?;
            self.scanner.expect(']')?;
        }
        self.scanner.expect('(')?;
        let mut names: Vec<Name> = Vec::new();
        let mut value = 0_u64;
        while !self.scanner.eat(')') {
            if !names.is_empty() {
                self.scanner.expect(',')?;
            }
            let name = self.scanner.word();
            if name.is_empty() {
                let message = format!("expected a name, got {}", self.scanner.next_shown());
                return Err(self.scanner.fault(message));
            }
            if self.scanner.eat('=') {
                value = self.scanner.number()?;
            }
            let mut mask = value;
            if self.scanner.eat('/') {
                mask = self.scanner.number()?;
            }
            let name = name.into();
            names.push(Name { name, value, mask });
            value = value.wrapping_add(1);
        }
        let names: Arc<[Name]> = names.into();
        Ok(match (lens(names.clone()), &ty) {
            (Lens::Flags(_), Type::Shown(Lens::Octal, _)) => ty.shown(Lens::OctalFlags(names)),
            (lens, _) => ty.shown(lens),
        })
    }

    /// `if(argN & MASK, TYPE)`
    fn conditional(&mut self, depth: usize) -> Result<Type, Fault> {
        self.scanner.expect('(')?;
        let argument = self.argument()?;
        self.scanner.expect('&')?;
        let mask = self.scanner.number()?;
        self.scanner.expect(',')?;
        let ty = self.ty(depth + 1)?;
        self.scanner.expect(')')?;
        Ok(ty.shown(Lens::If(Condition { argument, mask })))
    }

    /// Lenses that stand before a type in parentheses, or alone.
    fn lens(&mut self, depth: usize, at: usize, word: &str) -> Result<Type, Fault> {
        let (lens, alone) = match word {
            "oct" | "octal" => (Lens::Octal, Type::Integer(Integer::UINT)),
            "hex" => (Lens::Hex, Type::Integer(Integer::UINT)),
            "bool" => (Lens::Bool, Type::Integer(Integer::unsigned(Width::W8))),
            "bitvec" => (Lens::Bits, Type::Integer(Integer::UINT)),
            "errno" => (Lens::Errno, Type::Integer(Integer::INT)),
            "error" => (Lens::Error, Type::Integer(Integer::INT)),
            "hide" => (Lens::Hide, Type::Integer(Integer::INT)),
            "endpoint" => (Lens::Endpoint, Type::Integer(Integer::unsigned(Width::W16))),
            "guess" => (Lens::Guess, Type::Integer(Integer::LONG)),
            "ascii" => (Lens::Ascii, Type::Integer(Integer::INT)),
            "wait_status" => (Lens::WaitStatus, Type::Integer(Integer::INT)),
            "set" => (Lens::Set(Arc::default()), Type::Integer(Integer::ULONG)),
            "lp64" => (Lens::Lp64(None), Type::addr()),
            "control" => (Lens::Control, Type::addr()),
            "contents" => (Lens::Contents, Type::Void),
            "thread" => (Lens::Thread, Type::Integer(Integer::ULONG)),
            "locale" => (Lens::Locale, Type::addr()),
            "jump" => (Lens::Jump, Type::addr()),
            "type_name" => (Lens::TypeName, Type::string()),
            _ => {
                let message = format!("unknown type '{word}'");
                return Err(Fault { at, message });
            }
        };
        if !self.scanner.eat('(') {
            return Ok(alone.shown(lens));
        }
        let ty = self.ty(depth + 1)?;
        let lens = match lens {
            Lens::Lp64(_) if self.scanner.eat(',') => {
                Lens::Lp64(Some(Arc::new(self.ty(depth + 1)?)))
            }
            lens => lens,
        };
        self.scanner.expect(')')?;
        Ok(ty.shown(lens))
    }

    fn expr(&mut self) -> Result<Expr, Fault> {
        let at = self.scanner.position();
        let word = self.scanner.word();
        if word == "zero" {
            if !self.scanner.eat('(') {
                return Ok(Expr::Zero(None));
            }
            let limit = self.expr_no_zero()?;
            self.scanner.expect(')')?;
            return Ok(Expr::Zero(Some(Box::new(limit))));
        }
        self.scanner.go_to(at);
        self.expr_no_zero()
    }

    fn expr_no_zero(&mut self) -> Result<Expr, Fault> {
        let at = self.scanner.position();
        let word = self.scanner.word();
        let index = |digits: &str| digits.parse::<usize>().ok();
        match (word.strip_prefix("arg"), word.strip_prefix("elt")) {
            _ if word == "retval" => Ok(Expr::Result),
            (Some(digits), _) if index(digits) == Some(0) => Ok(Expr::Result),
            (Some(digits), _) if index(digits).is_some() => {
                Ok(Expr::Argument(index(digits).unwrap_or_default()))
            }
            (_, Some(digits)) if index(digits).is_some_and(|n| n > 0) => {
                Ok(Expr::Member(index(digits).unwrap_or_default()))
            }
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                self.scanner.go_to(at);
                Ok(Expr::Number(self.scanner.number()?))
            }
            _ => {
                let message = "expected a length: a number, argN, eltN, retval or zero".to_owned();
                Err(Fault { at, message })
            }
        }
    }

    /// Only what has a size can be passed or stand in something else.
    pub(super) fn check_complete(&mut self, at: usize, ty: &Type) -> Result<(), Fault> {
        if ty.is_complete() {
            return Ok(());
        }
        let message = match ty.unshown() {
            Type::Void => "void has no value",
            _ => "this structure's members have not been told yet",
        };
        Err(Fault {
            at,
            message: message.to_owned(),
        })
    }
}

/// Types that are one word.
fn plain(word: &str) -> Option<Type> {
    if let Some(length) = string_number(word) {
        let element = Type::Character(Integer::CHAR);
        return Some(Type::text(element, until_zero(length)));
    }
    if let Some(format) = format(word) {
        return Some(format);
    }
    let integer = |integer| Some(Type::Integer(integer));
    let signed = |width| integer(Integer::signed(width));
    let unsigned = |width| integer(Integer::unsigned(width));
    match word {
        "void" => Some(Type::Void),
        "short" | "int16" => signed(Width::W16),
        "ushort" | "uint16" => unsigned(Width::W16),
        "int" | "itn" | "int32" => signed(Width::W32),
        "uint" | "uint32" => unsigned(Width::W32),
        "long" => signed(Width::Long),
        "ulong" => unsigned(Width::Long),
        "llong" | "int64" => signed(Width::W64),
        "ullong" | "uint64" => unsigned(Width::W64),
        "int128" => Some(Type::wide(true)),
        "uint128" => Some(Type::wide(false)),
        "int8" => signed(Width::W8),
        "uint8" => unsigned(Width::W8),
        "schar" => Some(Type::Character(Integer::CHAR)),
        "uchar" => Some(Type::Character(Integer::unsigned(Width::W8))),
        "wchar" => Some(Type::Character(Integer::INT)),
        "float" => Some(Type::Real(Real::Single)),
        "double" => Some(Type::Real(Real::Double)),
        "ldouble" => Some(Type::Real(Real::Extended)),
        "addr" | "file" => Some(Type::addr()),
        _ => None,
    }
}

/// `string0` and `stringN`.
fn string_number(word: &str) -> Option<Expr> {
    let digits = word.strip_prefix("string")?;
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match digits.parse().ok()? {
        0 => Some(Expr::Result),
        n => Some(Expr::Argument(n)),
    }
}

/// `format`, `scan_format`, with `v` and `w` before.
fn format(word: &str) -> Option<Type> {
    let (arguments, word) = match word.strip_prefix('v') {
        Some(word) => (Varargs::List, word),
        None => (Varargs::Passed, word),
    };
    let (text, word) = match word.strip_prefix('w') {
        Some(word) => {
            let element = Type::Character(Integer::INT);
            (Type::text(element, Expr::Zero(None)), word)
        }
        None => (Type::string(), word),
    };
    let language = match word {
        "format" => Language::Printf,
        "scan_format" => Language::Scanf,
        _ => return None,
    };
    Some(formatted(text, language, arguments))
}

fn formatted(text: Type, language: Language, arguments: Varargs) -> Type {
    text.shown(Lens::Format(Format {
        language,
        arguments,
    }))
}

/// `string(T)`: a pointer to an element means as many as there are up to a zero, and so does the word for a wide
/// character; an integer is a character by itself.
fn as_text(ty: Type) -> Type {
    if let Type::Integer(integer) | Type::Character(integer @ CHAR) = ty.unshown() {
        return Type::Character(*integer);
    }
    let element = match ty.unshown() {
        Type::Pointer(to) => to.unshown(),
        ty => ty,
    };
    match element {
        Type::Integer(_) | Type::Character(_) => Type::text(element.clone(), Expr::Zero(None)),
        _ => ty.shown(Lens::Text),
    }
}
