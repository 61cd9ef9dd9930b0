//! What a scanf format's conversions store (scanf(3)).

use super::format::{Rest, Size, Text, text_element};
use super::types::{Expr, Integer, Lens, Real, Type};

/// More conversions than are scanned at once.
const MAX_CONVERSIONS: usize = 64;

/// What one conversion stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The type of the argument: a pointer.
    pub ty: Type,
    /// It counts among the conversions that the function's result tells the number of.
    pub counted: bool,
}

/// The arguments that a format stores to, in the order in which they are passed.
pub fn arguments(format: &[u8]) -> Vec<Stored> {
    let mut stored = Vec::new();
    let mut rest = Rest(format);
    while stored.len() < MAX_CONVERSIONS && rest.skip_past(b'%') {
        match conversion(&mut rest) {
            Some(Some(conversion)) => stored.push(conversion),
            Some(None) => {}
            None => break,
        }
    }
    stored
}

/// One conversion behind its `%`: nothing when it stores nothing, `None` when it is not known.
fn conversion(rest: &mut Rest<'_>) -> Option<Option<Stored>> {
    rest.position();
    let suppressed = rest.eat(b'*');
    rest.skip_any(b"'I");
    let width = rest.number();
    let allocates = rest.eat(b'm');
    let size = rest.size();
    let conversion = rest.next()?;
    if conversion == b'[' {
        skip_set(rest);
    }
    if conversion == b'%' {
        return Some(None);
    }
    let mut ty = pointer(conversion, size, width)?;
    if allocates {
        ty = ty.pointer();
    }
    let counted = conversion != b'n';
    Some((!suppressed).then_some(Stored { ty, counted }))
}

/// Past the `]` of a set; the first sign of a set may be a `]` that belongs to it.
fn skip_set(rest: &mut Rest<'_>) {
    rest.eat(b'^');
    rest.eat(b']');
    rest.skip_past(b']');
}

fn pointer(conversion: u8, size: Size, width: Option<u64>) -> Option<Type> {
    let signed = Integer::signed(size.width());
    let unsigned = Integer::unsigned(size.width());
    let wide = size == Size::Long || matches!(conversion, b'S' | b'C');
    let element = text_element(Text::from(wide));
    Some(match conversion {
        b'd' | b'i' | b'n' => Type::Integer(signed).pointer(),
        b'u' => Type::Integer(unsigned).pointer(),
        b'o' => Type::Integer(unsigned).shown(Lens::Octal).pointer(),
        b'x' | b'X' => Type::Integer(unsigned).shown(Lens::Hex).pointer(),
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => Type::Real(match size {
            Size::Longest => Real::Extended,
            Size::Long => Real::Double,
            _ => Real::Single,
        })
        .pointer(),
        b's' | b'S' | b'[' => Type::text(element, Expr::Zero(None)),
        b'c' | b'C' => Type::text(element, Expr::Number(width.unwrap_or(1))),
        b'p' => Type::addr().pointer(),
        _ => return None,
    })
}
