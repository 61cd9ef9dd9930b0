//! Holds the house to its plan: the floors of `docs/architecture.md`, `unsafe` in one place, files
//! that say what they are and stay small, and nothing of the machine they were written on.

#[path = "support/generated.rs"]
mod generated;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use besides the standard library and itself. A module that is not named here
/// may use everything.
const MAY_USE: [(&str, &[&str]); 19] = [
    ("base", &[]),
    ("sys", &["base"]),
    ("elf", &["base"]),
    ("proto", &["base"]),
    ("abi", &["base", "proto"]),
    ("value", &["base", "proto", "abi"]),
    ("plan", &["base", "elf", "proto", "abi"]),
    ("record", &["base", "elf", "proto", "abi", "plan", "stack"]),
    ("mangled", &["base", "proto", "abi"]),
    ("debug", &["base", "sys", "elf", "proto", "abi", "mangled"]),
    ("stack", &["base", "sys", "elf", "debug"]),
    ("event", &["base", "plan", "value", "stack"]),
    ("process", &["base", "sys", "elf", "debug", "plan"]),
    (
        "engine",
        &[
            "base", "sys", "elf", "debug", "plan", "stack", "record", "process", "event",
        ],
    ),
    (
        "decode",
        &[
            "base", "sys", "elf", "proto", "abi", "value", "plan", "stack", "event", "process",
            "engine",
        ],
    ),
    ("export", &["base"]),
    (
        "leak",
        &[
            "base", "proto", "plan", "value", "stack", "event", "export", "sink",
        ],
    ),
    ("serve", &["base", "export", "sink", "leak"]),
    (
        "sink",
        &["base", "plan", "value", "stack", "event", "export"],
    ),
];

/// The floors of `leak`, from the lowest: a module uses others of its own floor and of lower ones.
const LEAK_FLOORS: [&[&str]; 8] = [
    &[
        "amount",
        "verdict",
        "line",
        "knowledge",
        "pages",
        "progress",
        "words",
        "kinds",
        "worker",
    ],
    &["reach"],
    &["site", "made", "options", "recent_frees"],
    &["table", "misuse", "system"],
    &["tracker"],
    &[
        "heap",
        "functions",
        "history",
        "allocators",
        "book",
        "symbols",
    ],
    &["report", "check_thread", "backtrace", "callers"],
    &["output", "view"],
];

/// Nine files in ten have fewer lines than this, their own tests not counted.
const LONG: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, with its text; what is no text is left out.
fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.insert(path, text);
        }
    }
    found
}

fn rust_files(dir: &str) -> BTreeMap<PathBuf, String> {
    let mut found = files(&root().join(dir));
    found.retain(|path, _| path.extension().is_some_and(|ext| ext == "rs"));
    assert!(!found.is_empty(), "no Rust files in {dir}");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The top module that a file of `src` belongs to.
fn module(path: &Path) -> String {
    let inside = path
        .strip_prefix(root().join("src"))
        .expect("a file of src");
    let first = inside.components().next().expect("a name").as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The lines of a file without its comments and strings' contents, up to its own tests.
fn code(text: &str) -> Vec<String> {
    let before_tests = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    before_tests
        .lines()
        .map(|line| {
            let line = line.split("//").next().unwrap_or("");
            let outside = line.split('"').step_by(2);
            outside.collect::<Vec<_>>().join("\"\"")
        })
        .collect()
}

/// The top modules that a line of code names: `crate::sys::…`, `crate::{elf, plan::Kind}`.
fn named(code: &str) -> Vec<String> {
    named_in("crate::", code)
}

/// The modules of `parent`, such as `crate::leak::`, that a line of code names.
fn named_in(parent: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(parent) {
        // `mycrate::` is another one.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + parent.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut item)),
                    c if depth == 0 => item.push(c),
                    _ => {}
                }
            }
            found.push(item);
        } else {
            found.push(rest.to_owned());
        }
    }
    let word = |text: &String| {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    found.iter().map(word).filter(|w| !w.is_empty()).collect()
}

#[test]
fn names_are_found() {
    let check = |code: &str, expected: &[&str]| assert_eq!(named(code), expected, "{code}");
    check("use crate::sys::wait;", &["sys"]);
    check(
        "use crate::{elf, plan::{Kind, Plt}, base::Pid};",
        &["elf", "plan", "base"],
    );
    check(
        "fn f(x: crate::event::Event, y: &crate::plan::Kind)",
        &["event", "plan"],
    );
    check("use mycrate::sys;", &[]);
    let text =
        "a // crate::sys\nb(\"crate::elf\", c)\n\n#[cfg(test)]\nmod tests {\ncrate::engine\n";
    assert_eq!(code(text), ["a ", "b(\"\", c)"]);
}

#[test]
fn lower_floors_know_nothing_of_higher_ones() {
    let floors = BTreeMap::from(MAY_USE);
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        let module = module(&path);
        let Some(may_use) = floors.get(module.as_str()) else {
            continue;
        };
        for used in named(&code(&text).join(" ")) {
            if used != module && !may_use.contains(&used.as_str()) {
                wrong.push(format!("{}: {module} may not use {used}", shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The sink of leaks is above all floors.
#[test]
fn leak_has_floors_of_its_own() {
    let floor = |module: &str| LEAK_FLOORS.iter().position(|all| all.contains(&module));
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src/leak") {
        let inside = path.strip_prefix(root().join("src/leak")).expect("a file");
        let first = inside.components().next().expect("a name").as_os_str();
        let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "mod" || module == "leak_sink" {
            continue;
        }
        let Some(own) = floor(&module) else {
            wrong.push(format!("{}: on no floor", shown(&path)));
            continue;
        };
        for used in named_in("crate::leak::", &code(&text).join(" ")) {
            if floor(&used).is_none_or(|used| used > own) {
                wrong.push(format!("{}: {module} may not use {used}", shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_lives_in_sys() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        if module(&path) == "sys" {
            continue;
        }
        for (number, line) in code(&text).iter().enumerate() {
            let words: Vec<&str> = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .collect();
            if words.contains(&"unsafe") {
                wrong.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe outside of sys: {wrong:?}");
}

#[test]
fn files_say_what_lives_in_them() {
    let mut wrong = Vec::new();
    for dir in ["src", "tests", "benches"] {
        for (path, text) in rust_files(dir) {
            if !text.starts_with("//! ") {
                wrong.push(shown(&path));
            }
        }
    }
    assert!(wrong.is_empty(), "files without a //! head: {wrong:?}");
}

#[test]
fn files_are_small() {
    let sources = rust_files("src");
    let long: Vec<String> = sources
        .iter()
        .map(|(path, text)| (path, code(text).len()))
        .filter(|(_, lines)| *lines > LONG)
        .map(|(path, lines)| format!("{} ({lines})", shown(path)))
        .collect();
    assert!(
        long.len() * 10 <= sources.len(),
        "more than one file in ten is over {LONG} lines: {long:?}"
    );
    let huge: Vec<_> = sources
        .iter()
        .filter(|(_, text)| code(text).len() > 2 * LONG)
        .map(|(path, _)| shown(path))
        .collect();
    assert!(huge.is_empty(), "files to be taken apart: {huge:?}");
}

#[test]
fn nothing_of_the_authors_machine() {
    // Put together here, so that this file does not find itself.
    let traces = [["/wo", "rk/"], ["/ro", "ot/"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for (path, text) in files(root()) {
        for (number, line) in text.lines().enumerate() {
            if traces.iter().any(|trace| line.contains(trace)) {
                wrong.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "paths of one machine: {wrong:?}");
}
