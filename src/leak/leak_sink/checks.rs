//! Checks on their way: asked for when a process was frozen, answered while it goes on, told then.

use crate::base::Pid;
use crate::base::frozen::Frozen;
use crate::leak::allocators::Allocator;
use crate::leak::check_thread::{CheckThread, Coming, Fate};
use crate::leak::leak_sink::clock::LOOK;
use crate::leak::leak_sink::reports::Last;
use crate::leak::leak_sink::{LeakSink, Moment};
use crate::leak::options::Options;
use crate::leak::report::checked::{Allocators, Checked, Question};
use crate::leak::report::survey::lost_keys;
use crate::leak::site::{Origin, Site, SiteId};
use std::io;
use std::time::{Duration, Instant};

/// A check that is being made.
pub(super) struct Pending {
    pub(super) pid: Pid,
    pub(super) moment: Moment,
    begun: Instant,
    answer: Coming,
    /// How long the process was held for it.
    pause: Duration,
}

impl LeakSink {
    /// A process was frozen: has it checked.
    pub(super) fn look_at(&mut self, pid: Pid, moment: Moment, frozen: Frozen) -> io::Result<()> {
        let Some(traced) = self.processes.get_mut(&pid).filter(|traced| !traced.told) else {
            return Ok(());
        };
        traced.tracker.tick(self.clock.now());
        let files = traced.allocators.iter().filter_map(Allocator::file);
        let allocators = Allocators {
            files: files.map(str::to_owned).collect(),
            is_jemalloc: traced.allocators.iter().any(Allocator::is_jemalloc),
        };
        let older = older(moment, &self.setup.options);
        let sites = traced.tracker.sites.iter();
        let live = sites.filter(|(_, site)| site.live().blocks > 0);
        let lineages = live.map(|(id, site)| (id.0, self.setup.book.lineage(site.origin)));
        let question = Question::new(&traced.tracker, older, allocators, lineages.collect());
        let pause = frozen.pause;
        let answer = self
            .check_thread
            .get_or_insert_with(CheckThread::begin)
            .ask(question, frozen);
        self.checks.push(Pending {
            pid,
            moment,
            begun: Instant::now(),
            answer,
            pause,
        });
        match moment.is_last() {
            true => self.settle(pid),
            false => Ok(()),
        }
    }

