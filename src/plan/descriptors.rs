//! Which arguments and results are descriptors (`filters/descriptors`).

use std::collections::HashMap;
use std::sync::LazyLock;

/// What is a descriptor of a function's arguments and result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// These arguments, counted from 0.
    pub arguments: Vec<usize>,
    /// The result.
    pub result: bool,
    /// These arguments are streams (`FILE *`), which have one.
    pub streams: Vec<usize>,
    /// The result is one.
    pub stream: bool,
}

static KNOWN: LazyLock<HashMap<&'static str, Places>> =
    LazyLock::new(|| read(include_str!("../../filters/descriptors")));

/// Those of a function or system call.
pub fn of(symbol: &str) -> Option<&'static Places> {
    KNOWN.get(symbol)
}

/// `1 2: dup2`: the arguments, or `result`, and whose they are; with a star if they are streams.
fn read(text: &str) -> HashMap<&str, Places> {
    let mut known: HashMap<&str, Places> = HashMap::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for (places, functions) in lines.filter_map(|line| line.split_once(": ")) {
        for function in functions.split_whitespace() {
            let known = known.entry(function).or_default();
            for place in places.split_whitespace() {
                let (place, arguments, result) = match place.strip_prefix('*') {
                    Some(place) => (place, &mut known.streams, &mut known.stream),
                    None => (place, &mut known.arguments, &mut known.result),
                };
                match place.parse::<usize>() {
                    Ok(number) => arguments.extend(number.checked_sub(1)),
                    Err(_) => *result |= place == "result",
                }
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped() {
        let check = |symbol, arguments: &[usize], result| {
            let arguments = arguments.to_vec();
            let expected = Places {
                arguments,
                result,
                ..Places::default()
            };
            assert_eq!(of(symbol), Some(&expected), "{symbol}");
        };
        check("read", &[0], false);
        check("open", &[], true);
        check("dup2", &[0, 1], true);
        check("mmap", &[4], false);
        check("linkat", &[0, 2], false);
        assert_eq!(of("malloc"), None);
        let streams = |symbol| of(symbol).map(|places| (&*places.streams, places.stream));
        assert_eq!(streams("fwrite"), Some((&[3][..], false)));
        assert_eq!(streams("freopen"), Some((&[2][..], true)));
        let text = include_str!("../../filters/descriptors");
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (places, functions) = line.split_once(": ").expect(line);
            assert!(
                places
                    .split(' ')
                    .map(|place| place.strip_prefix('*').unwrap_or(place))
                    .all(|place| place == "result" || place.parse::<usize>().is_ok()),
                "{line}"
            );
            assert!(!functions.is_empty());
        }
    }
}
