//! Checks the promises of every event stream ([`crate::event`]) as far as events show them, for tests.
//!
//! `LTRACE_PROMISES=FILE` writes a line to FILE for each promise that is broken. It is looked at in debug builds only.

use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// What is known of the events so far.
pub struct Promises {
    file: PathBuf,
    open: HashMap<CallId, Tid>,
    /// The highest id of a call so far: ids are never used twice.
    last: Option<CallId>,
    /// Of each task, when its last event was, and how many of its calls are open.
    tasks: HashMap<Tid, (Timestamp, usize)>,
    /// Go programs: calls and depths are those of goroutines, which events do not name.
    of_go: HashSet<Pid>,
}

impl Promises {
    /// `None` when they are not to be checked.
    pub fn from_environment() -> Option<Promises> {
        let file = std::env::var_os("LTRACE_PROMISES").filter(|_| cfg!(debug_assertions))?;
        Some(Promises::new(file.into()))
    }

    fn new(file: PathBuf) -> Promises {
        Promises {
            file,
            open: HashMap::new(),
            last: None,
            tasks: HashMap::new(),
            of_go: HashSet::new(),
        }
    }

    /// The next event.
    pub fn event(&mut self, event: &Event) {
        if matches!(event.kind, Kind::Leaving | Kind::Tick) {
            return;
        }
        let (before, open) = *self.tasks.entry(event.tid).or_insert((event.time, 0));
        if event.time < before {
            self.broken(format!(
                "2: {:?} is before {before:?}: {event:?}",
                event.time
            ));
        }
        self.note(event.tid, event.time, open);
        match &event.kind {
            Kind::Call {
                id, depth, point, ..
            } => {
                if is_of_go(&point.symbol) {
                    self.of_go.insert(event.pid);
                }
                self.call(event, (*id, point.is_told_once()), *depth, open);
            }
            Kind::Return { id, .. } | Kind::NoReturn { id, .. } => self.end(event, *id),
            Kind::Exited { .. } | Kind::Killed { .. } | Kind::Detached => {
                if open > 0 && !self.of_go.contains(&event.pid) {
                    self.broken(format!("1: {open} open calls at the end: {event:?}"));
                }
                self.tasks.remove(&event.tid);
            }
            _ => {}
        }
    }

    fn call(&mut self, event: &Event, (id, is_all): (CallId, bool), depth: usize, open: usize) {
        if self.last.is_some_and(|last| id <= last) {
            self.broken(format!("1: the id was used before: {event:?}"));
        }
        self.last = self.last.max(Some(id));
        if !is_all {
            self.open.insert(id, event.tid);
            self.note(event.tid, event.time, open + 1);
        }
        if depth != open && !self.of_go.contains(&event.pid) {
            self.broken(format!("5: {open} calls are open: {event:?}"));
        }
    }

    fn end(&mut self, event: &Event, id: CallId) {
        let Some(tid) = self.open.remove(&id) else {
            self.broken(format!("1: no such call is open: {event:?}"));
            return;
        };
        if let Some((_, open)) = self.tasks.get_mut(&tid) {
            *open = open.saturating_sub(1);
        }
    }

    fn note(&mut self, tid: Tid, time: Timestamp, open: usize) {
        self.tasks.insert(tid, (time, open));
    }

    /// There are no more events.
    pub fn finish(&mut self) {
        for (id, tid) in std::mem::take(&mut self.open) {
            self.broken(format!("1: {id:?} of {tid} has no end"));
        }
    }

    fn broken(&self, what: String) {
        let file = File::options().create(true).append(true).open(&self.file);
        // A test that cannot look into the file fails.
        let _ = file.and_then(|mut file| writeln!(file, "promise {what}"));
    }
}

/// Go's names of functions begin with a package: `main.leaf`.
fn is_of_go(symbol: &str) -> bool {
    symbol.contains('.') && !symbol.starts_with(['.', '_'])
}

#[cfg(test)]
mod tests {
    use super::Promises;
    use crate::event::{Event, Kind, Why};
    use crate::sink::tests::{ONE, Task, imported};
    use crate::value::Value::Void;

    /// These events break these promises.
    #[track_caller]
    fn check(name: &str, events: &[Event], expected: &[&str]) {
        let file = format!("ltrace-promises-{}-{name}", std::process::id());
        let file = std::env::temp_dir().join(file);
        let mut promises = Promises::new(file.clone());
        events.iter().for_each(|event| promises.event(event));
        promises.finish();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(&file);
        let broken: Vec<&str> = text.lines().map(|line| &line[..9]).collect();
        assert_eq!(broken, expected, "{text}");
    }

    #[test]
    fn broken_promises() {
        let (f, two) = (imported("f"), Task { pid: 7, tid: 8 });
        let call = |id, depth| ONE.call(id, depth, &f, &[]);
        let returns = |id, depth| ONE.returns(id, depth, &f, Void);
        let kept = [
            call(1, 0),
            call(2, 1),
            two.call(3, 0, &f, &[]),
            returns(2, 1),
            ONE.no_return(1, 0, &f, Why::Unwound),
            ONE.exited(0),
            two.no_return(3, 0, &f, Why::Gone),
        ];
        check("kept", &kept, &[]);
        check("open", &[call(1, 0)], &["promise 1"]);
        check("exit", &[call(1, 0), ONE.exited(0)], &["promise 1"; 2]);
        check(
            "twice",
            &[call(1, 0), returns(1, 0), returns(1, 0)],
            &["promise 1"],
        );
        let again = [call(1, 0), returns(1, 0), call(1, 0), returns(1, 0)];
        check("again", &again, &["promise 1"]);
        let late = [ONE.at(5, Kind::Exiting), ONE.at(4, Kind::Exiting)];
        check("late", &late, &["promise 2"]);
        let deep = [call(1, 0), call(2, 0), returns(2, 0), returns(1, 0)];
        check("deep", &deep, &["promise 5"]);
        let leaf = imported("main.leaf");
        let moves = [
            ONE.call(1, 0, &leaf, &[]),
            ONE.call(2, 0, &leaf, &[]),
            two.returns(2, 0, &leaf, Void),
            ONE.exited(0),
            two.returns(1, 0, &leaf, Void),
        ];
        check("moves", &moves, &[]);
    }
}
