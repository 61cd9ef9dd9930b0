//! Named sets of functions: those that are shipped, `%heap`, and the user's own, files in
//! `$XDG_CONFIG_HOME/ltrace/filters`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Name and text of each. Functions, with blanks, `+` or ends of lines between them; `#` begins a comment.
const SHIPPED: [(&str, &str); 12] = [
    ("file", include_str!("../../../filters/file")),
    ("heap", include_str!("../../../filters/heap")),
    ("io", include_str!("../../../filters/io")),
    ("locale", include_str!("../../../filters/locale")),
    ("math", include_str!("../../../filters/math")),
    ("memory", include_str!("../../../filters/memory")),
    ("net", include_str!("../../../filters/net")),
    ("process", include_str!("../../../filters/process")),
    ("signal", include_str!("../../../filters/signal")),
    ("string", include_str!("../../../filters/string")),
    ("thread", include_str!("../../../filters/thread")),
    ("time", include_str!("../../../filters/time")),
];

/// How much of a file is read.
const MAX_FILE: u64 = 1 << 20;

/// The functions of the set, if there is one of this name. The user's own comes first.
pub(super) fn find(name: &str) -> Option<HashSet<String>> {
    let shipped = || {
        let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
        Some(Cow::from(*text))
    };
    let text = own(name).map(Cow::from).or_else(shipped)?;
    Some(functions(&text).map(str::to_owned).collect())
}

/// The functions of a set that is shipped.
pub fn shipped(name: &str) -> impl Iterator<Item = &'static str> {
    let known = SHIPPED.iter().find(|(known, _)| *known == name);
    let text = known.map_or("", |(_, text)| *text);
    functions(text)
}

/// The names of all sets, as a user writes them.
pub(super) fn known() -> String {
    let names: Vec<String> = names().iter().map(|name| format!("%{name}")).collect();
    names.join(", ")
}

/// All sets in the order of their names, and how many functions each has.
pub fn list() -> Vec<(String, usize)> {
    let count = |name: String| {
        let functions = find(&name)?;
        Some((name, functions.len()))
    };
    names().into_iter().filter_map(count).collect()
}

fn names() -> Vec<String> {
    let shipped = SHIPPED.iter().map(|(name, _)| (*name).to_owned());
    let entries = directory().and_then(|directory| directory.read_dir().ok());
    let own = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (is_name(&name) && entry.path().is_file()).then_some(name)
    });
    let mut names: Vec<String> = shipped.chain(own).collect();
    names.sort();
    names.dedup();
    names
}

/// Where the user's own are.
fn directory() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let config = path("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(path("HOME")?).join(".config")))?;
    Some(config.join("ltrace/filters"))
}

fn own(name: &str) -> Option<String> {
    if !is_name(name) {
        return None;
    }
    let path = directory()?.join(name);
    let file = path.is_file().then(|| File::open(path).ok())??;
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_plain)
}

fn functions(text: &str) -> impl Iterator<Item = &str> + use<'_> {
    let lines = text.lines();
    let lines = lines.map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c == '+'));
    names.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_line_is_one_name() {
        assert!(SHIPPED.is_sorted());
        for (set, text) in SHIPPED {
            let names: Vec<&str> = functions(text).collect();
            assert!(!names.is_empty(), "%{set} is empty");
            for name in names {
                assert!(is_name(name), "%{set}: {name}");
            }
        }
    }

    #[test]
    fn comments_and_blanks_are_no_names() {
        let names: Vec<&str> =
            functions("# head\n\nmalloc # the first\n  free\nopen+close read").collect();
        assert_eq!(names, ["malloc", "free", "open", "close", "read"]);
    }

    #[test]
    fn sets_are_no_paths() {
        assert!(find("../file").is_none() && find("").is_none());
        assert!(find("time").expect("a set").contains("clock_gettime"));
    }
}
