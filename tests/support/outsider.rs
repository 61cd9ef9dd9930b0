//! Runs programs as a user without any rights, in a directory that everybody may look into.

use super::program::Program;
use super::skip::{command, skip};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `nobody`, and a public directory with a copy of the tracer.
pub struct Outsider {
    dir: PathBuf,
    setpriv: PathBuf,
}

impl Outsider {
    /// `None`, and the case skipped, when we may not become somebody else.
    pub fn new(name: &str) -> Option<Outsider> {
        if !nix::unistd::Uid::effective().is_root() {
            skip("needs root to become somebody else");
            return None;
        }
        let setpriv = command("setpriv")?;
        let dir = std::env::temp_dir().join(format!("ltrace-test-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("public directory");
        // A umask may say otherwise.
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("public directory");
        let outsider = Outsider { dir, setpriv };
        outsider.copy(Path::new(env!("CARGO_BIN_EXE_ltrace")), 0o755);
        Some(outsider)
    }

    /// Where everybody may look.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies a file there.
    pub fn copy(&self, file: &Path, mode: u32) -> PathBuf {
        let copy = self.dir.join(file.file_name().expect("a file"));
        let _ = fs::remove_file(&copy);
        fs::copy(file, &copy).expect("copy");
        fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("mode of a copy");
        copy
    }

    /// Copies a program and the libraries beside it.
    pub fn adopt(&self, program: &Path) -> PathBuf {
        for entry in fs::read_dir(program.parent().expect("a directory"))
            .expect("fixture")
            .flatten()
        {
            if entry.file_name().to_string_lossy().ends_with(".so") {
                self.copy(&entry.path(), 0o755);
            }
        }
        self.copy(program, 0o755)
    }

    /// A program that runs as nobody.
    pub fn program(&self, path: &Path) -> Program {
        Program::new(&self.setpriv)
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(path)
            .dir("/")
    }

    /// The tracer, run by nobody with the right to trace everybody (CAP_SYS_PTRACE), but to no files.
    pub fn ltrace_with_right_to_trace(&self) -> Program {
        let right = ["--inh-caps=+sys_ptrace", "--ambient-caps=+sys_ptrace"];
        Program::new(&self.setpriv)
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(right)
            .arg("--")
            .arg(self.dir.join("ltrace"))
            .dir("/")
    }

    /// The tracer, run by nobody.
    pub fn ltrace(&self) -> Program {
        self.program(&self.dir.join("ltrace"))
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
