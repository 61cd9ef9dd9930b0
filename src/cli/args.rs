//! The options as clap reads them. They stop at the command, as in every program that runs another. The hidden
//! aliases are beginnings of long options that older versions of ltrace, which have fewer, take for these.

use super::leaks::LeakArgs;
use clap::{ArgAction, Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Shows which library functions a program calls, with their arguments and results.
#[derive(Parser, Debug)]
#[command(
    name = "ltrace",
    version,
    override_usage = "ltrace [OPTION]... COMMAND [ARG]...\n       ltrace [OPTION]... -p PID [-p PID]... [COMMAND [ARG]...]",
    after_help = EXAMPLES,
    infer_long_args = true,
    args_override_self = true,
    disable_help_flag = true,
    disable_version_flag = true
)]
pub(super) struct Args {
    /// Calls of imported functions: `malloc+free`, `-str*`, `%heap`, `@libz.so*`
    ///
    /// Behind `@` stands the module that calls. By default all calls of the main program are traced: `@MAIN`.
    #[arg(short = 'e', value_name = "FILTER", help_heading = SELECT, allow_hyphen_values = true)]
    pub(super) imports: Vec<String>,

    /// Calls, from anywhere, of what a library exports: `libz.so*`
    #[arg(short = 'l', long = "library", aliases = ["l", "li"], value_name = "PATTERN", help_heading = SELECT, allow_hyphen_values = true)]
    pub(super) libraries: Vec<String>,

    /// Functions wherever they are called from: `main`, `ns::f*`, `@libz.so*`
    ///
    /// Behind `@` stands the module that defines them. Addresses in a file mean functions, too: `0x401136`.
    #[arg(short = 'x', value_name = "FILTER", help_heading = SELECT, allow_hyphen_values = true)]
    pub(super) entries: Vec<String>,

    /// Nothing by default: only what -x names
    #[arg(short = 'L', help_heading = SELECT, hide_short_help = true)]
    pub(super) no_default: bool,

    /// List what could be traced, and run nothing
    ///
    /// What -e and -x mean, or the calls and functions of a filter.
    #[arg(long = "list", value_name = "FILTER", help_heading = SELECT, num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) list: Option<String>,

    /// Tell how a function is typed, and by what; with a command, as its calls would be. Nothing is run
    #[arg(long = "prototype", value_name = "FUNCTION", help_heading = SELECT, hide_short_help = true)]
    pub(super) prototype: Option<String>,

    /// List the named sets of functions, for filters: `%heap`
    #[arg(long = "list-filters", help_heading = SELECT, hide_short_help = true)]
    pub(super) list_filters: bool,

    /// System calls as well
    #[arg(short = 'S', help_heading = SELECT)]
    pub(super) system_calls: bool,

    /// Of system calls, as -S shows them, those that a filter means: `read+write`, `-futex`, `%file`
    #[arg(long = "syscalls", value_name = "FILTER", help_heading = SELECT, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) system_call_filters: Vec<String>,

    /// Only calls that take at least this time: `1ms`
    #[arg(long = "min-time", value_name = "TIME", help_heading = WHICH)]
    pub(super) min_time: Option<String>,

    /// Only calls that succeed
    #[arg(short = 'z', long = "successful-only", help_heading = WHICH, hide_short_help = true)]
    pub(super) successful: bool,

    /// Only calls that fail: that return an error or -1
    #[arg(short = 'Z', long = "failed-only", alias = "failing-only", help_heading = WHICH)]
    pub(super) failed: bool,

    /// Only calls within fewer than N others
    #[arg(long = "depth", value_name = "N", help_heading = WHICH, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) depth: Option<String>,

    /// Only calls that such a function makes: by its name and the module that it is in
    #[arg(long = "caller", value_name = "FILTER", help_heading = WHICH, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) callers: Vec<String>,

