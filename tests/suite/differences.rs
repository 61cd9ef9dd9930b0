//! Debian's ltrace and ours on every fixture and on programs that everybody has: each difference between the two traces has
//! its reason in docs/differences.md, and what that page shows is seen.

use crate::support::compared::{Call, Grammar, Trace, aligned, arguments};
use crate::support::fixture::fixture;
use crate::support::program::Program;
use crate::support::skip::{command, find, skip};
use crate::support::{ltrace, root, scratch};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEBIAN: &str = "/usr/bin/ltrace";

/// Fixtures that are left out.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "altstack",
        "Debian's ltrace is ended by its limit of calls in each other, in the middle",
    ),
    ("at_exec", "stands still until it gets a signal"),
    ("busy", "goes on until its sign of life is asked for"),
    ("cut", "wants a library that is cut meanwhile"),
    ("deaf_files", "mounts a file system"),
    ("firsts_32", "is for i386"),
    ("fork_amid_calls", "what it does depends on time"),
    ("cancel", "looks again and again whether it is time"),
    ("sharers", "the same"),
    (
        "held_rust",
        "of its calls of memcpy Debian's ltrace sees those through `.plt` only: they cannot be paired",
    ),
    ("in_progress", "waits for somebody to attach"),
    ("leak_cgo", "the runtime's threads do as they like"),
    ("leak_steadily", "does not end"),
    ("signal_storm", "Debian's ltrace may end it, at any time"),
    ("small_stacks", "the same"),
    ("thread_exec", "Debian's ltrace hangs"),
];

const ARGUMENTS: &[(&str, &[&str])] = &[
    ("exec", &["/bin/true"]),
    ("exit_status", &["exit", "3"]),
    ("leak_ends", &["exit"]),
    ("leak_exact", &["1", "20"]),
    ("leak_heap", &["100", "1", "64"]),
    ("leak_misuse", &["double"]),
    ("leak_walk", &["10", "3"]),
    ("many", &["10"]),
    ("mixture", &["1", "10"]),
    ("recursion", &["20"]),
    ("server", &["2"]),
    ("threads", &["2", "20"]),
];

/// The headings of the page.
mod reason {
    pub(super) const UNKNOWN: &str = "Functions without a prototype there";
    pub(super) const NAMES: &str = "Names of numbers";
    pub(super) const NULL: &str = "Null pointers";
    pub(super) const ERRNO: &str = "Why a call failed";
    pub(super) const BEHIND: &str = "What pointers lead to";
    pub(super) const SETS: &str = "Sets of signals";
    pub(super) const FUNCTIONS: &str = "Functions by name";
    pub(super) const NOT_PASSED: &str = "Arguments that are not passed";
    pub(super) const FORMATS: &str = "Formats";
    pub(super) const BUFFERS: &str = "Buffers with NULs";
    pub(super) const WHOLE: &str = "Texts of just as many characters as are shown";
    pub(super) const START: &str = "Functions of start files";
    pub(super) const QUOTES: &str = "Quotes in texts";
    pub(super) const RETURNS: &str = "Calls that return after a signal";
    pub(super) const NO_RETURN: &str = "Calls that do not return";
    pub(super) const AGAIN: &str = "Calls that return again";
    pub(super) const SLOTS: &str = "Calls that do not go through `.plt`";
    pub(super) const IFUNCS: &str = "Functions without a name there";
    pub(super) const THREADS: &str = "Threads";
    pub(super) const BREAKS: &str = "Programs that it does not bear";
    pub(super) const SIGNALS: &str = "Signals";
    pub(super) const MESSAGES: &str = "Messages";
    pub(super) const STATUS: &str = "The exit status";
}
use reason::*;

/// What was seen: by reason, the program and the two lines.
type Seen = BTreeMap<&'static str, BTreeSet<(String, String, String)>>;

struct Comparison {
    numbers: Regex,
    known: BTreeSet<String>,
    seen: Seen,
    unexplained: Vec<String>,
}

/// One program, traced by both.
struct Both {
    name: String,
    old: Trace,
    new: Trace,
    old_broke: bool,
    /// Ours, where Debian's is 0.
    status_differs: Option<i32>,
}

impl Both {
    fn traced(name: &str, program: &Path, args: &[&str], dir: &Path) -> Both {
        let files = scratch("differences");
        let by = |tracer: Program, file: &PathBuf| {
            let tracer = tracer.arg("-o").arg(file).arg(program).args(args);
            // The shell's last command.
            let run = tracer
                .dir(dir)
                .env("_", "x")
                .patience(Duration::from_secs(60));
            let run = run.finish();
            (run, fs::read_to_string(file).unwrap_or_default())
        };
        let (old, old_text) = by(Program::new(DEBIAN), &files.join("old"));
        let json = files.join("json");
        let ours = ltrace(["--json"]).arg(&json);
        let (new, new_text) = by(ours, &files.join("new"));
        let main = main_thread(&fs::read_to_string(&json).unwrap());
        let grammar = Grammar::default();
        Both {
            name: name.to_owned(),
            old: grammar.read(&old_text, None),
            new: grammar.read(&new_text, main.as_deref()),
            old_broke: old.code() != 0,
            status_differs: (old.code() == 0 && new.code() != 0).then(|| new.code()),
        }
    }
}

