//! Programs on a terminal of their own.

use super::program::{Program, Running};
use super::skip::command;
use nix::pty::openpty;
use std::ffi::OsStr;
use std::fs::File;

/// Typed by a user who presses Ctrl and C, or Z.
pub const CTRL_C: &[u8] = b"\x03";
pub const CTRL_Z: &[u8] = b"\x1a";

/// Starts a program that leads a session with a terminal, which is its standard input. What is written
/// to the file is typed there.
pub fn on_terminal<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Option<(Running, File)> {
    let setsid = command("setsid")?;
    let pty = openpty(None, None).expect("a pseudo-terminal");
    let running = Program::new(setsid)
        .args(["--ctty", "--wait"])
        .arg(program)
        .args(args)
        .stdin(pty.slave)
        .start();
    Some((running, File::from(pty.master)))
}
