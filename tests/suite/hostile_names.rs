//! Programs, libraries, functions, sources, threads, files and contents whose names would command a terminal, forge
//! lines or break out of a page: nothing that ltrace writes holds any of it raw.

use crate::support::skip::command;
use crate::support::terminal::on_screen;
use crate::support::{ltrace, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LTRACE: &str = env!("CARGO_BIN_EXE_ltrace");

/// What names hold: a title, a colour by a C1 control, a line, text turned around, a tag.
const BAD: &str = "\u{1b}]0;T\u{7}\u{9b}35m\nFORGED \u{202e}\u{2028}\u{7f}<img src=x>";

const LIBRARY: &str = r#"
#include <stdlib.h>
void *placeholder(int size) { return malloc(size + 1000); }
"#;

/// `twenty_letters_it_is` is replaced in what is built by as many bytes.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#define BAD "\033]0;T\007\xc2\x9b" "35m\nFORGED \xe2\x80\xae\xe2\x80\xa8\x7f<img src=x>"
void *placeholder(int size);
static __attribute__((noinline)) void *twenty_letters_it_is(int size)
{
	char *block = malloc(size);
	strcpy(block, BAD);
	return block;
}
static void *run(void *unused)
{
	prctl(PR_SET_NAME, "\033[31m\nT<b>");
	for (int n = 0; n < 3; n++)
		twenty_letters_it_is(100 + n);
	return NULL;
}
int main(int argc, char **argv)
{
	pthread_t thread;
	prctl(PR_SET_NAME, "\033[31m\nM<i>");
	placeholder(5);
	pthread_create(&thread, NULL, run, NULL);
	pthread_join(thread, NULL);
	strdup(BAD);
	free(strdup("\xff\x9b"));
	open(BAD "fd", O_CREAT | O_RDWR, 0600);
	puts("ready");
	fflush(stdout);
	if (argc > 1)
		getchar();
	return 0;
}
"#;

/// A place of that name with the program and its library.
struct Hostile {
    dir: PathBuf,
    program: PathBuf,
}

impl Hostile {
    fn build(name: &str) -> Option<Hostile> {
        command("objcopy")?;
        // Paths have no NUL and no slash, and names no more than 255 bytes.
        let dir = scratch(name).join(BAD);
        fs::create_dir(&dir).unwrap();
        let at = |name: &str| dir.join(format!("{name}{BAD}"));
        let (library, source) = (
            at("library").with_extension("so"),
            at("source").with_extension("c"),
        );
        let program = at("program");
        fs::write(dir.join("library.c"), LIBRARY).unwrap();
        fs::write(&source, PROGRAM).unwrap();
        let run_all = |text: &str, rest: &[&Path]| run(&dir, text, rest);
        let renamed = format!("placeholder=called{BAD}");
        run_all("gcc -O1 -fPIC -c -o library.o library.c", &[]);
        run_all("gcc -g -O1 -c -pthread -o program.o", &[&source]);
        for object in ["library.o", "program.o"] {
            let words = ["objcopy", "--redefine-sym", &renamed, object];
            assert!(
                Command::new(words[0])
                    .args(&words[1..])
                    .current_dir(&dir)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        run_all("gcc -shared -Wl,-soname,liblf.so library.o -o", &[&library]);
        run_all(
            "gcc -pthread -Wl,-rpath,$ORIGIN program.o -o",
            &[&program, &library],
        );
        fs::rename(&library, dir.join("liblf.so")).unwrap();
        rename(
            &program,
            b"twenty_letters_it_is",
            b"\x1b[31mf\nFORGED\xc2\x9b<img>",
        );
        Some(Hostile { dir, program })
    }

    /// Runs ltrace on it; what was written to standard error is clean.
    fn trace(&self, args: &[&str]) -> String {
        let finished = ltrace(args)
            .arg(&self.program)
            .dir(&self.dir)
            .finish()
            .exits(0);
        assert_clean(&format!("{args:?}"), &finished.stderr);
        finished.stderr
    }
}

/// Runs a command with these paths behind it.
fn run(dir: &Path, text: &str, paths: &[&Path]) {
    let mut words = text.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(paths)
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}: {said}");
}

/// Replaces a name by one of the same length.
fn rename(file: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the name of a function");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    fs::write(file, bytes).unwrap();
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let is_raw = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || turns(c);
    let raw = text.lines().find(|line| line.contains(is_raw));
    assert!(raw.is_none(), "{what}: {raw:?}");
    let forged = text
        .lines()
        .find(|line| line.trim_start().starts_with("FORGED"));
    assert!(forged.is_none(), "{what}: {forged:?}");
}

#[test]
fn lines_and_tables() {
    let Some(hostile) = Hostile::build("lines") else {
        return;
    };
    let text = hostile.trace(&["-e", "*"]);
    assert!(text.contains("called\\033]0;T\\007"), "{text}");
    hostile.trace(&["-x", "*FORGED*", "-L", "-C"]);
    hostile.trace(&["-f", "-c"]);
    hostile.trace(&["-c", "-C", "-x", "*FORGED*", "-L"]);
}

#[test]
fn traces_for_machines() {
    let Some(hostile) = Hostile::build("machines") else {
        return;
    };
    let dir = scratch("traces");
    let forms = ["json", "chrome", "html"].map(|name| (name, dir.join(name)));
    let options = forms.iter().flat_map(|(name, file)| {
        let option = format!("--{name}");
        [option, file.to_str().unwrap().to_owned()]
    });
    let options: Vec<String> = options.collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    hostile.trace(&[&options, &["-e", "*", "-S", "-s", "200"][..]].concat());
    for (name, file) in &forms {
        let text = fs::read_to_string(file).unwrap();
        assert_clean(name, &text);
        // The page's calls are packed.
        assert!(
            text.contains("program\\u001b]0;T") || *name == "html",
            "{name}: {text}"
        );
    }
    let lines = fs::read_to_string(&forms[0].1).unwrap();
    let mut lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let is_it = |line: &serde_json::Value| line["args"][0]["value"] == format!("{BAD}fd");
    assert!(lines.any(|line| is_it(&line)), "the name of the file");
}

#[test]
fn reports_and_their_files() {
    let Some(hostile) = Hostile::build("reports") else {
        return;
    };
    let leaks = [
        "--leaks", "--older", "0", "--frames", "all", "--pairs", "fd,file",
    ];
    let more = |args: &[&str]| hostile.trace(&[&leaks, args].concat());
    let text = more(&["--contents", "--context", "strdup,open", "--gen-suppress"]);
    for what in [
        "program\\033]0;T",
        "\\033[31mf\\nFORGED\\233<img>",
        "source\\033]0;T",
    ] {
        assert!(text.contains(what), "{what}: {text}");
    }
    more(&["--format", "mtrace"]);
    let dir = scratch("files");
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let names = ["json", "save", "folded", "pprof", "html"];
    let options: Vec<String> = names
        .iter()
        .flat_map(|name| [format!("--{name}"), file(name)])
        .collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    more(&options);
    for name in ["json", "save", "folded", "html"] {
        let text = fs::read_to_string(file(name)).unwrap();
        assert_clean(name, &text);
        assert!(text.contains("FORGED"), "{name} has names");
    }
    let page = fs::read_to_string(file("html")).unwrap();
    assert!(!page.contains("<img"), "a tag in the page");
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file("json")).unwrap()).unwrap();
    assert!(
        report["process"]["name"]
            .as_str()
            .unwrap()
            .contains("FORGED")
    );
    assert!(
        !fs::read(file("pprof"))
            .unwrap()
            .windows(4)
            .any(|bytes| bytes == b"\x1b]0;")
    );
    // Whoever wrote a report may have put anything in it.
    let forged = fs::read_to_string(file("save"))
        .unwrap()
        .replace("\\\\", "\\u001b")
        .replace("placeholder", "other");
    fs::write(file("forged"), forged).unwrap();
    let (save, forged, page) = (file("save"), file("forged"), file("diff.html"));
    let finished = ltrace(["--leaks", "--diff", &save, &forged, "--html", &page])
        .finish()
        .exits(0);
    assert_clean("diff", &finished.stderr);
    assert!(finished.stderr.contains("FORGED"), "{}", finished.told());
    assert_clean("page of diff", &fs::read_to_string(page).unwrap());
}

