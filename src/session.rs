//! One run: builds engine, decoder and sink, lets the one feed the other, and has the last word.

mod code;
mod consumer;
mod leaks;
mod list;
mod live_system;
mod mode;
mod remove_breakpoints;
mod replay;
mod screen;
mod served;
mod shared_output;

use crate::base::names::Spelling;
use crate::base::printable::printable;
use crate::base::signal::Signal;
use crate::base::{Pid, Tid};
use crate::config::{Aim, Children, Comparison, Config, Form, Instrument, Launch, Report};
use crate::decode::Decoder;
use crate::engine::supervisor::attach::AttachError;
use crate::engine::supervisor::realise;
use crate::engine::supervisor::run::Outcome;
use crate::engine::supervisor::state::{Ending, Follow, Supervisor};
use crate::error::Error;
use crate::leak;
use crate::leak::tracker::Knowledge;
use crate::plan::system_calls::SystemCalls;
use crate::plan::{ModuleName, Plan, Stack};
use crate::process::descriptors::Descriptors;
use crate::program;
use crate::proto::library::{Library, Sources};
use crate::record::Caps;
use crate::sink::Sink;
use crate::sink::both::Both;
use crate::sink::debug::{self, Debug, Topic, Topics};
use crate::sink::demangle::Names;
use crate::sink::descriptors::{Described, Handle};
use crate::sink::named::Named;
use crate::sink::output::Destination;
use crate::sink::promises::Promises;
use crate::sink::sieve::{Conditions, Sieve};
use crate::stack::{Bytes, Root};
use crate::sys::front::{self, Duties, End, Link, Side, Stops};
use crate::sys::root::Last;
use crate::sys::{file, interrupt, patience, proc};
use code::Code;
use consumer::Consumer;
use leaks::LeakMode;
use mode::{Lines, Machine, Mode, Out, Quiet, Summary, machine};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// How often a waiting tracer looks up: what a buffered output holds back is no older.
const TICK: Duration = Duration::from_millis(100);

/// Carries out what the user wants. The result is the exit status.
pub fn run(config: Config) -> Result<u8, Error> {
    match &config.aim {
        Aim::Compare(comparison) => compare(comparison, &config.output),
        Aim::RemoveBreakpoints => {
            check_proc()?;
            Ok(remove_breakpoints::remove_breakpoints(&config.attach))
        }
        Aim::List => {
            let mut complaints = io::stderr();
            let prototypes = prototypes(&config, &mut complaints)?;
            list::list(config, prototypes)
        }
        Aim::Prototype(function) => {
            let function = function.clone();
            let mut complaints = io::stderr();
            let prototypes = prototypes(&config, &mut complaints)?;
            list::prototype(&config, &prototypes, &function)
        }
        Aim::Replay(path) => {
            let path = path.clone();
            replay::replay(config, &path)
        }
        Aim::Trace => start(config),
    }
}

/// Writes what changed between two reports.
fn compare(comparison: &Comparison, output: &Destination) -> Result<u8, Error> {
    let text = leak::output::compare(comparison)?;
    let written = output
        .open(interrupt::is_unwanted)
        .and_then(|mut out| out.write_all(text.as_bytes()));
    written.map_err(|why| Error::output(output, why))?;
    Ok(0)
}

/// Everything that is known of processes is read from there.
fn check_proc() -> Result<(), Error> {
    match proc::own_pid() {
        Some(pid) if pid.0 as u32 == std::process::id() => Ok(()),
        Some(_) => Err(Error::Proc("belongs to another pid namespace")),
        None => Err(Error::Proc("is not mounted")),
    }
}

/// Parts front end and tracer; each does its part.
fn start(config: Config) -> Result<u8, Error> {
    check_proc()?;
    let mode = mode(&config, Code::of_processes())?;
    let duties = Duties {
        stops: match config.launch {
            Some(_) => Stops::AsCommand,
            None => Stops::Own,
        },
        user_requests: mode.user_requests(),
        terminal: mode.terminal(),
    };
    match front::split(duties)? {
        Side::Tracer(link) => {
            let ended = trace(config, mode, link);
            if patience::is_stuck() {
                leave_stuck(&ended);
            }
            ended
        }
        Side::Front(front) => match front.stand()? {
            End::Exited(status) => Ok(status),
            End::Asked(signal) => Ok(signalled(signal)),
            End::Killed(signal) => Err(Error::TracerKilled(signal)),
        },
    }
}

