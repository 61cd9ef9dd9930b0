//! `--leaks`: what is never given back is found, with its line, and nothing else is.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, users};
use crate::support::program::Program;
use crate::support::text::{assert_text_untouched, wait_until_planted};
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use std::path::Path;

#[test]
fn a_leak_and_its_line() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let finished = ltrace([Path::new("--leaks"), &program]).finish().exits(0);
    let lines: Vec<&str> = finished.stderr.lines().skip(3).take(3).collect();
    let [head, first, second] = lines.as_slice() else {
        panic!("{}", finished.told())
    };
    assert!(
        head.starts_with("  1  LOST      148 B in 1 block    1 allocated, 0 freed"),
        "{}",
        finished.told()
    );
    assert_eq!(*first, "     enroll   leak_student.c:12");
    assert_eq!(*second, "     main     leak_student.c:19");
    ltrace([
        Path::new("--leaks"),
        Path::new("--fail-on"),
        Path::new("lost"),
        &program,
    ])
    .finish()
    .exits(99);
    let more = [
        Path::new("--leaks"),
        Path::new("--fail-on"),
        Path::new("lost>148"),
        &program,
    ];
    ltrace(more).finish().exits(0);
}

#[test]
fn nothing_to_tell_is_one_line() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let args = [
        Path::new("--leaks"),
        Path::new("--fail-on"),
        Path::new("lost"),
        &program,
        Path::new("fixed"),
    ];
    let finished = ltrace(args).finish().exits(0);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.told());
    assert!(
        finished.stderr.starts_with("no leaks: leak_student (pid "),
        "{}",
        finished.told()
    );
}

#[test]
fn a_cycle_in_a_program_that_runs() {
    let Some(program) = fixture("leak_words") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let file = scratch("cycle").join("report.json");
    let pid = target.pid().to_string();
    let tracer = ltrace([
        "--leaks",
        "--older",
        "0s",
        "--json",
        file.to_str().expect("a path"),
        "-p",
        &pid,
    ])
    .start();
    wait_until_planted(target.pid());
    for name in ["/etc/passwd", "/etc/group", "/etc/passwd"] {
        let so_far = target.stdout.len();
        target.say(format!("{name}\n").as_bytes());
        target.wait_for_stdout_beyond(so_far, "words ");
    }
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let report = read(&file);
    let [site] = report["sites"].as_array().expect("sites").as_slice() else {
        panic!("{}", finished.told());
    };
    assert_eq!(
        (&site["verdict"], &site["live"]["blocks"]),
        (&"lost".into(), &3.into())
    );
    assert_eq!(site["group"]["groups"], 3);
    assert_eq!(
        site["group"]["all"], report["lost"],
        "everything hangs on them"
    );
    let cycle: Vec<&str> = site["cycle"]
        .as_array()
        .expect("a cycle")
        .iter()
        .filter_map(|step| step["what"].as_str())
        .collect();
    assert_eq!(cycle, ["input_reader", "word_counter"]);
    assert_eq!(users(site), ["count", "main"]);
    assert_text_untouched(target.pid());
    target.close_input();
    target.finish().exits(0);
}

#[test]
fn the_table_of_mtrace() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let finished = ltrace(["--leaks", "--format", "mtrace", program])
        .finish()
        .exits(0);
    let last = finished.stderr.lines().last().expect("a line");
    assert!(
        last.contains("0x94  at ") && last.ends_with("leak_student.c:12"),
        "{}",
        finished.told()
    );
}

#[test]
fn an_object_and_what_hangs_on_it() {
    let Some(program) = fixture("leak_class") else {
        return;
    };
    let hunt = |args: &[&str]| {
        ltrace(["--leaks", "--fail-on", "lost"])
            .arg(&program)
            .args(args)
            .finish()
    };
    let finished = hunt(&[]).exits(99);
    let sites = finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("  1  LOST "));
    assert_eq!(sites.count(), 1, "{}", finished.told());
    assert!(
        finished
            .stderr
            .contains("   72 B in 1 block keep all the rest"),
        "{}",
        finished.told()
    );
    assert!(
        finished.stderr.contains("     enroll   leak_class.cc:14\n"),
        "{}",
        finished.told()
    );
    let finished = hunt(&["fixed"]).exits(0);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.told());
}
