//! `--detach`: takes out of a process what a tracer has left in it that was killed (kill -9).

use crate::base::Pid;
use crate::engine::space::{LeftOver, Space};
use crate::engine::supervisor::attach::{AttachError, let_go};
use crate::engine::supervisor::seize::{Seized, seize};
use crate::sys::wait::Stop;

/// Looks for left-overs in a process, and takes them out. It goes on untraced. `None`: there was nothing.
pub fn remove(pid: Pid) -> Result<Option<LeftOver>, AttachError> {
    // Those that sleep on are let go by the kernel when we end.
    let Seized {
        stopped: mut held,
        process,
        ..
    } = seize(pid).map_err(|failed| failed.why)?;
    // A system call of ours is best made by one of its own tasks that waits in none itself.
    held.sort_by_key(|(stopped, stop)| {
        let other = process.get(&stopped.tid()) != Some(&pid);
        (other, *stop != Stop::Interrupt)
    });
    let Some((stopped, _)) = held.first() else {
        return Err(AttachError::Missing);
    };
    let machine = stopped.regs().map(|regs| regs.machine());
    let found = Space::new(pid, machine.unwrap_or_default()).remove_left_over(stopped);
    for (stopped, stop) in held {
        let_go(stopped, stop);
    }
    Ok(found)
}
