//! Lines of fixtures that a test speaks of: those that end in `// line: NAME`.

use super::fixture::file;

/// The number of the line of this name.
pub fn line(fixture: &str, name: &str) -> u32 {
    let text = std::fs::read_to_string(file(fixture)).expect("fixture");
    let mark = format!("// line: {name}");
    let index = text.lines().position(|line| line.ends_with(&mark));
    let index = index.unwrap_or_else(|| panic!("{fixture} has no line {name:?}"));
    u32::try_from(index + 1).expect("number of a line")
}
