//! What a user who does not see what he asked for ought to know. Libraries that are loaded later may have
//! it, so nobody is told at once.

use super::ptrace::{Out, PtraceEngine};
use crate::base::Tid;
use crate::elf::Binding;
use crate::tracee::module::Module;

impl PtraceEngine {
    /// Tells once of each filter of `-x` that has meant nothing so far, or, if nothing of any program was
    /// ever planted, what there is to see in the task's.
    pub(super) fn explain_nothing(&mut self, tid: Tid, out: &mut Out<'_>) {
        if self.is_ending() {
            return;
        }
        let mut told: Vec<String> = self.meaningless().collect();
        if told.is_empty() && !self.planted && self.complained.is_empty() {
            let space = self.tasks.get(&tid).map(|task| task.space);
            let space = space.and_then(|id| self.spaces.get(&id));
            told.extend(space.and_then(|s| s.modules.first()).map(nothing_to_trace));
        }
        for why in told {
            self.complain(tid, &why, out);
        }
    }

    fn meaningless(&self) -> impl Iterator<Item = String> {
        let filters = self.plan.entries.iter().enumerate();
        filters
            .filter(|(index, filter)| !self.matched.contains(index) && !filter.text.is_empty())
            .map(|(_, filter)| {
                let text = &filter.text;
                format!("-x '{text}': no module that was loaded has such a function")
            })
    }
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
