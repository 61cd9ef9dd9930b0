//! Options that change how lines look, and where they go.

use crate::support::fixture::fixture;
use crate::support::program::Finished;
use crate::support::{ltrace, scratch};
use regex::Regex;
use std::fs;

/// Traces the fixture `basic`.
fn basic(options: &[&str]) -> Option<Finished> {
    Some(ltrace(options).arg(fixture("basic")?).finish().exits(0))
}

/// With these options every line of the trace of `basic` matches the pattern.
#[track_caller]
fn check_lines(options: &[&str], pattern: &str) {
    let Some(run) = basic(options) else { return };
    let pattern = Regex::new(pattern).unwrap();
    assert!(run.stderr.lines().count() > 10, "{}", run.told());
    for line in run.stderr.lines() {
        assert!(
            pattern.is_match(line),
            "{line:?} is not {pattern}\n{}",
            run.told()
        );
    }
}

#[test]
fn column_of_the_result() {
    for option in [
        &["-a", "20"][..],
        &["-a20"],
        &["--align=20"],
        &["--align", "20"],
    ] {
        let Some(run) = basic(option) else { return };
        run.has_line("free(nil)          = <void>")
            .has_line("strlen(\"some text\") = 9");
    }
    let Some(run) = basic(&["-a", "0"]) else {
        return;
    };
    run.has_line("free(nil) = <void>");
}

#[test]
fn column_from_the_environment() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let run = ltrace([program]).env("COLUMNS", "40").finish().exits(0);
    // 40 * 5 / 8
    run.has_line("free(nil)               = <void>");
}

#[test]
fn times_of_day() {
    check_lines(&["-t"], r"^\d\d:\d\d:\d\d \S");
    check_lines(&["-tt"], r"^\d\d:\d\d:\d\d\.\d{6} \S");
    check_lines(&["-ttt"], r"^\d{10}\.\d{6} \S");
    check_lines(&["-t", "-t"], r"^\d\d:\d\d:\d\d\.\d{6} \S");
}

#[test]
fn times_do_not_run_backwards() {
    let Some(run) = basic(&["-ttt"]) else { return };
    let times: Vec<&str> = run.stderr.lines().map(|line| &line[..17]).collect();
    assert!(times.is_sorted(), "{}", run.told());
}

#[test]
fn time_since_the_line_before() {
    check_lines(&["-r"], r"^ {0,2}\d{1,3}\.\d{6} \S");
}

#[test]
fn time_in_the_call() {
    let Some(run) = basic(&["-T"]) else { return };
    let pattern = Regex::new(r"^[a-z]+\(.*\) += \S+ <\d+\.\d{6}>$").unwrap();
    let calls = run.stderr.lines().filter(|line| !line.starts_with("+++"));
    for line in calls {
        assert!(pattern.is_match(line), "{}", run.told());
    }
}

#[test]
fn address_of_the_caller() {
    check_lines(&["-i"], r"^\[0x[0-9a-f]+\] \S");
    let Some(run) = basic(&["-i"]) else { return };
    run.has_line("[0xffffffffffffffff] +++ exited (status 0) +++");
}

#[test]
fn indentation() {
    let Some(program) = fixture("recursion") else {
        return;
    };
    let run = ltrace(["-n", "2"]).arg(program).arg("3").finish().exits(0);
    let depths: Vec<usize> = run
        .stderr
        .lines()
        .filter(|line| line.contains("call_back("))
        .map(|line| line.len() - line.trim_start().len())
        .collect();
    assert_eq!(depths, [0, 2, 4], "{}", run.told());
}