/// The last process id that was given away (proc_loadavg(5)).
fn last_pid() -> String {
    let load = fs::read_to_string("/proc/loadavg").expect("the load");
    load.trim().rsplit(' ').next().expect("a pid").to_owned()
}

impl Comparison {
    fn new() -> Comparison {
        let conf = fs::read_to_string("/etc/ltrace.conf").unwrap_or_default();
        let name = Regex::new(r"(\w+) *\(").unwrap();
        let lines = conf.lines().filter(|line| !line.starts_with(';'));
        let known =
            lines.flat_map(|line| name.captures_iter(line).map(|found| found[1].to_owned()));
        Comparison {
            numbers: Regex::new(r"[0-9]{3,}").unwrap(),
            known: known.collect(),
            seen: Seen::new(),
            unexplained: Vec::new(),
        }
    }

    fn add(&mut self, why: Option<&'static str>, name: &str, old: &str, new: &str) {
        // Exceptions, results and ends are told wrongly there: that is what it is for.
        match why.or((name == "told").then_some(BREAKS)) {
            Some(why) => {
                let lines = (name.to_owned(), old.to_owned(), new.to_owned());
                self.seen.entry(why).or_default().insert(lines);
            }
            None => self
                .unexplained
                .push(format!("{name}\n  - {old}\n  + {new}")),
        }
    }

    /// Traces the program by both, and compares. A program may write its process id: both traces are taken again where the
    /// ids got one digit more in between, as the lengths of texts then differ.
    fn compare(&mut self, name: &str, program: &Path, args: &[&str], dir: &Path) {
        let both = loop {
            let before = last_pid().len();
            let both = Both::traced(name, program, args, dir);
            if last_pid().len() == before {
                break both;
            }
        };
        if let Some(status) = both.status_differs {
            let told = |code| format!("status {code}");
            self.add(Some(STATUS), name, &told(0), &told(status));
        }
        self.look_at(both);
    }

    fn look_at(&mut self, mut both: Both) {
        let name = both.name.clone();
        let strange =
            |line: &&String| !line.starts_with("--- ") && !line.starts_with("+++ exited (status 0");
        let broke = both.old.others.iter().find(strange).cloned();
        both.old_broke |= broke.is_some() && !both.new.others.contains(broke.as_ref().unwrap());
        if both.old_broke {
            let end = both.new.others.last().cloned().unwrap_or_default();
            self.add(Some(BREAKS), &name, &broke.unwrap_or_default(), &end);
        }
        if both.new.has_other_threads {
            self.add(Some(THREADS), &name, "", "");
        }
        let old_names: BTreeSet<String> = both
            .old
            .calls
            .iter()
            .map(|call| call.name.clone())
            .collect();
        let mut pairs = aligned(&both.old.calls, &both.new.calls);
        if both.old_broke {
            // What follows its last call is not to be expected of it.
            let last = pairs.iter().rposition(|(old, _)| old.is_some());
            pairs.truncate(last.unwrap_or(0));
        }
        for (old, new) in pairs {
            match (old, new) {
                (Some(old), Some(new)) => self.pair(&name, old, new),
                (None, Some(new)) => self.only_new(&name, new, &old_names, both.old_broke),
                (Some(old), None) => {
                    let is_nameless = old.name.is_empty();
                    let why = is_nameless.then_some(IFUNCS);
                    let why = why.or((old.name == "__cxa_finalize").then_some(START));
                    let why =
                        why.or((both.old_broke || both.new.has_other_threads).then_some(BREAKS));
                    self.add(why, &name, &old.line(), "");
                }
                (None, None) => {}
            }
        }
        self.others(&name, &both);
    }

    fn only_new(&mut self, name: &str, new: &Call, old_names: &BTreeSet<String>, old_broke: bool) {
        let why = match () {
            () if new.is_again => Some(AGAIN),
            () if !old_names.contains(&new.name) => Some(SLOTS),
            () if old_broke => Some(BREAKS),
            () => None,
        };
        self.add(why, name, "", &new.line());
    }

