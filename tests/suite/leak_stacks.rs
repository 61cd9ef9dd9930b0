//! Stacks of `--leaks` that are deep, or cut.

use crate::support::fixture::fixture;
use crate::support::leaks::read;
use crate::support::{ltrace, scratch};
use serde_json::Value;
use std::fs;

/// The text, the JSON and the folded stacks of `leak_walk` with these arguments.
fn walks(args: &[&str]) -> Option<(String, Value, String)> {
    let program = fixture("leak_walk")?;
    let dir = scratch("walks");
    let [json, folded] = ["json", "folded"].map(|name| dir.join(name));
    let options = [
        "--leaks",
        "--json",
        json.to_str().unwrap(),
        "--folded",
        folded.to_str().unwrap(),
        program.to_str().unwrap(),
    ];
    let finished = ltrace([&options, args].concat()).finish().exits(0);
    let folded = fs::read_to_string(folded).unwrap();
    Some((finished.stderr, read(&json), folded))
}

#[test]
fn deep_ones_reach_their_root() {
    let Some((text, _, folded)) = walks(&["1", "10", "3000"]) else {
        return;
    };
    assert!(folded.starts_with("_start;"), "{folded}");
    assert!(!text.contains("(cut"), "{text}");
}

/// Where a stack is cut is not where it begins.
#[test]
fn deeper_ones_say_where_they_are_cut() {
    let Some((text, report, folded)) = walks(&["1", "100"]) else {
        return;
    };
    assert!(folded.starts_with("[truncated];"), "{folded}");
    assert!(text.contains("\n     (cut after 64 frames)\n"), "{text}");
    let stack = report["sites"][0]["stack"].as_array().unwrap();
    assert_eq!(stack.len(), 65);
    assert_eq!(stack[64]["function"], "[truncated]");
    assert_eq!(report["merged"], 0);
}
