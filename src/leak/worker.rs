//! Threads that work for the one that serves the processes, so that no traced process waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// Does one job after the other, with something that it keeps.
pub struct Worker<S>(Place<S>);

enum Place<S> {
    /// There is no thread yet, or none can be had: jobs are done at once.
    Here(S),
    Thread(Sender<Job<S>>),
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A job, as its thread sees it.
#[derive(Clone, Debug, Default)]
pub struct Work(Arc<State>);

#[derive(Debug, Default)]
struct State {
    done: AtomicU64,
    total: AtomicU64,
    is_in_haste: AtomicBool,
}

/// An answer to come. Dropped before that, it is not wanted any more.
pub struct Coming<T> {
    answer: Receiver<T>,
    work: Work,
    is_here: bool,
}

/// What has become of an answer.
pub enum Fate<T> {
    /// It is there.
    Here(Box<T>),
    /// It is still being worked on.
    NotYet,
    /// No thread works on it.
    Never,
}

impl<S: Send + 'static> Worker<S> {
    /// One without a thread.
    pub fn new(kept: S) -> Worker<S> {
        Worker(Place::Here(kept))
    }

    /// Begins the thread, in a process that is not to fork any more and has not taken its place beside a traced one.
    /// Where none can be had, nothing changes. The thread does `first` before each job.
    pub fn begin(&mut self, name: &str, first: fn()) {
        if !matches!(self.0, Place::Here(_)) {
            return;
        }
        let (jobs, coming) = channel::<Job<S>>();
        let (hand, given) = channel::<S>();
        let work = move || {
            if let Ok(mut kept) = given.recv() {
                for job in coming {
                    first();
                    job(&mut kept);
                }
            }
        };
        let thread = thread::Builder::new().name(name.to_owned());
        if thread.spawn(work).is_err() {
            return;
        }
        if let Place::Here(kept) = std::mem::replace(&mut self.0, Place::Thread(jobs)) {
            // The thread waits for it.
            let _ = hand.send(kept);
        }
    }

    /// Asks for an answer.
    pub fn ask<T: Send + 'static>(
        &mut self,
        work: Work,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Coming<T> {
        let (answer, coming) = channel();
        let job = move |kept: &mut S| {
            // The one who asked may have given up.
            let _ = answer.send(job(kept));
        };
        match &mut self.0 {
            Place::Here(kept) => job(kept),
            // A thread that has ended leaves no answer.
            Place::Thread(jobs) => drop(jobs.send(Box::new(job))),
        }
        Coming {
            answer: coming,
            work,
            is_here: false,
        }
    }
}

impl Work {
    /// A job of so many steps.
    pub fn of(total: u64) -> Work {
        let work = Work::default();
        work.begin(total);
        work
    }

    /// So many steps are to be done.
    pub fn begin(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// So many more are done.
    pub fn advance(&self, steps: u64) {
        self.0.done.fetch_add(steps, Ordering::Relaxed);
    }

    /// What is not done yet is not wanted any more.
    pub fn is_in_haste(&self) -> bool {
        self.0.is_in_haste.load(Ordering::Relaxed)
    }

    fn hurry(&self) {
        self.0.is_in_haste.store(true, Ordering::Relaxed);
    }
}

impl<T> Coming<T> {
    /// How much of the work is done, from 0 to 1.
    pub fn part(&self) -> f64 {
        let State { done, total, .. } = &*self.work.0;
        let total = total.load(Ordering::Relaxed).max(1);
        done.load(Ordering::Relaxed) as f64 / total as f64
    }

    /// A reader waits: the answer is to be what can be said by now.
    pub fn hurry(&self) {
        self.work.hurry();
    }

    /// Looks whether it is there.
    pub fn look(&mut self) -> Fate<T> {
        let answer = self.answer.try_recv();
        self.fate(answer.map_err(|why| why == TryRecvError::Empty))
    }

    /// Waits for a moment whether it comes.
    pub fn wait(&mut self, moment: Duration) -> Fate<T> {
        let answer = self.answer.recv_timeout(moment);
        self.fate(answer.map_err(|why| why == RecvTimeoutError::Timeout))
    }

    fn fate(&mut self, answer: Result<T, bool>) -> Fate<T> {
        match answer {
            Ok(answer) => {
                self.is_here = true;
                Fate::Here(Box::new(answer))
            }
            Err(true) => Fate::NotYet,
            Err(false) => Fate::Never,
        }
    }
}

impl<T> Drop for Coming<T> {
    fn drop(&mut self) {
        if !self.is_here {
            self.work.hurry();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn here<T>(mut coming: Coming<T>) -> T {
        loop {
            match coming.wait(Duration::from_secs(1)) {
                Fate::Here(answer) => return *answer,
                Fate::NotYet => {}
                Fate::Never => panic!("no thread works on it"),
            }
        }
    }

    #[test]
    fn jobs_are_done_in_turn_by_the_thread() {
        let mut worker = Worker::new(0);
        let count = |kept: &mut i32| {
            *kept += 1;
            (*kept, thread::current().name().map(str::to_owned))
        };
        let own = thread::current().name().map(str::to_owned);
        assert_eq!(here(worker.ask(Work::default(), count)), (1, own));
        worker.begin("counting", || {});
        let asked: Vec<_> = (0..3).map(|_| worker.ask(Work::default(), count)).collect();
        for (number, coming) in (2..).zip(asked) {
            let name = Some("counting".to_owned());
            assert_eq!(here(coming), (number, name));
        }
    }

    #[test]
    fn answers_that_are_dropped_are_not_wanted() {
        let mut worker = Worker::new(());
        worker.begin("waiting", || {});
        let asked = Work::default();
        let job = asked.clone();
        let (ended, end) = channel();
        let coming = worker.ask(asked, move |()| {
            while !job.is_in_haste() {
                thread::yield_now();
            }
            ended.send(()).unwrap();
        });
        drop(coming);
        end.recv().unwrap();
        let kept = Work::default();
        here(worker.ask(kept.clone(), |()| ()));
        assert!(!kept.is_in_haste(), "what it brought may still be read");
    }
}
