//! What debug information says of a module's functions. Nothing is read before it is asked for, and then only the units
//! whose code it is about.

mod parameters;

use super::entries::{At, Entries, Entry, Part, code};
use super::separate::Open;
use super::types::{Named, Types, in_larger_register, is_passed_as_told};
use super::units::{Stretches, Units};
use super::{Module, rust, sections, separate};
use crate::base::addr::Vaddr;
use crate::mangled;
use crate::proto::layout::Model;
use crate::proto::types::{Lens, Passing, Type};
use crate::proto::{Param, Prototype};
use gimli::{AttributeValue, DebugInfoOffset, DwLang, constants as dw};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many parameters a function has at most, and so many steps lead to its declaration.
const MOST_PARAMS: usize = 64;
const MOST_STEPS: usize = 8;
/// What it may take to look through the units of a module. Honest ones take a second for gigabytes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The functions of one module.
pub struct Functions {
    module: Module,
    open: Box<Open>,
    entries: Entries,
    /// The code of units, as a table in the file has it.
    table: Option<Units>,
    /// The same as the units have it themselves, when the table does not know enough.
    units: Option<Units>,
    /// The functions of units.
    known: HashMap<DebugInfoOffset, Rc<InUnit>>,
    types: Types,
    prototypes: HashMap<Vaddr, Option<Arc<Prototype>>>,
}

/// The functions of a unit.
#[derive(Default)]
struct InUnit {
    /// By their first instructions.
    by_address: HashMap<u64, At>,
    /// Those that have no code of their own, as another's is the same.
    without_code: Vec<At>,
}

/// How functions of a language are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convention {
    /// As the platform's documents say.
    Platform,
    /// Rust's own: what is larger than two words is passed by its address.
    Rust,
}

impl Functions {
    /// The functions of a module that has debug information somewhere. Types that are in `named` are meant to be shown so;
    /// and so are structures of the C library's that are in `system`, in programs of 64 bits.
    pub fn of(
        module: Module,
        open: impl Fn(&Module, &std::path::Path) -> Vec<super::Bytes> + Send + 'static,
        named: Named,
        system: Named,
    ) -> Option<Functions> {
        let file = separate::find(&module, &open)?;
        let dwarf = sections::whole(&module, &file, &open)?;
        Some(Functions {
            module,
            open: Box::new(open),
            entries: Entries::new(dwarf),
            table: None,
            units: None,
            known: HashMap::new(),
            types: Types::new(named, system),
            prototypes: HashMap::new(),
        })
    }

    /// How the function is typed that begins there, whose symbol is this.
    pub fn prototype(&mut self, at: Vaddr, symbol: &str) -> Option<Arc<Prototype>> {
        if let Some(known) = self.prototypes.get(&at) {
            return known.clone();
        }
        let found = match is_clone(symbol) {
            true => None,
            false => self.find(at, symbol),
        };
        let prototype = found.and_then(|function| self.typed(&function, symbol));
        let prototype = prototype.map(Arc::new);
        self.prototypes.insert(at, prototype.clone());
        prototype
    }

    fn find(&mut self, at: Vaddr, symbol: &str) -> Option<At> {
        let table = self
            .table
            .get_or_insert_with(|| Units::new(self.entries.table()));
        let around: Vec<DebugInfoOffset> = table.around(at.0).collect();
        if !around.is_empty() {
            return self.find_in(around, at, symbol);
        }
        if self.units.is_none() {
            self.units = Some(self.read_units());
        }
        let around = self.units.as_ref()?.around(at.0).collect();
        self.find_in(around, at, symbol)
    }

    fn find_in(&mut self, units: Vec<DebugInfoOffset>, at: Vaddr, symbol: &str) -> Option<At> {
        units.into_iter().find_map(|start| {
            let functions = self.functions(start)?;
            let found = functions.by_address.get(&at.0);
            if found.is_some_and(|found| self.is_called(found, symbol)) {
                return found.cloned();
            }
            let mut others = functions.without_code.iter();
            let called = others.find(|other| self.is_called(other, symbol));
            called.or(found).cloned()
        })
    }

    /// Whether a function has this symbol.
    fn is_called(&mut self, function: &At, symbol: &str) -> bool {
        let mut at = function.clone();
        for _ in 0..MOST_STEPS {
            let Some(entry) = at.entry() else {
                return false;
            };
            let names = [
                dw::DW_AT_linkage_name,
                dw::DW_AT_MIPS_linkage_name,
                dw::DW_AT_name,
            ];
            let mut names = names
                .iter()
                .filter_map(|name| self.entries.text(&at, &entry, *name));
            if names.any(|name| name == symbol) {
                return true;
            }
            match self.origin(&at, &entry) {
                Some(origin) => at = origin,
                None => return false,
            }
        }
        false
    }

