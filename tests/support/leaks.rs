//! Reports of `--leaks`, read back.

use super::program::Finished;
use super::skip::skip;
use super::{ltrace, scratch};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A program's report as JSON, and how it ended.
pub fn report(args: &[&str], program: &[&str]) -> (Value, Finished) {
    report_with(args, program, "")
}

/// The same with something on its standard input.
pub fn report_with(args: &[&str], program: &[&str], input: &str) -> (Value, Finished) {
    let file = scratch("leaks").join("report.json");
    let path = file.to_str().expect("a path");
    let all = [&["--leaks", "--json", path], args, program].concat();
    let finished = ltrace(all).input(input).finish();
    assert!(file.exists(), "no report: {}", finished.told());
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

/// Allocated, freed and live bytes of a run of `leak_exact.c`, as ltrace and as the program itself counted them. `preload` goes
/// before the C library.
pub fn counted(
    program: &Path,
    preload: &str,
    threads: usize,
    calls: usize,
) -> ([i64; 3], [i64; 3]) {
    let file = scratch("exact").join("report.json");
    let run = ltrace(["--leaks", "--check", "off", "--json"])
        .arg(&file)
        .arg(program)
        .args([threads.to_string(), calls.to_string()])
        .patience(Duration::from_secs(600))
        .env("LD_PRELOAD", preload);
    let finished = run.finish().exits(0);
    let report = read(&file);
    let heap = &report["heap"];
    let number = |value: &Value| value.as_i64().expect("a number");
    let ours = [
        &heap["allocated"]["blocks"],
        &heap["freed"]["blocks"],
        &heap["live"]["bytes"],
    ]
    .map(number);
    assert_eq!(report["not_counted"]["missed"], 0, "{}", finished.told());
    assert_eq!(report["misuses"].as_array().map_or(0, Vec::len), 0);
    let numbers = |line: &str| -> Option<Vec<i64>> {
        line.split(' ').map(|word| word.parse().ok()).collect()
    };
    let own = finished.stderr.lines().find_map(numbers);
    let own = own.unwrap_or_else(|| panic!("{}", finished.told()));
    (ours, own.try_into().expect("three numbers"))
}

/// A library that is there, or the case is skipped.
pub fn library(name: &str) -> Option<String> {
    let path = format!("/usr/lib/x86_64-linux-gnu/{name}");
    if !Path::new(&path).exists() {
        skip(&format!("{name} is not installed"));
        return None;
    }
    Some(path)
}