    /// Only calls of which this holds: `read: arg1 == 3 && ret < 0`
    ///
    /// Calls of functions of which no condition speaks are shown.
    #[arg(long = "arg", value_name = "CONDITION", help_heading = WHICH, allow_hyphen_values = true)]
    pub(super) values: Vec<String>,

    /// Only calls that are given this path, or a descriptor that is open on it; with a `/` at its end, on what is below it; as -y
    #[arg(short = 'P', long = "path", value_name = "PATH", help_heading = WHICH, hide_short_help = true)]
    pub(super) paths: Vec<String>,

    /// Only from a call of such a function on, which is traced
    #[arg(long = "trigger", value_name = "FILTER", help_heading = WHICH, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) triggers: Vec<String>,

    /// Only up to a call of such a function, which is traced
    #[arg(long = "stop", value_name = "FILTER", help_heading = WHICH, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) stops: Vec<String>,

    /// Let go after N calls, or after a time: `5s`
    #[arg(long = "until", value_name = "N|TIME", help_heading = WHICH)]
    pub(super) until: Option<String>,

    /// Attach to running processes: `-p 1,2`; Ctrl-C lets go of them
    #[arg(short = 'p', long = "attach", alias = "pid", value_name = "PID", help_heading = PROCESSES, allow_hyphen_values = true)]
    pub(super) attach: Vec<String>,

    /// Take out of the processes of -p what an ltrace that was killed has left in them
    #[arg(long = "detach", help_heading = PROCESSES, hide_short_help = true)]
    pub(super) detach: bool,

    /// Follow child processes; -ff -o FILE: each into a file of its own, FILE.PID
    #[arg(short = 'f', long = "follow-forks", aliases = ["follow", "follow-children"], help_heading = PROCESSES, action = ArgAction::Count)]
    pub(super) follow: u8,

