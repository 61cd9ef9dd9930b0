//! Types of LLVM's library of C++, by the names of its headers' members. Where there are two, the first one is that before
//! LLVM 20, which had pairs that take no room for empty classes.

use super::members::{heads, member, pack, parameter, size, target};
use super::{Found, Search, flag, set_bits, unit};
use crate::proto::held::{Begin, Case, Held};
use crate::proto::types::{Nodes, Passing, Type};

/// Where owners are counted, behind the pointer to virtual functions. Since LLVM 15 clang describes that class only in the
/// library itself, whose binary interface fixes it.
const SHARED_OWNERS: u64 = 8;

pub(super) fn held(search: &mut Search<'_>, generic: &str, arguments: &str) -> Option<Found> {
    let by_members = |held: Held| Some((held, None));
    let in_memory = |held: Held| Some((held, Some(Passing::InMemory)));
    match generic {
        "basic_string" => {
            let (base, held) = search.either(&["__r_", "__value_"], &["__rep_"])?;
            let mut at = |path| {
                let (at, _) = member(search.entries, &held, path)?;
                base.checked_add(at)
            };
            in_memory(Held::ShortText {
                unit: unit(arguments)?,
                tag: at(&["__s"])?,
                short: at(&["__s", "__data_"])?,
                at: at(&["__l", "__data_"])?,
                length: at(&["__l", "__size_"])?,
            })
        }
        "basic_string_view" => {
            let unit = unit(arguments)?;
            let (at, _) = search.either(&["__data"], &["__data_"])?;
            let (length, _) = search.either(&["__size"], &["__size_"])?;
            by_members(Held::Text { unit, at, length })
        }
        "vector" if arguments.starts_with("<bool") => in_memory(Held::Numbered {
            of: flag(),
            nodes: Nodes::Bits { end: None },
            at: search.at(&["__begin_"])?,
            length: search.at(&["__size_"])?,
            numbers: Vec::new(),
        }),
        "bitset" => by_members(set_bits(search, &["__first_"])?),
        "atomic" => by_members(search.value(&["__a_", "__a_value"])?),
        "complex" => by_members(search.members(&["__re_", "__im_"])?),
        "vector" => in_memory(search.spanned(&["__begin_"], &["__end_"])?),
        "initializer_list" => by_members(search.counted(&["__begin_"], &["__size_"])?),
        "span" => by_members(search.counted(&["__data"], &["__size"])?),
        "map" | "multimap" | "set" | "multiset" => {
            let (old, new) = (["__tree_", "__pair3_", "__value_"], ["__tree_", "__size_"]);
            let (length, _) = search.either(&old, &new)?;
            in_memory(Held::Nodes {
                of: element(search, "_Allocator", "__tree_")?,
                // A node is what its base class is, and that ends with one byte for the colour.
                nodes: Nodes::Tree {
                    left: 0,
                    right: 8,
                    parent: 16,
                    header: 25,
                },
                at: search.at(&["__tree_", "__begin_node_"])?,
                length: Some(length),
            })
        }
        "unordered_map" | "unordered_multimap" | "unordered_set" | "unordered_multiset" => {
            let old = ["__table_", "__p1_", "__value_", "__next_"];
            let (at, _) = search.either(&old, &["__table_", "__first_node_", "__next_"])?;
            let old = ["__table_", "__p2_", "__value_"];
            let (length, _) = search.either(&old, &["__table_", "__size_"])?;
            in_memory(Held::Nodes {
                of: element(search, "_Alloc", "__table_")?,
                nodes: Nodes::Chain {
                    next: 0,
                    header: 16,
                },
                at,
                length: Some(length),
            })
        }
        "__value_type" | "__hash_value_type" => {
            let (at, pair) = search.either(&["__cc"], &["__cc_"])?;
            let of = search.ty(&pair);
            by_members(Held::Value { of, at })
        }
        "list" => {
            let base = search.at(&["__end_"])?;
            let at = search.at(&["__end_", "__next_"])?;
            let (length, _) = search.either(&["__size_alloc_", "__value_"], &["__size_"])?;
            in_memory(Held::Nodes {
                of: search.parameter("_Tp")?,
                nodes: Nodes::Chain {
                    next: at.checked_sub(base)?,
                    header: 16,
                },
                at,
                length: Some(length),
            })
        }
        "forward_list" => {
            let old = ["__before_begin_", "__value_", "__next_"];
            let (at, _) = search.either(&old, &["__before_begin_", "__next_"])?;
            in_memory(Held::Nodes {
                of: search.parameter("_Tp")?,
                nodes: Nodes::Chain { next: 0, header: 8 },
                at,
                length: None,
            })
        }
        "deque" => {
            let (length, _) = search.either(&["__size_", "__value_"], &["__size_"])?;
            in_memory(Held::Blocks {
                of: search.parameter("_Tp")?,
                at: search.at(&["__map_", "__begin_"])?,
                first: Begin::Index {
                    first: search.at(&["__start_"])?,
                    length,
                },
                bytes: 4096,
                least: 16,
            })
        }
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
            // It had no underscore behind it before LLVM 16.
            let (at, _) = search.either(&["__impl", "__data"], &["__impl_", "__data"])?;
            let (tag, number) = search.either(&["__impl", "__index"], &["__impl_", "__index"])?;
            let types = pack(search.entries, search.class);
            let cases = types.iter().map(|ty| Case::Value {
                of: search.ty(ty),
                at,
            });
            by_members(Held::Choice {
                cases: cases.collect(),
                tag,
                size: size(search.entries, number)?,
                other: "valueless",
            })
        }
        "unique_ptr" => {
            let (at, pointer) = search.either(&["__ptr_", "__value_"], &["__ptr_"])?;
            let of = search.ty(&pointer);
            in_memory(Held::Value { of, at })
        }
        "shared_ptr" | "weak_ptr" => {
            let (at, pointer) = search.member(&["__ptr_"])?;
            let of = target(search.entries, pointer)?;
            let of = search.ty(&of);
            let count = search.behind(&["__cntrl_"], &["__shared_owners_"]);
            in_memory(Held::Shared {
                of,
                at,
                block: search.at(&["__cntrl_"])?,
                count: count.map_or(SHARED_OWNERS, |(count, _)| count),
                is_one_less: true,
            })
        }
        _ => None,
    }
}

/// The elements of a map or set: what its allocator is for, or what a member is given. That is a class of its own for maps,
/// with the pair in it or, since LLVM 22, without.
fn element(search: &mut Search<'_>, allocator: &str, container: &str) -> Option<Type> {
    let allocator = parameter(search.entries, search.class, allocator)?;
    match parameter(search.entries, &allocator, "_Tp") {
        Some(element) => Some(search.ty(&element)),
        None => search.parameter_of(&[container], "_Tp"),
    }
}
