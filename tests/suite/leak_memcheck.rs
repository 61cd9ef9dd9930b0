//! `--leaks` and memcheck: what the one calls lost, definitely and indirectly, so does the other.

use crate::support::fixture::fixture;
use crate::support::leaks::report_with;
use crate::support::program::Program;
use crate::support::skip::command;
use regex::Regex;
use std::path::Path;
use std::time::Duration;

/// Bytes and blocks that are definitely lost, and indirectly.
type Lost = [(u64, u64); 2];

fn by_memcheck(valgrind: &Path, program: &[&str], input: &str) -> Lost {
    let finished = Program::new(valgrind)
        .arg("--leak-check=full")
        .args(program)
        .input(input)
        .patience(Duration::from_secs(300))
        .finish();
    let amount = |kind: &str| {
        let line = Regex::new(&format!("{kind} lost: ([0-9,]+) bytes in ([0-9,]+) blocks"));
        let found = line.expect("good").captures(&finished.stderr);
        let number = |text: &str| text.replace(',', "").parse().expect("a number");
        // When nothing is left at all, it says so in other words.
        found.map_or((0, 0), |found| (number(&found[1]), number(&found[2])))
    };
    [amount("definitely"), amount("indirectly")]
}

fn by_us(program: &[&str], input: &str) -> (Lost, String) {
    let options = [
        "--kinds",
        "lost,indirect,possible,reachable",
        "--top",
        "1000",
    ];
    let (report, finished) = report_with(&options, program, input);
    let sum = |verdict: &str| {
        let sites = report["sites"].as_array().expect("sites").iter();
        let live = sites
            .filter(|site| site["verdict"] == verdict)
            .map(|site| &site["live"]);
        live.fold((0, 0), |(bytes, blocks), live| {
            let number = |name: &str| live[name].as_u64().expect("a number");
            (bytes + number("bytes"), blocks + number("blocks"))
        })
    };
    ([sum("lost"), sum("indirect")], finished.told())
}

#[track_caller]
fn agree(program: &[&str], input: &str) {
    let Some(valgrind) = command("valgrind") else {
        return;
    };
    let theirs = by_memcheck(&valgrind, program, input);
    let (ours, told) = by_us(program, input);
    assert_eq!(ours, theirs, "{program:?}: {told}");
}

#[test]
fn on_fixtures() {
    for (name, args, input) in [
        ("leak_student", &[][..], ""),
        ("leak_student", &["fixed"], ""),
        ("leak_many", &[], ""),
        ("leak_words", &[], "/etc/passwd\n/etc/group\n"),
        ("leak_exact", &["4", "300"], ""),
        ("leak_misuse", &["right"], ""),
    ] {
        let Some(path) = fixture(name) else { return };
        let program = [&[path.to_str().expect("a path")], args].concat();
        agree(&program, input);
    }
}

#[test]
fn on_what_is_installed() {
    for program in [
        &["sort", "/etc/passwd"][..],
        &["date"],
        &["tar", "cf", "/dev/null", "/etc/passwd"],
        &["ls", "/"],
        &["git", "--version"],
        &["sqlite3", ":memory:", "select 1"],
    ] {
        if command(program[0]).is_some() {
            agree(program, "");
        }
    }
}
