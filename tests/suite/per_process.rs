//! `-ff -o FILE`: a file for each process; and what -f shows of a large family.

use crate::support::fixture::fixture;
use crate::support::program::Finished;
use crate::support::trace::{Line, without_tids};
use crate::support::{ltrace, scratch};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const SIZES: [i32; 9] = [2000, 2001, 2002, 2003, 2004, 2100, 2200, 2300, 2400];

/// Which process asked for which sizes, as the family tells itself.
fn told(run: &Finished) -> BTreeMap<i32, Vec<i32>> {
    let mut sizes = BTreeMap::<i32, Vec<i32>>::new();
    for line in run.stdout.lines() {
        let (pid, size) = line.split_once(' ').expect("two numbers");
        let size = size.parse().expect("a number");
        sizes
            .entry(pid.parse().expect("a number"))
            .or_default()
            .push(size);
    }
    sizes
}

fn asked(trace: &str) -> Vec<i32> {
    let trace = without_tids(trace);
    let sizes = trace
        .lines()
        .filter_map(|line| line.strip_prefix("malloc(")?.get(..4)?.parse().ok());
    sizes.filter(|size| (2000..3000).contains(size)).collect()
}

/// The files of a trace, by their processes.
fn files(dir: &Path) -> BTreeMap<i32, String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let pid = name
                .strip_prefix("trace.")
                .expect("a trace")
                .parse()
                .expect("a number");
            (pid, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn a_family_under_one_roof() {
    let Some(program) = fixture("generations") else {
        return;
    };
    let run = ltrace(["-f"]).arg(program).finish().exits(0);
    let family = told(&run);
    assert_eq!(family.len(), SIZES.len(), "{}", run.told());
    for (pid, sizes) in &family {
        for size in sizes {
            let call = format!("[pid {pid}] malloc({size}");
            assert_eq!(run.count(&call), 1, "{call}\n{}", run.told());
        }
        assert_eq!(
            run.count(&format!("[pid {pid}] +++ exited")),
            1,
            "{}",
            run.told()
        );
    }
    let last = run.stderr.lines().last().unwrap();
    assert!(
        last.ends_with("+++ exited (status 6) +++"),
        "{}",
        run.told()
    );
}

/// Without -f nobody sees them, and all is as ever.
#[test]
fn a_family_left_alone() {
    let Some(program) = fixture("generations") else {
        return;
    };
    let run = ltrace([program]).finish().exits(0);
    assert_eq!(asked(&run.stderr), [2000], "{}", run.told());
    // The daemon may still be at it when the tracer has ended.
    assert!(told(&run).len() >= SIZES.len() - 1, "{}", run.told());
}

#[test]
fn a_file_for_each() {
    let Some(program) = fixture("generations") else {
        return;
    };
    let dir = scratch("per-process");
    let run = ltrace(["-ff", "-o"])
        .arg(dir.join("trace"))
        .arg(program)
        .finish()
        .exits(0);
    assert!(run.stderr.is_empty(), "{}", run.told());
    let (family, files) = (told(&run), files(&dir));
    let pids = |keys: BTreeSet<&i32>| keys.into_iter().copied().collect::<Vec<i32>>();
    assert_eq!(
        pids(family.keys().collect()),
        pids(files.keys().collect()),
        "{}",
        run.told()
    );
    for (pid, trace) in &files {
        assert_eq!(asked(trace), family[pid], "{pid}\n{trace}");
        assert_eq!(trace.matches("+++ exited").count(), 1, "{pid}\n{trace}");
        assert!(trace.ends_with(" +++\n"), "{pid}\n{trace}");
        // Each is of one task, and need not say so.
        assert!(
            trace.lines().all(|line| Line::parse(line).tid.is_none()),
            "{pid}\n{trace}"
        );
    }
}

#[test]
fn a_process_with_threads_names_them() {
    let Some(program) = fixture("generations") else {
        return;
    };
    let dir = scratch("per-thread");
    let run = ltrace(["-ff", "-o"])
        .arg(dir.join("trace"))
        .arg(program)
        .arg("threads")
        .finish()
        .exits(0);
    for (pid, trace) in files(&dir) {
        let tids: BTreeSet<i32> = trace
            .lines()
            .filter_map(|line| Line::parse(line).tid)
            .collect();
        let has_thread = told(&run)[&pid].contains(&2500);
        assert_eq!(tids.len(), if has_thread { 2 } else { 0 }, "{pid}\n{trace}");
    }
}

#[test]
fn tables_and_execs_and_old_files() {
    let dir = scratch("per-process-table");
    let path = dir.join("trace");
    let script = "echo $$; /bin/true; echo done";
    let run = ltrace(["-c", "-ff", "-o"])
        .arg(&path)
        .args(["sh", "-c", script])
        .finish()
        .exits(0);
    assert!(run.stdout.ends_with("done\n"), "{}", run.told());
    let files = files(&dir);
    assert_eq!(files.len(), 2, "{files:?}");
    for table in files.values() {
        assert!(table.starts_with("% time     seconds"), "{table}");
    }
}

#[test]
fn usage() {
    for line in [
        &["-ff", "true"][..],
        &["-f", "-f", "true"],
        &["-ff", "-o", "|cat", "true"],
    ] {
        let run = ltrace(line).finish().exits(2);
        assert!(
            run.stderr.contains("Option -ff needs -o FILE"),
            "{}",
            run.told()
        );
    }
    let run = ltrace(["-ff", "-o", "/no/such/directory/trace", "true"])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.contains("/no/such/directory/trace.PID") && run.stderr.contains("No such file"),
        "{}",
        run.told()
    );
}
