//! Memory that a tracee and we have mapped: made by the tracee, taken over by its descriptor.
//!
//! The tracee may write any word of it at any time, so it is seen as atomic words. It cannot shrink it under us:
//! that is sealed before we map it.

use super::{Error, Result};
use crate::base::Pid;
use nix::errno::Errno;
use nix::libc;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// The flags by which the tracee has to make the memfd.
pub const MEMFD_FLAGS: u64 = (libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) as u64;

/// A shared mapping. Its first 4 bytes are a lock that this thread holds, on its robust list: should the thread die,
/// the kernel clears the thread id in them (Documentation/locking/robust-futexes.rst).
#[derive(Debug)]
pub struct SharedMemory {
    start: NonNull<AtomicU64>,
    bytes: usize,
}

impl SharedMemory {
    /// Gives the memfd that the process has as this descriptor its length, and maps it.
    ///
    /// # Errors
    /// It is no such memfd, or there is no memory.
    pub fn of(pid: Pid, descriptor: u64, bytes: usize) -> Result<SharedMemory> {
        let file = descriptor_of(pid, descriptor)?;
        let fd = file.as_raw_fd();
        let length = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
        // SAFETY: `fd` is open; numbers only.
        let cut = unsafe { libc::ftruncate(fd, length) };
        check("ftruncate", cut.into())?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: `fd` is open; numbers only.
        let sealed = unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) };
        check("fcntl", sealed.into())?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file that is that long and stays so.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last("mmap"));
        }
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(Error::last("mmap"));
        };
        let memory = SharedMemory { start, bytes };
        memory.hold_lock()?;
        Ok(memory)
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is that long, page-aligned, readable and writable as long as `self` lives; atomic words
        // may be written by others at any time.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes / 8) }
    }

    /// Wakes the waiters of the futex at this offset.
    pub fn wake(&self, offset: u64) {
        let Some(word) = self.words().get(offset as usize / 8) else {
            return;
        };
        // SAFETY: FUTEX_WAKE takes an address only to find out who waits there.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
        }
    }

    /// Gives the memory of these bytes back, page by page: they are zeros then, for the tracee as well. When that fails
    /// they stay.
    pub fn discard(&mut self, bytes: Range<u64>) {
        let (start, end) = (bytes.start as usize, bytes.end as usize);
        if !start.is_multiple_of(4096) || start > end || end > self.bytes {
            return;
        }
        let words = self.start.as_ptr().wrapping_byte_add(start);
        // SAFETY: within the mapping, page-aligned; no reference into it exists beside `&mut self`.
        unsafe { libc::madvise(words.cast(), end - start, libc::MADV_REMOVE) };
    }

    /// Unlocks it: the tracee sees that there is no tracer any more.
    pub fn release(&self) {
        // SAFETY: the mutex was made, and is on this thread's list or unlocked; one that the tracee has overwritten is
        // refused.
        unsafe { libc::pthread_mutex_unlock(self.lock()) };
    }

    fn lock(&self) -> *mut libc::pthread_mutex_t {
        self.start.as_ptr().cast()
    }

    /// glibc has the thread id of a mutex's holder in its first word (nptl, `struct __pthread_mutex_s`).
    fn hold_lock(&self) -> Result<()> {
        if !cfg!(target_env = "gnu") {
            return Err(Error {
                call: "pthread_mutex_init",
                errno: Errno::ENOSYS,
            });
        }
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: makes the attributes.
        done(unsafe { libc::pthread_mutexattr_init(attributes) })?;
        let robust = libc::PTHREAD_MUTEX_ROBUST;
        // SAFETY: the attributes were made.
        done(unsafe { libc::pthread_mutexattr_setrobust(attributes, robust) })?;
        let shared = libc::PTHREAD_PROCESS_SHARED;
        // SAFETY: as above.
        done(unsafe { libc::pthread_mutexattr_setpshared(attributes, shared) })?;
        // SAFETY: there is room for a mutex at the beginning of the mapping.
        done(unsafe { libc::pthread_mutex_init(self.lock(), attributes) })?;
        // SAFETY: the mutex was made. It is unlocked before it is unmapped.
        done(unsafe { libc::pthread_mutex_lock(self.lock()) })
    }
}

/// What a function of pthreads gives, which does not set errno.
fn done(errno: i32) -> Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(Error {
            call: "a robust mutex",
            errno: Errno::from_raw(errno),
        }),
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        self.release();
        // SAFETY: the mapping is ours, and there is no reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// A copy of another process's descriptor: with the rights that it has, whatever ours are (pidfd_getfd(2)).
fn descriptor_of(pid: Pid, descriptor: u64) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) };
    let process = owned(check("pidfd_open", process)?);
    let fd = process.as_raw_fd();
    // SAFETY: numbers only.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, fd, descriptor, 0) };
    Ok(owned(check("pidfd_getfd", copy)?))
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: the kernel has just made it for us; no other code knows of it.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn check(call: &'static str, result: i64) -> Result<i64> {
    match result {
        -1 => Err(Error::last(call)),
        result => Ok(result),
    }
}
