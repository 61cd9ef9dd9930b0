//! The front-end process: it stays where the user started it, while its child does the tracing.
//!
//! The tracer leaves the terminal's session (see [`super::placement`]), so another process has to stand there in
//! its place: to be signalled by the terminal and by others, to be stopped and continued by a shell, and
//! to end with the tracer's status. The front end does nothing else; it sleeps in sigwaitinfo(2).

use super::fork::fork_alone;
use super::interrupt::{self, Request};
use super::terminal::Terminal;
use super::{Error, Result, user_requests};
use crate::base::Pid;
use crate::base::signal::Signal;
use nix::errno::Errno;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, Signal as Nix, kill, raise, sigaction,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, getpid, getppid};

/// Who stops the front end when the user presses Ctrl-Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stops {
    /// The terminal.
    Own,
    /// A command that runs in the front end's place: when it stops, and only then, the shell is to see
    /// its job stopped. It may catch the terminal's signal, or stop itself alone.
    AsCommand,
}

/// Which of the two processes goes on.
pub enum Side {
    /// The one that the user started.
    Front(FrontEnd),
    /// Its child.
    Tracer(Link),
}

/// What a front end does besides passing on requests to end.
#[derive(Clone, Debug)]
pub struct Duties {
    /// Whose stop is its own.
    pub stops: Stops,
    /// Whether it passes on user requests.
    pub user_requests: UserRequests,
    /// The terminal that the tracer draws on.
    pub terminal: Option<Terminal>,
}

/// What becomes of signals that are [`user_requests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRequests {
    /// They are passed on.
    Heard,
    /// They do what they always do.
    Unknown,
}

/// The process that the user started.
pub struct FrontEnd {
    tracer: nix::unistd::Pid,
    duties: Duties,
}

/// The tracer's way to its front end.
#[derive(Debug)]
pub struct Link {
    front: Pid,
    /// The front end was told to stop.
    stopped: bool,
}

/// How the tracer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exited(u8),
    /// By a signal that we passed on before it was ready for it.
    Asked(Signal),
    /// By a signal that should not have come.
    Killed(Signal),
}

/// Makes the tracer's process.
pub fn split(duties: Duties) -> Result<Side> {
    let front = getpid();
    // Blocked, so that none is lost before the front end waits for them.
    let before = duties
        .listened()
        .thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)
        .map_err(failed("sigprocmask"))?;
    // While it is ignored, children leave no status (wait(2), NOTES).
    let chld = set(Nix::SIGCHLD, SigHandler::SigDfl)?;
    match fork_alone()? {
        ForkResult::Parent { child } => Ok(Side::Front(FrontEnd {
            tracer: child,
            duties,
        })),
        ForkResult::Child => {
            // SAFETY: what was there before; no handler of ours.
            unsafe { sigaction(Nix::SIGCHLD, &chld) }.map_err(failed("sigaction"))?;
            if duties.user_requests == UserRequests::Heard {
                user_requests::listen()?;
            }
            before.thread_set_mask().map_err(failed("sigprocmask"))?;
            end_with(front)?;
            Ok(Side::Tracer(Link {
                front: Pid(front.as_raw()),
                stopped: false,
            }))
        }
    }
}

/// Asks for a SIGTERM when the front end is gone, or takes it now if that has happened (prctl(2),
/// PR_SET_PDEATHSIG). Forked children do not inherit the request.
fn end_with(front: nix::unistd::Pid) -> Result<()> {
    // SAFETY: this request takes a signal number and no pointers.
    let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    if asked == -1 {
        return Err(Error::last("prctl(PR_SET_PDEATHSIG)"));
    }
    interrupt::end_with(Pid(front.as_raw()));
    if getppid() != front {
        raise(Nix::SIGTERM).map_err(failed("raise"))?;
    }
    Ok(())
}

impl FrontEnd {
    /// Passes requests on to the tracer until it has ended.
    pub fn stand(self) -> Result<End> {
        if self.duties.stops == Stops::AsCommand {
            for signal in [Nix::SIGTSTP, Nix::SIGTTIN, Nix::SIGTTOU] {
                set(signal, SigHandler::SigIgn)?;
            }
        }
        let listened = self.duties.listened();
        let mut last = None;
        loop {
            if let Some(end) = self.ended(last)? {
                if let (End::Asked(_) | End::Killed(_), Some(terminal)) =
                    (end, &self.duties.terminal)
                {
                    terminal.leave();
                }
                return Ok(end);
            }
            let Some((signal, info)) = next(&listened)? else {
                continue;
            };
            if signal == libc::SIGRTMIN() {
                // SAFETY: the sender's id is set for a signal sent by a process (sigaction(2)).
                let sender = unsafe { info.si_pid() };
                if sender == self.tracer.as_raw() {
                    let value = interrupt::value(&info);
                    if value & ENDS != 0 {
                        return Ok(End::Exited(value as u8));
                    }
                    self.stop_by(value);
                }
            } else if self
                .duties
                .user_requests()
                .any(|request| request as i32 == signal)
            {
                self.pass(Signal(signal));
            } else if signal != libc::SIGCHLD {
                let request = Request {
                    signal: Signal(signal),
                    from_terminal: info.si_code == libc::SI_KERNEL,
                };
                last = Some(request.signal);
                interrupt::pass(request, Pid(self.tracer.as_raw()));
            }
        }
    }

