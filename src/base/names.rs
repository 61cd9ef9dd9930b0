//! Names of functions: as their language writes them, short enough to read, and whose they are.

use cpp_demangle::DemangleOptions;
use std::fmt;

/// What a function is written in, as far as its name or debug information tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// C, assembly, or not stated.
    Unknown,
    /// C++.
    Cpp,
    /// Rust.
    Rust,
}

/// A symbol as its language writes it. What is not mangled is left as it is. The hash at the end of
/// a Rust name and the return type of a C++ template are left out, and so is what glibc puts before
/// the names by which it calls itself.
pub fn demangle(symbol: &str) -> (String, Language) {
    let symbol = symbol.strip_prefix("__GI_").unwrap_or(symbol);
    if let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        return (format!("{rust:#}"), Language::Rust);
    }
    let short = DemangleOptions::new().no_return_type();
    match cpp(symbol, &short).or_else(|| path(symbol)) {
        Some(name) => (name, Language::Cpp),
        None => (symbol.to_owned(), Language::Unknown),
    }
}

/// A C++ name (Itanium C++ ABI, "External Names").
pub fn cpp(symbol: &str, options: &DemangleOptions) -> Option<String> {
    if !symbol.starts_with("_Z") {
        return None;
    }
    let mut name = Bounded(String::new());
    cpp_demangle::Symbol::new(symbol)
        .ok()?
        .structured_demangle(&mut name, options)
        .ok()?;
    // The demangler writes an empty argument pack as an argument.
    Some(name.0.replace(", >", ">"))
}

/// How symbols are written for a reader (`-C`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// As the file spells them.
    #[default]
    AsTheyAre,
    /// As their language writes them, without parameters and long template arguments.
    Short,
    /// As their language writes them.
    Whole,
}

/// A symbol as people name the function: `operator delete` for `_ZdlPvm`.
pub fn spoken(symbol: &str) -> String {
    let (name, language) = demangle(symbol);
    match language {
        Language::Cpp => abbreviate(&usual(name), language),
        _ => abbreviate(&name, language),
    }
}

/// A name of C++ with the names by which programs know types of its library.
fn usual(name: String) -> String {
    const OF_CHARACTERS: &str = "<char, std::char_traits<char> >";
    const STRING: &str = "std::basic_string<char, std::char_traits<char>, std::allocator<char> >";
    let inline = ["std::__cxx11::", "std::__1::"];
    let name = inline
        .iter()
        .fold(name, |name, space| name.replace(space, "std::"));
    // Behind what ends with a bracket stands a blank.
    let renamed = |name: String, whole: &str, short: &str| {
        let name = name.replace(&format!("{whole} >"), &format!("{short}>"));
        name.replace(whole, short)
    };
    let name = renamed(name, STRING, "std::string");
    let kinds = ["ostream", "istream", "iostream", "string_view"].iter();
    kinds.fold(name, |name, kind| {
        let whole = format!("std::basic_{kind}{OF_CHARACTERS}");
        renamed(name, &whole, &format!("std::{kind}"))
    })
}

/// A type by the name that a program has for it (Itanium C++ ABI, 2.9.5): `std::runtime_error` for `St13runtime_error`.
pub fn type_name(mangled: &str) -> Option<String> {
    // A name that is not to be compared with that of another file.
    let name = mangled.strip_prefix('*').unwrap_or(mangled);
    let spoken = cpp(&format!("_ZTS{name}"), &DemangleOptions::new())?;
    Some(usual(spoken.strip_prefix("typeinfo name for ")?.to_owned()))
}

/// The path at the head of a C++ name that the demangler does not understand as a whole:
/// `std::make_shared<...>` (Itanium C++ ABI, `<nested-name>` and `<source-name>`).
fn path(symbol: &str) -> Option<String> {
    let rest = symbol.strip_prefix("_Z")?;
    let rest = rest.strip_prefix('N').unwrap_or(rest);
    let mut rest = rest.trim_start_matches(['K', 'V', 'r']);
    let mut parts = Vec::new();
    if let Some(std) = rest.strip_prefix("St") {
        parts.push("std");
        rest = std;
    }
    while rest.starts_with(|c: char| c.is_ascii_digit()) {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (length, tail) = rest.split_at(digits);
        let (name, tail) = tail.split_at_checked(length.parse().ok()?)?;
        parts.push(name);
        rest = tail;
    }
    let is_template = rest.starts_with('I');
    let name = parts.join("::");
    match parts.is_empty() {
        true => None,
        false if is_template => Some(name + "<...>"),
        false => Some(name),
    }
}

/// Text that does not grow without end: a few substitutions that name each other make a gigabyte.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const LIMIT: usize = 1 << 16;
        if self.0.len() + text.len() > LIMIT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Template arguments longer than this are left out.
const SHORT: usize = 24;

/// How much of a name stays.
#[derive(Clone, Copy)]
struct Style {
    has_parameters: bool,
    arguments: Arguments,
}

/// Which template or generic arguments stay.
#[derive(Clone, Copy)]
enum Arguments {
    All,
    Short,
    None,
}

