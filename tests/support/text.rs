//! Looks at a running process: are its instructions those of its files?

use super::until::wait_until;
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Asserts that every executable page that a process maps from a file is byte-equal to that file.
#[track_caller]
pub fn assert_text_untouched(pid: i32) {
    if let Some(difference) = difference(pid) {
        panic!("text of process {pid} was changed: {difference}");
    }
}

/// Waits until a tracer has written its breakpoints into a process and let it go on.
#[track_caller]
pub fn wait_until_planted(pid: i32) {
    let what = format!("process {pid} has breakpoints");
    wait_until(&what, || difference(pid).is_some());
    // Each for a moment at least: some may stop all the time.
    let mut held = tasks(pid);
    wait_until(&format!("process {pid} is let go on"), || {
        held.retain(|task| is_held(task));
        held.is_empty()
    });
}

/// Waits until a tracer has taken hold of a process.
#[track_caller]
pub fn wait_until_traced(pid: i32) {
    let what = format!("process {pid} is traced");
    wait_until(&what, || tracer_of(pid) != 0);
}

/// Waits until a tracer holds a process to plant its breakpoints: the guard comes first.
#[track_caller]
pub fn wait_until_guarded(pid: i32) {
    let what = format!("process {pid} has the guard");
    wait_until(&what, || handles_sigtrap(pid));
}

/// Waits until a tracer has taken its breakpoints out of a process and let it go on.
#[track_caller]
pub fn wait_until_untouched(pid: i32) {
    wait_until(&format!("process {pid} is left alone"), || {
        difference(pid).is_none() && !tasks(pid).iter().any(|task| is_held(task))
    });
}

/// The tasks of a process, as directories of /proc.
fn tasks(pid: i32) -> Vec<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("tasks of a running process");
    tasks.flatten().map(|task| task.path()).collect()
}

/// A task is in a tracing stop (state `t`, proc_pid_stat(5)).
fn is_held(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('t'))
}

/// The first byte in which the text of a process differs from its files, in words.
fn difference(pid: i32) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps of a running process");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("memory of a running process");
    let mut mappings = maps.lines().filter_map(Mapping::parse).peekable();
    assert!(
        mappings.peek().is_some(),
        "process {pid} has no text:\n{maps}"
    );
    mappings.find_map(|mapping| mapping.difference(&memory))
}

/// One line of `/proc/PID/maps` that is executable and comes from a file (proc_pid_maps(5)).
struct Mapping<'a> {
    start: u64,
    length: usize,
    offset: u64,
    path: &'a str,
}

impl Mapping<'_> {
    fn difference(&self, memory: &File) -> Option<String> {
        let mut now = vec![0; self.length];
        memory
            .read_exact_at(&mut now, self.start)
            .unwrap_or_else(|e| panic!("{}: {e}", self.path));
        let file = File::open(self.path).expect("mapped file");
        let mut told = vec![0; self.length];
        let mut filled = 0;
        // The last page may reach beyond the end of the file; the kernel fills it with zeroes.
        while let Ok(count @ 1..) = file.read_at(&mut told[filled..], self.offset + filled as u64) {
            filled += count;
        }
        let index = (0..self.length).find(|&i| now[i] != told[i])?;
        Some(format!(
            "{} at file offset {:#x} has {:#04x}, not {:#04x}",
            self.path,
            self.offset + index as u64,
            now[index],
            told[index]
        ))
    }

    fn parse(line: &str) -> Option<Mapping<'_>> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let permissions = words.next()?;
        let offset = words.next()?;
        let path = words.nth(2)?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        (permissions.contains('x') && path.starts_with('/')).then_some(Mapping {
            start,
            length: usize::try_from(end - start).ok()?,
            offset: u64::from_str_radix(offset, 16).ok()?,
            path,
        })
    }
}

/// The pid that traces a process; 0 when nobody does (`TracerPid`).
pub fn tracer_of(pid: i32) -> i32 {
    status_field(pid, "TracerPid:").parse().expect("TracerPid")
}

/// The pid of a process's parent (`PPid`).
pub fn parent_of(pid: i32) -> i32 {
    status_field(pid, "PPid:").parse().expect("PPid")
}

/// Whether a process has a handler for SIGTRAP (`SigCgt`).
pub fn handles_sigtrap(pid: i32) -> bool {
    let caught = status_field(pid, "SigCgt:");
    let caught = u64::from_str_radix(&caught, 16).expect("a signal set");
    caught & 1 << (Signal::SIGTRAP as i32 - 1) != 0
}

/// proc_pid_status(5)
fn status_field(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status of a process");
    let field = |line: &str| Some(line.strip_prefix(name)?.trim().to_owned());
    status.lines().find_map(field).expect(name)
}
