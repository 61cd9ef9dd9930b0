//! How much of what common programs call is shown by known types: by the shipped prototypes, by debug information, and by
//! mangled names.

use crate::programs::check;
use crate::support::fixture::fixture;
use crate::support::skip::{command, find, skip_optional};
use crate::support::{ltrace, scratch};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Of all that these programs call the types are known; of the calls of the others, which use much of the insides of their
/// own libraries, those of so many in a hundred.
const ALL: f64 = 100.0;
const MOST: f64 = 95.0;

/// The run of a program has so many calls in a hundred whose types are known.
#[track_caller]
#[expect(clippy::print_stdout, reason = "what is missing is told")]
fn check_share(program: &Path, args: &[&str], dir: &Path, least: f64) {
    let unknown = unknown(program);
    let calls = calls(program, args, dir);
    let missing = calls.iter().filter(|(name, _)| unknown.contains(*name));
    let missing: BTreeMap<&String, usize> = missing.map(|(name, count)| (name, *count)).collect();
    let all: usize = calls.values().sum();
    let share = 100.0 * (1.0 - missing.values().sum::<usize>() as f64 / all as f64);
    let told = format!(
        "{}: {share:.2} % of {all} calls; unknown: {missing:?}",
        program.display()
    );
    println!("{told}");
    assert!(all >= 5, "{told}");
    assert!(share >= least, "{told}");
}

