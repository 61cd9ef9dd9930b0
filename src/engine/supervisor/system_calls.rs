//! System calls (`-S`): a task that is watched stops at the entry and at the exit of each.

use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::base::regs::{FloatRegs, Floats, Regs, Unknown, View};
use crate::base::time::Timestamp;
use crate::engine::hit::{self, What};
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::{Role, Task};
use crate::event::{CallId, Why};
use crate::plan::{Plan, Stack, Tracepoint};
use crate::sys;
use crate::sys::ptrace::{Stopped, SystemCallEntry, SystemCallStop};
use std::sync::Arc;

/// A system call that has not come back.
#[derive(Clone, Debug)]
pub struct SystemCall {
    id: CallId,
    depth: usize,
    point: Arc<Tracepoint>,
    machine: Machine,
    began: Timestamp,
}

impl SystemCall {
    /// It will never return.
    pub(in crate::engine) fn no_return(&self, why: Why) -> What<'_> {
        What::NoReturn {
            id: self.id,
            depth: self.depth,
            point: &self.point,
            why,
            began: self.began,
        }
    }
}

impl Supervisor {
    /// Whether the task is to stop at its system calls.
    pub(in crate::engine) fn wants_system_calls(&self, task: &Task) -> bool {
        self.plan.system_calls.is_some() && task.role == Role::Shown
    }

    /// A task stands at the entry or exit of a system call.
    pub(in crate::engine) fn at_system_call(
        &mut self,
        stopped: &Stopped,
        out: &mut Out<'_>,
    ) -> sys::Result<()> {
        let task = self.tasks.get_mut(&stopped.tid());
        let Some(task) = task.filter(|task| task.role == Role::Shown) else {
            return Ok(());
        };
        let Some(space) = self.spaces.get(&task.space) else {
            return Ok(());
        };
        match stopped.system_call()? {
            SystemCallStop::Entry(entry) => {
                // Its exit was not seen.
                if let Some(call) = task.system_call.take() {
                    out.tell(task.pid, stopped.tid(), call.no_return(Why::Unwound));
                }
                let Plan {
                    system_calls,
                    prototypes,
                    ..
                } = &mut self.plan;
                let point = system_calls
                    .as_mut()
                    .and_then(|calls| calls.point(entry.machine, entry.number, prototypes));
                if let Some(point) = point {
                    let id = CallId(self.next_call);
                    self.next_call += 1;
                    let memory = &space.memory;
                    entered(task, stopped, (id, point), Passed { entry, memory }, out)?;
                }
            }
            SystemCallStop::Exit { result, ip } => {
                if let Some(call) = task.system_call.take() {
                    let regs = Regs {
                        rax: result,
                        cs: selector(call.machine),
                        ..Regs::default()
                    };
                    let what = What::Return {
                        call: hit::Call {
                            id: call.id,
                            depth: call.depth,
                            point: &call.point,
                            return_address: ip,
                            view: view(&regs, &space.memory),
                        },
                        began: call.began,
                    };
                    out.tell(task.pid, stopped.tid(), what);
                }
            }
            SystemCallStop::Neither => {}
        }
        Ok(())
    }
}

/// Tells of a system call that a task enters.
fn entered(
    task: &mut Task,
    stopped: &Stopped,
    (id, point): (CallId, &Arc<Tracepoint>),
    passed: Passed<'_>,
    out: &mut Out<'_>,
) -> sys::Result<()> {
    let SystemCallEntry {
        machine, args, ip, ..
    } = passed.entry;
    let regs = match (machine, point.stack) {
        // A stack is unwound from all of them.
        (Machine::Amd64, Stack::Wanted) => Regs {
            rcx: args[3],
            ..stopped.regs()?
        },
        _ => passed.regs(),
    };
    let depth = task.calls.depth();
    let what = What::Call(hit::Call {
        id,
        depth,
        point,
        return_address: ip,
        view: view(&regs, &passed),
    });
    let began = out.tell(task.pid, stopped.tid(), what);
    task.system_call = Some(SystemCall {
        id,
        depth,
        point: point.clone(),
        machine,
        began,
    });
    Ok(())
}

fn view<'v>(regs: &'v Regs, memory: &'v dyn Memory) -> View<'v> {
    View {
        regs,
        memory,
        floats: &NoFloats,
        process: &Unknown,
        errno: None,
    }
}

/// The arguments of a system call, shown as if they were those of a function: in the registers of its convention, or
/// on a stack.
struct Passed<'m> {
    entry: SystemCallEntry,
    memory: &'m dyn Memory,
}

/// Where i386 functions would find their arguments: in the kernel's half, so that it hides nothing of the program's.
const STACK: u64 = 0xffff_f000;

impl Passed<'_> {
    fn regs(&self) -> Regs {
        let [rdi, rsi, rdx, rcx, r8, r9] = self.entry.args;
        Regs {
            rdi,
            rsi,
            rdx,
            rcx,
            r8,
            r9,
            rsp: STACK,
            cs: selector(self.entry.machine),
            ..Regs::default()
        }
    }
}

impl Memory for Passed<'_> {
    fn read(&self, at: Addr, buffer: &mut [u8]) -> Result<usize, Unreadable> {
        if self.entry.machine != Machine::I386 {
            return self.memory.read(at, buffer);
        }
        // The first word is where the return address would be.
        let mut stack = [0; 28];
        for (place, word) in stack[4..].chunks_exact_mut(4).zip(self.entry.args) {
            place.copy_from_slice(&(word as u32).to_le_bytes());
        }
        let from =
            at.0.checked_sub(STACK)
                .and_then(|from| usize::try_from(from).ok());
        match from.and_then(|from| stack.get(from..)) {
            Some(bytes) if !bytes.is_empty() => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                Ok(count)
            }
            _ => self.memory.read(at, buffer),
        }
    }

    fn beyond(&self, at: Addr) -> Addr {
        self.memory.beyond(at)
    }

    fn machine(&self) -> Machine {
        self.entry.machine
    }
}

/// The code segment of programs for such a machine (arch/x86/include/asm/segment.h).
fn selector(machine: Machine) -> u64 {
    match machine {
        Machine::Amd64 => 0x33,
        Machine::I386 => 0x23,
    }
}

/// No system call takes or gives a floating-point number.
struct NoFloats;

impl Floats for NoFloats {
    fn floats(&self) -> Option<FloatRegs> {
        None
    }
}