    /// Stops as the command did, or as the terminal wants it, until a shell continues us.
    fn stop_by(&self, number: i32) {
        match &self.duties.terminal {
            None => stop_by(number),
            Some(terminal) => {
                let _ = raise(Nix::SIGSTOP);
                terminal.wait_for_front();
                self.pass(Signal(libc::SIGCONT));
            }
        }
    }

    fn pass(&self, request: Signal) {
        interrupt::send(Pid(self.tracer.as_raw()), request, 0);
    }

    fn ended(&self, passed: Option<Signal>) -> Result<Option<End>> {
        let end = match waitpid(self.tracer, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => End::Exited(status as u8),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                let signal = Signal(signal as i32);
                if passed == Some(signal) {
                    End::Asked(signal)
                } else {
                    End::Killed(signal)
                }
            }
            Ok(_) | Err(Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(failed("waitpid")(errno)),
        };
        Ok(Some(end))
    }
}

impl Link {
    /// The command was stopped by this signal: its shell is to see it.
    pub fn command_stopped(&mut self, signal: Signal) {
        self.stopped = true;
        interrupt::send(Pid(self.front.0), Signal(libc::SIGRTMIN()), signal.0);
    }

    /// The command runs, again or still.
    pub fn command_runs(&mut self) {
        if std::mem::take(&mut self.stopped) {
            // One that is gone needs no word.
            let _ = kill(nix::unistd::Pid::from_raw(self.front.0), Nix::SIGCONT);
        }
    }
}

/// Asks the front end, our parent, to stop: the terminal is left to others.
pub fn stop_front() {
    let front = Pid(getppid().as_raw());
    interrupt::send(front, Signal(libc::SIGRTMIN()), libc::SIGTSTP);
}

/// Has the front end end with this status, though the tracer cannot end itself yet. The shell is not to wait for what the
/// tracer has open either.
pub fn leave(status: u8) {
    interrupt::send(
        Pid(getppid().as_raw()),
        Signal(libc::SIGRTMIN()),
        ENDS | i32::from(status),
    );
    for descriptor in 0..3 {
        // SAFETY: the process is about to end, and uses none of them any more.
        unsafe { libc::close(descriptor) };
    }
}

/// What the tracer sends with a status that the front end is to end with.
const ENDS: i32 = 1 << 16;

impl Duties {
    /// The signals that are passed on as user requests.
    fn user_requests(&self) -> impl Iterator<Item = Nix> {
        let sent = match self.user_requests {
            UserRequests::Heard => &user_requests::SENT[..],
            UserRequests::Unknown => &[],
        };
        let stop = self.terminal.as_ref().map(|_| Nix::SIGTSTP);
        sent.iter().copied().chain(stop)
    }

    /// What the front end waits for. A hangup that was ignored (nohup(1)) stays so.
    fn listened(&self) -> SigSet {
        let mut set: SigSet = self.user_requests().collect();
        for signal in interrupt::REQUESTS {
            if signal != Nix::SIGHUP || !interrupt::is_ignored(signal) {
                set.add(signal);
            }
        }
        set.add(Nix::SIGCHLD);
        let mut raw = *set.as_ref();
        // SAFETY: `raw` is a live signal set, and the number that of a signal (sigsetops(3)).
        unsafe { libc::sigaddset(&raw mut raw, libc::SIGRTMIN()) };
        // SAFETY: a set of standard signals and one real-time signal, initialised by nix above.
        unsafe { SigSet::from_sigset_t_unchecked(raw) }
    }
}

fn next(set: &SigSet) -> Result<Option<(i32, libc::siginfo_t)>> {
    // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live objects of the right types.
    match unsafe { libc::sigwaitinfo(set.as_ref(), &raw mut info) } {
        -1 if Errno::last() == Errno::EINTR => Ok(None),
        -1 => Err(Error::last("sigwaitinfo")),
        signal => Ok(Some((signal, info))),
    }
}

/// Stops as the command did, until a shell continues us.
fn stop_by(number: i32) {
    let Ok(signal) = Nix::try_from(number) else {
        return;
    };
    let stops = [Nix::SIGSTOP, Nix::SIGTSTP, Nix::SIGTTIN, Nix::SIGTTOU];
    if stops.contains(&signal) {
        // SIGSTOP has no disposition to set.
        let _ = set(signal, SigHandler::SigDfl);
        let _ = raise(signal);
        let _ = set(signal, SigHandler::SigIgn);
    }
}

fn set(signal: Nix, to: SigHandler) -> Result<SigAction> {
    let action = SigAction::new(to, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler of ours is installed, only the default or ignoring.
    unsafe { sigaction(signal, &action) }.map_err(failed("sigaction"))
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error { call, errno }
}
