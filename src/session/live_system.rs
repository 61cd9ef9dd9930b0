//! What the system knows of processes whose leaks are reported.

use crate::base::printable::printable;
use crate::base::{Pid, Tid};
use crate::leak::system::{Descriptor, FileId, System, UserRequest};
use crate::leak::tracker::Knowledge;
use crate::sys::interrupt::{LookOut, Meant};
use crate::sys::{proc, user_requests};
use std::collections::{BTreeMap, HashMap};
use std::fs;

/// What reports hold may be shown as it is.
fn shown(name: &str) -> String {
    printable(name).into_owned()
}

/// What /proc tells.
pub(super) struct LiveSystem;

/// The name by which a program was called, where it goes by several: redis-server is a link to
/// redis-check-rdb. The kernel and the program itself must agree on it.
fn called(pid: Pid, file: &str) -> Option<String> {
    let own = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let own = own.trim_end();
    let line = fs::read(proc::path(pid, "cmdline")).ok()?;
    let first = line
        .split(|byte| byte.is_ascii_whitespace() || *byte == 0)
        .next()?;
    let first = String::from_utf8_lossy(first);
    let name = first.rsplit('/').next()?;
    let agreed = !own.is_empty() && name.starts_with(own) && !file.starts_with(own);
    agreed.then(|| name.to_owned())
}

impl System for LiveSystem {
    fn program(&self, pid: Pid) -> Option<String> {
        let path = proc::program(pid).ok()?;
        let file = path.file_name()?.to_string_lossy().into_owned();
        Some(shown(&called(pid, &file).unwrap_or(file)))
    }

    fn thread(&self, pid: Pid, tid: Tid) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
        Some(name.trim_end().to_owned())
    }

    fn threads(&self, pid: Pid) -> HashMap<Tid, String> {
        let name = |tid: Tid| Some((tid, self.thread(pid, tid)?));
        proc::tasks(pid)
            .unwrap_or_default()
            .into_iter()
            .filter_map(name)
            .collect()
    }

    fn descriptors(&self, pid: Pid) -> Option<BTreeMap<u64, Descriptor>> {
        let entries = fs::read_dir(proc::path(pid, "fd")).ok()?;
        let one = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let path = fs::read_link(entry.path()).ok()?;
            let descriptor = Descriptor {
                path: shown(&path.to_string_lossy()),
                file: self.file(proc::living_task(pid), number),
            };
            Some((number, descriptor))
        };
        Some(entries.flatten().filter_map(one).collect())
    }

    fn file(&self, thread: Tid, descriptor: u64) -> Option<FileId> {
        let text = fs::read_to_string(format!("/proc/{thread}/fdinfo/{descriptor}")).ok()?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        Some(FileId {
            mount: field("mnt_id:")?,
            inode: field("ino:")?,
        })
    }

    fn user_requests(&self) -> Vec<UserRequest> {
        let request = |request| match request {
            user_requests::UserRequest::Mark => UserRequest::Mark,
            user_requests::UserRequest::Snapshot => UserRequest::Snapshot,
            user_requests::UserRequest::Hide => UserRequest::Hide,
            user_requests::UserRequest::Show => UserRequest::Show,
        };
        user_requests::take().map(request).collect()
    }

    fn look_out(&self, knowledge: Knowledge) -> Box<dyn Fn() -> bool> {
        let look_out = LookOut::begin(match knowledge {
            Knowledge::SinceAttach => Meant::Us,
            Knowledge::All => Meant::Command,
        });
        Box::new(move || look_out.is_asked())
    }
}
