//! Reports: of what is known of a process at one moment. A thread makes them and writes them: names are read from
//! debug information, which takes its time.

use crate::base::Pid;
use crate::base::printable::printable;
use crate::leak::allocators;
use crate::leak::leak_sink::checks::older;
use crate::leak::leak_sink::pending::{Pending, Stage};
use crate::leak::leak_sink::process::Traced;
use crate::leak::leak_sink::{LeakSink, Moment};
use crate::leak::options::{Checks, Options};
use crate::leak::output;
use crate::leak::report::build::{Subject, build};
use crate::leak::report::checked::Checked;
use crate::leak::report::exports;
use crate::leak::report::model::{Process, Report, Since, Verdict};
use crate::leak::site::Origin;
use crate::leak::symbols::{Namer, Unnamed};
use crate::leak::system::Facts;
use crate::leak::tracker::Knowledge;
use crate::leak::worker::Work;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Where a report goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To where it was asked from.
    Back,
    /// To those who read what is live.
    Readers,
    /// To where the trace goes; more reports on the process may come.
    Passing,
    /// The same, and into the files that were asked for: it is the last one.
    Last,
    /// Into a file, as the snapshot with this number.
    Snapshot(usize),
}

/// What was seen of a process for a report.
#[derive(Default)]
pub(super) struct Seen {
    /// What a check has found.
    pub(super) checked: Option<Checked>,
    /// How long the process was held for it.
    pub(super) pause: Duration,
    /// What the system says of it.
    pub(super) facts: Facts,
}

/// What has become of a report.
pub(super) enum Made {
    /// It is here.
    Report(Box<Report>),
    /// It was written.
    Text(Written),
}

/// What was written of a report.
pub(super) struct Written {
    place: Place,
    /// What goes where the trace goes.
    text: String,
    /// Whether files could be written.
    files: io::Result<()>,
    /// It tells of more than the user bears (`--fail-on`).
    failed: bool,
}

impl LeakSink {
    /// Has a report made, of what is known of a process by now.
    pub(super) fn looked_at(&mut self, pid: Pid, moment: Moment, seen: Seen) {
        let begun = Instant::now();
        let Some(traced) = self
            .processes
            .get_mut(&pid)
            .filter(|traced| traced.is_to_be_told())
        else {
            return;
        };
        traced.look(self.clock.now());
        traced.told = moment == Moment::Leaving;
        let ended = (moment == Moment::AtExit).then(|| "at exit".to_owned());
        let older = older(moment, &self.setup.options);
        let place = self.place(moment);
        let pause = seen.pause;
        if let Some(stage) = self.report(pid, older, seen, ended, place) {
            self.pending.push(Pending {
                pid,
                moment,
                begun,
                pause,
                stage,
            });
        }
    }

    /// What is seen of a process without a check.
    pub(super) fn unchecked(&mut self, pid: Pid) -> Seen {
        Seen {
            facts: self.facts(pid),
            ..Seen::default()
        }
    }

    fn place(&mut self, moment: Moment) -> Place {
        match moment {
            Moment::Meanwhile if self.setup.view.is_none() => Place::Passing,
            Moment::Meanwhile | Moment::AtExit => Place::Back,
            Moment::Asked => Place::Readers,
            Moment::Leaving => Place::Last,
            Moment::Snapshot => {
                self.snapshots += 1;
                Place::Snapshot(self.snapshots)
            }
        }
    }

    /// A report was made.
    pub(super) fn reported(&mut self, asked: Pending, made: Made) -> io::Result<()> {
        self.cost = asked.begun.elapsed() + asked.pause;
        let report = match made {
            Made::Report(report) => *report,
            Made::Text(written) => return self.written(written),
        };
        let traced = self.processes.get_mut(&asked.pid);
        match (asked.moment, traced, &mut self.setup.view) {
            (Moment::AtExit, Some(traced), _) => traced.last = Some(report),
            (_, Some(_), Some(view)) => {
                view.take(report, self.clock.now());
                if let Some(pause) = self.pause() {
                    self.clock.put_off(pause);
                }
            }
            // The process has gone, and was told of.
            _ => {}
        }
        Ok(())
    }

    /// Tells of a process that cannot be looked at any more.
    pub(super) fn tell_last(&mut self, pid: Pid, how: Option<String>) {
        let Some(traced) = self
            .processes
            .get_mut(&pid)
            .filter(|traced| traced.is_to_be_told())
        else {
            return;
        };
        traced.told = true;
        let stage = match traced.last.take() {
            Some(mut report) => {
                report.process.ended = how.or(report.process.ended);
                let (options, other) = (self.setup.options.clone(), self.other(pid));
                let write = move |_: &mut Namer| Place::Last.take(report, &options, other);
                let written = self.report_thread.ask(Work::default(), write);
                Some(Stage::Report(written))
            }
            None => {
                let seen = self.unchecked(pid);
                self.report(pid, Duration::ZERO, seen, how, Place::Last)
            }
        };
        self.pending.extend(stage.map(|stage| Pending {
            pid,
            moment: Moment::AtExit,
            begun: Instant::now(),
            pause: Duration::ZERO,
            stage,
        }));
    }

