//! What a user who does not see what he asked for ought to know. Libraries that are loaded later may have
//! it, so it is not told at once.

use crate::base::{Pid, Tid};
use crate::elf::{Binding, Image};
use crate::engine::hit::What;
use crate::engine::space::Space;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::plan::Named;
use crate::process::module::Module;
use crate::sys::proc;
use std::time::Duration;

/// How long a program has to load what the user asked to see, before he is told that it has not.
const GRACE: Duration = Duration::from_secs(1);
/// How long one has that may yet execute another: a script or launcher that prepares what it then becomes.
const GRACE_OF_LAUNCHERS: Duration = Duration::from_secs(5);
/// The functions by which a program becomes another (POSIX exec, and GNU's).
const EXECUTING: [&str; 8] = [
    "execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve",
];

impl Supervisor {
    /// What was asked for would have been found by now, if it were to come.
    pub(in crate::engine) fn has_had_time(&self) -> bool {
        let time = self.found.elapsed();
        time > GRACE && (time > GRACE_OF_LAUNCHERS || !self.may_execute_another())
    }

    /// The command may be there for the sake of another that it executes.
    fn may_execute_another(&self) -> bool {
        let modules = self.spaces.values().flat_map(|space| &space.modules);
        let mut imports = modules.flat_map(|module| &module.planned.image.imports);
        self.launched.is_some_and(|launched| launched.end.is_none())
            && imports.any(|import| EXECUTING.contains(&&*import.symbol))
    }

    /// Tells once of each filter and each alias that has meant nothing so far, of an allocator that is
    /// nowhere, or, if nothing of any program was ever planted, what there is to see in the task's.
    pub(in crate::engine) fn explain_nothing(&mut self, tid: Tid, out: &mut Out<'_>) {
        if self.is_ending() {
            return;
        }
        let mut told = self.meaningless();
        let mut no_allocator = None;
        let space = self.tasks.get(&tid).map(|task| task.space);
        let modules = space.and_then(|id| Some(&self.spaces.get(&id)?.modules));
        if let Some([main, others @ ..]) = modules.map(Vec::as_slice) {
            if self.lacks_expected() {
                no_allocator = Some(self.no_allocator(main, others.len()));
            } else if told.is_empty()
                && !self.planted
                && self.plan.wants_imports()
                && self.plan.system_calls.is_none()
                && self.complained.is_empty()
            {
                told.push(nothing_to_trace(main));
            }
        }
        for why in told {
            self.complain(tid, &why, out);
        }
        if let Some(what) = no_allocator.filter(|what| self.complained.insert(what.clone())) {
            let pid = self.tasks.get(&tid).map_or(Pid(tid.0), |task| task.pid);
            out.tell(pid, tid, What::NoAllocator { what: &what });
        }
    }

