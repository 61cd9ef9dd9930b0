//! Where the tracer runs: on the target's processor, unseen by the target.
//!
//! A stop is cheap when tracer and target share a processor, and several times as dear when each wakes
//! the other on an idle one. The kernel sends a woken task to an idle processor, and a processor that runs
//! only SCHED_IDLE tasks counts as idle (kernel/sched/fair.c, select_idle_sibling, sched_idle_cpu). So the
//! tracer takes that policy and pins *itself* to where the target stopped: the target then stays there of
//! the kernel's own will. Nothing of the target is touched, its affinity and policy least of all.
//!
//! A SCHED_IDLE task that is woken preempts nothing, so the policy is taken only by a tracer that may leave it again
//! when load comes. Another one polls, on a processor of its own.
//!
//! Where other programs keep all processors busy there is no idle one to avoid. There the tracer stays where the
//! scheduler puts it.

mod groups;
mod load;
mod starving;

use super::Result;
use super::wait::{self, Patience, Status};
use crate::base::Tid;
use groups::{has_autogroups, may_raise};
use load::Load;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, getsid, setsid};
use starving::{Verdict, Window};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// After so many stops we look at the load and where the target runs, and twice as many each time that it has
/// not moved, up to the last number: to look costs as much as half a stop.
const LOOK: u32 = 16;
const LOOK_LAST: u32 = 128;
/// How long a stop may come late before we sleep, where we poll: longer than most programs need from one
/// call to the next, shorter than waking up another processor takes.
const POLL: Duration = Duration::from_micros(50);
/// How many stops are served as the scheduler has it, after starving.
const REST: u32 = 20_000;

/// Whether the tracer is left where the scheduler puts it.
static TO_SCHEDULER: AtomicBool = AtomicBool::new(false);

/// Leaves the tracer where the scheduler puts it: with that `benches/placement` compares.
pub fn leave_to_scheduler() {
    TO_SCHEDULER.store(true, Ordering::Relaxed);
}

/// The way the tracer shares the machine with its target.
#[derive(Debug, Default)]
pub struct Placement {
    mode: Mode,
    /// The mode on a machine with nothing else to do.
    usual: Mode,
    /// The processors we may use.
    allowed: Option<CpuSet>,
    load: Load,
    /// How many stops were served.
    stops: u32,
    /// After how many more we look around, and how many it was last time.
    left: u32,
    pause: u32,
    stat: Option<(Tid, File)>,
    cpu: Option<usize>,
    schedstat: Option<File>,
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// As the scheduler has it.
    #[default]
    Alone,
    /// Under SCHED_IDLE, on the target's processor.
    Following,
    /// We starved, or others take all processors; for a while as the scheduler has it.
    Resting,
    /// A process is held; as the scheduler has it until it goes on.
    Hurrying,
    /// On a processor of its own, polling.
    Polling,
}

impl Placement {
    /// Leaves the terminal's session and takes the best place there is. Everything that the target
    /// inherits must have been inherited by now.
    pub fn take() -> Placement {
        leave_session();
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok();
        let processors = allowed.as_ref().map_or(1, count);
        let left_alone = policy() != libc::SCHED_OTHER || TO_SCHEDULER.load(Ordering::Relaxed);
        let usual = match left_alone {
            false if may_raise() => Mode::Following,
            false if processors > 1 => Mode::Polling,
            _ => Mode::Alone,
        };
        let mut placement = Placement {
            usual,
            load: Load::new(processors),
            allowed,
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
            ..Placement::default()
        };
        match placement.load.is_busy() && usual != Mode::Alone {
            true => placement.mode = Mode::Resting,
            false => placement.take_usual(),
        }
        placement
    }

    /// Takes the place for a machine with nothing else to do.
    fn take_usual(&mut self) {
        if self.usual == Mode::Following
            && policy() != libc::SCHED_IDLE
            && !set_policy(libc::SCHED_IDLE)
        {
            self.usual = Mode::Polling;
        }
        self.mode = self.usual;
    }

    /// Looks for the next thing that happens to any task, as [`wait::look`] does, blocking.
    pub fn look(&self) -> Result<Option<(Tid, Status)>> {
        if self.mode == Mode::Polling {
            let began = Instant::now();
            while began.elapsed() < POLL {
                let seen = wait::look(Patience::Poll)?;
                if seen.is_some() {
                    return Ok(seen);
                }
            }
        }
        wait::look(Patience::Block)
    }

