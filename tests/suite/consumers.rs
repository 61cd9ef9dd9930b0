//! Programs that read what we write: pandas, DuckDB, speedscope, and shells that complete our options.

use crate::support::browser::Browser;
use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::skip::{command, skip_optional};
use crate::support::{ltrace, root, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A trace as JSON, and how many calls are in it.
fn json() -> Option<(PathBuf, usize)> {
    let program = fixture("threads")?;
    let file = scratch("consumers").join("trace.jsonl");
    let run = ltrace(["--json"]).arg(&file).arg(program).args(["2", "50"]);
    run.finish().exits(0);
    let text = fs::read_to_string(&file).unwrap();
    let calls = text
        .lines()
        .filter(|line| line.starts_with("{\"event\":\"call\""));
    let calls = calls.count();
    assert!(calls > 200, "{calls}");
    Some((file, calls))
}

/// Where tests/run puts readers that Debian does not have.
fn installed() -> PathBuf {
    root().join("target/consumers")
}

/// What a Python script says of the file, where its module is there.
fn python(module: &str, script: &str, file: &Path) -> Option<String> {
    let python = command("python3")?;
    let import = format!("import {module}");
    let run = |script: &str| {
        let modules = installed().join("python");
        Program::new(&python)
            .args(["-c", script])
            .env("PYTHONPATH", modules)
    };
    if run(&import).finish().code() != 0 {
        skip_optional(&format!("python3 has no {module}"));
        return None;
    }
    let run = run(&format!("import sys\n{import}\n{script}"))
        .arg(file)
        .finish()
        .exits(0);
    Some(run.stdout.trim().to_owned())
}

#[test]
fn pandas() {
    let Some((file, calls)) = json() else { return };
    let script = "trace = pandas.read_json(sys.argv[1], lines=True)\n\
        calls = trace[trace.event == 'call']\n\
        print(len(calls), int((calls.groupby('function').size())['malloc']), bool((calls.elapsed_ns >= 0).all()))";
    let Some(said) = python("pandas", script, &file) else {
        return;
    };
    assert_eq!(said, format!("{calls} 100 True"));
}

#[test]
fn duckdb() {
    let Some((file, calls)) = json() else { return };
    let script = "query = \"select count(*), count(*) filter (where function = 'malloc'), min(elapsed_ns) >= 0 \
            from read_ndjson('\" + sys.argv[1] + \"') where event = 'call'\"\n\
        print(*duckdb.sql(query).fetchall()[0])";
    let Some(said) = python("duckdb", script, &file) else {
        return;
    };
    assert_eq!(said, format!("{calls} 100 True"));
}

/// speedscope's own page: it finds every call to end before what is around it.
#[test]
fn speedscope() {
    let page = installed().join("node_modules/speedscope/dist/release/index.html");
    if !page.exists() {
        return skip_optional("speedscope is not installed");
    }
    let (Some(program), Some(browser)) = (fixture("threads"), Browser::start("speedscope")) else {
        return;
    };
    for options in [&["--instrument", "stop"][..], &["--instrument", "record"]] {
        let dir = scratch("speedscope");
        let trace = dir.join("trace.json");
        let run = ltrace(options).arg("--chrome").arg(&trace).arg("-f");
        run.arg(&program).args(["2", "200"]).finish().exits(0);
        let text = fs::read_to_string(trace).unwrap();
        // It is how its own command hands a file on.
        let base64 = Program::new("base64")
            .arg("-w0")
            .input(text)
            .finish()
            .exits(0)
            .stdout;
        let script = dir.join("trace.js");
        fs::write(
            &script,
            format!("speedscope.loadFileFromBase64('a trace', '{base64}')"),
        )
        .unwrap();
        let address = format!(
            "file://{}#localProfilePath={}",
            page.display(),
            script.display()
        );
        let opener = dir.join("open.html");
        fs::write(&opener, format!("<script>location = '{address}'</script>")).unwrap();
        browser.open(&opener);
        let mut said = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !said.iter().any(|line: &String| line.contains("import: ")) {
            assert!(Instant::now() < deadline, "{said:#?}");
            std::thread::sleep(Duration::from_millis(50));
            said.extend(browser.console());
        }
        let has = |text: &str| said.iter().any(|line| line.contains(text));
        assert!(has("Importing as Trace Event Format profile"), "{said:#?}");
        assert!(!has("Tried to end") && !has("still open"), "{said:#?}");
    }
}

#[test]
fn fish_completes() {
    let Some(fish) = command("fish") else { return };
    let script = "source completions/ltrace.fish; complete -C 'ltrace --min-'";
    let run = Program::new(fish)
        .args(["--no-config", "-c", script])
        .dir(root());
    let run = run.env("HOME", scratch("fish")).finish().exits(0);
    let found: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(found, ["--min-size", "--min-time"], "{}", run.told());
}

/// zsh's own function is asked by a script that stands for it.
#[test]
fn zsh_completes() {
    let Some(zsh) = command("zsh") else { return };
    let script = "compdef() { : }; _arguments() { print -rl -- \"$@\" }; source completions/_ltrace; _ltrace";
    let run = Program::new(zsh).args(["-f", "-c", script]).dir(root());
    let run = run.finish();
    for option in [
        "--min-time=",
        "--record=",
        "--html=",
        "*::command:_cmdambivalent",
    ] {
        let option = option.trim_start_matches('*');
        let is_there = run
            .stdout
            .lines()
            .any(|line| line.trim_start_matches('*').starts_with(option));
        assert!(is_there, "{option}\n{}", run.told());
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn bash_completes() {
    let Some(bash) = command("bash") else { return };
    let script = "source completions/ltrace.bash; COMP_WORDS=(ltrace --min-); COMP_CWORD=1; \
        _ltrace ltrace --min- ltrace; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let run = Program::new(bash)
        .args(["--norc", "-c", script])
        .dir(root())
        .finish()
        .exits(0);
    let mut found: Vec<&str> = run.stdout.lines().collect();
    found.sort();
    assert_eq!(found, ["--min-size", "--min-time"], "{}", run.told());
}
