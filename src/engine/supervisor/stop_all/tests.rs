//! Statuses as a script gives them, and what becomes of the tasks.

use super::kernel::{Kernel, Processes};
use super::{Limits, Next, Policy, StopAll, Want};
use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::engine::supervisor::resume::Resume;
use crate::engine::supervisor::seize::{Failed, Seized, seize_by};
use crate::engine::supervisor::state::Ending;
use crate::sys;
use crate::sys::wait::{Status, Stop};
use nix::errno::Errno;
use nix::libc;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What a task does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It shows this stop, unasked.
    Shows(Stop),
    /// It makes that task, whose process has that memory or another.
    Makes(Tid),
    /// It makes that task before it sees that it was asked to stop; nothing tells of it.
    Made(Tid),
    /// It is on an int3 whose SIGTRAP waits behind the stop that it is asked for.
    Int3,
    /// It stops when it is asked to. What follows comes once that stop is consumed.
    Stands,
    /// It is in this state, until so many milliseconds have passed.
    Is(char, u64),
    /// It has exited.
    Exits,
    /// Its id is not there any more.
    Vanishes,
}

#[derive(Debug)]
struct Task {
    process: Pid,
    has_own_memory: bool,
    is_born: bool,
    /// A stop was asked for, or comes with its birth.
    is_asked: bool,
    /// Its stop was consumed, and nothing has come since.
    is_consumed: bool,
    steps: VecDeque<Step>,
}

/// A kernel that does what a script says: for each task, between semicolons, `TID/PID STEP …`. `+` behind the ids: it
/// is born later; `~`: its process has a memory of its own. Processes below 10 are children of the first.
struct Script {
    tasks: RefCell<BTreeMap<Tid, Task>>,
    began: Instant,
    passed: Cell<Duration>,
    log: RefCell<Vec<String>>,
}

impl Script {
    fn new(text: &str) -> Script {
        let tasks = text.split(';').map(|task| {
            let mut words = task.split_whitespace();
            let ids = words.next().expect("ids");
            let (tid, process) = ids
                .trim_end_matches(['+', '~'])
                .split_once('/')
                .expect("two");
            let task = Task {
                process: Pid(process.parse().expect("a pid")),
                has_own_memory: ids.contains('~'),
                is_born: !ids.contains('+'),
                is_asked: ids.contains('+'),
                is_consumed: false,
                steps: words.map(step).collect(),
            };
            (Tid(tid.parse().expect("a tid")), task)
        });
        Script {
            tasks: RefCell::new(tasks.collect()),
            began: Instant::now(),
            passed: Cell::new(Duration::ZERO),
            log: RefCell::default(),
        }
    }

    fn log(&self, what: String) {
        self.log.borrow_mut().push(what);
    }

    fn has_passed(&self, millis: u64) -> bool {
        self.passed.get() >= Duration::from_millis(millis)
    }
}

fn step(word: &str) -> Step {
    let (name, number) = word.split_once('=').unwrap_or((word, "1000000"));
    let number: u64 = number.parse().expect("a number");
    match name {
        "usr1" => Step::Shows(Stop::Signal(Signal(libc::SIGUSR1))),
        "group" => Step::Shows(Stop::Group(Signal(libc::SIGSTOP))),
        "exec" => Step::Shows(Stop::Exec),
        "ending" => Step::Shows(Stop::Exit),
        "makes" => Step::Makes(Tid(number as i32)),
        "made" => Step::Made(Tid(number as i32)),
        "int3" => Step::Int3,
        "stands" => Step::Stands,
        "sleeps" => Step::Is('D', number),
        "runs" => Step::Is('R', number),
        "exits" => Step::Exits,
        "vanishes" => Step::Vanishes,
        other => panic!("{other}"),
    }
}

impl Kernel for Script {
    type Stopped = Tid;