    /// The process, unless it was the first one.
    fn other(&self, pid: Pid) -> Option<Pid> {
        self.first.filter(|first| *first != pid).map(|_| pid)
    }

    /// A report of what is at least so old: nothing will become of what is young at the end.
    fn report(
        &mut self,
        pid: Pid,
        older: Duration,
        seen: Seen,
        ended: Option<String>,
        place: Place,
    ) -> Option<Stage> {
        let other = self.other(pid);
        let traced = self.processes.get(&pid)?;
        let setup = &mut self.setup;
        let Facts {
            threads: alive,
            descriptors,
        } = seen.facts;
        let process = Process {
            pid: pid.0,
            since: match setup.knowledge {
                Knowledge::All => Since::Launched,
                Knowledge::SinceAttach => Since::Attached,
            },
            ended,
            ..process(traced, alive.len())
        };
        let mut threads = traced.names.clone();
        threads.extend(alive);
        let mut options = setup.options.clone();
        options.blocks.older = older;
        let subject = Subject {
            process,
            tracker: traced.tracker.clone(),
            checked: seen.checked,
            options,
            suppressions: setup.suppressions.clone(),
            threads,
            descriptors,
            per: traced.per,
            marked: traced.marked,
            history: traced.history.points.clone(),
        };
        let unnamed = setup.book.unnamed(pid);
        let work = Work::default();
        let asked = work.clone();
        let readers = setup.readers.clone().filter(|_| place == Place::Readers);
        let make = move |namer: &mut Namer| {
            let report = named(&subject, &unnamed, namer, &work);
            if let Some(readers) = readers {
                readers.give(pid, exports::profile(&report));
            }
            place.take(report, &subject.options, other)
        };
        Some(Stage::Report(self.report_thread.ask(asked, make)))
    }

    fn written(&mut self, written: Written) -> io::Result<()> {
        let Written {
            place,
            text,
            files,
            failed,
        } = written;
        self.failed |= failed;
        files?;
        match (&mut self.setup.view, place) {
            (Some(view), Place::Snapshot(_)) => {
                view.say(text.trim_end().to_owned());
                return Ok(());
            }
            (Some(_), _) => {
                self.held_back.push_str(&text);
                return Ok(());
            }
            (None, _) => {}
        }
        self.setup.out.write_all(text.as_bytes())?;
        self.setup.out.flush()
    }

    /// The report of that moment tells who holds what.
    pub(super) fn wants_check(&self, moment: Moment) -> bool {
        match (self.setup.options.checks, moment) {
            (Checks::Off, _) | (_, Moment::Asked) => false,
            (Checks::Final, Moment::Meanwhile | Moment::Snapshot) => false,
            (Checks::Final | Checks::Report, _) => true,
        }
    }
}

/// What a report says of the process itself, in which so many threads are alive.
fn process(traced: &Traced, alive: usize) -> Process {
    let tracker = &traced.tracker;
    Process {
        name: traced.name.clone(),
        seconds: tracker.now().since(tracker.start()).as_secs_f64(),
        threads: match alive {
            0 => traced.threads.len(),
            alive => alive,
        },
        allocator: allocators::names(&traced.allocators),
        no_allocator: traced.no_allocator,
        unfollowed: traced.unfollowed,
        ..Process::default()
    }
}

/// A report with names. Those of everything that is live come first: that may take long, and it is told how far it is.
fn named(subject: &Subject, unnamed: &Unnamed, namer: &mut Namer, work: &Work) -> Report {
    let sites = subject.tracker.sites.iter();
    let live = sites.filter(|(_, site)| site.live().blocks > 0);
    let origins: Vec<Origin> = live.map(|(_, site)| site.origin).collect();
    let mut names = namer.names(unnamed, work);
    names.prepare(&origins);
    build(subject, &mut names)
}

impl Place {
    fn take(self, report: Report, options: &Options, other: Option<Pid>) -> Made {
        let mut files = Ok(());
        let mut failed = false;
        let text = match self {
            Place::Back => return Made::Report(Box::new(report)),
            Place::Readers => String::new(),
            Place::Passing => output::text(&report, options),
            Place::Last => {
                failed = fails(&report, options);
                files = output::files(&report, options, other);
                output::text(&report, options)
            }
            Place::Snapshot(number) => kept(&report, options, number),
        };
        Made::Text(Written {
            place: self,
            text,
            files,
            failed,
        })
    }
}

/// Whether more was found than the user bears.
fn fails(report: &Report, options: &Options) -> bool {
    options.fail_on.is_some_and(|(verdict, limit)| {
        let found = match verdict {
            Verdict::Lost | Verdict::Indirect => report.lost.bytes,
            Verdict::Possible => report.possible.bytes,
            Verdict::Reachable => report.reachable.bytes,
            Verdict::Unchecked => 0,
        };
        found > limit
    })
}

/// Keeps a report in a file, and says in which.
fn kept(report: &Report, options: &Options, number: usize) -> String {
    let pid = report.process.pid;
    match output::snapshot(report, options, number) {
        Ok(path) => format!(
            "snapshot of process {pid}: {}\n",
            printable(&path.to_string_lossy())
        ),
        Err(why) => format!(
            "no snapshot of process {pid}: {}\n",
            printable(&why.to_string())
        ),
    }
}
