//! One run: builds engine, decoder and sink, lets the one feed the other, and has the last word.

mod consumer;
mod leaks;
mod remove_breakpoints;
mod screen;

use crate::base::Pid;
use crate::base::frozen::Freezing;
use crate::base::printable::printable;
use crate::base::signal::Signal;
use crate::config::{Aim, Children, Config, Launch, Report};
use crate::decode::Decoder;
use crate::engine::supervisor::attach::AttachError;
use crate::engine::supervisor::recording::Instrument;
use crate::engine::supervisor::run::Outcome;
use crate::engine::supervisor::state::{Ending, Follow, Supervisor};
use crate::error::Error;
use crate::leak;
use crate::leak::kinds::Kinds;
use crate::leak::leak_sink::{LeakSink, Setup};
use crate::leak::progress::Progress;
use crate::leak::symbols::Book;
use crate::leak::tracker::Knowledge;
use crate::leak::view::View;
use crate::plan::Plan;
use crate::plan::resources::Resources;
use crate::program;
use crate::proto::library::{Library, Sources};
use crate::record::Caps;
use crate::sink::Sink;
use crate::sink::behind::Behind;
use crate::sink::both::Both;
use crate::sink::demangle::Names;
use crate::sink::output::{Destination, Shared};
use crate::sink::per_process::{Make, PerProcess};
use crate::sink::summary::Summary;
use crate::sink::text::{Style, Text};
use crate::stack::Symbolizer;
use crate::sys::front::{self, Duties, End, Link, Side, Stops, UserRequests};
use crate::sys::terminal::Terminal;
use crate::sys::{interrupt, patience, proc};
use consumer::Consumer;
use screen::OnTerminal;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// How often a waiting tracer looks up: what a buffered output holds back is no older.
const BEAT: Duration = Duration::from_millis(100);

