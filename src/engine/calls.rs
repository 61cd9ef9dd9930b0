//! A task's open calls, matched with their returns by stack pointer.
//!
//! A call is known by the stack word that holds its return address. The stack pointer alone decides what
//! became of it: longjmp, exceptions, tail calls, recursion and functions that never return need no
//! special case. Only calls on the *same stack* can be compared so; a coroutine or a handler on an
//! alternate stack says nothing about the calls of another stack.

use crate::base::addr::Addr;
use crate::event::CallId;
use crate::plan::Tracepoint;
use std::sync::Arc;

/// A call that has not come back.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// Which.
    pub id: CallId,
    /// Of what.
    pub point: Arc<Tracepoint>,
    /// Where the word lies that holds its return address.
    pub frame: u64,
    /// Where it will return to.
    pub return_address: Addr,
    /// How many calls were open before it.
    pub depth: usize,
    /// A signal was delivered on its first instruction, so that its breakpoint will be hit again.
    pub again: bool,
    /// It was seen at the callee only.
    pub at_callee: bool,
}

/// What can be known of a call's frame when the task's stack pointer has passed it.
pub trait Stacks {
    /// Both addresses are on the task's own stack, the one it was born with.
    fn on_own_stack(&self, a: u64, b: u64) -> bool;
    /// The word still holds the return address.
    fn still_there(&self, call: &OpenCall) -> bool;
}

/// The open calls of one task, outermost first.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    open: Vec<OpenCall>,
    /// Calls that came back and may do so again (setjmp), by frame and return address.
    returning_again: Vec<OpenCall>,
    /// The last call whose return nobody waits for.
    passed: Option<OpenCall>,
}

impl Calls {
    /// How many calls are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Opens a call.
    pub fn push(&mut self, call: OpenCall) {
        self.open.push(call);
    }

    /// Notes a call whose return nobody waits for.
    pub fn pass(&mut self, call: OpenCall) {
        self.passed = Some(call);
    }

    /// Whether this is the last of those, its breakpoint hit once more after a signal.
    pub fn passed_again(
        &mut self,
        frame: u64,
        return_address: Addr,
        point: &Arc<Tracepoint>,
    ) -> bool {
        let same = |call: &mut OpenCall| {
            call.again
                && (call.frame, call.return_address) == (frame, return_address)
                && Arc::ptr_eq(&call.point, point)
        };
        self.passed.take_if(same).is_some()
    }

    /// The innermost open call, when it has this very frame.
    pub fn innermost_at(&mut self, frame: u64, return_address: Addr) -> Option<&mut OpenCall> {
        self.open
            .last_mut()
            .filter(|call| call.frame == frame && call.return_address == return_address)
    }

    /// Takes out the innermost open call.
    pub fn pop_innermost(&mut self) -> Option<OpenCall> {
        self.open.pop()
    }

    /// A signal takes the task away from the first instruction of its innermost call, or from the call
    /// instruction itself: its breakpoint will be hit once more.
    pub fn entered_again(&mut self, rsp: u64) {
        for call in self.open.last_mut().into_iter().chain(&mut self.passed) {
            call.again |= call.frame == rsp || call.frame.wrapping_add(8) == rsp;
        }
    }

    /// Takes out, innermost first, the calls that a call with this frame shows to be unwound: their
    /// frames lie below, or the very word holds another return address now.
    pub fn unwound_by_call(
        &mut self,
        frame: u64,
        return_address: Addr,
        stacks: &dyn Stacks,
    ) -> Vec<OpenCall> {
        let below = |call: &OpenCall| {
            call.frame < frame || (call.frame == frame && call.return_address != return_address)
        };
        self.unwound(below, frame, stacks)
    }

    /// Takes out, innermost first, the calls whose frames lie below the stack pointer of a task that has
    /// just returned.
    pub fn unwound_by_return(&mut self, rsp: u64, stacks: &dyn Stacks) -> Vec<OpenCall> {
        self.unwound(|call| call.frame < rsp, rsp, stacks)
    }

    /// Takes out, innermost first, the calls that return to `address` and leave the stack pointer at
    /// `rsp`: more than one after a tail call, or when two tracepoints saw the same call.
    pub fn returned(&mut self, address: Addr, rsp: u64) -> Vec<OpenCall> {
        let matches =
            |call: &OpenCall| call.frame.wrapping_add(8) == rsp && call.return_address == address;
        let Some(last) = self.open.iter().rposition(matches) else {
            return Vec::new();
        };
        let first = self.open[..last]
            .iter()
            .rposition(|call| !matches(call))
            .map_or(0, |i| i + 1);
        let mut taken: Vec<OpenCall> = self.open.drain(first..=last).collect();
        taken.reverse();
        taken
    }

    /// Takes out all, innermost first.
    pub fn take_all(&mut self) -> Vec<OpenCall> {
        let mut taken = std::mem::take(&mut self.open);
        taken.reverse();
        taken
    }

    /// Remembers a returned call that may return again.
    pub fn may_return_again(&mut self, call: OpenCall) {
        self.returning_again
            .retain(|old| old.frame > call.frame || old.return_address != call.return_address);
        self.returning_again.push(call);
    }

    /// The call that this return is a further return of.
    pub fn again(&self, address: Addr, rsp: u64) -> Option<&OpenCall> {
        let matches =
            |call: &&OpenCall| call.frame.wrapping_add(8) == rsp && call.return_address == address;
        self.returning_again.iter().rev().find(matches)
    }

    /// What a forked child inherits: no open call is its own, but the fork returns in it as well.
    pub fn for_child(&self) -> Calls {
        let fork = self
            .open
            .iter()
            .filter(|call| call.point.returns == crate::plan::Returns::Again);
        let returning_again = self.returning_again.iter().chain(fork).cloned().collect();
        Calls {
            open: Vec::new(),
            returning_again,
            passed: None,
        }
    }

    /// The calls that `below` holds for and that are really gone: those of the same stack, and of other
    /// stacks those whose word was overwritten. Others stay open: a coroutine may come back to them.
    fn unwound(
        &mut self,
        below: impl Fn(&OpenCall) -> bool,
        rsp: u64,
        stacks: &dyn Stacks,
    ) -> Vec<OpenCall> {
        let mut taken = Vec::new();
        let mut index = self.open.len();
        while index > 0 {
            index -= 1;
            let call = &self.open[index];
            if below(call) {
                if stacks.on_own_stack(call.frame, rsp) || !stacks.still_there(call) {
                    taken.push(self.open.remove(index));
                }
            } else {
                break;
            }
        }
        taken
    }
}
