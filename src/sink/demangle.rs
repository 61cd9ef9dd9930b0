//! Names as their language writes them (`-C`): Rust of both schemes, then C++.

use crate::base;
use crate::stack::names::{self, Spelling};
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
    written: Spelling,
    known: HashMap<Arc<str>, Arc<str>>,
}

impl Names {
    /// Written in this way.
    pub fn new(written: Spelling) -> Names {
        Names {
            written,
            known: HashMap::new(),
        }
    }

    /// What to show for the symbol.
    pub fn of(&mut self, symbol: &Arc<str>) -> Arc<str> {
        if self.written == Spelling::AsTheyAre {
            return printable(symbol);
        }
        if let Some(name) = self.known.get(symbol) {
            return Arc::clone(name);
        }
        let name = match self.written {
            Spelling::Short if symbol.starts_with('_') => names::spoken(symbol).into(),
            _ => demangle(symbol).map_or_else(|| Arc::clone(symbol), Arc::from),
        };
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
        let mut names = Names::new(Spelling::Whole);
        let symbol = Arc::from(symbol);
        assert_eq!(&*names.of(&symbol), name);
        assert_eq!(&*names.of(&symbol), name, "and again");
        assert_eq!(Names::new(Spelling::AsTheyAre).of(&symbol), symbol);
    }

    #[track_caller]
    fn check_short(symbol: &str, name: &str) {
        let shown = Names::new(Spelling::Short).of(&Arc::from(symbol));
        assert_eq!(&*shown, name, "{symbol}");
    }

    #[test]
    fn short_names() {
        check_short("malloc", "malloc");
        check_short("_IO_putc", "_IO_putc");
        check_short("__GI_malloc", "malloc");
        check_short(
            "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE6appendEPKc",
            "std::string::append",
        );
        check_short(
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
            "std::vector<...>::push_back",
        );
        check_short("_ZN3app4tmaxIiEET_S1_S1_", "app::tmax<int>");
        check_short(
            "_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc",
            "std::operator<< <...>",
        );
        check_short("_Znwm", "operator new");
        check_short(
            "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
            "core::fmt::Formatter::write_str",
        );
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
        for written in [Spelling::AsTheyAre, Spelling::Short, Spelling::Whole] {
            assert_eq!(&*Names::new(written).of(&symbol), "a\\033[31mb");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_taken(symbol in "(_Z|_R|_ZN|)[A-Za-z0-9_$.]{0,40}") {
            let _ = demangle(&symbol);
        }
    }
}
