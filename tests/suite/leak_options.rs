//! The options of `--leaks`: what they add to a report, and mistakes in them.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, report, users};
use crate::support::{ltrace, scratch};
use std::fs;

#[test]
fn two_reports_compared() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let dir = scratch("diff");
    let [old, new, page] =
        ["old", "new", "page.html"].map(|name| dir.join(name).display().to_string());
    let program = program.to_str().expect("a path");
    ltrace(["--leaks", "--save", &old, program, "fixed"])
        .finish()
        .exits(0);
    ltrace(["--leaks", "--save", &new, program])
        .finish()
        .exits(0);
    let finished = ltrace(["--leaks", "--diff", &old, &new, "--html", &page])
        .finish()
        .exits(0);
    assert!(
        finished
            .stderr
            .contains("  1  +148 B  in +1 blocks    0 B -> 148 B   new\n     enroll"),
        "{}",
        finished.told()
    );
    assert!(
        fs::read_to_string(page)
            .expect("a page")
            .starts_with("<!DOCTYPE html>")
    );
    let cut = fs::read_to_string(&new).expect("a report");
    fs::write(&new, &cut[..cut.len() / 2]).expect("written");
    let finished = ltrace(["--leaks", "--diff", &old, &new]).finish().exits(1);
    assert!(
        finished.stderr.contains(": line 1, column "),
        "{}",
        finished.told()
    );
}

#[test]
fn suppressions_that_are_generated_suppress() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let finished = ltrace(["--leaks", "--gen-suppress", program])
        .finish()
        .exits(0);
    let from = finished.stderr.find("{\n").expect("a suppression");
    let expected = "Memcheck:Leak\n   fun:malloc\n   fun:enroll\n   fun:main\n   ...\n}\n";
    assert!(finished.stderr.contains(expected), "{}", finished.told());
    let file = scratch("suppress").join("own.supp");
    fs::write(&file, &finished.stderr[from..]).expect("written");
    let file = file.to_str().expect("a path");
    let args = ["--leaks", "--fail-on", "lost", "--suppress", file, program];
    let finished = ltrace(args).finish().exits(0);
    assert!(
        finished.stderr.starts_with("no leaks: "),
        "{}",
        finished.told()
    );
}

/// A mistake is told in the user's words, with status 2.
#[track_caller]
fn refused(args: &[&str], said: &str) {
    let finished = ltrace(args).finish().exits(2);
    assert!(finished.stderr.starts_with(said), "{}", finished.told());
}

#[test]
fn mistakes() {
    refused(
        &["--every", "5s", "ls"],
        "ltrace: Option --every needs --leaks\n",
    );
    refused(
        &["--leaks", "--every", "soon", "ls"],
        "ltrace: --every: `soon' is no time",
    );
    refused(
        &["--leaks", "--pairs", "fd,fish", "ls"],
        "ltrace: --pairs: there is no set `fish', only heap, ",
    );
    refused(
        &["--leaks", "--pair", "a = p", "ls"],
        "ltrace: --pair: `->` and the function that takes it back are missing here\n  a = p\n       ^\n",
    );
    refused(
        &["--leaks", "--pair", "f(_, old) = new", "--no-heap", "ls"],
        "ltrace: --pair: no pair stands before this one",
    );
    refused(
        &["--leaks", "--no-heap", "ls"],
        "ltrace: --no-heap leaves nothing to watch",
    );
    refused(
        &["--leaks", "--fail-on", "lost>many", "ls"],
        "ltrace: --fail-on: `many' is no number",
    );
    refused(
        &["--leaks", "--kinds", "lost,dead", "ls"],
        "ltrace: --kinds: `dead' is none of lost, indirect",
    );
    refused(&["--leaks", "-c", "ls"], "ltrace: Options --leaks and -c");
    let file = scratch("mistakes").join("bad.supp");
    fs::write(&file, "leak:a\nwrong\n").expect("written");
    let file = file.to_str().expect("a path");
    refused(
        &["--leaks", "--suppress", file, "ls"],
        &format!("ltrace: {file}:2:1: "),
    );
}

/// The functions of the sites that are told of `leak_many.c`, in order.
#[track_caller]
fn sites(options: &[&str], expected: &[&str]) {
    let Some(program) = fixture("leak_many") else {
        return;
    };
    let (report, finished) = report(options, &[program.to_str().expect("a path")]);
    let finished = finished.exits(0);
    let sites = report["sites"].as_array().expect("sites");
    let found: Vec<&str> = sites
        .iter()
        .filter_map(|site| users(site).first().copied())
        .collect();
    assert_eq!(found, expected, "{options:?}: {}", finished.told());
}

#[test]
fn which_sites_in_which_order() {
    sites(&[], &["big", "threaded", "many"]);
    sites(&["--sort", "blocks"], &["many", "threaded", "big"]);
    sites(&["--sort", "age"], &["many", "threaded", "big"]);
    sites(&["--top", "1"], &["big"]);
    sites(&["--min-size", "100"], &["big", "threaded"]);
    sites(&["--max-size", "100"], &["threaded", "many"]);
    sites(&["--site", "^many$"], &["many"]);
    sites(&["--site", "^many$", "--site", "^big$"], &["big", "many"]);
    sites(&["--site", "leak_many.c:12$"], &["many"]);
    sites(&["--thread", "worker"], &["threaded"]);
    sites(&["--kinds", "reachable"], &["keep"]);
    sites(&["--skip-first", "1h"], &[]);
    // Nothing will become of what is young when the program ends.
    sites(&["--older", "1h"], &["big", "threaded", "many"]);
    sites(&["--check", "off"], &["big", "threaded", "many", "keep"]);
}

