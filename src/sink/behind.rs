//! An output that is written by a thread of its own, so that no traced process waits for a reader or a disk.

use super::output::Unwanted;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

type Out = Box<dyn Write + Send>;

/// The writer.
pub struct Behind {
    to: To,
    unwanted: Unwanted,
}

enum To {
    /// To where others write as well.
    Shared(Out),
    /// There is no thread yet.
    Direct(Out),
    Thread(Writing),
}

/// A thread that writes.
struct Writing {
    pieces: Sender<Vec<u8>>,
    /// So many bytes wait to be written.
    waiting: Arc<AtomicUsize>,
    /// What went wrong.
    failure: Arc<Mutex<Option<io::Error>>>,
    /// Disconnected when everything is written.
    done: Receiver<()>,
}

/// More than this is not kept for a reader that does not read: it is waited for.
const MOST: usize = 64 << 20;
/// So often it is checked whether the output is still waited for.
const LOOK: Duration = Duration::from_millis(100);
/// After so many such checks in a row it is given up.
const LATEST: u32 = 10;

impl Behind {
    /// Writes there, by itself until [`Behind::begin`].
    pub fn new(out: Out, unwanted: Unwanted) -> Behind {
        let to = To::Direct(out);
        Behind { to, unwanted }
    }

    /// Writes by itself, between what others write there.
    pub fn shared(out: Out, unwanted: Unwanted) -> Behind {
        let to = To::Shared(out);
        Behind { to, unwanted }
    }

    /// Begins the thread, in a process that is not to fork any more and has not taken its place beside a traced one.
    /// Where none can be had, nothing changes.
    pub fn begin(&mut self) {
        if !matches!(self.to, To::Direct(_)) {
            return;
        }
        let (pieces, coming) = channel::<Vec<u8>>();
        let (last, done) = channel();
        let (hand, given) = channel::<Out>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let failure = Arc::new(Mutex::new(None));
        let writer = Writer {
            waiting: waiting.clone(),
            failure: failure.clone(),
        };
        let work = move || {
            let _last = last;
            if let Ok(out) = given.recv() {
                writer.work(coming, out);
            }
        };
        let thread = thread::Builder::new().name("ltrace reports".to_owned());
        if thread.spawn(work).is_err() {
            return;
        }
        let writing = To::Thread(Writing {
            pieces,
            waiting,
            failure,
            done,
        });
        if let To::Direct(out) = std::mem::replace(&mut self.to, writing) {
            // The thread waits for it.
            let _ = hand.send(out);
        }
    }

    /// Waits until everything is written, or is not waited for any more.
    pub fn finish(&mut self) -> io::Result<()> {
        let To::Thread(_) = &self.to else {
            return self.flush();
        };
        let nothing = To::Direct(Box::new(io::sink()));
        let To::Thread(writing) = std::mem::replace(&mut self.to, nothing) else {
            return Ok(());
        };
        writing.finish(self.unwanted)
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Shared(out) | To::Direct(out) => out.write(bytes),
            To::Thread(writing) => writing.write(bytes, self.unwanted),
        }
    }

    /// What the thread has is on its way.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Shared(out) | To::Direct(out) => out.flush(),
            To::Thread(writing) => writing.failed(),
        }
    }
}

impl Writing {
    fn write(&self, bytes: &[u8], unwanted: Unwanted) -> io::Result<usize> {
        let mut late = 0;
        while self.waiting.load(Ordering::Relaxed) > MOST {
            self.failed()?;
            late = if unwanted() { late + 1 } else { 0 };
            if late > LATEST {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            thread::sleep(LOOK);
        }
        self.failed()?;
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        match self.pieces.send(bytes.to_vec()) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => self.failed().and(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn failed(&self) -> io::Result<()> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }

    fn finish(self, unwanted: Unwanted) -> io::Result<()> {
        drop(self.pieces);
        let mut late = 0;
        while let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(LOOK) {
            late = if unwanted() { late + 1 } else { 0 };
            if late > LATEST {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}

/// The thread's side.
struct Writer {
    waiting: Arc<AtomicUsize>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Writer {
    fn work(self, pieces: Receiver<Vec<u8>>, mut out: Out) {
        for piece in pieces {
            let written = out.write_all(&piece).and_then(|()| out.flush());
            self.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            if let Err(why) = written {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                *failure = Some(why);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::SyncSender;

    /// Takes what a reader takes from the other end.
    struct Slow(SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(bytes.to_vec());
            sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn behind(unwanted: Unwanted) -> (Behind, Receiver<Vec<u8>>) {
        // Each piece is waited for until it is taken.
        let (taken, reader) = std::sync::mpsc::sync_channel(0);
        let mut behind = Behind::new(Box::new(Slow(taken)), unwanted);
        behind.begin();
        (behind, reader)
    }

    #[test]
    fn nobody_waits_for_a_reader_but_the_end() {
        let (mut behind, reader) = behind(|| false);
        for piece in ["one", "two", "three"] {
            behind.write_all(piece.as_bytes()).unwrap();
            behind.flush().unwrap();
        }
        let read = thread::spawn(move || reader.iter().collect::<Vec<_>>().concat());
        behind.finish().unwrap();
        assert_eq!(read.join().unwrap(), b"onetwothree");
    }

    #[test]
    fn a_reader_that_does_not_read_is_left() {
        let (mut behind, reader) = behind(|| true);
        behind.write_all(b"one").unwrap();
        let why = behind.finish().unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::BrokenPipe);
        drop(reader);
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let (mut behind, reader) = behind(|| false);
        drop(reader);
        behind.write_all(b"one").unwrap();
        let why = behind.finish().unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::BrokenPipe);
    }
}
