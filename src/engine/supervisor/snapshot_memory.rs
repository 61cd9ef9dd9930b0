//! How the memory of a snapshot is kept: much of it by a child of its own, so that the pause is that of
//! a fork and not of copying; little of it, and what children do not get, is copied. A process that is about to end
//! cannot have a child: there, much of it is read where it is.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Stretch, Unreadable};
use crate::base::snapshot::{Copies, Copying, Layered, SnapshotMethod};
use crate::sys::interrupt::LookOut;
use crate::sys::memory::ProcessMemory;
use crate::sys::pagemap::Pagemap;
use crate::sys::proc::{self, Mapping};
use crate::sys::snapshot_process::SnapshotProcess;
use std::cell::OnceCell;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Copying so much takes longer than forking.
const MUCH: u64 = 64 << 20;
/// So much is copied where a child cannot have it: some of the memory, or all of it when the process is about to end.
const MOST_COPIED: u64 = 128 << 20;
/// Of a mapping of so many bytes only the pages are copied that were ever touched.
const LARGE: u64 = 1 << 20;
/// The same of one that is shared: what others have put there, or what was swapped out, is not known to be
/// touched.
const HUGE: u64 = 1 << 30;
/// So much is copied between two looks whether the user wants us to end.
const CHUNK: usize = 1 << 20;
/// Where a kernel is slow to tell which pages there are, it may take so long while the process is held.
const LONGEST: Duration = Duration::from_millis(200);

/// What is known before the process is held.
pub(in crate::engine) struct Plan {
    how: SnapshotMethod,
    /// So much memory there is, or more.
    size: u64,
    /// Memory that children do not get, or get empty.
    withheld: Vec<Range<u64>>,
    pages: Option<Pagemap>,
    /// Whether the user wants us to end.
    look_out: LookOut,
}

/// What there is when the process is let go on.
pub(in crate::engine) struct Kept {
    memory: Box<dyn Memory + Send>,
    copying: Copying,
}

/// The user wants us to end, or it takes too long.
pub(in crate::engine) struct GivenUp;

impl Plan {
    /// Looks at the process while it runs.
    pub(in crate::engine) fn new(pid: Pid, how: SnapshotMethod, look_out: LookOut) -> Plan {
        let maps = proc::maps(pid).unwrap_or_default();
        let mut pages = Pagemap::of(pid).ok();
        let size = size(&maps, &mut pages);
        let how = match how {
            SnapshotMethod::Auto if size < MUCH => SnapshotMethod::Copy,
            other => other,
        };
        let withheld = match how {
            SnapshotMethod::Copy => Vec::new(),
            SnapshotMethod::Auto | SnapshotMethod::Fork => proc::withheld(pid),
        };
        Plan {
            how,
            size,
            withheld,
            pages,
            look_out,
        }
    }

    /// Keeps what is writable. Every task stands still.
    pub(in crate::engine) fn keep(
        &mut self,
        writable: &[&Mapping],
        memory: &ProcessMemory,
        child: impl FnOnce() -> Result<SnapshotProcess, String>,
    ) -> Result<Kept, GivenUp> {
        let pages = &mut self.pages;
        let is_withheld = |m: &Mapping| self.withheld.iter().any(|r| overlap(r, &m.range));
        let until = Instant::now() + LONGEST;
        let sum =
            |parts: &[Range<u64>]| parts.iter().map(|part| part.end - part.start).sum::<u64>();
        let (besides, mut own): (Vec<&Mapping>, Vec<&Mapping>) =
            writable.iter().partition(|m| m.shared || is_withheld(m));
        let copying = match self.how {
            SnapshotMethod::Copy => Copying::Copied,
            SnapshotMethod::Auto | SnapshotMethod::Fork => {
                let (withheld, shared): (Vec<&Mapping>, Vec<&Mapping>) =
                    besides.iter().partition(|m| is_withheld(m));
                let mut besides = parts(&withheld, pages, until)?;
                let shared_parts = parts(&shared, pages, until)?;
                match sum(&besides) + sum(&shared_parts) > MOST_COPIED {
                    // Others may change it at any time: a child reads it as well as we.
                    true => own.extend(shared),
                    false => besides.extend(shared_parts),
                }
                let made = match sum(&besides) > MOST_COPIED {
                    true => Err("too much of it is kept from children".to_owned()),
                    false => child(),
                };
                match made {
                    Err(why) => Copying::Refused(why),
                    Ok(child) => {
                        own.sort_by_key(|mapping| mapping.range.start);
                        besides.sort_by_key(|part| part.start);
                        let own = own.iter().map(|mapping| mapping.range.clone()).collect();
                        let under = Behind::new(child.pid(), child, own);
                        let over = Copies(copies(&besides, memory, self.look_out)?);
                        return Ok(Kept {
                            memory: Box::new(Layered { over, under }),
                            copying: Copying::Forked,
                        });
                    }
                }
            }
        };
        self.copy(writable, memory, copying)
    }

