//! `--leaks`: who is still held, wherever the only pointer is kept.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, users};
use crate::support::program::Program;
use crate::support::text::wait_until_planted;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the functions of `leak_places.c` allocate, and what becomes of it. memcheck says the same, but that
/// what is held by the environment or by a vector register only is lost.
const PLACES: [(&str, &str); 27] = [
    ("in_data", "reachable"),
    ("in_thread_local", "reachable"),
    ("in_thread_local_of_another", "reachable"),
    ("in_private_mapping", "reachable"),
    ("in_shared_mapping", "reachable"),
    ("in_register", "reachable"),
    ("in_vector_register", "reachable"),
    ("on_stack", "reachable"),
    ("on_stack_of_another", "reachable"),
    ("on_stack_in_heap", "reachable"),
    ("in_thread_specific", "reachable"),
    ("holder", "reachable"),
    ("in_block", "reachable"),
    ("in_environment", "reachable"),
    ("by_tagged", "possible"),
    ("by_field", "possible"),
    ("nowhere", "lost"),
    ("in_lost", "indirect"),
    ("in_ring_1", "lost"),
    ("in_ring_2", "indirect"),
    ("by_high_tag", "lost"),
    ("xor_first", "lost"),
    ("xor_second", "lost"),
    ("in_packed", "lost"),
    ("in_memory_unmapped", "lost"),
    ("in_stack_gone", "lost"),
    ("in_freed", "lost"),
];

/// The verdict on the blocks of each function.
fn verdicts(report: &Value) -> BTreeMap<String, String> {
    let lists = [&report["sites"], &report["others"]];
    let sites = lists.into_iter().filter_map(Value::as_array).flatten();
    let one = |site: &Value| {
        let function = users(site).first().map(|name| (*name).to_owned());
        Some((function?, site["verdict"].as_str()?.to_owned()))
    };
    sites.filter_map(one).collect()
}

#[track_caller]
fn assert_verdicts(report: &Value, different: &[(&str, &str)]) {
    let found = verdicts(report);
    let wrong: Vec<String> = PLACES
        .iter()
        .filter_map(|(function, usual)| {
            let other = different.iter().find(|(name, _)| name == function);
            let expected = other.map_or(*usual, |(_, verdict)| verdict);
            let found = found.get(*function).map_or("missing", String::as_str);
            (found != expected).then(|| format!("{function}: {found} instead of {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn wherever_the_pointer_is() {
    let Some(program) = fixture("leak_places") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("waiting\n");
    let file = scratch("places").join("report.json");
    let path = file.to_str().expect("a path");
    let pid = target.pid().to_string();
    let options = ["--leaks", "--older", "0s", "--every", "1h"];
    let tracer = ltrace(options).args(["--json", path, "-p", &pid]).start();
    wait_until_planted(target.pid());
    target.say(b"\n");
    target.wait_for_stdout("allocated\n");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_verdicts(&read(&file), &[]);
    target.say(b"\n");
    target.finish().exits(0);
}

#[test]
fn when_main_has_returned() {
    let Some(program) = fixture("leak_places") else {
        return;
    };
    let file = scratch("returned").join("report.json");
    let path = file.to_str().expect("a path");
    ltrace(["--leaks", "--json", path])
        .arg(program)
        .input("\n\n")
        .finish()
        .exits(0);
    let report = read(&file);
    assert_verdicts(&report, &[("on_stack", "lost")]);
}
