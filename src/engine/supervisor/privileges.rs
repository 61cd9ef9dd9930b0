//! Programs that would run with their file's rights, and do not, because they are traced.

use crate::base::{Pid, Tid, message};
use crate::sys::proc;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Set-user-ID, set-group-ID, and the group's right to execute, without which the latter means something
/// else (inode(7)).
const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o0010;

/// A line on a program that has just begun, when execve(2) has refused it the rights of its file. A tracer
/// with CAP_SYS_PTRACE would not be in the way (kernel/capability.c, ptracer_capable).
pub(in crate::engine) fn lost(pid: Pid) -> Option<String> {
    let file = proc::program_file(pid).ok()?;
    let ids = |name| proc::status_field(Tid(pid.0), name);
    let [user, group] = [ids("Uid")?, ids("Gid")?].map(|ids| effective(&ids));
    let sets_user = file.mode() & SET_USER != 0;
    let sets_group = file.mode() & SET_GROUP != 0 && file.mode() & GROUP_EXECUTES != 0;
    let has_both =
        (!sets_user || user == Some(file.uid())) && (!sets_group || group == Some(file.gid()));
    // These would have refused it without us as well.
    let forbidden = ids("NoNewPrivs").is_some_and(|set| set != "0") || proc::is_nosuid(pid);
    if has_both || forbidden {
        return None;
    }
    let name = proc::program(pid).ok()?;
    Some(format!(
        "{} is a set-{}-ID program; traced, it runs without the rights of its file (run ltrace as root to keep them)",
        name.display(),
        if sets_user { "user" } else { "group" }
    ))
}

/// A line on a program whose file may be executed, but not read: it cannot be looked into by others then
/// (kernel/exec.c, would_dump).
pub(in crate::engine) fn unreadable(pid: Pid, why: io::Error) -> String {
    let what = format!("cannot read the program of process {pid}");
    match why.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{what}: permission denied; its calls are not shown (run ltrace as root)")
        }
        _ => format!("{what}: {}", message(&why)),
    }
}

/// A line on a process that only root may look into.
pub(in crate::engine) fn closed(pid: Pid) -> String {
    format!(
        "the memory of process {pid} cannot be read (PR_SET_DUMPABLE); its calls are not shown (run ltrace as \
         root)"
    )
}

/// The second of real, effective, saved and file-system id (proc_pid_status(5)).
fn effective(ids: &str) -> Option<u32> {
    ids.split_whitespace().nth(1)?.parse().ok()
}
