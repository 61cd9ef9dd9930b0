//! Reports: made of what is known of a process, and written.

use crate::base::Pid;
use crate::leak::allocators;
use crate::leak::leak_sink::{LeakSink, Moment};
use crate::leak::options::Checks;
use crate::leak::output;
use crate::leak::report::build::{Subject, build};
use crate::leak::report::checked::Checked;
use crate::leak::report::model::{Process, Report, Since, Verdict};
use crate::leak::tracker::Knowledge;
use std::io::{self, Write};
use std::time::Duration;

/// Whether more reports on a process may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Yes,
    No,
}

impl LeakSink {
    /// Tells of a process that cannot be looked at any more.
    pub(super) fn tell_last(&mut self, pid: Pid, how: Option<String>) -> io::Result<()> {
        let Some(traced) = self.processes.get_mut(&pid) else {
            return Ok(());
        };
        if traced.told {
            return Ok(());
        }
        traced.told = true;
        let mut report = match traced.last.take() {
            Some(report) => report,
            None => self.report_older(pid, Duration::ZERO, None, None),
        };
        if how.is_some() {
            report.process.ended = how;
        }
        self.write(&report, Last::Yes)
    }

    /// A report of what is at least so old: nothing will become of what is young at the end.
    pub(super) fn report_older(
        &mut self,
        pid: Pid,
        older: Duration,
        checked: Option<&Checked>,
        ended: Option<String>,
    ) -> Report {
        let usual = std::mem::replace(&mut self.setup.options.blocks.older, older);
        let report = self.report(pid, checked, ended);
        self.setup.options.blocks.older = usual;
        report
    }

    fn report(&mut self, pid: Pid, checked: Option<&Checked>, ended: Option<String>) -> Report {
        let Some(traced) = self.processes.get(&pid) else {
            return Report::default();
        };
        let setup = &mut self.setup;
        let threads = setup.system.threads(pid);
        let process = Process {
            name: traced.name.clone(),
            pid: pid.0,
            since: match setup.knowledge {
                Knowledge::All => Since::Launched,
                Knowledge::SinceAttach => Since::Attached,
            },
            seconds: self.clock.now().since(traced.tracker.start()).as_secs_f64(),
            threads: match threads.len() {
                0 => traced.threads.len(),
                alive => alive,
            },
            allocator: allocators::names(&traced.allocators),
            no_allocator: traced.no_allocator,
            unfollowed: traced.unfollowed,
            ended,
        };
        let mut names = traced.names.clone();
        names.extend(threads);
        let subject = Subject {
            pid,
            tracker: &traced.tracker,
            checked,
            options: &setup.options,
            suppressions: &setup.suppressions,
            threads: names,
            descriptors: setup.system.descriptors(pid),
            per: traced.per,
            marked: traced.marked,
            history: &traced.history.points,
        };
        build(&subject, process, &mut setup.book)
    }

    pub(super) fn write(&mut self, report: &Report, last: Last) -> io::Result<()> {
        if last == Last::Yes {
            let bad = |verdict: &Verdict| match verdict {
                Verdict::Lost | Verdict::Indirect => report.lost.bytes,
                Verdict::Possible => report.possible.bytes,
                Verdict::Reachable => report.reachable.bytes,
                Verdict::Unchecked => 0,
            };
            if let Some((verdict, limit)) = &self.setup.options.fail_on {
                self.failed |= bad(verdict) > *limit;
            }
            let pid = Pid(report.process.pid);
            let other = self.first.filter(|first| *first != pid).map(|_| pid);
            output::files(report, &self.setup.options, other)?;
        }
        let text = output::text(report, &self.setup.options);
        if self.setup.view.is_some() {
            self.held_back.push_str(&text);
            return Ok(());
        }
        self.setup.out.write_all(text.as_bytes())?;
        self.setup.out.flush()
    }

    /// The report of that moment tells who holds what.
    pub(super) fn wants_check(&self, moment: Moment) -> bool {
        match (self.setup.options.checks, moment) {
            (Checks::Off, _) => false,
            (Checks::Final, Moment::Meanwhile | Moment::Snapshot) => false,
            (Checks::Final | Checks::Report, _) => true,
        }
    }
}