#[test]
fn how_much_of_stacks() {
    let Some(program) = fixture("leak_many") else {
        return;
    };
    let frames = |frames: &str| {
        let finished = ltrace(["--leaks", "--site", "^many$", "--frames", frames])
            .arg(&program)
            .finish();
        let lines: Vec<String> = finished.stderr.lines().skip(4).map(str::to_owned).collect();
        lines
    };
    assert_eq!(frames("1")[0], "     many   leak_many.c:12");
    assert!(frames("1")[1].starts_with("     holds  "));
    assert_eq!(frames("user")[1], "     main   leak_many.c:25");
    let all = frames("all");
    assert!(all.iter().any(|line| line.contains("malloc")), "{all:?}");
    assert!(
        all.iter().any(|line| line.starts_with("     _start ")),
        "{all:?}"
    );
}

#[test]
fn contents() {
    let Some(program) = fixture("leak_many") else {
        return;
    };
    let finished = ltrace(["--leaks", "--site", "^many$", "--contents"])
        .arg(program)
        .finish();
    let samples = finished
        .stderr
        .lines()
        .filter(|line| line.contains(": 6d 6d 6d 6d ") && line.ends_with("|mmmmmmmmmmmmmmmm|"));
    assert_eq!(samples.count(), 3, "{}", finished.told());
}

/// What a suppression file leaves of `leak_many.c`.
#[track_caller]
fn suppressed(text: &str, expected: &[&str]) {
    let file = scratch("suppressions").join("file");
    fs::write(&file, text).expect("written");
    sites(&["--suppress", file.to_str().expect("a path")], expected);
}

#[test]
fn suppressions_of_both_tools() {
    suppressed("# a comment\nleak:many\nleak:threaded\n", &[]);
    suppressed("leak:^big$\n", &["threaded", "many"]);
    suppressed("leak:thr*d\n", &["big", "many"]);
    let memcheck = |lines: &str| format!("{{\n  a name\n  Memcheck:Leak\n{lines}\n}}\n");
    suppressed(&memcheck("  fun:malloc\n  fun:big"), &["threaded", "many"]);
    suppressed(&memcheck("  fun:big"), &["big", "threaded", "many"]);
    suppressed(&memcheck("  ...\n  fun:main"), &["threaded"]);
    suppressed(
        &memcheck("  match-leak-kinds: reachable\n  ...\n  fun:big"),
        &["big", "threaded", "many"],
    );
    let other = "{\n  a name\n  Memcheck:Cond\n  ...\n  fun:main\n}\n";
    suppressed(other, &["big", "threaded", "many"]);
}

#[test]
fn what_a_failure_is() {
    let Some(program) = fixture("leak_many") else {
        return;
    };
    let check = |on: &str, status: i32| {
        let args = ["--leaks", "--fail-on", on];
        let finished = ltrace(args).arg(&program).finish();
        assert_eq!(finished.code(), status, "{on}: {}", finished.told());
    };
    check("lost", 99);
    check("lost>6799", 99);
    check("lost>6800", 0);
    check("possible", 0);
    check("reachable>299", 99);
    check("reachable>300", 0);
}

#[test]
fn a_file_for_each_process() {
    let Some(program) = fixture("leak_many") else {
        return;
    };
    let dir = scratch("each");
    let file = dir.join("report.json");
    let commands = format!("{0}; {0}; true", program.display());
    ltrace(["--leaks", "-f", "--json"])
        .arg(&file)
        .args(["bash", "-c", &commands])
        .finish()
        .exits(0);
    assert_eq!(read(&file)["process"]["name"], "bash");
    let entries = fs::read_dir(&dir).expect("reports").flatten();
    let mut lost = Vec::new();
    for other in entries
        .map(|entry| entry.path())
        .filter(|path| *path != file)
    {
        let report = read(&other);
        let pid = report["process"]["pid"].to_string();
        assert_eq!(other.extension(), Some(pid.as_ref()));
        assert_eq!(report["process"]["name"], "leak_many");
        lost.push(report["lost"]["bytes"].as_u64());
    }
    assert_eq!(lost, [Some(6800), Some(6800)]);
}

/// Functions are named as their language writes them, in every length; what is no symbol's is told.
#[test]
fn functions_by_names_that_people_write() {
    let Some(program) = fixture("leak_names") else {
        return;
    };
    let program = program.to_str().expect("a path");
    for (name, hint) in [
        ("ns::handle", None),
        ("_ZN2ns6handleEv", None),
        ("handle", Some("taken as ns::handle()")),
        ("Class::method", None),
        ("ns::Class::method(int)", None),
        ("Box::put", None),
        ("ns::Box<int>::put", None),
    ] {
        let (report, finished) = report(&["--per", name], &[program]);
        assert_eq!(report["per"]["calls"], 10, "{name}: {}", finished.told());
        assert_eq!(report["per"]["function"], name);
        let told = finished.stderr.contains(hint.unwrap_or("taken as"));
        assert_eq!(told, hint.is_some(), "{name}: {}", finished.told());
    }
    let (report, finished) = report(&[], &[program]);
    let sites = report["sites"].as_array().expect("sites");
    assert_eq!(sites.len(), 3, "{}", finished.told());
    let is_cycle =
        |site: &serde_json::Value| site["cycle"].as_array().is_some_and(|c| !c.is_empty());
    assert!(!sites.iter().any(is_cycle), "{}", finished.told());
}
