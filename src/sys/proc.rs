//! What /proc tells of a process (proc(5)).

use super::{file, patience};
use crate::base::addr::Addr;
use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use nix::libc;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// One line of /proc/PID/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The addresses it spans.
    pub range: Range<u64>,
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// It can be executed.
    pub executable: bool,
    /// Writes to it are seen by others (MAP_SHARED).
    pub shared: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// The file's device, as `makedev` numbers it, and inode; zero when there is no file.
    pub file: (u64, u64),
    /// The file's path as the process sees it, or a name such as `[stack]`.
    pub path: PathBuf,
}

impl Mapping {
    /// Whether the address lies inside.
    pub fn contains(&self, at: Addr) -> bool {
        self.range.contains(&at.0)
    }
}

/// What /proc takes us for: processes have other ids in each pid namespace, and it may be that of another
/// one (pid_namespaces(7), "/proc and PID namespaces").
pub fn own_pid() -> Option<Pid> {
    let path = fs::read_link("/proc/self").ok()?;
    path.to_str()?.parse().ok().map(Pid)
}

/// A task of a process that has its memory, its files and its root: the first one may have ended before the others.
pub fn living_task(pid: Pid) -> Tid {
    let first = Tid(pid.0);
    let is_alive = |tid: &Tid| !matches!(state(*tid), None | Some('Z' | 'X'));
    let others = || tasks(pid).unwrap_or_default().into_iter().find(is_alive);
    match is_alive(&first) {
        true => first,
        false => others().unwrap_or(first),
    }
}

/// Where a thing of a process is that tasks which have ended do not have.
pub fn path(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", living_task(pid)))
}

/// What is in a file of proc. Such a file says that it is empty, so that std would read it piece by piece.
fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    const USUAL: usize = 4096;
    let mut text = Vec::with_capacity(USUAL);
    File::open(path)?.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(io::Error::other)
}

/// The mappings of a process, in the order of their addresses.
pub fn maps(pid: Pid) -> io::Result<Vec<Mapping>> {
    let text = read(path(pid, "maps"))?;
    Ok(text.split(|&b| b == b'\n').filter_map(mapping).collect())
}

fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |&b| b == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = field()?.split_once('-')?;
    let rights = field()?.as_bytes();
    let offset = u64::from_str_radix(field()?, 16).ok()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?.parse().ok()?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    let device = nix::libc::makedev(hex(major)?, hex(minor)?);
    let path = fields.next().unwrap_or_default();
    let path: Vec<u8> = path.iter().copied().skip_while(|&b| b == b' ').collect();
    Some(Mapping {
        range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
        readable: rights.first() == Some(&b'r'),
        writable: rights.get(1) == Some(&b'w'),
        executable: rights.get(2) == Some(&b'x'),
        shared: rights.get(3) == Some(&b's'),
        offset,
        file: (device, inode),
        path: PathBuf::from(OsString::from_vec(path)),
    })
}

/// Mappings that a child does not get, or gets empty (madvise(2), MADV_DONTFORK and MADV_WIPEONFORK; the
/// flags: proc_pid_smaps(5), "VmFlags").
pub fn withheld(pid: Pid) -> Vec<Range<u64>> {
    let text = read(path(pid, "smaps")).unwrap_or_default();
    let mut last = 0..0;
    let mut found = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            if flags
                .split(|&b| b == b' ')
                .any(|flag| flag == b"dc" || flag == b"wf")
            {
                found.push(last.clone());
            }
        } else if let Some(mapping) = mapping(line) {
            last = mapping.range;
        }
    }
    found
}

/// Opens the file behind a mapping: by its path, and when that leads to another file by now, or to none,
/// through /proc/PID/map_files, which takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
pub fn open_mapped(pid: Pid, mapping: &Mapping) -> io::Result<File> {
    let same = open_by_path(pid, mapping).find(|file| same_file(file, mapping));
    let Range { start, end } = mapping.range;
    same.map_or_else(
        || {
            let path = path(pid, &format!("map_files/{start:x}-{end:x}"));
            file::open(&path)
        },
        Ok,
    )
}

/// The files that a mapping's path leads to. The kernel tells it as seen from our root where it can be seen
/// from there, and else as from that of the process (fs/d_path.c).
pub fn open_by_path(pid: Pid, mapping: &Mapping) -> impl Iterator<Item = File> {
    let roots = [path(pid, "root"), "/".into()];
    let path = mapping.path.strip_prefix("/").unwrap_or(&mapping.path);
    let files: Vec<File> = roots
        .iter()
        .filter_map(|root| file::open(&root.join(path)).ok())
        .collect();
    files.into_iter()
}

