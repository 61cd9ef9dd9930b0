//! The open calls of each task, as the decoder knows them: innermost last, so that a return finds its call
//! at the end.

use super::arguments::Arguments;
use crate::base::Tid;
use crate::base::time::Timestamp;
use crate::event::CallId;

/// A call that has not ended.
pub(super) struct Open {
    pub(super) id: CallId,
    pub(super) since: Timestamp,
    /// Its arguments, if something is still to be shown.
    pub(super) arguments: Option<Arguments>,
}

/// The open calls of all tasks.
#[derive(Default)]
pub(super) struct OpenCalls {
    tasks: Vec<Task>,
    /// The task that was asked for last: most often it is the next one, too.
    last: usize,
}

struct Task {
    tid: Tid,
    open: Vec<Open>,
}

impl OpenCalls {
    /// Notes a call of a task.
    pub(super) fn push(&mut self, tid: Tid, call: Open) {
        let index = self.find(tid).unwrap_or_else(|| {
            let open = Vec::new();
            self.tasks.push(Task { tid, open });
            self.tasks.len() - 1
        });
        self.last = index;
        self.tasks[index].open.push(call);
    }

    /// Takes a call out. After an exec the task may have another id than at the call.
    pub(super) fn take(&mut self, tid: Tid, id: CallId) -> Option<Open> {
        if let Some(index) = self.find(tid) {
            self.last = index;
            let call = self.tasks[index].take(id);
            if call.is_some() {
                return call;
            }
        }
        self.tasks.iter_mut().find_map(|task| task.take(id))
    }

    /// A task is gone, its calls taken out before.
    pub(super) fn forget(&mut self, tid: Tid) {
        if let Some(index) = self.find(tid) {
            self.tasks.swap_remove(index);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.iter().all(|task| task.open.is_empty())
    }

    fn find(&self, tid: Tid) -> Option<usize> {
        let is_it = |index: &usize| self.tasks.get(*index).is_some_and(|task| task.tid == tid);
        let last = Some(self.last).filter(is_it);
        last.or_else(|| self.tasks.iter().position(|task| task.tid == tid))
    }
}

impl Task {
    fn take(&mut self, id: CallId) -> Option<Open> {
        // Most often the innermost.
        if self.open.last()?.id == id {
            return self.open.pop();
        }
        let index = self.open.iter().rposition(|call| call.id == id)?;
        Some(self.open.remove(index))
    }
}
