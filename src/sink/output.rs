//! Where a trace goes: standard error, a file, or a command's standard input.

use crate::base::message;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the user wants the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Among what the traced program itself writes there.
    Stderr,
    /// A file, which loses what it held.
    File(PathBuf),
    /// A file, behind what it holds.
    Appended(PathBuf),
    /// A file for each process, with this path, a dot and the process' id.
    PerProcess(PathBuf),
    /// A shell command that reads it.
    Pipe(OsString),
}

/// So much is written at once to a file: a write costs the kernel as much as some hundred lines.
const BUFFER: usize = 64 << 10;

fn buffered<W: Write>(out: W) -> BufWriter<W> {
    BufWriter::with_capacity(BUFFER, out)
}

impl Destination {
    /// Opens it, or what there is for what belongs to no process. Nothing of it is left open in a program that is started afterwards: the standard
    /// library opens files and pipes close-on-exec.
    pub fn open(&self, unwanted: Unwanted) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            // Not buffered: what the program itself writes must come before and after the right lines.
            Destination::Stderr => Box::new(Willing::new(io::stderr(), unwanted)),
            Destination::File(path) => {
                Box::new(buffered(Willing::new(File::create(path)?, unwanted)))
            }
            Destination::Appended(path) => {
                let file = File::options().append(true).create(true).open(path)?;
                Box::new(buffered(Willing::new(file, unwanted)))
            }
            Destination::PerProcess(path) => {
                // To be known before anything runs.
                let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
                fs::read_dir(directory.unwrap_or(Path::new(".")))?;
                Box::new(io::stderr())
            }
            Destination::Pipe(command) => Box::new(Pipe::open(command, unwanted)?),
        })
    }

    /// Whether it is that file.
    pub fn is(&self, file: &Metadata) -> bool {
        let (Destination::File(path) | Destination::Appended(path)) = self else {
            return false;
        };
        let id = |file: &Metadata| (file.dev(), file.ino());
        fs::metadata(path).is_ok_and(|own| id(&own) == id(file))
    }
}

/// Tells whether the user has asked us to end.
pub type Unwanted = fn() -> bool;

/// A writer that gives up when it makes no headway and its output is not waited for any more: a task may stand still
/// until the line is written.
struct Willing<W> {
    out: W,
    unwanted: Unwanted,
    /// How many ticks have interrupted this write since then.
    late: u32,
}

/// So many ticks are a second.
const LATEST: u32 = 10;

impl<W> Willing<W> {
    fn new(out: W, unwanted: Unwanted) -> Willing<W> {
        let late = 0;
        Willing {
            out,
            unwanted,
            late,
        }
    }
}

impl<W: Write> Write for Willing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        match &written {
            Err(why) if why.kind() == io::ErrorKind::Interrupted && (self.unwanted)() => {
                self.late += 1;
            }
            _ => self.late = 0,
        }
        if self.late > LATEST {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file besides the trace that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {}", path.display(), message(why))]
pub struct Unwritable {
    /// As the user named it.
    pub path: PathBuf,
    /// Why.
    pub why: io::Error,
}

impl From<Unwritable> for io::Error {
    fn from(why: Unwritable) -> io::Error {
        io::Error::other(why)
    }
}

/// An output that several sinks write to.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Box<dyn Write + Send>>>);

impl Shared {
    /// Shares an output.
    pub fn new(out: Box<dyn Write + Send>) -> Shared {
        Shared(Arc::new(Mutex::new(out)))
    }

    fn out(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        // A panic while writing leaves nothing worse than half a line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out().flush()
    }
}

/// A command that reads the trace. Dropping it waits for the command to end.
struct Pipe {
    /// None only while it is dropped.
    input: Option<BufWriter<Willing<ChildStdin>>>,
    child: Child,
}

impl Pipe {
    fn open(command: &OsString, unwanted: Unwanted) -> io::Result<Pipe> {
        if !may_be_found(command) {
            return Err(io::Error::other("there is no such command"));
        }
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let input = input.map(|input| BufWriter::new(Willing::new(input, unwanted)));
        Ok(Pipe { input, child })
    }
}

/// Whether a shell finds the first word of a command, as far as that can be told without running it: what is more
/// than a plain name is for the shell.
fn may_be_found(command: &OsString) -> bool {
    let words = command.to_string_lossy();
    let word = words.split_whitespace().next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./+-".contains(c);
    if !word.chars().all(is_plain) {
        return true;
    }
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"command -v "$1""#, "sh", word]);
    let asked = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.map_or(true, |found| found.success())
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input
            .as_mut()
            .map_or(Ok(bytes.len()), |input| input.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The command sees the end of its input only when our end is closed. Neither that nor how it
        // ends can be told any more.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(destination: Destination, path: &std::path::Path) {
        std::fs::write(path, "an older and longer trace\n").expect("a file");
        let mut out = destination.open(|| false).expect("an output");
        out.write_all(b"free(nil)\n").expect("written");
        drop(out);
        assert_eq!(
            std::fs::read_to_string(path).expect("a file"),
            "free(nil)\n"
        );
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn files_and_commands() {
        let path = |name: &str| {
            std::env::temp_dir().join(format!("ltrace-output-{}-{name}", std::process::id()))
        };
        let file = path("file");
        check(Destination::File(file.clone()), &file);
        let file = path("pipe");
        let command = format!("sleep 0.1; cat > '{}'", file.display());
        check(Destination::Pipe(command.into()), &file);
    }

    #[test]
    fn a_file_goes_on_where_it_ended() {
        let name = format!("ltrace-output-{}-appended", std::process::id());
        let path = std::env::temp_dir().join(name);
        for line in ["one\n", "two\n"] {
            let out = Destination::Appended(path.clone()).open(|| false);
            out.expect("an output")
                .write_all(line.as_bytes())
                .expect("written");
        }
        assert_eq!(
            std::fs::read_to_string(&path).expect("a file"),
            "one\ntwo\n"
        );
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn a_command_that_does_not_read_is_a_broken_pipe() {
        let mut out = Destination::Pipe("exec <&-".into())
            .open(|| false)
            .expect("an output");
        let error = loop {
            if let Err(error) = out.write_all(&[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn nobody_waits_for_what_cannot_be_written() {
        struct Stuck;
        impl Write for Stuck {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::Interrupted.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = BufWriter::new(Willing::new(Stuck, || true));
        let error = out.write_all(&[b'x'; 100_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_command_that_does_not_exist_is_told_before_anything_runs() {
        let open = |command: &str| Destination::Pipe(command.into()).open(|| false);
        let why = open("no-such-command -x").err().map(|why| why.to_string());
        assert_eq!(why.as_deref(), Some("there is no such command"));
        for command in [
            "true",
            "cd /",
            ":",
            "X=1 true",
            "{ true; }",
            "/bin/true",
            "'true'",
        ] {
            assert!(open(command).is_ok(), "{command}");
        }
    }

    #[test]
    fn a_directory_cannot_be_written() {
        assert!(Destination::File("/".into()).open(|| false).is_err());
    }
}
