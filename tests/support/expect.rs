//! Compares texts line by line, and with golden files.

use super::root;
use std::fs;

/// Asserts that two texts are equal; tells the first line that differs.
#[track_caller]
pub fn same_text(actual: &str, expected: &str) {
    if actual == expected {
        return;
    }
    let mut actual_lines = actual.lines();
    let mut expected_lines = expected.lines();
    let mut number = 1;
    loop {
        match (actual_lines.next(), expected_lines.next()) {
            (Some(a), Some(e)) if a == e => number += 1,
            (None, None) => panic!("texts differ in line ends only\n{actual:?}\n{expected:?}"),
            (a, e) => panic!(
                "line {number}\n  expected: {}\n  actual:   {}\nall that came:\n{actual}",
                e.unwrap_or("(nothing)"),
                a.unwrap_or("(nothing)")
            ),
        }
    }
}

/// Compares with `tests/golden/NAME`; LTRACE_BLESS=1 writes that file instead.
#[track_caller]
pub fn golden(name: &str, actual: &str) {
    let path = root().join("tests/golden").join(name);
    if std::env::var_os("LTRACE_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a directory")).expect("golden directory");
        fs::write(&path, actual).expect("golden file");
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; bless it with LTRACE_BLESS=1", path.display()));
    same_text(actual, &expected);
}

/// Replaces every hexadecimal number of at least five digits by `0x…`: addresses differ from run to
/// run, everything else must not.
pub fn without_addresses(text: &str) -> String {
    regex::Regex::new("0x[0-9a-f]{5,16}")
        .expect("valid")
        .replace_all(text, "0x…")
        .into_owned()
}
