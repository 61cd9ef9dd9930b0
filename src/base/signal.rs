//! Signal numbers, real-time ones included, by the names and texts users know.

use std::fmt;

/// A signal by its number on x86-64 Linux (signal(7)). Numbers are not checked: the kernel gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub i32);

/// The first real-time signal as programs see it: glibc keeps the kernel's 32 and 33 for itself (signal(7)).
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

/// Name and text of signals 1 to 31 (signal(7), strsignal(3)).
const STANDARD: [(&str, &str); 31] = [
    ("SIGHUP", "Hangup"),
    ("SIGINT", "Interrupt"),
    ("SIGQUIT", "Quit"),
    ("SIGILL", "Illegal instruction"),
    ("SIGTRAP", "Trace/breakpoint trap"),
    ("SIGABRT", "Aborted"),
    ("SIGBUS", "Bus error"),
    ("SIGFPE", "Floating point exception"),
    ("SIGKILL", "Killed"),
    ("SIGUSR1", "User defined signal 1"),
    ("SIGSEGV", "Segmentation fault"),
    ("SIGUSR2", "User defined signal 2"),
    ("SIGPIPE", "Broken pipe"),
    ("SIGALRM", "Alarm clock"),
    ("SIGTERM", "Terminated"),
    ("SIGSTKFLT", "Stack fault"),
    ("SIGCHLD", "Child exited"),
    ("SIGCONT", "Continued"),
    ("SIGSTOP", "Stopped (signal)"),
    ("SIGTSTP", "Stopped"),
    ("SIGTTIN", "Stopped (tty input)"),
    ("SIGTTOU", "Stopped (tty output)"),
    ("SIGURG", "Urgent I/O condition"),
    ("SIGXCPU", "CPU time limit exceeded"),
    ("SIGXFSZ", "File size limit exceeded"),
    ("SIGVTALRM", "Virtual timer expired"),
    ("SIGPROF", "Profiling timer expired"),
    ("SIGWINCH", "Window changed"),
    ("SIGIO", "I/O possible"),
    ("SIGPWR", "Power failure"),
    ("SIGSYS", "Bad system call"),
];

impl Signal {
    /// What strsignal(3) says of it.
    pub fn description(self) -> String {
        match self.standard() {
            Some((_, text)) => (*text).to_owned(),
            None if (SIGRTMIN..=SIGRTMAX).contains(&self.0) => {
                format!("Real-time signal {}", self.0 - SIGRTMIN)
            }
            None => format!("Unknown signal {}", self.0),
        }
    }

    fn standard(self) -> Option<&'static (&'static str, &'static str)> {
        let index = usize::try_from(self.0).ok()?.checked_sub(1)?;
        STANDARD.get(index)
    }
}

/// `SIGUSR1`; real-time signals as `SIGRT0` to `SIGRT30`; anything else as its number.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standard() {
            Some((name, _)) => f.write_str(name),
            None if (SIGRTMIN..=SIGRTMAX).contains(&self.0) => {
                write!(f, "SIGRT{}", self.0 - SIGRTMIN)
            }
            None => write!(f, "SIG{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[track_caller]
    fn check(number: i32, name: &str, text: &str) {
        assert_eq!(Signal(number).to_string(), name);
        assert_eq!(Signal(number).description(), text);
    }

    #[test]
    fn names_and_texts() {
        check(1, "SIGHUP", "Hangup");
        check(31, "SIGSYS", "Bad system call");
        check(32, "SIG32", "Unknown signal 32");
        check(34, "SIGRT0", "Real-time signal 0");
        check(64, "SIGRT30", "Real-time signal 30");
        check(0, "SIG0", "Unknown signal 0");
        check(-1, "SIG-1", "Unknown signal -1");
    }
}