#[test]
fn the_view_of_leaks() {
    let Some(hostile) = Hostile::build("view") else {
        return;
    };
    let program = hostile.program.to_str().unwrap();
    let mut target = crate::support::program::Program::new(program)
        .arg("wait")
        .dir(&hostile.dir)
        .start();
    target.wait_for_stdout("ready");
    let pid = target.pid().to_string();
    let args = [
        "--leaks", "--older", "0", "--frames", "all", "--pairs", "fd", "-p", &pid,
    ];
    let Some(mut screen) = on_screen("xterm", (120, 30), LTRACE, args) else {
        return;
    };
    screen.wait_for_text("leaks: ");
    target.say(b"\n");
    screen.running.wait();
    let written = screen.written.text();
    assert!(
        !written.contains("\u{1b}]0;T")
            && !written.contains('\u{9b}')
            && !written.contains('\u{202e}'),
        "{written:?}"
    );
}

#[test]
fn errors_that_name_files() {
    let dir = scratch("errors").join(BAD);
    fs::create_dir(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    fs::write(path("bad.conf"), "\u{1b}]0;T\u{7}(\n").unwrap();
    fs::write(path("bad.supp"), "\u{1b}]0;T\u{7}\n").unwrap();
    fs::write(path("bad.json"), "\u{1b}]0;T\u{7}\n").unwrap();
    fs::write(path("program"), "\u{7f}ELF\u{1b}").unwrap();
    Command::new("chmod")
        .args(["+x", &path("program")])
        .status()
        .unwrap();
    let check = |args: &[&str]| {
        let finished = ltrace(args).finish();
        assert_clean(&format!("{args:?}"), &finished.stderr);
        assert!(
            finished.stderr.contains("FORGED") || finished.stderr.contains("033"),
            "{}",
            finished.told()
        );
    };
    check(&[&path("none")]);
    check(&[&path("program")]);
    check(&["-F", &path("none"), "true"]);
    check(&["-F", &path("bad.conf"), "true"]);
    check(&["-o", &path("none/file"), "true"]);
    check(&["-u", BAD, "true"]);
    check(&["--leaks", "--suppress", &path("none"), "true"]);
    check(&["--leaks", "--suppress", &path("bad.supp"), "true"]);
    check(&["--leaks", "--diff", &path("none"), &path("bad.json")]);
    check(&["--leaks", "--diff", &path("bad.json"), &path("bad.json")]);
    check(&["--leaks", "--json", &path("none/file"), "true"]);
}
