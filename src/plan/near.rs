//! What a name that nothing has was meant to be: the nearest of the names that there are.

use super::filter::Filter;
use super::written::Written;
use super::{ModuleName, Plan};
use crate::elf::Image;
use std::borrow::Cow;

/// No more names than these are told.
const MOST: usize = 3;

/// What a module knows of a name that a filter of `-e` or `-x` spells out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The filter, by its place in what is [`named`](Plan::named).
    pub filter: usize,
    /// The name.
    pub name: String,
    /// What is known of it.
    pub what: Known,
}

/// What a module knows of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It calls a function of this name.
    Called,
    /// It has a function of this name.
    Defined,
    /// It calls, or has, functions with names like it.
    Near(Vec<String>),
}

impl Plan {
    /// The functions and libraries that something [`named`](Plan::named) adds by their very names.
    pub fn spelt(&self, index: usize) -> Vec<(Option<&str>, Option<&str>)> {
        let aliases = self.resources.aliases.len();
        let entries = self.entries.iter().map(Some);
        let calls = self.calls.iter().flatten().map(Some);
        let mut filters = entries
            .chain(std::iter::repeat_n(None, aliases))
            .chain(calls);
        let many = self.entries.len() + aliases + self.calls.iter().flatten().count();
        match filters.nth(index) {
            Some(filter) => filter.into_iter().flat_map(Filter::spelt).collect(),
            None => {
                let pattern = index
                    .checked_sub(many)
                    .and_then(|at| self.libraries.get(at));
                pattern
                    .map(|pattern| (None, pattern.spelt()))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// What a module that has functions of these names knows of the names in `-x`.
    pub(super) fn heard_of_entries<'s>(
        &self,
        names: impl Iterator<Item = Cow<'s, str>> + Clone,
    ) -> Vec<Heard> {
        let filters = self.entries.iter().enumerate();
        heard(filters, |name| know(name, names.clone(), Known::Defined))
    }

    /// What a module knows of the names in `-e`.
    pub(super) fn heard_of_calls(
        &self,
        image: &Image,
        bytes: &[u8],
        module: &ModuleName,
    ) -> Vec<Heard> {
        let before = self.entries.len() + self.resources.aliases.len();
        let filters = (before..).zip(self.calls.iter().flatten());
        let imports = || image.imports.iter().map(|import| Cow::from(&import.symbol));
        heard(filters, |name| {
            if let Some(Known::Called) = know(name, imports(), Known::Called) {
                return Some(Known::Called);
            }
            let is_it = is_called(name);
            let exported = image.exports.iter().any(|symbol| is_it(&symbol.name));
            // Few programs export their own functions.
            let own = || Image::functions(bytes).any(|symbol| is_it(&symbol.name));
            if exported || module.is_main && own() {
                return Some(Known::Defined);
            }
            know(name, imports(), Known::Called)
        })
    }
}

fn heard<'f>(
    filters: impl Iterator<Item = (usize, &'f Filter)>,
    know: impl Fn(&str) -> Option<Known>,
) -> Vec<Heard> {
    let mut found = Vec::new();
    for (filter, text) in filters {
        for name in text.spelt().filter_map(|(symbol, _)| symbol) {
            if let Some(what) = know(name) {
                let name = name.to_owned();
                found.push(Heard { filter, name, what });
            }
        }
    }
    found
}

fn know<'s>(
    name: &str,
    names: impl Iterator<Item = Cow<'s, str>> + Clone,
    itself: Known,
) -> Option<Known> {
    let is_it = is_called(name);
    if names.clone().any(|name| is_it(&name)) {
        return Some(itself);
    }
    let near = nearest(name, names);
    (!near.is_empty()).then_some(Known::Near(near))
}

/// Whether a symbol is called so, or its function in its language.
fn is_called(name: &str) -> impl Fn(&str) -> bool {
    let written = Written::of(name);
    move |symbol| {
        symbol == name
            || written
                .as_ref()
                .is_some_and(|written| written.means(symbol))
    }
}

/// The names that are nearest to one, all of them as near, if they are near enough to be meant.
pub fn nearest<N>(wanted: &str, names: impl Iterator<Item = N>) -> Vec<String>
where
    N: AsRef<str> + Ord,
{
    let wanted = wanted.trim_end_matches("()");
    let mut limit = match wanted.chars().count() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    let mut near: Vec<N> = Vec::new();
    for found in names {
        let name = found.as_ref();
        if name.is_empty() {
            continue;
        }
        // Cheaper than the distance, which is no smaller.
        if name.len().abs_diff(wanted.len()) > limit {
            continue;
        }
        let distance = match wanted.eq_ignore_ascii_case(name) {
            true => 0,
            false => strsim::osa_distance(wanted, name),
        };
        if distance < limit {
            limit = distance;
            near.clear();
        }
        if distance == limit && !near.contains(&found) {
            near.push(found);
        }
    }
    near.sort_unstable();
    near.truncate(MOST);
    near.iter().map(|name| name.as_ref().to_owned()).collect()
}

/// The libraries that are meant by `libc`, `c`, `libc.so` or `lbic.so.6`.
pub fn nearest_libraries<'s>(
    wanted: &str,
    names: impl Iterator<Item = &'s str> + Clone,
) -> Vec<String> {
    let bare = stem(wanted);
    let is_meant = |name: &&str| stem(name) == bare || stem(name).strip_prefix("lib") == Some(bare);
    let mut found: Vec<&str> = names.clone().filter(is_meant).collect();
    if found.is_empty() {
        let near = nearest(bare, names.clone().map(stem));
        found = names
            .filter(|name| near.iter().any(|near| near == stem(name)))
            .collect();
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    found.into_iter().map(str::to_owned).collect()
}

/// A library's name without what tells its version.
fn stem(name: &str) -> &str {
    name.split(".so").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, near: &[&str]) {
        let names = [
            "malloc", "calloc", "free", "printf", "fprintf", "puts", "main", "malloc",
        ];
        assert_eq!(nearest(wanted, names.into_iter()), near, "{wanted}");
    }

    #[test]
    fn names() {
        check("mallo", &["malloc"]);
        check("mallco", &["malloc"]);
        check("alloc", &["calloc", "malloc"]);
        check("fre", &["free"]);
        check("print", &["printf"]);
        check("malloc()", &["malloc"]);
        check("Main", &["main"]);
        check("MALLOC", &["malloc"]);
        check("Malloc", &["malloc"]);
        check("put", &["puts"]);
        check("", &[]);
        check("strlen", &[]);
        check("xy", &[]);
    }

    #[track_caller]
    fn check_library(wanted: &str, near: &[&str]) {
        let names = [
            "ls",
            "libc.so.6",
            "libcap.so.2",
            "libselinux.so.1",
            "libpcre2-8.so.0",
        ];
        assert_eq!(
            nearest_libraries(wanted, names.into_iter()),
            near,
            "{wanted}"
        );
    }

    #[test]
    fn libraries() {
        check_library("libc", &["libc.so.6"]);
        check_library("c", &["libc.so.6"]);
        check_library("libc.so", &["libc.so.6"]);
        check_library("libc.so.7", &["libc.so.6"]);
        check_library("libselinx", &["libselinux.so.1"]);
        check_library("libssl", &[]);
    }
}
