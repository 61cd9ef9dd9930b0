//! Recordings of traces (`--record`): all events, to be shown later in any form (`--replay`).
//!
//! A line that says what it is and of which version, then items, each behind its length. A file that is cut anywhere
//! is whole up to there. Items are added at the end of their lists only; anything else raises the version.

mod callers;
mod stacks;
mod stored;

use super::Sink;
use super::sieve::{self, Callers};
use super::text::backtrace;
use crate::base::Pid;
use crate::base::addr::Addr;
use crate::event::{CallId, Event, Kind, Why};
use crate::plan::Tracepoint;
use crate::stack::{CallStack, StackId};
pub use callers::Told;
use rustc_hash::{FxHashMap, FxHashSet};
use stacks::Recorded;
pub use stacks::ToldStacks;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use stored::{Item, Module, Point};

/// What a recording begins with.
const MAGIC: &[u8] = b"ltrace recording 1\n";
/// No item is larger.
const MOST: usize = 64 << 20;

/// Writes a recording.
pub struct Writer {
    out: Box<dyn Write>,
    has_begun: bool,
    /// Tracepoints by their numbers, which are those of their places among the items.
    points: FxHashMap<*const Tracepoint, u32>,
    /// Keeps the places in memory by which they are known.
    kept: Vec<Arc<Tracepoint>>,
    /// Who tells whose code calls, and from where that is written already.
    callers: Option<Box<dyn Callers>>,
    told: FxHashSet<(Pid, Addr)>,
    stacks: Option<Recorded>,
}

impl Writer {
    /// A recording that goes to `out`.
    pub fn new(out: Box<dyn Write>) -> Writer {
        Writer {
            out,
            has_begun: false,
            points: FxHashMap::default(),
            kept: Vec::new(),
            callers: None,
            told: FxHashSet::default(),
            stacks: None,
        }
    }

    /// The same, with one who tells whose code calls.
    pub fn with_callers(self, callers: Box<dyn Callers>) -> Writer {
        Writer {
            callers: Some(callers),
            ..self
        }
    }

    /// The same, with so many of the calls that led to each.
    pub fn with_backtraces(self, from: Option<backtrace::Shared>, most: usize) -> Writer {
        Writer {
            stacks: from.map(|from| Recorded::new(from, most)),
            ..self
        }
    }

    /// Writes whose code calls from here, once.
    fn caller(&mut self, pid: Pid, return_address: Addr) -> io::Result<()> {
        let Some(callers) = &mut self.callers else {
            return Ok(());
        };
        if !self.told.insert((pid, return_address)) {
            return Ok(());
        }
        match callers.caller(pid, return_address) {
            Some((symbol, module)) => self.item(&Item::Caller {
                pid: pid.0,
                return_address: return_address.0,
                symbol,
                module: Module::of(&module),
            }),
            None => Ok(()),
        }
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.out.write_all(MAGIC)?;
        }
        let bytes = postcard::to_allocvec(item).map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.out
            .write_all(&[&length.to_le_bytes()[..], &bytes].concat())
    }

    fn point(&mut self, point: &Arc<Tracepoint>) -> io::Result<u32> {
        if let Some(number) = self.points.get(&Arc::as_ptr(point)) {
            return Ok(*number);
        }
        let number = self.kept.len() as u32;
        self.item(&Item::Point(Point::of(point)))?;
        if let Some(names) = point.arg_names() {
            self.item(&Item::ArgNames(names))?;
        }
        self.points.insert(Arc::as_ptr(point), number);
        self.kept.push(point.clone());
        Ok(number)
    }
}