fn same_file(file: &File, mapping: &Mapping) -> bool {
    file.metadata()
        .is_ok_and(|m| (m.dev(), m.ino()) == mapping.file)
}

/// Whether a path of the process, relative to where it is now, leads to this very file.
pub fn is_same_file(pid: Pid, path: &str, file: &File) -> bool {
    let base = if path.starts_with('/') { "root" } else { "cwd" };
    let path = self::path(pid, base).join(path.trim_start_matches('/'));
    let identity = |m: fs::Metadata| (m.dev(), m.ino());
    match (metadata(path), file.metadata()) {
        (Ok(named), Ok(opened)) => identity(named) == identity(opened),
        _ => false,
    }
}

/// All processes at this moment.
pub fn processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let pid = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    entries.filter_map(pid).map(Pid).collect()
}

/// The tasks of a process at this moment.
pub fn tasks(pid: Pid) -> io::Result<Vec<Tid>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))?;
    let tid =
        |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok().map(Tid);
    Ok(entries.filter_map(tid).collect())
}

/// The processes that are children of any task of a process at this moment.
pub fn children(pid: Pid) -> Vec<Pid> {
    let of = |tid: Tid| read_text(format!("/proc/{pid}/task/{tid}/children"));
    let lists = tasks(pid)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|tid| of(tid).ok());
    let mut children = Vec::new();
    for list in lists {
        children.extend(
            list.split_whitespace()
                .filter_map(|n| n.parse().ok())
                .map(Pid),
        );
    }
    children
}

/// Whether two processes run in the same memory (kcmp(2)); not known counts as no.
pub fn shares_memory(a: Pid, b: Pid) -> bool {
    /// <linux/kcmp.h>
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: kcmp takes numbers only.
    unsafe { libc::syscall(libc::SYS_kcmp, a.0, b.0, KCMP_VM, 0, 0) == 0 }
}

/// What a task is called: what it has named itself (prctl(2), PR_SET_NAME), or its program's file.
pub fn name(tid: Tid) -> Option<String> {
    let name = fs::read(format!("/proc/{tid}/comm")).ok()?;
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    Some(String::from_utf8_lossy(name).into_owned())
}

