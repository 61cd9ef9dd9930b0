//! Maps the recorder's area into a target.

use crate::base::addr::Addr;
use crate::process::gaps::gap_near;
use crate::record::{Layout, Shared};
use crate::sys::memory::ProcessMemory;
use crate::sys::proc::{self, Mapping};
use crate::sys::ptrace::Stopped;
use crate::sys::remote::{Call, Remote};
use crate::sys::shared::{MEMFD_FLAGS, SharedMemory};
use nix::libc;

/// So many threads can record at once.
const RINGS: u32 = 2048;
/// What each can record before it waits: some milliseconds of ours, as a task that stops, and the end of a run, wait until
/// all of it is read. Bytes.
const RING: u64 = 256 << 10;
/// What /proc/PID/maps shows, and where it stands in the control page.
const NAME: &[u8] = b"ltrace\0";
const NAME_AT: u64 = 64;
const LEFT: &[u8] = b"/memfd:ltrace";

/// Whether a mapping holds what we and threads of the process tell each other: nothing of the program's own.
pub(in crate::engine) fn is_ours(mapping: &Mapping) -> bool {
    let path = mapping.path.as_os_str().as_encoded_bytes();
    mapping.shared && path.starts_with(LEFT)
}

/// The areas that earlier tracers have left, by their addresses.
pub(super) fn left(maps: &[Mapping]) -> impl Iterator<Item = Layout> {
    let shape = Layout::new(0, RINGS, RING);
    let is_shared = move |m: &&Mapping| {
        let bytes = shape.shared().end - shape.shared().start;
        is_ours(m) && m.range.end - m.range.start == bytes
    };
    let layouts = maps.iter().filter(is_shared);
    layouts.map(move |m| shape.of_shared(m.range.start))
}

/// The area, and the part of it that we see as well.
pub(super) fn map(
    stopped: &Stopped,
    remote: &Remote,
    memory: &ProcessMemory,
) -> Result<(Layout, SharedMemory), String> {
    let size = Layout::new(0, RINGS, RING).total_bytes();
    let maps = proc::maps(memory.pid()).map_err(|why| why.to_string())?;
    let near = maps.first().map_or(0, |first| first.range.start);
    let base = gap_near(&maps, near, size, u64::MAX).ok_or("no free addresses")?;
    let layout = Layout::new(base, RINGS, RING);
    let call = |call, args| {
        remote
            .call(stopped, memory, call, args)
            .map_err(|why| why.to_string())
    };
    let map = |start: u64, bytes: u64, protection: i32, flags: i32| {
        let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let args = [start, bytes, protection as u64, flags as u64, !0, 0];
        call(Call::Map, args)
    };
    let code = libc::PROT_READ | libc::PROT_EXEC;
    let data = libc::PROT_READ | libc::PROT_WRITE;
    // All of it at once, so that no other mapping gets in between.
    map(base, size, code, libc::MAP_FIXED_NOREPLACE)?;
    let control = layout.control();
    let bytes = control.end - control.start;
    map(control.start, bytes, data, libc::MAP_FIXED)?;
    let wipe = [control.start, bytes, libc::MADV_WIPEONFORK as u64, 0, 0, 0];
    call(Call::Advise, wipe)?;
    let shared = map_shared(stopped, remote, memory, layout, |_| ())?;
    Ok((layout, shared))
}

/// Makes the shared part, in the place of one that may be there; `fill` puts in it what must be there from the
/// beginning.
pub(super) fn map_shared(
    stopped: &Stopped,
    remote: &Remote,
    memory: &ProcessMemory,
    layout: Layout,
    fill: impl FnOnce(Shared<'_>),
) -> Result<SharedMemory, String> {
    let call = |call, args| {
        remote
            .call(stopped, memory, call, args)
            .map_err(|why| why.to_string())
    };
    let name = layout.control().start + NAME_AT;
    let written = memory.write(Addr(name), NAME);
    written.map_err(|why| why.to_string())?;
    let descriptor = call(Call::Memfd, [name, MEMFD_FLAGS, 0, 0, 0, 0])?;
    let shared = layout.shared();
    let bytes = shared.end - shared.start;
    let taken = SharedMemory::of(memory.pid(), descriptor, bytes as usize);
    let taken = taken.inspect(|taken| fill(Shared(taken.words())));
    let data = libc::PROT_READ | libc::PROT_WRITE;
    let flags = (libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE) as u64;
    let args = [shared.start, bytes, data as u64, flags, descriptor, 0];
    let mapped = match &taken {
        Ok(_) => call(Call::Map, args),
        Err(_) => Ok(0),
    };
    // It is to have no descriptor of ours, whatever happened.
    let closed = call(Call::Close, [descriptor, 0, 0, 0, 0, 0]);
    let taken = taken.map_err(|why| why.to_string())?;
    mapped.and(closed)?;
    Ok(taken)
}
