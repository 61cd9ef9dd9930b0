//! Births, execs, signals, modules and ends of traced processes, whatever instrument realises tracepoints.

pub mod attach;
mod denied;
mod detach;
mod explain;
mod fork_exec_exit;
mod last_stop;
pub mod leftovers;
mod linker;
mod meant;
mod modules;
pub mod out;
mod plan_ahead;
mod privileges;
mod providers;
pub mod realise;
mod recording;
pub mod resume;
pub mod run;
mod seize;
mod signals;
mod snapshot;
mod snapshot_memory;
pub mod state;
mod stop_all;
mod stop_process;
mod stop_tracing;
pub mod system_calls;
