//! What of a pair's function is to be read, said as a prototype: numbers only, nothing decoded for show.

use super::{Function, Param, Width};
use crate::proto::types::{self, Integer, Lens, Struct, Type};
use crate::proto::{self, Prototype};
use std::sync::Arc;

impl Function {
    /// A prototype by which just the words of this function's calls are read that its pair needs.
    pub fn prototype(&self, name: &str) -> Prototype {
        let params = self.params.iter().map(|param| match param {
            Param::Unused => plain(ty(Width::Word).shown(Lens::Hide)),
            Param::In(width) => plain(ty(*width)),
            Param::Out(width, count) => proto::Param {
                ty: several(*width, *count).pointer(),
                name: None,
                at_return: true,
            },
        });
        Prototype::new(name, ty(self.result), params.collect())
    }
}

fn plain(ty: Type) -> proto::Param {
    proto::Param {
        ty,
        name: None,
        at_return: false,
    }
}

fn ty(width: Width) -> Type {
    Type::Integer(match width {
        Width::Int => Integer {
            width: types::Width::W32,
            signed: true,
        },
        Width::Word => Integer {
            width: types::Width::W64,
            signed: false,
        },
    })
}

/// As a structure, which is shown whole whatever the limit for arrays is.
fn several(width: Width, count: u8) -> Type {
    match count {
        1 => ty(width),
        _ => Type::Struct(Arc::new(Struct::new(vec![ty(width); usize::from(count)]))),
    }
}
