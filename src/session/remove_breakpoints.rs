//! `--detach`: what a killed tracer has left in processes is taken out of them.

use crate::base::Pid;
use crate::engine::space::{Handler, LeftOver};
use crate::engine::supervisor::leftovers;
use crate::session::{cannot_attach, tell};
use std::io::{self, Write};

/// Takes left-overs out of each process, and says what there was.
pub(super) fn remove_breakpoints(pids: &[Pid]) -> u8 {
    let mut status = 0;
    for &pid in pids {
        let told = match leftovers::remove(pid) {
            Ok(None) => format!("process {pid}: nothing to take out"),
            Ok(Some(found)) => took_out(pid, found),
            Err(why) => {
                status = 1;
                tell(&cannot_attach(pid, &why));
                continue;
            }
        };
        // When even that cannot be written, it cannot be told.
        let _ = writeln!(io::stdout(), "{told}");
    }
    status
}

fn took_out(pid: Pid, found: LeftOver) -> String {
    let handler = match found.handler {
        Handler::GivenBack | Handler::Gone => "SIGTRAP is the program's own again",
        Handler::Stays => "its SIGTRAP handler stays, and does no harm",
    };
    let count = found.breakpoints;
    format!("process {pid}: took out {count} breakpoints of an ltrace that was killed; {handler}")
}
