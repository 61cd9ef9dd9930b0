//! System calls that the user asked to see (`-S`, `--syscalls`): their names by machine and number, and tracepoints.

use super::filter::Filter;
use super::{Kind, ModuleName, Returns, Stack, Tracepoint};
use crate::base::machine::Machine;
use crate::proto::library::Library;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use syscalls::{x86, x86_64};

/// What stands behind a system call's name, where a function has its library.
pub const KERNEL: &str = "SYS";

/// The system calls that are to be seen.
#[derive(Debug)]
pub struct SystemCalls {
    /// `--syscalls`; all of them when there is none.
    filters: Vec<Filter>,
    stacks: Stack,
    kernel: Arc<ModuleName>,
    /// What was asked for so far; `None` for what is not to be seen.
    known: HashMap<(Machine, u64), Option<Arc<Tracepoint>>>,
}

impl SystemCalls {
    /// Those that any of the filters means; all of them without a filter.
    pub fn new(filters: Vec<Filter>, stacks: Stack) -> SystemCalls {
        let kernel = kernel();
        let known = HashMap::new();
        SystemCalls {
            filters,
            stacks,
            kernel: Arc::new(kernel),
            known,
        }
    }

    /// The tracepoint of a system call, if it is to be seen.
    pub fn point(
        &mut self,
        machine: Machine,
        number: u64,
        prototypes: &Library,
    ) -> Option<&Arc<Tracepoint>> {
        let SystemCalls {
            filters,
            stacks,
            kernel,
            known,
        } = self;
        let point = known.entry((machine, number)).or_insert_with(|| {
            let name = name(machine, number);
            let is_meant = |filter: &Filter| filter.matches(&name, kernel);
            (filters.is_empty() || filters.iter().any(is_meant)).then(|| {
                Arc::new(Tracepoint {
                    module: kernel.clone(),
                    symbol: Arc::from(&*name),
                    kind: Kind::SystemCall,
                    prototype: prototypes.system_call(&name),
                    capture: OnceLock::new(),
                    returns: Returns::Once,
                    stack: *stacks,
                })
            })
        });
        point.as_ref()
    }
}

/// The kernel, as filters and lines call it.
fn kernel() -> ModuleName {
    ModuleName {
        name: KERNEL.to_owned(),
        path: String::new(),
        is_main: false,
    }
}

/// What the kernel's headers call it (asm/unistd_64.h, asm/unistd_32.h); `SYS_999` for a number without a name.
fn name(machine: Machine, number: u64) -> Cow<'static, str> {
    let known = usize::try_from(number).ok();
    let known = known.and_then(|number| known_name(machine, number));
    known.map_or_else(|| format!("SYS_{number}").into(), Cow::from)
}

fn known_name(machine: Machine, number: usize) -> Option<&'static str> {
    let name = match machine {
        Machine::Amd64 => x86_64::Sysno::new(number)?.name(),
        Machine::I386 => x86::Sysno::new(number)?.name(),
    };
    // One is called as a word of Rust.
    Some(name.trim_start_matches("r#"))
}

/// The names of all system calls of both machines, some of them twice.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    let names = |machine, last| (0..=last).filter_map(move |number| known_name(machine, number));
    let amd64 = names(Machine::Amd64, x86_64::Sysno::last().id() as usize);
    amd64.chain(names(Machine::I386, x86::Sysno::last().id() as usize))
}

/// Whether a filter means any system call that has a name.
pub fn any_meant(filter: &Filter) -> bool {
    let kernel = kernel();
    names().any(|name| filter.matches(name, &kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(filters: &[&str], number: u64) -> Option<String> {
        let filters = filters
            .iter()
            .map(|text| Filter::parse(text).expect("a filter"));
        let mut calls = SystemCalls::new(filters.collect(), Stack::Unwanted);
        let point = calls.point(Machine::Amd64, number, &Library::shipped());
        point.map(|point| point.symbol.to_string())
    }

    #[test]
    fn names_by_machine_and_number() {
        let check = |machine, number, expected| assert_eq!(name(machine, number), expected);
        check(Machine::Amd64, 1, "write");
        check(Machine::I386, 1, "exit");
        check(Machine::I386, 4, "write");
        check(Machine::I386, 17, "break");
        check(Machine::Amd64, 999, "SYS_999");
        check(Machine::Amd64, u64::MAX, "SYS_18446744073709551615");
    }

    #[test]
    fn those_that_are_meant() {
        let write = || Some("write".to_owned());
        assert_eq!(seen(&[], 1), write());
        assert_eq!(seen(&["read+w*"], 1), write());
        assert_eq!(seen(&["write@SYS"], 1), write());
        assert_eq!(seen(&["-write"], 1), None);
        assert_eq!(seen(&["read"], 1), None);
        assert_eq!(seen(&["read", "write"], 1), write());
        assert_eq!(seen(&[], 999), Some("SYS_999".to_owned()));
        assert!(any_meant(&Filter::parse("mmap2").expect("a filter")));
        assert!(!any_meant(&Filter::parse("opne").expect("a filter")));
    }

    #[test]
    fn every_system_call_of_today_has_a_prototype() {
        let none = [
            // Not implemented, or for one old program each.
            "afs_syscall",
            "break",
            "bdflush",
            "create_module",
            "epoll_ctl_old",
            "epoll_wait_old",
            "ftime",
            "get_kernel_syms",
            "getpmsg",
            "gtty",
            "idle",
            "lock",
            "mpx",
            "nfsservctl",
            "oldfstat",
            "oldlstat",
            "oldolduname",
            "oldstat",
            "olduname",
            "prof",
            "profil",
            "putpmsg",
            "query_module",
            "security",
            "sgetmask",
            "ssetmask",
            "stty",
            "tuxcall",
            "uprobe",
            "uretprobe",
            "vm86",
            "vm86old",
            "vserver",
        ];
        let library = Library::shipped();
        let missing: Vec<&str> = names()
            .filter(|name| library.system_call(name).is_none() && !none.contains(name))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }
}
