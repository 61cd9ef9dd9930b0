//! Names for data: the variable that an address is in, and the class whose virtual table it is.

use super::names::{self, Language};
use super::{ModuleId, Stacks};
use crate::base::addr::Vaddr;
use crate::elf::Objects;
use std::collections::HashMap;

/// Names data. What was read is kept.
#[derive(Default)]
pub struct DataNames {
    modules: HashMap<ModuleId, Objects>,
}

impl DataNames {
    /// `served (server .bss)`; with an offset where it is not the beginning of the variable.
    pub fn variable(&mut self, stacks: &Stacks, module: ModuleId, at: Vaddr) -> Option<String> {
        let name = stacks.module(module)?.name.clone();
        let objects = self.objects(stacks, module)?;
        let section = objects.section(at).unwrap_or("data");
        let Some((object, offset)) = objects.find(at) else {
            return Some(format!("({name} {section})"));
        };
        let (variable, language) = names::demangle(&object.name);
        let variable = names::abbreviate(&variable, language);
        let offset = match offset {
            0 => String::new(),
            offset => format!("+{offset:#x}"),
        };
        Some(format!("{variable}{offset} ({name} {section})"))
    }

    /// The class of an object that begins with this address (Itanium C++ ABI 2.5: it points behind the
    /// two first words of `vtable for …`).
    pub fn class(&mut self, stacks: &Stacks, module: ModuleId, at: Vaddr) -> Option<String> {
        let objects = self.objects(stacks, module)?;
        let (object, _) = objects.find(at)?;
        if !object.name.starts_with("_ZTV") {
            return None;
        }
        let (name, _) = names::demangle(&object.name);
        let class = match name.strip_prefix("{vtable(") {
            Some(rest) => rest.strip_suffix(")}").unwrap_or(rest),
            None => name.strip_prefix("vtable for ")?,
        };
        Some(held(class))
    }

    fn objects(&mut self, stacks: &Stacks, module: ModuleId) -> Option<&Objects> {
        let file = &stacks.module(module)?.file;
        let read = || Objects::read(file).unwrap_or_default();
        Some(self.modules.entry(module).or_insert_with(read))
    }
}

/// What std::make_shared keeps beside its counts is what the reader knows.
fn held(class: &str) -> String {
    for counted in [
        "std::_Sp_counted_ptr_inplace<",
        "std::_Sp_counted_ptr<",
        "std::_Sp_counted_deleter<",
    ] {
        if let Some(arguments) = class.strip_prefix(counted) {
            let mut depth = 0;
            let end = arguments.find(|c| {
                depth += match c {
                    '<' => 1,
                    '>' => -1,
                    _ => 0,
                };
                depth < 0 || c == ',' && depth == 0
            });
            let first = arguments
                .get(..end.unwrap_or(arguments.len()))
                .unwrap_or(arguments);
            return names::abbreviate(first.trim_end_matches(['*', ' ']), Language::Cpp);
        }
    }
    names::abbreviate(class, Language::Cpp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let check = |class: &str, shown| assert_eq!(held(class), shown, "{class}");
        check("word_counter", "word_counter");
        check(
            "std::_Sp_counted_ptr_inplace<input_reader, std::allocator<void>, (__gnu_cxx::_Lock_policy)2>",
            "input_reader",
        );
        check(
            "std::_Sp_counted_ptr<a::node<int, char>*, (__gnu_cxx::_Lock_policy)2>",
            "a::node<int, char>",
        );
    }
}
