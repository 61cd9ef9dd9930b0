//! Functions by their names as C++ and Rust write them: `ns::handle`, `handle(int)`, `Box<int>::get`,
//! `mycrate::module::func`. What a symbol is in a file is mangled, and goes first.

use crate::base::names::{self, Language};

/// A name as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Without blanks.
    text: String,
    /// The function's own word: mangled names hold words as they are.
    word: String,
}

impl Written {
    /// The name; `None` for what is none in any language.
    pub fn of(text: &str) -> Option<Written> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let path = match text.starts_with("(anonymous") {
            true => text,
            false => text.split('(').next().unwrap_or_default(),
        };
        let path = names::without_arguments(path);
        let last = path.rsplit("::").next().unwrap_or_default();
        let words = last.split(|c| !is_word(c));
        // `operator new` is mangled as `nw`.
        let words = words.filter(|_| !last.contains("operator"));
        let word = words
            .max_by_key(|word| word.len())
            .unwrap_or_default()
            .to_owned();
        let text = without_blanks(text);
        (!text.is_empty()).then_some(Written { text, word })
    }

    /// As the user wrote it, without blanks.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// No symbol is written like that, so that only what a symbol means can be meant: `a::b`, `b(int)`.
    pub fn is_qualified(text: &str) -> bool {
        // Go's symbols have parentheses behind dots, `main.(*T).leaf`.
        let has_parameters = || text.ends_with(')') && !text.contains('.');
        text.contains("::") || has_parameters() || text.starts_with("operator ")
    }

    /// The symbol's function is called so: with or without its parameters, its template arguments, and
    /// the namespaces or classes it is in.
    pub fn means(&self, symbol: &str) -> bool {
        // What a compiler split off a function is jumped to, not called.
        is_mangled(symbol)
            && symbol.contains(&self.word)
            && !symbol.contains(".cold")
            && spellings(symbol).iter().any(|name| self.ends(name))
    }

    /// The symbol's function may be called so: to find out, its name has to be read.
    pub fn may_mean(&self, symbol: &str) -> bool {
        // One letter says nothing, and operators are mangled as other letters.
        let says_something = self.word.len() > 1 || self.text.contains("operator");
        says_something && is_mangled(symbol) && symbol.contains(&self.word)
    }

    /// The name is the last part of this one.
    fn ends(&self, name: &str) -> bool {
        name.strip_suffix(&self.text)
            .is_some_and(|before| before.is_empty() || before.ends_with("::"))
    }
}

/// Says what a name was taken as that is no symbol's.
pub fn taken_as<'s>(name: &str, symbols: impl Iterator<Item = &'s str>) -> Option<String> {
    let mut names: Vec<String> = symbols.map(|symbol| names::demangle(symbol).0).collect();
    names.sort();
    names.dedup();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(SHOWN);
    let is_known = !names.is_empty();
    is_known.then(|| {
        format!(
            "{name}: no symbol is called so; taken as {}{more}",
            names.join(", ")
        )
    })
}

/// So many functions of one name are told.
const SHOWN: usize = 3;

/// All that a mangled symbol's function can be called, without blanks.
pub fn spellings(symbol: &str) -> Vec<String> {
    if !is_mangled(symbol) {
        return Vec::new();
    }
    let (full, language) = names::demangle(symbol);
    if language == Language::Unknown {
        return Vec::new();
    }
    let full = full.split(" [clone ").next().unwrap_or(&full).to_owned();
    let bare = match language {
        Language::Cpp => names::without_parameters(&full),
        Language::Rust | Language::Unknown => full.clone(),
    };
    let plain = [&full, &bare].map(|name| names::without_arguments(name));
    let mut all = vec![full, bare];
    all.extend(plain);
    // `<mycrate::Pool as mycrate::Make>::make` is `mycrate::Pool::make` to those who wrote it.
    let of_trait = all.iter().filter_map(|name| {
        let (of, method) = name.strip_prefix('<')?.split_once(">::")?;
        Some(format!("{}::{method}", of.split(" as ").next()?))
    });
    let of_trait: Vec<String> = of_trait.collect();
    all.extend(of_trait);
    let mut all: Vec<String> = all.iter().map(|name| without_blanks(name)).collect();
    // Users do not write the namespace of libstdc++'s ABI, nor what `std::string` stands for.
    let usual = |name: &String| {
        name.replace("std::__cxx11::", "std::")
            .replace(STRING, "std::string")
    };
    let usual: Vec<String> = all
        .iter()
        .filter(|name| name.contains("std::"))
        .map(usual)
        .collect();
    all.extend(usual);
    all.dedup();
    all
}

