//! Filters that are written in another language than ltrace's: names joined as strace or a shell joins them. What
//! they say is a name that nothing can have.

use super::FilterError;

/// What is meant by a filter of names that commas, bars or blanks join, or by one in strace's words.
pub(super) fn misread(text: &str) -> Option<FilterError> {
    let error = |message: String, at: usize| {
        let characters: Vec<char> = text.chars().collect();
        FilterError::new(message, &characters, at)
    };
    if let Some((word, rest)) = text.split_once('=')
        && STRACES.contains(&word)
    {
        let rest = rest.trim_start_matches('!');
        let message = match word {
            "trace" | "t" if !rest.is_empty() => {
                format!("`{word}=` is strace's; here it is {}", joined(rest))
            }
            _ => format!("`{word}=` is strace's; here a filter names functions"),
        };
        return Some(error(message, 0));
    }
    // Names as C++, Rust and Go write them may hold all of these.
    if text.contains(['(', '<', '{', '[', '\\', '/', '"']) || text.contains("operator") {
        return None;
    }
    let at = text.chars().position(is_joint)?;
    let names = joined(text);
    let message = format!("names are joined by `+`: {names}");
    (!names.is_empty()).then(|| error(message, at))
}

/// What strace's `-e` puts before a `=`.
const STRACES: [&str; 14] = [
    "trace", "t", "signal", "signals", "read", "write", "inject", "fault", "status", "quiet",
    "abbrev", "verbose", "raw", "kvm",
];

fn is_joint(c: char) -> bool {
    c == ',' || c == '|' || c.is_whitespace()
}

fn joined(text: &str) -> String {
    let names = text.split(is_joint).filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join("+")
}