#[test]
fn summary() {
    let Some(program) = fixture("many") else {
        return;
    };
    let run = ltrace(["-c"]).arg(program).arg("100").finish().exits(0);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "% time     seconds  usecs/call     calls      function"
    );
    assert_eq!(
        lines[1],
        "------ ----------- ----------- --------- --------------------"
    );
    assert_eq!(lines[lines.len() - 2], lines[1], "{}", run.told());
    let row = |name: &str| {
        let pattern = Regex::new(&format!(
            r"^[ \d]{{3}}\.\d\d [ \d]{{4}}\.\d{{6}} [ \d]{{11}} [ \d]{{5}} 100 {name}$"
        ));
        let pattern = pattern.unwrap();
        assert!(
            lines.iter().any(|line| pattern.is_match(line)),
            "no row {name}\n{}",
            run.told()
        );
    };
    row("malloc");
    row("free");
    // Two hundred, and atol.
    let total = Regex::new(r"^100\.00 [ \d]{4}\.\d{6} {13}[ \d]{6}201 total$").unwrap();
    assert!(total.is_match(lines[lines.len() - 1]), "{}", run.told());
}

#[test]
fn output_file_is_truncated_and_standard_error_empty() {
    let file = scratch("output").join("trace");
    fs::write(&file, "x".repeat(100_000)).unwrap();
    let name = file.to_string_lossy().into_owned();
    let Some(run) = basic(&["-o", &name]) else {
        return;
    };
    assert_eq!(run.stderr, "");
    let trace = fs::read_to_string(&file).unwrap();
    assert_eq!(trace, format!("{}+++ exited (status 0) +++\n", run.stdout));
    let Some(run) = basic(&[&format!("--output={name}")]) else {
        return;
    };
    assert_eq!(run.stderr, "");
}

#[test]
fn output_into_a_command() {
    let file = scratch("pipe").join("trace");
    let command = format!("|cat > {}", file.display());
    let Some(run) = basic(&["-o", &command]) else {
        return;
    };
    assert_eq!(run.stderr, "");
    let trace = fs::read_to_string(&file).unwrap();
    assert_eq!(trace, format!("{}+++ exited (status 0) +++\n", run.stdout));
}

#[test]
fn demangled_names() {
    let Some(program) = fixture("exceptions") else {
        return;
    };
    for (option, name) in [
        ("-C", "std::runtime_error::runtime_error("),
        ("-CC", "std::runtime_error::runtime_error(char const*)("),
    ] {
        let run = ltrace([option]).arg(&program).finish().exits(0);
        assert!(run.stderr.contains(name), "{}", run.told());
    }
    let run = ltrace([&program]).finish().exits(0);
    assert!(
        run.stderr.contains("_ZNSt13runtime_errorC1EPKc("),
        "{}",
        run.told()
    );
}

#[test]
fn colour_only_when_asked_or_on_a_terminal() {
    let Some(run) = basic(&[]) else { return };
    assert!(!run.stderr.contains('\x1b'));
    let Some(run) = basic(&["--color", "always"]) else {
        return;
    };
    assert!(run.stderr.contains('\x1b'));
    let Some(run) = basic(&["--color", "never"]) else {
        return;
    };
    assert!(!run.stderr.contains('\x1b'));
}

#[test]
fn another_user() {
    if !nix::unistd::Uid::effective().is_root() {
        crate::support::skip::skip("needs root");
        return;
    }
    let run = ltrace(["-o", "/dev/null", "-u", "nobody", "id", "-un"])
        .finish()
        .exits(0);
    assert_eq!(run.stdout, "nobody\n");
    let run = ltrace(["-u", "no-such-user", "true"]).finish();
    assert_ne!(run.code(), 0);
    assert!(run.stderr.contains("no-such-user"), "{}", run.told());
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (option, wanted) in [
        ("--help", "-e"),
        ("-h", "-e"),
        ("--version", "ltrace"),
        ("-V", "ltrace"),
    ] {
        let run = ltrace([option]).finish().exits(0);
        assert!(run.stdout.contains(wanted), "{}", run.told());
        assert_eq!(run.stderr, "");
    }
}

/// A screen of the usual options, each in one line.
#[test]
fn help_is_a_screen() {
    let help = ltrace(["--help"])
        .env("COLUMNS", "100")
        .finish()
        .exits(0)
        .stdout;
    assert!(help.lines().count() < 60, "{help}");
    let continued = help
        .lines()
        .filter(|line| line.starts_with(&" ".repeat(20)));
    assert_eq!(continued.count(), 0, "{help}");
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
}

