//! The pairs that are shipped, by the names `--pairs` takes.

use super::Pair;

/// Name and text of each. One spec a line; `#` begins a comment, a blank at the beginning of a line goes
/// on with the spec before it.
const SHIPPED: [(&str, &str); 10] = [
    ("heap", include_str!("../../../filters/heap.pairs")),
    ("new", include_str!("../../../filters/new.pairs")),
    ("fd", include_str!("../../../filters/fd.pairs")),
    ("file", include_str!("../../../filters/file.pairs")),
    ("dir", include_str!("../../../filters/dir.pairs")),
    ("sqlite", include_str!("../../../filters/sqlite.pairs")),
    ("dl", include_str!("../../../filters/dl.pairs")),
    ("thread", include_str!("../../../filters/thread.pairs")),
    ("mmap", include_str!("../../../filters/mmap.pairs")),
    ("socket", include_str!("../../../filters/socket.pairs")),
];

/// The pairs of a shipped set, if there is one of this name.
pub fn named(name: &str) -> Option<Vec<Pair>> {
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(
        specs(text)
            .iter()
            .filter_map(|spec| Pair::parse(spec).ok())
            .collect(),
    )
}

/// What the things of a shipped set are called. C++ hands out blocks of the one heap there is.
pub fn label(name: &str) -> &str {
    if name == "new" { "heap" } else { name }
}

/// The names of all shipped sets.
pub fn known() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

fn specs(text: &str) -> Vec<String> {
    let mut specs: Vec<String> = Vec::new();
    for line in text.lines() {
        let said = line.split('#').next().unwrap_or_default();
        match (specs.last_mut(), said.trim()) {
            (_, "") => {}
            (Some(last), more) if said.starts_with(' ') => *last = format!("{last} {more}"),
            (_, spec) => specs.push(spec.to_owned()),
        }
    }
    specs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_spec_is_understood() {
        for (name, text) in SHIPPED {
            let specs = specs(text);
            assert!(!specs.is_empty(), "{name} is empty");
            for spec in &specs {
                if let Err(why) = Pair::parse(spec) {
                    panic!("{name}: {why}");
                }
            }
            assert_eq!(named(name).map(|pairs| pairs.len()), Some(specs.len()));
        }
    }

    #[test]
    fn comments_and_continued_lines() {
        let text = "# head\n\na = p ->\n    b(p)   # why\nc(x) +-> d(x)\n";
        assert_eq!(specs(text), ["a = p -> b(p)", "c(x) +-> d(x)"]);
    }
}
