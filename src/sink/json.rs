//! A trace for machines: one JSON object a line, a call's when it has ended (docs/json.md, docs/trace.schema.json).

mod value;

use super::Sink;
use super::demangle::demangle;
use super::places::Places;
use super::text::backtrace::{self, Backtrace, Frame};
use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::time::Timestamp;
use crate::event::{CallId, Event, Kind, Why};
use crate::export::json;
use crate::plan::{self, Tracepoint};
use crate::value::Value;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use value::Shown;

/// What a change of the format that could mislead a reader raises.
const VERSION: u32 = 1;

/// Writes the objects.
pub struct Json {
    out: Box<dyn Write>,
    has_begun: bool,
    open: FxHashMap<CallId, Begun>,
    places: Places,
    demangled: HashMap<Arc<str>, Option<Arc<str>>>,
    backtraces: Option<backtrace::Shared>,
    frames: usize,
}

/// What the end of a call has to know of its beginning.
struct Begun {
    time: Timestamp,
    return_address: Addr,
    args: Vec<Value>,
    words: Vec<u64>,
    stack: Option<Backtrace>,
}

/// The first line.
#[derive(Serialize)]
struct Head<'a> {
    event: &'a str,
    version: u32,
    ltrace: &'a str,
}

/// What all other lines begin with.
#[derive(Serialize)]
struct Line<T> {
    event: &'static str,
    pid: i32,
    tid: i32,
    time_ns: u64,
    #[serde(flatten)]
    of: T,
}

#[derive(Serialize)]
struct Call<'a> {
    id: u64,
    depth: usize,
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    demangled: Option<&'a str>,
    kind: &'static str,
    module: &'a str,
    return_address: Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Caller<'a>>,
    args: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Shown<'a>>,
    end: &'static str,
    elapsed_ns: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack: Vec<Frame>,
}

/// Where in a file a return address is.
#[derive(Serialize)]
struct Caller<'a> {
    module: &'a str,
    vaddr: Addr,
}

#[derive(Serialize)]
struct Again<'a> {
    function: &'a str,
    depth: usize,
    return_address: Addr,
    result: Shown<'a>,
}

#[derive(Serialize)]
struct Signal<'a> {
    signal: &'a str,
    number: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<Addr>,
}

#[derive(Serialize)]
struct Started {
    parent: Option<i32>,
}

#[derive(Serialize)]
struct Exec {
    ip: Addr,
}

#[derive(Serialize)]
struct Ended<T> {
    #[serde(flatten)]
    how: T,
    /// The process is gone with it.
    last: bool,
}

#[derive(Serialize)]
struct Status {
    status: i32,
}

#[derive(Serialize)]
struct Module<'a> {
    module: &'a str,
    path: &'a str,
    start: Addr,
    end: Addr,
}

#[derive(Serialize)]
struct Lost<'a> {
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Nothing {}

impl Json {
    /// Objects that go to `out`.
    pub fn new(out: Box<dyn Write>) -> Json {
        Json {
            out,
            has_begun: false,
            open: FxHashMap::default(),
            places: Places::default(),
            demangled: HashMap::new(),
            backtraces: None,
            frames: 0,
        }
    }

    /// The same with backtraces from there, of so many calls.
    pub fn with_backtraces(self, backtraces: Option<backtrace::Shared>, frames: usize) -> Json {
        Json {
            backtraces,
            frames,
            ..self
        }
    }

    fn begin_file(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        let head = Head {
            event: "trace",
            version: VERSION,
            ltrace: env!("CARGO_PKG_VERSION"),
        };
        write(&mut self.out, &head)
    }

    fn line(&mut self, event: &Event, name: &'static str, of: impl Serialize) -> io::Result<()> {
        let line = line(event, event.time, name, of);
        write(&mut self.out, &line)
    }

    fn end(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        point: &Tracepoint,
        end: End<'_>,
    ) -> io::Result<()> {
        let unknown = Begun {
            time: event.time,
            return_address: Addr(0),
            args: Vec::new(),
            words: Vec::new(),
            stack: None,
        };
        let begun = self.open.remove(&id).unwrap_or(unknown);
        let demangled = self.demangled(&point.symbol);
        let args = begun.args.iter().chain(end.out_args);
        let words = begun.words.iter().copied().map(Some);
        let words = words.chain(std::iter::repeat(None));
        let caller = self.places.find(event.pid, begun.return_address);
        let call = Call {
            id: id.0,
            depth,
            function: &point.symbol,
            demangled: demangled.as_deref(),
            kind: kind(point),
            module: &point.module.name,
            return_address: begun.return_address,
            caller: caller.map(|(module, vaddr)| Caller {
                module: &module.name,
                vaddr: Addr(vaddr.0),
            }),
            args: args
                .zip(words)
                .map(|(arg, word)| Shown::new(arg, word))
                .collect(),
            result: end
                .result
                .map(|(value, word)| Shown::new(value, Some(word))),
            end: end.how,
            elapsed_ns: nanos(end.elapsed),
            stack: self.stack(event.pid, begun.stack),
        };
        let line = line(event, begun.time, "call", call);
        write(&mut self.out, &line)
    }

    fn stack(&self, pid: Pid, backtrace: Option<Backtrace>) -> Vec<Frame> {
        let backtraces = self.backtraces.as_ref().zip(backtrace);
        backtraces.map_or_else(Vec::new, |(backtraces, backtrace)| {
            backtraces.borrow_mut().frames(pid, backtrace, self.frames)
        })
    }

