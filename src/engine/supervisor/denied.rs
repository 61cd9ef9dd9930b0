//! Why the kernel does not let us trace, and what to do about it (ptrace(2), "Ptrace access mode checking").

use crate::base::{Pid, Tid};
use crate::sys::proc;
use nix::unistd::getuid;
use std::os::unix::fs::MetadataExt;

/// linux/capability.h
const CAP_SYS_PTRACE: u32 = 19;

/// What decides.
#[derive(Clone, Copy, Debug, Default)]
struct Facts<'a> {
    we_are_root: bool,
    /// We have the capability SYS_PTRACE, as any user.
    may_trace: bool,
    other_user: bool,
    /// It cannot be looked into (PR_SET_DUMPABLE in prctl(2)).
    closed: bool,
    /// kernel.yama.ptrace_scope; empty where there is none.
    scope: &'a str,
}

/// Why a process runs no program that could be traced.
pub(in crate::engine) fn not_running(pid: Pid) -> Option<String> {
    let tid = Tid(pid.0);
    if proc::is_kernel_thread(tid) {
        return Some("it is a thread of the kernel, which runs no program".to_owned());
    }
    matches!(proc::state(tid), Some('Z' | 'X')).then(|| {
        let parent = proc::status_field(tid, "PPid").unwrap_or_default();
        format!("it has ended already (a zombie, until its parent {parent} asks for its status)")
    })
}

/// Why a running process cannot be traced.
pub(in crate::engine) fn process(pid: Pid) -> String {
    if let Some(why) = not_running(pid) {
        return why;
    }
    let uid = proc::status_field(Tid(pid.0), "Uid");
    let uid = uid.and_then(|ids| ids.split_whitespace().next()?.parse().ok());
    // Root owns what tells of a process that is closed, but for the directory (fs/proc/base.c, task_dump_owner).
    let owner = std::fs::metadata(format!("/proc/{pid}/status")).map(|m| m.uid());
    words(Facts {
        we_are_root: getuid().is_root(),
        may_trace: may_trace(),
        other_user: uid.is_some_and(|uid: u32| uid != getuid().as_raw()),
        closed: owner.is_ok_and(|owner| Some(owner) != uid),
        scope: scope().trim(),
    })
}

/// Why a child of ours cannot be traced.
pub(in crate::engine) fn child() -> String {
    let ourselves = Tid(std::process::id() as i32);
    match proc::tracer(ourselves) {
        0 => {}
        other => {
            return format!(
                "ltrace is traced itself, by process {other}, and so is what it starts"
            );
        }
    }
    words(Facts {
        we_are_root: getuid().is_root(),
        may_trace: may_trace(),
        scope: scope().trim(),
        ..Facts::default()
    })
}

fn may_trace() -> bool {
    let ourselves = Tid(std::process::id() as i32);
    let effective = proc::status_field(ourselves, "CapEff");
    let effective = effective.and_then(|bits| u64::from_str_radix(&bits, 16).ok());
    effective.is_some_and(|bits| bits & (1 << CAP_SYS_PTRACE) != 0)
}

fn scope() -> String {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default()
}

/// By kernel/yama: 1 restricts to descendants, 2 to those with CAP_SYS_PTRACE, 3 forbids it.
fn words(facts: Facts<'_>) -> String {
    let why = match facts {
        Facts { scope: "3", .. } => {
            "kernel.yama.ptrace_scope is 3, which forbids all tracing until the next boot"
        }
        Facts {
            may_trace: true, ..
        } => {
            "the kernel protects it even from the capability SYS_PTRACE: it is in a user namespace around this one, \
             or a security module guards it"
        }
        Facts {
            we_are_root: true, ..
        } => "this root lacks the capability SYS_PTRACE; give it to the container",
        Facts {
            other_user: true, ..
        } => "it belongs to another user; run as that user or as root",
        Facts { closed: true, .. } => {
            "its memory cannot be read (PR_SET_DUMPABLE, or its file may not be read); run as root"
        }
        Facts { scope: "1", .. } => {
            "kernel.yama.ptrace_scope is 1, which lets you trace only programs that you start from here; run as \
             root, or 'sysctl kernel.yama.ptrace_scope=0'"
        }
        Facts { scope: "2", .. } => {
            "kernel.yama.ptrace_scope is 2, which lets only root trace; run as root"
        }
        _ => "run as root; in a container give it the capability SYS_PTRACE",
    };
    format!("permission denied: {why}")
}

#[cfg(test)]
mod tests {
    use super::{Facts, words};

    #[test]
    fn what_is_said() {
        let check = |facts: Facts<'_>, part: &str| {
            let words = words(facts);
            assert!(
                words.starts_with("permission denied: ") && words.contains(part),
                "{words}"
            );
        };
        let with = |scope| Facts {
            scope,
            ..Facts::default()
        };
        check(with(""), "run as root");
        check(with("0"), "SYS_PTRACE");
        check(with("1"), "sysctl kernel.yama.ptrace_scope=0");
        check(with("2"), "only root");
        check(with("3"), "next boot");
        check(
            Facts {
                other_user: true,
                ..with("1")
            },
            "another user",
        );
        check(
            Facts {
                closed: true,
                ..with("1")
            },
            "PR_SET_DUMPABLE",
        );
        check(
            Facts {
                other_user: true,
                closed: true,
                ..with("")
            },
            "another user",
        );
        check(
            Facts {
                we_are_root: true,
                other_user: true,
                ..with("1")
            },
            "capability SYS_PTRACE",
        );
        check(
            Facts {
                we_are_root: true,
                may_trace: true,
                ..with("1")
            },
            "a security module",
        );
        check(
            Facts {
                we_are_root: true,
                ..with("3")
            },
            "next boot",
        );
    }
}
