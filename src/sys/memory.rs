//! The memory of another process: read in batches by process_vm_readv(2), written through
//! /proc/PID/mem, which reaches read-only pages of the process's own private copy (proc(5)), or where that
//! is forbidden word by word by ptrace(2).

use super::ptrace::{self, Stopped};
use super::{Result, fault, proc};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::base::{Pid, Tid};
use nix::errno::Errno;
use std::cell::{Cell, OnceCell};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// The memory of one process.
#[derive(Debug)]
pub struct ProcessMemory {
    pid: Pid,
    machine: Machine,
    /// Opened at the first write; after exec it would still be the old program's memory.
    mem: OnceCell<File>,
    /// A task that stands still, to write by.
    writer: Cell<Tid>,
    /// One that is there, to read by.
    reader: Cell<Tid>,
}

impl ProcessMemory {
    /// The memory that `pid` has now, which runs a program for this machine. After an exec, make a new one.
    pub fn new(pid: Pid, machine: Machine) -> ProcessMemory {
        ProcessMemory {
            pid,
            machine,
            mem: OnceCell::new(),
            writer: Cell::new(Tid(pid.0)),
            reader: Cell::new(Tid(pid.0)),
        }
    }

    /// Whose it is.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// From now on, this is a task of the process that stands still.
    pub fn write_by(&self, stopped: &Stopped) {
        self.writer.set(stopped.tid());
    }

    /// Writes over whatever protection the page has.
    pub fn write(&self, at: Addr, bytes: &[u8]) -> io::Result<()> {
        if let Some(errno) = fault::strike("pwrite") {
            return Err(errno.into());
        }
        let Err(why) = self.write_by_file(at, bytes) else {
            return Ok(());
        };
        // A /proc that may only be read, or a kernel with proc_mem.force_override=never.
        poke(self.writer.get(), at, bytes).map_err(|_| why)
    }

    fn write_by_file(&self, at: Addr, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(bytes, at.0)
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.mem.get() {
            return Ok(file);
        }
        let path = proc::path(self.pid, "mem");
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(self.mem.get_or_init(|| file))
    }
}

/// Writes by ptrace(2), which knows aligned words only.
fn poke(tid: Tid, at: Addr, bytes: &[u8]) -> Result<()> {
    let (mut at, mut rest) = (at.0, bytes);
    while !rest.is_empty() {
        let inside = (at % 8) as usize;
        let (now, later) = rest.split_at(rest.len().min(8 - inside));
        let start = Addr(at - inside as u64);
        let mut word = ptrace::peek(tid, start)?.to_le_bytes();
        word[inside..inside + now.len()].copy_from_slice(now);
        ptrace::poke(tid, start, u64::from_le_bytes(word))?;
        at = at.wrapping_add(now.len() as u64);
        rest = later;
    }
    Ok(())
}

impl Memory for ProcessMemory {
    fn read(&self, at: Addr, buf: &mut [u8]) -> std::result::Result<usize, Unreadable> {
        if fault::strike("process_vm_readv").is_some() {
            return Err(Unreadable(at));
        }
        match self.read_by_call(at, buf) {
            Ok(0) if !buf.is_empty() => Err(Unreadable(at)),
            Ok(got) => Ok(got),
            Err(Errno::EPERM | Errno::ENOSYS) => self.read_by_file(at, buf),
            // The first task may have ended before the others.
            Err(Errno::ESRCH) if self.finds_reader() => {
                self.read_by_call(at, buf).map_err(|_| Unreadable(at))
            }
            Err(_) => Err(Unreadable(at)),
        }
    }

    fn machine(&self) -> Machine {
        self.machine
    }
}

impl ProcessMemory {
    fn read_by_call(&self, at: Addr, buf: &mut [u8]) -> std::result::Result<usize, Errno> {
        let local = libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        let remote = libc::iovec {
            iov_base: at.0 as *mut libc::c_void,
            iov_len: buf.len(),
        };
        // SAFETY: the local vector names just `buf`, which is ours to fill; the remote one is checked
        // by the kernel against the other process.
        let got = unsafe {
            libc::process_vm_readv(
                self.reader.get().0,
                &raw const local,
                1,
                &raw const remote,
                1,
                0,
            )
        };
        usize::try_from(got).map_err(|_| Errno::last())
    }

