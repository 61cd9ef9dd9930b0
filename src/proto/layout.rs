//! Size and alignment of types under the ABI's data model (psABI 3.1.2).

use super::types::{Expr, Integer, Real, Struct, Type, Width};

/// How wide `long` and pointers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// AMD64: both have 64 bits.
    Lp64,
    /// i386: both have 32 bits.
    Ilp32,
}

/// How much room a value takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// How many. Saturates: a file may state any length.
    pub size: u64,
    /// Its address is a multiple of this.
    pub align: u64,
}

impl Model {
    /// The size of a pointer.
    pub fn pointer(self) -> u64 {
        match self {
            Model::Lp64 => 8,
            Model::Ilp32 => 4,
        }
    }

    /// The size of an integer.
    pub fn integer(self, integer: Integer) -> u64 {
        match integer.width {
            Width::W8 => 1,
            Width::W16 => 2,
            Width::W32 => 4,
            Width::W64 => 8,
            Width::Long => self.pointer(),
        }
    }

    /// Size and alignment of a type. An array whose length only the call knows takes no room: C
    /// allows one at the end of a structure.
    pub fn layout(self, ty: &Type) -> Layout {
        match ty {
            Type::Void => Layout { size: 0, align: 1 },
            Type::Integer(integer) | Type::Character(integer) => self.plain(self.integer(*integer)),
            Type::Part(part) => Layout {
                size: part.bytes.into(),
                align: 1,
            },
            Type::Real(Real::Single) => self.plain(4),
            Type::Real(Real::Double) => self.plain(8),
            Type::Real(Real::Extended) => self.extended(),
            Type::Pointer(_) => self.plain(self.pointer()),
            Type::Array(ty, length) => {
                let element = self.layout(ty);
                let size = element.size.saturating_mul(known_length(length));
                Layout { size, ..element }
            }
            Type::Struct(s) => self.structure(s),
            Type::Shown(_, ty) => self.layout(ty),
        }
    }

    /// Where each member of a structure stands.
    pub fn offsets(self, s: &Struct) -> impl Iterator<Item = (u64, &Type)> {
        let told = s.laid().map(|laid| laid.offsets.iter().copied());
        let mut told = told.into_iter().flatten();
        let mut end = 0_u64;
        s.members().unwrap_or_default().iter().map(move |member| {
            let Layout { size, align } = self.layout(member);
            let offset = told.next().unwrap_or(round_up(end, align));
            end = offset.saturating_add(size);
            (offset, member)
        })
    }

    fn structure(self, s: &Struct) -> Layout {
        if let Some(laid) = s.laid() {
            return Layout {
                size: laid.size,
                align: laid.align,
            };
        }
        let mut whole = Layout { size: 0, align: 1 };
        for member in s.members().unwrap_or_default() {
            let Layout { size, align } = self.layout(member);
            whole.size = round_up(whole.size, align).saturating_add(size);
            whole.align = whole.align.max(align);
        }
        whole.size = round_up(whole.size, whole.align);
        whole
    }

    /// i386 aligns nothing to more than a word (i386 psABI 2.1.1).
    fn plain(self, size: u64) -> Layout {
        let align = size.min(self.pointer());
        Layout { size, align }
    }

    fn extended(self) -> Layout {
        match self {
            Model::Lp64 => Layout {
                size: 16,
                align: 16,
            },
            Model::Ilp32 => Layout { size: 12, align: 4 },
        }
    }
}

fn known_length(length: &Expr) -> u64 {
    match length {
        Expr::Number(n) => *n,
        Expr::Zero(Some(limit)) => known_length(limit),
        _ => 0,
    }
}

/// The next multiple of a power of two.
pub fn round_up(n: u64, align: u64) -> u64 {
    match n.checked_add(align.saturating_sub(1)) {
        Some(n) => n & !align.saturating_sub(1),
        None => u64::MAX,
    }
}