    fn interrupt(&self, tid: Tid) -> sys::Result<()> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(&tid).expect("a task of the script");
        task.is_asked = true;
        if let Some(&Step::Made(child)) = task.steps.front() {
            task.steps.pop_front();
            tasks.get_mut(&child).expect("a child").is_born = true;
        }
        Ok(())
    }

    fn look(&self, tid: Tid) -> sys::Result<Option<Status<Tid>>> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(&tid).expect("a task of the script");
        while let Some(Step::Is(_, until)) = task.steps.front()
            && self.has_passed(*until)
        {
            task.steps.pop_front();
        }
        let errno = Errno::ECHILD;
        let call = "waitid";
        let stop = match task.steps.front() {
            Some(Step::Exits) => return Ok(Some(Status::Exited(0))),
            Some(Step::Vanishes) => return Err(sys::Error { call, errno }),
            Some(Step::Is(..)) => return Ok(None),
            Some(Step::Shows(Stop::Exec)) => Stop::Exec,
            _ if task.is_consumed => return Ok(None),
            // Any trap takes the request with it.
            Some(Step::Shows(stop)) => {
                task.is_asked = false;
                *stop
            }
            Some(Step::Makes(child)) => {
                let child = *child;
                task.is_asked = false;
                tasks.get_mut(&child).expect("a child").is_born = true;
                return Ok(Some(Status::Stopped(tid, Stop::Clone)));
            }
            None | Some(Step::Int3 | Step::Stands) if task.is_asked => Stop::Interrupt,
            None | Some(Step::Int3 | Step::Stands | Step::Made(_)) => return Ok(None),
        };
        Ok(Some(Status::Stopped(tid, stop)))
    }

    fn consume(&self, tid: Tid) {
        if let Some(task) = self.tasks.borrow_mut().get_mut(&tid) {
            task.is_consumed = !matches!(task.steps.front(), Some(Step::Shows(Stop::Exec)));
            task.steps.pop_front_if(|step| matches!(step, Step::Stands));
        }
    }

    fn resume(&self, how: Resume<Tid>) {
        let Some(&tid) = how.stopped() else { return };
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(&tid).expect("a task of the script");
        match how {
            Resume::Deliver(_, signal) => self.log(format!("{tid} has {signal}")),
            Resume::Release(_) => self.log(format!("{tid} is let go")),
            _ if task.is_consumed => self.log(format!("{tid} goes on")),
            _ => {}
        }
        task.is_consumed = false;
        match task.steps.pop_front() {
            Some(Step::Int3) => {
                let trap = Step::Shows(Stop::Signal(Signal(libc::SIGTRAP)));
                task.steps.push_front(trap);
                task.is_asked = false;
            }
            None | Some(Step::Stands) => task.is_asked = false,
            Some(_) => {}
        }
    }

    fn is_trapped(&self, tid: Tid) -> bool {
        let tasks = self.tasks.borrow();
        matches!(tasks[&tid].steps.front(), Some(Step::Int3))
    }

    fn state(&self, tid: Tid) -> Option<char> {
        match self.tasks.borrow()[&tid].steps.front() {
            Some(Step::Is(state, _)) => Some(*state),
            Some(Step::Vanishes) => None,
            _ => Some('t'),
        }
    }

    fn now(&self) -> Instant {
        self.began + self.passed.get()
    }

    fn pause(&self) {
        let passed = self.passed.get() + Duration::from_millis(1);
        self.passed.set(passed);
    }
}

impl Processes for Script {
    fn seize(&self, _: Tid) -> sys::Result<()> {
        Ok(())
    }

    fn tid(&self, stopped: &Tid) -> Tid {
        *stopped
    }

    fn born(&self, stopped: &Tid) -> sys::Result<Tid> {
        match self.tasks.borrow()[stopped].steps.front() {
            Some(Step::Makes(child)) => Ok(*child),
            step => panic!("{step:?}"),
        }
    }

    fn reap(&self, tid: Tid) {
        self.log(format!("{tid} has ended"));
    }

    fn tasks(&self, pid: Pid) -> Vec<Tid> {
        let tasks = self.tasks.borrow();
        let of = tasks
            .iter()
            .filter(|(_, task)| task.is_born && task.process == pid);
        of.map(|(&tid, _)| tid).collect()
    }

    fn children(&self, pid: Pid) -> Vec<Pid> {
        let tasks = self.tasks.borrow();
        let born = tasks.values().filter(|task| task.is_born);
        let pids = born.map(|task| task.process);
        pids.filter(|other| pid == Pid(1) && other.0 < 10).collect()
    }

    fn processes(&self) -> Vec<Pid> {
        let tasks = self.tasks.borrow();
        tasks.values().map(|task| task.process).collect()
    }

    fn process_of(&self, tid: Tid) -> Option<Pid> {
        self.tasks.borrow().get(&tid).map(|task| task.process)
    }

    fn share_memory(&self, a: Pid, b: Pid) -> bool {
        let tasks = self.tasks.borrow();
        let has_own = |pid| {
            tasks
                .values()
                .any(|task| task.process == pid && task.has_own_memory)
        };
        !has_own(a) && !has_own(b)
    }
}

fn list(what: &str, tids: Vec<Tid>) -> Option<String> {
    let tids: Vec<String> = tids.iter().map(ToString::to_string).collect();
    (!tids.is_empty()).then(|| format!("{what} {}", tids.join(" ")))
}

