//! `--leaks` with allocators that programs bring along: their functions are known by their symbols, and the same
//! block is never counted twice.

use crate::support::fixture::fixture;
use crate::support::leaks::{library, users};
use crate::support::{ltrace, scratch};

use serde_json::Value;
use std::fs;

/// The report on a program of the fixture that ends by itself.
fn report(name: &str, program: &str, args: &[&str], preload: &str) -> Option<Value> {
    let built = fixture(name)?.with_file_name(program);
    let file = scratch("allocators").join("report.json");
    let path = file.to_str().expect("a path");
    let finished = ltrace([&["--leaks", "--json", path], args].concat())
        .arg(built)
        .env("LD_PRELOAD", preload)
        .finish();
    let finished = finished.exits(0);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}\n{}", finished.told()));
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Exactly these are lost, as `function bytes/blocks`, all by the user's own code, and nothing is wrong.
#[track_caller]
fn check_lost(report: &Value, expected: &[&str]) {
    let sites = report["sites"].as_array().expect("sites");
    let one = |site: &Value| {
        assert_eq!(site["verdict"], "lost", "{site:#}");
        let function = users(site).first().map_or("?", |name| name).to_owned();
        format!(
            "{function} {}/{}",
            site["live"]["bytes"], site["live"]["blocks"]
        )
    };
    let mut told: Vec<String> = sites.iter().map(one).collect();
    told.sort();
    let mut expected: Vec<&str> = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected, "{report:#}");
    assert_eq!(
        report["misuses"].as_array().map(Vec::len),
        Some(0),
        "{report:#}"
    );
}

#[test]
fn functions_with_a_prefix() {
    let Some(report) = report("leak_prefixed", "leak_prefixed", &[], "") else {
        return;
    };
    let lost = [
        "lose_mallocx 280/7",
        "lose_calloc 120/5",
        "lose_rallocx 270/3",
        "lose_malloc 66/2",
    ];
    check_lost(&report, &lost);
    // Each block once, whatever its function calls: 7 + 5 + 2 * 3 + 2, and 3 * 4.
    assert_eq!(report["heap"]["allocated"]["blocks"], 32, "{report:#}");
    assert_eq!(report["heap"]["freed"]["blocks"], 15, "{report:#}");
    assert_eq!(report["process"]["allocator"], "jemalloc and glibc malloc");
}

const OPERATORS: [&str; 5] = [
    "one 144/3",
    "array 96/3",
    "quiet 192/3",
    "aligned 384/3",
    "aligned_array 768/3",
];

/// Whoever gives what new gives.
#[test]
fn operators_of_a_program() {
    for program in [
        "leak_operators",
        "leak_operators_pool",
        "leak_operators_header",
    ] {
        for args in [[].as_slice(), &["--pairs", "new"]] {
            let Some(report) = report("leak_operators", program, args, "") else {
                return;
            };
            check_lost(&report, &OPERATORS);
        }
    }
}

#[test]
fn operators_of_a_preloaded_allocator() {
    for name in [
        "libjemalloc.so.2",
        "libtcmalloc_minimal.so.4",
        "libmimalloc.so.2",
    ] {
        let Some(library) = library(name) else {
            continue;
        };
        for args in [[].as_slice(), &["--pairs", "new"]] {
            let Some(report) = report("leak_operators", "leak_operators", args, &library) else {
                return;
            };
            check_lost(&report, &OPERATORS);
        }
    }
}

#[test]
fn a_global_allocator() {
    let lost = [
        "leak_global_allocator::forget 462/6",
        "leak_global_allocator::grow 1500/3",
    ];
    for program in ["leak_global_allocator", "leak_global_allocator_counting"] {
        let Some(report) = report("leak_global_allocator", program, &[], "") else {
            return;
        };
        check_lost(&report, &lost);
        let told = report["process"]["allocator"].as_str().expect("a name");
        assert!(told.contains("a #[global_allocator]"), "{told}");
    }
}

/// LeakSanitizer needs ptrace(2) for itself.
#[test]
fn a_program_with_leak_sanitizer() {
    let Some(program) = fixture("leak_sanitizer") else {
        return;
    };
    let told = |options: &str| {
        let run = ltrace(["--leaks", "--"])
            .arg(&program)
            .env("LSAN_OPTIONS", options);
        run.finish().exits(0).stderr
    };
    let line = "LeakSanitizer, which leak_sanitizer has, does not work while its process is traced";
    assert_eq!(told("verbosity=0").matches(line).count(), 1, "{}", told(""));
    assert!(!told("verbosity=0:detect_leaks=0").contains(line));
    assert!(
        told("").contains("nothing seen: leak_sanitizer (pid "),
        "{}",
        told("")
    );
}

/// Operator new calls malloc and operator delete jumps to free: the outer call is told, and the inner one is not even
/// recorded. By stops all are seen.
#[test]
fn inner_calls_are_not_recorded() {
    let Some(program) = fixture("leak_operators") else {
        return;
    };
    let seen = |instrument: &str, call: &str| {
        let options = [
            "-D",
            "event",
            "--instrument",
            instrument,
            "--leaks",
            "--pairs",
            "new",
        ];
        let run = ltrace(options).arg(&program).finish().exits(0);
        assert!(run.stderr.contains(" of _Znwm, depth 0"), "{}", run.stderr);
        run.stderr.matches(call).count()
    };
    assert_eq!(seen("auto", " of malloc, depth 1"), 0);
    assert!(seen("stop", " of malloc, depth 1") > 0);
    let (recorded, stopped) = (seen("auto", " of free, "), seen("stop", " of free, "));
    assert!(recorded < stopped, "{recorded} of {stopped}");
}