/// Carries out what the user wants. The result is the exit status.
pub fn run(config: Config) -> Result<u8, Error> {
    if let Aim::Compare {
        old,
        new,
        top,
        html,
    } = &config.aim
    {
        let text = leak::output::compare(old, new, *top, html.as_deref())?;
        let written = config
            .output
            .open(interrupt::is_unwanted)
            .and_then(|mut out| out.write_all(text.as_bytes()));
        return written
            .map(|()| 0)
            .map_err(|why| Error::output(&config.output, why));
    }
    if let Report::Leaks { options, .. } = &config.report {
        leak::output::try_files(&options.files)?;
    }
    match proc::own_pid() {
        Some(pid) if pid.0 as u32 == std::process::id() => {}
        Some(_) => return Err(Error::Proc("belongs to another pid namespace")),
        None => return Err(Error::Proc("is not mounted")),
    }
    if config.aim == Aim::TakeOut {
        return Ok(remove_breakpoints::remove_breakpoints(&config.attach));
    }
    let drawn = drawn(&config.report);
    match front::split(duties(&config, &drawn))? {
        Side::Tracer(link) => {
            let ended = trace(config, link, drawn);
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

/// The process cannot end while a thread of it waits for a file: nobody is to wait for that.
fn leave_stuck(ended: &Result<u8, Error>) {
    if let Err(why) = ended {
        tell(&why.to_string());
    }
    front::leave(*ended.as_ref().unwrap_or(&1));
}

/// What is drawn on the terminal, besides lines.
enum Drawn {
    Nothing,
    /// How far something is that takes long.
    Bars,
    View(Terminal),
}

/// Asked before the front end and the tracer part: the tracer is in nobody's foreground.
fn drawn(report: &Report) -> Drawn {
    match report {
        Report::Leaks { view, .. } => match view.and_then(|_| Terminal::ours()) {
            Some(terminal) => Drawn::View(terminal),
            None if Terminal::can_draw() => Drawn::Bars,
            None => Drawn::Nothing,
        },
        Report::Lines(_) | Report::Summary { .. } => Drawn::Nothing,
    }
}

/// What the front end has to do.
fn duties(config: &Config, drawn: &Drawn) -> Duties {
    Duties {
        stops: match config.launch {
            Some(_) => Stops::AsCommand,
            None => Stops::Own,
        },
        user_requests: match config.report {
            Report::Leaks { .. } => UserRequests::Heard,
            Report::Lines(_) | Report::Summary { .. } => UserRequests::Unknown,
        },
        terminal: match drawn {
            Drawn::View(terminal) => Some(terminal.clone()),
            Drawn::Bars | Drawn::Nothing => None,
        },
    }
}

/// The tracer's part.
fn trace(config: Config, link: Link, drawn: Drawn) -> Result<u8, Error> {
    let command = config.launch.as_ref().map(program::command).transpose()?;
    let mut out = config
        .output
        .open(interrupt::is_unwanted)
        .map_err(|why| Error::output(&config.output, why))?;
    let prototypes = prototypes(&config, &mut out)?;
    interrupt::listen(BEAT)?;
    let kinds = Arc::new(kinds(&config.report)?);
    let resources = match &config.report {
        Report::Leaks { options, .. } => leaks::resources(&kinds, options, &prototypes),
        Report::Lines(_) | Report::Summary { .. } => Resources::default(),
    };
    let knowledge = match config.attach.is_empty() {
        true => Knowledge::All,
        false => Knowledge::SinceAttach,
    };
    let plan = Plan {
        calls: (!config.selection.is_default).then_some(config.selection.imports),
        libraries: config.selection.libraries,
        entries: config.selection.entries,
        resources,
        prototypes,
    };
    let instrument = match config.instrument {
        crate::config::Instrument::Stop => Instrument::Stop,
        crate::config::Instrument::Auto => Instrument::Record(Caps {
            text: config.limits.string,
            array: config.limits.array,
        }),
    };
    let follow = match config.children {
        Children::Untraced => Follow::Threads,
        Children::Followed => Follow::Children,
    };
    let mut engine = Supervisor::new(plan, follow, instrument, link);
    let freezing = match &config.report {
        Report::Leaks { options, .. } => options.freezing,
        Report::Lines(_) | Report::Summary { .. } => Freezing::default(),
    };
    let mut consumer = Consumer {
        decoder: Decoder::new(config.limits),
        elsewhere: config.output != Destination::Stderr
            || matches!(config.report, Report::Leaks { .. }) && !matches!(drawn, Drawn::View(_)),
        sink: sink(config.report, &config.output, out, drawn, kinds, knowledge),
        failure: None,
        freezing,
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
    } else if refused == config.attach.len() || engine.is_hopeless() {
        return Ok(1);
    }
    patience::begin();
    consumer.sink.begin();
    let outcome = loop {
        match engine.run(&mut |hit| consumer.take(hit))? {
            Outcome::Requested(request) => consumer.serve(request, &mut engine),
            outcome => break outcome,
        }
    };
    for path in patience::given_up() {
        tell(&patience::told(&path));
    }
    consumer
        .finish()
        .map_err(|why| Error::output(&config.output, why))?;
    Ok(match consumer.sink.status() {
        _ if refused > 0 => 1,
        Some(status) => status,
        None => status(&engine, outcome),
    })
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
    // When even that cannot be written, there is nobody to tell.
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

/// The pairs of a hunt, joined.
fn kinds(report: &Report) -> Result<Kinds, Error> {
    match report {
        Report::Leaks { options, .. } => Ok(Kinds::new(&options.sets)?),
        Report::Lines(_) | Report::Summary { .. } => Ok(Kinds::default()),
    }
}

fn sink(
    report: Report,
    to: &Destination,
    out: Box<dyn Write + Send>,
    drawn: Drawn,
    kinds: Arc<Kinds>,
    knowledge: Knowledge,
) -> Box<dyn Sink> {
    let make: Make = match report {
        Report::Lines(style) => Box::new(move |out| Box::new(Text::new(style.clone(), out))),
        Report::Summary { demangle: true } => {
            Box::new(|out| Box::new(Summary::new(Names::demangled(), out)))
        }
        Report::Summary { demangle: false } => {
            Box::new(|out| Box::new(Summary::new(Names::as_they_are(), out)))
        }
        Report::Leaks {
            options,
            suppressions,
            lines,
            view,
        } => {
            let (bars, terminal): (Option<Box<dyn Write>>, _) = match drawn {
                Drawn::Nothing => (None, None),
                Drawn::Bars => (Some(Box::new(io::stderr())), None),
                Drawn::View(terminal) => (None, Some(terminal)),
            };
            let view = view
                .zip(terminal)
                .map(|(look, terminal)| View::new(Box::new(OnTerminal::new(terminal)), look));
            let (out, lines) = reports(lines, out);
            let leaks = LeakSink::new(Setup {
                options: *options,
                kinds,
                knowledge,
                suppressions,
                book: Book::new(Symbolizer::new(leaks::open)),
                system: Box::new(leaks::LiveSystem),
                out,
                progress: Progress::new(bars),
                view,
            });
            return match lines {
                Some(text) => Box::new(Both(text, leaks)),
                None => Box::new(leaks),
            };
        }
    };
    match to {
        Destination::PerProcess(path) => Box::new(PerProcess::new(path.clone(), make)),
        Destination::Stderr | Destination::File(_) | Destination::Pipe(_) => make(out),
    }
}

/// Where reports go, and lines of calls with them if they are wanted.
fn reports(lines: Option<Style>, out: Box<dyn Write + Send>) -> (Behind, Option<Text>) {
    let unwanted = interrupt::is_unwanted;
    let Some(style) = lines else {
        return (Behind::new(out, unwanted), None);
    };
    let shared = Shared::new(out);
    let text = Text::new(style, Box::new(shared.clone()));
    (Behind::shared(Box::new(shared), unwanted), Some(text))
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
