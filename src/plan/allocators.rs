//! Allocators that programs bring along under names of their own, known by their symbols
//! (`filters/allocators`): Rust's jemalloc and mimalloc crates, statically linked ones, the operators new and
//! delete of an allocator's library.

use super::ModuleName;
use crate::base::addr::Vaddr;
use crate::elf::{Image, Symbol, SymbolKind};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// A function of such an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The allocator's name, as `filters/allocators` has it.
    pub(super) allocator: &'static str,
    /// The function of the C heap, or the signature, that it is called like.
    pub(super) usual: &'static str,
    /// Where it is.
    pub(super) at: Vaddr,
}

/// What `filters/allocators` says, by allocator.
static SHIPPED: LazyLock<Vec<Allocator>> =
    LazyLock::new(|| parse(include_str!("../../filters/allocators")));

/// One allocator.
struct Allocator {
    name: &'static str,
    /// What its functions are called like, by their names.
    functions: HashMap<&'static str, &'static str>,
}

const RUST: &str = "Rust";
const OPERATORS: &str = "operators";
/// Stands for a prefix in a name.
const PREFIX: char = '*';
/// Functions that only jemalloc has: what stands before is its prefix, if it has one of the others with it.
const SIGNS: [&str; 3] = ["sdallocx", "dallocx", "mallctl"];
const OTHERS: [&str; 2] = ["malloc", "mallocx"];
/// How the functions end that it has besides those of the C heap.
const OWN: &str = "allocx";
/// An operator that calls malloc does so at its beginning.
const LONGEST: usize = 512;

/// The functions of allocators in a module with these symbols. `is_told_apart` says that an operator at an
/// address is watched as such.
pub(super) fn find<'s>(
    image: &Image,
    bytes: &[u8],
    name: &ModuleName,
    symbols: impl Iterator<Item = &'s Symbol> + Clone,
    is_told_apart: &dyn Fn(&Symbol) -> bool,
) -> Vec<Known> {
    let functions = symbols.filter(|symbol| symbol.kind == SymbolKind::Func);
    let mut found = Vec::new();
    for allocator in SHIPPED
        .iter()
        .filter(|a| !matches!(a.name, RUST | OPERATORS))
    {
        let prefixes = allocator.prefixes(functions.clone());
        for symbol in functions.clone() {
            found.extend(allocator.known(symbol, &prefixes));
        }
    }
    let named = |name: &str| SHIPPED.iter().find(|allocator| allocator.name == name);
    if let Some(rust) = named(RUST)
        && found.is_empty()
        && is_of_own_allocator(functions.clone())
    {
        let known = |symbol: &Symbol| rust.like(rust_name(&symbol.name), symbol.vaddr);
        found.extend(functions.clone().filter_map(known));
    }
    if let Some(operators) = named(OPERATORS)
        && !is_standard_library(&name.name)
    {
        let calls = Calls::new(image, bytes, functions.clone());
        for symbol in functions {
            let known = operators.like(&symbol.name, symbol.vaddr);
            let known = known.filter(|_| !is_told_apart(symbol) && !calls.heap(symbol));
            found.extend(known);
        }
    }
    found
}

impl Allocator {
    fn like(&'static self, name: &str, at: Vaddr) -> Option<Known> {
        let usual = self.functions.get(name)?;
        Some(Known {
            allocator: self.name,
            usual,
            at,
        })
    }

    /// The function, by its name or by its name with one of the prefixes.
    fn known(&'static self, symbol: &Symbol, prefixes: &[&str]) -> Option<Known> {
        let plain = self.like(&symbol.name, symbol.vaddr);
        let with = |prefix: &&str| {
            let rest = symbol.name.strip_prefix(prefix)?;
            // Without a prefix it has the names of the C heap, which are found as those.
            let is_meant = !prefix.is_empty() || rest.ends_with(OWN);
            self.like(
                is_meant.then(|| format!("{PREFIX}{rest}"))?.as_str(),
                symbol.vaddr,
            )
        };
        plain.or_else(|| prefixes.iter().find_map(with))
    }

    /// The prefixes with which this program has it.
    fn prefixes<'s>(&self, symbols: impl Iterator<Item = &'s Symbol> + Clone) -> Vec<&'s str> {
        if !self.functions.keys().any(|name| name.starts_with(PREFIX)) {
            return Vec::new();
        }
        let before = |signs: &[&str]| -> HashSet<&'s str> {
            // The longest of two that fit: "sdallocx" ends in "dallocx".
            let prefix = |symbol: &'s Symbol| {
                let before = signs.iter().filter_map(|s| symbol.name.strip_suffix(s));
                before.min_by_key(|before| before.len())
            };
            symbols.clone().filter_map(prefix).collect()
        };
        let (signs, others) = (before(&SIGNS), before(&OTHERS));
        signs.intersection(&others).copied().collect()
    }
}