    /// Tells what checks have found by now.
    pub(super) fn collect(&mut self) -> io::Result<()> {
        let mut at = 0;
        while let Some(check) = self.checks.get(at) {
            match check.answer.look() {
                Fate::NotYet => at += 1,
                fate => {
                    let check = self.checks.remove(at);
                    self.answered(check, fate)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for the last checks of a process; the others are given up. Whoever asks us to end once more
    /// does not want to wait.
    pub(super) fn settle(&mut self, pid: Pid) -> io::Result<()> {
        let is_passing = |moment| matches!(moment, Moment::Meanwhile | Moment::Snapshot);
        let is_asked = self.setup.system.look_out(self.setup.knowledge);
        self.checks
            .retain(|check| check.pid != pid || !is_passing(check.moment));
        while let Some(at) = self.checks.iter().position(|check| check.pid == pid) {
            let check = self.checks.remove(at);
            let fate = loop {
                match check.answer.wait(LOOK) {
                    Fate::NotYet if is_asked() => break Fate::Never,
                    Fate::NotYet => self.tell_progress(check.begun, FOLLOWING, check.answer.part()),
                    fate => break fate,
                }
            };
            self.answered(check, fate)?;
        }
        Ok(())
    }

    /// Tells how far the oldest check is that is being made.
    pub(super) fn tell_checks(&mut self) {
        let first = self.checks.first();
        match first.map(|check| (check.begun, check.answer.part())) {
            Some((begun, part)) => self.tell_progress(begun, FOLLOWING, part),
            None => self.end_progress(),
        }
    }

    /// Tells how far something is that began then.
    fn tell_progress(&mut self, since: Instant, what: &str, part: f64) {
        let bar = self.setup.progress.at(since, what, part);
        if let (Some(view), Some(bar)) = (&mut self.setup.view, bar) {
            view.bar(&bar);
        }
    }

    fn end_progress(&mut self) {
        let was_drawn = self.setup.progress.done();
        if let Some(view) = self.setup.view.as_mut().filter(|_| was_drawn) {
            view.refresh();
        }
    }

    /// Finds names for the stacks of everything that is live: debug information is read for the first of
    /// them, which may take its time. Whoever asks us to end meanwhile gets what names there are by then.
    pub(super) fn name_stacks(&mut self, pid: Pid) {
        let begun = Instant::now();
        let Some(traced) = self.processes.get_mut(&pid) else {
            return;
        };
        let is_new =
            |(id, site): &(SiteId, &Site)| site.live().blocks > 0 && !traced.named.contains(id);
        let sites = traced.tracker.sites.iter().filter(is_new);
        let new: Vec<(SiteId, Origin)> = sites.map(|(id, site)| (id, site.origin)).collect();
        traced.named.extend(new.iter().map(|(id, _)| *id));
        let is_asked = self.setup.system.look_out(self.setup.knowledge);
        self.setup.book.hurry(false);
        self.setup.book.refresh(pid);
        for (at, (_, origin)) in new.iter().enumerate() {
            if is_asked() {
                self.setup.book.hurry(true);
                break;
            }
            self.setup.book.prepare(pid, *origin);
            self.tell_progress(begun, READING, (at + 1) as f64 / new.len() as f64);
        }
        self.end_progress();
    }

    fn answered(&mut self, check: Pending, fate: Fate) -> io::Result<()> {
        let Some(traced) = self.processes.get_mut(&check.pid) else {
            return Ok(());
        };
        let mut checked = match fate {
            Fate::Here(answer) => Some(Checked::new(&traced.tracker, *answer)),
            Fate::NotYet | Fate::Never => None,
        };
        if let Some(checked) = &mut checked {
            if check.moment.is_last() {
                // It was held all the time.
                checked.frozen.pause += check.begun.elapsed();
            }
            traced.tracker.released_unseen(&checked.gone);
            for (kind, keys) in lost_keys(&traced.tracker, checked) {
                traced.tracker.mark_lost(kind, keys.into_iter());
            }
        }
        self.looked_at(check.pid, check.moment, checked, check.pause)
    }

    /// Reports on a process.
    pub(super) fn looked_at(
        &mut self,
        pid: Pid,
        moment: Moment,
        checked: Option<Checked>,
        pause: Duration,
    ) -> io::Result<()> {
        let begun = Instant::now();
        let Some(traced) = self.processes.get_mut(&pid).filter(|traced| !traced.told) else {
            return Ok(());
        };
        traced.tracker.tick(self.clock.now());
        traced.history.look_now(&traced.tracker);
        let ended = (moment == Moment::AtExit).then(|| "at exit".to_owned());
        let older = older(moment, &self.setup.options);
        self.name_stacks(pid);
        let report = self.report_older(pid, older, checked.as_ref(), ended);
        self.cost = begun.elapsed() + pause;
        match moment {
            Moment::Meanwhile => match &mut self.setup.view {
                Some(view) => {
                    view.take(report, self.clock.now());
                    if let Some(pause) = self.pause() {
                        self.clock.put_off(pause);
                    }
                    Ok(())
                }
                None => self.write(&report, Last::No),
            },
            Moment::Snapshot => self.keep(&report),
            Moment::Leaving => {
                self.traced(pid).told = true;
                self.write(&report, Last::Yes)
            }
            Moment::AtExit => {
                self.traced(pid).last = Some(report);
                Ok(())
            }
        }
    }
}

/// What takes time.
const FOLLOWING: &str = "following pointers";
const READING: &str = "reading debug information";

/// How old a block must be to be judged.
pub(super) fn older(moment: Moment, options: &Options) -> Duration {
    match moment {
        Moment::AtExit => Duration::ZERO,
        Moment::Meanwhile | Moment::Snapshot | Moment::Leaving => options.blocks.older,
    }
}
