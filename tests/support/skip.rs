//! Cases that cannot run here. libtest knows no skipping at run time, so such a case writes its name
//! and reason into the file that `tests/run` names, and `tests/run` takes it out of the passed ones.

use super::program::Program;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Records that the calling test cannot run, and why. The test must return at once.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let name = std::env::var("NEXTEST_TEST_NAME")
        .ok()
        .or_else(|| thread.name().map(str::to_owned))
        .unwrap_or_default();
    let list = std::env::var_os("LTRACE_SKIPPED").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped"),
        PathBuf::from,
    );
    let mut list = OpenOptions::new()
        .create(true)
        .append(true)
        .open(list)
        .expect("list of skipped cases");
    // One write, so that lines of tests that run side by side do not mix.
    list.write_all(format!("{name}: {reason}\n").as_bytes())
        .expect("list of skipped cases");
}

/// Records that the calling test cannot run for want of something from a registry that CI may not reach.
pub fn skip_optional(reason: &str) {
    skip(&format!("optional: {reason}"));
}

/// Where a command is, looked for on PATH and where servers live. Without it the case is skipped.
pub fn command(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Where a command is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Whether we are root. Without that the case is skipped.
pub fn is_root() -> bool {
    let is_root = nix::unistd::Uid::effective().is_root();
    if !is_root {
        skip("needs root");
    }
    is_root
}

/// unshare(1), on a machine that lets us make namespaces. Without it the case is skipped.
pub fn unshare() -> Option<PathBuf> {
    let unshare = command("unshare")?;
    if !is_root() {
        return None;
    }
    let tried = Program::new(&unshare)
        .args(["--pid", "--fork", "--mount", "--mount-proc", "true"])
        .finish();
    if tried.code() != 0 {
        skip("namespaces cannot be made here");
        return None;
    }
    Some(unshare)
}
