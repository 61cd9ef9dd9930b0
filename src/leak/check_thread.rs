//! The thread that follows pointers, so that the one that serves the processes need not. It begins before
//! the tracer takes its place beside them.

use crate::base::addr::Addr;
use crate::base::memory::{Memory, Unreadable};
use crate::base::snapshot::{Copies, Snapshot};
use crate::leak::report::checked::{Answer, Question};
use crate::leak::worker::{Coming, Work, Worker};

/// Where questions go.
pub type CheckThread = Worker<()>;

impl CheckThread {
    /// Asks which blocks of a process can be reached. Bytes of memory are the steps of that.
    pub fn check(&mut self, question: Question, mut snapshot: Snapshot) -> Coming<Answer> {
        let lengths = snapshot.regions.iter();
        let lengths = lengths.map(|region| region.range.end.saturating_sub(region.range.start));
        let work = Work::of(lengths.fold(0, u64::saturating_add));
        snapshot.memory = Box::new(Wanted {
            memory: std::mem::replace(&mut snapshot.memory, Box::new(Copies::default())),
            work: work.clone(),
        });
        self.ask(work, |()| question.answer(snapshot))
    }
}

/// Memory that cannot be read once the check is given up.
struct Wanted {
    memory: Box<dyn Memory + Send>,
    work: Work,
}

impl Memory for Wanted {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        match self.work.is_in_haste() {
            true => Err(Unreadable(at)),
            false => {
                let read = self.memory.read(at, buf)?;
                self.work.advance(read as u64);
                Ok(read)
            }
        }
    }

    fn beyond(&self, at: Addr) -> Addr {
        match self.work.is_in_haste() {
            true => Addr(u64::MAX),
            false => self.memory.beyond(at),
        }
    }
}
