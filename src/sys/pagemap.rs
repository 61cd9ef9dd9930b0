//! Which pages of a process there are: of what was mapped and never touched nothing need be read
//! (/proc/PID/pagemap, Linux Documentation/admin-guide/mm/pagemap.rst).

use crate::base::Pid;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;
/// In memory, or swapped out.
const IS_THERE: u64 = 1 << 63 | 1 << 62;
/// A hole of fewer pages is not worth telling.
const SMALL: u64 = 16;
/// So many pages are asked for at once.
const BATCH: usize = 1 << 15;

/// The parts of a range that were ever touched, roughly: small holes are told as there.
pub fn touched(pid: Pid, range: &Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let file = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut entries = vec![0; BATCH * 8];
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let want = ((range.end - at).div_ceil(PAGE) as usize).min(BATCH) * 8;
        let got = file.read_at(&mut entries[..want], at / PAGE * 8)?;
        if got < 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for entry in entries[..got].as_chunks::<8>().0 {
            if u64::from_le_bytes(*entry) & IS_THERE != 0 {
                match found.last_mut() {
                    Some(last) if at - last.end <= SMALL * PAGE => last.end = at + PAGE,
                    _ => found.push(at..at + PAGE),
                }
            }
            at += PAGE;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_our_own_memory() {
        let mut map = memmap2::MmapMut::map_anon(1 << 20).unwrap();
        (map[0], map[0x80_000]) = (1, 1);
        let start = map.as_ptr() as u64;
        let found = touched(
            Pid(std::process::id() as i32),
            &(start..start + map.len() as u64),
        )
        .unwrap();
        // The kernel may have given more than was asked for.
        let has = |at: u64| found.iter().any(|range| range.contains(&(start + at)));
        assert!(has(0) && has(0x80_000));
        assert!(found.iter().all(|range| range.start >= start));
    }
}
