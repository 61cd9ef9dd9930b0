//! The command line: clap's structs, and what they mean as a [`Config`]. Nothing else knows clap.
//!
//! Options stop at the command, as in every program that runs another one.

use crate::base::Pid;
use crate::config::{Children, Config, Launch, Report, Selection};
use crate::plan::filter::{Filter, FilterError, LibraryPattern};
use crate::sink::output::Destination;
use crate::sink::text::{Style, TaskIdForm, TaskIds, Time};
use crate::value::Limits;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Parser, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
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
struct Args {
    /// Calls that modules make to imported functions: `malloc+free`, `@libz.so*`, `-str*`, `%heap` [default: @MAIN, all calls of the main program]
    #[arg(short = 'e', value_name = "FILTER", help_heading = SELECT, allow_hyphen_values = true)]
    imports: Vec<String>,

    /// Calls, from anywhere, of what a library exports: `libz.so*`
    #[arg(short = 'l', long = "library", value_name = "PATTERN", help_heading = SELECT, allow_hyphen_values = true)]
    libraries: Vec<String>,

    /// Functions, wherever they are called from, by the module that defines them: `main`, `@libz.so*`
    #[arg(short = 'x', value_name = "FILTER", help_heading = SELECT, allow_hyphen_values = true)]
    entries: Vec<String>,

    /// Nothing by default: only what -x names
    #[arg(short = 'L', help_heading = SELECT)]
    no_default: bool,

    /// Attach to a process; may be repeated. Ctrl-C lets go of it, and it runs on
    #[arg(short = 'p', value_name = "PID", help_heading = PROCESSES, allow_hyphen_values = true)]
    attach: Vec<String>,

    /// Follow child processes
    #[arg(short = 'f', help_heading = PROCESSES, action = ArgAction::Count)]
    follow: u8,

    /// Run the command as this user
    #[arg(short = 'u', value_name = "USER", help_heading = PROCESSES, allow_hyphen_values = true)]
    user: Option<String>,

    /// Write the trace to a file, or to a command: `-o '|less'`
    #[arg(short = 'o', long = "output", value_name = "FILE", help_heading = OUTPUT, allow_hyphen_values = true)]
    output: Option<OsString>,

    /// Count calls and their time, and show a table at the end
    #[arg(short = 'c', help_heading = OUTPUT)]
    count: bool,

    /// Show C++ and Rust names as they are written in the source
    #[arg(short = 'C', long = "demangle", help_heading = OUTPUT)]
    demangle: bool,

    /// Do not show signals
    #[arg(short = 'b', long = "no-signals", help_heading = OUTPUT)]
    no_signals: bool,

    /// Colours: auto (on a terminal), always or never
    #[arg(long = "color", value_name = "WHEN", help_heading = OUTPUT, value_enum, default_value_t = When::Auto,
        hide_possible_values = true, hide_default_value = true)]
    color: When,

    /// Begin lines with the time of day; -tt: with microseconds; -ttt: since 1970
    #[arg(short = 't', help_heading = LINES, action = ArgAction::Count)]
    time: u8,

    /// Begin lines with the time since the line before
    #[arg(short = 'r', help_heading = LINES)]
    relative: bool,

    /// Show how long each call took
    #[arg(short = 'T', help_heading = LINES)]
    elapsed: bool,

    /// Show where each call returns to
    #[arg(short = 'i', help_heading = LINES)]
    addresses: bool,

    /// Indent nested calls by N blanks for each level
    #[arg(short = 'n', long = "indent", value_name = "N", help_heading = LINES, allow_hyphen_values = true)]
    indent: Option<String>,

    /// The column of results [default: 5/8 of the terminal's width]
    #[arg(short = 'a', long = "align", value_name = "N", help_heading = LINES, allow_hyphen_values = true)]
    align: Option<String>,

    /// Characters of a string to show [default: 32]
    #[arg(short = 's', value_name = "N", help_heading = VALUES, allow_hyphen_values = true)]
    string: Option<String>,

    /// Elements of an array to show [default: 4]
    #[arg(short = 'A', value_name = "N", help_heading = VALUES, allow_hyphen_values = true)]
    array: Option<String>,

    /// Prototypes: files, and directories to look for them first, separated by `:`
    #[arg(short = 'F', long = "config", value_name = "LIST", help_heading = VALUES, allow_hyphen_values = true)]
    prototypes: Vec<OsString>,

    /// Show this text
    #[arg(short = 'h', long = "help", help_heading = OTHER, action = ArgAction::Help)]
    help: Option<bool>,

    /// Show the version
    #[arg(short = 'V', long = "version", help_heading = OTHER, action = ArgAction::Version)]
    version: Option<bool>,

    #[arg(value_name = "COMMAND", hide = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

