//! How the memory of a frozen process is kept: much of it by a child of its own, so that the pause is that of
//! a fork and not of copying; little of it, and what children do not get, is copied.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::frozen::{Copies, Copying, Freezing, Layered};
use crate::base::memory::{Memory, Stretch};
use crate::sys::double::Double;
use crate::sys::memory::ProcessMemory;
use crate::sys::pagemap;
use crate::sys::proc::{self, Mapping};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

/// Copying so much takes longer than forking.
const MUCH: u64 = 64 << 20;
/// So much is copied although the rest is not.
const MOST_BESIDES: u64 = 128 << 20;
/// Of a mapping of so many bytes only the pages are copied that were ever touched.
const LARGE: u64 = 1 << 20;
/// The same of one that is shared: what others have put there, or what was swapped out, is not known to be
/// touched.
const HUGE: u64 = 1 << 30;

/// What is known before the process is held.
pub(super) struct Plan {
    how: Freezing,
    /// Memory that children do not get, or get empty.
    withheld: Vec<Range<u64>>,
}

/// What there is when the process is let go on.
pub(super) struct Kept {
    copies: Vec<Stretch>,
    /// Who has the rest, and where that is.
    double: Option<(Double, Vec<Range<u64>>)>,
    copying: Copying,
}

impl Plan {
    /// Looks at the process while it runs.
    pub(super) fn new(pid: Pid, how: Freezing) -> Plan {
        let size = || -> u64 {
            let maps = proc::maps(pid).unwrap_or_default();
            maps.iter().filter(|m| is_data(m)).map(length).sum()
        };
        let how = match how {
            Freezing::Auto if size() < MUCH => Freezing::Copy,
            other => other,
        };
        let withheld = match how {
            Freezing::Copy => Vec::new(),
            Freezing::Auto | Freezing::Fork => proc::withheld(pid),
        };
        Plan { how, withheld }
    }

    /// Keeps what is writable. Every task stands still.
    pub(super) fn keep(
        &self,
        writable: &[&Mapping],
        memory: &ProcessMemory,
        double: impl FnOnce() -> Result<Double, String>,
    ) -> Kept {
        let is_besides =
            |m: &Mapping| m.shared || self.withheld.iter().any(|r| overlap(r, &m.range));
        let (besides, own): (Vec<&Mapping>, Vec<&Mapping>) =
            writable.iter().partition(|mapping| is_besides(mapping));
        let copying = match self.how {
            Freezing::Copy => Copying::Copied,
            _ if besides.iter().map(|m| length(m)).sum::<u64>() > MOST_BESIDES => {
                Copying::Refused("too much of it is shared or kept from children".to_owned())
            }
            _ => match double() {
                Err(why) => Copying::Refused(why),
                Ok(double) => {
                    let own = own.iter().map(|mapping| mapping.range.clone()).collect();
                    return Kept {
                        copies: copies(&besides, memory),
                        double: Some((double, own)),
                        copying: Copying::Forked,
                    };
                }
            },
        };
        Kept {
            copies: copies(writable, memory),
            double: None,
            copying,
        }
    }
}

impl Kept {
    /// The memory, to be read while the process goes on.
    pub(super) fn finish(self) -> (Box<dyn Memory + Send>, Copying) {
        let over = Copies(self.copies);
        let Some((double, own)) = self.double else {
            return (Box::new(over), self.copying);
        };
        let there = own.iter().flat_map(|range| touched(double.pid(), range));
        let there = there.collect();
        let under = double;
        (Box::new(Layered { over, under, there }), self.copying)
    }
}

/// Memory that a program can keep pointers in. Reading a device's registers could do something.
pub(super) fn is_data(mapping: &Mapping) -> bool {
    let is_device = mapping.path.starts_with("/dev") && !mapping.path.starts_with("/dev/shm");
    // Shared anonymous memory: "/dev/zero (deleted)".
    let is_zero = mapping
        .path
        .as_os_str()
        .as_bytes()
        .starts_with(b"/dev/zero");
    mapping.writable && mapping.readable && (!is_device || is_zero)
}

fn copies(mappings: &[&Mapping], memory: &ProcessMemory) -> Vec<Stretch> {
    let parts = |mapping: &&Mapping| {
        let most = if mapping.shared { HUGE } else { LARGE };
        match length(mapping) > most {
            true => touched(memory.pid(), &mapping.range),
            false => vec![mapping.range.clone()],
        }
    };
    let parts = mappings.iter().flat_map(parts);
    parts.filter_map(|range| copy(memory, &range)).collect()
}

/// What there is in a range; all of it when nobody says, unless that is much. Far more address space than memory is mapped by those
/// who lay out tables in it, and reading that would make it memory.
fn touched(pid: Pid, range: &Range<u64>) -> Vec<Range<u64>> {
    let all = || match range.end - range.start > HUGE {
        true => Vec::new(),
        false => vec![range.clone()],
    };
    pagemap::touched(pid, range).unwrap_or_else(|_| all())
}

/// `None` for what cannot be read, or has no room here.
fn copy(memory: &ProcessMemory, range: &Range<u64>) -> Option<Stretch> {
    let at = Addr(range.start);
    let length = usize::try_from(range.end - range.start).ok()?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).ok()?;
    bytes.resize(length, 0);
    let got = memory.read(at, &mut bytes).ok()?;
    bytes.truncate(got);
    Some(Stretch { at, bytes })
}

fn length(mapping: &Mapping) -> u64 {
    mapping.range.end - mapping.range.start
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
