//! The command line, understood as a [`Config`]. Nothing else knows clap.

mod args;
mod contradictions;
mod foreign;
mod leaks;
mod outputs;
mod pids;
mod slips;
mod values;

use crate::base::printable::printable_lines;
use crate::config::{Aim, Children, Config, Instrument, Launch, Leaks, Report, Selection};
use crate::leak::options::{Format, Frames};
use crate::leak::view::{Colours, Glyphs, Look};
use crate::plan::filter::{Filter, LibraryPattern};
use crate::sink::output::Destination;
use crate::sink::text::{Ends, Style, TaskIdForm, TaskIds, Time};
use crate::value::Limits;
use crate::value::render::Charset;
use args::{Args, How, When};
use clap::{CommandFactory, FromArgMatches};
use leaks::Shared;
use outputs::Outputs;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use values::{address, destination, each, number, paths, system_calls, topics, variable};

/// What the surroundings say where the command line is silent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// How wide the terminal is, if that is known.
    pub columns: Option<usize>,
    /// Standard error is a terminal.
    pub is_terminal: bool,
    /// It is one that wants colours.
    pub colours: bool,
    /// Texts are in Unicode (locale(7)).
    pub unicode: bool,
}

/// No terminal is wider: what `COLUMNS` says beyond that is a mistake.
const WIDEST: usize = 4096;

impl Surroundings {
    /// Looks at the environment and the standard streams.
    pub fn look() -> Surroundings {
        let variable = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        let width = |size: (terminal_size::Width, terminal_size::Height)| usize::from(size.0.0);
        let columns = variable
            .filter(|columns| (1..=WIDEST).contains(columns))
            .or_else(|| terminal_size::terminal_size_of(io::stdout()).map(width))
            .or_else(|| terminal_size::terminal_size_of(io::stderr()).map(width));
        let stderr = io::stderr();
        let wanted = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
        Surroundings {
            columns,
            is_terminal: stderr.is_terminal(),
            colours: wanted && stderr.is_terminal(),
            unicode: is_unicode(|name| std::env::var(name).ok()),
        }
    }
}

/// The first of these that says anything decides (locale(7)).
fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
    let locale = locale.into_iter().flatten().find(|text| !text.is_empty());
    let name = locale.unwrap_or_default().to_ascii_lowercase();
    name.contains("utf-8") || name.contains("utf8")
}

/// Why nothing is traced.
#[derive(Debug)]
pub enum Stop {
    /// Help or version was asked for.
    Told(clap::Error),
    /// Something else was asked for that is told at once.
    Said(String),
    /// The command line makes no sense; in the user's words.
    Usage(String),
}

impl Stop {
    /// Says it where it belongs, and returns the exit status.
    pub fn tell(&self) -> u8 {
        // When even that cannot be written, it cannot be told.
        match self {
            Stop::Told(text) => {
                let _ = text.print();
                0
            }
            Stop::Said(text) => {
                let _ = io::stdout().write_all(text.as_bytes());
                0
            }
            Stop::Usage(text) => {
                let _ = writeln!(
                    io::stderr(),
                    "{}\nTry `ltrace --help' for more information.",
                    printable_lines(text)
                );
                2
            }
        }
    }
}

/// The options, for what is generated of them: pages of the manual, completions of shells.
pub fn command() -> clap::Command {
    Args::command().mut_args(|arg| arg.hide_short_help(false))
}

/// Understands a command line; its first word is the program's own name.
pub fn parse(
    words: impl IntoIterator<Item = OsString>,
    surroundings: Surroundings,
) -> Result<Config, Stop> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let (given, args) = loop {
        let given = Args::command()
            .try_get_matches_from(&words)
            .map_err(slips::stop)?;
        let args = Args::from_arg_matches(&given).map_err(slips::stop)?;
        match pids::spread(&args, &words) {
            Some(spread) => words = spread,
            None => break (given, args),
        }
    };
    if args.debug.as_deref() == Some("h") {
        return Err(Stop::Said(values::topics_help()));
    }
    if args.list_filters {
        return Err(Stop::Said(values::list_of_filters()));
    }
    args.contradictions().map_err(Stop::Usage)?;
    if let Some(why) = args.nothing_to_do(&words) {
        return Err(Stop::Usage(why));
    }
    if !args.leaks.leaks {
        leaks::refuse(&given).map_err(Stop::Usage)?;
    }
    args.config(surroundings).map_err(Stop::Usage)
}

