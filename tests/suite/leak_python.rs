//! `--leaks` on CPython: the script's functions and lines stand in the stacks.

use crate::support::fixture::file;
use crate::support::leaks::report;
use crate::support::skip::{command, skip};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// An interpreter of a version that can be looked into. What is found on PATH may be a script.
fn python() -> Option<PathBuf> {
    let asked = "import sys; print(sys.version_info[1], sys.executable)";
    let output = Command::new(command("python3")?)
        .args(["-c", asked])
        .output();
    let said = String::from_utf8(output.expect("python3").stdout).expect("UTF-8");
    let (version, path) = said.trim().split_once(' ').expect("a version and a path");
    if !["11", "12", "13"].contains(&version) {
        skip(&format!("Python 3.{version}"));
        return None;
    }
    Some(path.into())
}

/// The line of the fixture with this remark.
fn line(remark: &str) -> u64 {
    let text = std::fs::read_to_string(file("leak_python.py")).expect("the fixture");
    let remark = format!("# {remark}");
    let before = text.lines().position(|line| line.ends_with(&remark));
    before.expect("the remark") as u64 + 1
}

/// The user's functions in a site's stack, with their lines.
fn users(site: &Value) -> Vec<(&str, u64)> {
    let lines = site["stack"].as_array().expect("a stack");
    let user = lines.iter().filter(|line| line["origin"] == "user");
    user.map(|line| {
        let function = line["function"].as_str().expect("a name");
        (function, line["line"].as_u64().unwrap_or(0))
    })
    .collect()
}

#[test]
fn functions_and_lines() {
    let Some(python) = python() else { return };
    let script = file("leak_python.py");
    let (python, script) = (
        python.to_str().expect("UTF-8"),
        script.to_str().expect("UTF-8"),
    );
    let kinds = "lost,indirect,possible,reachable";
    let options = ["--older", "0s", "--top", "100000", "--kinds", kinds];
    let (report, finished) = report(&options, &[python, script]);
    finished.exits(0);
    let sites = report["sites"].as_array().expect("sites");
    let check = |function: &str, remark: &str, blocks: u64, least: u64| {
        let here = |site: &&Value| users(site).first() == Some(&(function, line(remark)));
        let found: Vec<&Value> = sites.iter().filter(here).collect();
        let sum = |what: &str| -> u64 {
            let amounts = found.iter().map(|site| &site["live"][what]);
            amounts
                .map(|amount| amount.as_u64().expect("a number"))
                .sum()
        };
        assert_eq!(sum("blocks"), blocks, "{function} {remark}: {found:#?}");
        let bytes = sum("bytes");
        assert!(
            (least..least + 100 * blocks).contains(&bytes),
            "{function}: {bytes}"
        );
        let outermost = users(found[0]);
        assert_eq!(
            outermost.last().expect("a call").0,
            match remark {
                "threaded" => "in_a_thread",
                _ => "<module>",
            }
        );
    };
    check("Pool.lose", "lost", 10, 12340);
    check("load", "kept", 10, 50000);
    // Two lines that come the same way through C are two sites.
    check("twice", "first", 10, 7770);
    check("twice", "second", 10, 7770);
    check("through_a_generator", "generated", 4, 12000);
    check("in_a_thread", "threaded", 1, 4321);
    check("deeper", "deep", 1, 2222);
}

#[test]
fn text_shows_the_script() {
    let Some(python) = python() else { return };
    let finished = crate::support::ltrace(["--leaks"])
        .arg(python)
        .arg(file("leak_python.py"))
        .finish()
        .exits(0);
    let text = finished.told();
    let expected = format!("leak_python.py:{}", line("lost"));
    let shown = text
        .lines()
        .any(|line| line.trim_start().starts_with("Pool.lose ") && line.ends_with(&expected));
    assert!(shown, "{text}");
}
