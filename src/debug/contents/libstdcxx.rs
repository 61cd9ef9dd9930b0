//! Types of GNU's library of C++, by the names of its headers' members (bits/stl_*.h).

use super::members::{heads, pack};
use super::{Found, Search, flag, set_bits, unit};
use crate::proto::held::{Begin, Case, Held};
use crate::proto::types::{Lens, Nodes, Passing, Type};

/// What `std::chrono` counts, in either library, by the ratio that its name ends with. In fractions of a nanosecond there is
/// nothing to show.
fn ticks(search: &mut Search<'_>, arguments: &str) -> Option<Held> {
    const SECOND: u64 = 1_000_000_000;
    let (_, ratio) = arguments.rsplit_once("ratio<")?;
    let mut numbers = ratio.split([',', '>', ' ', 'l', 'L']);
    let mut number = || -> Option<u64> { numbers.find(|text| !text.is_empty())?.parse().ok() };
    let (over, under) = (number()?, number()?);
    let unit = over.checked_mul(SECOND)?;
    let unit = (under > 0 && unit.is_multiple_of(under)).then(|| unit / under)?;
    let (at, ty) = search.either(&["__r"], &["__rep_"])?;
    match search.ty(&ty) {
        ty @ Type::Integer(_) => Some(Held::Value {
            of: ty.shown(Lens::Ticks(unit)),
            at,
        }),
        _ => None,
    }
}