    /// Keeps what is writable of a process that is about to end.
    pub(in crate::engine) fn keep_ending(
        &mut self,
        pid: Pid,
        writable: &[&Mapping],
    ) -> Result<Kept, GivenUp> {
        let memory = ProcessMemory::new(pid, Machine::default());
        if self.how == SnapshotMethod::Copy || self.size < MOST_COPIED {
            return self.copy(writable, &memory, Copying::Copied);
        }
        let own = writable.iter().map(|mapping| mapping.range.clone());
        Ok(Kept {
            memory: Box::new(Behind::new(pid, memory, own.collect())),
            copying: Copying::InPlace,
        })
    }

    fn copy(
        &mut self,
        writable: &[&Mapping],
        memory: &ProcessMemory,
        copying: Copying,
    ) -> Result<Kept, GivenUp> {
        let until = Instant::now() + LONGEST;
        let parts = parts(writable, &mut self.pages, until)?;
        Ok(Kept {
            memory: Box::new(Copies(copies(&parts, memory, self.look_out)?)),
            copying,
        })
    }
}

impl Kept {
    /// The process must stand still as long as the memory is read.
    pub(in crate::engine) fn is_in_place(&self) -> bool {
        self.copying == Copying::InPlace
    }

    /// The memory, to be read while the process goes on.
    pub(in crate::engine) fn finish(self) -> (Box<dyn Memory + Send>, Copying) {
        (self.memory, self.copying)
    }
}

/// Memory of a process that stands still: which pages there are of it is asked when it is read first.
struct Behind<M> {
    pid: Pid,
    memory: M,
    own: Vec<Range<u64>>,
    there: OnceCell<Vec<Range<u64>>>,
}

impl<M> Behind<M> {
    fn new(pid: Pid, memory: M, own: Vec<Range<u64>>) -> Behind<M> {
        Behind {
            pid,
            memory,
            own,
            there: OnceCell::new(),
        }
    }

    fn there(&self) -> &[Range<u64>] {
        self.there.get_or_init(|| {
            let mut pages = Pagemap::of(self.pid).ok();
            let own = self.own.iter();
            own.flat_map(|range| match range.end - range.start > LARGE {
                true => touched(&mut pages, range, None).unwrap_or_default(),
                false => vec![range.clone()],
            })
            .collect()
        })
    }
}

impl<M: Memory> Memory for Behind<M> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let there = self.there();
        let after = there.partition_point(|range| range.start <= at.0);
        let range = after.checked_sub(1).and_then(|n| there.get(n));
        let range = range
            .filter(|range| range.contains(&at.0))
            .ok_or(Unreadable(at))?;
        let length = usize::try_from(range.end - at.0).unwrap_or(buf.len());
        let length = length.min(buf.len());
        let part = buf.get_mut(..length).ok_or(Unreadable(at))?;
        self.memory.read(at, part)
    }

    fn beyond(&self, at: Addr) -> Addr {
        let there = self.there();
        let after = there.partition_point(|range| range.start <= at.0);
        there
            .get(after)
            .map_or(Addr(u64::MAX), |range| Addr(range.start))
    }
}

