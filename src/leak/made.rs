//! Code that processes make at run time: who has told of it.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::stack::PerfMap;
use std::cell::RefCell;
use std::rc::Rc;

/// The maps of a process and of those that it was forked from, its own first.
#[derive(Clone, Default)]
pub(super) struct MadeCode(Vec<Rc<RefCell<PerfMap>>>);

/// So many generations are remembered.
const GENERATIONS: usize = 4;

impl MadeCode {
    /// Code of no file was met in a process that is alive.
    pub(super) fn meet(&mut self, pid: Pid) {
        let is_own = |map: &Rc<RefCell<PerfMap>>| map.borrow().pid() == pid;
        if self.0.first().is_some_and(is_own) {
            return;
        }
        if let Some(map) = PerfMap::of(pid) {
            self.0.insert(0, Rc::new(RefCell::new(map)));
            self.0.truncate(GENERATIONS);
        }
    }

    /// Reads what the maps say by now.
    pub(super) fn refresh(&mut self) {
        for map in &self.0 {
            map.borrow_mut().refresh();
        }
    }

    /// The function around an address, and how far into it that is.
    pub(super) fn find(&self, at: Addr) -> Option<(String, u64)> {
        self.0.iter().find_map(|map| {
            let map = map.borrow();
            let (name, offset) = map.find(at)?;
            Some((name.into_owned(), offset))
        })
    }
}