/// A name without its parameters, and without long template or generic arguments:
/// `std::map<...>::insert`.
pub fn abbreviate(name: &str, language: Language) -> String {
    rewrite(
        name,
        Style {
            has_parameters: language != Language::Cpp,
            arguments: Arguments::Short,
        },
    )
}

/// A C++ name without its parameters: `ns::Box<int>::put`.
pub fn without_parameters(name: &str) -> String {
    rewrite(
        name,
        Style {
            has_parameters: false,
            arguments: Arguments::All,
        },
    )
}

/// A name without template or generic arguments: `ns::Box::put(int)`.
pub fn without_arguments(name: &str) -> String {
    rewrite(
        name,
        Style {
            has_parameters: true,
            arguments: Arguments::None,
        },
    )
}

fn rewrite(name: &str, style: Style) -> String {
    // "[clone .isra.0]": what a compiler made of one function is still that function.
    let name = name.split(" [clone ").next().unwrap_or(name);
    let mut short = String::with_capacity(name.len().min(128));
    let mut rest = name;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '<' if short.ends_with(is_word) || short.ends_with("::") => {
                arguments(rest, &mut short, style.arguments)
            }
            '(' if !style.has_parameters && !rest.starts_with("(anonymous") => parameters(rest),
            '[' if rest.starts_with("[abi:") => bracketed(rest, '[', ']').len(),
            'o' if !short.ends_with(is_word) => operator(rest, &mut short, style.arguments),
            _ => {
                short.push(next);
                next.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    short
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What stands between brackets, and the bracket at its end. The bracket of `->` closes nothing.
fn bracketed(text: &str, open: char, close: char) -> &str {
    let mut depth = 0usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            c if c == open => depth += 1,
            c if c == close && !(close == '>' && before == '-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at + c.len_utf8()];
        }
        before = c;
    }
    text
}

/// Copies template arguments if they are to stay. Says how much of the name they are.
fn arguments(rest: &str, short: &mut String, which: Arguments) -> usize {
    let arguments = bracketed(rest, '<', '>');
    match which {
        Arguments::Short if arguments.len() > SHORT => short.push_str("<...>"),
        Arguments::All | Arguments::Short => short.push_str(arguments),
        // Rust's `make::<i32>`.
        Arguments::None => short.truncate(short.trim_end_matches("::").len()),
    }
    arguments.len()
}

/// How much of the name are parameters, and the qualifiers behind them. A local entity may still
/// follow: `main(int)::{lambda()#1}`.
fn parameters(rest: &str) -> usize {
    let parameters = bracketed(rest, '(', ')');
    let after = &rest[parameters.len()..];
    let after = [" const", " volatile", " &&", " &", "&&", "&"]
        .iter()
        .fold(after, |after, word| {
            after.strip_prefix(word).unwrap_or(after)
        });
    rest.len() - after.len()
}

/// Copies `operator` with its sign, which may be a bracket, and template arguments behind it.
fn operator(rest: &str, short: &mut String, which: Arguments) -> usize {
    const SIGNS: [&str; 39] = [
        "()", "[]", "<=>", "<<=", ">>=", "<<", ">>", "<=", ">=", "->*", "->", "++", "--", "+=",
        "-=", "*=", "/=", "%=", "^=", "&=", "|=", "&&", "||", "==", "!=", "+", "-", "*", "/", "%",
        "^", "&", "|", "~", "!", "=", ",", "<", ">",
    ];
    let Some(after) = rest.strip_prefix("operator") else {
        short.push('o');
        return 1;
    };
    let sign = SIGNS
        .into_iter()
        .find(|sign| after.starts_with(sign))
        .unwrap_or_default();
    short.push_str("operator");
    short.push_str(sign);
    let behind = &after[sign.len()..];
    let args = behind.trim_start();
    let space = &behind[..behind.len() - args.len()];
    let arguments = match args.starts_with('<') {
        true => {
            short.push_str(space);
            space.len() + arguments(args, short, which)
        }
        false => 0,
    };
    "operator".len() + sign.len() + arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(symbol: &str, name: &str, short: &str, language: Language) {
        assert_eq!(demangle(symbol), (name.to_owned(), language));
        assert_eq!(abbreviate(name, language), short);
    }

    #[test]
    fn names_of_types() {
        let name = |mangled| type_name(mangled);
        assert_eq!(name("*3foo").as_deref(), Some("foo"));
        assert_eq!(name("PKc").as_deref(), Some("char const*"));
        let string = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
        assert_eq!(name(string).as_deref(), Some("std::string"));
        assert_eq!(name("no type"), None);
    }

    #[test]
    fn library_types_by_their_usual_names() {
        let symbol = "_Z8repeatedINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEEvv";
        assert_eq!(spoken(symbol), "repeated<std::string>");
        let symbol = "_Z8repeatedISt17basic_string_viewIcSt11char_traitsIcEEEvv";
        assert_eq!(spoken(symbol), "repeated<std::string_view>");
    }

    #[test]
    fn names_of_all_languages() {
        check("malloc", "malloc", "malloc", Language::Unknown);
        check("_start", "_start", "_start", Language::Unknown);
        check("__GI_raise", "raise", "raise", Language::Unknown);
        check("_Z", "_Z", "_Z", Language::Unknown);
        let shared = "_ZSt11make_sharedI1AJEESt10shared_ptrINSt9enable_ifIXntsrSt8is_arrayIT_E5value\
                      ES4_E4typeEEDpOT0_";
        let name = "std::make_shared<...>";
        check(shared, name, name, Language::Cpp);
        let new = "operator new(unsigned long)";
        check("_Znwm", new, "operator new", Language::Cpp);
        check(
            "_ZNSt13runtime_errorC1EPKc",
            "std::runtime_error::runtime_error(char const*)",
            "std::runtime_error::runtime_error",
            Language::Cpp,
        );
        check(
            "_ZSt11make_sharedI12input_readerJEESt10shared_ptrIT_EDpOT0_",
            "std::make_shared<input_reader>(&&)",
            "std::make_shared<input_reader>",
            Language::Cpp,
        );
        check(
            "_ZNSt6vectorINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESaIS5_EE9push_backEOS5_",
            "std::vector<std::__cxx11::basic_string<char, std::char_traits<char>, \
             std::allocator<char> >, std::allocator<std::__cxx11::basic_string<char, \
             std::char_traits<char>, std::allocator<char> > > >::push_back(\
             std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >&&)",
            "std::vector<...>::push_back",
            Language::Cpp,
        );
        check(
            "_ZZ4mainENKUliE_clEi",
            "main::{lambda(int)#1}::operator()(int) const",
            "main::{lambda#1}::operator()",
            Language::Cpp,
        );
        check(
            "_ZN12_GLOBAL__N_14pickEi.isra.0",
            "(anonymous namespace)::pick(int) [clone .isra.0]",
            "(anonymous namespace)::pick",
            Language::Cpp,
        );
        check(
            "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
            "core::fmt::Formatter::write_str",
            "core::fmt::Formatter::write_str",
            Language::Rust,
        );
        check(
            "_RNvNtCs1234_7mycrate3foo3bar",
            "mycrate::foo::bar",
            "mycrate::foo::bar",
            Language::Rust,
        );
    }

    #[track_caller]
    fn check_short(name: &str, language: Language, short: &str) {
        assert_eq!(abbreviate(name, language), short);
    }

    #[test]
    fn brackets_that_are_no_arguments() {
        let cpp = Language::Cpp;
        check_short("a::operator<(a const&, a const&)", cpp, "a::operator<");
        check_short("operator<< <long>(std::ostream&)", cpp, "operator<< <long>");
        check_short("a::operator->() const", cpp, "a::operator->");
        check_short(
            "std::operator+<char, std::char_traits<char>, std::allocator<char> >(char const*)",
            cpp,
            "std::operator+<...>",
        );
        check_short("a::operator()(int) const &", cpp, "a::operator()");
        check_short("a::operator bool() const", cpp, "a::operator bool");
        check_short("pool::of(int)::next", cpp, "pool::of::next");
        check_short("f[abi:cxx11](int)", cpp, "f");
        check_short("broken<(", cpp, "broken<(");
        let rust = Language::Rust;
        let vec = "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend";
        check_short(vec, rust, vec);
        check_short(
            "<(A, B) as server::Pair<alloc::collections::BTreeMap<A, B>>>::first",
            rust,
            "<(A, B) as server::Pair<...>>::first",
        );
        check_short(
            "core::iter::adapters::map::map_fold::<fn(i32) -> i32, alloc::string::String>::{closure#0}",
            rust,
            "core::iter::adapters::map::map_fold::<...>::{closure#0}",
        );
    }

    #[test]
    fn a_name_cannot_grow_without_end() {
        // Each type has the one before as both of its arguments.
        let symbol = |depth| {
            let nested: String = ('1'..='9')
                .chain('A'..='Z')
                .take(depth)
                .map(|last| format!("S0_IS{last}_S{last}_E"))
                .collect();
            format!("_Z1fI1aIccE{nested}Evv")
        };
        assert_eq!(
            demangle(&symbol(1)).0,
            "f<a<char, char>, a<a<char, char>, a<char, char> > >()"
        );
        let (grown, language) = demangle(&symbol(8));
        assert!(grown.len() > 2_000 && language == Language::Cpp);
        let endless = symbol(30);
        assert_eq!(demangle(&endless), ("f<...>".to_owned(), Language::Cpp));
    }

    proptest! {
        #[test]
        fn any_name_is_taken(symbol in "(_Z|_R|_ZN|)[A-Za-z0-9_$.]{0,40}") {
            let _ = demangle(&symbol);
        }

        #[test]
        fn any_name_is_abbreviated(name in "[<>()a:& o\\[\\]é-]{0,40}|operator[<>()-]{0,5}") {
            for language in [Language::Unknown, Language::Cpp, Language::Rust] {
                let short = abbreviate(&name, language);
                prop_assert!(short.len() <= name.len() + 5);
            }
        }
    }
}
