//! What threads need to walk their own stacks: the rules for the return addresses that they meet.

use super::Recorder;
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::process::module::Module;
use crate::record::Shared;
use crate::record::rules::{MOST_FRAMES, Rules};
use crate::stack::{ModuleId, Moment, RawStack, Unwinder};
use std::ops::Range;

/// How much of a stack is looked at for them.
const STACK: usize = 64 << 10;

/// The rules that are in the table, and what they come from.
#[derive(Clone, Default)]
pub(super) struct Walks {
    rules: Rules,
    unwinder: Unwinder,
    /// Where the modules lie that the unwinder knows.
    modules: Vec<Range<u64>>,
    /// How many it ever knew: no two have one id, also when some have gone.
    numbered: usize,
}

/// The stack of a task that stands at a function's first instruction.
pub(super) fn stack(regs: &Regs, memory: &dyn Memory) -> RawStack {
    let mut stack = vec![0; STACK];
    let got = memory.read(Addr(regs.rsp), &mut stack);
    stack.truncate(got.unwrap_or_default());
    RawStack::new(regs, Moment::Entry, stack.into())
}

impl Recorder {
    /// Adds the rules for the frames of a stack, which begins with a call of a function at its first instruction, and for
    /// the other calls of the functions in it: each that a thread does not know costs a stop.
    pub(super) fn learn(&mut self, modules: &[Module], raw: &RawStack) {
        let walks = &mut self.patched.walks;
        walks.meet(modules);
        let rules = walks.unwinder.rules(raw, usize::from(MOST_FRAMES) + 1);
        let shared = Shared(self.memory.words());
        for (return_address, rule) in rules {
            if !walks.rules.add(shared, return_address, &rule) || !walks.rules.have_room() {
                continue;
            }
            for (other, rule) in walks.unwinder.function_rules(return_address) {
                if walks.rules.have_room() {
                    walks.rules.add(shared, other, &rule);
                }
            }
        }
    }

    /// Tells a task's own stack, which it may walk.
    pub fn set_stack(&self, tid: Tid, stack: &Range<u64>) {
        let mut rings = self.rings.used.iter();
        if let Some(ring) = rings.find(|ring| ring.tid == tid) {
            ring.reader.set_stack(stack, self.shared());
        }
    }

    /// Forgets a module that is no longer mapped, and all rules: other code may stand where its own was.
    pub(super) fn forget_module(&mut self, module: &Range<u64>) {
        let shared = Shared(self.memory.words());
        let walks = &mut self.patched.walks;
        walks.rules.clear(shared);
        walks.modules.retain(|range| range != module);
        walks.unwinder.remove_module(module.start);
    }
}

impl Walks {
    /// The same for a child whose table is empty.
    pub(super) fn for_child(&mut self) {
        self.rules = Rules::default();
    }

    fn meet(&mut self, modules: &[Module]) {
        let gone = |range: &Range<u64>| !modules.iter().any(|module| module.range == *range);
        for range in self.modules.extract_if(.., |range| gone(range)) {
            self.unwinder.remove_module(range.start);
        }
        for module in modules {
            let Some(file) = &module.planned.file else {
                continue;
            };
            if !self.modules.contains(&module.range) {
                self.modules.push(module.range.clone());
                self.numbered += 1;
                let id = ModuleId::numbered(self.numbered);
                let range = module.range.clone();
                self.unwinder.add_module(id, range, module.bias, file);
            }
        }
    }
}