#[test]
fn variables_of_the_command() {
    let lines = |options: &[&str]| {
        let run = ltrace(options).args(["-o", "/dev/null", "/usr/bin/env"]);
        let run = run.env("KEPT", "1").env("GONE", "2").finish().exits(0);
        let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        let ours = ["KEPT=", "GONE=", "NEW="];
        lines.retain(|line| ours.iter().any(|name| line.starts_with(name)));
        lines.sort();
        lines
    };
    assert_eq!(lines(&["-E", "GONE", "-E", "NEW=3"]), ["KEPT=1", "NEW=3"]);
    assert_eq!(
        lines(&["--env=KEPT=4", "-ENEW="]),
        ["GONE=2", "KEPT=4", "NEW="]
    );
}

#[test]
fn a_file_that_goes_on() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let file = scratch("append").join("trace");
    let trace = |options: &[&str]| {
        let run = ltrace(["-o", file.to_str().unwrap()]).args(options);
        run.arg(&program).finish().exits(0);
        fs::read_to_string(&file).unwrap().lines().count()
    };
    let once = trace(&[]);
    assert_eq!(trace(&["--append"]), 2 * once);
    assert_eq!(trace(&[]), once);
}

#[test]
fn what_ltrace_does() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let run = ltrace(["-D", "77", "-o", "/dev/null"]).arg(program);
    let run = run.finish().exits(0);
    for start in [
        "DEBUG: general: ",
        "DEBUG: process: ",
        "DEBUG: event: ",
        "DEBUG: function: free of basic: ",
    ] {
        let has = run.stderr.lines().any(|line| line.starts_with(start));
        assert!(has, "no {start}\n{}", run.told());
    }
    let run = ltrace(["-Dh"]).finish().exits(0);
    assert!(run.stdout.contains("40  function"), "{}", run.told());
}

#[test]
fn columns_of_the_summary() {
    let options = [
        "-c",
        "--summary-columns",
        "calls,errors,p99,module,function",
        "--sort",
        "calls",
    ];
    let Some(run) = basic(&options) else { return };
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines[0].starts_with("calls errors"), "{}", run.told());
    let calls = lines[2..]
        .iter()
        .map(|line| line.split_whitespace().next().unwrap());
    let calls: Vec<u64> = calls.map(|calls| calls.parse().unwrap()).collect();
    assert!(
        calls.is_sorted_by(|a, b| a >= b) && calls.len() > 3,
        "{}",
        run.told()
    );
    assert!(
        lines[2..].iter().all(|line| line.contains(" basic ")),
        "{}",
        run.told()
    );
}

#[test]
fn a_summary_meanwhile() {
    let Some(mut server) = crate::support::server::server(4) else {
        return;
    };
    let tracer = ltrace(["-c", "-p", &server.pid().to_string()]).start();
    crate::support::text::wait_until_planted(server.pid());
    tracer.signal(nix::sys::signal::Signal::SIGUSR1);
    tracer.wait_for_stderr(" total\n");
    assert!(server.is_alive());
    tracer.signal(nix::sys::signal::Signal::SIGINT);
    let run = tracer.finish().exits(0);
    assert_eq!(run.stderr.matches("% time").count(), 2, "{}", run.told());
}

#[test]
fn a_graph_of_calls() {
    let Some(program) = fixture("recursion") else {
        return;
    };
    let run = ltrace(["--tree"]).arg(program).arg("3").finish().exits(0);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines[0], "# DURATION      TID     FUNCTION");
    let line = Regex::new(r"^[ 0-9.]{8}[ ums]{3} \[ *\d+\] \| ( *)(\S.*)$").unwrap();
    let found = lines[1..].iter().map(|text| {
        let found = line.captures(text).unwrap_or_else(|| panic!("{text}"));
        (found[1].len(), found[2].to_owned())
    });
    let found: Vec<(usize, String)> = found.collect();
    let depths = |start: &str| {
        let lines = found.iter().filter(|(_, text)| text.starts_with(start));
        lines.map(|(depth, _)| *depth).collect::<Vec<_>>()
    };
    assert_eq!(depths("call_back("), [0, 2, 4], "{}", run.told());
    assert!(depths("} = ").starts_with(&[2, 0]), "{}", run.told());
}
