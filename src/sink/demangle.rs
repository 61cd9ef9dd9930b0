//! Names as their language writes them (`-C`): Rust of both schemes, then C++.

use crate::base;
use crate::stack::names;
use cpp_demangle::DemangleOptions;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// What a mangled name means; `None` for a name that is not mangled. The hash at the end of a Rust
/// name is left out.
pub fn demangle(symbol: &str) -> Option<String> {
    if !symbol.starts_with(['_', '.']) {
        return None;
    }
    if let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        return Some(format!("{rust:#}"));
    }
    names::cpp(symbol, &DemangleOptions::new())
}

/// How symbols are shown. Each is demangled once.
pub struct Names {
    demangle: bool,
    known: HashMap<Arc<str>, Arc<str>>,
}

impl Names {
    /// As the file spells them.
    pub fn as_they_are() -> Names {
        Names {
            demangle: false,
            known: HashMap::new(),
        }
    }

    /// As their language writes them.
    pub fn demangled() -> Names {
        Names {
            demangle: true,
            known: HashMap::new(),
        }
    }

    /// What to show for the symbol.
    pub fn of(&mut self, symbol: &Arc<str>) -> Arc<str> {
        if !self.demangle {
            return printable(symbol);
        }
        if let Some(name) = self.known.get(symbol) {
            return Arc::clone(name);
        }
        let name = demangle(symbol).map_or_else(|| Arc::clone(symbol), Arc::from);
        let name = printable(&name);
        self.known.insert(Arc::clone(symbol), Arc::clone(&name));
        name
    }
}

/// A file may hold any bytes as a name; none of them may command the terminal.
fn printable(name: &Arc<str>) -> Arc<str> {
    match base::printable::printable(name) {
        Cow::Borrowed(_) => Arc::clone(name),
        Cow::Owned(name) => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(symbol: &str, name: &str) {
        let mut names = Names::demangled();
        let symbol = Arc::from(symbol);
        assert_eq!(&*names.of(&symbol), name);
        assert_eq!(&*names.of(&symbol), name, "and again");
        assert_eq!(Names::as_they_are().of(&symbol), symbol);
    }

    #[test]
    fn names_of_all_languages() {
        check("malloc", "malloc");
        check("_ITM_registerTMCloneTable", "_ITM_registerTMCloneTable");
        check(
            "_ZNSt13runtime_errorC1EPKc",
            "std::runtime_error::runtime_error(char const*)",
        );
        check("_Znwm", "operator new(unsigned long)");
        check(
            "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
            "core::fmt::Formatter::write_str",
        );
        check("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar");
        check("_Z", "_Z");
        check("_ZN", "_ZN");
    }

    #[test]
    fn names_do_not_command_the_terminal() {
        let symbol = Arc::from("a\u{1b}[31mb");
        assert_eq!(&*Names::as_they_are().of(&symbol), "a\\033[31mb");
        assert_eq!(&*Names::demangled().of(&symbol), "a\\033[31mb");
    }

    proptest! {
        #[test]
        fn any_name_is_taken(symbol in "(_Z|_R|_ZN|)[A-Za-z0-9_$.]{0,40}") {
            let _ = demangle(&symbol);
        }
    }
}
