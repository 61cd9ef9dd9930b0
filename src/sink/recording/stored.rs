//! What a recording holds, item by item.

use super::stacks::{StoredPlace, StoredStack};
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::base::signal::Signal;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind, Why};
use crate::plan::{self, ModuleName, Returns, Stack, Tracepoint};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Item {
    /// The next tracepoint, of which events tell by its number.
    Point(Point),
    Event {
        pid: i32,
        tid: i32,
        nanos: u64,
        what: What,
    },
    /// What the arguments of the last tracepoint are called.
    ArgNames(Vec<Option<Arc<str>>>),
    /// Whose code calls from an address: its function, empty where that has no name, and module.
    Caller {
        pid: i32,
        return_address: u64,
        symbol: String,
        module: Module,
    },
    /// The next place in a file of code.
    Place(StoredPlace),
    /// The next stack.
    Stack(StoredStack),
    /// The next call has the stack of this number.
    StackOfNext(u32),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Point {
    symbol: String,
    module: Module,
    kind: PointKind,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Module {
    name: String,
    path: String,
    is_main: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum PointKind {
    Import { slot: u64 },
    Entry { entry: u64 },
    Resolver { entry: u64 },
    SystemCall,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum What {
    Call {
        id: u64,
        depth: usize,
        point: u32,
        return_address: u64,
        args: Vec<Value>,
        words: Vec<u64>,
    },
    Return {
        id: u64,
        depth: usize,
        point: u32,
        return_address: u64,
        out_args: Vec<Value>,
        result: Value,
        word: u64,
        elapsed: Duration,
    },
    ReturnedAgain {
        point: u32,
        depth: usize,
        return_address: u64,
        result: Value,
    },
    NoReturn {
        id: u64,
        depth: usize,
        point: u32,
        why: NoReturn,
        elapsed: Duration,
    },
    Signal {
        signal: i32,
        ip: u64,
    },
    Started {
        parent: Option<i32>,
    },
    Exec {
        ip: u64,
    },
    Exiting,
    Exited {
        status: i32,
        last: bool,
    },
    Killed {
        signal: i32,
        last: bool,
    },
    Detached,
    Loaded {
        module: Module,
        start: u64,
        end: u64,
        bias: u64,
    },
    Unloaded {
        module: Module,
        start: u64,
        end: u64,
    },
    Lost {
        what: String,
        count: Option<u64>,
    },
    Unfollowed,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum NoReturn {
    Unwound,
    Gone,
    Detached,
    Unwatched,
}

impl Point {
    pub(super) fn of(point: &Tracepoint) -> Point {
        Point {
            symbol: point.symbol.to_string(),
            module: Module::of(&point.module),
            kind: match point.kind {
                plan::Kind::Plt { slot } => PointKind::Import { slot: slot.0 },
                plan::Kind::Entry { entry } | plan::Kind::Resource { entry, .. } => {
                    PointKind::Entry { entry: entry.0 }
                }
                plan::Kind::Resolver { entry } => PointKind::Resolver { entry: entry.0 },
                plan::Kind::SystemCall => PointKind::SystemCall,
            },
        }
    }

    pub(super) fn tracepoint(self) -> Tracepoint {
        Tracepoint {
            module: Arc::new(self.module.name()),
            symbol: self.symbol.into(),
            kind: match self.kind {
                PointKind::Import { slot } => plan::Kind::Plt { slot: Vaddr(slot) },
                PointKind::Entry { entry } => plan::Kind::Entry {
                    entry: Vaddr(entry),
                },
                PointKind::Resolver { entry } => plan::Kind::Resolver {
                    entry: Vaddr(entry),
                },
                PointKind::SystemCall => plan::Kind::SystemCall,
            },
            prototype: None,
            capture: OnceLock::new(),
            returns: Returns::Once,
            stack: Stack::Unwanted,
        }
    }
}

impl Module {
    pub(super) fn of(name: &ModuleName) -> Module {
        Module {
            name: name.name.clone(),
            path: name.path.clone(),
            is_main: name.is_main,
        }
    }

    pub(super) fn name(self) -> ModuleName {
        ModuleName {
            name: self.name,
            path: self.path,
            is_main: self.is_main,
        }
    }
}

impl Item {
    /// What is kept of an event; its tracepoint has this number.
    pub(super) fn of(event: &Event, point: u32) -> Option<Item> {
        Some(Item::Event {
            pid: event.pid.0,
            tid: event.tid.0,
            nanos: u64::try_from(event.time.0.as_nanos()).unwrap_or(u64::MAX),
            what: What::of(&event.kind, point)?,
        })
    }

    /// The event again.
    pub(super) fn event(self, points: &[Arc<Tracepoint>]) -> Option<Event> {
        let Item::Event {
            pid,
            tid,
            nanos,
            what,
        } = self
        else {
            return None;
        };
        Some(Event {
            pid: Pid(pid),
            tid: Tid(tid),
            time: Timestamp(Duration::from_nanos(nanos)),
            kind: what.kind(points)?,
        })
    }
}

impl What {
    fn of(kind: &Kind, number: u32) -> Option<What> {
        Some(match kind {
            Kind::Call {
                id,
                depth,
                return_address,
                args,
                words,
                ..
            } => What::Call {
                id: id.0,
                depth: *depth,
                point: number,
                return_address: return_address.0,
                args: args.clone(),
                words: words.clone(),
            },
            Kind::Return {
                id,
                depth,
                return_address,
                out_args,
                result,
                word,
                elapsed,
                ..
            } => What::Return {
                id: id.0,
                depth: *depth,
                point: number,
                return_address: return_address.0,
                out_args: out_args.clone(),
                result: result.clone(),
                word: *word,
                elapsed: *elapsed,
            },
            Kind::ReturnedAgain {
                depth,
                return_address,
                result,
                ..
            } => What::ReturnedAgain {
                point: number,
                depth: *depth,
                return_address: return_address.0,
                result: result.clone(),
            },
            Kind::NoReturn {
                id,
                depth,
                why,
                elapsed,
                ..
            } => What::NoReturn {
                id: id.0,
                depth: *depth,
                point: number,
                why: match why {
                    Why::Unwound => NoReturn::Unwound,
                    Why::Gone => NoReturn::Gone,
                    Why::Detached => NoReturn::Detached,
                    Why::Unwatched => NoReturn::Unwatched,
                },
                elapsed: *elapsed,
            },
            Kind::Signal { signal, ip } => What::Signal {
                signal: signal.0,
                ip: ip.0,
            },
            Kind::Started { parent, .. } => What::Started {
                parent: parent.map(|parent| parent.0),
            },
            Kind::Exec { ip } => What::Exec { ip: ip.0 },
            Kind::Exiting => What::Exiting,
            Kind::Exited { status, last } => What::Exited {
                status: *status,
                last: *last,
            },
            Kind::Killed { signal, last } => What::Killed {
                signal: signal.0,
                last: *last,
            },
            Kind::Detached => What::Detached,
            Kind::Loaded {
                module,
                range,
                bias,
                ..
            } => What::Loaded {
                module: Module::of(module),
                start: range.start,
                end: range.end,
                bias: bias.0,
            },
            Kind::Unloaded { module, range } => What::Unloaded {
                module: Module::of(module),
                start: range.start,
                end: range.end,
            },
            Kind::Lost { what, count } => What::Lost {
                what: what.clone(),
                count: *count,
            },
            Kind::NoAllocator { what } => What::Lost {
                what: what.clone(),
                count: None,
            },
            Kind::Unfollowed => What::Unfollowed,
            Kind::Leaving | Kind::Tick => return None,
        })
    }

    /// `None` for what speaks of a tracepoint that is not there.
    fn kind(self, points: &[Arc<Tracepoint>]) -> Option<Kind> {
        let find = |number: u32| points.get(number as usize).cloned();
        Some(match self {
            What::Call {
                id,
                depth,
                point,
                return_address,
                args,
                words,
            } => Kind::Call {
                id: CallId(id),
                depth,
                point: find(point)?,
                return_address: Addr(return_address),
                args,
                words,
                stack: None,
            },
            What::Return {
                id,
                depth,
                point,
                return_address,
                out_args,
                result,
                word,
                elapsed,
            } => Kind::Return {
                id: CallId(id),
                depth,
                point: find(point)?,
                return_address: Addr(return_address),
                out_args,
                result,
                word,
                elapsed,
            },
            What::ReturnedAgain {
                point,
                depth,
                return_address,
                result,
            } => Kind::ReturnedAgain {
                point: find(point)?,
                depth,
                return_address: Addr(return_address),
                result,
            },
            What::NoReturn {
                id,
                depth,
                point,
                why,
                elapsed,
            } => Kind::NoReturn {
                id: CallId(id),
                depth,
                point: find(point)?,
                why: match why {
                    NoReturn::Unwound => Why::Unwound,
                    NoReturn::Gone => Why::Gone,
                    NoReturn::Detached => Why::Detached,
                    NoReturn::Unwatched => Why::Unwatched,
                },
                elapsed,
            },
            What::Signal { signal, ip } => Kind::Signal {
                signal: Signal(signal),
                ip: Addr(ip),
            },
            What::Started { parent } => Kind::Started {
                parent: parent.map(Pid),
                // Only those ask who keep the books of resources.
                shares_memory: false,
            },
            What::Exec { ip } => Kind::Exec { ip: Addr(ip) },
            What::Exiting => Kind::Exiting,
            What::Exited { status, last } => Kind::Exited { status, last },
            What::Killed { signal, last } => Kind::Killed {
                signal: Signal(signal),
                last,
            },
            What::Detached => Kind::Detached,
            What::Loaded {
                module,
                start,
                end,
                bias,
            } => Kind::Loaded {
                module: Arc::new(module.name()),
                range: start..end,
                bias: Bias(bias),
                file: None,
            },
            What::Unloaded { module, start, end } => Kind::Unloaded {
                module: Arc::new(module.name()),
                range: start..end,
            },
            What::Lost { what, count } => Kind::Lost { what, count },
            What::Unfollowed => Kind::Unfollowed,
        })
    }
}