/// It is one of C++'s operators new and delete.
pub(super) fn is_operator(name: &str) -> bool {
    FORMS.iter().any(|form| name.starts_with(form))
}

const FORMS: [&str; 4] = ["_Znw", "_Zna", "_Zdl", "_Zda"];

/// Which of the operators new, new[], delete and delete[] it is; a function of C is itself.
pub(super) fn form(name: &str) -> &str {
    let form = FORMS.into_iter().find(|form| name.starts_with(form));
    form.unwrap_or(name)
}

/// A Rust program whose `__rust_alloc` does not lead to the system's allocator: that one is `__rdl_alloc`,
/// and `__rg_alloc` a `#[global_allocator]` (before Rust 1.90, which has it in `__rust_alloc`).
fn is_of_own_allocator<'s>(symbols: impl Iterator<Item = &'s Symbol> + Clone) -> bool {
    let has = |wanted| {
        symbols
            .clone()
            .any(|symbol| rust_name(&symbol.name) == wanted)
    };
    has("__rg_alloc") || has("__rust_alloc") && !has("__rdl_alloc")
}

/// `__rust_alloc` of `_RNvCs1234_7___rustc12___rust_alloc`: the path `__rustc::__rust_alloc` (Rust's v0 mangling,
/// where a name that begins with `_` has another one before it).
fn rust_name(symbol: &str) -> &str {
    let inside = symbol
        .strip_prefix("_RNv")
        .and_then(|_| symbol.split_once("_7___rustc"));
    let Some((_, name)) = inside else {
        return symbol;
    };
    let name = name.trim_start_matches(|c: char| c.is_ascii_digit());
    name.strip_prefix('_').unwrap_or(name)
}

/// Libraries whose operators are known to call malloc.
pub(super) fn is_standard_library(name: &str) -> bool {
    ["libstdc++", "libc++", "libsupc++"]
        .iter()
        .any(|library| name.starts_with(library))
}

/// Which functions of a module call the C heap's, or operators.
struct Calls<'i> {
    image: &'i Image,
    bytes: &'i [u8],
    /// Such functions in the module itself.
    functions: HashSet<Vaddr>,
    /// Where the addresses of such are that it imports.
    slots: HashSet<Vaddr>,
}

impl<'i> Calls<'i> {
    fn new<'s>(
        image: &'i Image,
        bytes: &'i [u8],
        symbols: impl Iterator<Item = &'s Symbol>,
    ) -> Calls<'i> {
        let heap = [
            "malloc",
            "free",
            "calloc",
            "aligned_alloc",
            "memalign",
            "posix_memalign",
        ];
        let is_meant = |name: &str| heap.contains(&name) || is_operator(name);
        let imports = image
            .imports
            .iter()
            .filter(|import| is_meant(&import.symbol));
        Calls {
            functions: symbols
                .filter(|s| is_meant(&s.name))
                .map(|s| s.vaddr)
                .collect(),
            slots: imports.map(|import| import.slot).collect(),
            image,
            bytes,
        }
    }

    /// The function calls one of them itself, or is another name of it.
    fn heap(&self, symbol: &Symbol) -> bool {
        let length = usize::try_from(symbol.size).unwrap_or(LONGEST).min(LONGEST);
        self.instructions(symbol.vaddr, length).any(|instruction| {
            self.is_through_slot(&instruction)
                || target(&instruction).is_some_and(|target| {
                    let is_other = target != symbol.vaddr;
                    is_other && (self.functions.contains(&target) || self.is_stub(target))
                })
        })
    }

    /// A PLT's stub of one of them: its first instruction, or the one behind `endbr64`, jumps by the slot.
    fn is_stub(&self, at: Vaddr) -> bool {
        let mut first = self
            .instructions(at, 16)
            .filter(|i| i.mnemonic() != Mnemonic::Endbr64);
        first.next().is_some_and(|jump| self.is_through_slot(&jump))
    }

    fn is_through_slot(&self, instruction: &Instruction) -> bool {
        let is_call = matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Jmp);
        is_call
            && instruction.is_ip_rel_memory_operand()
            && self
                .slots
                .contains(&Vaddr(instruction.ip_rel_memory_address()))
    }

    fn instructions(
        &self,
        at: Vaddr,
        length: usize,
    ) -> impl Iterator<Item = Instruction> + use<'i> {
        let code = self.image.bytes_at(self.bytes, at);
        let code = code.get(..length).unwrap_or(code);
        let mut decoder =
            Decoder::with_ip(self.image.class.bits(), code, at.0, DecoderOptions::NONE);
        std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
    }
}

