//! The thread that follows pointers, so that the one that serves the processes need not. It begins before
//! the tracer takes its place beside them.

use crate::base::addr::Addr;
use crate::base::frozen::Frozen;
use crate::base::memory::{Memory, Unreadable};
use crate::leak::report::checked::{Answer, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// Where questions go.
pub struct CheckThread {
    questions: Option<Sender<Job>>,
}

struct Job {
    question: Question,
    frozen: Frozen,
    answer: Sender<Answer>,
}

/// An answer to come. Dropped, it is not wanted any more.
pub struct Coming {
    answer: Receiver<Answer>,
    /// So many bytes of memory have been looked at, of so many.
    done: Arc<AtomicU64>,
    total: u64,
    is_unwanted: Arc<AtomicBool>,
}

/// What has become of an answer.
pub enum Fate {
    /// It is there.
    Here(Box<Answer>),
    /// It is still being worked on.
    NotYet,
    /// Nobody works on it.
    Never,
}

impl CheckThread {
    /// Begins. Where no thread can be had there are no answers.
    pub fn begin() -> CheckThread {
        let (questions, jobs) = channel::<Job>();
        let work = move || {
            for job in jobs {
                let answer = job.question.answer(job.frozen);
                // Nobody may want it any more.
                let _ = job.answer.send(answer);
            }
        };
        let thread = thread::Builder::new().name("ltrace check".to_owned());
        CheckThread {
            questions: thread.spawn(work).is_ok().then_some(questions),
        }
    }

    /// Asks.
    pub fn ask(&self, question: Question, mut frozen: Frozen) -> Coming {
        let (answer, coming) = channel();
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let lengths = frozen.regions.iter();
        let lengths = lengths.map(|region| region.range.end.saturating_sub(region.range.start));
        let total = lengths.fold(0, u64::saturating_add);
        let nothing = Box::new(crate::base::frozen::Copies::default());
        frozen.memory = Box::new(Wanted {
            memory: std::mem::replace(&mut frozen.memory, nothing),
            is_unwanted: is_unwanted.clone(),
            done: done.clone(),
        });
        if let Some(questions) = &self.questions {
            // A thread that has ended leaves no answer.
            let _ = questions.send(Job {
                question,
                frozen,
                answer,
            });
        }
        Coming {
            answer: coming,
            done,
            total,
            is_unwanted,
        }
    }
}

impl Coming {
    /// How much of the work is done, as far as that can be told: some memory is looked at twice, and after
    /// that some work is left.
    pub fn part(&self) -> f64 {
        let looked_at = self.done.load(Ordering::Relaxed) as f64 / self.total.max(1) as f64;
        (0.7 * looked_at).min(0.95)
    }

    /// Looks whether it is there.
    pub fn look(&self) -> Fate {
        match self.answer.try_recv() {
            Ok(answer) => Fate::Here(Box::new(answer)),
            Err(TryRecvError::Empty) => Fate::NotYet,
            Err(TryRecvError::Disconnected) => Fate::Never,
        }
    }

    /// Waits for a moment whether it comes.
    pub fn wait(&self, moment: Duration) -> Fate {
        match self.answer.recv_timeout(moment) {
            Ok(answer) => Fate::Here(Box::new(answer)),
            Err(RecvTimeoutError::Timeout) => Fate::NotYet,
            Err(RecvTimeoutError::Disconnected) => Fate::Never,
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}

/// Memory that cannot be read when nobody wants to know any more.
struct Wanted {
    memory: Box<dyn Memory + Send>,
    is_unwanted: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Memory for Wanted {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        match self.is_unwanted.load(Ordering::Relaxed) {
            true => Err(Unreadable(at)),
            false => {
                let read = self.memory.read(at, buf)?;
                self.done.fetch_add(read as u64, Ordering::Relaxed);
                Ok(read)
            }
        }
    }

    fn beyond(&self, at: Addr) -> Addr {
        match self.is_unwanted.load(Ordering::Relaxed) {
            true => Addr(u64::MAX),
            false => self.memory.beyond(at),
        }
    }
}
