//! The int3s of the code that records: a thread asks for a ring, or for a look at what cannot be recorded.

use super::Recorder;
use super::tell::{Call, Teller};
use super::walks::stack;
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::{Regs, View};
use crate::engine::space::stack::Translated;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::plan::Stack;
use crate::record::{Asked, Shared, When};
use crate::stack::RawStack;
use crate::sys::ptrace::Stopped;

/// What becomes of a task that asks for a ring.
pub enum Claim {
    /// It has got one, and goes on there.
    Given {
        /// The instruction pointer.
        resume: u64,
    },
    /// All are taken. Left alone, it goes on without.
    NoneLeft,
}

impl Recorder {
    /// Whether a task has stopped at the int3 by which it asks for a ring.
    pub fn claimed(&mut self, tid: Tid, regs: &Regs) -> Option<Claim> {
        let labels = self.patched.code.labels();
        let (claim, resume) = (labels.claim, labels.retry);
        if regs.rip != claim {
            return None;
        }
        Some(match self.assign(tid, regs.fs_base) {
            true => Claim::Given { resume },
            false => Claim::NoneLeft,
        })
    }

    /// Whether an instruction pointer is behind one of these int3s. A task that is left alone goes on there.
    pub fn is_stop(&self, ip: u64) -> bool {
        self.stops().contains(&ip)
    }

    /// The instruction pointers behind these int3s.
    pub fn stops(&self) -> [u64; 2] {
        self.patched.code.labels().stops()
    }

    /// What a task asks for with these registers.
    fn asked(&self, regs: &Regs, memory: &dyn Memory) -> Option<Asked> {
        let labels = self.patched.code.labels();
        labels.asked(regs, memory, Shared(self.memory.words()))
    }
}

impl Supervisor {
    /// A task may have stopped for what cannot be recorded of its call or return: that is read while it stands still.
    /// `false`: it has not.
    pub(in crate::engine) fn asked(
        &mut self,
        stopped: &Stopped,
        regs: &Regs,
        out: &mut Out<'_>,
    ) -> bool {
        let tid = stopped.tid();
        let Some(id) = self.tasks.get(&tid).map(|task| task.space) else {
            return false;
        };
        let Some(space) = self.spaces.get_mut(&id) else {
            return false;
        };
        let Some(recorder) = &mut space.recorder else {
            return false;
        };
        let Some(mut asked) = recorder.asked(regs, &space.memory) else {
            return false;
        };
        recorder.learn_format(&asked, &space.modules, &space.memory);
        if recorder.is_told(tid, &mut asked, &space.modules, &space.memory)
            && let Some(raw) = self.tell_asked(stopped, regs, &asked, out)
            && let Some(space) = self.spaces.get_mut(&id)
            && let Some(recorder) = &mut space.recorder
        {
            recorder.learn(&space.modules, &raw);
        }
        true
    }

    /// Tells of the call or return for which a task stands still; gives its stack, if the task could not walk it itself.
    fn tell_asked(
        &mut self,
        stopped: &Stopped,
        regs: &Regs,
        asked: &Asked,
        out: &mut Out<'_>,
    ) -> Option<RawStack> {
        let id = self.tasks.get(&stopped.tid())?.space;
        let mut teller = Teller::new(self, (stopped.tid(), id), regs.fs_base, out)?;
        let space = teller.space;
        let recorder = space.recorder.as_ref()?;
        let recorded = recorder.patched.points.get(asked.number as usize)?;
        let recorded = recorded.as_ref()?;
        let point = &recorded.point;
        let memory = Translated {
            memory: &space.memory,
            space,
        };
        let view = |regs| View {
            regs,
            memory: &memory,
            floats: stopped,
            process: space,
            errno: space.errno(regs.fs_base),
        };
        let mut unknown = None;
        match asked.when {
            When::Call => {
                let words: &dyn Memory = &space.memory;
                let return_address = words.read_word(Addr(asked.frame)).unwrap_or_default();
                let return_address = recorder.caller(Addr(return_address));
                let callees = &recorder.patched.callees;
                if teller.is_meant(recorded, callees, asked.frame, return_address) {
                    let call = Call {
                        point,
                        frame: asked.frame,
                        return_address,
                        at_callee: recorded.callee.is_some(),
                    };
                    let regs = Regs {
                        rip: recorded.entry.unwrap_or(return_address).0,
                        ..*asked.regs
                    };
                    teller.called(&call, view(&regs));
                    let is_walked = point.stack == Stack::Wanted && point.sample().is_none();
                    unknown = is_walked.then(|| stack(&regs, &memory));
                }
            }
            When::Return => {
                if let Some(return_address) = teller.caller(asked.frame, point) {
                    let regs = Regs {
                        rip: return_address.0,
                        ..*asked.regs
                    };
                    teller.returned(point, asked.frame, return_address, view(&regs));
                }
            }
        }
        teller.settle();
        unknown
    }
}
