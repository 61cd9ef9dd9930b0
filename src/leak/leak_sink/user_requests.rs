//! What is asked of the leak sink meanwhile: by keys, by signals, and by the clock.

use crate::base::Pid;
use crate::leak::leak_sink::pending::Pending;
use crate::leak::leak_sink::process::Traced;
use crate::leak::leak_sink::{LeakSink, Moment, Stage, UserRequest};
use crate::leak::tracker::Knowledge;
use crate::leak::view::{Asked, View};
use std::io;
use std::time::Duration;

/// How often there is a report on a process that we attached to.
const USUAL: Duration = Duration::from_secs(5);
/// And in a view at most, if it costs no more than one part in so many of the time.
const VIEWED: Duration = Duration::from_secs(1);
const SHARE: u32 = 10;

impl LeakSink {
    /// Sets the mark in all processes: growth is told from here on.
    pub fn mark(&mut self) {
        for traced in self.processes.values_mut() {
            traced.tracker.sites.mark();
            traced.marked = true;
        }
        if let Some(view) = &mut self.setup.view {
            view.say("marked".to_owned());
        }
    }

    /// Looks what keys and signals ask for, and draws.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        for request in self.setup.system.user_requests() {
            match (request, &mut self.setup.view) {
                (UserRequest::Mark, _) => self.mark(),
                (UserRequest::Snapshot, _) => self.want_all(Moment::Snapshot),
                (UserRequest::Hide, Some(view)) => view.hide(),
                (UserRequest::Show, Some(view)) => view.again(),
                (UserRequest::Hide | UserRequest::Show, None) => {}
            }
        }
        let asked = self.setup.view.as_mut().map(View::keys);
        for asked in asked.into_iter().flatten() {
            match asked {
                Asked::Sort => {
                    self.setup.options.sort = self.setup.options.sort.next();
                    self.want_all(Moment::Meanwhile);
                }
                Asked::Mark => {
                    self.mark();
                    self.want_all(Moment::Meanwhile);
                }
                Asked::Check(pid) => self.want(pid, Moment::Meanwhile),
                Asked::Snapshot => self.want_all(Moment::Snapshot),
                Asked::Quit => self.end(),
            }
        }
        self.tell_pending();
        match &mut self.setup.view {
            Some(view) => view.draw(self.clock.now(), self.setup.options.sort),
            None => Ok(()),
        }
    }

    pub(super) fn want(&mut self, pid: Pid, moment: Moment) {
        let is_coming = |pending: &Pending| (pending.pid, pending.moment) == (pid, moment);
        if !self.wanted.contains(&(pid, moment)) && !self.pending.iter().any(is_coming) {
            self.wanted.push_back((pid, moment));
        }
    }

    pub(super) fn want_all(&mut self, moment: Moment) {
        let is_there = |p: &Traced| p.ended.is_none() && !p.shares_memory;
        let all = self.processes.iter().filter(|(_, p)| is_there(p));
        let all: Vec<Pid> = all.map(|(pid, _)| *pid).collect();
        all.into_iter().for_each(|pid| self.want(pid, moment));
    }

    /// Nothing more is to be seen: all that is left are the last reports.
    pub(super) fn end(&mut self) {
        if self.stage == Stage::Running {
            self.stage = Stage::Ending;
            self.want_all(Moment::Leaving);
            if let Some(view) = &mut self.setup.view {
                view.say("a last report ...".to_owned());
            }
        }
    }

    /// When the next report is due.
    pub(super) fn pause(&self) -> Option<Duration> {
        let options = &self.setup.options;
        match (options.every, &self.setup.view, self.setup.knowledge) {
            (Some(every), _, _) => Some(every),
            (None, Some(_), _) => Some(self.cost.saturating_mul(SHARE).clamp(VIEWED, USUAL)),
            (None, None, Knowledge::SinceAttach) => options.watch.is_none().then_some(USUAL),
            (None, None, Knowledge::All) => None,
        }
    }
}
