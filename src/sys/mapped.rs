//! Files mapped for reading, which may be cut while we read them: a rebuild does that. The kernel raises SIGBUS
//! for what lies behind the new end (mmap(2)), or cannot be read from the disk; here it reads as zeros.

use memmap2::Mmap;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

/// A whole file, mapped. Its bytes may change at any time.
#[derive(Debug)]
pub struct Mapped {
    map: Mmap,
    place: &'static Place,
}

/// Where one mapping lies, for the handler of SIGBUS to find. Places form a list that only grows, and are used
/// again when their mapping is gone: the handler may walk it at any time.
#[derive(Debug)]
struct Place {
    /// The address; zero when there is none, [`TAKEN`] when it is still to come.
    start: AtomicUsize,
    end: AtomicUsize,
    next: OnceLock<Box<Place>>,
}

static PLACES: Place = Place::free();
const TAKEN: usize = 1;
const PAGE: usize = 4096;

impl Mapped {
    pub(super) fn new(file: &File) -> io::Result<Mapped> {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        // SAFETY: the mapping is only read. Bytes that another process rewrites in place may change under us, which
        // the parsers of this crate bear, as they believe nothing; where the file is cut, the handler below
        // puts zeros.
        let map = unsafe { Mmap::map(file) }?;
        let place = Place::take();
        let start = map.as_ptr() as usize;
        place
            .end
            .store(start + map.len().next_multiple_of(PAGE), Ordering::Relaxed);
        place.start.store(start, Ordering::Release);
        Ok(Mapped { map, place })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.place.start.store(0, Ordering::Release);
    }
}

impl Place {
    const fn free() -> Place {
        Place {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            next: OnceLock::new(),
        }
    }

    /// One that is free.
    fn take() -> &'static Place {
        let mut place = &PLACES;
        let order = (Ordering::Acquire, Ordering::Relaxed);
        while place
            .start
            .compare_exchange(0, TAKEN, order.0, order.1)
            .is_err()
        {
            place = place.next.get_or_init(|| Box::new(Place::free()));
        }
        place
    }

    /// The page of this address and what is behind it, when the address is in a mapping.
    fn rest(at: usize) -> Option<(usize, usize)> {
        let mut place = Some(&PLACES);
        while let Some(Place { start, end, next }) = place {
            let start = start.load(Ordering::Acquire);
            let end = end.load(Ordering::Relaxed);
            if start > TAKEN && (start..end).contains(&at) {
                let page = at & !(PAGE - 1);
                return Some((page, end - page));
            }
            place = next.get().map(|next| &**next);
        }
        None
    }
}

fn install() {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(fill), flags, SigSet::empty());
    // SAFETY: the handler reads atomics and makes system calls, which is async-signal-safe.
    // It does not fail for a signal that can be caught (sigaction(2)).
    let _ = unsafe { sigaction(Signal::SIGBUS, &action) };
}

/// Puts zeros where the file has nothing. Of a fault anywhere else the process dies, as it would have.
extern "C" fn fill(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to an SA_SIGINFO handler (sigaction(2)).
    let info = unsafe { &*info };
    // SAFETY: SIGBUS of a fault tells its address (sigaction(2), "si_addr").
    let at = unsafe { info.si_addr() } as usize;
    if !Place::rest(at).is_some_and(|(page, length)| zeros(page, length)) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs nothing of ours. The fault comes again and finds it.
        let _ = unsafe { sigaction(Signal::SIGBUS, &default) };
    }
}

fn zeros(page: usize, length: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let at = page as *mut libc::c_void;
    // SAFETY: the pages belong to a mapping of ours, which is only read and goes on to be there.
    let mapped = unsafe { libc::mmap(at, length, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::Mapped;
    use std::fs;

    #[test]
    fn what_is_cut_off_reads_as_zeros() {
        let path = std::env::temp_dir().join(format!("ltrace-cut-{}", std::process::id()));
        fs::write(&path, vec![7; 100_000]).unwrap();
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let other = Mapped::new(&file).unwrap();
        drop(other);
        let mapped = Mapped::new(&file).unwrap();
        assert_eq!((mapped[0], mapped[99_999]), (7, 7));
        file.set_len(10_000).unwrap();
        assert_eq!((mapped[0], mapped[9_999]), (7, 7));
        assert_eq!((mapped[20_000], mapped[99_999]), (0, 0));
        file.set_len(0).unwrap();
        assert_eq!(
            mapped.iter().map(|&byte| usize::from(byte)).sum::<usize>(),
            0
        );
        fs::remove_file(&path).unwrap();
    }
}
