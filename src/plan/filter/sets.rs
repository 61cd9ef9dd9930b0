//! The named sets of functions that are shipped: `%heap`, `%file`, `%net`.

use std::collections::HashSet;

/// Name and text of each. One function a line; `#` begins a comment.
const SHIPPED: [(&str, &str); 3] = [
    ("heap", include_str!("../../../filters/heap")),
    ("file", include_str!("../../../filters/file")),
    ("net", include_str!("../../../filters/net")),
];

/// The functions of the set, if there is one of this name.
pub(super) fn find(name: &str) -> Option<HashSet<&'static str>> {
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(functions(text).collect())
}

/// The names of all sets, as a user writes them.
pub(super) fn known() -> String {
    let names: Vec<String> = SHIPPED.iter().map(|(name, _)| format!("%{name}")).collect();
    names.join(", ")
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_line_is_one_name() {
        for (set, text) in SHIPPED {
            let names: Vec<&str> = functions(text).collect();
            assert!(!names.is_empty(), "%{set} is empty");
            for name in names {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                assert!(name.chars().all(is_name), "%{set}: {name}");
            }
        }
    }

    #[test]
    fn comments_and_blanks_are_no_names() {
        let names: Vec<&str> = functions("# head\n\nmalloc # the first\n  free\n").collect();
        assert_eq!(names, ["malloc", "free"]);
    }
}