#[test]
fn a_process_is_seized() {
    let check = |script: &str, expected: &str| {
        let kernel = Script::new(script);
        let seized = seize_by(&kernel, Pid(1));
        let mut told = kernel.log.take();
        match seized {
            Ok(Seized {
                stopped, asleep, ..
            }) => {
                let stopped = stopped.into_iter().map(|(tid, _)| tid).collect();
                told.extend(list("stopped", stopped));
                told.extend(list("asleep", asleep));
            }
            Err(Failed { why, asleep }) => {
                told.push(
                    why.to_string()
                        .split(':')
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                );
                told.extend(list("left", asleep));
            }
        }
        assert_eq!(told.join(", "), expected, "{script}");
    };
    check("1/1; 2/1", "stopped 1 2");
    check("2/2", "no such process");
    check("1/2; 2/2", "it is a thread of process 2; use -p 2");
    // Born while its maker is asked to stop, and by one that was: listed late.
    check("1/1; 2/1 makes=3; 3/1+", "stopped 1 2 3");
    check("1/1 makes=2; 2/1+ makes=3; 3/1+", "stopped 1 2 3");
    check("1/1; 2/1 made=3; 3/1+", "stopped 1 2 3");
    // A child with a memory of its own is let go, and has what is sent to it.
    check("1/1 makes=2; 2/2+~", "2 is let go, stopped 1");
    check(
        "1/1 makes=2; 2/2+~ usr1",
        "2 has SIGUSR1, 2 is let go, stopped 1",
    );
    check("1/1 makes=2; 2/2+", "stopped 1 2");
    check("1/1; 10/10; 11/11~", "stopped 1 10");
    // What comes before the stop goes its way.
    check("1/1 usr1; 2/1", "1 has SIGUSR1, stopped 1 2");
    check("1/1 group; 2/1", "stopped 1 2");
    check("1/1 int3", "1 has SIGTRAP, stopped 1");
    // Deaths: before a stop, and when it stood still already.
    check("1/1; 2/1 exits", "2 has ended, stopped 1");
    check("1/1; 2/1 vanishes", "2 has ended, stopped 1");
    check(
        "1/1; 2/1 stands exits; 3/1 runs=3",
        "2 has ended, stopped 1 3",
    );
    check("1/1 exits", "1 has ended");
    // An exec by another thread, which takes the id of the first.
    check(
        "1/1 stands exec; 2/1 runs=3 vanishes",
        "2 has ended, stopped 1",
    );
    // Sleepers are not waited for, and runners only for so long.
    check("1/1; 2/1 sleeps", "stopped 1, asleep 2");
    check("1/1; 2/1 runs=9000", "stopped 1 2");
    check("1/1; 2/1 runs", "1 is let go, it does not stop, left 2");
    // While all of ours sleep, those that they wait for run on.
    check("1/1 sleeps=50; 2/2", "2 goes on, stopped 1 2");
    check("1/1 sleeps; 2/2", "2 goes on, it does not stop, left 1 2");
    check("1/1 sleeps", "it does not stop, left 1");
}

/// Every task of a script, their last stops kept.
struct Everyone<'s> {
    script: &'s Script,
    is_impatient: bool,
}

impl Policy<Tid> for Everyone<'_> {
    fn wants(&mut self) -> Vec<(Tid, Want)> {
        let tasks = self.script.tasks.borrow();
        let born = tasks.iter().filter(|(_, task)| task.is_born);
        born.map(|(&tid, _)| (tid, Want::Stopped)).collect()
    }

    fn serve(&mut self, stopped: Tid, stop: Stop) -> Next<Tid> {
        match stop {
            Stop::Exit => Next::Keep(stopped),
            _ => Next::GoOn(Resume::after(stopped, stop)),
        }
    }

    fn ended(&mut self, tid: Tid, ending: Option<Ending>) {
        self.script.log(format!("{tid}: {ending:?}"));
    }

    fn gives_up(&mut self) -> bool {
        self.is_impatient
    }
}

#[test]
fn tasks_are_stopped() {
    let run = |script: &str, is_impatient: bool| {
        let script = Script::new(script);
        let mut stop_all = StopAll::new(&script);
        if let Some(first) = script.tasks.borrow().keys().next() {
            stop_all.add_stopped(*first, *first);
        }
        let limits = Limits {
            asleep: Duration::from_millis(20),
            running: Duration::from_millis(50),
        };
        let mut everyone = Everyone {
            script: &script,
            is_impatient,
        };
        let halted = stop_all.run(&mut everyone, limits);
        let mut told = script.log.take();
        let stopped = halted.stopped.into_iter().map(|(tid, _)| tid).collect();
        told.extend(list("stopped", stopped));
        told.extend(list("asleep", halted.asleep));
        told.extend(list("running", halted.running));
        told.push(format!(
            "{} in {:?}",
            halted.is_complete,
            script.passed.get()
        ));
        told.join(", ")
    };
    let check = |script: &str, expected: &str| assert_eq!(run(script, false), expected, "{script}");
    check("1/1", "stopped 1, true in 0ns");
    check("1/1; 2/1 ending", "stopped 1 2, true in 0ns");
    check(
        "1/1; 2/1 exits",
        "2: Some(Exited(0)), stopped 1, true in 0ns",
    );
    check("1/1; 2/1 vanishes", "2: None, stopped 1, true in 0ns");
    check("1/1; 2/1 sleeps", "stopped 1, asleep 2, true in 21ms");
    check("1/1; 2/1 runs", "stopped 1, running 2, false in 51ms");
    // The time begins anew with every task that is found.
    check(
        "1/1; 2/1 runs=40 makes=3; 3/1+ runs=80",
        "stopped 1 2 3, true in 80ms",
    );
    // A task that has not stopped at once is not waited for.
    assert_eq!(
        run("1/1; 2/1; 3/1 runs", true),
        "stopped 1 2, running 3, false in 0ns"
    );
    assert_eq!(run("1/1; 2/1", true), "stopped 1 2, true in 0ns");
}