impl Sink for Writer {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Some(callers) = &mut self.callers {
            callers.event(event);
        }
        if sieve::moves_code(&event.kind) {
            self.told.clear();
        }
        let stack = self.stacks.as_mut().map(|stacks| stacks.items(event));
        if event.kind.is_bookkeeping() {
            return Ok(());
        }
        if let Kind::Call { return_address, .. } = &event.kind {
            self.caller(event.pid, *return_address)?;
            for item in stack.into_iter().flatten() {
                self.item(&item)?;
            }
        }
        let point = match &event.kind {
            Kind::Call { point, .. }
            | Kind::Return { point, .. }
            | Kind::ReturnedAgain { point, .. }
            | Kind::NoReturn { point, .. } => self.point(point)?,
            _ => 0,
        };
        match Item::of(event, point) {
            Some(item) => self.item(&item),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a recording.
pub struct Reader<R> {
    input: BufReader<R>,
    points: Vec<Arc<Tracepoint>>,
    /// Calls that have not ended, and the events that began them.
    open: BTreeMap<CallId, Event>,
    last: Option<Event>,
    has_ended: bool,
    callers: Told,
    stacks: ToldStacks,
    /// That of the next call.
    stack: Option<StackId>,
}

impl<R: Read> Reader<R> {
    /// Looks at the beginning.
    ///
    /// # Errors
    /// It is no recording, or one of a version that is not known.
    pub fn new(input: R) -> io::Result<Reader<R>> {
        let mut input = BufReader::new(input);
        let mut magic = [0; MAGIC.len()];
        let wrong = "it is no recording of this version of ltrace";
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => Ok(Reader {
                input,
                points: Vec::new(),
                open: BTreeMap::new(),
                last: None,
                has_ended: false,
                callers: Told::default(),
                stacks: ToldStacks::default(),
                stack: None,
            }),
            Ok(()) => Err(io::Error::other(wrong)),
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Err(io::Error::other(wrong)),
            Err(why) => Err(why),
        }
    }

    /// Who tells whose code calls, as far as was read.
    pub fn callers(&self) -> Told {
        self.callers.clone()
    }

    /// What led to calls, as far as was read.
    pub fn backtraces(&self) -> ToldStacks {
        self.stacks.clone()
    }

    /// The next item; `None` at the end, or where the recording was cut.
    fn item(&mut self) -> Option<Item> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length).ok()?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST {
            return None;
        }
        let mut bytes = Vec::new();
        let read = self
            .input
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut bytes)
            .ok()?;
        (read == length).then(|| postcard::from_bytes(&bytes).ok())?
    }

    /// A call that was open where the recording ends has an end.
    fn end(&mut self) -> Option<Event> {
        let (_, begun) = self.open.pop_last()?;
        let last = self.last.as_ref().map_or(begun.time, |last| last.time);
        let Kind::Call {
            id, depth, point, ..
        } = begun.kind
        else {
            return None;
        };
        Some(Event {
            pid: begun.pid,
            tid: begun.tid,
            time: last,
            kind: Kind::NoReturn {
                id,
                depth,
                point,
                why: Why::Detached,
                elapsed: last.since(begun.time).max(Duration::ZERO),
            },
        })
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while !self.has_ended {
            match self.item() {
                Some(Item::Point(point)) => self.points.push(Arc::new(point.tracepoint())),
                Some(Item::ArgNames(names)) => {
                    if let Some(last) = self.points.last_mut() {
                        let named = Tracepoint::clone(last).with_arg_names(names);
                        *last = Arc::new(named);
                    }
                }
                Some(Item::Caller {
                    pid,
                    return_address,
                    symbol,
                    module,
                }) => {
                    let from = (Pid(pid), Addr(return_address));
                    self.callers.tell(from, symbol, module.name());
                }
                Some(Item::Place(place)) => self.stacks.place(place),
                Some(Item::Stack(stack)) => self.stacks.stack(stack),
                Some(Item::StackOfNext(stack)) => self.stack = Some(StackId(stack)),
                Some(item) => {
                    let Some(mut event) = item.event(&self.points) else {
                        continue;
                    };
                    if let Kind::Call { stack, .. } = &mut event.kind {
                        *stack = self.stack.take().map(CallStack::Recorded);
                    }
                    match &event.kind {
                        Kind::Call { id, .. } => drop(self.open.insert(*id, event.clone())),
                        Kind::Return { id, .. } | Kind::NoReturn { id, .. } => {
                            self.open.remove(id);
                        }
                        _ => {}
                    }
                    self.last = Some(event.clone());
                    return Some(event);
                }
                None => self.has_ended = true,
            }
        }
        self.end()
    }
}

#[cfg(test)]
mod tests;