impl Args {
    fn config(self, surroundings: Surroundings) -> Result<Config, String> {
        let attach = pids::pids(&self.attach)?;
        let limits = self.limits()?;
        let output = self.destination()?;
        // Both are looked at, so that a mistake in the style is told with -c too.
        let style = self.style(surroundings, &output)?;
        let mut selection = self.selection()?;
        let outputs = match self.leaks.leaks {
            true => self.leak_outputs(surroundings, output, &style, &mut selection)?,
            false => self.outputs(output, style.clone())?,
        };
        let conditions = self.conditions()?;
        let serve = self.serve.as_deref().map(address).transpose()?;
        let descriptors = self.descriptors > 0 || !self.paths.is_empty();
        let launch = self.launch()?;
        let debug = self.debug.as_deref().map(topics).transpose()?;
        let aim = self.aim();
        let is_comparison = matches!(aim, Aim::Compare(_));
        if is_comparison && !(launch.is_none() && attach.is_empty()) {
            return Err("ltrace: --diff compares two files and traces nothing".to_owned());
        }
        Ok(Config {
            aim,
            launch,
            attach,
            children: if self.follow > 0 {
                Children::Followed
            } else {
                Children::Untraced
            },
            // Each system call stops its task, and what is recorded is read only later, as descriptors may not be.
            instrument: match self.instrument {
                _ if selection.system_calls.is_some() || descriptors => Instrument::Stop,
                How::Auto => Instrument::Auto,
                How::Record => Instrument::Record,
                How::Stop => Instrument::Stop,
            },
            selection,
            prototypes: self
                .prototypes
                .iter()
                .flat_map(|list| paths(list))
                .collect(),
            limits,
            output: outputs.output,
            debug: debug.unwrap_or_default(),
            report: outputs.report,
            also: outputs.also,
            conditions,
            serve,
            descriptors,
            frames: style.frames,
        })
    }

    fn limits(&self) -> Result<Limits, String> {
        let usual = Limits::default();
        Ok(Limits {
            string: number("-s", self.string.as_deref(), 0..=usize::MAX)?.unwrap_or(usual.string),
            array: number("-A", self.array.as_deref(), 0..=usize::MAX)?.unwrap_or(usual.array),
        })
    }

    fn destination(&self) -> Result<Destination, String> {
        Ok(match (destination(self.output.as_deref())?, self.follow) {
            (Destination::File(path), 2) => Destination::PerProcess(path),
            (_, 2) => return Err("ltrace: Option -ff needs -o FILE".to_owned()),
            (Destination::File(path), _) if self.append => Destination::Appended(path),
            (output, _) => output,
        })
    }

    fn launch(&self) -> Result<Option<Launch>, String> {
        let env = self.env.iter().map(variable).collect::<Result<_, _>>()?;
        let mut command = self.command.iter().cloned();
        Ok(command.next().map(|name| Launch {
            command: name,
            args: command.collect(),
            env,
            user: self.user.clone(),
        }))
    }

    fn aim(&self) -> Aim {
        if let Some(comparison) = self.leaks.comparison(self.html.as_deref()) {
            return Aim::Compare(comparison);
        }
        match (&self.prototype, &self.replay) {
            _ if self.detach => Aim::RemoveBreakpoints,
            _ if self.list.is_some() => Aim::List,
            (Some(name), _) => Aim::Prototype(name.clone()),
            (None, Some(path)) => Aim::Replay(path.clone()),
            (None, None) => Aim::Trace,
        }
    }