    /// A call that both have.
    fn pair(&mut self, name: &str, old: &Call, new: &Call) {
        if old.returned_after_all {
            self.add(
                Some(RETURNS),
                name,
                &format!("{}({} <no return ...>", old.name, old.args),
                &new.line(),
            );
        }
        if (&old.args, &old.result) == (&new.args, &new.result) || old.is_again {
            return;
        }
        let (old_line, new_line) = (old.line(), new.line());
        let unquoted = |text: &str| text.replace("\\'", "'").replace("\\\"", "\"");
        if unquoted(&old_line) == unquoted(&new_line) {
            return self.add(Some(QUOTES), name, &old_line, &new_line);
        }
        // What it copies is there by chance: addresses, mostly.
        if old.name.starts_with("mem") && old.args.contains("\\0") {
            return;
        }
        if !self.known.contains(&old.name) {
            return self.add(Some(UNKNOWN), name, &old_line, &new_line);
        }
        let (before, after) = (arguments(&old.args), arguments(&new.args));
        let differs = |comparison: &mut Comparison, was: &str, is: &str| {
            if let Some(why) = comparison.why(&old.name, was, is) {
                comparison.add(why, name, &old_line, &new_line);
            }
        };
        for (was, is) in before.iter().zip(&after) {
            differs(self, was, is);
        }
        differs(self, &old.result, &new.result);
        if before.len() != after.len() {
            let why = match () {
                () if old.name.contains("printf") => Some(FORMATS),
                () if old.result.ends_with(" ...>") || new.result.ends_with(" ...>") => {
                    Some(NO_RETURN)
                }
                () if before.len() > after.len() && after.len() >= 2 => Some(NOT_PASSED),
                () => None,
            };
            self.add(why, name, &old_line, &new_line);
        }
    }

    /// Why an argument or result is shown in another way; `None` when it is not, and inside of that when nobody knows.
    fn why(&self, function: &str, was: &str, is: &str) -> Option<Option<&'static str>> {
        let stable = |text: &str| self.numbers.replace_all(text, "…").into_owned();
        let is_number = |text: &str| {
            text.trim_start_matches(['-', '0', 'x'])
                .chars()
                .all(|c| c.is_ascii_hexdigit() || c == '…')
        };
        let has_names = |text: &str| {
            text.chars().any(|c| c.is_ascii_uppercase()) && !text.starts_with(['"', '{', '[', '\''])
        };
        let is_lower = |c: char| c.is_ascii_lowercase() || c == '_';
        let is_text = |text: &str| text.starts_with('"');
        let has_octal = |text: &str| Regex::new(r"\\[0-9]").unwrap().is_match(text);
        if stable(was) == stable(is) {
            return None;
        }
        Some(match () {
            () if function.starts_with("mem") && has_octal(was) => return None,
            () if is.contains(" E") && is.ends_with(')') => Some(ERRNO),
            () if is.ends_with(" ...>") => Some(NO_RETURN),
            () if was.ends_with(" ...>") => Some(NO_RETURN),
            () if was == "0" && is == "nil" => Some(NULL),
            () if function.starts_with("sig") || function.ends_with("sigmask") => {
                match has_names(was) && has_names(is) {
                    true => Some(NAMES),
                    false => Some(SETS),
                }
            }
            () if is_number(was) && is != "nil" && is.starts_with(is_lower) => Some(FUNCTIONS),
            () if is_number(was) && (has_names(is) || is.starts_with('\'')) => Some(NAMES),
            () if function.contains("printf") => Some(FORMATS),
            () if is_text(was)
                && is.trim_end_matches('"') == was.trim_end_matches('.').trim_end_matches('"') =>
            {
                Some(WHOLE)
            }
            () if is_text(was) && is.replace("\\\"", "\"") == was => Some(QUOTES),
            // At the end of a file: what was there before.
            () if function == "fgets" && is_text(was) && is_text(is) => return None,
            () if is_text(was) && is_text(is) && is.contains("\\0") => Some(BUFFERS),
            // What lies behind what is written; what was there before a read that failed.
            () if is_text(was) && was.starts_with(is.trim_end_matches('"')) => Some(BUFFERS),
            () if function == "getcwd" || function == "getopt_long" => Some(BEHIND),
            () if is_number(was) && is.starts_with(['{', '[', '"']) => Some(BEHIND),
            () if was.starts_with('{') && is.starts_with('{') => Some(BEHIND),
            // Ids of processes, times, and the like.
            () if is_number(was) && is_number(is) && was.len() > 2 && is.len() > 2 => return None,
            () => None,
        })
    }

    /// Signals and ends.
    fn others(&mut self, name: &str, both: &Both) {
        let set = |trace: &Trace| -> BTreeSet<String> {
            let lines = trace.others.iter();
            lines
                .map(|line| self.numbers.replace_all(line, "…").into_owned())
                .collect()
        };
        let (old, new) = (set(&both.old), set(&both.new));
        let mut add = |lines: BTreeSet<&String>, is_new: bool| {
            for line in lines {
                let why = match () {
                    () if line.starts_with("ltrace: ") => Some(MESSAGES),
                    () if both.old_broke => Some(BREAKS),
                    () if line.starts_with("--- ") => Some(SIGNALS),
                    () => None,
                };
                match is_new {
                    true => self.add(why, name, "", line),
                    false => self.add(why, name, line, ""),
                }
            }
        };
        add(old.difference(&new).collect(), false);
        add(new.difference(&old).collect(), true);
    }
}

