//! Options that exclude each other, and options that need another one.

use super::args::Args;
use super::values::destination;
use crate::sink::output::Destination;

impl Args {
    /// Refuses options that cannot be used together, in ltrace's words where it has some.
    pub(super) fn contradictions(&self) -> Result<(), String> {
        let all = self.excluded().into_iter().chain(self.needs());
        match all.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, text)) => Err(format!("ltrace: {text}")),
            None => Ok(()),
        }
    }

    /// Whether options were given that exclude each other, and what is said then.
    fn excluded(&self) -> [(bool, &'static str); 14] {
        let leaks = self.leaks.leaks;
        let replay = self.replay.is_some();
        [
            (
                self.no_default && !(self.imports.is_empty() && self.libraries.is_empty()),
                "Option -L can't be used with -e or -l.",
            ),
            (
                self.relative && self.time > 0,
                "Options -r and -t can't be used together",
            ),
            (
                self.sees_system_calls() && leaks,
                "Options --leaks and -S can't be used together",
            ),
            (
                self.follow > 1 && leaks,
                "Options --leaks and -ff can't be used together",
            ),
            (
                self.successful && self.failed,
                "Options -z and -Z can't be used together",
            ),
            (
                replay && !(self.command.is_empty() && self.attach.is_empty()),
                "Option --replay takes no command and no -p",
            ),
            (
                replay && self.serve.is_some(),
                "Options --replay and --serve can't be used together",
            ),
            (
                self.descriptors > 0 && (leaks || replay),
                "Options --leaks or --replay and -y can't be used together",
            ),
            (
                leaks && (self.record.is_some() || replay),
                "Options --leaks and --record or --replay can't be used together",
            ),
            (
                leaks && self.tree,
                "Options --leaks and --tree can't be used together",
            ),
            (
                leaks && self.chrome.is_some(),
                "Options --leaks and --chrome can't be used together",
            ),
            (
                leaks && (self.count > 0 || self.summary),
                "Options --leaks and -c can't be used together",
            ),
            (
                leaks && self.list.is_some(),
                "Options --leaks and --list can't be used together",
            ),
            (self.follow > 2, "Option -f can be given only twice"),
        ]
    }

    /// Whether an option was given without another that it needs, and what is said then.
    fn needs(&self) -> [(bool, &'static str); 4] {
        let no_command = self.command.is_empty();
        let output = destination(self.output.as_deref());
        let is_file = matches!(output, Ok(Destination::File(_)));
        [
            (
                self.detach && (self.attach.is_empty() || !no_command),
                "Option --detach needs -p, and no command",
            ),
            (
                self.append && (!is_file || self.follow > 1),
                "Option --append needs -o FILE, and no -ff",
            ),
            (
                !self.env.is_empty() && no_command,
                "Option -E needs a command",
            ),
            (
                self.user.is_some() && no_command,
                "Option -u needs a command",
            ),
        ]
    }
}
