//! How Rust passes values between its own functions: not documented, and stable enough in practice. What is one scalar,
//! or two, is passed in as many registers, each by itself; other structures in one register, the larger ones by their
//! address, while results may take two (`rustc_ty_utils::abi`).

use crate::proto::Param;
use crate::proto::layout::Model;
use crate::proto::types::{Laid, Passing, Struct, Type};
use std::sync::Arc;

/// So many scalars are looked at.
const MOST: usize = 16;
/// What one register holds, and two.
const WORD: u64 = 8;
const TWO_WORDS: u64 = 16;

/// A parameter as it is passed; `None` when that cannot be told.
pub(super) fn passed(ty: Type) -> Option<Type> {
    let size = Model::Lp64.layout(&ty).size;
    let is_structure = matches!(ty.unshown(), Type::Struct(s) if s.laid().is_some());
    let by_value = if is_scalars(&ty) { TWO_WORDS } else { WORD };
    if size > TWO_WORDS && is_scalars(&ty) {
        // One of them is of more than a word.
        return None;
    }
    match is_structure && size > by_value {
        true => Some(ty.pointer()),
        false => returned(ty),
    }
}

/// Parameters as they are placed: of two scalars, the second one may be the first that has no register any more.
pub(super) fn placed(params: Vec<Param>) -> Vec<Param> {
    let placed = |param: Param| {
        let mut scalars = Vec::new();
        add(&param.ty, 0, &mut scalars);
        let is_pair = unite(&mut scalars) && scalars.len() == 2;
        match is_pair {
            true => Param {
                ty: passed_as(&param.ty, Passing::ByHalves),
                ..param
            },
            false => param,
        }
    };
    params.into_iter().map(placed).collect()
}

/// It is one scalar, or two.
fn is_scalars(ty: &Type) -> bool {
    let mut scalars = Vec::new();
    add(ty, 0, &mut scalars);
    unite(&mut scalars) && scalars.len() <= 2
}

/// A result as it is returned.
pub(super) fn returned(ty: Type) -> Option<Type> {
    let Type::Struct(s) = ty.unshown() else {
        return Some(ty);
    };
    let Some(laid) = s.laid().filter(|laid| laid.size <= TWO_WORDS) else {
        return Some(ty);
    };
    let mut scalars = Vec::new();
    add(&ty, 0, &mut scalars);
    if !unite(&mut scalars) {
        // Numbers of several kinds in the place of each other are passed as integers.
        let has_real = scalars.iter().any(|scalar| scalar.is_real);
        return (!has_real).then_some(ty);
    }
    match &scalars[..] {
        [] if laid.size > 0 => None,
        [first, second] if first.at == 0 && second.at < 8 => Some(apart(&ty, second.at)),
        _ => Some(ty),
    }
}

/// Cases lie one over the other: scalars that are the same in all of them count once. False when others are in their place.
fn unite(scalars: &mut Vec<Scalar>) -> bool {
    scalars.sort_by_key(|scalar| scalar.at);
    scalars.dedup();
    scalars
        .windows(2)
        .all(|pair| pair[0].at + pair[0].size <= pair[1].at)
}

/// The same type, passed in another way.
pub(super) fn passed_as(ty: &Type, passing: Passing) -> Type {
    let (s, laid) = match ty {
        Type::Shown(lens, ty) => {
            return Type::Shown(lens.clone(), Arc::new(passed_as(ty, passing)));
        }
        Type::Struct(s) => match s.laid() {
            Some(laid) => (s, laid),
            None => return ty.clone(),
        },
        ty => return ty.clone(),
    };
    let other = Struct::announced();
    other.tell(
        s.members().unwrap_or_default().to_vec(),
        s.names().cloned().unwrap_or_default(),
        Some(Laid {
            passing,
            ..laid.clone()
        }),
    );
    Type::Struct(Arc::new(other))
}

/// The same type with what begins at this offset in a word of its own.
fn apart(ty: &Type, second: u64) -> Type {
    let (s, laid) = match ty {
        Type::Shown(lens, ty) => return Type::Shown(lens.clone(), Arc::new(apart(ty, second))),
        Type::Struct(s) => match s.laid() {
            Some(laid) => (s, laid),
            None => return ty.clone(),
        },
        ty => return ty.clone(),
    };
    let members = s.members().unwrap_or_default();
    let begins = |offset: u64| match offset {
        offset if offset >= second => 8 + offset - second,
        offset => offset,
    };
    // Both scalars may be in one member.
    let member = |(ty, offset): (&Type, &u64)| match second.checked_sub(*offset) {
        None | Some(0) => ty.clone(),
        Some(second) => apart(ty, second),
    };
    let members = members.iter().zip(&laid.offsets).map(member).collect();
    let apart = Struct::announced();
    apart.tell(
        members,
        s.names().cloned().unwrap_or_default(),
        Some(Laid {
            offsets: laid.offsets.iter().copied().map(begins).collect(),
            size: TWO_WORDS,
            align: 8,
            passing: Passing::ByMembers,
        }),
    );
    Type::Struct(Arc::new(apart))
}

/// One number of a type.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scalar {
    at: u64,
    size: u64,
    is_real: bool,
}

/// The scalars of a type, and where they are.
fn add(ty: &Type, base: u64, scalars: &mut Vec<Scalar>) {
    if scalars.len() >= MOST {
        return;
    }
    let scalar = |is_real| Scalar {
        at: base,
        size: Model::Lp64.layout(ty).size,
        is_real,
    };
    if ty.is_wide() {
        scalars.push(scalar(false));
        return;
    }
    match ty.unshown() {
        Type::Void => {}
        Type::Struct(s) => {
            for (offset, member) in Model::Lp64.offsets(s) {
                add(member, base.saturating_add(offset), scalars);
            }
        }
        // An array is more than two scalars.
        Type::Array(..) => {
            let part = |n| Scalar {
                at: base.saturating_add(n),
                size: 1,
                is_real: false,
            };
            scalars.extend([part(0), part(1), part(2)]);
        }
        Type::Real(_) => scalars.push(scalar(true)),
        _ => scalars.push(scalar(false)),
    }
}
