//! The filter language of `-e` and `-x`, and the library patterns of `-l`.
//!
//! ```text
//! filter  = [ sign | "!" ] rule { sign rule }        sign = "+" | "-"
//! rule    = [ symbol ] [ "@" [ library ] ] | "/" re "@" re "/"
//! symbol  = glob | "/" re "/" | "%" set | "0x" address
//! library = glob | "/" re "/" | absolute path as a glob | "MAIN"
//! ```
//!
//! Rules act in order on a function that is not marked at first: `+` marks it, `-` takes the mark
//! away, and the last rule that speaks of it decides. A leading `-` or `!` means "everything
//! except". A pattern that is left out stands for `*`, and every pattern must fit the whole name.
//!
//! An address is that of a function's first instruction, as the file has it: of the main program, unless
//! a library is named. Only `-x` knows addresses.
//!
//! A sign or `@` that belongs to a name is written after a backslash, or in brackets. Two things are
//! read as meant without it: `++` in a library's name (`@libstdc++.so*`), and a sign in a path when
//! another `/` of that path follows (`@/usr/lib/x86_64-linux-gnu/libc.so*`; the path of a Go package,
//! `github.com/some-body/pkg.Function`). A name that holds `*`, `?` or brackets is meant by itself as well:
//! `net/http.(*Server).Serve`, `main.Map[go.shape.int]`.

mod bre;
mod error;
mod here;
mod pattern;
mod scan;
pub mod sets;
mod slips;

pub use error::FilterError;
pub use here::Here;
use pattern::Pattern;
use scan::Scanner;

use super::ModuleName;
use crate::base::addr::Vaddr;

/// One `-e` or `-x`: which functions of which modules are meant. The empty filter means none.
#[derive(Clone, Debug)]
pub struct Filter {
    /// As the user wrote it.
    pub text: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    effect: Effect,
    symbol: Pattern,
    library: Library,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Mark,
    Unmark,
}

#[derive(Clone, Debug)]
enum Library {
    Any,
    /// The main program, whatever it is called.
    Main,
    Name(Pattern),
    Path(Pattern),
}

impl Filter {
    /// Reads a filter as the user wrote it.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if let Some(misread) = slips::misread(text) {
            return Err(misread);
        }
        let characters: Vec<char> = text.chars().collect();
        let rules = rules(&mut Scanner::new(&characters))?;
        let text = text.to_owned();
        Ok(Filter { text, rules })
    }

    /// What is traced when the user names nothing: all that the main program calls.
    pub fn main_program() -> Filter {
        let library = Library::Main;
        Filter {
            text: "@MAIN".to_owned(),
            rules: vec![Rule {
                library,
                ..Rule::everything()
            }],
        }
    }

    /// Whether the function is meant.
    pub fn matches(&self, symbol: &str, module: &ModuleName) -> bool {
        self.decides(symbol, module)
            .is_some_and(|rule| rule.effect == Effect::Mark)
    }

    /// Whether the function is meant by its very name, not just by a pattern that fits.
    pub fn names(&self, symbol: &str, module: &ModuleName) -> bool {
        self.decides(symbol, module)
            .is_some_and(|rule| rule.effect == Effect::Mark && rule.symbol.is_exact())
    }

    /// The addresses that are meant in a module.
    pub fn addresses(&self, module: &ModuleName) -> impl Iterator<Item = Vaddr> {
        self.rules.iter().filter_map(|rule| match rule.symbol {
            Pattern::Address(at) if rule.effect == Effect::Mark => {
                let is_meant = match rule.library {
                    Library::Any => module.is_main,
                    _ => rule.library.matches(module),
                };
                is_meant.then_some(Vaddr(at))
            }
            _ => None,
        })
    }

    /// The functions and libraries that it adds by their very names.
    pub fn spelt(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        let rules = self.rules.iter().filter(|rule| rule.effect == Effect::Mark);
        rules.map(|rule| (rule.symbol.spelt(), rule.library.spelt()))
    }

    fn decides(&self, symbol: &str, module: &ModuleName) -> Option<&Rule> {
        let mut rules = self.rules.iter().rev();
        rules.find(|rule| rule.speaks_of(symbol, module))
    }
}

