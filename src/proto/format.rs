//! What a printf format's conversions take (printf(3)).

use super::types::{Expr, Integer, Lens, Real, Type, Width};

/// More arguments than are printed at once.
const MAX_ARGUMENTS: usize = 64;

/// The types of the arguments that a format takes, in the order in which they are passed. The first
/// of them is the call's argument number `first`: a length given by `*` names another argument.
pub fn arguments(format: &[u8], first: usize) -> Vec<Type> {
    let mut taken = Taken {
        first,
        next: 0,
        types: Vec::new(),
    };
    let mut rest = Rest(format);
    while rest.skip_past(b'%') {
        if taken.conversion(&mut rest).is_none() {
            // What an unknown conversion takes is unknown, and so is all behind it.
            break;
        }
    }
    // A position that no conversion names must still be stepped over: it is an int to the callee.
    let gap = || Type::Integer(Integer::INT);
    let types = taken.types.into_iter();
    types.map(|ty| ty.unwrap_or_else(gap)).collect()
}

/// What is left of a format.
pub(super) struct Rest<'f>(pub(super) &'f [u8]);

impl Rest<'_> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    pub(super) fn skip_past(&mut self, byte: u8) -> bool {
        while let Some(found) = self.next() {
            if found == byte {
                return true;
            }
        }
        false
    }

    pub(super) fn skip_any(&mut self, bytes: &[u8]) {
        while self.0.first().is_some_and(|byte| bytes.contains(byte)) {
            self.0 = &self.0[1..];
        }
    }

    /// Decimal digits, if there are any.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = None;
        while let Some(digit) = self.0.first().filter(|byte| byte.is_ascii_digit()) {
            let so_far = number.unwrap_or(0_u64).saturating_mul(10);
            number = Some(so_far.saturating_add(u64::from(digit - b'0')));
            self.0 = &self.0[1..];
        }
        number
    }

    /// `N$`, if it stands here.
    pub(super) fn position(&mut self) -> Option<u64> {
        let mut ahead = Rest(self.0);
        let position = ahead.number()?;
        if !ahead.eat(b'$') {
            return None;
        }
        self.0 = ahead.0;
        Some(position)
    }

    /// The length modifier, and what it stands for.
    pub(super) fn size(&mut self) -> Size {
        match self.0 {
            [b'h', b'h', ..] => self.sized(2, Size::Char),
            [b'h', ..] => self.sized(1, Size::Short),
            [b'l', b'l', ..] => self.sized(2, Size::Longest),
            [b'l', ..] => self.sized(1, Size::Long),
            [b'q' | b'j' | b'L', ..] => self.sized(1, Size::Longest),
            [b'z' | b'Z' | b't', ..] => self.sized(1, Size::Long),
            _ => Size::Plain,
        }
    }

    fn sized(&mut self, length: usize, size: Size) -> Size {
        self.0 = &self.0[length..];
        size
    }
}

/// What a length modifier says.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Size {
    Plain,
    Char,
    Short,
    Long,
    /// `ll`, `q`, `j`, and `L`, which is `long double` too.
    Longest,
}

impl Size {
    pub(super) fn width(self) -> Width {
        match self {
            Size::Plain => Width::W32,
            Size::Char => Width::W8,
            Size::Short => Width::W16,
            Size::Long => Width::Long,
            Size::Longest => Width::W64,
        }
    }
}

struct Taken {
    first: usize,
    next: usize,
    types: Vec<Option<Type>>,
}

impl Taken {
    /// One conversion behind its `%`; `None` ends the reading.
    fn conversion(&mut self, rest: &mut Rest<'_>) -> Option<()> {
        let position = rest.position();
        rest.skip_any(b"-+ #0'I");
        self.length(rest)?;
        let precision = if rest.eat(b'.') {
            // No digits at all mean zero.
            self.length(rest)?.or(Some(Expr::Number(0)))
        } else {
            None
        };
        let size = rest.size();
        match rest.next()? {
            b'%' | b'm' => Some(()),
            conversion => {
                let ty = converted(conversion, size, precision)?;
                self.take(position, ty).map(|_| ())
            }
        }
    }

    /// A width or precision: digits, or `*` for an argument.
    fn length(&mut self, rest: &mut Rest<'_>) -> Option<Option<Expr>> {
        if !rest.eat(b'*') {
            return Some(rest.number().map(Expr::Number));
        }
        let position = rest.position();
        let index = self.take(position, Type::Integer(Integer::INT))?;
        Some(Some(Expr::Argument(self.first + index)))
    }

    /// Notes what is taken at a position (from 1), else from the next; says from which (from 0).
    fn take(&mut self, position: Option<u64>, ty: Type) -> Option<usize> {
        let index = match position {
            Some(position) => usize::try_from(position).ok()?.checked_sub(1)?,
            None => self.next,
        };
        if index >= MAX_ARGUMENTS {
            return None;
        }
        if position.is_none() {
            self.next += 1;
        }
        if self.types.len() <= index {
            self.types.resize(index + 1, None);
        }
        self.types[index].get_or_insert(ty);
        Some(index)
    }
}

fn converted(conversion: u8, size: Size, precision: Option<Expr>) -> Option<Type> {
    let signed = Integer::signed(size.width());
    let unsigned = Integer::unsigned(size.width());
    Some(match conversion {
        b'd' | b'i' if size == Size::Char => Type::Character(signed),
        b'd' | b'i' => Type::Integer(signed),
        b'u' => Type::Integer(unsigned),
        b'o' => Type::Integer(unsigned).shown(Lens::Octal),
        b'x' | b'X' | b'b' | b'B' => Type::Integer(unsigned).shown(Lens::Hex),
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' if size == Size::Longest => {
            Type::Real(Real::Extended)
        }
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => Type::Real(Real::Double),
        b'c' if size != Size::Long => Type::Character(Integer::unsigned(Width::W8)),
        b'c' | b'C' => Type::Character(Integer::INT),
        b's' | b'S' => {
            let wide = conversion == b'S' || size == Size::Long;
            let length = Expr::Zero(precision.map(Box::new));
            Type::text(text_element(wide.into()), length)
        }
        b'p' | b'n' => Type::addr(),
        _ => return None,
    })
}

/// What a text consists of.
#[derive(Clone, Copy)]
pub(super) enum Text {
    Bytes,
    Wide,
}

impl From<bool> for Text {
    fn from(wide: bool) -> Text {
        if wide { Text::Wide } else { Text::Bytes }
    }
}

pub(super) fn text_element(text: Text) -> Type {
    Type::Character(match text {
        Text::Bytes => Integer::CHAR,
        Text::Wide => Integer::INT,
    })
}
