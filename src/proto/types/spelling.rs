//! Types as text: the language itself, in one canonical spelling.

use super::{
    Condition, Expr, Format, Integer, Language, Lens, Name, Real, Struct, Switch, Type, Varargs,
    Width,
};
use std::fmt;

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Void => f.write_str("void"),
            Type::Integer(integer) => write!(f, "{integer}"),
            Type::Character(Integer::CHAR) => f.write_str("char"),
            Type::Character(integer) => write!(f, "char({integer})"),
            Type::Part(part) => write!(
                f,
                "{}:{}",
                if part.signed { "int" } else { "uint" },
                part.bits
            ),
            Type::Real(Real::Single) => f.write_str("float"),
            Type::Real(Real::Double) => f.write_str("double"),
            Type::Real(Real::Extended) => f.write_str("ldouble"),
            Type::Pointer(ty) => write!(f, "{ty}*"),
            Type::Array(ty, length) => write!(f, "array({ty}, {length})"),
            Type::Struct(s) => write_struct(f, s),
            Type::Shown(Lens::Format(format), ty) => write_format(f, *format, ty),
            Type::Shown(Lens::Enum(names), ty) => write_names(f, "enum", ty, names),
            Type::Shown(Lens::Flags(names), ty) => write_names(f, "flags", ty, names),
            Type::Shown(Lens::OctalFlags(names), ty) => {
                let ty = Type::clone(ty).shown(Lens::Octal);
                write_names(f, "flags", &ty, names)
            }
            Type::Shown(Lens::Set(names), ty) if names.is_empty() => write!(f, "set({ty})"),
            Type::Shown(Lens::Set(names), ty) => write_names(f, "set", ty, names),
            Type::Shown(Lens::Again(argument), ty) => write!(f, "again(arg{argument}, {ty})"),
            Type::Shown(Lens::Lp64(Some(other)), ty) => write!(f, "lp64({ty}, {other})"),
            Type::Shown(Lens::Total(total), ty) => write!(f, "total({total}, {ty})"),
            Type::Shown(Lens::Filled(bytes), ty) => write!(f, "filled({bytes}, {ty})"),
            Type::Shown(Lens::Wide { signed: true }, _) => f.write_str("int128"),
            Type::Shown(Lens::Wide { signed: false }, _) => f.write_str("uint128"),
            Type::Shown(Lens::Switch(switch), _) => write_switch(f, switch),
            Type::Shown(Lens::If(Condition { argument, mask }), ty) => {
                write!(f, "if(arg{argument} & {mask:#x}, {ty})")
            }
            Type::Shown(lens, ty) => write!(f, "{}({ty})", lens_word(lens)),
        }
    }
}

fn lens_word(lens: &Lens) -> &'static str {
    match lens {
        Lens::Octal => "octal",
        Lens::Hex => "hex",
        Lens::Bool => "bool",
        Lens::Hide => "hide",
        Lens::Unknown => "unknown",
        Lens::Guess => "guess",
        Lens::Bits => "bitvec",
        Lens::Text => "string",
        Lens::Ticks(_) => "ticks",
        Lens::Thread => "thread",
        Lens::Locale => "locale",
        Lens::Jump => "jump",
        Lens::Endpoint => "endpoint",
        Lens::Enum(_) => "enum",
        Lens::Flags(_) | Lens::OctalFlags(_) => "flags",
        Lens::Set(_) => "set",
        Lens::WaitStatus => "wait_status",
        Lens::Ascii => "ascii",
        Lens::Lp64(_) => "lp64",
        Lens::TypeName => "type_name",
        Lens::Total(_) => "total",
        Lens::Filled(_) => "filled",
        Lens::Control => "control",
        Lens::Wide { .. } => "int128",
        Lens::Again(_) => "again",
        Lens::Switch(_) => "switch",
        Lens::Format(_) => "format",
        Lens::If(_) => "if",
        Lens::Contents => "contents",
        Lens::When(_) => "when",
        Lens::Nodes(_) => "nodes",
        Lens::Blocks(_) => "blocks",
        Lens::OneMore => "one_more",
        Lens::Duration => "duration",
        Lens::Errno => "errno",
        Lens::Error => "error",
    }
}

fn write_struct(f: &mut fmt::Formatter<'_>, s: &Struct) -> fmt::Result {
    let (Some(members), false) = (s.members(), s.is_announced()) else {
        return f.write_str("struct");
    };
    f.write_str("struct(")?;
    let mut names = s.names().into_iter().flat_map(|names| names.iter());
    for (i, member) in members.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(f, "{comma}{member}")?;
        if let Some(name) = names.next().filter(|name| !name.is_empty()) {
            write!(f, " {name}")?;
        }
    }
    f.write_str(")")
}

fn write_switch(f: &mut fmt::Formatter<'_>, switch: &Switch) -> fmt::Result {
    write!(f, "switch({}", switch.subject)?;
    for (values, ty) in &switch.cases {
        for (i, value) in values.iter().enumerate() {
            let mark = if i == 0 { ", " } else { "|" };
            write!(f, "{mark}{}", *value as i64)?;
        }
        write!(f, ": {ty}")?;
    }
    if let Some(other) = &switch.other {
        write!(f, ", {other}")?;
    }
    f.write_str(")")
}

fn write_format(f: &mut fmt::Formatter<'_>, format: Format, text: &Type) -> fmt::Result {
    if format.language == Language::List {
        return write!(f, "list({text})");
    }
    if format.arguments == Varargs::List {
        f.write_str("v")?;
    }
    if *text != Type::string() {
        f.write_str("w")?;
    }
    f.write_str(match format.language {
        Language::Printf => "format",
        Language::Scanf => "scan_format",
        Language::List => "list",
    })
}

fn write_names(f: &mut fmt::Formatter<'_>, word: &str, ty: &Type, names: &[Name]) -> fmt::Result {
    write!(f, "{word}[{ty}](")?;
    for (i, Name { name, value, mask }) in names.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(f, "{comma}{name}={}", *value as i64)?;
        if word == "flags" && mask != value {
            write!(f, "/{mask:#x}")?;
        }
    }
    f.write_str(")")
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.width, self.signed) {
            (Width::W8, true) => "int8",
            (Width::W8, false) => "uint8",
            (Width::W16, true) => "short",
            (Width::W16, false) => "ushort",
            (Width::W32, true) => "int",
            (Width::W32, false) => "uint",
            (Width::W64, true) => "int64",
            (Width::W64, false) => "uint64",
            (Width::Long, true) => "long",
            (Width::Long, false) => "ulong",
        })
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(n) => write!(f, "{n}"),
            Expr::Argument(n) => write!(f, "arg{n}"),
            Expr::Result => f.write_str("retval"),
            Expr::Member(n) => write!(f, "elt{n}"),
            Expr::MemberOutside(n) => write!(f, "elt{n} outside"),
            Expr::UpTo(n) => write!(f, "up to elt{n}"),
            Expr::Zero(None) => f.write_str("zero"),
            Expr::Zero(Some(limit)) => write!(f, "zero({limit})"),
        }
    }
}