/// The process's first thread, by the objects of its trace.
fn main_thread(json: &str) -> Option<String> {
    let mut lines = json
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.find_map(|line| Some(line["pid"].as_i64()?.to_string()))
}

fn fixtures() -> Vec<String> {
    let all = fs::read_dir(root().join("fixtures")).unwrap().flatten();
    let sources = all.map(|entry| entry.path()).filter(|path| {
        fs::read_to_string(path).is_ok_and(|text| text.starts_with("// build: "))
            && path.extension().is_some_and(|ext| ext != "h")
    });
    let names = sources.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("lib")).collect();
    names.sort();
    names
}

/// The page: under each heading, rows of a program, what Debian's ltrace shows, and what ours does.
fn page() -> BTreeMap<String, Vec<(String, String, String)>> {
    let text = fs::read_to_string(root().join("docs/differences.md")).unwrap();
    let mut page: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut heading = String::new();
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("## ") {
            heading = found.to_owned();
            page.insert(heading.clone(), Vec::new());
        } else if let Some(row) = line.strip_prefix("| `") {
            let row = row.replace("\\|", "¦");
            let cells: Vec<String> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`').replace('¦', "|"))
                .collect();
            let [name, old, new, ..] = cells.as_slice() else {
                panic!("{line}");
            };
            let row = (name.clone(), old.clone(), new.clone());
            page.get_mut(&heading).expect(line).push(row);
        }
    }
    page
}

/// Whether a line is as the page shows it: there, `…` stands for anything.
fn is_like(pattern: &str, line: &str) -> bool {
    let parts: Vec<String> = pattern.split('…').map(regex::escape).collect();
    let regex = Regex::new(&format!("^{}$", parts.join(".*"))).unwrap();
    regex.is_match(line)
}

#[test]
fn each_has_its_reason() {
    if !Path::new(DEBIAN).exists() || find("gcc").is_none() {
        return skip("Debian's ltrace is not installed");
    }
    let mut comparison = Comparison::new();
    for name in fixtures() {
        let is_left_out = LEFT_OUT.iter().any(|(other, _)| *other == name);
        let Some(program) = (!is_left_out).then(|| fixture(&name)).flatten() else {
            continue;
        };
        let args = ARGUMENTS.iter().find(|(other, _)| *other == name);
        let args = args.map_or(&[][..], |(_, args)| args);
        comparison.compare(&name, &program, args, program.parent().unwrap());
    }
    let dir = scratch("repository");
    let script = "for i in 1 2 3; do x=$((i * i)); done; echo $x; cd /; pwd; exit 5";
    if let Some(git) = command("git") {
        let made = Program::new(git).args(["init", "-q"]).dir(&dir).finish();
        made.exits(0);
    }
    let programs: [(&str, &[&str]); 3] = [
        ("ls", &["-l", "/usr"]),
        ("bash", &["-c", script]),
        ("git", &["status", "--short", "--branch"]),
    ];
    for (name, args) in programs {
        if let Some(program) = command(name) {
            comparison.compare(name, &program, args, &dir);
        }
    }
    if let Ok(file) = std::env::var("LTRACE_DIFFERENCES") {
        let lines = comparison.seen.iter().flat_map(|(why, seen)| {
            seen.iter()
                .map(move |(name, old, new)| format!("{why}: {name}\n  - {old}\n  + {new}\n"))
        });
        fs::write(file, lines.collect::<String>()).unwrap();
    }
    assert!(
        comparison.unexplained.is_empty(),
        "{} differences without a reason\n{}",
        comparison.unexplained.len(),
        comparison.unexplained.join("\n")
    );
    compare_with_page(&comparison.seen);
}

fn compare_with_page(seen: &Seen) {
    let page = page();
    for why in seen.keys() {
        assert!(
            page.contains_key(*why),
            "docs/differences.md says nothing of {why:?}"
        );
    }
    for (heading, rows) in &page {
        assert!(
            seen.contains_key(heading.as_str()),
            "{heading}: nothing of it was seen"
        );
        for (name, old, new) in rows {
            let of_heading = seen.get(heading.as_str());
            let is_seen = of_heading.is_some_and(|seen| {
                seen.iter()
                    .any(|(other, was, is)| other == name && is_like(old, was) && is_like(new, is))
            });
            assert!(
                is_seen,
                "{heading}: not seen of {name}\n  - {old}\n  + {new}"
            );
        }
    }
}
