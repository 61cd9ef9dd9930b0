//! Every example in README and docs: commands are read as the command line, prototypes as prototypes, and what can
//! be run is run. What is neither stands in `NOT_RUN`, with the reason.

use crate::support::expect::same_text;
use crate::support::program::Program;
use crate::support::skip::command;
use crate::support::{ltrace, root, scratch};
use ltrace::cli::{self, Stop, Surroundings};
use regex::Regex;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Blocks that are not run, by file and the beginning of their first line.
const NOT_RUN: [(&str, &str, &str); 16] = [
    (
        "docs/prototypes.md",
        "echo '#include",
        "suite/types.rs does so",
    ),
    (
        "docs/manual.md",
        "stat(\"/etc/passwd\"",
        "fixtures/structs.c has such lines",
    ),
    (
        "docs/manual.md",
        "open(\"/nope\"",
        "suite/values.rs has such lines",
    ),
    (
        "README.md",
        "sudo apt-get update",
        "installs; tests/fresh-root runs it",
    ),
    (
        "README.md",
        "sudo install",
        "installs; tests/fresh-root runs it",
    ),
    (
        "README.md",
        "tests/run",
        "runs this; tests/fresh-root runs it",
    ),
    (
        "README.md",
        "leaks: leaky_server",
        "the report of the commands above, which are run",
    ),
    ("docs/leaks.md", "leaks: leaky_server", "the same"),
    (
        "docs/leaks.md",
        "  1  LOST      12.1 KiB",
        "suite/leak_python.rs has this stack",
    ),
    ("docs/architecture.md", " argv", "a picture"),
    (
        "docs/manual.md",
        "malloc(32)",
        "lines of several programs; suite/control_flow.rs has them",
    ),
    (
        "docs/manual.md",
        "malloc(3)",
        "lines of no fixture; suite/backtraces.rs has their like",
    ),
    ("docs/manual.md", "ltrace [OPTION]", "the synopsis"),
    ("docs/json.md", "jq -r", "suite/json.rs runs its like"),
    ("docs/jobs.md", "scrape_configs", "Prometheus' own file"),
    ("docs/jobs.md", "1 - rate(", "Prometheus' own language"),
];

/// A block that stands apart from the text: fenced, or indented by four blanks behind an empty line.
struct Block {
    file: String,
    language: String,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let docs = fs::read_dir(root().join("docs")).unwrap().flatten();
    let mut files: Vec<_> = docs.map(|entry| entry.path()).collect();
    files.push(root().join("README.md"));
    files.retain(|path| path.extension().is_some_and(|ext| ext == "md"));
    files.sort();
    files.iter().flat_map(|path| blocks_of(path)).collect()
}

fn blocks_of(path: &Path) -> Vec<Block> {
    let file = path.strip_prefix(root()).unwrap().display().to_string();
    let text = fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    let mut before = "";
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| *line != "```");
            let lines = inside.map(str::to_owned).collect();
            found.push(Block {
                file: file.clone(),
                language: language.to_owned(),
                lines,
            });
        } else if let (Some(first), true) = (line.strip_prefix("    "), before.is_empty()) {
            let mut block = vec![first.to_owned()];
            while let Some(next) = lines.next_if(|line| line.starts_with("    ")) {
                block.push(next[4..].to_owned());
            }
            found.push(Block {
                file: file.clone(),
                language: String::new(),
                lines: block,
            });
        }
        before = line;
    }
    found
}

