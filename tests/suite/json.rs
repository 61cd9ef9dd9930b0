//! `--json`, `--chrome` and `--format`: traces that programs read.

use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::skip::{find, skip};
use crate::support::{ltrace, root, scratch};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The lines of a trace with these options.
fn lines(options: &[&str], program: &Path) -> Vec<Value> {
    let file = scratch("json").join("trace.jsonl");
    let run = ltrace(["--json", file.to_str().unwrap()]).args(options);
    run.arg(program).finish();
    parsed(&file)
}

fn parsed(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
    text.lines().map(parse).collect()
}

/// Python's jsonschema finds nothing wrong with any of them.
fn check_schema(lines: &[Value]) {
    let check = "import json, sys, jsonschema\n\
        schema = json.load(open(sys.argv[1]))\n\
        validator = jsonschema.Draft202012Validator(schema)\n\
        for line in sys.stdin:\n    validator.validate(json.loads(line))\n";
    let has_it = Program::new("python3")
        .args(["-c", "import jsonschema"])
        .finish();
    if has_it.code() != 0 {
        return skip("python3 has no jsonschema");
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let schema = root().join("docs/trace.schema.json");
    let python = Program::new("python3").args(["-c", check]).arg(schema);
    python.input(text).finish().exits(0);
}

fn of<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn lines_are_as_their_schema_says() {
    let mut events = HashSet::new();
    for (name, options) in [
        ("basic", &["-w", "3"][..]),
        ("values", &["-F", "fixtures/values.conf"]),
        ("data", &[]),
        ("threads", &["-f"]),
        ("fork", &["-f"]),
        ("fork", &[]),
        ("longjmp", &[]),
        ("alarm", &[]),
        ("exit_status", &[]),
        ("dlopen", &["-e", "malloc"]),
        ("ifunc", &["-x", "*"]),
        ("system_calls", &["-S", "-w", "2"]),
    ] {
        let Some(program) = fixture(name) else { return };
        let lines = lines(options, &program);
        assert_eq!(lines[0]["version"], 1, "{name}");
        let found = lines.iter().filter_map(|line| line["event"].as_str());
        events.extend(found.map(str::to_owned));
        check_schema(&lines);
    }
    for event in [
        "trace",
        "call",
        "returned_again",
        "signal",
        "started",
        "exec",
        "exited",
    ] {
        assert!(events.contains(event), "no {event}");
    }
    for event in ["loaded", "unloaded", "unfollowed"] {
        assert!(events.contains(event), "no {event}");
    }
}

#[test]
fn every_field_is_documented() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(root().join("docs/trace.schema.json")).unwrap())
            .unwrap();
    let page = fs::read_to_string(root().join("docs/json.md")).unwrap();
    fn names(value: &Value, found: &mut HashSet<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            found.extend(properties.keys().cloned());
        }
        match value {
            Value::Object(members) => members.values().for_each(|member| names(member, found)),
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            _ => {}
        }
    }
    let mut found = HashSet::new();
    names(&schema, &mut found);
    for name in found {
        let told = [format!("`{name}`"), format!("\"{name}\"")];
        assert!(told.iter().any(|text| page.contains(text)), "{name}");
    }
}

/// Both outputs are of one run: each whole line of the text can be made of an object.
#[test]
fn nothing_of_a_line_is_missing() {
    let Some(program) = fixture("data") else {
        return;
    };
    let dir = scratch("json");
    let (text, json) = (dir.join("trace"), dir.join("trace.jsonl"));
    let run = ltrace(["-a", "0", "-o", text.to_str().unwrap()]);
    let run = run.args(["--json", json.to_str().unwrap()]);
    run.arg(program).finish();
    let shown = |call: &Value| {
        let texts = call["args"].as_array().unwrap().iter();
        let texts = texts.map(|arg| arg["text"].as_str().unwrap());
        let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        let result = call["result"]["text"].as_str().unwrap_or_default();
        format!(
            "{}({}) = {result}",
            call["function"].as_str().unwrap(),
            texts.join(", ")
        )
    };
    let lines = parsed(&json);
    let calls: HashSet<String> = of(&lines, "call").into_iter().map(shown).collect();
    let text = fs::read_to_string(text).unwrap();
    let whole = text
        .lines()
        .filter(|line| line.contains(") = ") && !line.starts_with("<..."));
    let missing: Vec<&str> = whole
        .clone()
        .filter(|line| !calls.contains(*line))
        .collect();
    assert!(
        missing.is_empty() && whole.count() > 10,
        "{missing:#?}\n{calls:#?}"
    );
}

