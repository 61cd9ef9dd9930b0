//! What the leak sink asks of the system and of the user while it goes on.

use crate::base::{Pid, Tid};
use crate::leak::knowledge::Knowledge;
use std::collections::{BTreeMap, HashMap};

/// What the system knows of a process besides.
pub trait System {
    /// The program's name.
    fn program(&self, pid: Pid) -> Option<String>;

    /// The name of a thread.
    fn thread(&self, pid: Pid, tid: Tid) -> Option<String>;

    /// The names of its threads.
    fn threads(&self, pid: Pid) -> HashMap<Tid, String>;

    /// What its descriptors are; `None` when that is not known.
    fn descriptors(&self, pid: Pid) -> Option<BTreeMap<u64, Descriptor>>;

    /// Which file a descriptor of a thread stands for.
    fn file(&self, thread: Tid, descriptor: u64) -> Option<FileId>;

    /// What the user requested by a signal since this was asked last.
    fn user_requests(&self) -> Vec<UserRequest>;

    /// Something begins that takes long: what tells from now on whether the user wants us to end, and has not been
    /// heard yet. A terminal's Ctrl-C is for a command that we launched, and may be what it ends of.
    fn look_out(&self, knowledge: Knowledge) -> Box<dyn Fn() -> bool>;
}

/// What the system says of a process at one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The names of its threads.
    pub threads: HashMap<Tid, String>,
    /// What its descriptors are; `None` when that is not known.
    pub descriptors: Option<BTreeMap<u64, Descriptor>>,
}

impl dyn System {
    /// What there is to be said of a process now.
    pub fn facts(&self, pid: Pid) -> Facts {
        Facts {
            threads: self.threads(pid),
            descriptors: self.descriptors(pid),
        }
    }
}

/// Which file a descriptor stands for, by the mount and the number that proc_pid_fdinfo(5) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// `mnt_id`.
    pub mount: u64,
    /// `ino`.
    pub inode: u64,
}

/// What the kernel says of a descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Its path, or what stands for one: `pipe:[25066]`.
    pub path: String,
    /// Its file, where the kernel tells (since Linux 5.14).
    pub file: Option<FileId>,
}

/// What a user can request meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRequest {
    /// Growth is told from now on.
    Mark,
    /// A report is kept.
    Snapshot,
    /// The terminal is left to others.
    Hide,
    /// The terminal is ours again.
    Show,
}
