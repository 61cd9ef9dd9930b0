//! Which pages of a process there are: of what was mapped and never touched nothing need be read
//! (Linux Documentation/admin-guide/mm/pagemap.rst).
//!
//! PAGEMAP_SCAN (Linux 6.7) skips what has no page tables. Before it, each page has a word in
//! /proc/PID/pagemap, and a TiB takes seconds; so there is a limit to the time.

use super::{fault, proc};
use crate::base::Pid;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const PAGE: u64 = 4096;
/// In memory, or swapped out.
const IS_THERE: u64 = 1 << 63 | 1 << 62;
/// A hole of fewer pages is not worth telling.
const SMALL: u64 = 16;
/// So many pages are asked for at once.
const BATCH: usize = 1 << 15;
/// So many stretches of pages are asked for at once.
const STRETCHES: usize = 1 << 10;

/// The page tables of one process.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
    entries: Vec<u8>,
    way: Way,
}

/// How they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Scan,
    Words,
}

/// `struct page_region` of <linux/fs.h>.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Stretch {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of <linux/fs.h>.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// PAGE_IS_PRESENT and PAGE_IS_SWAPPED.
const PRESENT_OR_SWAPPED: u64 = 1 << 3 | 1 << 4;
/// PAGEMAP_SCAN: `_IOWR('f', 16, struct pm_scan_arg)`.
const SCAN: libc::Ioctl = 3 << 30 | (size_of::<ScanArg>() as libc::Ioctl) << 16 | 0x66 << 8 | 16;

impl Pagemap {
    /// That of a process.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn of(pid: Pid) -> io::Result<Pagemap> {
        let mut map = Pagemap {
            file: File::open(proc::path(pid, "pagemap"))?,
            entries: Vec::new(),
            way: Way::Scan,
        };
        // A range without a page tells whether the kernel knows the request.
        if map.scan(&(0..0), &mut [Stretch::default()]).is_err() {
            map.way = Way::Words;
        }
        Ok(map)
    }

    /// Large ranges take no time.
    pub fn is_quick(&self) -> bool {
        self.way == Way::Scan
    }

    /// The parts of a range that were ever touched, roughly: small holes are told as there.
    ///
    /// # Errors
    /// Those of the kernel; `TimedOut` when `until` has come.
    pub fn touched(
        &mut self,
        range: &Range<u64>,
        until: Option<Instant>,
    ) -> io::Result<Vec<Range<u64>>> {
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end {
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            at = match self.way {
                Way::Scan => self.scan_some(at..range.end, &mut found)?,
                Way::Words => self.read_some(at..range.end, &mut found)?,
            };
        }
        Ok(found)
    }

    /// Asks about a range; where the answer ends.
    fn scan_some(&self, range: Range<u64>, found: &mut Vec<Range<u64>>) -> io::Result<u64> {
        let mut stretches = [Stretch::default(); STRETCHES];
        let (count, end) = self.scan(&range, &mut stretches)?;
        for stretch in stretches.iter().take(count) {
            add(found, stretch.start..stretch.end);
        }
        if end <= range.start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(end)
    }

    fn scan(&self, range: &Range<u64>, into: &mut [Stretch]) -> io::Result<(usize, u64)> {
        if let Some(errno) = fault::strike("ioctl(PAGEMAP_SCAN)") {
            return Err(errno.into());
        }
        let mut argument = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start: range.start,
            end: range.end,
            vec: into.as_mut_ptr() as u64,
            vec_len: into.len() as u64,
            category_anyof_mask: PRESENT_OR_SWAPPED,
            return_mask: PRESENT_OR_SWAPPED,
            ..ScanArg::default()
        };
        // SAFETY: the argument is a live `pm_scan_arg`, whose vector is the slice that outlives the call and has
        // room for so many; the kernel writes to nothing else.
        let count = unsafe { libc::ioctl(self.file.as_raw_fd(), SCAN, &raw mut argument) };
        let count = usize::try_from(count).map_err(|_| Errno::last())?;
        Ok((count, argument.walk_end))
    }

    /// Reads the words of a range; where they end.
    fn read_some(&mut self, range: Range<u64>, found: &mut Vec<Range<u64>>) -> io::Result<u64> {
        self.entries.resize(BATCH * 8, 0);
        let want = ((range.end - range.start).div_ceil(PAGE) as usize).min(BATCH) * 8;
        let entries = self.entries.get_mut(..want).unwrap_or_default();
        let got = self.file.read_at(entries, range.start / PAGE * 8)?;
        if got < 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = range.start;
        for entry in self.entries[..got].as_chunks::<8>().0 {
            if u64::from_le_bytes(*entry) & IS_THERE != 0 {
                add(found, at..at + PAGE);
            }
            at += PAGE;
        }
        Ok(at)
    }
}

/// Adds a range, joined with the last one where the hole between them is small. The next answer of the kernel
/// may begin inside of a huge page that the one before has told of whole.
fn add(found: &mut Vec<Range<u64>>, range: Range<u64>) {
    match found.last_mut() {
        Some(last) if range.start.saturating_sub(last.end) <= SMALL * PAGE => {
            last.end = last.end.max(range.end);
        }
        _ => found.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Pagemap {
        Pagemap::of(Pid(std::process::id() as i32)).unwrap()
    }

    #[test]
    fn a_hole_in_our_own_memory() {
        let mut map = memmap2::MmapMut::map_anon(1 << 20).unwrap();
        (map[0], map[0x80_000]) = (1, 1);
        let start = map.as_ptr() as u64;
        for way in [ours().way, Way::Words] {
            let mut pages = Pagemap { way, ..ours() };
            let found = pages
                .touched(&(start..start + map.len() as u64), None)
                .unwrap();
            // The kernel may have given more than was asked for.
            let has = |at: u64| found.iter().any(|range| range.contains(&(start + at)));
            assert!(has(0) && has(0x80_000), "{way:?}");
            assert!(found.iter().all(|range| range.start >= start));
            assert!(
                found
                    .iter()
                    .all(|range| range.end <= start + map.len() as u64)
            );
        }
    }

    #[test]
    fn more_stretches_than_are_asked_for_at_once() {
        let every = 32 * PAGE;
        let count = STRETCHES as u64 * 2 + 3;
        let mut map = memmap2::MmapMut::map_anon((count * every) as usize).unwrap();
        map.advise(memmap2::Advice::NoHugePage).unwrap();
        for page in 0..count {
            map[(page * every) as usize] = 1;
        }
        let start = map.as_ptr() as u64;
        for way in [ours().way, Way::Words] {
            let mut pages = Pagemap { way, ..ours() };
            let found = pages.touched(&(start..start + count * every), None);
            assert_eq!(found.unwrap().len(), count as usize, "{way:?}");
        }
    }

    #[test]
    fn ranges_that_overlap_are_one() {
        let mut found = Vec::new();
        for range in [0..0x20_0000, 0x1000..0x2000, 0x4000_0000..0x4000_1000] {
            add(&mut found, range);
        }
        assert_eq!(found, [0..0x20_0000, 0x4000_0000..0x4000_1000]);
    }

    #[test]
    fn a_limit_to_the_time() {
        let mut pages = ours();
        let late = pages.touched(&(0..1 << 46), Some(Instant::now()));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