    /// A task was found stopped.
    pub fn served(&mut self, tid: Tid) {
        self.stops = self.stops.wrapping_add(1);
        self.load.stopped(tid);
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return;
        }
        let mode = self.mode;
        match mode {
            Mode::Alone => self.left = u32::MAX,
            Mode::Hurrying => {}
            Mode::Following if self.starves() => self.rest(REST),
            _ if self.load.look() => self.rest(LOOK_LAST),
            Mode::Following => self.follow(tid),
            Mode::Polling => self.left = LOOK_LAST,
            Mode::Resting => self.take_usual(),
        }
    }

    /// Goes to the processor where the task stopped.
    fn follow(&mut self, tid: Tid) {
        let cpu = self.processor(tid);
        self.pause = match cpu {
            Some(_) if cpu == self.cpu => (2 * self.pause).min(LOOK_LAST),
            _ => LOOK,
        };
        self.left = self.pause;
        let Some(cpu) = cpu.filter(|_| cpu != self.cpu) else {
            return;
        };
        let mut one = CpuSet::new();
        // Refused for a processor that only the target may use.
        if one.set(cpu).is_ok() && sched_setaffinity(Pid::from_raw(0), &one).is_ok() {
            self.cpu = Some(cpu);
        }
    }

    /// Where a task ran last.
    fn processor(&mut self, tid: Tid) -> Option<usize> {
        let file = match &self.stat {
            Some((of, file)) if *of == tid => file,
            _ => {
                let file = File::open(format!("/proc/{tid}/stat")).ok()?;
                &self.stat.insert((tid, file)).1
            }
        };
        let mut text = [0; 1024];
        let length = file.read_at(&mut text, 0).ok()?;
        processor_field(text.get(..length)?)
    }

    /// The time that this thread has waited to run: the second number, in nanoseconds (kernel:
    /// Documentation/scheduler/sched-stats.rst).
    fn run_queue_wait(&self) -> Option<Duration> {
        let mut text = [0; 128];
        let length = self.schedstat.as_ref()?.read_at(&mut text, 0).ok()?;
        let nanos = text.get(..length)?.split(|&b| b == b' ').nth(1)?;
        let nanos = std::str::from_utf8(nanos).ok()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    }

    /// Whether we spend our time waiting for the processor.
    fn starves(&mut self) -> bool {
        let stops = self.stops;
        let Some(waited) = self.run_queue_wait() else {
            return false;
        };
        let window = self.window.get_or_insert(Window { stops, waited });
        let verdict = window.verdict(Window { stops, waited });
        if verdict.is_some() {
            self.window = None;
        }
        verdict == Some(Verdict::Starved)
    }

    /// For a moment in which every task of a process is held: other processes are not to delay us. Until
    /// [`Placement::relax`].
    pub fn hurry(&mut self) {
        if self.mode == Mode::Following && set_policy(libc::SCHED_OTHER) {
            if let Some(allowed) = &self.allowed {
                let _ = sched_setaffinity(Pid::from_raw(0), allowed);
            }
            self.cpu = None;
            self.mode = Mode::Hurrying;
        }
    }

    /// Takes the usual place again.
    pub fn relax(&mut self) {
        if self.mode == Mode::Hurrying {
            set_policy(libc::SCHED_IDLE);
            self.mode = Mode::Following;
            self.left = 0;
        }
    }

    /// Leaves the usual place for so many stops.
    fn rest(&mut self, stops: u32) {
        if self.mode == Mode::Following {
            set_policy(libc::SCHED_OTHER);
            if let Some(allowed) = &self.allowed {
                let _ = sched_setaffinity(Pid::from_raw(0), allowed);
            }
            self.cpu = None;
        }
        self.mode = Mode::Resting;
        self.left = stops;
    }
}

/// How many processors a set has.
fn count(set: &CpuSet) -> usize {
    (0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .count()
}

/// Field 39 of /proc/PID/stat (proc_pid_stat(5)); the name in field 2 may hold anything.
fn processor_field(stat: &[u8]) -> Option<usize> {
    let name_end = stat.iter().rposition(|&b| b == b')')?;
    let mut fields = stat.get(name_end + 2..)?.split(|&b| b == b' ');
    std::str::from_utf8(fields.nth(39 - 3)?).ok()?.parse().ok()
}

/// Leaves the terminal's session, whose keys are for the command and for the front end. A tracer that leads a process
/// group stays in it.
pub fn leave_session() {
    let _ = setsid();
}

/// The nice value of a thread that gives way: about a tenth of an ordinary thread's weight (kernel/sched/core.c,
/// `sched_prio_to_weight`).
const GIVES_WAY: i32 = 10;

/// For another thread of the tracer's: takes little of the group's share, most of which is the tracer's, which serves
/// tasks that wait. Not SCHED_IDLE: beside a tracer that is always busy such a thread makes no report for seconds.
pub fn give_way() {
    let own_session = getsid(None).is_ok_and(|session| session == Pid::this());
    if own_session && policy() == libc::SCHED_OTHER && has_autogroups() {
        // SAFETY: numbers only; 0 is the calling thread (setpriority(2), "C library/kernel differences").
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, GIVES_WAY) };
    }
}

fn policy() -> i32 {
    // SAFETY: takes a number only; zero is the calling thread.
    unsafe { libc::sched_getscheduler(0) }
}

fn set_policy(policy: i32) -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is a live sched_param; zero is the calling thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::{Placement, processor_field};
    use std::fs::File;

    #[test]
    fn processor_of_a_task() {
        let numbers: Vec<String> = (4..=52).map(|n| (n * 10).to_string()).collect();
        let stat = format!("77 (a) b (c) t {}\n", numbers.join(" "));
        assert_eq!(processor_field(stat.as_bytes()), Some(390));
        for end in 0..stat.rfind(" 400").expect("field 40") - 3 {
            assert_eq!(processor_field(&stat.as_bytes()[..end]), None, "{end}");
        }
    }

    #[test]
    fn we_know_how_long_we_wait() {
        let placement = Placement {
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
            ..Placement::default()
        };
        assert!(placement.run_queue_wait().is_some());
    }
}
