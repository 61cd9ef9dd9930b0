//! What the tests share: fixtures are built once, programs run under a deadline and in a process
//! group of their own, and nothing they start outlives them. A test never traces by itself; it runs
//! the real binary, so tests run in parallel.

// Each of the test binaries that share this uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod balance;
pub mod browser;
pub mod compared;
pub mod expect;
pub mod faults;
pub mod fixture;
pub mod flat;
pub mod kills;
pub mod leaks;
pub mod lines;
pub mod mixture;
pub mod outsider;
pub mod program;
pub mod server;
pub mod shape;
pub mod skip;
pub mod stream;
pub mod stress;
pub mod terminal;
pub mod text;
pub mod trace;
pub mod until;

use program::Program;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The package's root directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fresh, empty directory for one test; `tests/run` clears them away.
pub fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("scratch")
        .join(format!("{}-{count}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("scratch directory");
    dir
}

/// The real binary, to be run with these arguments. By the instrument that LTRACE_INSTRUMENT names, so that the whole
/// suite can be run by the other one as well.
pub fn ltrace<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Program {
    let ltrace = Program::new(env!("CARGO_BIN_EXE_ltrace"));
    let ltrace = match std::env::var("LTRACE_INSTRUMENT") {
        Ok(instrument) => ltrace.args(["--instrument", &instrument]),
        Err(_) => ltrace,
    };
    ltrace.args(args)
}
