//! Whose code calls, as a recording tells it.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::event::Event;
use crate::plan::ModuleName;
use crate::sink::sieve::Callers;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What was read of callers so far, by the addresses to which calls return. Clones share it.
#[derive(Clone, Default)]
pub struct Told(Rc<RefCell<FxHashMap<(Pid, Addr), Caller>>>);

/// A symbol, and its module.
type Caller = (String, Arc<ModuleName>);

impl Told {
    /// The recording tells of no caller: earlier ones did not.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn tell(&self, from: (Pid, Addr), symbol: String, module: ModuleName) {
        self.0.borrow_mut().insert(from, (symbol, Arc::new(module)));
    }
}

impl Callers for Told {
    fn event(&mut self, _: &Event) {}

    fn caller(&mut self, pid: Pid, return_address: Addr) -> Option<Caller> {
        self.0.borrow().get(&(pid, return_address)).cloned()
    }
}