    fn meaningless(&self) -> Vec<String> {
        let named = self.plan.named().enumerate();
        let unmatched = named.filter(|(index, _)| !self.matched.contains(index));
        let (calls, functions): (Vec<_>, Vec<_>) = unmatched
            .filter(|(_, named)| !named.text.is_empty())
            .partition(|(_, named)| matches!(named.option, "-e" | "-l"));
        let mean =
            |(index, named): &(usize, Named<'_>)| (meaningless(named), self.meant(*index, named));
        let (calls, functions): (Vec<_>, Vec<_>) = (
            calls.iter().map(mean).collect(),
            functions.iter().map(mean).collect(),
        );
        let comes_to_mind = calls.iter().any(|(_, meant)| !meant.is_empty());
        let watched = self.plan.resources.named.iter();
        let missing = watched.filter(|name| !self.is_watched(name)).map(|name| {
            format!("{name}: no function of that name was found; it may have been inlined")
        });
        let line = |(told, meant): (String, String)| told + &meant;
        let mut told: Vec<String> = functions.into_iter().map(line).chain(missing).collect();
        // Otherwise there is more to be said.
        if self.planted || !told.is_empty() || comes_to_mind {
            told.extend(calls.into_iter().map(line));
        }
        told.extend(self.misspelt());
        told.extend(self.unmet());
        told
    }

    /// Some module has a function of that name to be traced.
    fn is_watched(&self, name: &str) -> bool {
        let modules = self.spaces.values().flat_map(|space| &space.modules);
        modules
            .flat_map(|module| &module.planned.points)
            .any(|point| &*point.tracepoint.symbol == name)
    }

    /// What is expected of a program was not found, and none of its modules can come yet.
    pub fn lacks_expected_for_good(&self) -> bool {
        let is_static = |space: &Space| {
            let main = space.modules.first();
            main.is_some_and(|main| main.planned.image.dynamic.is_none())
        };
        self.lacks_expected() && !self.spaces.is_empty() && self.spaces.values().all(is_static)
    }

    fn lacks_expected(&self) -> bool {
        !self.plan.resources.expected.is_empty() && !self.provided
    }

    fn no_allocator(&self, main: &Module, others: usize) -> String {
        let name = &main.name().name;
        let where_it_is_not = match others {
            0 => format!("{name} has"),
            1 => format!("{name} and its library have"),
            _ => format!("{name} and its {others} libraries have"),
        };
        format!(
            "no allocator was found: {where_it_is_not} none of {}; if its functions have other names, or none, \
             say so by --alloc-sym malloc=NAME,free=0xADDRESS",
            self.plan.resources.expected.join(", ")
        )
    }
}

/// What becomes of LeakSanitizer, if a module has it and the process was not started without: it stops its process
/// by ptrace(2), which only one can do (sanitizer_common's sanitizer_stoptheworld_linux_libcdep.cpp).
pub(in crate::engine) fn leak_sanitizer(pid: Pid, image: &Image, module: &str) -> Option<String> {
    let options = options_of_leak_sanitizer(image)?;
    let is_off = proc::environment(pid, options).is_some_and(|is| is.contains("detect_leaks=0"));
    (!is_off).then(|| {
        format!(
            "LeakSanitizer, which {module} has, does not work while its process is traced, and makes that fail or hang \
             when it ends; {options}=detect_leaks=0 in its environment turns it off"
        )
    })
}

/// The variable that LeakSanitizer's options are in, by the runtime that it is a part of.
fn options_of_leak_sanitizer(image: &Image) -> Option<&'static str> {
    let has = |name: &str| image.exports.iter().any(|symbol| symbol.name == name);
    if !has("__lsan_do_leak_check") {
        return None;
    }
    let runtimes = [
        ("__asan_init", "ASAN_OPTIONS"),
        ("__hwasan_init", "HWASAN_OPTIONS"),
    ];
    let found = runtimes.into_iter().find(|(sign, _)| has(sign));
    Some(found.map_or("LSAN_OPTIONS", |(_, options)| options))
}

fn meaningless(named: &Named<'_>) -> String {
    let Named { option, text } = named;
    let lacking = match *option {
        "-e" => "no module that was loaded calls such a function",
        "-l" => "no such library was loaded",
        _ => "no module that was loaded has such a function",
    };
    format!("{option} '{text}': {lacking}")
}

fn nothing_to_trace(main: &Module) -> String {
    let (name, image) = (&main.name().name, &main.planned.image);
    let count =
        |wanted: fn(&Binding) -> bool| image.imports.iter().filter(|i| wanted(&i.binding)).count();
    let plt = count(|b| matches!(b, Binding::JumpSlot));
    let got = count(|b| matches!(b, Binding::GlobDat));
    if image.dynamic.is_none() || plt + got == 0 {
        format!(
            "nothing to trace: {name} imports no function (statically linked?); -x 'PATTERN' traces its own"
        )
    } else {
        format!(
            "nothing to trace: of the {} functions that {name} imports ({plt} by PLT, {got} by GOT) none was asked \
             for; -e '*@MAIN' shows its calls, -e '*' those of its libraries as well, -x 'PATTERN' functions by name",
            plt + got
        )
    }
}
