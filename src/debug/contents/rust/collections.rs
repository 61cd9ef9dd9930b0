//! Rust's collections, whose elements do not lie side by side.

use super::super::members::{member, parameter};
use super::super::{At, Search};
use super::POINTER_OF_STRING;
use crate::debug::entries::{Entries, number};
use crate::proto::held::{Held, laid};
use crate::proto::types::Nodes;
use gimli::constants as dw;

/// So many cases an `Option` has, and what else belongs to it.
const MOST_CHILDREN: usize = 16;

pub(super) fn held(search: &mut Search<'_>, generic: &str) -> Option<Held> {
    match generic {
        "VecDeque" => Some(Held::Numbered {
            of: search.parameter("T")?,
            nodes: Nodes::Ring {
                first: 3,
                places: 4,
            },
            at: search.at(&POINTER_OF_STRING[1..])?,
            length: search.at(&["len"])?,
            numbers: vec![
                search.at(&["head"])?,
                search.at(&["buf", "inner", "cap", "__0"])?,
            ],
        }),
        "BinaryHeap" => search.value(&["data"]),
        "LinkedList" => list(search),
        "HashMap" => {
            table(search, &["base", "table"], &[]).or_else(|| table(search, &["table"], &[]))
        }
        // Elements of sets are keys without values.
        "HashSet" => table(search, &["base", "map", "table"], &["__0"])
            .or_else(|| table(search, &["map", "table"], &["__0"])),
        "BTreeMap" => tree(search, &[], &["K", "V"]),
        "BTreeSet" => tree(search, &["map"], &["K"]),
        _ => None,
    }
}

/// A doubly linked list.
fn list(search: &mut Search<'_>) -> Option<Held> {
    let (at, head) = search.member(&["head"])?;
    let node = pointed(search.entries, &head)?;
    let (header, element) = member(search.entries, &node, &["element"])?;
    let (next, _) = member(search.entries, &node, &["next"])?;
    Some(Held::Nodes {
        of: search.ty(&element),
        nodes: Nodes::Chain { next, header },
        at,
        length: Some(search.at(&["len"])?),
    })
}

/// A hash table (hashbrown), which is reached by these members. Of its elements what the others lead to is shown.
fn table(search: &mut Search<'_>, table: &[&str], shown: &[&str]) -> Option<Held> {
    let (_, raw) = search.member(table)?;
    let element = parameter(search.entries, &raw, "T")?;
    let (_, element) = member(search.entries, &element, shown)?;
    Some(Held::Numbered {
        of: search.ty(&element),
        nodes: Nodes::Buckets,
        at: search.at(&[table, &["table", "ctrl", "pointer"]].concat())?,
        length: search.at(&[table, &["table", "items"]].concat())?,
        numbers: Vec::new(),
    })
}

/// A B-tree, which is reached by these members, and what of its elements is shown.
fn tree(search: &mut Search<'_>, map: &[&str], shown: &[&str]) -> Option<Held> {
    let (at, root) = search.member(&[map, &["root"]].concat())?;
    let length = search.at(&[map, &["length"]].concat())?;
    let (_, map) = search.member(map)?;
    let root = some(search.entries, &root)?;
    let entries = &mut *search.entries;
    let (node_at, leaf) = member(entries, &root, &["node"])?;
    let (height, _) = member(entries, &root, &["height"])?;
    let leaf = parameter(entries, &leaf, "T")?;
    let (parent, above) = member(entries, &leaf, &["parent"])?;
    let above = pointed(entries, &above)?;
    let (edges, _) = member(entries, &above, &["edges"])?;
    let (index, _) = member(entries, &leaf, &["parent_idx"])?;
    let (count, _) = member(entries, &leaf, &["len"])?;
    let mut pair = Vec::new();
    for (name, array) in shown.iter().zip(["keys", "vals"]) {
        let (offset, _) = member(search.entries, &leaf, &[array])?;
        let of = parameter(search.entries, &map, name)?;
        pair.push((search.ty(&of), offset));
    }
    Some(Held::Numbered {
        of: laid(pair, &[]),
        nodes: Nodes::BTree {
            parent,
            index,
            count,
            edges,
            height: 3,
        },
        at: at.checked_add(node_at)?,
        length,
        numbers: vec![at.checked_add(height)?],
    })
}

/// What an `Option` may hold. It lies at its beginning where one of its own values stands for nothing.
fn some(entries: &mut Entries, option: &At) -> Option<At> {
    let children = option.children(MOST_CHILDREN).into_iter();
    let some = children.filter_map(|at| {
        let entry = at.entry()?;
        let is_variants = entry.tag() == dw::DW_TAG_structure_type;
        let name = entries.text(&at, &entry, dw::DW_AT_name);
        (is_variants && name.as_deref() == Some("Some")).then_some(at)
    });
    let some = some.last()?;
    let held = parameter(entries, &some, "T")?;
    let size = |at: &At| number(&at.entry()?, dw::DW_AT_byte_size);
    (size(option) == size(&held)).then_some(held)
}

/// What an `Option` of a `NonNull` points to.
fn pointed(entries: &mut Entries, option: &At) -> Option<At> {
    let pointer = some(entries, option)?;
    parameter(entries, &pointer, "T")
}