/// The functions that a program imports without a known type.
fn unknown(program: &Path) -> HashSet<String> {
    let list = ltrace([OsStr::new("--list"), program.as_os_str()]).finish();
    let list = list.exits(0).stdout;
    let unknown = list.lines().filter(|line| line.ends_with(" unknown"));
    let names = unknown.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// How often a run of it calls which function.
fn calls(program: &Path, args: &[&str], dir: &Path) -> BTreeMap<String, usize> {
    let table = scratch("calls").join("table");
    let run = ltrace(["-c", "-o"]).arg(&table).arg(program).args(args);
    let run = run.dir(dir).finish();
    let table = fs::read_to_string(table).unwrap_or_else(|why| panic!("{why}: {}", run.told()));
    let rows = table.lines().map(|line| line.split_whitespace());
    let rows = rows.filter_map(|row| {
        let row: Vec<&str> = row.collect();
        let [.., count, name] = row[..] else {
            return None;
        };
        Some((name.to_owned(), count.parse().ok()?))
    });
    rows.filter(|(name, _)| name != "total").collect()
}

/// The same of a program that is installed where these tests run.
#[track_caller]
fn check_installed(program: &str, args: &[&str], dir: &Path, least: f64) {
    if let Some(program) = command(program) {
        check_share(&program, args, dir, least);
    }
}

/// The same of one that may be.
#[track_caller]
fn check_if_installed(program: &str, args: &[&str], least: f64) {
    match find(program) {
        Some(program) => check_share(&program, args, Path::new("/"), least),
        None => skip_optional(&format!("{program} is not installed")),
    }
}

/// A directory with something to work with.
fn with_files(name: &str) -> PathBuf {
    let dir = scratch(name);
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("a file");
    write("page", "hello\n");
    write("main.s", ".globl main\nmain: ret\n");
    write(
        "main.c",
        "int puts(const char *);\nint main(void) { return puts(\"x\"); }\n",
    );
    write("Makefile", "main.o: main.s\n\tas main.s -o main.o\n");
    dir
}

#[test]
fn ls() {
    check_installed("ls", &["-l", "/usr"], Path::new("/"), ALL);
}

#[test]
fn bash() {
    let script =
        "for i in 1 2 3; do echo $((i * i)); done; cd /; x=$(pwd); echo $x; [[ $x =~ (.) ]]";
    check_installed("bash", &["-c", script], Path::new("/"), ALL);
}

#[test]
fn git() {
    let dir = scratch("git");
    check_installed("git", &["init", "-q"], &dir, ALL);
    check_installed("git", &["status"], &dir, ALL);
}

#[test]
fn python() {
    let script = "import json; print(json.dumps([1.5]))";
    check_installed("/usr/bin/python3", &["-c", script], Path::new("/"), ALL);
}

#[test]
fn curl() {
    let dir = with_files("curl");
    let url = format!("file://{}/page", dir.display());
    check_installed("curl", &["-s", &url], &dir, ALL);
    let Some((_, trace)) = check("curl", &["-s", &url], &dir) else {
        return;
    };
    assert!(trace.contains("CURLOPT_URL, \"file:///"), "{trace}");
    assert!(trace.contains("CURLOPT_NOPROGRESS, "), "{trace}");
}

#[test]
fn sqlite() {
    let sql = "create table t(a); insert into t values(1),(2); select sum(a) from t;";
    check_installed("sqlite3", &[":memory:", sql], Path::new("/"), ALL);
}

#[test]
fn vim() {
    let dir = with_files("vim");
    let args = ["-es", "-u", "NONE", "+e page", "+s/h/j/", "+wq"];
    check_installed("vim", &args, &dir, ALL);
    assert_eq!(fs::read_to_string(dir.join("page")).unwrap(), "jello\n");
}

#[test]
fn openssl() {
    let args = ["dgst", "-sha256", "/etc/passwd"];
    check_installed("openssl", &args, Path::new("/"), ALL);
}

#[test]
fn perl() {
    let script = "my %h = (b => 1, a => 2); print join(',', sort keys %h), sprintf('%.2f', 1.5)";
    check_installed("perl", &["-e", script], Path::new("/"), ALL);
}

#[test]
fn tar() {
    let dir = with_files("tar");
    check_installed("tar", &["cf", "page.tar", "page"], &dir, ALL);
    check_installed("tar", &["xf", "page.tar"], &dir, ALL);
}

#[test]
fn node() {
    check_if_installed("node", &["-e", "console.log(1)"], ALL);
}

#[test]
fn php() {
    check_if_installed("php", &["-r", "echo strlen('x'), json_encode([1]);"], ALL);
}

/// A program that is built, by the tools that build it.
#[test]
fn make_and_linkers() {
    let dir = with_files("make-and-linkers");
    check_installed("make", &[], &dir, MOST);
    let args = ["-e", "main", "main.o", "-o", "main"];
    check_installed("ld", &args, &dir, MOST);
    check_installed("ld.lld", &args, &dir, MOST);
    if find("mold").is_some() {
        check_installed("mold", &args, &dir, MOST);
    }
}

#[test]
fn clang() {
    let dir = with_files("clang");
    check_installed("clang", &["-c", "main.c", "-o", "main.o"], &dir, MOST);
}

#[test]
fn ruby() {
    check_if_installed("ruby", &["-e", "puts 1"], MOST);
}

#[test]
fn java() {
    check_if_installed("java", &["-version"], MOST);
}

#[test]
fn dbus_daemon() {
    let nowhere = "--address=unix:tmpdir=/nonexistent";
    check_if_installed("dbus-daemon", &["--session", "--nofork", nowhere], MOST);
}

#[test]
fn gdb() {
    check_if_installed("gdb", &["-nx", "-batch", "-ex", "print 1"], MOST);
}

/// By the library that provides it, whatever its caller says it needs.
#[test]
fn of_the_library_that_provides_a_function() {
    let Some(program) = fixture("providers") else {
        return;
    };
    let dir = scratch("providers");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write(
        "libself.so.conf",
        "int self_add(int, hex(int));\nint self_twice(hex(int));\n",
    );
    write("providers.conf", "int host_word(string);\n");
    // Nobody provides those of this library.
    write("libdl.so.conf", "int host_word(hex(int));\n");
    let home = program.parent().unwrap();
    let run = ltrace([OsStr::new("-F"), dir.as_os_str()])
        .args(["-e", "self_*+host_word"])
        .arg(&program)
        .dir(home)
        .finish()
        .exits(0);
    for line in [
        "providers->self_twice(0x15",
        "libself.so->self_add(21, 0x15)",
        "libplugin.so->host_word(\"hello\")",
    ] {
        assert_eq!(run.count(line), 1, "{line}\n{}", run.told());
    }
}