/// Where a call or jump leads that says so itself.
fn target(instruction: &Instruction) -> Option<Vaddr> {
    let is_near = instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64;
    is_near.then(|| Vaddr(instruction.near_branch_target()))
}

fn parse(text: &'static str) -> Vec<Allocator> {
    let mut allocators: Vec<Allocator> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let functions = HashMap::new();
            allocators.push(Allocator { name, functions });
        } else if let Some((usual, names)) = line.split_once(": ")
            && let Some(allocator) = allocators.last_mut()
        {
            allocator
                .functions
                .extend(names.split(' ').map(|name| (name, usual)));
        }
    }
    allocators
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::pairs;

    #[test]
    fn what_is_shipped() {
        let heap = pairs::named("heap").expect("a set");
        let functions = heap.iter().flat_map(|pair| pair.functions());
        let known: HashSet<&str> = functions
            .flat_map(|f| f.names.iter().map(String::as_str))
            .collect();
        assert!(SHIPPED.len() > 8);
        for allocator in SHIPPED.iter() {
            assert!(
                allocator
                    .functions
                    .values()
                    .any(|usual| *usual == "malloc" || *usual == "aligned_alloc")
            );
            for (name, usual) in &allocator.functions {
                assert!(
                    known.contains(usual),
                    "{}: {name} is like {usual}",
                    allocator.name
                );
            }
        }
    }

    #[test]
    fn names_of_rust() {
        for name in ["__rust_alloc", "_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc"] {
            assert_eq!(rust_name(name), "__rust_alloc");
        }
        assert_eq!(
            rust_name("_RNvCsfLfy6EI15iL_7___rustc10rust_panic"),
            "rust_panic"
        );
        assert_eq!(
            rust_name("_RNvNtCs1_3std5alloc8rust_oom"),
            "_RNvNtCs1_3std5alloc8rust_oom"
        );
    }

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        let symbol = |(number, name): (u64, &&str)| Symbol {
            name: (*name).to_owned(),
            vaddr: Vaddr(0x1000 + 0x100 * number),
            size: 0x100,
            kind: SymbolKind::Func,
            scope: crate::elf::Scope::Local,
        };
        (0..).zip(names).map(symbol).collect()
    }

    /// `allocator usual` of each function that is known.
    #[track_caller]
    fn check(names: &[&str], expected: &[&str]) {
        let symbols = symbols(names);
        let mut told = Vec::new();
        for allocator in SHIPPED.iter().filter(|a| a.name != RUST) {
            let prefixes = allocator.prefixes(symbols.iter());
            let known = symbols
                .iter()
                .filter_map(|symbol| allocator.known(symbol, &prefixes));
            told.extend(known.map(|known| format!("{} {}", allocator.name, known.usual)));
        }
        assert_eq!(told, expected, "{names:?}");
    }

    #[test]
    fn functions_of_allocators() {
        check(
            &[
                "_rjem_malloc",
                "_rjem_mallocx",
                "_rjem_sdallocx",
                "_rjem_malloc_default",
                "malloc",
                "je_malloc",
            ],
            &["jemalloc malloc", "jemalloc malloc", "jemalloc free"],
        );
        check(
            &[
                "je_arrow_rallocx",
                "je_arrow_malloc",
                "je_arena_malloc",
                "je_arrow_mallctl",
            ],
            &["jemalloc realloc", "jemalloc malloc"],
        );
        check(
            &[
                "malloc",
                "free",
                "mallocx",
                "mallctl",
                "sdallocx",
                "my_mallocx",
                "my_malloc",
            ],
            &["jemalloc malloc", "jemalloc free"],
        );
        check(
            &[
                "my_malloc",
                "my_free",
                "g_malloc",
                "xmalloc",
                "mi_option_get",
                "nallocx",
            ],
            &[],
        );
        check(
            &["mi_malloc_aligned", "mi_free", "mi_heap_calloc"],
            &[
                "mimalloc malloc",
                "mimalloc free",
                "mimalloc aligned_calloc_like",
            ],
        );
    }

    #[test]
    fn rust_programs() {
        let check = |names: &[&str], expected| {
            assert_eq!(
                is_of_own_allocator(symbols(names).iter()),
                expected,
                "{names:?}"
            );
        };
        check(&["main"], false);
        check(&["__rust_alloc", "__rdl_alloc"], false);
        check(&["__rust_alloc", "__rg_alloc", "__rdl_alloc"], true);
        check(&["_RNvCs1_7___rustc12___rust_alloc"], true);
        check(
            &[
                "_RNvCs1_7___rustc12___rust_alloc",
                "_RNvCs1_7___rustc11___rdl_alloc",
            ],
            false,
        );
    }
}
