//! Types, lenses and length expressions of the prototype language.

mod held;
mod spelling;
mod structure;
mod wide;

use std::sync::Arc;

pub use held::{Blocks, First, Nodes, When};
pub use structure::{Laid, Names, Passing, Struct};

/// How many bytes of a structure or array are shown as bits.
pub const MAX_BIT_BYTES: u64 = 256;

/// How a value is laid out, and how it is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Nothing, as a result or behind a pointer.
    Void,
    /// A number.
    Integer(Integer),
    /// A number that is shown as a character.
    Character(Integer),
    /// Some bits of a number: a bit-field.
    Part(Part),
    /// A floating-point number.
    Real(Real),
    /// The address of something.
    Pointer(Arc<Type>),
    /// So many of one type, side by side.
    Array(Arc<Type>, Expr),
    /// Members in the order of their offsets.
    Struct(Arc<Struct>),
    /// A type seen through a lens. On another `Shown` only where the two go together: a format and its
    /// text, a condition and what depends on it, errno and what fails.
    Shown(Lens, Arc<Type>),
}

/// Size and signedness of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// How wide.
    pub width: Width,
    /// Negative numbers are among its values.
    pub signed: bool,
}

/// How wide an integer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    W8,
    /// 16 bits.
    W16,
    /// 32 bits.
    W32,
    /// 64 bits.
    W64,
    /// As wide as a pointer, by the ABI: C's `long`.
    Long,
}

/// Where a bit-field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// So many bytes hold it, at most 8.
    pub bytes: u8,
    /// The number of its lowest bit in them.
    pub from: u8,
    /// So many bits it has, at least one.
    pub bits: u8,
    /// Negative numbers are among its values.
    pub signed: bool,
}

/// The floating-point formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Real {
    /// C's `float`.
    Single,
    /// C's `double`.
    Double,
    /// C's `long double`: the 80 bits of the x87.
    Extended,
}

/// How a type is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Lens {
    /// `010`
    Octal,
    /// `0xff`
    Hex,
    /// `true`
    Bool,
    /// Not at all.
    Hide,
    /// `?`: the function may be called without it.
    Unknown,
    /// As an unknown register.
    Guess,
    /// `<3-5,7>`
    Bits,
    /// `"text"`
    Text,
    /// A time in units of so many nanoseconds.
    Ticks(u64),
    /// A thread that a library calls by its thread pointer.
    Thread,
    /// A locale of the C library.
    Locale,
    /// What setjmp fills.
    Jump,
    /// `{ AF_INET, 127.0.0.1:80 }`: a structure that begins with a socket's family.
    Endpoint,
    /// `[ { SOL_SOCKET, SCM_RIGHTS, [ 3 ] } ]`: bytes that are control messages of a socket.
    Control,
    /// `NAME`
    Enum(Arc<[Name]>),
    /// `NAME|NAME`
    Flags(Arc<[Name]>),
    /// `NAME|0644`: what has no name in octal.
    OctalFlags(Arc<[Name]>),
    /// `[ NAME, NAME ]`: names of the bits that are set, by their numbers.
    Set(Arc<[Name]>),
    /// `WIFEXITED(s) && WEXITSTATUS(s) == 1`
    WaitStatus,
    /// `'a'`; what no plain character stands for as a number.
    Ascii,
    /// In programs of 32 bits, where things lie in another way, this type; without one, an address.
    Lp64(Option<Arc<Type>>),
    /// All texts in it have together so many elements at most.
    Total(Expr),
    /// Of what is behind a pointer, so many bytes count: a structure ends there.
    Filled(Expr),
    /// What this argument, counted from 1, holds when the call returns. Nothing more is passed.
    Again(usize),
    /// One of several types of a word, as another value says.
    Switch(Arc<Switch>),
    /// Text that tells of further arguments.
    Format(Format),
    /// Of text, the name of a type as C++ mangles it: as its source writes it.
    TypeName,
    /// Only if another argument says so.
    If(Condition),
    /// Of a structure, what is not hidden: one member, without braces.
    Contents,
    /// Of a member, only if another member says so.
    When(Arc<When>),
    /// Of a pointer to an array, elements that are in nodes of their own.
    Nodes(Nodes),
    /// Of a pointer to an array, elements that are in blocks: it points to a table of those.
    Blocks(Blocks),
    /// A number that is one more than what is stored.
    OneMore,
    /// Of a structure of seconds and nanoseconds, how long that is: `1.5s`.
    Duration,
    /// Of two words, the number of 16 bytes that they are; negative numbers may be among its values.
    Wide {
        /// They are.
        signed: bool,
    },
    /// A failure with what errno says of it.
    Errno,
    /// An error's own number: its name.
    Error,
}

