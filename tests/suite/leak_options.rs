//! The options of `--leaks`: what they add to a report, and mistakes in them.

use crate::support::fixture::fixture;
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