impl Block {
    fn first(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    fn is_exempt(&self) -> bool {
        let mut all = NOT_RUN.iter();
        all.any(|(file, first, _)| self.file == *file && self.first().starts_with(first))
    }
}

/// The words of a command as a shell would make them, an explanation behind two blanks left out.
fn words(line: &str) -> Vec<OsString> {
    let command = line.split("  ").next().unwrap();
    let command = Regex::new(r"\$\([^)]*\)|\bPID\b")
        .unwrap()
        .replace_all(command, "4711");
    let script = format!("set -f; printf '%s\\n' {command}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(OsString::from)
        .collect()
}

/// The command line makes sense.
#[track_caller]
fn check_command(line: &str) {
    match cli::parse(words(line), Surroundings::default()) {
        Ok(_) | Err(Stop::Told(_) | Stop::Said(_)) => {}
        Err(Stop::Usage(why)) => panic!("{line}: {why}"),
    }
}

/// How an example is tried; whether it is of a kind that can be.
fn try_block(block: &Block) -> bool {
    let first = block.first();
    let own = |line: &str| line.starts_with("ltrace ");
    let needs_process = block.lines.iter().any(|line| line.contains("-p PID"));
    if block.file == "docs/jobs.md" && block.language == "sh" && !needs_process {
        run_recipe(block);
    } else if block.language == "sh" && first.starts_with("cc ") || first.starts_with("cc ") {
        run_script(block);
    } else if first.starts_with("$ ltrace ") {
        block
            .text()
            .split("$ ")
            .filter(|session| own(session))
            .for_each(run_session);
    } else if block.lines.iter().all(|line| own(line)) {
        block.lines.iter().for_each(|line| check_command(line));
    } else if block.lines.iter().all(|line| line.starts_with("--pair ")) {
        // One of them continues another.
        let options = block
            .lines
            .iter()
            .map(|line| line.split("  ").next().unwrap());
        check_command(&format!(
            "ltrace --leaks {} ./prog",
            options.collect::<Vec<_>>().join(" ")
        ));
    } else if first.starts_with("; ") {
        let (parsed, complaints) = ltrace::proto::parse::parse("example.conf", &block.text());
        assert_eq!(complaints, [], "{}", block.file);
        assert!(!parsed.functions.is_empty());
    } else {
        return false;
    }
    true
}

/// Commands that a shell can run to their end, in an empty directory.
fn run_recipe(block: &Block) {
    if block.text().contains("jq ") && command("jq").is_none() {
        return;
    }
    let script = format!("set -e\n{}", block.text());
    let run = Program::new("sh")
        .args(["-c", &script])
        .dir(scratch("recipe"));
    let run = run.env("PATH", path_with_ltrace()).finish().exits(0);
    assert!(!run.stderr.contains("Try `ltrace"), "{}", run.told());
}

/// The real binary comes first.
fn path_with_ltrace() -> String {
    let ltrace = Path::new(env!("CARGO_BIN_EXE_ltrace")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", ltrace.display())
}

/// Commands for a shell, run with the real binary in a directory with the examples.
fn run_script(block: &Block) {
    let dir = scratch("documents");
    symlink(root().join("examples"), dir.join("examples")).unwrap();
    // Other tests run the same program; and the shell waits for what it left in the background.
    let script = block.text().replace("$(pgrep -x leaky_server)", "$!");
    let script = format!("set -em\n{script}kill %1; wait || :\n");
    let run = Program::new("bash")
        .args(["-c", &script])
        .dir(&dir)
        .env("PATH", path_with_ltrace());
    let run = run.finish().exits(0);
    for part in [
        "leaks: leaky_server (pid ",
        "LOST",
        "open_session   leaky_server.c:21",
        "after send(3, ",
    ] {
        assert!(run.stderr.contains(part), "no {part}\n{}", run.told());
    }
}

/// `ltrace …` and what it writes: a mistake word by word, of a trace each function.
fn run_session(session: &str) {
    let (command, shown) = session.split_once('\n').unwrap();
    let dir = scratch("session");
    fs::write(dir.join("a.txt"), "").unwrap();
    let run = ltrace(&words(command)[1..]).dir(&dir).finish();
    if run.code() == 2 {
        let told = run.stderr.lines().filter(|line| !line.starts_with("Try "));
        same_text(&told.collect::<Vec<_>>().join("\n"), shown.trim_end());
        return;
    }
    let name = Regex::new(r"^(\w+)\(|(\w+)$").unwrap();
    for line in shown
        .lines()
        .filter(|line| !line.starts_with(['+', '-', '%']))
    {
        let name = name
            .captures(line)
            .and_then(|found| found.get(1).or(found.get(2)));
        let name = name.map_or("", |name| name.as_str());
        assert!(
            run.stderr.contains(name),
            "{command}: no {name}\n{}",
            run.told()
        );
    }
}

#[test]
fn blocks_of_examples() {
    let blocks = blocks();
    assert!(blocks.len() > 10);
    for block in blocks.iter().filter(|block| !block.is_exempt()) {
        assert!(
            try_block(block),
            "{}: nobody tries\n{}",
            block.file,
            block.text()
        );
    }
    for (file, first, _) in NOT_RUN.iter().filter(|(_, first, _)| !first.is_empty()) {
        let is_meant = |block: &&Block| block.file == *file && block.first().starts_with(first);
        assert_eq!(blocks.iter().filter(is_meant).count(), 1, "{file}: {first}");
    }
}

/// Commands in the text, in --help, and in lists.
#[test]
fn commands_in_the_text() {
    let command = Regex::new(r"`(ltrace [^`]+)`").unwrap();
    let mut texts: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .flatten()
        .map(|entry| fs::read_to_string(entry.path()).unwrap())
        .collect();
    texts.push(fs::read_to_string(root().join("README.md")).unwrap());
    let mut commands: Vec<String> = texts
        .iter()
        .flat_map(|text| command.captures_iter(text))
        .map(|found| found[1].replace('\n', " "))
        .collect();
    let help = ltrace(["--help"]).finish().exits(0).stdout;
    let examples = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ltrace -"));
    commands.extend(examples.map(|line| format!("ltrace -{line}")));
    assert!(commands.len() > 10);
    for command in commands {
        match cli::parse(words(&command), Surroundings::default()) {
            Ok(_) | Err(Stop::Told(_) | Stop::Said(_)) => {}
            // The name of an option, rather than an example.
            Err(Stop::Usage(why)) if why.contains("too few arguments") => {}
            Err(Stop::Usage(why)) => panic!("{command}: {why}"),
        }
    }
}
