//! Programs on a terminal of their own.

use super::program::{Program, Running};
use super::skip::command;
use super::stream::Stream;
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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

/// A program whose three standard streams are a terminal.
pub struct Screen {
    pub running: Running,
    master: File,
    /// The terminal's file.
    name: PathBuf,
    /// All that was written to the terminal.
    pub written: Stream,
}

/// The next picture begins where the cursor goes home, and ends by clearing the rest.
const BEGIN: &str = "\x1b[H";
const END: &str = "\x1b[J";
/// The screen beside the usual one.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// Starts a program on a terminal of this size.
pub fn on_screen<A: AsRef<OsStr>>(
    terminal: &str,
    (columns, rows): (u16, u16),
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Option<Screen> {
    let setsid = command("setsid")?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
    let slave = || pty.slave.try_clone().expect("the terminal");
    let running = Program::new(setsid)
        .args(["--ctty", "--wait"])
        .arg(program)
        .args(args)
        .env("TERM", terminal)
        .stdin(slave())
        .outputs(slave(), slave())
        .start();
    let name = nix::unistd::ttyname(&pty.slave).expect("the terminal's name");
    let master = File::from(pty.master);
    let written = Stream::collect(master.try_clone().expect("the terminal"));
    Some(Screen {
        running,
        master,
        name,
        written,
    })
}

impl Screen {
    /// Types something.
    pub fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("typed");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = [
            "cols".to_owned(),
            columns.to_string(),
            "rows".to_owned(),
            rows.to_string(),
        ];
        Program::new("stty")
            .arg("-F")
            .arg(&self.name)
            .args(size)
            .finish()
            .exits(0);
    }

    /// The process that this one, or the one that was started, waits for.
    pub fn child_of(&self, pid: Option<i32>) -> i32 {
        let pid = pid.unwrap_or(self.running.pid());
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("a process that runs");
        let first = children
            .split_whitespace()
            .next()
            .and_then(|child| child.parse().ok());
        first.unwrap_or_else(|| panic!("{pid} has no child"))
    }

    /// The last whole picture, without what clears lines and colours.
    pub fn picture(&self) -> String {
        let written = self.written.text();
        let end = written.rfind(END).unwrap_or(0);
        let begin = written[..end]
            .rfind(BEGIN)
            .map_or(end, |at| at + BEGIN.len());
        let escapes = regex::Regex::new("\x1b\\[[0-9;]*[A-Za-z]|\r").expect("valid");
        escapes.replace_all(&written[begin..end], "").into_owned()
    }

    /// Waits for a picture that is as wanted.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let picture = self.picture();
            if is_wanted(&picture) {
                return picture;
            }
            assert!(
                Instant::now() < deadline,
                "never {what}:\n{picture}\n{:?}",
                self.written.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a picture with this text.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |picture| picture.contains(text))
    }

    /// Lines are edited, and what is typed is shown.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("the terminal's modes");
        modes
            .local_flags
            .contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// What was written after the view was left for the last time, by a program that has ended. The terminal is as it was.
    #[track_caller]
    pub fn after(&self) -> String {
        // Nobody writes any more, but what was written may still be on its way.
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(
            self.written.wait_for_end(deadline),
            "{}",
            self.written.text()
        );
        let written = self.written.text();
        assert!(self.is_cooked(), "{written:?}");
        let entered = written.matches(ENTER).count();
        assert_eq!(written.matches(LEAVE).count(), entered, "{written:?}");
        assert_eq!(written.matches("\x1b[?25l").count(), entered, "{written:?}");
        assert_eq!(written.matches("\x1b[?25h").count(), entered, "{written:?}");
        let left = written.rfind(LEAVE).map_or(0, |at| at + LEAVE.len());
        written[left..].replace('\r', "")
    }
}