    /// The entry that one continues.
    fn origin(&mut self, at: &At, entry: &Entry) -> Option<At> {
        let entries = &mut self.entries;
        entries
            .follow(at, entry, dw::DW_AT_abstract_origin)
            .or_else(|| entries.follow(at, entry, dw::DW_AT_specification))
    }

    /// The code of all units.
    fn read_units(&mut self) -> Units {
        let begun = Instant::now();
        let mut stretches = Stretches::default();
        for start in self.entries.starts(Part::Main).iter() {
            if begun.elapsed() > PATIENCE {
                break;
            }
            let Some(at) = self.entries.unit(Part::Main, *start) else {
                continue;
            };
            let Some(unit) = self.entries.unit_ref(&at) else {
                continue;
            };
            let root = at.entry();
            let ranges = root.map(|root| code(&unit, &root)).unwrap_or_default();
            for range in ranges {
                stretches.add(range, *start);
            }
        }
        Units::new(stretches)
    }

    fn functions(&mut self, start: DebugInfoOffset) -> Option<Rc<InUnit>> {
        if let Some(known) = self.known.get(&start) {
            return Some(known.clone());
        }
        let skeleton = self.entries.unit(Part::Main, start)?;
        let at = self.entries.whole(skeleton, &self.module, &*self.open);
        let functions = Rc::new(self.read_functions(&at));
        self.known.insert(start, functions.clone());
        Some(functions)
    }

    fn read_functions(&self, at: &At) -> InUnit {
        let mut found = InUnit::default();
        let Some(unit) = self.entries.unit_ref(at) else {
            return found;
        };
        let begun = Instant::now();
        let Ok(mut entries) = at.unit.entries_raw(None) else {
            return found;
        };
        while !entries.is_empty() && begun.elapsed() < PATIENCE {
            let offset = entries.next_offset();
            let Ok(abbreviation) = entries.read_abbreviation() else {
                break;
            };
            let Some(abbreviation) = abbreviation else {
                continue;
            };
            if entries.skip_attributes(abbreviation.attributes()).is_err() {
                break;
            }
            if abbreviation.tag() != dw::DW_TAG_subprogram {
                continue;
            }
            let has = |name| {
                let mut attributes = abbreviation.attributes().iter();
                attributes.any(|attribute| attribute.name() == name)
            };
            let function = at.sibling(offset);
            if !has(dw::DW_AT_low_pc) && !has(dw::DW_AT_ranges) {
                if has(dw::DW_AT_external) && !has(dw::DW_AT_declaration) {
                    found.without_code.push(function);
                }
                continue;
            }
            let begins = function
                .entry()
                .and_then(|entry| Some(code(&unit, &entry).first()?.start));
            if let Some(begins) = begins {
                found.by_address.entry(begins).or_insert(function);
            }
        }
        found
    }

    /// The function of this entry, and of those that it continues.
    fn typed(&mut self, function: &At, symbol: &str) -> Option<Prototype> {
        let convention = convention(self.language(function)?)?;
        let structor = mangled::structor(symbol);
        let mut of_source = 0;
        let mut result = None;
        let mut at = function.clone();
        let mut params = Vec::new();
        for _ in 0..MOST_STEPS {
            let entry = at.entry()?;
            if is_called_otherwise(&entry) {
                return None;
            }
            // What is compiled need not have all that its source has.
            let here = self.params(&at, convention, structor);
            if here.len() > params.len() {
                params = here;
                of_source = self.of_source(&at);
            }
            if result.is_none() && entry.attr(dw::DW_AT_type).is_some() {
                result = Some(self.entries.follow(&at, &entry, dw::DW_AT_type)?);
            }
            match self.origin(&at, &entry) {
                Some(origin) => at = origin,
                None => break,
            }
        }
        // clang says nothing of objects that are passed, but not used.
        if mangled::parameters(symbol).is_some_and(|named| of_source < named) {
            return None;
        }
        let result = match result {
            Some(at) => self.types.get(&mut self.entries, &at),
            None => Type::Void,
        };
        let result = match convention {
            Convention::Platform => result.decayed(),
            Convention::Rust => rust::returned(result)?,
        };
        let params: Vec<(Param, bool)> = params.into_iter().collect::<Option<_>>()?;
        let (params, passed): (Vec<Param>, Vec<bool>) = params.into_iter().unzip();
        let params = match convention {
            Convention::Platform => params,
            Convention::Rust => rust::placed(params),
        };
        let params = match self.splits_wide_integers(function) {
            true => params.into_iter().map(split_if_wide).collect(),
            false => params,
        };
        self.types.finish(&mut self.entries);
        let model = match function.unit.encoding().address_size {
            4 => Model::Ilp32,
            _ => Model::Lp64,
        };
        let result = in_larger_register(result, model);
        let params: Vec<Param> = params
            .into_iter()
            .map(|param| Param {
                ty: in_larger_register(param.ty, model),
                ..param
            })
            .collect();
        let is_told = |ty: &Type| is_passed_as_told(ty, model);
        if !is_told(&result) || !params.iter().all(|param| is_told(&param.ty)) {
            return None;
        }
        let params = params.into_iter().zip(passed).map(known_if).collect();
        Some(Prototype::new(symbol, result, params))
    }

