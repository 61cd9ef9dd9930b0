//! Checks: asked for when a snapshot was made, answered while it goes on.

use crate::base::Pid;
use crate::base::snapshot::{Copying, Snapshot};
use crate::leak::allocators::Allocator;
use crate::leak::leak_sink::pending::{Pending, Stage};
use crate::leak::leak_sink::reports::Seen;
use crate::leak::leak_sink::{LeakSink, Moment};
use crate::leak::options::Options;
use crate::leak::report::checked::{Allocators, Answer, Checked, Question};
use crate::leak::report::survey::lost_keys;
use crate::leak::system::Facts;
use std::io;
use std::time::{Duration, Instant};

impl LeakSink {
    /// A snapshot was made: has it checked.
    pub(super) fn look_at(
        &mut self,
        pid: Pid,
        moment: Moment,
        snapshot: Snapshot,
    ) -> io::Result<()> {
        let Some(traced) = self
            .processes
            .get_mut(&pid)
            .filter(|traced| traced.is_to_be_told())
        else {
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
        let pause = snapshot.pause;
        let is_held = snapshot.copying == Copying::InPlace;
        if moment == Moment::AtExit {
            self.make_room()?;
        }
        // There may be no process to ask when the check is done.
        let facts = self.facts(pid);
        let answer = self.check_thread.check(question, snapshot);
        self.pending.push(Pending {
            pid,
            moment,
            begun: Instant::now(),
            pause,
            stage: Stage::Check(answer, facts),
        });
        match is_held {
            true => self.settle(pid),
            false => Ok(()),
        }
    }

    /// What a check has found becomes a report.
    pub(super) fn answered(
        &mut self,
        check: Pending,
        answer: Option<Box<Answer>>,
    ) -> io::Result<()> {
        let facts = match check.stage {
            Stage::Check(_, facts) => facts,
            Stage::Report(_) => Facts::default(),
        };
        let Some(traced) = self.processes.get_mut(&check.pid) else {
            return Ok(());
        };
        let mut checked = answer.map(|answer| Checked::new(&traced.tracker, *answer));
        if let Some(checked) = &mut checked {
            if checked.snapshot.copying == Copying::InPlace {
                // It was held all the time.
                checked.snapshot.pause += check.begun.elapsed();
            }
            traced.tracker.released_unseen(&checked.gone);
            for (kind, keys) in lost_keys(&traced.tracker, checked) {
                traced.tracker.mark_lost(kind, keys.into_iter());
            }
        }
        let pause = check.pause;
        let seen = Seen {
            checked,
            pause,
            facts,
        };
        self.looked_at(check.pid, check.moment, seen);
        Ok(())
    }
}

/// How old a block must be to be judged.
pub(super) fn older(moment: Moment, options: &Options) -> Duration {
    match moment {
        Moment::AtExit => Duration::ZERO,
        Moment::Meanwhile | Moment::Asked | Moment::Snapshot | Moment::Leaving => {
            options.blocks.older
        }
    }
}