    /// How calls are seen: stop (each call stops its task), record (code in the process records them where that is possible), or auto
    /// (record, unless the trace goes to where the program writes)
    #[arg(long = "instrument", aliases = ["ins", "inst", "instr", "instru"], value_name = "HOW", help_heading = PROCESSES, value_enum, default_value_t = How::Auto,
        hide_possible_values = true, hide_short_help = true)]
    pub(super) instrument: How,

    /// Set a variable in the command's environment; VAR alone takes it out
    #[arg(short = 'E', long = "env", value_name = "VAR=VALUE", help_heading = PROCESSES, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) env: Vec<OsString>,

    /// Run the command as this user
    #[arg(short = 'u', long = "user", value_name = "USER", help_heading = PROCESSES, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) user: Option<String>,

    /// Write the trace to a file, or to a command: `-o '|less'`
    #[arg(short = 'o', long = "output", aliases = ["o", "ou", "out", "outp", "outpu"], value_name = "FILE", help_heading = OUTPUT, allow_hyphen_values = true)]
    pub(super) output: Option<OsString>,

    /// Calls as an indented graph with times
    #[arg(long = "tree", help_heading = OUTPUT)]
    pub(super) tree: bool,

    /// The form of the trace: text, tree, json or chrome; of reports of --leaks: text, json or mtrace (a table of live blocks) [default: text]
    #[arg(long = "format", value_name = "FORMAT", help_heading = OUTPUT, hide_short_help = true)]
    pub(super) format: Option<String>,

    /// The trace as JSON as well, an object a line; of --leaks the last report
    #[arg(long = "json", value_name = "FILE", help_heading = OUTPUT)]
    pub(super) json: Option<OsString>,

    /// The trace for Perfetto, speedscope or chrome://tracing as well
    #[arg(long = "chrome", value_name = "FILE", help_heading = OUTPUT, hide_short_help = true)]
    pub(super) chrome: Option<OsString>,

    /// A page to look at as well: time line, flame graph, table of functions
    ///
    /// Of --leaks: what is live over time, flame graph, table of sites.
    #[arg(long = "html", value_name = "FILE", help_heading = OUTPUT)]
    pub(super) html: Option<OsString>,

    /// Record the trace as well, to be shown later by --replay
    #[arg(long = "record", value_name = "FILE", help_heading = OUTPUT)]
    pub(super) record: Option<OsString>,

    /// Show what was recorded, by any options; nothing is run
    #[arg(long = "replay", value_name = "FILE", help_heading = OUTPUT)]
    pub(super) replay: Option<PathBuf>,

    /// Serve what is known by HTTP while the trace goes on: /metrics for Prometheus, /debug/pprof/calls, and with --leaks /debug/pprof/heap.
    /// An address of this machine, or a port of it alone
    #[arg(long = "serve", value_name = "ADDRESS:PORT", help_heading = OUTPUT, hide_short_help = true)]
    pub(super) serve: Option<String>,

    /// Do not empty the file of -o first
    #[arg(long = "append", alias = "output-append-mode", help_heading = OUTPUT, hide_short_help = true)]
    pub(super) append: bool,

    /// A table of calls and times at the end; -cc: behind the trace
    #[arg(short = 'c', long = "summary-only", alias = "count", help_heading = OUTPUT, action = ArgAction::Count)]
    pub(super) count: u8,

    /// Columns of the table of -c: share, seconds, self, usecs, calls, errors, min, p50, p99, max, module, function
    #[arg(long = "summary-columns", value_name = "LIST", help_heading = OUTPUT, hide_short_help = true)]
    pub(super) columns: Option<String>,

    /// Rows of the table by this column [default: seconds]; sites of --leaks by bytes, blocks, rate or age [default: bytes]
    #[arg(long = "sort", alias = "summary-sort-by", value_name = "COLUMN", help_heading = OUTPUT, hide_short_help = true)]
    pub(super) sort: Option<String>,

    /// The same as -cc
    #[arg(long = "summary", help_heading = OUTPUT, hide = true)]
    pub(super) summary: bool,

    /// Names of C++ and Rust as in the source; -CC with their parameters
    #[arg(short = 'C', long = "demangle", action = ArgAction::Count, help_heading = OUTPUT)]
    pub(super) demangle: u8,

    /// Do not show signals
    #[arg(short = 'b', long = "no-signals", aliases = ["n", "no", "no-"], help_heading = OUTPUT, hide_short_help = true)]
    pub(super) no_signals: bool,

    /// Do not show how processes end
    #[arg(short = 'q', long = "quiet", aliases = ["silent", "silence"], action = ArgAction::Count, help_heading = OUTPUT, hide_short_help = true)]
    pub(super) quiet: u8,

    /// Colours: auto (on a terminal), always or never
    #[arg(long = "color", value_name = "WHEN", help_heading = OUTPUT, value_enum, default_value_t = When::Auto,
        hide_possible_values = true, hide_default_value = true, hide_short_help = true)]
    pub(super) color: When,

    /// Begin lines with the time of day; -tt: with microseconds; -ttt: since 1970
    #[arg(short = 't', long = "timestamps", aliases = ["absolute-timestamps", "timestamp"], help_heading = LINES, action = ArgAction::Count)]
    pub(super) time: u8,

    /// Begin lines with the time since the line before
    #[arg(short = 'r', long = "relative-timestamps", help_heading = LINES, hide_short_help = true)]
    pub(super) relative: bool,

    /// Show how long each call took
    #[arg(short = 'T', long = "call-times", alias = "syscall-times", help_heading = LINES)]
    pub(super) elapsed: bool,

    /// Show where each call returns to
    #[arg(short = 'i', long = "instruction-pointer", help_heading = LINES, hide_short_help = true)]
    pub(super) addresses: bool,

    /// Show N of the calls that led to each, below it
    #[arg(short = 'w', long = "where", value_name = "N", help_heading = LINES, allow_hyphen_values = true)]
    pub(super) backtrace: Option<String>,

    /// The same, with all of them
    #[arg(short = 'k', long = "stack-trace", alias = "stack-traces", help_heading = LINES, hide_short_help = true)]
    pub(super) stack_trace: bool,

    /// Indent nested calls by N blanks for each level
    #[arg(short = 'n', long = "indent", aliases = ["i", "in"], value_name = "N", help_heading = LINES, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) indent: Option<String>,

    /// The column of results [default: 5/8 of the terminal's width]
    #[arg(short = 'a', long = "align", aliases = ["a", "al", "columns"], value_name = "N", help_heading = LINES, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) align: Option<String>,

    /// Characters of a string to show [default: 32]
    #[arg(short = 's', long = "string-limit", alias = "strsize", value_name = "N", help_heading = VALUES, allow_hyphen_values = true)]
    pub(super) string: Option<String>,

    /// Show what the source calls arguments: NAME=VALUE
    #[arg(long = "arg-names", help_heading = VALUES, hide_short_help = true)]
    pub(super) arg_names: bool,

    /// Show what descriptors are open on: `3</etc/passwd>`
    ///
    /// Calls stop their task then.
    #[arg(short = 'y', long = "decode-fds", help_heading = VALUES, action = ArgAction::Count)]
    pub(super) descriptors: u8,

    /// Elements of an array to show [default: 4]
    #[arg(short = 'A', value_name = "N", help_heading = VALUES, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) array: Option<String>,

    /// Prototypes: files and directories of them, with `:` between
    #[arg(short = 'F', long = "config", aliases = ["c", "co", "con"], value_name = "LIST", help_heading = VALUES, allow_hyphen_values = true)]
    pub(super) prototypes: Vec<OsString>,

    #[command(flatten)]
    pub(super) leaks: LeakArgs,

    /// Tell what ltrace does, for a mistake in it: an octal mask or names; -Dh lists them
    #[arg(short = 'D', long = "debug", value_name = "MASK", help_heading = OTHER, allow_hyphen_values = true, hide_short_help = true)]
    pub(super) debug: Option<String>,

    /// Show this text
    #[arg(short = 'h', long = "help", aliases = ["h", "he", "hel"], help_heading = OTHER, action = ArgAction::HelpShort)]
    pub(super) help: Option<bool>,

    /// Show all options
    #[arg(long = "help-all", help_heading = OTHER, action = ArgAction::HelpLong)]
    pub(super) help_all: Option<bool>,

    /// Show the version
    #[arg(short = 'V', long = "version", aliases = ["v"], help_heading = OTHER, action = ArgAction::Version)]
    pub(super) version: Option<bool>,

    #[arg(value_name = "COMMAND", hide = true, trailing_var_arg = true)]
    pub(super) command: Vec<OsString>,
}

