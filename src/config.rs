//! What the user wants, in plain structs: made by `cli`, carried out by `session`.

use crate::base::Pid;
use crate::base::names::Spelling;
pub use crate::leak::options::Comparison;
use crate::leak::options::Options;
use crate::leak::report::suppress::Suppressions;
use crate::leak::view::Look;
use crate::plan::filter::{Filter, LibraryPattern};
use crate::sink::debug::Topics;
use crate::sink::output::Destination;
use crate::sink::sieve::Conditions;
use crate::sink::summary::Table;
use crate::sink::text::Style;
use crate::value::Limits;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One run of the tracer.
#[derive(Debug)]
pub struct Config {
    /// What it is all about.
    pub aim: Aim,
    /// The command to start and trace.
    pub launch: Option<Launch>,
    /// The processes to attach to (`-p`). Without a command there is at least one.
    pub attach: Vec<Pid>,
    /// What becomes of child processes (`-f`).
    pub children: Children,
    /// Which calls are traced.
    pub selection: Selection,
    /// Files and directories of prototypes (`-F`), in the order given.
    pub prototypes: Vec<PathBuf>,
    /// How much of a value is shown.
    pub limits: Limits,
    /// By what calls are seen (`--instrument`).
    pub instrument: Instrument,
    /// Where the trace goes (`-o`).
    pub output: Destination,
    /// What is made of the calls.
    pub report: Report,
    /// Other outputs of the same trace (`--json`, `--chrome`).
    pub also: Vec<(Destination, Form)>,
    /// Which calls are shown.
    pub conditions: Conditions,
    /// So many of the calls that led to one are shown with it (`-w`).
    pub frames: usize,
    /// Where it is told by HTTP what is known (`--serve`).
    pub serve: Option<SocketAddr>,
    /// Descriptors are shown with what they are open on (`-y`).
    pub descriptors: bool,
    /// What is told of ltrace's own doings (`--debug`).
    pub debug: Topics,
}

/// By what calls are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// By code in the process that records them, where that is possible; by int3s where the trace goes to where the
    /// program writes as well, so that lines and the program's own output keep their order.
    Auto,
    /// By code that records them, wherever the trace goes.
    Record,
    /// By int3s: each call stops its task.
    Stop,
}

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To trace.
    Trace,
    /// To show what could be traced (`--list`).
    List,
    /// Tell what is known of a function's types.
    Prototype(String),
    /// To show what was recorded (`--replay`).
    Replay(PathBuf),
    /// To remove breakpoints that a killed tracer has left in the processes (`--detach`).
    RemoveBreakpoints,
    /// To show what changed between two reports (`--leaks --diff`).
    Compare(Comparison),
}

/// A command to start.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// Looked up in `PATH` unless it has a `/`.
    pub command: OsString,
    /// What follows it.
    pub args: Vec<OsString>,
    /// What is changed in its environment, in this order (`-E`).
    pub env: Vec<Variable>,
    /// The user it runs as (`-u`).
    pub user: Option<String>,
}

/// A variable of a command's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: OsString,
    /// Its value; `None`: it is taken out.
    pub value: Option<OsString>,
}

/// What becomes of child processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// They run untraced.
    Untraced,
    /// They are traced like their parent.
    Followed,
}

/// Which calls are traced: those of any of the three lists.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Calls of imported functions, by the module that calls (`-e`; all of the main program when
    /// nothing was asked for).
    pub imports: Vec<Filter>,
    /// Calls of imported functions that these libraries export, from anywhere (`-l`).
    pub libraries: Vec<LibraryPattern>,
    /// Functions wherever they are called from, by the module that defines them (`-x`).
    pub entries: Vec<Filter>,
    /// System calls as well: those that one of these means, or all without any (`-S`, `--syscalls`).
    pub system_calls: Option<Vec<Filter>>,
    /// None of `-e`, `-l` and `-L` was given.
    pub is_default: bool,
}

/// What is made of the calls.
#[derive(Debug)]
pub enum Report {
    /// A line for each, and at the end the table of `-c` if it is `counted` (`-cc`).
    Lines {
        /// How lines look.
        style: Style,
        /// The table comes at the end.
        counted: Option<Table>,
    },
    /// In another form (`--format`).
    Other(Form),
    /// Nothing but what is served.
    Nothing,
    /// The table of `-c`.
    Summary {
        /// Names are shown as their language writes them (`-C`).
        demangle: Spelling,
        /// How the table looks.
        table: Table,
    },
    /// What is never given back (`--leaks`), and the lines of calls if any were asked for besides.
    Leaks(Box<Leaks>),
}

/// A form other than ltrace's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An object a line (docs/json.md).
    Json,
    /// Chrome's Trace Event Format.
    Chrome,
    /// A page to look at (`--html`).
    Page,
    /// All of it, to be replayed (`--record`).
    Recording,
    /// A graph of calls, to be read (`--tree`).
    Tree {
        /// Names are shown as their language writes them (`-C`).
        demangle: Spelling,
    },
}

/// Leaks, as they are asked for.
#[derive(Clone, Debug)]
pub struct Leaks {
    /// What is to be known of them.
    pub options: Options,
    /// What is not to be reported.
    pub suppressions: Suppressions,
    /// How calls are shown, if they are.
    pub lines: Option<Style>,
    /// How the view is drawn where there is a terminal for it; nothing for plain reports.
    pub view: Option<Look>,
}
