//! System calls that may never come back: a named file may be on a server that does not answer (FUSE,
//! NFS), and that wait cannot be ended, by a signal neither. They are made by a thread that can be left behind.

use super::interrupt;
use nix::sys::signal::SigSet;
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same while another file system has not answered either.
const LESS: Duration = Duration::from_millis(200);
/// So often it is seen whether we are asked to end.
const LOOK: Duration = Duration::from_millis(50);
/// Most calls take microseconds, less than it takes to be woken up.
const QUICK: Duration = Duration::from_micros(50);
/// So many threads may be left behind.
const MOST: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// The thread at work for this one: no thread waits for what another one has asked for.
    static THREAD: RefCell<Option<Sender<Job>>> = const { RefCell::new(None) };
}
/// There may be such threads.
static BEGUN: AtomicBool = AtomicBool::new(false);
/// How many calls have not come back, and were given up.
static STUCK: AtomicUsize = AtomicUsize::new(0);
/// What they were about.
static GIVEN_UP: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Begins the thread, in a process that is not to fork any more. It has no place beside a traced process, so this
/// comes before [`super::placement`]. Before it, and where no thread can be had, calls are waited for.
pub fn begin() {
    BEGUN.store(true, Ordering::Relaxed);
    drop(files_thread());
}

/// The thread at work for this one.
fn files_thread() -> Option<Sender<Job>> {
    THREAD.with_borrow_mut(|thread| {
        if thread.is_none() && BEGUN.load(Ordering::Relaxed) {
            *thread = spawn();
        }
        thread.clone()
    })
}

fn spawn() -> Option<Sender<Job>> {
    let (jobs, coming) = channel::<Job>();
    let work = move || {
        // Signals are for the thread that waits for them.
        let _ = SigSet::all().thread_block();
        coming.into_iter().for_each(|job| job());
    };
    let thread = thread::Builder::new().name("ltrace files".to_owned());
    thread.spawn(work).is_ok().then_some(jobs)
}

/// Does something about a file, for no longer than a few seconds, or until we are asked to end.
pub(super) fn within<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let patience = match STUCK.load(Ordering::Relaxed) {
        0 => PATIENCE,
        1..MOST => LESS,
        _ => return Err(unanswered()),
    };
    let Some(jobs) = files_thread() else {
        return work();
    };
    let (answer, coming) = channel();
    let job = move || {
        // It may not be waited for any more.
        if answer.send(work()).is_err() {
            STUCK.fetch_sub(1, Ordering::Relaxed);
        }
    };
    if jobs.send(Box::new(job)).is_err() {
        return Err(unanswered());
    }
    let why = match wait(&coming, patience) {
        Ok(answer) => return answer,
        Err(why) => why,
    };
    STUCK.fetch_add(1, Ordering::Relaxed);
    if let Ok(answer) = coming.try_recv() {
        STUCK.fetch_sub(1, Ordering::Relaxed);
        return answer;
    }
    THREAD.set(spawn());
    let mut given_up = GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
    given_up.push(path.to_owned());
    Err(why)
}

/// The answer, or why there is none.
fn wait<T>(
    coming: &Receiver<io::Result<T>>,
    patience: Duration,
) -> Result<io::Result<T>, io::Error> {
    let begun = Instant::now();
    while begun.elapsed() < QUICK {
        if let Ok(answer) = coming.try_recv() {
            return Ok(answer);
        }
        thread::yield_now();
    }
    while begun.elapsed() < patience {
        match coming.recv_timeout(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => return Err(unanswered()),
            Err(RecvTimeoutError::Timeout) if interrupt::is_requested() => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Err(unanswered())
}

fn unanswered() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer")
}

/// The files that were given up since this was asked last.
pub fn given_up() -> Vec<PathBuf> {
    std::mem::take(&mut GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What there is to say of a file that was given up.
pub fn told(path: &Path) -> String {
    format!("{}: {}", path.display(), unanswered())
}

/// Whether this process cannot end before a file system answers, as a thread of it is still waiting.
pub fn is_stuck() -> bool {
    STUCK.load(Ordering::Relaxed) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only test that begins the thread: tests share it.
    #[test]
    fn what_does_not_come_back_is_left() {
        let path = Path::new("/mnt/file");
        assert_eq!(within(path, || Ok(1)).unwrap(), 1, "before it began");
        begin();
        begin();
        assert_eq!(
            within(path, || Ok(thread::current().name().map(str::to_owned)))
                .unwrap()
                .as_deref(),
            Some("ltrace files")
        );
        let (answer, stuck) = channel::<()>();
        let begun = Instant::now();
        let error = within(path, move || Ok(stuck.recv())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= PATIENCE);
        assert_eq!(given_up(), [path]);
        assert_eq!(given_up(), [""; 0].map(PathBuf::from));
        assert!(is_stuck());
        // Others are served meanwhile.
        assert_eq!(within(path, || Ok(2)).unwrap(), 2);
        drop(answer);
        while is_stuck() {
            thread::yield_now();
        }
    }
}
