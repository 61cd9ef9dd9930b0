//! Whether other programs keep the processors busy.

use super::super::proc;
use crate::base::Tid;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// So many looks in a row must agree before we believe that it has changed.
const AGREED: u8 = 2;

/// So many traced tasks are told from other programs.
const TASKS: usize = 8;

/// The load of the machine beside the tracer and what it traces.
#[derive(Debug, Default)]
pub(super) struct Load {
    loadavg: Option<File>,
    /// How many processors we may use.
    processors: usize,
    /// Tasks that stopped since the last look.
    tasks: [Option<Tid>; TASKS],
    busy: bool,
    /// Looks in a row that say the opposite of `busy`.
    against: u8,
}

impl Load {
    /// The load as it is now, on so many processors.
    pub(super) fn new(processors: usize) -> Load {
        let mut load = Load {
            loadavg: File::open("/proc/loadavg").ok(),
            processors,
            ..Load::default()
        };
        load.busy = load.takes_all();
        load
    }

    /// A traced task was found stopped.
    pub(super) fn stopped(&mut self, tid: Tid) {
        let known = |task: &&mut Option<Tid>| task.is_none_or(|task| task == tid);
        if let Some(task) = self.tasks.iter_mut().find(known) {
            *task = Some(tid);
        }
    }

    /// Whether other programs want all processors, by this look and those before.
    pub(super) fn look(&mut self) -> bool {
        let takes_all = self.takes_all();
        self.tasks = [None; TASKS];
        self.weigh(takes_all)
    }

    fn weigh(&mut self, takes_all: bool) -> bool {
        match takes_all == self.busy {
            true => self.against = 0,
            false => self.against += 1,
        }
        if self.against == AGREED {
            self.busy = !self.busy;
            self.against = 0;
        }
        self.busy
    }

    /// What [`Load::look`] said last.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether, at this moment, so many tasks beside ours want to run as there are processors.
    fn takes_all(&self) -> bool {
        let mut text = [0; 128];
        let running = self.loadavg.as_ref().and_then(|file| {
            let length = file.read_at(&mut text, 0).ok()?;
            running_field(text.get(..length)?)
        });
        running.is_some_and(|running| {
            running > self.processors && running > self.processors + self.own_running()
        })
    }

    /// How many of the tasks that stopped since the last look run again.
    fn own_running(&self) -> usize {
        let runs = |tid: &&Tid| proc::state(**tid) == Some('R');
        self.tasks.iter().flatten().filter(runs).count()
    }
}

/// The first number of field 4 of /proc/loadavg: how many tasks run or wait to run, us among them (proc_loadavg(5)).
fn running_field(loadavg: &[u8]) -> Option<usize> {
    let field = loadavg.split(|&b| b == b' ').nth(3)?;
    let running = field.split(|&b| b == b'/').next()?;
    std::str::from_utf8(running).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Load, running_field};

    #[test]
    fn how_many_tasks_run() {
        assert_eq!(running_field(b"0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(running_field(b"0.20 0.18 0.12 /80 11206\n"), None);
        assert_eq!(running_field(b"0.20 0.18 0.12"), None);
        assert_eq!(running_field(b""), None);
    }

    #[test]
    fn one_look_alone_changes_nothing() {
        let mut load = Load::default();
        let mut said = |looks: &[u8]| -> Vec<bool> {
            looks.iter().map(|&look| load.weigh(look == 1)).collect()
        };
        assert_eq!(said(&[0, 1, 0, 1, 0]), [false; 5]);
        assert_eq!(said(&[1, 1, 1]), [false, true, true]);
        assert_eq!(said(&[0, 1, 0, 1]), [true; 4]);
        assert_eq!(said(&[0, 0, 0]), [true, false, false]);
    }

    #[test]
    fn the_kernel_tells_the_load() {
        let busy = |processors| Load::new(processors).is_busy();
        assert!(busy(0));
        assert!(!busy(1_000_000));
        assert!(!Load::default().look());
    }
}
