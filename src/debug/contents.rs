//! Library types that are shown as what they hold, of C++ and Rust. What they are is told by their names, where things lie
//! in them by their members.

mod libcxx;
mod libstdcxx;
mod members;
mod rust;

use super::entries::{At, Entries};
use crate::proto::held::Held;
use crate::proto::types::{Integer, Lens, Passing, Type, Width};
use members::{member, parameter, size, target};

/// Something found in a structure, and how such structures are passed; `None` when as their members are.
type Found = (Held, Option<Passing>);

/// Where to look.
struct Search<'a> {
    entries: &'a mut Entries,
    class: &'a At,
    /// The type of an entry.
    get: &'a mut dyn FnMut(&mut Entries, &At) -> Type,
}

/// What a structure of this name holds; `None` of most. The last argument gives types of entries.
pub(super) fn held(
    entries: &mut Entries,
    class: &At,
    name: &str,
    get: &mut dyn FnMut(&mut Entries, &At) -> Type,
) -> Option<Found> {
    let mut search = Search {
        entries,
        class,
        get,
    };
    let (generic, arguments) = name.split_at(name.find('<').unwrap_or(name.len()));
    libstdcxx::held(&mut search, generic, arguments)
        .or_else(|| libcxx::held(&mut search, generic, arguments))
        .or_else(|| rust::held(&mut search, generic, name))
}

/// Whether what is in a class is the library's own: a lock, by its name and by members that only the library may call so.
pub(super) fn is_opaque(entries: &mut Entries, class: &At, name: &str) -> bool {
    let is_lock = matches!(
        name,
        "mutex"
            | "recursive_mutex"
            | "timed_mutex"
            | "recursive_timed_mutex"
            | "shared_mutex"
            | "shared_timed_mutex"
            | "condition_variable"
    );
    let paths: [&[&str]; 6] = [
        &["_M_mutex"],
        &["_M_cond"],
        &["_M_impl"],
        &["__m_"],
        &["__base_"],
        &["__cv_"],
    ];
    is_lock
        && paths
            .iter()
            .any(|path| member(entries, class, path).is_some())
}

impl Search<'_> {
    /// Where a member of members is.
    fn at(&mut self, path: &[&str]) -> Option<u64> {
        Some(self.member(path)?.0)
    }

    fn member(&mut self, path: &[&str]) -> Option<(u64, At)> {
        member(self.entries, self.class, path)
    }

    /// What is there of two members of members.
    fn either(&mut self, path: &[&str], other: &[&str]) -> Option<(u64, At)> {
        self.member(path).or_else(|| self.member(other))
    }

    fn ty(&mut self, at: &At) -> Type {
        (self.get)(self.entries, at)
    }

    /// The type that stands for a parameter.
    fn parameter(&mut self, name: &str) -> Option<Type> {
        let at = parameter(self.entries, self.class, name)?;
        Some(self.ty(&at))
    }

    /// The same of a member's type.
    fn parameter_of(&mut self, path: &[&str], name: &str) -> Option<Type> {
        let (_, class) = self.member(path)?;
        let at = parameter(self.entries, &class, name)?;
        Some(self.ty(&at))
    }

    /// The type that a member points to.
    fn target(&mut self, path: &[&str]) -> Option<Type> {
        let (_, pointer) = self.member(path)?;
        let at = target(self.entries, pointer)?;
        Some(self.ty(&at))
    }

    /// Characters behind a pointer.
    fn text(&mut self, at: &[&str], length: &[&str], unit: Integer) -> Option<Held> {
        Some(Held::Text {
            unit,
            at: self.at(at)?,
            length: self.at(length)?,
        })
    }

    /// Elements that are told by a pointer and their number.
    fn counted(&mut self, at: &[&str], length: &[&str]) -> Option<Held> {
        Some(Held::Counted {
            of: self.target(at)?,
            at: self.at(at)?,
            length: self.at(length)?,
        })
    }

    /// Elements that are told by a pointer and their end.
    fn spanned(&mut self, at: &[&str], end: &[&str]) -> Option<Held> {
        Some(Held::Spanned {
            of: self.target(at)?,
            at: self.at(at)?,
            end: self.at(end)?,
        })
    }

    /// What a member is.
    fn value(&mut self, path: &[&str]) -> Option<Held> {
        let (at, ty) = self.member(path)?;
        Some(Held::Value {
            of: self.ty(&ty),
            at,
        })
    }

    /// The same of what is there of two members.
    fn either_value(&mut self, path: &[&str], other: &[&str]) -> Option<Held> {
        let (at, ty) = self.either(path, other)?;
        Some(Held::Value {
            of: self.ty(&ty),
            at,
        })
    }

    /// Members without their names.
    fn members(&mut self, names: &[&str]) -> Option<Held> {
        let members = names.iter().map(|name| {
            let (at, ty) = self.member(&[name])?;
            Some((self.ty(&ty), at))
        });
        Some(Held::Members(members.collect::<Option<_>>()?))
    }

    /// How many bytes a member has.
    fn size(&mut self, path: &[&str]) -> Option<u64> {
        let (_, ty) = self.member(path)?;
        size(self.entries, ty)
    }

    /// Where a member is in what another one points to.
    fn behind(&mut self, pointer: &[&str], path: &[&str]) -> Option<(u64, At)> {
        let (_, pointer) = self.member(pointer)?;
        let class = target(self.entries, pointer)?;
        member(self.entries, &class, path)
    }
}

/// One element of a sequence of bits.
fn flag() -> Type {
    Type::Integer(Integer::unsigned(Width::W8)).shown(Lens::Bool)
}

/// The numbers of the bits that are set in a word, or an array of them.
fn set_bits(search: &mut Search<'_>, path: &[&str]) -> Option<Held> {
    let (at, ty) = search.member(path)?;
    let of = search.ty(&ty).shown(Lens::Bits);
    Some(Held::Value { of, at })
}

/// The characters of a string type of C++, by what it is given.
fn unit(arguments: &str) -> Option<Integer> {
    let first = arguments.strip_prefix('<')?.split([',', '>']).next()?;
    Some(match first.trim() {
        "char" => Integer::CHAR,
        "wchar_t" => Integer::INT,
        "char8_t" => Integer::unsigned(Width::W8),
        "char16_t" => Integer::unsigned(Width::W16),
        "char32_t" => Integer::unsigned(Width::W32),
        _ => return None,
    })
}
