//! docs/leaks-json.md: every field that is printed is told there, and every one that is told is printed.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, report};
use crate::support::{ltrace, root, scratch};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// All names of fields anywhere in a report.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                found.insert(name.clone());
                fields(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    let odd = |(at, part): (usize, &str)| (at % 2 == 1).then(|| part.to_owned());
    text.split('`').enumerate().filter_map(odd).collect()
}

#[test]
fn told_and_printed() {
    let programs = [
        "leak_many",
        "leak_handles",
        "leak_misuse",
        "leak_words",
        "leak_resources",
    ];
    let Some(paths) = programs
        .map(fixture)
        .into_iter()
        .collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let path = |at: usize| paths[at].to_str().expect("a path");
    let all = "lost,indirect,possible,reachable";
    let mut printed = BTreeSet::new();
    let rich = [
        "--kinds",
        all,
        "--contents",
        "--per",
        "memset",
        "--context",
        "memset,malloc",
    ];
    for (options, program) in [
        (&rich[..], &[path(0)][..]),
        (&["--pairs", "fd,sqlite,mmap"], &[path(1)]),
        (&["--pairs", "new"], &[path(2), "twice"]),
        (&["--no-heap", "--pairs", "fd,sqlite"], &[path(4)]),
    ] {
        fields(&report(options, program).0, &mut printed);
    }
    let dir = scratch("words");
    let [names, file] = ["names", "report"].map(|name| dir.join(name));
    fs::write(&names, "/etc/passwd\n").expect("written");
    ltrace(["--leaks", "--json"])
        .arg(&file)
        .arg(path(3))
        .stdin(fs::File::open(&names).expect("a file"))
        .finish()
        .exits(0);
    fields(&read(&file), &mut printed);
    let finished = ltrace(["--leaks", "--format", "mtrace", "--json"])
        .arg(&file)
        .arg(path(0))
        .finish();
    finished.exits(0);
    fields(&read(&file), &mut printed);

    let text = fs::read_to_string(root().join("docs/leaks-json.md")).expect("the document");
    let told = quoted(&text);
    let untold: Vec<&String> = printed.difference(&told).collect();
    assert!(untold.is_empty(), "printed, but not told: {untold:?}");
    // The first column names fields; a row tells more of them in its second.
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let first: BTreeSet<String> = rows
        .filter_map(|row| Some(format!("`{}", row.split_once(" |")?.0)))
        .flat_map(|cell| quoted(&cell))
        .collect();
    let unprinted: Vec<&String> = first.difference(&printed).collect();
    assert!(
        unprinted.is_empty(),
        "told, but never printed: {unprinted:?}"
    );
    let version = format!("raises `version`, which is {}", read(&file)["version"]);
    assert!(text.contains(&version), "{version}");
}
