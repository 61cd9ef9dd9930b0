//! Types of Rust's library.

mod collections;

use super::{Found, Search};
use crate::proto::held::{Are, Held, laid};
use crate::proto::types::{Expr, Integer, Lens, Type, Width};

/// Since Rust 1.83; before that, what `inner` holds was `buf`'s own.
const POINTER_OF_STRING: &[&str] = &["vec", "buf", "inner", "ptr", "pointer", "pointer"];

pub(super) fn held(search: &mut Search<'_>, generic: &str, name: &str) -> Option<Found> {
    let held = match generic {
        "String" => search.text(POINTER_OF_STRING, &["vec", "len"], BYTE),
        "Vec" => Some(Held::Counted {
            of: search.parameter("T")?,
            at: search.at(&POINTER_OF_STRING[1..])?,
            length: search.at(&["len"])?,
        }),
        "alloc::boxed::Box" if are(name) == Are::Text => text(search),
        "alloc::boxed::Box" if are(name) == Are::TerminatedText => {
            terminated(search, &["data_ptr"])
        }
        "alloc::boxed::Box" if search.at(&["vtable"]).is_some() => object(search, &[]),
        "alloc::boxed::Box" => search.counted(&["data_ptr"], &["length"]),
        "OsString" => buffer(search, &["inner", "inner"]),
        "PathBuf" => buffer(search, &["inner", "inner", "inner"]),
        "CString" => terminated(search, &["inner", "data_ptr"]),
        "Duration" => duration(search),
        // Points in time; and what the kernel's part of a second is in, which is restricted to its range.
        "Instant" | "SystemTime" => search.value(&["__0", "t"]),
        "Nanoseconds" => search.value(&["__0"]),
        "Cell" | "RefCell" => search.value(&["value", "value"]),
        "Mutex" | "RwLock" => search.value(&["data", "value"]),
        "Rc" | "Arc" | "Weak" if search.at(&["ptr", "pointer", "vtable"]).is_some() => {
            object(search, &["ptr", "pointer"])
        }
        "Rc" | "Arc" | "Weak" => together(search, name),
        "&std::path::Path" | "&std::ffi::os_str::OsStr" => text(search),
        "&core::ffi::c_str::CStr" => terminated(search, &["data_ptr"]),
        _ if name.starts_with("&str") || name.starts_with("&mut str") => text(search),
        _ if name.starts_with("&[") || name.starts_with("&mut [") => {
            search.counted(&["data_ptr"], &["length"])
        }
        _ if name.contains("dyn ") && search.at(&["vtable"]).is_some() => object(search, &[]),
        _ => collections::held(search, generic),
    };
    Some((held?, None))
}

const BYTE: Integer = Integer::signed(Width::W8);

fn text(search: &mut Search<'_>) -> Option<Held> {
    search.text(&["data_ptr"], &["length"], BYTE)
}

/// Text in a vector, which is reached by these members.
fn buffer(search: &mut Search<'_>, vector: &[&str]) -> Option<Held> {
    let at = [vector, &POINTER_OF_STRING[1..]].concat();
    let length = [vector, &["len"]].concat();
    search.text(&at, &length, BYTE)
}

/// Text up to a NUL, behind a pointer.
fn terminated(search: &mut Search<'_>, pointer: &[&str]) -> Option<Held> {
    Some(Held::Value {
        of: Type::string(),
        at: search.at(pointer)?,
    })
}

/// Seconds, and the nanoseconds behind them.
fn duration(search: &mut Search<'_>) -> Option<Held> {
    let nanoseconds = search.at(&["nanos", "__0"])?;
    let members = vec![
        (Type::Integer(Integer::ULONG), search.at(&["secs"])?),
        (Type::Integer(Integer::UINT), nanoseconds),
    ];
    Some(Held::Value {
        of: laid(members, &[""]).shown(Lens::Duration),
        at: 0,
    })
}

/// An object of a trait, to which a pointer of these members leads: where it is, and the first method of its type, whose
/// name tells the type. Before the methods a table has three words, of which the first leads to what drops the value.
fn object(search: &mut Search<'_>, path: &[&str]) -> Option<Held> {
    const METHODS: u64 = 3;
    let table = [path, &["vtable"]].concat();
    let function = match search.target(&table)? {
        Type::Array(_, Expr::Number(words)) if words > METHODS => METHODS,
        _ => 0,
    };
    let words = vec![(Type::addr(), 8 * function)];
    let to_table = laid(words, &[]).shown(Lens::Contents).pointer();
    let pointer = search.at(&[path, &["pointer"]].concat())?;
    let table = search.at(&table)?;
    Some(Held::Members(vec![
        (Type::addr(), pointer),
        (to_table, table),
    ]))
}

/// A value, or several, beside the number of its owners.
fn together(search: &mut Search<'_>, name: &str) -> Option<Held> {
    let pointer: &[&str] = &["ptr", "pointer"];
    let to_several = &["ptr", "pointer", "data_ptr"];
    let length = search.at(&["ptr", "pointer", "length"]);
    let pointer = match length {
        Some(_) => to_several,
        None => pointer,
    };
    let (value, ty) = search
        .behind(pointer, &["value"])
        .or_else(|| search.behind(pointer, &["data"]))?;
    let (count, _) = search.behind(pointer, &["strong"])?;
    let at = search.at(pointer)?;
    let of = search.ty(&ty);
    Some(match (length, are(name)) {
        (None, _) => Held::Together {
            of,
            at,
            value,
            count,
        },
        (Some(length), are) => Held::TogetherCounted {
            of: match are {
                Are::Sequence => of,
                _ => Type::Character(BYTE),
            },
            are,
            at,
            length,
            value,
            count,
        },
    })
}

/// What a pointer to several elements of this name leads to.
fn are(name: &str) -> Are {
    let of = name.split_once('<').map_or("", |(_, of)| of);
    let is = |kinds: &[&str]| kinds.iter().any(|kind| of.starts_with(kind));
    match () {
        () if is(&["str", "std::path::Path,", "std::ffi::os_str::OsStr,"]) => Are::Text,
        () if is(&["std::path::Path>", "std::ffi::os_str::OsStr>"]) => Are::Text,
        () if is(&["core::ffi::c_str::CStr"]) => Are::TerminatedText,
        () => Are::Sequence,
    }
}
