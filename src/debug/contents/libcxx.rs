//! Types of LLVM's library of C++, by the names of its headers' members.

use super::members::{heads, pack, target};
use super::{Found, Search, unit};
use crate::proto::held::{Begin, Case, Held};
use crate::proto::types::{Nodes, Passing};

pub(super) fn held(search: &mut Search<'_>, generic: &str, arguments: &str) -> Option<Found> {
    let by_members = |held: Held| Some((held, None));
    let in_memory = |held: Held| Some((held, Some(Passing::InMemory)));
    match generic {
        "basic_string" => in_memory(Held::ShortText {
            unit: unit(arguments)?,
            tag: search.at(&["__r_", "__value_", "__s"])?,
            short: search.at(&["__r_", "__value_", "__s", "__data_"])?,
            at: search.at(&["__r_", "__value_", "__l", "__data_"])?,
            length: search.at(&["__r_", "__value_", "__l", "__size_"])?,
        }),
        "basic_string_view" => {
            let unit = unit(arguments)?;
            let old = search.text(&["__data"], &["__size"], unit);
            by_members(old.or_else(|| search.text(&["__data_"], &["__size_"], unit))?)
        }
        "vector" if !arguments.starts_with("<bool") => {
            in_memory(search.spanned(&["__begin_"], &["__end_"])?)
        }
        "initializer_list" => by_members(search.counted(&["__begin_"], &["__size_"])?),
        "span" => by_members(search.counted(&["__data"], &["__size"])?),
        "map" | "multimap" | "set" | "multiset" => {
            let tree = ["__tree_"];
            in_memory(Held::Nodes {
                of: search.parameter_of(&tree, "_Tp")?,
                // A node is what its base class is, and that ends with one byte for the colour.
                nodes: Nodes::Tree {
                    left: 0,
                    right: 8,
                    parent: 16,
                    header: 25,
                },
                at: search.at(&["__tree_", "__begin_node_"])?,
                length: Some(search.at(&["__tree_", "__pair3_", "__value_"])?),
            })
        }
        "unordered_map" | "unordered_multimap" | "unordered_set" | "unordered_multiset" => {
            in_memory(Held::Nodes {
                of: search.parameter_of(&["__table_"], "_Tp")?,
                nodes: Nodes::Chain {
                    next: 0,
                    header: 16,
                },
                at: search.at(&["__table_", "__p1_", "__value_", "__next_"])?,
                length: Some(search.at(&["__table_", "__p2_", "__value_"])?),
            })
        }
        "__value_type" | "__hash_value_type" => {
            let new = search.value(&["__cc_"]);
            by_members(new.or_else(|| search.value(&["__cc"]))?)
        }
        "list" => {
            let base = search.at(&["__end_"])?;
            let at = search.at(&["__end_", "__next_"])?;
            in_memory(Held::Nodes {
                of: search.parameter("_Tp")?,
                nodes: Nodes::Chain {
                    next: at.checked_sub(base)?,
                    header: 16,
                },
                at,
                length: Some(search.at(&["__size_alloc_", "__value_"])?),
            })
        }
        "forward_list" => in_memory(Held::Nodes {
            of: search.parameter("_Tp")?,
            nodes: Nodes::Chain { next: 0, header: 8 },
            at: search.at(&["__before_begin_", "__value_", "__next_"])?,
            length: None,
        }),
        "deque" => in_memory(Held::Blocks {
            of: search.parameter("_Tp")?,
            at: search.at(&["__map_", "__begin_"])?,
            first: Begin::Index {
                first: search.at(&["__start_"])?,
                length: search.at(&["__size_", "__value_"])?,
            },
            bytes: 4096,
            least: 16,
        }),
        "array" => by_members(search.value(&["__elems_"])?),
        "path" => by_members(search.value(&["__pn_"])?),
        "reference_wrapper" => by_members(search.value(&["__f_"])?),
        "tuple" => {
            let (base, all) = search.member(&["__base_"])?;
            let mut heads = heads(search.entries, &all, "__value_");
            heads.reverse();
            let members = heads.iter().map(|(ty, at)| (search.ty(ty), base + at));
            let members: Vec<_> = members.collect();
            (!members.is_empty()).then_some((Held::Members(members), None))
        }
        "optional" => {
            let of = search.parameter("_Tp")?;
            let at = search.at(&["__val_"])?;
            by_members(Held::Choice {
                tag: search.at(&["__engaged_"])?,
                size: 1,
                cases: vec![Case::Named("nullopt"), Case::Value { of, at }],
                other: "invalid",
            })
        }
        "variant" => {
            let at = search.at(&["__impl", "__data"])?;
            let types = pack(search.entries, search.class);
            let cases = types.iter().map(|ty| Case::Value {
                of: search.ty(ty),
                at,
            });
            by_members(Held::Choice {
                cases: cases.collect(),
                tag: search.at(&["__impl", "__index"])?,
                size: search.size(&["__impl", "__index"])?,
                other: "valueless",
            })
        }
        "unique_ptr" => in_memory(search.value(&["__ptr_", "__value_"])?),
        "shared_ptr" | "weak_ptr" => {
            let (at, pointer) = search.member(&["__ptr_"])?;
            let of = target(search.entries, pointer)?;
            let of = search.ty(&of);
            in_memory(match search.behind(&["__cntrl_"], &["__shared_owners_"]) {
                Some((count, _)) => Held::Shared {
                    of,
                    at,
                    block: search.at(&["__cntrl_"])?,
                    count,
                    is_one_less: true,
                },
                None => Held::Behind { of, at },
            })
        }
        _ => None,
    }
}
