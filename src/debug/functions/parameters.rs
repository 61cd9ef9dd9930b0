//! Parameters of functions, as far as debug information tells of them.

use super::super::entries::{At, Entry, flag};
use super::super::rust;
use super::{Convention, Functions, MOST_PARAMS, MOST_STEPS};
use crate::proto::types::{Passing, Type};
use crate::proto::{Param, tell_format};
use gimli::constants as dw;

impl Functions {
    /// The parameters of a function, each with whether something is passed for it; `None` in the place of one whose type is not
    /// known.
    pub(super) fn params(
        &mut self,
        function: &At,
        convention: Convention,
        structor: Option<u8>,
    ) -> Vec<Option<(Param, bool)>> {
        let mut params: Vec<Option<(Param, bool)>> = Vec::new();
        let tells_places = self.tells_places(function);
        for (at, entry) in told(function) {
            match entry.tag() {
                dw::DW_TAG_formal_parameter => {
                    let has_place = !tells_places || entry.attr(dw::DW_AT_location).is_some();
                    let param = self.param(&at, &entry, convention);
                    let param = param.map(|param| (param, has_place));
                    let is_added = |found: &mut Self| found.is_artificial(&at);
                    let is_passed = match (structor, &param) {
                        (Some(variant), Some((param, _)))
                            if !params.is_empty() && is_added(self) =>
                        {
                            is_passed_to(variant, &param.ty)
                        }
                        _ => true,
                    };
                    if is_passed {
                        params.push(param);
                    }
                }
                dw::DW_TAG_unspecified_parameters => {
                    let last = params.last_mut().and_then(Option::as_mut);
                    tell_format(last.map(|(param, _)| param));
                }
                _ => {}
            }
        }
        params
    }

    /// The function is compiled, by LLVM: a parameter without a place is one that it does not read, and whose
    /// register those who call it leave as it is. Who does not know the function's code passes it all the same.
    fn tells_places(&self, function: &At) -> bool {
        let is_compiled = function.entry().is_some_and(|entry| {
            entry.attr(dw::DW_AT_low_pc).is_some() || entry.attr(dw::DW_AT_ranges).is_some()
        });
        let producer = is_compiled.then(|| self.producer(function)).flatten();
        producer.is_some_and(|producer| producer.contains("clang") || producer.contains("LLVM"))
    }

    /// How many parameters of its source a function has.
    pub(super) fn of_source(&mut self, function: &At) -> usize {
        let parameters = told(function).into_iter();
        let parameters = parameters.filter(|(_, e)| e.tag() == dw::DW_TAG_formal_parameter);
        let of_source = parameters.filter(|(at, _)| !self.is_artificial(at));
        of_source.count()
    }

    /// No source has it: `this`, for one.
    fn is_artificial(&mut self, at: &At) -> bool {
        let mut at = at.clone();
        for _ in 0..MOST_STEPS {
            let Some(entry) = at.entry() else {
                return false;
            };
            if flag(&entry, dw::DW_AT_artificial) {
                return true;
            }
            match self.origin(&at, &entry) {
                Some(origin) => at = origin,
                None => return false,
            }
        }
        false
    }

    fn param(&mut self, at: &At, entry: &Entry, convention: Convention) -> Option<Param> {
        let mut holder = at.clone();
        let mut holds = entry.clone();
        let mut name = None;
        for _ in 0..MOST_STEPS {
            name = name.or_else(|| self.entries.text(&holder, &holds, dw::DW_AT_name));
            if holds.attr(dw::DW_AT_type).is_some() {
                break;
            }
            holder = self
                .entries
                .follow(&holder, &holds, dw::DW_AT_abstract_origin)?;
            holds = holder.entry()?;
        }
        let at = self.entries.follow(&holder, &holds, dw::DW_AT_type)?;
        let ty = self.types.get(&mut self.entries, &at);
        let ty = match convention {
            Convention::Platform => passed(ty),
            Convention::Rust => rust::passed(ty)?,
        };
        ty.is_complete().then_some(Param {
            ty,
            name: name.map(Into::into),
            at_return: false,
        })
    }
}

/// The entries below a function, those of its parameters among them.
fn told(function: &At) -> Vec<(At, Entry)> {
    // What a template's parameter pack stands for is in an entry of its own.
    let children = function.children(MOST_PARAMS).into_iter();
    let children = children.flat_map(|at| match at.entry().map(|entry| entry.tag()) {
        Some(dw::DW_TAG_GNU_formal_parameter_pack) => at.children(MOST_PARAMS),
        _ => vec![at],
    });
    let entries = children.filter_map(|at| {
        let entry = at.entry()?;
        Some((at, entry))
    });
    entries.take(MOST_PARAMS).collect()
}

/// Whether a constructor or destructor takes what a compiler has added behind its object. The variants of one share their
/// debug information, and with gcc that has all that any takes: a number for the code that several have in common,
/// and a table for objects that are parts of others (Itanium C++ ABI 2.6).
fn is_passed_to(variant: u8, added: &Type) -> bool {
    match added.unshown() {
        Type::Integer(_) => variant == b'4',
        _ => matches!(variant, b'2' | b'4'),
    }
}

/// What a type becomes as a parameter: objects that are more than their bytes are passed by their addresses.
fn passed(ty: Type) -> Type {
    match ty.unshown() {
        Type::Struct(s) => match s.laid() {
            Some(laid) if laid.passing == Passing::InMemory => ty.pointer(),
            _ => ty,
        },
        _ => ty.decayed(),
    }
}
