//! How much of what common programs call is covered by the shipped prototypes.

use crate::programs::check;
use crate::support::fixture::fixture;
use crate::support::trace::calls;
use crate::support::{ltrace, root, scratch};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The functions that the shipped prototype libraries know.
fn known() -> BTreeSet<String> {
    let pattern = Regex::new(r"(?m)^[^;#\n]*?\b(\w+)\s*\([^\n]*\)\s*;").unwrap();
    let function = Regex::new(r"^\s*(?:function\s+)?[\w().,\[\]*+ ]*?[ *](\w+)\(").unwrap();
    let files = fs::read_dir(root().join("prototypes"))
        .expect("prototypes")
        .flatten();
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        for line in pattern
            .find_iter(&text)
            .filter(|line| !line.as_str().starts_with("typedef"))
        {
            names.extend(
                function
                    .captures(line.as_str())
                    .map(|found| found[1].to_owned()),
            );
        }
    }
    names
}

/// At least 95 % of the calls have a prototype.
#[track_caller]
fn check_share(trace: &str) {
    let known = known();
    assert!(known.len() >= 400, "{} prototypes only", known.len());
    let calls = calls(trace);
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for name in calls.iter().filter(|name| !known.contains(**name)) {
        *unknown.entry(name).or_default() += 1;
    }
    let missing: usize = unknown.values().sum();
    let share = 100.0 * (1.0 - missing as f64 / calls.len() as f64);
    assert!(
        share >= 95.0,
        "{share:.1} % of {} calls; unknown: {unknown:?}",
        calls.len()
    );
}

#[test]
fn ls() {
    let Some((_, trace)) = check("ls", &["-l", "/usr"], Path::new("/")) else {
        return;
    };
    check_share(&trace);
}

#[test]
fn bash() {
    let script = "for i in 1 2 3; do echo $((i * i)); done; cd /; x=$(pwd); echo $x";
    let Some((_, trace)) = check("bash", &["-c", script], Path::new("/")) else {
        return;
    };
    check_share(&trace);
}

#[test]
fn git() {
    let dir = scratch("git");
    if check("git", &["init", "-q"], &dir).is_none() {
        return;
    }
    let Some((_, trace)) = check("git", &["status"], &dir) else {
        return;
    };
    check_share(&trace);
}

#[test]
fn curl() {
    let dir = scratch("curl");
    fs::write(dir.join("page"), "hello\n").unwrap();
    let url = format!("file://{}/page", dir.display());
    let Some((_, trace)) = check("curl", &["-s", &url], &dir) else {
        return;
    };
    check_share(&trace);
    assert!(trace.contains("CURLOPT_URL, \"file:///"), "{trace}");
    assert!(trace.contains("CURLOPT_NOPROGRESS, "), "{trace}");
}

#[test]
fn sqlite() {
    let sql = "create table t(a); insert into t values(1),(2); select sum(a) from t;";
    let Some((_, trace)) = check("sqlite3", &[":memory:", sql], Path::new("/")) else {
        return;
    };
    check_share(&trace);
}

/// A program that is built, by the tools that build it.
#[test]
fn make_and_ld() {
    let dir = scratch("make-and-ld");
    fs::write(dir.join("main.s"), ".globl main\nmain: ret\n").unwrap();
    fs::write(dir.join("Makefile"), "all:\n\tas main.s -o main.o\n").unwrap();
    for (program, args) in [
        ("make", &[][..]),
        ("ld", &["-e", "main", "main.o", "-o", "main"]),
    ] {
        let Some((_, trace)) = check(program, args, &dir) else {
            return;
        };
        check_share(&trace);
    }
}

#[test]
fn ruby() {
    let Some((_, trace)) = check("ruby", &["-e", "puts 1"], Path::new("/")) else {
        return;
    };
    check_share(&trace);
}

/// By the library that provides it, whatever its caller says it needs.
#[test]
fn of_the_library_that_provides_a_function() {
    let Some(program) = fixture("providers") else {
        return;
    };
    let dir = scratch("providers");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write(
        "libself.so.conf",
        "int self_add(int, hex(int));\nint self_twice(hex(int));\n",
    );
    write("providers.conf", "int host_word(string);\n");
    // Nobody provides those of this library.
    write("libdl.so.conf", "int host_word(hex(int));\n");
    let home = program.parent().unwrap();
    let run = ltrace([OsStr::new("-F"), dir.as_os_str()])
        .args(["-e", "self_*+host_word"])
        .arg(&program)
        .dir(home)
        .finish()
        .exits(0);
    for line in [
        "providers->self_twice(0x15",
        "libself.so->self_add(21, 0x15)",
        "libplugin.so->host_word(\"hello\")",
    ] {
        assert_eq!(run.count(line), 1, "{line}\n{}", run.told());
    }
}
