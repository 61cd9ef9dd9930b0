//! Files that a program names, and that are not what they ought to be, or change while they are read.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, told};
use crate::support::skip::find;
use crate::support::{ltrace, scratch};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The program, stripped, in a directory of its own; its debug link names the file that `make` makes.
fn linked(name: &str, make: impl Fn(&Path)) {
    let Some(program) = fixture("leak_window") else {
        return;
    };
    if find("objcopy").is_none() {
        return;
    }
    let dir = scratch(name);
    let copy = dir.join("program");
    let debug = dir.join("program.debug");
    fs::copy(&program, &copy).unwrap();
    let objcopy = |args: &[&str]| {
        let done = Command::new("objcopy")
            .args(args)
            .current_dir(&dir)
            .status();
        assert!(done.unwrap().success(), "objcopy {args:?}");
    };
    objcopy(&["--only-keep-debug", "program", "program.debug"]);
    objcopy(&[
        "--strip-debug",
        "--remove-section=.note.gnu.build-id",
        "program",
    ]);
    objcopy(&["--add-gnu-debuglink=program.debug", "program"]);
    fs::remove_file(&debug).unwrap();
    make(&debug);
    let json = dir.join("report.json");
    let args = [
        "--leaks",
        "--json",
        json.to_str().unwrap(),
        copy.to_str().unwrap(),
    ];
    let patience = Duration::from_secs(60);
    ltrace(args)
        .input("a\n")
        .patience(patience)
        .finish()
        .exits(0);
    assert!(!told(&read(&json)).is_empty(), "{name}: a report");
}

#[test]
fn debug_links_that_lead_to_no_file() {
    linked("fifo", |at| mkfifo(at, Mode::S_IRWXU).unwrap());
    linked("device", |at| symlink("/dev/zero", at).unwrap());
    linked("directory", |at| fs::create_dir(at).unwrap());
    linked("loop", |at| symlink(at, at).unwrap());
    linked("endless", |at| symlink("/proc/kmsg", at).unwrap());
    linked("sparse", |at| {
        File::create(at).unwrap().set_len(2 << 40).unwrap();
    });
    linked("socket", |at| {
        // The path of a socket may not be long.
        let short = std::env::temp_dir().join(format!("ltrace-socket-{}", std::process::id()));
        UnixListener::bind(&short).unwrap();
        symlink(&short, at).unwrap();
    });
}

/// A library whose file a build cuts after it was loaded: what is not there any more has no names.
#[test]
fn a_library_that_is_cut_while_it_is_read() {
    let Some(program) = fixture("cut") else {
        return;
    };
    let dir = scratch("cut");
    let library = dir.join("libcut.so");
    fs::copy(program.with_file_name("libcut.so"), &library).unwrap();
    let json = dir.join("report.json");
    let args = ["--leaks", "--json", json.to_str().unwrap()];
    let finished = ltrace(args).arg(&program).arg(&library).finish().exits(0);
    let told = told(&read(&json));
    assert!(
        told.iter()
            .any(|site| site.ends_with(": lose") || site.contains("100 in 1")),
        "{told:?}\n{}",
        finished.told()
    );
}

#[test]
fn a_command_that_is_no_file() {
    let path = scratch("command").join("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let finished = ltrace([&path]).finish();
    assert!(finished.stderr.contains("fifo"), "{}", finished.told());
    assert_ne!(finished.code(), 0);
}
