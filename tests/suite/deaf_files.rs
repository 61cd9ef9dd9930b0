//! Files that a program names on a server that does not answer.

use crate::support::fixture::fixture;
use crate::support::program::{Program, Running};
use crate::support::skip::{find, is_root, skip};
use crate::support::{ltrace, scratch};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A directory whose file system does not answer, for as long as that runs.
fn deaf(directory: &Path) -> Option<Running> {
    let program = fixture("deaf_files")?;
    if !is_root() || !Path::new("/dev/fuse").exists() {
        skip("no FUSE here");
        return None;
    }
    let mut server = Program::new(program).arg(directory).start();
    while !server.stdout_goes_on(0, "mounted\n", Duration::from_millis(100)) {
        if !server.is_alive() {
            skip("no FUSE here");
            return None;
        }
    }
    Some(server)
}

/// A program without debug information, whose debug link leads to the directory `deaf` beside it.
fn linked(dir: &Path) -> Option<PathBuf> {
    let program = fixture("leak_window")?;
    find("objcopy")?;
    let copy = dir.join("program");
    fs::copy(&program, &copy).unwrap();
    symlink("deaf/file", dir.join("program.debug")).unwrap();
    fs::create_dir(dir.join("deaf")).unwrap();
    // The link's checksum is of a file that is there.
    let debug = dir.join("made/program.debug");
    fs::create_dir(dir.join("made")).unwrap();
    fs::write(&debug, "debug").unwrap();
    let done = Command::new("objcopy")
        .args(["--strip-debug", "--remove-section=.note.gnu.build-id"])
        .arg(format!("--add-gnu-debuglink={}", debug.display()))
        .arg(&copy)
        .status();
    assert!(done.unwrap().success());
    Some(copy)
}

#[test]
fn debug_links_are_given_up() {
    let dir = scratch("deaf");
    let Some(program) = linked(&dir) else { return };
    let Some(server) = deaf(&dir.join("deaf")) else {
        return;
    };
    let begun = Instant::now();
    let finished = ltrace(["--leaks"])
        .arg(&program)
        .input("a\n")
        .finish()
        .exits(0);
    let told = finished.told();
    // Not at the end of the server.
    assert!(begun.elapsed() < Duration::from_secs(30), "{told}");
    let line = "program.debug: its file system does not answer\n";
    assert_eq!(finished.stderr.matches(line).count(), 1, "{told}");
    assert!(finished.stderr.contains("leaks: program"), "{told}");
    assert!(server.stdout.text().contains("asked"), "{told}");
    server.finish().exits(0);
}