/// What a task does, by its letter: `R`, `S`, `D`, `t` … (proc_pid_stat(5)).
pub fn state(tid: Tid) -> Option<char> {
    let stat = read_text(format!("/proc/{tid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a task is one of the kernel's own: PF_KTHREAD (linux/sched.h) in the flags, the seventh field behind
/// the name (proc_pid_stat(5)).
pub fn is_kernel_thread(tid: Tid) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let stat = read_text(format!("/proc/{tid}/stat")).unwrap_or_default();
    let flags = stat
        .rsplit_once(") ")
        .and_then(|(_, fields)| fields.split(' ').nth(6)?.parse().ok());
    flags.is_some_and(|flags: u64| flags & PF_KTHREAD != 0)
}

/// Who traces a task; zero when it is not traced.
pub fn tracer(tid: Tid) -> i32 {
    let field = status_field(tid, "TracerPid");
    field.and_then(|pid| pid.parse().ok()).unwrap_or(0)
}

/// One line of /proc/TID/status, without its name.
pub fn status_field(tid: Tid, name: &str) -> Option<String> {
    let text = read_text(format!("/proc/{tid}/status")).ok()?;
    let field = |line: &str| {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .trim()
                .to_owned(),
        )
    };
    text.lines().find_map(field)
}

/// A variable of the environment that a process was started with.
pub fn environment(pid: Pid, name: &str) -> Option<String> {
    let all = read(path(pid, "environ")).ok()?;
    let mut variables = all.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| {
        let rest = variable.strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The process that a task belongs to.
pub fn process_of(tid: Tid) -> Option<Pid> {
    status_field(tid, "Tgid")?.parse().ok().map(Pid)
}

/// It is the first process of its pid namespace, which inherits the children that others leave behind
/// (pid_namespaces(7), "The namespace init process").
pub fn is_init(pid: Pid) -> bool {
    innermost_id(pid) == Some(1)
}

/// The id that a process has for itself: in the pid namespace it is in, the innermost that we see of those
/// (proc_pid_status(5), "NSpid").
pub fn innermost_id(pid: Pid) -> Option<i32> {
    let ids = status_field(Tid(pid.0), "NSpid")?;
    ids.split_whitespace().last()?.parse().ok()
}

/// The users that a process acts for: the real one, the effective one, and others (proc_pid_status(5), "Uid").
pub fn users(pid: Pid) -> Vec<u32> {
    let ids = status_field(Tid(pid.0), "Uid").unwrap_or_default();
    ids.split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// When a process began, to a hundredth of a second (proc_pid_stat(5), "starttime": since boot, in the ticks that
/// x86-64 has a hundred of in a second; proc_uptime(5)).
pub fn began(pid: Pid) -> Option<SystemTime> {
    let stat = read_text(format!("/proc/{pid}/stat")).ok()?;
    // The 22nd field; the second, the name, may hold anything.
    let ticks: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let uptime = read_text("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let age = Duration::try_from_secs_f64((uptime - ticks / 100.0).max(0.0)).ok()?;
    SystemTime::now().checked_sub(age)
}

/// The path of the program that a process runs, as the process sees it.
pub fn program(pid: Pid) -> io::Result<PathBuf> {
    fs::read_link(path(pid, "exe"))
}

/// What the file system says of the program that a process runs.
pub fn program_file(pid: Pid) -> io::Result<fs::Metadata> {
    metadata(path(pid, "exe"))
}

/// The server that a file is on may not answer.
fn metadata(path: PathBuf) -> io::Result<fs::Metadata> {
    let wanted = path.clone();
    patience::within(&path, move || fs::metadata(wanted))
}

/// The file system that the program comes from gives no rights by its files (mount(8), `nosuid`).
pub fn is_nosuid(pid: Pid) -> bool {
    let path = path(pid, "exe");
    let wanted = path.clone();
    let found = patience::within(&path, move || Ok(statvfs(&wanted)?));
    found.is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOSUID))
}

/// Opens the program that a process runs, even when its file has been deleted.
pub fn open_program(pid: Pid) -> io::Result<File> {
    file::open(&path(pid, "exe"))
}

/// The bytes of a program's auxiliary vector (getauxval(3)): words, as long as its machine has them.
pub fn auxv(pid: Pid) -> io::Result<Vec<u8>> {
    read(path(pid, "auxv"))
}

/// Where the stack of a process began, with the count of its arguments (proc_pid_stat(5), "startstack").
pub fn start_of_stack(pid: Pid) -> Option<Addr> {
    let stat = read_text(path(pid, "stat")).ok()?;
    // The second field, the name, may hold anything; this is the 28th.
    let field = stat.rsplit_once(") ")?.1.split(' ').nth(25)?;
    field.parse().ok().filter(|&at| at != 0).map(Addr)
}

/// A signal waits for this very task (`SigPnd`), which does not block it (`SigBlk`).
pub fn is_pending(tid: Tid, signal: i32) -> bool {
    is_in_mask(tid, "SigPnd", signal) && !is_in_mask(tid, "SigBlk", signal)
}

/// The task's process has a handler for the signal (`SigCgt`).
pub fn is_caught(tid: Tid, signal: i32) -> bool {
    is_in_mask(tid, "SigCgt", signal)
}

/// The signal's default action is to end the process, which neither has another one for it (`SigCgt`, `SigIgn`) nor is
/// the first of its pid namespace, which the kernel keeps from that (signal(7), pid_namespaces(7)).
pub fn is_ended_by(tid: Tid, signal: Signal) -> bool {
    let is_harmless = matches!(
        signal.0,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    );
    let is_first = || {
        let ids = status_field(tid, "NStgid");
        ids.is_none_or(|ids| ids.split_whitespace().next_back() == Some("1"))
    };
    let has_other = || is_caught(tid, signal.0) || is_in_mask(tid, "SigIgn", signal.0);
    !is_harmless && !has_other() && !is_first()
}

fn is_in_mask(tid: Tid, name: &str, signal: i32) -> bool {
    let mask = status_field(tid, name).and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::{mapping, maps};
    use crate::base::Pid;

    #[test]
    fn a_line_of_maps() {
        let line = b"7f00a000-7f00b000 r-xp 00001000 fe:01 42                     /a dir/lib c.so (deleted)";
        let m = mapping(line).unwrap();
        assert_eq!(
            (m.range.clone(), m.offset),
            (0x7f00_a000..0x7f00_b000, 0x1000)
        );
        assert_eq!((m.readable, m.writable, m.executable), (true, false, true));
        assert_eq!(m.file, (libc::makedev(0xfe, 1), 42));
        assert_eq!(m.path.to_str(), Some("/a dir/lib c.so (deleted)"));
        assert_eq!(
            mapping(b"7f00a000-7f00b000 rw-p 00000000 00:00 0 ")
                .unwrap()
                .path
                .to_str(),
            Some("")
        );
        for end in 0..line.len() {
            let _ = mapping(&line[..end]);
        }
    }

    #[test]
    fn our_own_maps_hold_our_code() {
        let pid = Pid(std::process::id() as i32);
        let here = our_own_maps_hold_our_code as fn() as usize as u64;
        assert!(
            maps(pid)
                .unwrap()
                .iter()
                .any(|m| m.executable && m.range.contains(&here))
        );
    }
}
