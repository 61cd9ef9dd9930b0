//! Cases that cannot run here. libtest knows no skipping at run time, so such a case writes its name
//! and reason into the file that `tests/run` names, and `tests/run` takes it out of the passed ones.

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
