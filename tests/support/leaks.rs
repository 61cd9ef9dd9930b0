//! Reports of `--leaks`, read back.

use super::program::Finished;
use super::{ltrace, scratch};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A program's report as JSON, and how it ended.
pub fn report(args: &[&str], program: &[&str]) -> (Value, Finished) {
    let file = scratch("leaks").join("report.json");
    let path = file.to_str().expect("a path");
    let all = [&["--leaks", "--json", path], args, program].concat();
    let finished = ltrace(all).finish();
    (read(&file), finished)
}

pub fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

/// The functions of the user's own in a site's stack.
pub fn users(site: &Value) -> Vec<&str> {
    let lines = site["stack"].as_array().expect("a stack");
    let user = lines.iter().filter(|line| line["origin"] == "user");
    user.map(|line| line["function"].as_str().expect("a name"))
        .collect()
}

/// `VERDICT BYTES in BLOCKS: FUNCTION` of each site that is told.
pub fn told(report: &Value) -> Vec<String> {
    let one = |site: &Value| {
        let users = users(site);
        let (verdict, live) = (site["verdict"].as_str().expect("a verdict"), &site["live"]);
        format!(
            "{verdict} {} in {}: {}",
            live["bytes"],
            live["blocks"],
            users.first().unwrap_or(&"?")
        )
    };
    report["sites"]
        .as_array()
        .expect("sites")
        .iter()
        .map(one)
        .collect()
}
