//! What is on its way to the user: checks, and reports that are made of them. Threads work on it while the processes
//! go on.

use crate::base::Pid;
use crate::leak::leak_sink::clock::LOOK;
use crate::leak::leak_sink::reports::Made;
use crate::leak::leak_sink::{LeakSink, Moment};
use crate::leak::report::checked::Answer;
use crate::leak::system::Facts;
use crate::leak::worker::{Coming, Fate};
use std::io;
use std::time::{Duration, Instant};

/// So many processes that have ended may wait for their last report: each holds a copy of its memory.
const MOST_LAST: usize = 4;

/// One of them.
pub(super) struct Pending {
    pub(super) pid: Pid,
    pub(super) moment: Moment,
    pub(super) begun: Instant,
    /// How long the process was held for it.
    pub(super) pause: Duration,
    pub(super) stage: Stage,
}

/// How far it has come.
pub(super) enum Stage {
    /// Pointers are followed.
    Check(Coming<Answer>, Facts),
    /// A report is made and written.
    Report(Coming<Made>),
}

/// What came of a stage.
enum News {
    Answer(Option<Box<Answer>>),
    Report(Option<Box<Made>>),
}

impl Pending {
    pub(super) fn is_check(&self) -> bool {
        matches!(self.stage, Stage::Check(..))
    }

    /// Something of it belongs into the last report on a process.
    pub(super) fn is_awaited(&self, pid: Pid) -> bool {
        self.pid == pid && (self.is_check() || self.moment == Moment::AtExit)
    }

    /// What is being done, and how much of it is done already.
    fn progress(&self) -> (&'static str, f64) {
        match &self.stage {
            // Some memory is looked at twice, and after that some work is left.
            Stage::Check(answer, _) => ("following pointers", (0.7 * answer.part()).min(0.95)),
            Stage::Report(report) => ("reading debug information", report.part()),
        }
    }

    fn hurry(&self) {
        if let Stage::Report(report) = &self.stage {
            report.hurry();
        }
    }

    fn wait(&mut self, moment: Duration) -> Option<News> {
        match &mut self.stage {
            Stage::Check(coming, _) => ended(coming.wait(moment)).map(News::Answer),
            Stage::Report(coming) => ended(coming.wait(moment)).map(News::Report),
        }
    }
}

/// What there is at the end of the work; nothing before that.
fn ended<T>(fate: Fate<T>) -> Option<Option<Box<T>>> {
    match fate {
        Fate::Here(found) => Some(Some(found)),
        Fate::NotYet => None,
        Fate::Never => Some(None),
    }
}

impl LeakSink {
    /// Goes on with whatever is ready for it.
    pub(super) fn collect(&mut self) -> io::Result<()> {
        let mut at = 0;
        while let Some(pending) = self.pending.get_mut(at) {
            match pending.wait(Duration::ZERO) {
                None => at += 1,
                Some(news) => {
                    let pending = self.pending.remove(at);
                    self.came(pending, news)?;
                }
            }
        }
        Ok(())
    }

    fn came(&mut self, pending: Pending, news: News) -> io::Result<()> {
        let pid = pending.pid;
        match news {
            News::Answer(answer) => self.answered(pending, answer)?,
            News::Report(made) => self.reported(pending, *made.ok_or_else(thread_ended)?)?,
        }
        self.end_told(pid);
        Ok(())
    }

    /// Gives up checks of a process that are not for its last report.
    pub(super) fn give_up_passing(&mut self, pid: Pid) {
        let is_passing = |moment| matches!(moment, Moment::Meanwhile | Moment::Snapshot);
        self.pending.retain(|pending| {
            pending.pid != pid || !pending.is_check() || !is_passing(pending.moment)
        });
    }

    /// Waits for the last check of a process; others are given up.
    pub(super) fn settle(&mut self, pid: Pid) -> io::Result<()> {
        self.give_up_passing(pid);
        self.wait_for(|pending| pending.pid == pid && pending.is_check())
    }

    /// Waits for all that belongs into the last report on a process.
    pub(super) fn see_out(&mut self, pid: Pid) -> io::Result<()> {
        self.give_up_passing(pid);
        self.wait_for(|pending| pending.is_awaited(pid))
    }

    /// Waits for the oldest when there are too many of those that processes have left behind.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        let last = self.pending.iter().filter(|p| p.moment == Moment::AtExit);
        let begun: Vec<Instant> = last.map(|pending| pending.begun).collect();
        match begun
            .len()
            .checked_sub(MOST_LAST)
            .and_then(|n| begun.get(n))
        {
            Some(begun) => {
                let begun = *begun;
                self.wait_for(|p| p.moment == Moment::AtExit && p.begun <= begun)
            }
            None => Ok(()),
        }
    }

    /// Waits until nothing of this kind is pending. A second request to end does not want to wait: a check
    /// is given up, and a report has the names that are known by then.
    pub(super) fn wait_for(&mut self, is_meant: impl Fn(&Pending) -> bool) -> io::Result<()> {
        let is_asked = self.setup.system.look_out(self.setup.knowledge);
        while let Some(at) = self.pending.iter().position(&is_meant) {
            let mut pending = self.pending.remove(at);
            let news = loop {
                if let Some(news) = pending.wait(LOOK) {
                    break news;
                }
                let (what, part) = pending.progress();
                self.tell_progress(pending.begun, what, part);
                if is_asked() {
                    if pending.is_check() {
                        break News::Answer(None);
                    }
                    pending.hurry();
                    self.pending.iter().for_each(Pending::hurry);
                }
            };
            self.came(pending, news)?;
        }
        self.end_progress();
        Ok(())
    }

    /// Tells how far the oldest of them is.
    pub(super) fn tell_pending(&mut self) {
        let first = self.pending.first();
        match first.map(|pending| (pending.begun, pending.progress())) {
            Some((begun, (what, part))) => self.tell_progress(begun, what, part),
            None => self.end_progress(),
        }
    }

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
}

fn thread_ended() -> io::Error {
    io::Error::other("the thread that makes reports has ended")
}
