//! A task's open calls, matched with their returns by stack pointer.
//!
//! A call is known by the stack word that holds its return address. The stack pointer alone decides what
//! became of it: longjmp, exceptions, tail calls, recursion and functions that never return need no
//! special case. Only calls on the *same stack* can be compared so; a coroutine says nothing about the
//! calls of another one, whose frames are gone only when their words have been overwritten.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::time::Timestamp;
use crate::engine::hit::What;
use crate::engine::stacks::Stack;
use crate::event::{CallId, Why};
use crate::plan::Tracepoint;
use std::ops::Range;
use std::sync::Arc;

/// A call that has not come back.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// Which.
    pub id: CallId,
    /// The process that it is told of.
    pub pid: Pid,
    /// Of what.
    pub point: Arc<Tracepoint>,
    /// Where the word lies that holds its return address.
    pub frame: u64,
    /// Where it will return to.
    pub return_address: Addr,
    /// Which stack the frame is on.
    pub stack: Stack,
    /// How many calls were open before it.
    pub depth: usize,
    /// A signal was delivered on its first instruction, so that its breakpoint will be hit again.
    pub again: bool,
    /// It was seen at the callee only.
    pub at_callee: bool,
    /// The code that made it.
    pub machine: Machine,
    /// When it was told of.
    pub began: Timestamp,
}

impl OpenCall {
    /// It will never return.
    pub fn no_return(&self, why: Why) -> What<'_> {
        What::NoReturn {
            id: self.id,
            depth: self.depth,
            point: &self.point,
            why,
            began: self.began,
        }
    }

    /// The stack pointer before the return address was pushed.
    fn before(&self) -> u64 {
        self.frame.wrapping_add(self.machine.word() as u64)
    }

    /// It is of the task's own stack, in this place.
    fn is_at(&self, address: Addr, frame: u64) -> bool {
        (self.stack, self.frame, self.return_address) == (Stack::Own, frame, address)
    }

    /// Whether a task comes back from it that has come to `address` with this stack pointer.
    fn is_back(&self, address: Addr, rsp: u64) -> bool {
        self.return_address == address && self.machine.returns_to(self.frame, rsp)
    }
}

/// Where a task's stack pointer is.
#[derive(Clone, Copy)]
pub struct Position<'m> {
    /// The stack pointer.
    pub rsp: u64,
    /// The stack it is on.
    pub stack: Stack,
    /// The task's stacks at that moment, where they can be seen.
    pub frames: Option<&'m dyn Frames>,
}

/// Stacks as they are.
pub trait Frames {
    /// The return address in this word of one, as the program's call has put it there.
    fn return_address(&self, frame: u64) -> Option<Addr>;
}

/// So many of the innermost calls elsewhere are looked at in one event, each by a read of its word.
const LOOKS: usize = 16;
/// So many calls are compared with a place, which needs no read: those of other stacks may lie between calls that
/// a tail call has put in one place.
const COMPARED: usize = 1024;
/// So many calls that may return again are remembered.
const MOST_AGAIN: usize = 512;

/// The open calls of one task, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Those of the task's own stack lie, among themselves, each at or below the one before it.
    open: Vec<OpenCall>,
    /// Calls that came back and may do so again (setjmp), by frame and return address.
    returning_again: Vec<OpenCall>,
    /// The last call whose return is not watched.
    passed: Option<OpenCall>,
    /// Where a signal took the task away from the breakpoint of a return, which it will hit once more.
    interrupted: Option<Landing>,
    /// The last return that was recorded: its place, its address and where its tracepoint is.
    recorded: Option<(u64, Addr, usize)>,
}

/// Where a call has come back, as far as it tells one return from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The return address.
    pub address: Addr,
    /// The stack pointer.
    pub rsp: u64,
    /// The result.
    pub result: u64,
}

