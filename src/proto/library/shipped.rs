//! The prototype files that come with the program. Of their thousands of functions few are asked for: a function's line
//! is parsed when it is.

use crate::proto::Prototype;
use crate::proto::parse::{self, Imports, Parsed};
use crate::proto::shipped::{EVERYWHERE, FILES};
use crate::proto::types::Type;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The files, each looked through when it is first asked.
#[derive(Clone, Debug)]
pub(super) struct Shipped([OnceLock<Arc<File>>; FILES.len()]);

/// One of the files.
#[derive(Debug)]
struct File {
    /// The lines of its functions.
    lines: FxHashMap<&'static str, &'static str>,
    /// What it imports: files that serve for its other functions.
    imports: Vec<&'static str>,
    /// Its types, and the functions that were asked for.
    parsed: Mutex<Parsed>,
}

impl Shipped {
    pub(super) fn new() -> Shipped {
        Shipped([const { OnceLock::new() }; FILES.len()])
    }

    /// A function of one of these libraries, or else of those files that serve every library.
    pub(super) fn find(&self, symbol: &str, sonames: &[&str]) -> Option<Arc<Prototype>> {
        let mut everywhere = EVERYWHERE.iter();
        self.find_own(symbol, sonames)
            .or_else(|| everywhere.find_map(|name| self.function(name, symbol)))
    }

    /// A function of one of these libraries.
    pub(super) fn find_own(&self, symbol: &str, sonames: &[&str]) -> Option<Arc<Prototype>> {
        let mut names = sonames.iter().flat_map(|soname| super::snipped(soname));
        names.find_map(|name| self.function(&name, symbol))
    }

    /// A function of the file of this name.
    pub(super) fn function(&self, name: &str, symbol: &str) -> Option<Arc<Prototype>> {
        let file = self.file(name)?;
        let mut imports = file.imports.iter();
        file.function(symbol)
            .or_else(|| imports.find_map(|name| self.function(name, symbol)))
    }

    /// A type that the file of this name has a name for.
    pub(super) fn type_of(&self, name: &str, ty: &str) -> Option<Type> {
        let file = self.file(name)?;
        let parsed = file.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        parsed.typedefs.get(ty).cloned()
    }

    fn file(&self, name: &str) -> Option<&File> {
        let index = FILES.iter().position(|(known, _)| *known == name)?;
        let read = || Arc::new(File::read(FILES[index].1, self));
        Some(self.0[index].get_or_init(read))
    }
}

impl File {
    fn read(text: &'static str, others: &Shipped) -> File {
        let mut types = Types {
            others,
            imports: Vec::new(),
        };
        let mut lines = FxHashMap::default();
        let mut parsed = Parsed::default();
        for line in text.lines() {
            match function(line) {
                Some(name) => drop(lines.insert(name, line)),
                // That there is nothing to complain about, tests tell.
                None => drop(parse::add_line(line, &mut parsed, &mut types)),
            }
        }
        File {
            lines,
            imports: types.imports,
            parsed: Mutex::new(parsed),
        }
    }

    fn function(&self, symbol: &str) -> Option<Arc<Prototype>> {
        let line = self.lines.get(symbol)?;
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if !parsed.functions.contains_key(symbol) {
            drop(parse::add_line(line, &mut parsed, &mut parse::Alone));
        }
        parsed.functions.get(symbol).cloned()
    }
}

/// Imports the types of other files that come with the program. Their functions are looked for there.
struct Types<'s> {
    others: &'s Shipped,
    imports: Vec<&'static str>,
}

impl Imports for Types<'_> {
    fn import(&mut self, name: &str) -> Result<Arc<Parsed>, String> {
        let known = FILES.iter().find(|(known, _)| *known == name);
        let (name, file) = known
            .and_then(|(name, _)| Some((name, self.others.file(name)?)))
            .ok_or_else(|| format!("there is no '{name}'"))?;
        self.imports.push(name);
        let parsed = file.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(Parsed {
            typedefs: parsed.typedefs.clone(),
            ..Parsed::default()
        }))
    }
}

/// The function that a line is about: what stands before its last parentheses.
fn function(line: &str) -> Option<&str> {
    if ["typedef ", "import ", ";", "#"]
        .iter()
        .any(|word| line.starts_with(word))
    {
        return None;
    }
    let mut depth = 0;
    let mut marks = line.char_indices().rev();
    let opening = marks.find(|(_, mark)| {
        match mark {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        *mark == '(' && depth == 0
    });
    let before = line.get(..opening?.0)?.trim_end();
    let is_outside = |mark: char| mark.is_whitespace() || "(),;\"".contains(mark);
    let name = before.rsplit(is_outside).next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::library::Loader;
    use std::collections::BTreeMap;

    /// As parsing all of it does.
    #[test]
    fn every_function_is_found() {
        let shipped = Shipped::new();
        for (name, text) in FILES {
            let whole = Loader::new(Vec::new()).import(name).unwrap();
            let whole: BTreeMap<_, _> = whole.functions.iter().collect();
            for (symbol, prototype) in &whole {
                let found = shipped.function(name, symbol);
                let found = found.unwrap_or_else(|| panic!("{symbol} of {name}"));
                assert_eq!(format!("{found:?}"), format!("{prototype:?}"), "{name}");
            }
            let names = text.lines().filter_map(function);
            let unknown: Vec<_> = names
                .filter(|n| !whole.contains_key(&n.to_string()))
                .collect();
            assert_eq!(unknown, Vec::<&str>::new(), "{name}");
        }
        assert!(shipped.function("libc.so", "nonsense").is_none());
        assert!(shipped.function("nonsense.so", "malloc").is_none());
    }

    /// Few functions are asked for of one file.
    #[test]
    fn only_what_is_asked_for_is_parsed() {
        let shipped = Shipped::new();
        for symbol in ["malloc", "qsort", "malloc"] {
            assert!(shipped.find(symbol, &["libpthread.so.0"]).is_some());
        }
        let libc = shipped.file("libc.so").unwrap();
        assert!(libc.lines.len() > 1000);
        assert_eq!(libc.parsed.lock().unwrap().functions.len(), 2);
    }
}