    fn demangled(&mut self, symbol: &Arc<str>) -> Option<Arc<str>> {
        if let Some(known) = self.demangled.get(symbol) {
            return known.clone();
        }
        let name: Option<Arc<str>> = demangle(symbol).map(Arc::from);
        self.demangled.insert(symbol.clone(), name.clone());
        name
    }
}

/// How a call ended.
struct End<'a> {
    how: &'static str,
    out_args: &'a [Value],
    result: Option<(&'a Value, u64)>,
    elapsed: Duration,
}

fn line<T>(event: &Event, time: Timestamp, name: &'static str, of: T) -> Line<T> {
    Line {
        event: name,
        pid: event.pid.0,
        tid: event.tid.0,
        time_ns: nanos(time.0),
        of,
    }
}

/// One object on a line of its own, in a single write: outputs may be shared.
fn write(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = Vec::new();
    json::write(&mut bytes, line)?;
    bytes.push(b'\n');
    out.write_all(&bytes)
}

/// Until 2554.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn kind(point: &Tracepoint) -> &'static str {
    match point.kind {
        plan::Kind::Plt { .. } => "import",
        plan::Kind::Entry { .. } | plan::Kind::Resource { .. } => "function",
        plan::Kind::Resolver { .. } => "resolver",
        plan::Kind::SystemCall => "syscall",
    }
}

fn no_return(why: Why) -> &'static str {
    match why {
        Why::Unwound => "unwound",
        Why::Gone => "gone",
        Why::Detached => "detached",
        Why::Unwatched => "unwatched",
    }
}

impl Json {
    fn show(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            Kind::Call {
                id,
                point,
                return_address,
                args,
                words,
                stack,
                ..
            } => {
                let backtraces = self.backtraces.as_ref().zip(stack.as_ref());
                let stack = backtraces.map(|(backtraces, stack)| Backtrace {
                    stack: backtraces.borrow_mut().unwind(event.pid, stack),
                    has_callee: point.kind != plan::Kind::SystemCall,
                });
                let begun = Begun {
                    time: event.time,
                    return_address: *return_address,
                    args: args.clone(),
                    words: words.clone(),
                    stack,
                };
                self.open.insert(*id, begun);
                Ok(())
            }
            Kind::Return {
                id,
                depth,
                point,
                out_args,
                result,
                word,
                elapsed,
                ..
            } => {
                let end = End {
                    how: "returned",
                    out_args,
                    result: Some((result, *word)),
                    elapsed: *elapsed,
                };
                self.end(event, *id, *depth, point, end)
            }
            Kind::NoReturn {
                id,
                depth,
                point,
                why,
                elapsed,
            } => {
                let end = End {
                    how: no_return(*why),
                    out_args: &[],
                    result: None,
                    elapsed: *elapsed,
                };
                self.end(event, *id, *depth, point, end)
            }
            Kind::ReturnedAgain {
                point,
                depth,
                return_address,
                result,
            } => {
                let again = Again {
                    function: &point.symbol,
                    depth: *depth,
                    return_address: *return_address,
                    result: Shown::new(result, None),
                };
                self.line(event, "returned_again", again)
            }
            _ => self.show_other(event),
        }
    }

    /// What is no call.
    fn show_other(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            Kind::Signal { signal, ip } => {
                let (name, ip) = (signal.to_string(), Some(*ip));
                let number = signal.0;
                let signal = &name;
                self.line(event, "signal", Signal { signal, number, ip })
            }
            Kind::Started { parent, .. } => {
                let parent = parent.map(|parent| parent.0);
                self.line(event, "started", Started { parent })
            }
            Kind::Exec { ip } => self.line(event, "exec", Exec { ip: *ip }),
            Kind::Exited { status, last } => {
                let (how, last) = (Status { status: *status }, *last);
                self.line(event, "exited", Ended { how, last })
            }
            Kind::Killed { signal, last } => {
                let name = signal.to_string();
                let how = Signal {
                    signal: &name,
                    number: signal.0,
                    ip: None,
                };
                self.line(event, "killed", Ended { how, last: *last })
            }
            Kind::Detached => self.line(event, "detached", Nothing {}),
            Kind::Loaded { module, range, .. } => {
                self.line(event, "loaded", module_of(module, range))
            }
            Kind::Unloaded { module, range } => {
                self.line(event, "unloaded", module_of(module, range))
            }
            Kind::Lost { what, count } => self.line(
                event,
                "lost",
                Lost {
                    what,
                    count: *count,
                },
            ),
            Kind::NoAllocator { what } => self.line(event, "lost", Lost { what, count: None }),
            Kind::Unfollowed => self.line(event, "unfollowed", Nothing {}),
            _ => Ok(()),
        }
    }
}

fn module_of<'a>(module: &'a plan::ModuleName, range: &std::ops::Range<u64>) -> Module<'a> {
    Module {
        module: &module.name,
        path: &module.path,
        start: Addr(range.start),
        end: Addr(range.end),
    }
}

impl Sink for Json {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.begin_file()?;
        self.places.event(event);
        if let Some(backtraces) = &self.backtraces {
            backtraces.borrow_mut().event(event);
        }
        match event.kind.is_bookkeeping() {
            true => Ok(()),
            false => self.show(event),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.begin_file()?;
        self.out.flush()
    }
}