/// The values of a result that tell of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// All bits are set.
    MinusOne,
    /// All bits are set, or none.
    NullOrMinusOne,
    /// No bit is set.
    Null,
}

/// Whether a value is there at all: C passes optional arguments without a word about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The argument that tells, counted from 1.
    pub argument: usize,
    /// One of these bits must be set in it.
    pub mask: u64,
}

/// Types of a word, of which another value tells the one that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// The value: an argument, the result, or a member of the structure around.
    pub subject: Expr,
    /// The types, and the values for which they count. Of these only the low 32 bits.
    pub cases: Vec<(Vec<u64>, Type)>,
    /// The type for all other values; without one, nothing is shown.
    pub other: Option<Type>,
}

impl Switch {
    /// All types that it may be.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        let cases = self.cases.iter().map(|(_, ty)| ty);
        cases.chain(&self.other)
    }

    /// That for this value.
    pub fn ty(&self, value: i64) -> Option<&Type> {
        let is_it = |(values, _): &&(Vec<u64>, Type)| {
            values.iter().any(|known| *known as u32 == value as u32)
        };
        let found = self.cases.iter().find(is_it).map(|(_, ty)| ty);
        found.or(self.other.as_ref())
    }
}

/// A named number: of those bits that are in `mask`, the ones in `value` are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: Arc<str>,
    /// Its number, in two's complement.
    pub value: u64,
    /// The bits that decide.
    pub mask: u64,
}

/// What kind of format a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The language of its conversions.
    pub language: Language,
    /// Where the arguments are that it tells of.
    pub arguments: Varargs,
}

/// How the arguments that are passed beside the named ones are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// printf(3)
    Printf,
    /// scanf(3)
    Scanf,
    /// Not by a text: there are as many as there are before a null pointer, and the type is that of each.
    List,
}

/// Where a format's arguments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varargs {
    /// After the named parameters.
    Passed,
    /// In the `va_list` that is the next parameter.
    List,
}

/// How many elements something has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// So many.
    Number(u64),
    /// As many as this argument says, counted from 1.
    Argument(usize),
    /// As many as the result says.
    Result,
    /// As many as this member of the structure around says, counted from 1.
    Member(usize),
    /// As many as this member of the structure around that one says, counted from 1.
    MemberOutside(usize),
    /// As many as fit before the address that this member of the structure around holds, counted from 1.
    UpTo(usize),
    /// Up to an element that is zero, if none of these others ends it before.
    Zero(Option<Box<Expr>>),
}

impl Integer {
    /// C's `int`.
    pub const INT: Integer = Integer::signed(Width::W32);
    /// C's `unsigned int`.
    pub const UINT: Integer = Integer::unsigned(Width::W32);
    /// C's `long`.
    pub const LONG: Integer = Integer::signed(Width::Long);
    /// C's `unsigned long`.
    pub const ULONG: Integer = Integer::unsigned(Width::Long);
    /// C's `char` on x86.
    pub const CHAR: Integer = Integer::signed(Width::W8);

    /// A signed integer.
    pub const fn signed(width: Width) -> Integer {
        Integer {
            width,
            signed: true,
        }
    }

    /// An unsigned integer.
    pub const fn unsigned(width: Width) -> Integer {
        Integer {
            width,
            signed: false,
        }
    }
}

impl Lens {
    /// It says something beside how the type is shown, and goes around the lens that does.
    pub fn goes_around(&self) -> bool {
        matches!(
            self,
            Lens::Format(_)
                | Lens::If(_)
                | Lens::Errno
                | Lens::Lp64(_)
                | Lens::Total(_)
                | Lens::Filled(_)
                | Lens::Again(_)
                | Lens::TypeName
                | Lens::When(_)
        )
    }
}

impl Type {
    /// A pointer to this type.
    pub fn pointer(self) -> Type {
        Type::Pointer(Arc::new(self))
    }

    /// `void*`: an address behind which nothing is shown.
    pub fn addr() -> Type {
        Type::Void.pointer()
    }

    /// This type seen through a lens, which takes the place of one that it already has.
    pub fn shown(self, lens: Lens) -> Type {
        match (lens, self) {
            (lens, ty) if lens.goes_around() => Type::Shown(lens, Arc::new(ty)),
            (lens, Type::Shown(_, ty)) => Type::clone(&ty).shown(lens),
            (lens, ty) => Type::Shown(lens, Arc::new(ty)),
        }
    }

    /// Text of such elements, behind a pointer.
    pub fn text(element: Type, length: Expr) -> Type {
        Type::Array(Arc::new(element), length)
            .pointer()
            .shown(Lens::Text)
    }