pub(super) const SELECT: &str = "What is traced";
pub(super) const WHICH: &str = "Which calls are shown";
pub(super) const PROCESSES: &str = "Processes";
pub(super) const OUTPUT: &str = "Output";
pub(super) const LINES: &str = "Lines";
pub(super) const VALUES: &str = "Values";
pub(super) const LEAKS: &str = "Leaks";
pub(super) const BLOCKS: &str = "Which blocks count (--leaks)";
pub(super) const CLUES: &str = "What is told of a site (--leaks)";
pub(super) const THINGS: &str = "Which things are watched (--leaks)";
pub(super) const FILES: &str = "Files and formats (--leaks)";
pub(super) const OTHER: &str = "Other";

const EXAMPLES: &str = "\
Examples:
  ltrace ls /                                     every library call of a program
  ltrace -e malloc+free -o trace.txt ./server     two functions only, into a file
  ltrace -c -l 'libsqlite3.so*' -p 4711           count what a process calls of a library
  ltrace --leaks -p 4711                          which memory is never freed
  ltrace --leaks --fail-on lost ./prog            the same of a command, for tests

More options: ltrace --help-all. More of each: docs/manual.md, docs/leaks.md, docs/json.md";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

/// By what calls are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum How {
    Auto,
    Record,
    Stop,
}
