//! What a hunt for leaks needs of the rest: the functions to watch, and what the system knows of processes.

use crate::base::printable::printable;
use crate::base::{Pid, Tid};
use crate::leak::kinds::{Action, Kinds, Role};
use crate::leak::options::Options;
use crate::leak::system::{Descriptor, FileId, System, UserRequest};
use crate::leak::tracker::Knowledge;
use crate::plan::Returns;
use crate::plan::Stack;
use crate::plan::pairs::{Function, Param, Width};
use crate::plan::resources::{Functions, Resources, Watch};
use crate::proto::Prototype;
use crate::proto::library::Library;
use crate::proto::types::Type;
use crate::stack::{Bytes, Module};
use crate::sys::interrupt::{LookOut, Meant};
use crate::sys::root::Last;
use crate::sys::{file, proc, user_requests};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The functions whose calls the hunt wants to see.
pub(super) fn resources(kinds: &Kinds, options: &Options, prototypes: &Library) -> Resources {
    let mut functions = Functions::new();
    for name in &options.context {
        let known = prototypes.lookup(name, &[]);
        let prototype = known.unwrap_or_else(|| nothing(name));
        functions.insert(
            name.clone(),
            watch(prototype, Returns::Unwatched, Stack::Unwanted),
        );
    }
    if let Some(name) = &options.per {
        functions.insert(
            name.clone(),
            watch(nothing(name), Returns::Once, Stack::Unwanted),
        );
    }
    for (name, roles) in kinds.symbols() {
        let is_per = options.per.as_deref() == Some(name);
        let returns = match is_per || roles.iter().any(|role| role.function.needs_return()) {
            true => Returns::Once,
            false => Returns::Unwatched,
        };
        let stack = match roles.iter().any(|role| wants_stack(kinds, role)) {
            true => Stack::Wanted,
            false => Stack::Unwanted,
        };
        let prototype = Arc::new(merged(roles).prototype(name));
        functions.insert(name.to_owned(), watch(prototype, returns, stack));
    }
    let named = options
        .per
        .iter()
        .chain(&options.context)
        .cloned()
        .collect();
    let heap = options.sets.iter().any(|set| set.label == HEAP);
    let usual = || HEAP_SYMBOLS.map(str::to_owned).to_vec();
    Resources {
        aliases: options.aliases.clone(),
        expected: if heap { usual() } else { Vec::new() },
        functions,
        named,
    }
}

/// The heap, as its set is called.
const HEAP: &str = "heap";
/// What a program that has an allocator has some of.
const HEAP_SYMBOLS: [&str; 7] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
    "free",
];

fn watch(prototype: Arc<Prototype>, returns: Returns, stack: Stack) -> Watch {
    Watch {
        prototype,
        returns,
        stack,
    }
}

fn nothing(name: &str) -> Arc<Prototype> {
    Arc::new(Prototype::new(name, Type::Void, Vec::new()))
}

/// Who frees blocks is asked often and seldom of interest: the caller's address must do.
fn wants_stack(kinds: &Kinds, role: &Role) -> bool {
    let is_sized = kinds.kind(role.kind).is_some_and(|kind| kind.sized);
    role.action != Action::Release || !is_sized
}

/// One signature for all that a function has to do with.
fn merged(roles: &[Arc<Role>]) -> Function {
    let mut roles = roles.iter().map(|role| &role.function);
    let Some(mut all) = roles.next().cloned() else {
        return Function {
            names: Vec::new(),
            params: Vec::new(),
            result: Width::Word,
            key: crate::plan::pairs::Source::Result,
            sizes: Vec::new(),
            old: None,
            tests: Vec::new(),
            reasons: Vec::new(),
        };
    };
    for other in roles {
        for (at, param) in other.params.iter().enumerate() {
            match all.params.get_mut(at) {
                None => all.params.push(*param),
                Some(known @ Param::Unused) => *known = *param,
                Some(_) => {}
            }
        }
        if other.result == Width::Word {
            all.result = Width::Word;
        }
    }
    all
}

/// Files of debug information, as a module names them: below the root of its process, and below ours.
pub(super) fn open(module: &Module, path: &Path) -> Vec<Bytes> {
    let root = module.root.as_ref();
    let theirs = root.and_then(|root| root.open(path, Last::Any).ok());
    let files = theirs.into_iter().chain(file::open(path).ok());
    let mapped = files.filter_map(|file| file::map(&file).ok());
    mapped.map(Bytes::from).collect()
}

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
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
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
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let one = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let path = fs::read_link(entry.path()).ok()?;
            let descriptor = Descriptor {
                path: shown(&path.to_string_lossy()),
                file: self.file(Tid(pid.0), number),
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