const STRING: &str = "std::basic_string<char,std::char_traits<char>,std::allocator<char>>";

fn is_mangled(symbol: &str) -> bool {
    symbol.starts_with("_Z") || symbol.starts_with("_R")
}

/// Blanks between words stay: `unsigned long`.
fn without_blanks(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut short = String::with_capacity(text.len());
    let mut pending = false;
    for c in text.chars() {
        if c.is_whitespace() {
            pending = true;
            continue;
        }
        if pending && is_word(c) && short.ends_with(is_word) {
            short.push(' ');
        }
        pending = false;
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(symbol: &str, names: &[&str], others: &[&str]) {
        for name in names {
            let written = Written::of(name).expect("a name");
            assert!(written.means(symbol), "{name}: {:?}", spellings(symbol));
        }
        for name in others {
            let written = Written::of(name).expect("a name");
            assert!(!written.means(symbol), "{name}: {:?}", spellings(symbol));
        }
    }

    #[test]
    fn functions_of_cpp() {
        check(
            "_ZN2ns6handleEv",
            &[
                "ns::handle",
                "handle",
                "handle()",
                "ns::handle()",
                "ns::handle( )",
            ],
            &[
                "andle",
                "s::handle",
                "handle(int)",
                "ns",
                "ns::handl",
                "other::handle",
            ],
        );
        check(
            "_ZN2ns5Class6methodEiPKc",
            &[
                "Class::method",
                "ns::Class::method",
                "method(int, char const*)",
            ],
            &["method(int)", "Class"],
        );
        check(
            "_ZNK2ns5Class3getEv",
            &["Class::get", "get() const"],
            &["get(int)"],
        );
        check(
            "_ZN2ns5ClassC1Ev",
            &["Class::Class", "ns::Class::Class"],
            &["ns::Class"],
        );
        check("_ZN2ns5ClassD1Ev", &["~Class", "Class::~Class"], &["Class"]);
        check(
            "_ZN2ns3BoxIiE3putEi",
            &["Box<int>::put", "Box::put", "ns::Box::put(int)", "put"],
            &["Box<char>::put"],
        );
        check("_Z4makeIiET_S0_", &["make", "make<int>"], &["make<char>"]);
        check(
            "_Znwm",
            &["operator new", "operator new(unsigned long)"],
            &["operator new[]"],
        );
        check(
            "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE6appendEPKc",
            &[
                "std::string::append",
                "basic_string::append",
                "append(char const*)",
            ],
            &["std::append"],
        );
        check(
            "_ZN12_GLOBAL__N_14workEv",
            &["work", "(anonymous namespace)::work"],
            &[],
        );
    }

    #[test]
    fn functions_of_rust() {
        check(
            "_ZN7mycrate6module4func17h0123456789abcdefE",
            &["mycrate::module::func", "module::func", "func"],
            &["mycrate::func", "h0123456789abcdef"],
        );
        check(
            "_RNvNtCs1234_7mycrate6module4func",
            &["mycrate::module::func", "func"],
            &["module"],
        );
        check(
            "_ZN47_$LT$mycrate..Pool$u20$as$u20$mycrate..Make$GT$4make17h0123456789abcdefE",
            &[
                "make",
                "<mycrate::Pool as mycrate::Make>::make",
                "mycrate::Pool::make",
                "Pool::make",
            ],
            &["Make::make"],
        );
    }

    #[test]
    fn what_is_not_mangled() {
        check("handle", &[], &["handle", "ns::handle"]);
        for name in ["a::b", "b(int)", "operator new", "~A::b"] {
            assert!(Written::is_qualified(name), "{name}");
        }
        for name in ["b", "main.(*T).leaf", "__libc_malloc", "_ZN2ns6handleEv"] {
            assert!(!Written::is_qualified(name), "{name}");
        }
    }
}
