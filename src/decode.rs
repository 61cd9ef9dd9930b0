//! Turns an engine's hits into events that own their data. Keeps open calls until they end: what is
//! shown at return is taken from registers and stack at entry.

mod arguments;
mod python;
#[cfg(test)]
mod tests;

use crate::abi::{Argument, Place, convention};
use crate::base::addr::Addr;
use crate::base::regs::View;
use crate::base::time::Timestamp;
use crate::engine::{Hit, What};
use crate::event::{CallId, Event, Kind};
use crate::plan::{Stack, Tracepoint};
use crate::stack::{Bytes, Moment, RawStack};
use crate::sys;
use crate::value::read::Reader;
use crate::value::{Limits, Value};
use arguments::Arguments;
use python::Pythons;
use std::collections::HashMap;
use std::time::Duration;

/// Makes events of hits.
pub struct Decoder {
    limits: Limits,
    open: HashMap<CallId, Open>,
    pythons: Pythons,
    /// Where stacks are read to.
    stack: Vec<u8>,
}

/// A call that has not ended.
struct Open {
    since: Timestamp,
    /// What its prototype says of it, if something is still to be shown.
    arguments: Option<Arguments>,
}

impl Decoder {
    /// A decoder that reads no more of a value than these limits allow.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            open: HashMap::new(),
            pythons: Pythons::default(),
            stack: Vec::new(),
        }
    }

    /// The event that a hit means. What cannot be read is shown as such.
    pub fn event(&mut self, hit: &Hit<'_>) -> Event {
        Event {
            pid: hit.pid,
            tid: hit.tid,
            time: hit.time,
            kind: self.kind(hit),
        }
    }

    fn kind(&mut self, hit: &Hit<'_>) -> Kind {
        match &hit.what {
            What::Call {
                id,
                depth,
                point,
                return_address,
                view,
            } => Kind::Call {
                id: *id,
                depth: *depth,
                point: (*point).clone(),
                return_address: *return_address,
                args: self.call(*id, hit.time, point, view),
                stack: (point.stack == Stack::Wanted).then(|| Box::new(self.copy_stack(hit, view))),
            },
            What::Return {
                id,
                depth,
                point,
                return_address,
                view,
            } => {
                let open = self.open.remove(id);
                let elapsed = elapsed(hit.time, open.as_ref());
                let result = result(point, view);
                Kind::Return {
                    id: *id,
                    depth: *depth,
                    point: (*point).clone(),
                    return_address: *return_address,
                    out_args: self.out_args(open, &result, view),
                    result: self.result(&result, view),
                    elapsed,
                }
            }
            What::ReturnedAgain {
                depth,
                point,
                return_address,
                view,
            } => Kind::ReturnedAgain {
                point: (*point).clone(),
                depth: *depth,
                return_address: *return_address,
                result: self.result(&result(point, view), view),
            },
            What::NoReturn {
                id,
                depth,
                point,
                why,
            } => Kind::NoReturn {
                id: *id,
                depth: *depth,
                point: (*point).clone(),
                why: *why,
                elapsed: elapsed(hit.time, self.open.remove(id).as_ref()),
            },
            What::Signal { signal, ip } => Kind::Signal {
                signal: *signal,
                ip: *ip,
            },
            What::Started { parent } => {
                if let Some(parent) = parent.filter(|parent| *parent != hit.pid) {
                    self.pythons.forked(parent, hit.pid);
                }
                Kind::Started { parent: *parent }
            }
            What::Tick => Kind::Tick,
            What::Leaving => Kind::Leaving,
            What::Exec { ip } => {
                self.pythons.forget(hit.pid);
                Kind::Exec { ip: *ip }
            }
            What::Exited { status, last } => {
                if *last {
                    self.pythons.forget(hit.pid);
                }
                Kind::Exited {
                    status: *status,
                    last: *last,
                }
            }
            What::Killed { signal, last } => {
                if *last {
                    self.pythons.forget(hit.pid);
                }
                Kind::Killed {
                    signal: *signal,
                    last: *last,
                }
            }
            What::Detached => Kind::Detached,
            What::Loaded {
                module,
                range,
                bias,
                file,
            } => {
                // Without it stacks end in that module, and say so.
                let file = file
                    .and_then(|file| sys::file::map(file).ok())
                    .map(Bytes::from);
                if let Some(file) = &file {
                    self.pythons.loaded(hit.pid, module, range, *bias, file);
                }
                Kind::Loaded {
                    module: (*module).clone(),
                    range: range.clone(),
                    bias: *bias,
                    file,
                }
            }
            What::Unloaded { module, range } => {
                self.pythons.unloaded(hit.pid, range);
                Kind::Unloaded {
                    module: (*module).clone(),
                    range: range.clone(),
                }
            }
            What::Lost { what } => Kind::Lost {
                what: (*what).to_owned(),
            },
            What::NoAllocator { what } => Kind::NoAllocator {
                what: (*what).to_owned(),
            },
        }
    }

    /// Notes the call and shows what is known of it.
    fn call(
        &mut self,
        id: CallId,
        since: Timestamp,
        point: &Tracepoint,
        view: &View<'_>,
    ) -> Vec<Value> {
        let Some(prototype) = &point.prototype else {
            let open = Open {
                since,
                arguments: None,
            };
            self.open.insert(id, open);
            // Four words, as users of ltrace know it.
            return (0..4)
                .map(|number| guess(convention::word(view, number), view))
                .collect();
        };
        let arguments = Arguments::of_call(prototype, view);
        let shown = arguments.at_entry(view, self.limits);
        let open = Open {
            since,
            arguments: arguments.shown_at_return().then_some(arguments),
        };
        self.open.insert(id, open);
        shown
    }

    /// The registers and the top of the stack, for whoever unwinds it later.
    fn copy_stack(&mut self, hit: &Hit<'_>, view: &View<'_>) -> RawStack {
        self.stack.resize(STACK, 0);
        let got = view.memory.read(Addr(view.regs.rsp), &mut self.stack);
        let bytes = self.stack.get(..got.unwrap_or(0)).unwrap_or_default();
        let scripts = self.pythons.calls(hit.pid, hit.tid, view, bytes);
        RawStack::new(view.regs, Moment::Entry, bytes.into()).with_scripts(scripts)
    }

    fn out_args(
        &self,
        open: Option<Open>,
        result: &Option<Argument>,
        view: &View<'_>,
    ) -> Vec<Value> {
        match (open.and_then(|open| open.arguments), result) {
            (Some(arguments), Some(result)) => arguments.at_return(result, view, self.limits),
            _ => Vec::new(),
        }
    }

    fn result(&self, result: &Option<Argument>, view: &View<'_>) -> Value {
        let Some(result) = result else {
            return guess(view.regs.rax, view);
        };
        let reader = Reader {
            memory: view.memory,
            model: convention::model(view.regs.machine()),
            limits: self.limits,
            arguments: &[],
            result: Some(result),
        };
        reader.read(result)
    }
}

fn elapsed(now: Timestamp, open: Option<&Open>) -> Duration {
    open.map_or(Duration::ZERO, |open| now.since(open.since))
}

fn guess(word: u64, view: &View<'_>) -> Value {
    Value::guess(word, convention::model(view.regs.machine()))
}

/// The result as the prototype types it.
fn result(point: &Tracepoint, view: &View<'_>) -> Option<Argument> {
    let ty = &point.prototype.as_ref()?.result;
    let place: Place = convention::result(view, ty);
    Some(Argument {
        ty: ty.clone(),
        place,
    })
}

/// How much of a stack is copied at most. Few are so deep: where a stack ends, so does the copy.
const STACK: usize = 64 << 10;