/// The one place where it is asked what is made of calls.
fn mode(config: &Config, code: Code) -> Result<Box<dyn Mode>, Error> {
    Ok(match &config.report {
        Report::Lines { style, counted } => Box::new(Lines {
            style: style.clone(),
            counted: counted.clone(),
            code,
        }),
        Report::Other(form) => Box::new(Machine {
            form: *form,
            frames: config.frames,
            code,
        }),
        Report::Summary { demangle, table } => Box::new(Summary {
            demangle: *demangle,
            table: table.clone(),
        }),
        Report::Nothing => Box::new(Quiet),
        Report::Leaks(leaks) => Box::new(LeakMode::new(leaks)?),
    })
}

/// The process cannot end while a thread of it waits for a file: the user is not to wait for that.
fn leave_stuck(ended: &Result<u8, Error>) {
    if let Err(why) = ended {
        tell(&why.to_string());
    }
    front::leave(*ended.as_ref().unwrap_or(&1));
}

/// The tracer's part.
fn trace(mut config: Config, mut mode: Box<dyn Mode>, link: Link) -> Result<u8, Error> {
    let served = config
        .serve
        .map(|at| served::serve(at, &mut *mode))
        .transpose()?;
    let command = config.launch.as_ref().map(program::command).transpose()?;
    let mut out = open(&config.output)?;
    let mut also = Vec::new();
    for (to, form) in &config.also {
        also.push((*form, open(to)?));
    }
    let prototypes = prototypes(&config, &mut out)?;
    interrupt::listen(TICK)?;
    let instrument = instrument(&config, &*mode);
    let plan = plan(&config, &*mode, prototypes);
    let follow = match config.children {
        Children::Untraced => Follow::Threads,
        Children::Followed => Follow::Children,
    };
    let mut engine = Supervisor::new(plan, follow, instrument, link);
    if config.debug.has(Topic::Instrument) {
        // When it cannot be written, it cannot be told.
        let tell = |text: &str| drop(debug::line(&mut io::stderr(), Topic::Instrument, text));
        engine.tell_instruments(tell);
    }
    let mut consumer = Consumer {
        decoder: Decoder::new(config.limits)
            .keep_words(keeps_words(&config))
            .show_arguments(shows_arguments(&config, &*mode)),
        tells_losses: config.output != Destination::Stderr || mode.hides_losses(),
        copying: mode.copying(),
        sink: sink(&mut config, mode, out, also, served),
        failure: None,
        promises: Promises::from_environment(),
    };
    if config.launch.is_none() {
        patience::begin();
    }
    let refused = attach_all(&mut engine, &config.attach, &mut consumer);
    if let (Some(command), Some(launch)) = (command, &config.launch) {
        // Half of what was asked for would be traced.
        if refused > 0 {
            return Ok(1);
        }
        engine
            .launch(&command, &mut |hit| consumer.take(hit))
            .map_err(|why| Error::launch(launch, why))?;
    } else if refused == config.attach.len() || engine.lacks_expected_for_good() {
        return Ok(1);
    }
    patience::begin();
    consumer.sink.begin();
    let outcome = serve(&mut engine, &mut consumer, &config.output)?;
    Ok(match consumer.sink.status() {
        _ if refused > 0 => 1,
        Some(status) => status,
        None => status(&engine, outcome),
    })
}