    /// Text of bytes up to a NUL, behind a pointer: C's `char *` as programs mean it.
    pub fn string() -> Type {
        Type::text(Type::Character(Integer::CHAR), Expr::Zero(None))
    }

    /// By which of its values a result tells of a failure that errno explains. -1 is not all that a pointer has,
    /// unless names tell what else there is: `SIG_DFL` is a null pointer.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Type::Shown(Lens::Errno, ty) => ty.failing_value(),
            _ => None,
        }
    }

    fn failing_value(&self) -> Option<Failure> {
        match self {
            Type::Shown(Lens::Enum(_), ty) if matches!(**ty, Type::Pointer(_)) => {
                Some(Failure::MinusOne)
            }
            // What -1 stands for is a locale.
            Type::Shown(Lens::Locale, _) => Some(Failure::Null),
            Type::Shown(_, ty) => ty.failing_value(),
            Type::Integer(_) | Type::Character(_) => Some(Failure::MinusOne),
            Type::Pointer(_) => Some(Failure::NullOrMinusOne),
            _ => None,
        }
    }

    /// The type without its lenses.
    pub fn unshown(&self) -> &Type {
        match self {
            Type::Shown(_, ty) => ty.unshown(),
            ty => ty,
        }
    }

    /// It is a pointer to text.
    pub fn is_text(&self) -> bool {
        let Type::Shown(Lens::Text, ty) = self else {
            return false;
        };
        match &**ty {
            Type::Pointer(to) => matches!(&**to, Type::Array(element, _)
                if matches!(element.unshown(), Type::Integer(_) | Type::Character(_))),
            _ => false,
        }
    }

    /// Nothing of it is shown.
    pub fn is_hidden(&self) -> bool {
        matches!(self, Type::Shown(Lens::Hide, _))
    }

    /// The kind of format it is, if it is one.
    pub fn format(&self) -> Option<Format> {
        match self {
            Type::Shown(Lens::Format(format), _) => Some(*format),
            _ => None,
        }
    }

    /// It has a size: it is neither `void` nor a structure of which only the name is known.
    pub fn is_complete(&self) -> bool {
        match self {
            Type::Void => false,
            Type::Struct(s) => s.members().is_some(),
            Type::Array(ty, _) | Type::Shown(_, ty) => ty.is_complete(),
            Type::Integer(_)
            | Type::Character(_)
            | Type::Part(_)
            | Type::Real(_)
            | Type::Pointer(_) => true,
        }
    }

    /// What the type becomes as a parameter or result: C passes an array as a pointer to it.
    pub fn decayed(self) -> Type {
        match self {
            Type::Array(..) => self.pointer(),
            Type::Shown(lens, ty) => Type::Shown(lens, Arc::new(Type::clone(&ty).decayed())),
            ty => ty,
        }
    }

    /// Showing it takes the call's result: some length in it is `retval`.
    pub fn needs_result(&self) -> bool {
        self.has_length(|length| *length == Expr::Result)
    }

    /// Showing it takes the call's arguments: some length in it is `argN`.
    pub fn needs_arguments(&self) -> bool {
        self.has_length(|length| matches!(length, Expr::Argument(_)))
    }

    fn has_length(&self, is_such: fn(&Expr) -> bool) -> bool {
        match self {
            Type::Array(ty, Expr::Zero(Some(limit))) => is_such(limit) || ty.has_length(is_such),
            Type::Array(ty, length) => is_such(length) || ty.has_length(is_such),
            Type::Shown(Lens::Switch(switch), _) => {
                let mut types = switch.types();
                is_such(&switch.subject) || types.any(|ty| ty.has_length(is_such))
            }
            Type::Shown(Lens::Total(length) | Lens::Filled(length), ty) => {
                is_such(length) || ty.has_length(is_such)
            }
            Type::Pointer(ty) | Type::Shown(_, ty) => ty.has_length(is_such),
            _ => false,
        }
    }
}

/// How numbers of an enumeration are shown, by its names.
pub fn named_numbers(names: Vec<Name>) -> Lens {
    match are_flags(&names) {
        true => Lens::Flags(names.into()),
        false => Lens::Enum(names.into()),
    }
}

/// Whether an enumeration's names are bits to be set together.
fn are_flags(names: &[Name]) -> bool {
    let mut all = 0_u64;
    let mut bits = 0;
    for name in names.iter().filter(|name| name.value != 0) {
        if !name.value.is_power_of_two() || all & name.value != 0 {
            return false;
        }
        all |= name.value;
        bits += 1;
    }
    bits >= 3
}