impl Calls {
    /// How many calls are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Nothing has to be remembered.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
            && self.returning_again.is_empty()
            && self.passed.is_none()
            && self.interrupted.is_none()
    }

    /// The stack has been copied to other memory: what lies on it is as far from its upper end as before.
    pub fn moved(&mut self, from: &Range<u64>, to: &Range<u64>) {
        let apart = to.end <= from.start || from.end <= to.start;
        if !apart {
            return;
        }
        let frames = self.open.iter_mut().map(|call| &mut call.frame);
        let again = self.returning_again.iter_mut().map(|call| &mut call.frame);
        let passed = self.passed.iter_mut().map(|call| &mut call.frame);
        let landed = self.interrupted.iter_mut().map(|landing| &mut landing.rsp);
        for at in frames.chain(again).chain(passed).chain(landed) {
            if from.contains(at) {
                *at = to.end.wrapping_sub(from.end - *at);
            }
        }
    }

    /// Opens a call.
    pub fn push(&mut self, call: OpenCall) {
        self.recorded = None;
        self.open.push(call);
    }

    /// Notes a call whose return is not watched.
    pub fn pass(&mut self, call: OpenCall) {
        self.passed = Some(call);
    }

    /// Whether a call in this place, on the stack that the task was born with, lies below all that are open: then it
    /// leaves them as they are.
    pub fn are_above(&self, frame: u64) -> bool {
        let last = self.open.last();
        last.is_none_or(|call| call.stack == Stack::Own && call.frame > frame)
    }

    /// Takes out the innermost call when it, and no other one, returns to `address` from this place: what most
    /// returns do.
    pub fn returned_alone(&mut self, address: Addr, frame: u64) -> Option<OpenCall> {
        let [.., outer, call] = self.open.as_slice() else {
            let call = self.open.last()?;
            return call.is_at(address, frame).then(|| self.open.pop())?;
        };
        let is_outside = outer.stack == Stack::Own && outer.frame > frame;
        (is_outside && call.is_at(address, frame)).then(|| self.open.pop())?
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

    /// Takes out, innermost first, the calls in this place since one of the same function: it is called there
    /// once more, so that they have been unwound. More than one are calls that led to others by tail calls.
    pub fn replaced(
        &mut self,
        frame: u64,
        return_address: Addr,
        point: &Arc<Tracepoint>,
    ) -> Vec<OpenCall> {
        let here = |call: &OpenCall| (call.frame, call.return_address) == (frame, return_address);
        let from = self.open.len().saturating_sub(COMPARED);
        let same = |call: &OpenCall| here(call) && Arc::ptr_eq(&call.point, point);
        let Some(first) = self.open[from..].iter().position(same) else {
            return Vec::new();
        };
        let is_here = |call: &mut OpenCall| here(call);
        let mut taken: Vec<OpenCall> = self.open.extract_if(from + first.., is_here).collect();
        taken.reverse();
        taken
    }

    /// A signal takes the task away from the first instruction of its innermost call, or from the call
    /// instruction itself: its breakpoint will be hit once more.
    pub fn entered_again(&mut self, rsp: u64) {
        for call in self.open.last_mut().into_iter().chain(&mut self.passed) {
            call.again |= call.frame == rsp || call.before() == rsp;
        }
    }

    /// Takes out, innermost first, the calls that a call with its return address at this position shows to
    /// be unwound: their frames lie below, or the very word holds another return address now.
    pub fn unwound_by_call(&mut self, at: Position<'_>, return_address: Addr) -> Vec<OpenCall> {
        self.unwound(at, |call| {
            call.frame == at.rsp && call.return_address != return_address
        })
    }

    /// Takes out, innermost first, the calls whose frames lie below the stack pointer of a task that has
    /// just returned.
    pub fn unwound_by_return(&mut self, at: Position<'_>) -> Vec<OpenCall> {
        self.unwound(at, |_| false)
    }

    /// Takes out, innermost first, the calls that return to `address` and leave the stack pointer at
    /// this position: more than one after a tail call, or when two tracepoints saw the same call.
    pub fn returned(&mut self, address: Addr, at: Position<'_>) -> Vec<OpenCall> {
        let matches = |call: &OpenCall| call.is_back(address, at.rsp);
        let mut taken = Vec::new();
        let mut left = COMPARED;
        let mut index = self.open.len();
        while let Some(before) = index.checked_sub(1) {
            index = before;
            let call = &self.open[index];
            if matches(call) {
                taken.push(self.open.remove(index));
            } else if is_live(call, at) || left == 0 {
                break;
            } else if !taken.is_empty() {
                left -= 1;
            }
        }
        taken
    }

    /// Where a call of this function returns to whose return address was in this place: the innermost that is open,
    /// or one that may return again.
    pub fn caller(&self, frame: u64, point: &Arc<Tracepoint>) -> Option<Addr> {
        let calls = self.open.iter().rev().take(COMPARED);
        let mut calls = calls.chain(self.returning_again.iter().rev());
        let found = calls.find(|call| call.frame == frame && Arc::ptr_eq(&call.point, point));
        found.map(|call| call.return_address)
    }

    /// Where the open calls will return to, and those that may return again.
    pub fn return_addresses(&self) -> impl Iterator<Item = Addr> {
        let calls = self.open.iter().chain(&self.returning_again);
        calls.map(|call| call.return_address)
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
        if self.returning_again.len() >= MOST_AGAIN {
            self.returning_again.remove(0);
        }
        self.returning_again.push(call);
    }

    /// The call that this return is a further return of.
    pub fn again(&self, address: Addr, rsp: u64) -> Option<&OpenCall> {
        let is_back = |call: &&OpenCall| call.is_back(address, rsp);
        self.returning_again.iter().rev().find(is_back)
    }

    /// A signal takes the task away from where a call may have just come back.
    pub fn lands_again(&mut self, landing: Landing) {
        self.interrupted = Some(landing);
    }

    /// Whether this is that very return, its breakpoint hit once more after the signal.
    pub fn has_landed(&mut self, landing: Landing) -> bool {
        self.interrupted.take_if(|last| *last == landing).is_some()
    }

    /// What a child inherits: no open call is its own, but the call that made it returns in it as well.
    pub fn for_child(&self, pid: Pid) -> Calls {
        let fork = self
            .open
            .iter()
            .filter(|call| call.point.returns == crate::plan::Returns::Again);
        let returning_again = self.returning_again.iter().chain(fork).cloned();
        Calls {
            open: Vec::new(),
            returning_again: returning_again
                .map(|call| OpenCall { pid, ..call })
                .collect(),
            passed: None,
            interrupted: None,
            recorded: None,
        }
    }

    /// A call has come back that was never among the open ones; it is the last return that was recorded.
    pub fn came_back(&mut self, frame: u64, address: Addr, point: &Arc<Tracepoint>) {
        self.recorded = Some((frame, address, Arc::as_ptr(point).addr()));
    }

    /// Whether a recorded return is one with the last: of a function that has led to the other by a tail call, whose
    /// return has closed this call as well.
    pub fn is_same_return(&mut self, frame: u64, address: Addr, point: &Arc<Tracepoint>) -> bool {
        let here = Arc::as_ptr(point).addr();
        if let Some((at, to, of)) = self.recorded
            && (at, to) == (frame, address)
            && of != here
        {
            return true;
        }
        self.recorded = Some((frame, address, here));
        false
    }

    /// Takes out the calls that are gone now that the task is at this position, or are `replaced`. Others
    /// stay open: a coroutine may come back to them.
    fn unwound(&mut self, at: Position<'_>, replaced: impl Fn(&OpenCall) -> bool) -> Vec<OpenCall> {
        let mut taken = Vec::new();
        let mut looks = LOOKS;
        let mut index = self.open.len();
        while let Some(before) = index.checked_sub(1) {
            index = before;
            let call = &self.open[index];
            let gone = replaced(call)
                || match (call.stack, at.stack) {
                    (Stack::Elsewhere, _) if looks > 0 => {
                        looks -= 1;
                        !is_still_there(call, at.frames)
                    }
                    (Stack::Elsewhere, _) => false,
                    (own, current) if own == current => call.frame < at.rsp,
                    // A task that runs on another stack has left the handler.
                    (Stack::Signal, _) => true,
                    (Stack::Own, _) => false,
                };
            if gone {
                taken.push(self.open.remove(index));
            } else if is_live(call, at) {
                break;
            }
        }
        taken
    }
}

/// A call of the very stack that the task is on, above the stack pointer: so are all that began before it.
fn is_live(call: &OpenCall, at: Position<'_>) -> bool {
    call.stack == at.stack && call.stack != Stack::Elsewhere && call.frame >= at.rsp
}

/// The word still holds the return address, as far as can be seen.
fn is_still_there(call: &OpenCall, frames: Option<&dyn Frames>) -> bool {
    frames.is_none_or(|frames| frames.return_address(call.frame) == Some(call.return_address))
}

#[cfg(test)]
mod tests;