/// What is made of observations: those that are shown, with names in the place of numbers, in each output.
fn sink(
    config: &mut Config,
    mode: Box<dyn Mode>,
    out: Out,
    also: Vec<(Form, Out)>,
    served: Option<served::Served>,
) -> Box<dyn Sink> {
    let knowledge = match config.attach.is_empty() {
        true => Knowledge::All,
        false => Knowledge::SinceAttach,
    };
    let spelling = match &config.report {
        Report::Lines { style, .. } => style.demangle,
        _ => Spelling::AsTheyAre,
    };
    let shows_values = mode.shows_frames() || !also.is_empty();
    let sink = mode.sink(&config.output, out, knowledge);
    let code = Code::of_processes();
    let sink = with_others(also, config.frames, &code, sink);
    let sink = match shows_values {
        true => named(spelling, sink),
        false => sink,
    };
    let sink = served::counted(served, sink);
    let sink = sieved(std::mem::take(&mut config.conditions), &code, sink);
    with_debug(config.debug, described(config.descriptors, sink))
}

/// Serves the processes until the end, and has the sink say its last words.
fn serve(
    engine: &mut Supervisor,
    consumer: &mut Consumer,
    output: &Destination,
) -> Result<Outcome, Error> {
    let outcome = loop {
        match engine.run(&mut |hit| consumer.take(hit))? {
            Outcome::Requested(request) => consumer.serve(request, engine),
            outcome => break outcome,
        }
    };
    let finished = consumer.finish();
    // The last report looks for files as well.
    for path in patience::given_up() {
        tell(&patience::told(&path));
    }
    finished.map_err(|why| Error::output(output, why))?;
    Ok(outcome)
}

fn open(to: &Destination) -> Result<Out, Error> {
    let opened = to.open(interrupt::is_unwanted);
    opened.map_err(|why| Error::output(to, why))
}

/// By what calls are seen.
fn instrument(config: &Config, mode: &dyn Mode) -> realise::Instrument {
    // There the order of both matters: of the calls that are shown, those that may write tell where it does.
    let in_order = mode.writes_as_it_goes() && shared_output::is_shared(config);
    let records = match config.instrument {
        Instrument::Stop => false,
        Instrument::Record => true,
        Instrument::Auto => !in_order || config.selection.is_default,
    };
    match records {
        false => realise::Instrument::Stop,
        true => realise::Instrument::Record(Caps {
            text: config.limits.string,
            array: config.limits.array,
            arguments: shows_arguments(config, mode),
            in_order: in_order && config.instrument == Instrument::Auto,
        }),
    }
}

/// What is to be seen.
fn plan(config: &Config, mode: &dyn Mode, prototypes: Library) -> Plan {
    let stacks = match mode.shows_frames() || !config.also.is_empty() {
        true if config.frames > 0 => Stack::Wanted,
        _ => Stack::Unwanted,
    };
    let selection = config.selection.clone();
    let system_calls = selection.system_calls;
    Plan {
        stacks,
        calls: (!selection.is_default).then_some(selection.imports),
        libraries: selection.libraries,
        entries: selection.entries,
        system_calls: system_calls.map(|filters| SystemCalls::new(filters, stacks)),
        resources: mode.resources(&prototypes),
        prototypes,
        conditions: config.conditions.functions(),
        files: !config.conditions.callers.is_empty()
            || has_form(config, |form| *form == Form::Recording),
    }
}

/// Whether anything shows arguments, or looks at them.
fn shows_arguments(config: &Config, mode: &dyn Mode) -> bool {
    let is_debugged = config.debug.0 != 0;
    mode.shows_arguments() || !config.also.is_empty() || config.conditions.are_any() || is_debugged
}

/// Whether arguments are wanted as they were passed, too.
fn keeps_words(config: &Config) -> bool {
    let has_them = |form: &Form| matches!(form, Form::Json | Form::Recording);
    !config.conditions.values.is_empty() || has_form(config, has_them)
}

/// Whether one of the outputs has such a form.
fn has_form(config: &Config, is_it: impl Fn(&Form) -> bool) -> bool {
    matches!(&config.report, Report::Other(form) if is_it(form))
        || config.also.iter().any(|(_, form)| is_it(form))
}

/// The sink, for the calls that meet the conditions; with who tells whose code calls.
fn sieved(conditions: Conditions, code: &Code, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    match conditions.are_any() {
        true => {
            let callers = (!conditions.callers.is_empty()).then(|| code.callers());
            Box::new(Sieve::new(conditions, sink).with_callers(callers))
        }
        false => sink,
    }
}

