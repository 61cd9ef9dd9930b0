//! Which thread has which thread pointer, by which glibc and musl call it (`pthread_t`). One that has ended keeps it until
//! another is given it, as one that waits for it does so by that.

use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::regs::Process;
use crate::engine::space::Space;
use rustc_hash::FxHashMap;
use std::cell::RefCell;

/// So many threads that have ended are remembered beside as many as there are.
const MOST_ENDED: usize = 1024;

/// The threads of a space.
#[derive(Debug, Default)]
pub(super) struct KnownThreads(RefCell<FxHashMap<u64, Tid>>);

impl Space {
    /// A thread is born with this pointer. `lives`: the threads that there are.
    pub fn born(&self, pointer: u64, tid: Tid, (count, lives): (usize, impl Fn(Tid) -> bool)) {
        let mut known = self.threads.0.borrow_mut();
        known.insert(pointer, tid);
        if known.len() > 2 * count + MOST_ENDED {
            known.retain(|_, tid| lives(*tid));
        }
    }

    /// A thread was seen with this pointer. A child that shares it is not told apart from its maker.
    pub fn seen(&self, pointer: u64, tid: Tid) {
        // A program that has just begun has none yet.
        if pointer != 0 {
            self.threads.0.borrow_mut().entry(pointer).or_insert(tid);
        }
    }
}

impl Process for Space {
    fn thread(&self, pointer: u64) -> Option<Tid> {
        self.threads.0.borrow().get(&pointer).copied()
    }

    fn caller(&self, return_address: Addr) -> Addr {
        Space::caller(self, return_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Pid;
    use crate::base::machine::Machine;

    #[test]
    fn the_last_one_that_had_it() {
        let space = Space::new(Pid(1), Machine::Amd64);
        let all = (3, |_| true);
        space.seen(0, Tid(1));
        space.seen(8, Tid(1));
        space.seen(8, Tid(9));
        space.born(16, Tid(2), all);
        space.born(16, Tid(3), all);
        let found = [0, 8, 16, 24].map(|pointer| space.thread(pointer));
        assert_eq!(found, [None, Some(Tid(1)), Some(Tid(3)), None]);
    }

    #[test]
    fn those_that_have_ended_are_forgotten_some_time() {
        let space = Space::new(Pid(1), Machine::Amd64);
        for number in 1..10_000 {
            space.born(number, Tid(number as i32), (2, |tid: Tid| tid.0 < 2));
        }
        assert!(space.threads.0.borrow().len() < 2000);
        assert_eq!(space.thread(1), Some(Tid(1)));
    }
}