    /// What `--leaks` writes. Lines of calls come with it only when they are asked for.
    fn leak_outputs(
        &self,
        surroundings: Surroundings,
        output: Destination,
        style: &Style,
        selection: &mut Selection,
    ) -> Result<Outputs, String> {
        let columns = surroundings
            .columns
            .filter(|_| surroundings.is_terminal && output == Destination::Stderr);
        let shared = Shared {
            format: self.format.as_deref(),
            json: self.json.as_deref(),
            html: self.html.as_deref(),
            sort: self.sort.as_deref(),
            is_by_stops: self.instrument == How::Stop,
        };
        let (options, suppressions) = self.leaks.options(columns, &shared)?;
        let has_entries = !selection.entries.is_empty();
        let mut lines = Some(style.clone());
        if selection.is_default {
            selection.imports = Vec::new();
            selection.is_default = false;
            lines = None;
        }
        let lines = lines.filter(|_| !self.no_default || has_entries);
        // A command draws on the terminal itself.
        let is_alone = self.command.is_empty() && output == Destination::Stderr && lines.is_none();
        let is_viewed = is_alone && options.format == Format::Text;
        let view = is_viewed.then(|| self.look(surroundings, options.frames));
        Ok(Outputs {
            output,
            report: Report::Leaks(Box::new(Leaks {
                options,
                suppressions,
                lines,
                view,
            })),
            also: Vec::new(),
        })
    }

    fn look(&self, surroundings: Surroundings, frames: Frames) -> Look {
        Look {
            colours: match self.color {
                When::Never => Colours::None,
                When::Auto if !surroundings.colours => Colours::None,
                When::Auto | When::Always => Colours::Shown,
            },
            glyphs: match surroundings.unicode {
                true => Glyphs::Unicode,
                false => Glyphs::Ascii,
            },
            frames,
        }
    }

    /// What is missing where nothing is named that could be traced. The last word may belong to an option.
    fn nothing_to_do(&self, words: &[OsString]) -> Option<String> {
        let needs_none = self.leaks.comparison(self.html.as_deref()).is_some()
            || self.replay.is_some()
            || self.prototype.is_some();
        if !self.command.is_empty() || !self.attach.is_empty() || needs_none {
            return None;
        }
        let told = "ltrace: too few arguments: a command, or -p PID".to_owned();
        let [_, .., option, last] = words else {
            return Some(told);
        };
        let (option, last) = (option.to_string_lossy(), last.to_string_lossy());
        let taken = option.starts_with('-') && !last.starts_with('-');
        Some(match taken {
            true => format!("{told} (`{last}' is the argument of {option})"),
            false => told,
        })
    }

    fn style(&self, surroundings: Surroundings, output: &Destination) -> Result<Style, String> {
        let given = number("-a", self.align.as_deref(), 0..=usize::MAX)?;
        let align = given.or(surroundings
            .columns
            .map(|columns| columns.saturating_mul(5) / 8));
        let to_stderr = *output == Destination::Stderr;
        let many = self.follow > 0 || (!self.attach.is_empty() && !to_stderr);
        let always = many && !matches!(output, Destination::PerProcess(_));
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
            ends: match self.quiet {
                0 if self.follow > 0 => Ends::Threads,
                0 => Ends::Processes,
                _ => Ends::Hidden,
            },
            frames: match number("-w", self.backtrace.as_deref(), 1..=usize::MAX)? {
                None if self.stack_trace => usize::MAX,
                frames => frames.unwrap_or(0),
            },
            arg_names: self.arg_names,
            charset: match surroundings.unicode {
                true => Charset::Utf8,
                false => Charset::Ascii,
            },
            demangle: self.written(),
            coloured: match self.color {
                When::Auto => to_stderr && surroundings.colours,
                When::Always => true,
                When::Never => false,
            },
        })
    }

    fn selection(&self) -> Result<Selection, String> {
        if let Some(filter) = self.list.as_deref().filter(|filter| !filter.is_empty()) {
            let filter = each("--list", &[filter.to_owned()], Filter::parse)?;
            return Ok(Selection {
                imports: filter.clone(),
                libraries: Vec::new(),
                entries: filter,
                system_calls: None,
                is_default: false,
            });
        }
        let is_default = self.imports.is_empty() && self.libraries.is_empty() && !self.no_default;
        let imports = match is_default {
            true => vec![Filter::main_program()],
            false => each("-e", &self.imports, Filter::parse)?,
        };
        Ok(Selection {
            imports,
            libraries: each("-l", &self.libraries, LibraryPattern::parse)?,
            entries: each("-x", &self.entries, Filter::parse)?,
            system_calls: match self.sees_system_calls() {
                true => Some(each("--syscalls", &self.system_call_filters, system_calls)?),
                false => None,
            },
            is_default,
        })
    }

    fn sees_system_calls(&self) -> bool {
        self.system_calls || !self.system_call_filters.is_empty()
    }
}

#[cfg(test)]
mod tests;