pub(super) fn held(search: &mut Search<'_>, generic: &str, arguments: &str) -> Option<Found> {
    let by_members = |held: Held| Some((held, None));
    let in_memory = |held: Held| Some((held, Some(Passing::InMemory)));
    match generic {
        "basic_string" => {
            let length = &["_M_string_length"];
            let unit = unit(arguments)?;
            // clang leaves out what some other unit tells: the pointer is all that is in it.
            let text = search.text(&["_M_dataplus", "_M_p"], length, unit);
            in_memory(text.or_else(|| search.text(&["_M_dataplus"], length, unit))?)
        }
        "basic_string_view" => {
            by_members(search.text(&["_M_str"], &["_M_len"], unit(arguments)?)?)
        }
        "vector" if arguments.starts_with("<bool") => {
            let begin = search.at(&["_M_impl", "_M_start", "_M_p"])?;
            let end = ["_M_p", "_M_offset"].map(|name| search.at(&["_M_impl", "_M_finish", name]));
            let [Some(word), Some(bit)] = end else {
                return None;
            };
            in_memory(Held::Numbered {
                of: flag(),
                nodes: Nodes::Bits { end: Some((3, 4)) },
                at: begin,
                length: word,
                numbers: vec![word, bit],
            })
        }
        "bitset" => by_members(set_bits(search, &["_M_w"])?),
        "vector" => in_memory(search.spanned(&["_M_impl", "_M_start"], &["_M_impl", "_M_finish"])?),
        "initializer_list" => by_members(search.counted(&["_M_array"], &["_M_len"])?),
        "span" => by_members(search.counted(&["_M_ptr"], &["_M_extent", "_M_extent_value"])?),
        "map" | "multimap" | "set" | "multiset" => in_memory(tree(search)?),
        "unordered_map" | "unordered_multimap" | "unordered_set" | "unordered_multiset" => {
            in_memory(table(search)?)
        }
        "list" => {
            let path = &["_M_impl", "_M_node"];
            let count = &["_M_impl", "_M_node", "_M_size"];
            let next = &["_M_impl", "_M_node", "_M_next"];
            in_memory(Held::Nodes {
                of: search.parameter("_Tp")?,
                nodes: Nodes::Chain {
                    next: search.at(next)?.checked_sub(search.at(path)?)?,
                    header: 16,
                },
                at: search.at(next)?,
                length: Some(search.at(count)?),
            })
        }
        "forward_list" => in_memory(Held::Nodes {
            of: search.parameter("_Tp")?,
            nodes: Nodes::Chain { next: 0, header: 8 },
            at: search.at(&["_M_impl", "_M_head", "_M_next"])?,
            length: None,
        }),
        "deque" => in_memory(Held::Blocks {
            of: search.parameter("_Tp")?,
            at: search.at(&["_M_impl", "_M_start", "_M_node"])?,
            first: Begin::Address {
                first: search.at(&["_M_impl", "_M_start", "_M_cur"])?,
                end: search.at(&["_M_impl", "_M_finish", "_M_cur"])?,
            },
            bytes: 512,
            least: 1,
        }),
        "stack" | "queue" | "priority_queue" => by_members(search.value(&["c"])?),
        "array" => by_members(search.value(&["_M_elems"])?),
        "complex" => by_members(search.value(&["_M_value"])?),
        // It names what is called; there is none of an empty one.
        "function" => in_memory(search.value(&["_M_manager"])?),
        "duration" => by_members(ticks(search, arguments)?),
        "time_point" => by_members(search.either_value(&["__d"], &["__d_"])?),
        "path" => by_members(search.value(&["_M_pathname"])?),
        "atomic" => by_members(search.value(&["_M_i"])?),
        "reference_wrapper" => by_members(search.value(&["_M_data"])?),
        "pair" if !arguments.is_empty() => by_members(search.members(&["first", "second"])?),
        "tuple" => {
            let heads = heads(search.entries, search.class, "_M_head_impl");
            let members = heads.iter().map(|(ty, at)| (search.ty(ty), *at));
            let members: Vec<_> = members.collect();
            (!members.is_empty()).then_some((Held::Members(members), None))
        }
        "optional" => {
            let of = search.parameter("_Tp")?;
            let at = search.at(&["_M_payload", "_M_payload"])?;
            by_members(Held::Choice {
                tag: search.at(&["_M_payload", "_M_engaged"])?,
                size: 1,
                cases: vec![Case::Named("nullopt"), Case::Value { of, at }],
                other: "invalid",
            })
        }
        "variant" => {
            let at = search.at(&["_M_u"])?;
            let types = pack(search.entries, search.class);
            let cases = types.iter().map(|ty| Case::Value {
                of: search.ty(ty),
                at,
            });
            by_members(Held::Choice {
                cases: cases.collect(),
                tag: search.at(&["_M_index"])?,
                size: search.size(&["_M_index"])?,
                other: "valueless",
            })
        }
        "unique_ptr" => {
            let (_, tuple) = search.member(&["_M_t", "_M_t"])?;
            let base = search.at(&["_M_t", "_M_t"])?;
            let heads = heads(search.entries, &tuple, "_M_head_impl");
            let (pointer, at) = heads.first()?;
            in_memory(Held::Value {
                of: search.ty(pointer),
                at: base.checked_add(*at)?,
            })
        }
        "shared_ptr" | "weak_ptr" => {
            let of = search.parameter("_Tp")?;
            let at = search.at(&["_M_ptr"])?;
            let block = &["_M_refcount", "_M_pi"];
            in_memory(match search.behind(block, &["_M_use_count"]) {
                Some((count, _)) => Held::Shared {
                    of,
                    at,
                    block: search.at(block)?,
                    count,
                    is_one_less: false,
                },
                None => Held::Behind { of, at },
            })
        }
        _ => None,
    }
}

/// bits/stl_tree.h
fn tree(search: &mut Search<'_>) -> Option<Held> {
    let header = ["_M_t", "_M_impl", "_M_header"];
    let base = search.at(&header)?;
    let mut inside = |name| {
        let path = [header[0], header[1], header[2], name];
        search.at(&path)?.checked_sub(base)
    };
    let (left, right, parent) = (
        inside("_M_left")?,
        inside("_M_right")?,
        inside("_M_parent")?,
    );
    Some(Held::Nodes {
        nodes: Nodes::Tree {
            left,
            right,
            parent,
            header: search.size(&header)?,
        },
        of: search.parameter_of(&["_M_t"], "_Val")?,
        at: base.checked_add(left)?,
        length: Some(search.at(&["_M_t", "_M_impl", "_M_node_count"])?),
    })
}

/// bits/hashtable.h
fn table(search: &mut Search<'_>) -> Option<Held> {
    let before = ["_M_h", "_M_before_begin"];
    Some(Held::Nodes {
        of: search.parameter_of(&["_M_h"], "_Value")?,
        nodes: Nodes::Chain {
            next: 0,
            header: search.size(&before)?,
        },
        at: search.at(&["_M_h", "_M_before_begin", "_M_nxt"])?,
        length: Some(search.at(&["_M_h", "_M_element_count"])?),
    })
}
