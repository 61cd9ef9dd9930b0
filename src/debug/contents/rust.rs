//! Types of Rust's library.

use super::{Found, Search};
use crate::proto::held::Held;
use crate::proto::types::{Integer, Width};

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
        "alloc::boxed::Box" if name.starts_with("alloc::boxed::Box<str") => text(search),
        "alloc::boxed::Box" => search.counted(&["data_ptr"], &["length"]),
        "Rc" => together(search, "value"),
        "Arc" => together(search, "data"),
        _ if name.starts_with("&str") || name.starts_with("&mut str") => text(search),
        _ if name.starts_with("&[") || name.starts_with("&mut [") => {
            search.counted(&["data_ptr"], &["length"])
        }
        _ => None,
    };
    Some((held?, None))
}

const BYTE: Integer = Integer::signed(Width::W8);

fn text(search: &mut Search<'_>) -> Option<Held> {
    search.text(&["data_ptr"], &["length"], BYTE)
}

/// A value beside the number of its owners.
fn together(search: &mut Search<'_>, value: &str) -> Option<Held> {
    let pointer = &["ptr", "pointer"];
    let (value, ty) = search.behind(pointer, &[value])?;
    let (count, _) = search.behind(pointer, &["strong"])?;
    Some(Held::Together {
        of: search.ty(&ty),
        at: search.at(pointer)?,
        value,
        count,
    })
}
