//! One file for each process (`-ff`): `FILE.PID`, each with a sink of its own.

use super::Sink;
use crate::base::Pid;
use crate::event::{Event, Kind};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Makes the sink of one process.
pub type Make = Box<dyn Fn(Box<dyn Write + Send>) -> Box<dyn Sink>>;

/// Gives each event to its process' own sink.
pub struct PerProcess {
    path: PathBuf,
    make: Make,
    open: HashMap<Pid, Box<dyn Sink>>,
    /// Those that have a file already: a number that comes again is another process, but its lines
    /// must not take the place of the first one's.
    known: HashSet<Pid>,
}

impl PerProcess {
    /// Files are called `path`, a dot, and the process' id.
    pub fn new(path: PathBuf, make: Make) -> PerProcess {
        PerProcess {
            path,
            make,
            open: HashMap::new(),
            known: HashSet::new(),
        }
    }

    fn of(&mut self, pid: Pid) -> io::Result<&mut Box<dyn Sink>> {
        if !self.open.contains_key(&pid) {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.path_of(pid))?;
            if self.known.insert(pid) {
                // What an older run has left.
                file.set_len(0)?;
            }
            let sink = (self.make)(Box::new(BufWriter::new(file)));
            self.open.insert(pid, sink);
        }
        let sink = self.open.get_mut(&pid);
        sink.ok_or_else(|| io::Error::other("no file for a process"))
    }

    fn path_of(&self, pid: Pid) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(format!(".{pid}"));
        PathBuf::from(path)
    }
}

impl Sink for PerProcess {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if matches!(event.kind, Kind::Tick) {
            return self
                .open
                .values_mut()
                .try_for_each(|sink| sink.event(event));
        }
        self.of(event.pid)?.event(event)?;
        let is_last = matches!(
            event.kind,
            Kind::Exited { last: true, .. } | Kind::Killed { last: true, .. }
        );
        if is_last && let Some(mut sink) = self.open.remove(&event.pid) {
            sink.finish()?;
        }
        Ok(())
    }

    fn complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        self.of(call.pid)?.complete(call, returned)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.values_mut().try_for_each(|sink| sink.flush())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.open
            .drain()
            .try_for_each(|(_, mut sink)| sink.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::PerProcess;
    use crate::event::Kind;
    use crate::sink::Sink;
    use crate::sink::tests::Task;
    use crate::sink::text::{Style, Text};

    /// Who comes under a number that was in use before goes on in the file; what an older run left in it
    /// does not stay.
    #[test]
    fn numbers_that_come_again() {
        let dir = std::env::temp_dir().join(format!("ltrace-per-process-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::write(dir.join("f.7"), "an older trace\n").expect("a file");
        let make: super::Make = Box::new(|out| Box::new(Text::new(Style::default(), out)));
        let mut sink = PerProcess::new(dir.join("f"), make);
        for (pid, status) in [(7, 1), (8, 2), (7, 3)] {
            let task = Task { pid, tid: pid };
            for kind in [
                Kind::Started {
                    parent: None,
                    shares_memory: false,
                },
                Kind::Exited { status, last: true },
            ] {
                sink.event(&task.at(0, kind)).expect("written");
            }
        }
        sink.finish().expect("written");
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).expect("a file");
        assert_eq!(
            text("f.7"),
            "+++ exited (status 1) +++\n+++ exited (status 3) +++\n"
        );
        assert_eq!(text("f.8"), "+++ exited (status 2) +++\n");
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