#[test]
fn a_call_with_all_that_is_known_of_it() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let lines = lines(&["-e", "abs+exit", "-w", "1"], &program);
    let calls = of(&lines, "call");
    let [abs, exit] = &calls[..] else {
        panic!("{lines:#?}");
    };
    assert_eq!(abs["function"], "abs");
    assert_eq!(abs["args"][0]["value"], -1);
    assert_eq!(abs["args"][0]["raw"], "0xffffffff");
    assert_eq!(abs["result"]["value"], 1);
    assert_eq!(abs["caller"]["module"], "backtrace");
    assert_eq!(abs["stack"][0]["function"], "here::inner(int)");
    assert_eq!(
        (&exit["end"], &exit["result"]),
        (&"gone".into(), &Value::Null)
    );
    assert!(exit["time_ns"].as_u64() > abs["time_ns"].as_u64());
}

#[test]
fn jq_reads_it() {
    if find("jq").is_none() {
        return skip("jq is not installed");
    }
    let Some(program) = fixture("basic") else {
        return;
    };
    let file = scratch("json").join("trace.jsonl");
    ltrace(["--json", file.to_str().unwrap()])
        .arg(program)
        .finish()
        .exits(0);
    let filter = r#"select(.event == "call" and .function == "strlen") | .result.value"#;
    let jq = Program::new("jq")
        .args(["-r", filter])
        .arg(file)
        .finish()
        .exits(0);
    assert!(jq.stdout.lines().any(|line| line == "9"), "{}", jq.told());
}

#[test]
fn files_that_are_cut_are_whole_up_to_there() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let dir = scratch("chrome");
    let files = [dir.join("trace.jsonl"), dir.join("trace.json")];
    let run = ltrace(["--json", files[0].to_str().unwrap()]);
    let run = run
        .args(["--chrome", files[1].to_str().unwrap()])
        .arg(program)
        .finish();
    assert!(
        !run.stderr.contains("malloc"),
        "named files are all: {}",
        run.told()
    );
    let calls = of(&parsed(&files[0]), "call").len();
    let text = fs::read_to_string(&files[1]).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let complete = |entry: &&Value| entry["ph"] == "X";
    assert_eq!(all.iter().filter(complete).count(), calls);
    // A line at a time.
    let lines: Vec<&str> = text.lines().collect();
    let half = lines[..lines.len() / 2].join("\n");
    let half = half.trim_end_matches(',').to_owned() + "]";
    let some: Vec<Value> = serde_json::from_str(&half).unwrap();
    assert!(some.len() > 3 && some.len() < all.len());
}

/// Calls of each thread contain each other or stand apart, as viewers want them.
#[test]
fn calls_are_nested() {
    let Some(program) = fixture("recursion") else {
        return;
    };
    let file = scratch("chrome").join("trace.json");
    let run = ltrace(["--format", "chrome", "-o", file.to_str().unwrap()]);
    run.arg(program).arg("4").finish().exits(0);
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let number = |entry: &Value, name: &str| entry[name].as_f64().unwrap();
    let calls: Vec<(f64, f64)> = all
        .iter()
        .filter(|entry| entry["ph"] == "X")
        .map(|entry| {
            (
                number(entry, "ts"),
                number(entry, "ts") + number(entry, "dur"),
            )
        })
        .collect();
    assert!(calls.len() > 4);
    for (start, end) in &calls {
        for (other, its_end) in &calls {
            let crosses = other > start && other < end && its_end > end;
            assert!(!crosses, "{start}..{end} and {other}..{its_end}");
        }
    }
}

#[test]
fn each_process_has_a_file() {
    let Some(program) = fixture("fork") else {
        return;
    };
    let base = scratch("json").join("trace");
    let run = ltrace(["-ff", "--format", "json", "-o", base.to_str().unwrap()]);
    run.arg(program).finish();
    let files = fs::read_dir(base.parent().unwrap()).unwrap().flatten();
    let files: Vec<_> = files.map(|file| parsed(&file.path())).collect();
    assert!(files.len() > 1);
    assert!(files.iter().all(|lines| lines[0]["event"] == "trace"));
}