fn rules(scanner: &mut Scanner<'_>) -> Result<Vec<Rule>, FilterError> {
    let mut rules = Vec::new();
    let mut effect = match scanner.peek() {
        None => return Ok(rules),
        Some('!' | '-') => {
            rules.push(Rule::everything());
            Effect::Unmark
        }
        _ => Effect::Mark,
    };
    if matches!(scanner.peek(), Some('!' | '-' | '+')) {
        scanner.skip();
    }
    loop {
        rules.push(Rule::parse(scanner, effect)?);
        effect = match scanner.peek() {
            None => return Ok(rules),
            Some('+') => Effect::Mark,
            Some('-') => Effect::Unmark,
            Some(c) => {
                return Err(scanner.error(format!(
                    "`{c}` cannot stand here, only `+` or `-` and another rule"
                )));
            }
        };
        scanner.skip();
    }
}

impl Rule {
    fn everything() -> Rule {
        Rule {
            effect: Effect::Mark,
            symbol: Pattern::Any,
            library: Library::Any,
        }
    }

    fn parse(scanner: &mut Scanner<'_>, effect: Effect) -> Result<Rule, FilterError> {
        if matches!(scanner.peek(), None | Some('+' | '-')) {
            return Err(scanner.error("a rule is missing here: a function, or `@` and a library"));
        }
        let symbol = match scanner.peek() {
            Some('/') => {
                let body = scanner.regex()?;
                if let Some(at) = body.at_sign() {
                    let symbol = Pattern::regex(body.part(0..at))?;
                    let library = Library::Name(Pattern::regex(body.part(at + 1..usize::MAX))?);
                    return Ok(Rule {
                        effect,
                        symbol,
                        library,
                    });
                }
                Pattern::regex(body)?
            }
            Some('%') => Pattern::set(scanner.symbol())?,
            Some('@') => Pattern::Any,
            _ => Pattern::glob(scanner.symbol())?,
        };
        let library = match scanner.peek() {
            Some('@') => {
                scanner.skip();
                Library::parse(scanner)?
            }
            _ => Library::Any,
        };
        Ok(Rule {
            effect,
            symbol,
            library,
        })
    }

    fn speaks_of(&self, symbol: &str, module: &ModuleName) -> bool {
        self.symbol.matches(symbol) && self.library.matches(module)
    }
}

impl Library {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Library, FilterError> {
        match scanner.peek() {
            None | Some('+' | '-') => Ok(Library::Any),
            Some('/') if scanner.is_regex() => Ok(Library::Name(Pattern::regex(scanner.regex()?)?)),
            Some('/') => Ok(Library::Path(Pattern::glob(scanner.path())?)),
            _ => Ok(Library::of_name(Pattern::glob(scanner.library())?)),
        }
    }

    fn of_name(pattern: Pattern) -> Library {
        match pattern {
            Pattern::Exact(name, _) if name == "MAIN" => Library::Main,
            pattern => Library::Name(pattern),
        }
    }

    fn spelt(&self) -> Option<&str> {
        match self {
            Library::Name(pattern) => pattern.spelt(),
            Library::Any | Library::Main | Library::Path(_) => None,
        }
    }

    fn matches(&self, module: &ModuleName) -> bool {
        match self {
            Library::Any => true,
            Library::Main => module.is_main,
            Library::Name(pattern) => pattern.matches(&module.name),
            Library::Path(pattern) => pattern.matches(&module.path),
        }
    }
}

/// The libraries that one `-l` means: a single pattern, in which signs are nothing special.
#[derive(Clone, Debug)]
pub struct LibraryPattern {
    /// As the user wrote it.
    pub text: String,
    library: Library,
}

impl LibraryPattern {
    /// Reads a pattern as the user wrote it.
    pub fn parse(text: &str) -> Result<LibraryPattern, FilterError> {
        let characters: Vec<char> = text.chars().collect();
        let mut scanner = Scanner::new(&characters);
        let library = match scanner.peek() {
            None => return Err(scanner.error("a library is missing here")),
            Some('/') if scanner.is_regex_to_the_end() => {
                Library::Name(Pattern::regex(scanner.regex()?)?)
            }
            Some('/') => Library::Path(Pattern::glob(scanner.rest())?),
            _ => Library::of_name(Pattern::glob(scanner.rest())?),
        };
        let text = text.to_owned();
        Ok(LibraryPattern { text, library })
    }

    /// The library that it names, if it is no pattern.
    pub fn spelt(&self) -> Option<&str> {
        self.library.spelt()
    }

    /// Whether the module is one of those.
    pub fn matches(&self, module: &ModuleName) -> bool {
        self.library.matches(module)
    }
}

#[cfg(test)]
mod tests;
