//! `--sample`: few allocations are seen, and amounts are estimated by them.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, report, users};
use crate::support::{ltrace, scratch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Live blocks and bytes by the outermost function before `main`.
fn live(report: &Value) -> BTreeMap<String, (f64, f64)> {
    let mut live = BTreeMap::new();
    let lists = ["sites", "others"].map(|name| report[name].as_array().cloned());
    for site in lists.into_iter().flatten().flatten() {
        let users = users(&site);
        // The C++ library has a block of its own, from code without a name.
        let mut named = users
            .iter()
            .rev()
            .filter(|name| !["main", "?"].contains(*name));
        let Some(name) = named.next() else {
            continue;
        };
        let known: &mut (f64, f64) = live.entry(name.to_string()).or_default();
        known.0 += site["live"]["blocks"].as_f64().expect("blocks");
        known.1 += site["live"]["bytes"].as_f64().expect("bytes");
    }
    live
}

/// As many blocks of 100 bytes are estimated, of which one in forty is seen: five times the standard deviation off at
/// most.
#[track_caller]
fn check(name: &str, (blocks, bytes): (f64, f64), count: f64) {
    let most = 5.0 * (40.0 / count).sqrt();
    let off = |estimate: f64, exact: f64| (estimate / exact - 1.0).abs();
    assert!(off(blocks, count) < most, "{name}: {blocks} blocks");
    assert!(off(bytes, 100.0 * count) < most, "{name}: {bytes} bytes");
}

#[test]
fn estimates_of_all_kinds_of_allocation() {
    let Some(program) = fixture("leak_sampled") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let count = 20_000.0;
    for pairs in [&["--pairs", "new"][..], &[]] {
        let args = [&["--older", "0", "--sample", "4KiB", "--top", "99"], pairs].concat();
        let (report, finished) = report(&args, &[program, "20000"]);
        finished.exits(0);
        let live = live(&report);
        for name in [
            "by_malloc",
            "by_calloc",
            "by_new",
            "by_new_array",
            "by_realloc",
            "by_reallocarray",
            "by_growth",
            "by_posix_memalign",
        ] {
            let name = format!("{name}()");
            let found = live.get(&name).or(live.get(name.trim_end_matches("()")));
            check(
                &name,
                *found.unwrap_or_else(|| panic!("no {name}: {live:?}")),
                count,
            );
        }
        assert!(
            !live.keys().any(|name| name.starts_with("freed")),
            "{live:?}"
        );
        assert_eq!(report["misuses"], Value::Array(Vec::new()));
        // What was kept, what was grown, and what was freed.
        let allocated = &report["heap"]["allocated"]["blocks"];
        let most = 12.0 * count;
        let share = allocated.as_f64().expect("a number") / most;
        assert!((0.9..1.1).contains(&share), "{allocated}");
    }
}

#[test]
fn children_know_the_blocks_of_their_parents() {
    let Some(program) = fixture("leak_sampled") else {
        return;
    };
    let file = scratch("sampled").join("report.json");
    let run = ltrace(["-f", "--leaks", "--older", "0", "--sample", "4K", "--json"])
        .arg(&file)
        .arg(program)
        .args(["20000", "fork"]);
    run.finish().exits(0);
    let parent = read(&file);
    let [name] = live(&parent)
        .into_iter()
        .collect::<Vec<_>>()
        .try_into()
        .expect("one site");
    check(&name.0, name.1, 20_000.0);
    let dir = file.parent().expect("a directory");
    let others = fs::read_dir(dir).expect("files").filter_map(|entry| {
        let path = entry.expect("a file").path();
        (path != file).then_some(path)
    });
    let [child] = others.collect::<Vec<_>>().try_into().expect("one child");
    let live = live(&read(&child));
    let [name] = live
        .into_iter()
        .collect::<Vec<_>>()
        .try_into()
        .expect("one site");
    assert!(name.0.starts_with("by_child"), "{name:?}");
    check(&name.0, name.1, 20_000.0);
}

#[test]
fn every_form_says_that_amounts_are_estimates() {
    let Some(program) = fixture("leak_sampled") else {
        return;
    };
    let dir = scratch("estimates");
    let files = ["json", "html", "pprof"].map(|name| dir.join(name));
    let [json, html, pprof] = &files;
    let run = ltrace(["--leaks", "--sample", "64KiB", "--older", "0"])
        .arg("--json")
        .arg(json)
        .arg("--html")
        .arg(html)
        .arg("--pprof")
        .arg(pprof)
        .arg(program)
        .arg("20000");
    let finished = run.finish().exits(0);
    let told = "estimates: of every 64.0 KiB of the heap one byte was drawn";
    assert!(finished.stderr.contains(told), "{}", finished.told());
    assert_eq!(read(json)["sample"], 64 << 10);
    let page = fs::read_to_string(html).expect("a page");
    assert!(page.contains(told));
}