    /// Whether there is another task to read by.
    fn finds_reader(&self) -> bool {
        let found = proc::living_task(self.pid);
        self.reader.replace(found) != found
    }

    /// A sandbox of ours forbids process_vm_readv(2), or the process has become undumpable (PR_SET_DUMPABLE),
    /// since when it refuses those without CAP_SYS_PTRACE. A file that was opened before goes on to serve: the
    /// right is looked at then.
    fn read_by_file(&self, at: Addr, buf: &mut [u8]) -> std::result::Result<usize, Unreadable> {
        let file = self.file().map_err(|_| Unreadable(at))?;
        match file.read_at(buf, at.0) {
            Ok(0) | Err(_) if !buf.is_empty() => Err(Unreadable(at)),
            Ok(got) => Ok(got),
            Err(_) => Err(Unreadable(at)),
        }
    }
}

/// How many places one [`Prefetched`] can hold.
pub const PREFETCHES: usize = 8;
/// How many bytes of each place it holds at most.
const PREFETCH: usize = 64;

/// Several places read at once by one system call, with the memory behind them for all the rest.
pub struct Prefetched<'m> {
    memory: &'m ProcessMemory,
    places: [(Addr, usize); PREFETCHES],
    bytes: [[u8; PREFETCH]; PREFETCHES],
    count: usize,
}

impl<'m> Prefetched<'m> {
    /// Reads the beginning of each place, up to its page's end. Places that cannot be read are left to
    /// be found unreadable when they are asked for.
    pub fn take(memory: &'m ProcessMemory, wanted: &[Addr]) -> Prefetched<'m> {
        let mut prefetched = Prefetched {
            memory,
            places: [(Addr(0), 0); PREFETCHES],
            bytes: [[0; PREFETCH]; PREFETCHES],
            count: 0,
        };
        let empty = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let (mut local, mut remote) = ([empty; PREFETCHES], [empty; PREFETCHES]);
        let mut count = 0;
        for &at in wanted.iter().filter(|at| at.0 >= 4096).take(PREFETCHES) {
            let length = PREFETCH.min(4096 - (at.0 % 4096) as usize);
            prefetched.places[count] = (at, length);
            local[count] = libc::iovec {
                iov_base: prefetched.bytes[count].as_mut_ptr().cast(),
                iov_len: length,
            };
            remote[count] = libc::iovec {
                iov_base: at.0 as *mut libc::c_void,
                iov_len: length,
            };
            count += 1;
        }
        if count == 0 || fault::strike("process_vm_readv").is_some() {
            return prefetched;
        }
        // SAFETY: each local vector names a different array of `prefetched`, no longer than that array;
        // the remote ones are checked by the kernel against the other process.
        let got = unsafe {
            libc::process_vm_readv(
                memory.reader.get().0,
                local.as_ptr(),
                count as libc::c_ulong,
                remote.as_ptr(),
                count as libc::c_ulong,
                0,
            )
        };
        // The kernel stops at the first place it cannot read (process_vm_readv(2), "partial transfer").
        let mut left = usize::try_from(got).unwrap_or(0);
        for (_, length) in &prefetched.places[..count] {
            if left < *length {
                break;
            }
            left -= length;
            prefetched.count += 1;
        }
        prefetched
    }
}

impl Memory for Prefetched<'_> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> std::result::Result<usize, Unreadable> {
        let places = self.places[..self.count].iter().zip(&self.bytes);
        for (&(start, length), bytes) in places {
            let Some(from) =
                at.0.checked_sub(start.0)
                    .map(|n| n as usize)
                    .filter(|&n| n < length)
            else {
                continue;
            };
            if buf.len() <= length - from {
                buf.copy_from_slice(&bytes[from..from + buf.len()]);
                return Ok(buf.len());
            }
        }
        self.memory.read(at, buf)
    }

    fn machine(&self) -> Machine {
        self.memory.machine
    }
}