const SELECT: &str = "What is traced";
const PROCESSES: &str = "Processes";
const OUTPUT: &str = "Output";
const LINES: &str = "Lines";
const VALUES: &str = "Values";
const OTHER: &str = "Other";

const EXAMPLES: &str = "\
Examples:
  ltrace ls /                           every library call of a program
  ltrace -e malloc+free -o trace.txt ./server
                                        two functions only, into a file
  ltrace -c -l 'libsqlite3.so*' -p 4711
                                        count what a running program calls of one library";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

/// What the surroundings say where the command line is silent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// How wide the terminal is, if anybody knows.
    pub columns: Option<usize>,
    /// Standard error is a terminal that wants colours.
    pub colours: bool,
}

impl Surroundings {
    /// Looks at the environment and the standard streams.
    pub fn look() -> Surroundings {
        let variable = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        let width = |size: (terminal_size::Width, terminal_size::Height)| usize::from(size.0.0);
        let columns = variable
            .filter(|&columns| columns > 0)
            .or_else(|| terminal_size::terminal_size_of(io::stdout()).map(width))
            .or_else(|| terminal_size::terminal_size_of(io::stderr()).map(width));
        let stderr = io::stderr();
        let wanted = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
        Surroundings {
            columns,
            colours: wanted && stderr.is_terminal(),
        }
    }
}

/// Why nothing is traced.
#[derive(Debug)]
pub enum Stop {
    /// Help or version was asked for.
    Told(clap::Error),
    /// The command line makes no sense; in the user's words.
    Usage(String),
}

impl Stop {
    /// Says it where it belongs, and returns the exit status.
    pub fn tell(&self) -> u8 {
        // When even that cannot be written, there is nobody to tell.
        match self {
            Stop::Told(text) => {
                let _ = text.print();
                0
            }
            Stop::Usage(text) => {
                let _ = writeln!(
                    io::stderr(),
                    "{text}\nTry `ltrace --help' for more information."
                );
                2
            }
        }
    }
}

/// Understands a command line; its first word is the program's own name.
pub fn parse(
    words: impl IntoIterator<Item = OsString>,
    surroundings: Surroundings,
) -> Result<Config, Stop> {
    let args = Args::try_parse_from(words).map_err(stop)?;
    args.config(surroundings).map_err(Stop::Usage)
}

fn stop(error: clap::Error) -> Stop {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => name.as_str(),
        _ => "",
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Told(error),
        ErrorKind::UnknownArgument => {
            let option = named(ContextKind::InvalidArg);
            Stop::Usage(match option.strip_prefix("--") {
                Some(_) => format!("ltrace: unrecognized option '{option}'"),
                None => format!(
                    "ltrace: invalid option -- '{}'",
                    option.trim_start_matches('-')
                ),
            })
        }
        ErrorKind::InvalidValue if named(ContextKind::InvalidValue).is_empty() => {
            Stop::Usage(format!(
                "ltrace: an argument is missing after {}",
                named(ContextKind::InvalidArg)
            ))
        }
        _ => {
            let text = error.to_string();
            let lines = text.lines().take_while(|line| !line.is_empty());
            let lines: Vec<&str> = lines
                .map(|line| line.trim_start_matches("error: "))
                .collect();
            Stop::Usage(format!("ltrace: {}", lines.join("\n")))
        }
    }
}

impl Args {
    fn config(self, surroundings: Surroundings) -> Result<Config, String> {
        self.contradictions()?;
        let attach = self
            .attach
            .iter()
            .map(|text| pid(text))
            .collect::<Result<Vec<Pid>, String>>()?;
        let limits = Limits {
            string: number("-s", self.string.as_deref(), 0..=usize::MAX)?.unwrap_or(32),
            array: number("-A", self.array.as_deref(), 0..=usize::MAX)?.unwrap_or(4),
        };
        let output = destination(self.output.as_deref())?;
        // Both are looked at, so that a mistake in the style is told with -c too.
        let style = self.style(surroundings, &output)?;
        let selection = self.selection()?;
        let mut command = self.command.into_iter();
        let launch = command.next().map(|name| Launch {
            command: name,
            args: command.collect(),
            user: self.user,
        });
        if launch.is_none() && attach.is_empty() {
            return Err("ltrace: too few arguments".to_owned());
        }
        Ok(Config {
            launch,
            attach,
            children: if self.follow > 0 {
                Children::Followed
            } else {
                Children::Untraced
            },
            selection,
            prototypes: self
                .prototypes
                .iter()
                .flat_map(|list| paths(list))
                .collect(),
            limits,
            output,
            report: match self.count {
                true => Report::Summary {
                    demangle: self.demangle,
                },
                false => Report::Lines(style),
            },
        })
    }