/// There is more memory than is copied of a process that cannot have a child.
pub(in crate::engine) fn is_much(pid: Pid) -> bool {
    let maps = proc::maps(pid).unwrap_or_default();
    size(&maps, &mut Pagemap::of(pid).ok()) >= MOST_COPIED
}

/// Memory that a program can keep pointers in. Reading a device's registers could do something.
pub(in crate::engine) fn is_data(mapping: &Mapping) -> bool {
    let is_device = mapping.path.starts_with("/dev") && !mapping.path.starts_with("/dev/shm");
    // Shared anonymous memory: "/dev/zero (deleted)".
    let is_zero = mapping
        .path
        .as_os_str()
        .as_bytes()
        .starts_with(b"/dev/zero");
    mapping.writable && mapping.readable && (!is_device || is_zero)
}

/// How much memory there is, or a part of it that is much in any case.
fn size(maps: &[Mapping], pages: &mut Option<Pagemap>) -> u64 {
    let mut sum = 0;
    for mapping in maps.iter().filter(|mapping| is_data(mapping)) {
        let length = length(mapping);
        sum += match pages {
            Some(pages) if length > LARGE && pages.is_quick() => pages
                .touched(&mapping.range, None)
                .map_or(length, |parts| parts.iter().map(|p| p.end - p.start).sum()),
            _ => length,
        };
        if sum >= MOST_COPIED {
            break;
        }
    }
    sum
}

/// What there is of some mappings.
fn parts(
    mappings: &[&Mapping],
    pages: &mut Option<Pagemap>,
    until: Instant,
) -> Result<Vec<Range<u64>>, GivenUp> {
    let mut found = Vec::new();
    for mapping in mappings {
        let most = if mapping.shared { HUGE } else { LARGE };
        match length(mapping) > most {
            true => found.extend(touched(pages, &mapping.range, Some(until))?),
            false => found.push(mapping.range.clone()),
        }
    }
    Ok(found)
}

/// What there is in a range; all of it when that is not known, unless that is much. Far more address space than
/// memory is mapped by those who lay out tables in it, and reading that would make it memory.
fn touched(
    pages: &mut Option<Pagemap>,
    range: &Range<u64>,
    until: Option<Instant>,
) -> Result<Vec<Range<u64>>, GivenUp> {
    let all = || match range.end - range.start > HUGE {
        true => Vec::new(),
        false => vec![range.clone()],
    };
    let asked = pages.as_mut().map(|pages| {
        let until = until.filter(|_| !pages.is_quick());
        pages.touched(range, until)
    });
    match asked {
        Some(Ok(found)) => Ok(found),
        Some(Err(why)) if why.kind() == io::ErrorKind::TimedOut => Err(GivenUp),
        Some(Err(_)) | None => Ok(all()),
    }
}

/// What can be read of some ranges, as far as there is room here.
fn copies(
    ranges: &[Range<u64>],
    memory: &ProcessMemory,
    look_out: LookOut,
) -> Result<Vec<Stretch>, GivenUp> {
    let mut copies = Vec::new();
    for range in ranges {
        copies.extend(copy(memory, range, look_out)?);
    }
    Ok(copies)
}

fn copy(
    memory: &ProcessMemory,
    range: &Range<u64>,
    look_out: LookOut,
) -> Result<Option<Stretch>, GivenUp> {
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length).is_err() {
        return Ok(None);
    }
    // Read into the copy itself, each page of it would be touched twice.
    let mut chunk = vec![0; length.min(CHUNK)];
    while bytes.len() < length {
        if look_out.is_asked() {
            return Err(GivenUp);
        }
        let at = Addr(range.start + bytes.len() as u64);
        let want = chunk.len().min(length - bytes.len());
        let part = chunk.get_mut(..want).unwrap_or_default();
        let got = memory.read(at, part).unwrap_or(0);
        bytes.extend_from_slice(part.get(..got).unwrap_or_default());
        if got < want {
            break;
        }
    }
    let at = Addr(range.start);
    Ok((!bytes.is_empty()).then_some(Stretch { at, bytes }))
}

fn length(mapping: &Mapping) -> u64 {
    mapping.range.end - mapping.range.start
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