/// The sink, for events with addresses of functions and streams by their names.
fn named(spelling: Spelling, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    let open = |pid, module: &ModuleName| {
        let root = Root::elsewhere(pid);
        let theirs = root.map(|root| root.open(Path::new(&module.path), Last::Any));
        let file = theirs.unwrap_or_else(|| file::open(Path::new(&module.path)));
        let mapped = file.and_then(|file| file::map(&file)).ok();
        mapped.map(Bytes::from).into_iter().collect()
    };
    Box::new(Named::new(Box::new(open), Names::new(spelling), sink))
}

/// The sink, for events that tell what descriptors are open on.
fn described(is_wanted: bool, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    match is_wanted {
        true => {
            let mut known = Descriptors::default();
            let of = move |tid, handle| match handle {
                Handle::Descriptor(number) => Some((number, known.describe(tid, number)?)),
                Handle::Stream(at) => known.stream(tid, at),
                Handle::Thread(thread) => Some((thread, proc::name(Tid(thread as i32))?)),
            };
            Box::new(Described::new(Box::new(of), sink))
        }
        false => sink,
    }
}

/// The sink, beside those of other outputs of the same trace.
fn with_others(
    also: Vec<(Form, Out)>,
    frames: usize,
    code: &Code,
    sink: Box<dyn Sink>,
) -> Box<dyn Sink> {
    also.into_iter().fold(sink, |sink, (form, out)| {
        let other = machine(form, code, frames, out);
        Box::new(Both(other, sink))
    })
}

/// The sink, beside one that tells of ltrace's own doings if that is asked for.
fn with_debug(topics: Topics, sink: Box<dyn Sink>) -> Box<dyn Sink> {
    match topics {
        Topics(0) => sink,
        topics => Box::new(Both(Debug::new(topics, Box::new(io::stderr())), sink)),
    }
}

/// Attaches to each process; says why where it cannot, and how often it could not.
fn attach_all(engine: &mut Supervisor, pids: &[Pid], consumer: &mut Consumer) -> usize {
    let mut refused = 0;
    for &pid in pids {
        // The engine will see the request as well.
        if interrupt::is_requested() {
            break;
        }
        let attached = engine.attach(pid, &mut |hit| consumer.take(hit));
        match attached {
            Ok(()) | Err(AttachError::Asked) => {}
            Err(why) => {
                refused += 1;
                tell(&cannot_attach(pid, &why));
            }
        }
    }
    refused
}

fn cannot_attach(pid: Pid, why: &AttachError) -> String {
    format!("cannot attach to process {pid}: {why}")
}

fn tell(what: &str) {
    // When even that cannot be written, it cannot be told.
    let _ = writeln!(io::stderr(), "ltrace: {}", printable(what));
}

/// All prototypes. What is wrong in their files is told where the trace goes.
fn prototypes(config: &Config, out: &mut dyn Write) -> Result<Library, Error> {
    let options = config
        .prototypes
        .iter()
        .map(|path| path.to_string_lossy().into_owned());
    let mut library = Library::shipped();
    let complaints = library.load(&Sources::from_environment(options.collect()))?;
    for complaint in complaints {
        writeln!(out, "{}", printable(&complaint.to_string()))
            .map_err(|why| Error::output(&config.output, why))?;
    }
    Ok(library)
}

/// The program's own status; 128 and the signal's number for one that a signal ended, or that we were
/// asked to leave.
fn status(engine: &Supervisor, outcome: Outcome) -> u8 {
    match (engine.launched().map(|launched| launched.end), outcome) {
        (Some(Some(Ending::Exited(status))), _) => status as u8,
        (Some(Some(Ending::Killed(signal))), _) => signalled(signal),
        (Some(None), Outcome::Asked(request)) => signalled(request.signal),
        (Some(None) | None, _) => 0,
    }
}

fn signalled(signal: Signal) -> u8 {
    (128 + signal.0).clamp(0, 255) as u8
}

impl Launch {
    /// The command as the user would recognise it.
    pub fn name(&self) -> String {
        self.command.to_string_lossy().into_owned()
    }
}