    /// Before LLVM 18, integers of 16 bytes were passed as two of 8, unlike as the psABI says.
    fn splits_wide_integers(&mut self, function: &At) -> bool {
        self.producer(function)
            .is_some_and(|producer| is_before_llvm_18(&producer))
    }

    /// What compiled it.
    fn producer(&self, function: &At) -> Option<String> {
        let root = function.sibling(function.unit.header.root_offset());
        let entry = root.entry()?;
        self.entries.text(&root, &entry, dw::DW_AT_producer)
    }

    fn language(&self, function: &At) -> Option<DwLang> {
        let root = function.sibling(function.unit.header.root_offset());
        match root.entry()?.attr_value(dw::DW_AT_language)? {
            AttributeValue::Language(language) => Some(language),
            _ => None,
        }
    }
}

/// What is in several parts may be read although its place is not told.
fn known_if((param, is_passed): (Param, bool)) -> Param {
    match is_passed || param.ty.is_wide() || matches!(param.ty.unshown(), Type::Struct(_)) {
        true => param,
        false => Param {
            ty: param.ty.shown(Lens::Unknown),
            ..param
        },
    }
}

fn split_if_wide(param: Param) -> Param {
    match param.ty.is_wide() {
        true => Param {
            ty: rust::passed_as(&param.ty, Passing::ByHalves),
            ..param
        },
        false => param,
    }
}

/// `Debian clang version 14.0.6`, `clang LLVM (rustc version 1.77.2 (25ef9e3d8 2024-04-09))`
fn is_before_llvm_18(producer: &str) -> bool {
    let version = |behind: &str| -> Option<u32> {
        let (_, version) = producer.split_once(behind)?;
        let digits = version.find(|c: char| !c.is_ascii_digit());
        version.get(..digits.unwrap_or(version.len()))?.parse().ok()
    };
    // Rust 1.78 came with LLVM 18.
    version("rustc version 1.").is_some_and(|version| version < 78)
        || version("clang version ").is_some_and(|version| version < 18)
}

/// A compiler that knows all callers calls it in a way of its own (DWARF 5, 3.3.1.1).
fn is_called_otherwise(entry: &Entry) -> bool {
    matches!(
        entry.attr_value(dw::DW_AT_calling_convention),
        Some(AttributeValue::CallingConvention(dw::DW_CC_nocall))
    )
}

/// Clones of functions, made by a compiler that knows all callers, need not take what their source says.
fn is_clone(symbol: &str) -> bool {
    [".isra.", ".constprop.", ".part."]
        .iter()
        .any(|mark| symbol.contains(mark))
}

/// How functions of a language are called; `None`: in a way of its own.
fn convention(language: DwLang) -> Option<Convention> {
    match language {
        dw::DW_LANG_Rust => Some(Convention::Rust),
        dw::DW_LANG_Go | dw::DW_LANG_Swift | dw::DW_LANG_Haskell | dw::DW_LANG_OCaml => None,
        _ => Some(Convention::Platform),
    }
}

#[cfg(test)]
mod tests {
    use super::is_before_llvm_18;

    #[test]
    fn compilers_by_their_names() {
        let check =
            |producer, expected| assert_eq!(is_before_llvm_18(producer), expected, "{producer}");
        check("Debian clang version 14.0.6", true);
        check("clang version 18.1.3 (1ubuntu1)", false);
        check(
            "clang LLVM (rustc version 1.77.2 (25ef9e3d8 2024-04-09))",
            true,
        );
        check(
            "clang LLVM (rustc version 1.95.0 (59807616e 2026-04-14))",
            false,
        );
        check("GNU C17 12.2.0 -mtune=generic -march=x86-64 -g", false);
        check("clang version ", false);
    }
}