    fn contradictions(&self) -> Result<(), String> {
        let wrong = |text: &str| Err(format!("ltrace: {text}"));
        if self.no_default && !(self.imports.is_empty() && self.libraries.is_empty()) {
            return wrong("Option -L can't be used with -e or -l.");
        }
        if self.relative && self.time > 0 {
            return wrong("Options -r and -t can't be used together");
        }
        if self.follow > 1 {
            return wrong("Option -f can be given only once");
        }
        if self.user.is_some() && self.command.is_empty() {
            return wrong("Option -u needs a command");
        }
        Ok(())
    }

    fn style(&self, surroundings: Surroundings, output: &Destination) -> Result<Style, String> {
        let given = number("-a", self.align.as_deref(), 0..=usize::MAX)?;
        let align = given.or(surroundings
            .columns
            .map(|columns| columns.saturating_mul(5) / 8));
        let to_stderr = *output == Destination::Stderr;
        let always = self.follow > 0 || (!self.attach.is_empty() && !to_stderr);
        Ok(Style {
            // Wider than any terminal, and no line may become endless.
            align: align.unwrap_or(50).min(usize::from(u16::MAX)),
            indent: number("-n", self.indent.as_deref(), 0..=20)?.unwrap_or(0),
            time: match self.time {
                0 if self.relative => Time::Delta,
                0 => Time::Hidden,
                1 => Time::OfDay,
                2 => Time::OfDayMicros,
                _ => Time::Epoch,
            },
            addresses: self.addresses,
            elapsed: self.elapsed,
            signals: !self.no_signals,
            callers: !(self.imports.is_empty() && self.libraries.is_empty()),
            task_ids: if always {
                TaskIds::Always
            } else {
                TaskIds::WhenSeveral
            },
            task_id_form: if to_stderr {
                TaskIdForm::Bracketed
            } else {
                TaskIdForm::Bare
            },
            thread_ends: self.follow > 0,
            demangle: self.demangle,
            coloured: match self.color {
                When::Auto => to_stderr && surroundings.colours,
                When::Always => true,
                When::Never => false,
            },
        })
    }

    fn selection(&self) -> Result<Selection, String> {
        let is_default = self.imports.is_empty() && self.libraries.is_empty() && !self.no_default;
        let imports = match is_default {
            true => vec![Filter::main_program()],
            false => each("-e", &self.imports, Filter::parse)?,
        };
        Ok(Selection {
            imports,
            libraries: each("-l", &self.libraries, LibraryPattern::parse)?,
            entries: each("-x", &self.entries, Filter::parse)?,
            is_default,
        })
    }
}

fn each<T>(
    option: &str,
    texts: &[String],
    parse: fn(&str) -> Result<T, FilterError>,
) -> Result<Vec<T>, String> {
    let one = |text: &String| parse(text).map_err(|error| format!("ltrace: {option}: {error}"));
    texts.iter().map(one).collect()
}

fn number(
    option: &str,
    text: Option<&str>,
    allowed: RangeInclusive<usize>,
) -> Result<Option<usize>, String> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    let range = || match *allowed.end() {
        usize::MAX => format!(">={}", allowed.start()),
        end => format!("{}..{end}", allowed.start()),
    };
    let wrong = || {
        format!(
            "Invalid argument to {option}: '{text}'.  Use integer {}.",
            range()
        )
    };
    number.map(Some).ok_or_else(wrong)
}

fn pid(text: &str) -> Result<Pid, String> {
    match text.parse() {
        Ok(pid) if pid >= 1 => Ok(Pid(pid)),
        _ => Err(format!(
            "Invalid argument to -p: '{text}'.  Use integer >=1."
        )),
    }
}

fn destination(text: Option<&OsStr>) -> Result<Destination, String> {
    let Some(text) = text else {
        return Ok(Destination::Stderr);
    };
    match text.as_bytes() {
        b"" => Err("ltrace: a file is missing after -o".to_owned()),
        [b'|', command @ ..] if command.trim_ascii().is_empty() => {
            Err("ltrace: a command is missing after -o '|".to_owned() + "'")
        }
        [b'|', command @ ..] => Ok(Destination::Pipe(OsStr::from_bytes(command).to_owned())),
        _ => Ok(Destination::File(text.into())),
    }
}

fn paths(list: &OsStr) -> impl Iterator<Item = PathBuf> {
    let parts = list
        .as_bytes()
        .split(|&b| b == b':')
        .filter(|part| !part.is_empty());
    parts.map(|part| PathBuf::from(OsStr::from_bytes(part)))
}

#[cfg(test)]
mod tests;
