//! Turns an engine's hits into events that own their data. Keeps open calls until they end: what is
//! shown at return is taken from registers and stack at entry.

mod arguments;
mod formats;
mod go;
mod plain;
mod python;
mod room;
#[cfg(test)]
mod tests;

use crate::abi::location::{Location, Register};
use crate::abi::{Argument, convention};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::regs::View;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::engine::hit::{Call, Hit, Stamp, What};
use crate::event::{CallId, Event, Kind};
use crate::plan::capture::Capture;
use crate::plan::{self, Stack, Tracepoint};
use crate::proto::Prototype;
use crate::proto::types::Type;
use crate::stack::{Bytes, CallStack, Moment, RawStack};
use crate::sys;
use crate::value::read::{Plain, Reader};
use crate::value::{Limits, Value};
use arguments::{Arguments, reader};
use formats::Formats;
use go::Gos;
use python::Pythons;
use room::Room;
use rustc_hash::FxHashMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

/// Makes events of hits.
pub struct Decoder {
    limits: Limits,
    /// Arguments of open calls of which something is still to be shown.
    open: FxHashMap<CallId, Arguments>,
    formats: Formats,
    /// Events of calls and returns.
    room: Room,
    /// The last event of another kind.
    other: Event,
    /// Arguments of calls that are over, their room used again.
    spare: Vec<Arguments>,
    pythons: Pythons,
    gos: Gos,
    /// Whether arguments are shown.
    shows_arguments: bool,
    /// Whether arguments and results are wanted as they were passed, too.
    keeps_words: bool,
    /// Those of the call that is looked at.
    words: Vec<u64>,
    /// Where stacks are read to.
    stack: Vec<u8>,
    /// The addresses of the last one that its thread has walked.
    addresses: Vec<u64>,
}

impl Decoder {
    /// A decoder that reads no more of a value than these limits allow.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            open: FxHashMap::default(),
            formats: Formats::default(),
            room: Room::default(),
            other: Event {
                pid: Pid(0),
                tid: Tid(0),
                time: Timestamp::default(),
                kind: Kind::Tick,
            },
            spare: Vec::new(),
            pythons: Pythons::default(),
            gos: Gos::default(),
            shows_arguments: true,
            keeps_words: false,
            words: Vec::new(),
            stack: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// The same, whose events have arguments and results as they were passed as well, if these are wanted.
    pub fn keep_words(self, keeps_words: bool) -> Decoder {
        Decoder {
            keeps_words,
            ..self
        }
    }

    /// The same, whose events have no arguments unless these are shown.
    pub fn show_arguments(self, shows_arguments: bool) -> Decoder {
        Decoder {
            shows_arguments,
            ..self
        }
    }

    /// The events that the last [hit](What::Complete) of this function means.
    pub fn complete(&self, point: &Arc<Tracepoint>) -> Option<(&Event, &Event)> {
        self.room.last(point)
    }

    /// The event that a hit means, of two the last. What cannot be read is shown as such.
    pub fn event(&mut self, hit: &Hit<'_>) -> &Event {
        let kind = match &hit.what {
            What::Call(call) => return self.called(hit.stamp(), call),
            What::Return { call, began } => {
                let elapsed = hit.time.since(*began);
                return self.came_back(hit.stamp(), call, &call.view, elapsed);
            }
            What::Complete {
                call,
                returned,
                ended,
            } => {
                self.called(hit.stamp(), call);
                let stamp = Stamp {
                    time: *ended,
                    ..hit.stamp()
                };
                return self.came_back(stamp, call, returned, ended.since(hit.time));
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
                began,
            } => {
                if let Some(arguments) = self.open.remove(id) {
                    self.spare.push(arguments);
                }
                Kind::NoReturn {
                    id: *id,
                    depth: *depth,
                    point: (*point).clone(),
                    why: *why,
                    elapsed: hit.time.since(*began),
                }
            }
            What::Signal { signal, ip } => Kind::Signal {
                signal: *signal,
                ip: *ip,
            },
            What::Started {
                parent,
                shares_memory,
            } => {
                if let Some(parent) = parent.filter(|parent| *parent != hit.pid) {
                    self.pythons.forked(parent, hit.pid);
                    self.gos.forked(parent, hit.pid);
                }
                Kind::Started {
                    parent: *parent,
                    shares_memory: *shares_memory,
                }
            }
            What::Tick => Kind::Tick,
            What::Leaving => Kind::Leaving,
            What::Exec { ip } => {
                self.forget(hit.pid);
                Kind::Exec { ip: *ip }
            }
            What::Exiting => Kind::Exiting,
            What::Unfollowed => Kind::Unfollowed,
            What::Exited { status, last } => {
                if *last {
                    self.forget(hit.pid);
                }
                Kind::Exited {
                    status: *status,
                    last: *last,
                }
            }
            What::Killed { signal, last } => {
                if *last {
                    self.forget(hit.pid);
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
                    self.gos.loaded(hit.pid, module, file);
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
            What::Lost { what, count } => Kind::Lost {
                what: (*what).to_owned(),
                count: *count,
            },
            What::NoAllocator { what } => Kind::NoAllocator {
                what: (*what).to_owned(),
            },
        };
        self.other = Event {
            pid: hit.pid,
            tid: hit.tid,
            time: hit.time,
            kind,
        };
        &self.other
    }

    fn called(&mut self, stamp: Stamp, call: &Call<'_>) -> &Event {
        let Call { point, view, .. } = call;
        let mut values = self.room.arguments(point);
        self.words.clear();
        self.call(call.id, point, view, &mut values);
        let raw = self.copy_stack(stamp, point, view);
        let event = self.room.call(stamp, point);
        if let Kind::Call {
            id,
            depth,
            return_address,
            args,
            words,
            stack,
            ..
        } = &mut event.kind
        {
            (*id, *depth, *return_address) = (call.id, call.depth, call.return_address);
            (*args, *stack) = (values, raw);
            std::mem::swap(words, &mut self.words);
        }
        event
    }

    /// What can be seen now of a call that was made so long ago.
    fn came_back(
        &mut self,
        stamp: Stamp,
        call: &Call<'_>,
        view: &View<'_>,
        since: Duration,
    ) -> &Event {
        let point = call.point;
        let mut values = self.room.out_arguments(point);
        let arguments = match self.open.is_empty() {
            true => None,
            false => self.open.remove(&call.id),
        };
        let plain = match arguments {
            Some(_) => None,
            None => self.plain_result(point, view),
        };
        let value = match plain {
            Some(_) => None,
            None => Some(self.returned(point, arguments, view, &mut values)),
        };
        let low = match self.keeps_words {
            true => word(point, view),
            false => 0,
        };
        let event = self.room.returned(stamp, point);
        if let Kind::Return {
            id,
            depth,
            return_address,
            out_args,
            result,
            word,
            elapsed,
            ..
        } = &mut event.kind
        {
            (*id, *depth, *return_address) = (call.id, call.depth, call.return_address);
            *out_args = values;
            if let Some(plain) = plain {
                plain.put(result);
            }
            if let Some(value) = value {
                *result = value;
            }
            (*word, *elapsed) = (low, since);
        }
        event
    }

    /// Notes the call and shows what is known of it.
    fn call(&mut self, id: CallId, point: &Tracepoint, view: &View<'_>, values: &mut Vec<Value>) {
        match point.typed(view.regs.machine()) {
            _ if !self.shows_arguments => {}
            Some((prototype, capture))
                if !self.keeps_words
                    && capture.is_flat
                    && flat(
                        prototype,
                        capture,
                        view,
                        &reader(view, self.limits, &[], None),
                        values,
                    ) => {}
            Some((prototype, capture)) => {
                let mut arguments = self.spare.pop().unwrap_or_default();
                arguments.take(prototype, capture, view, &mut self.formats);
                if self.keeps_words {
                    self.words.extend(arguments.words());
                }
                arguments.at_entry(prototype, capture, view, self.limits, values);
                let is_needed = !point.is_told_once();
                match is_needed && arguments.shown_at_return(prototype, capture) {
                    true => drop(self.open.insert(id, arguments)),
                    false => self.spare.push(arguments),
                }
            }
            // Four words, as users of ltrace know it.
            None => {
                if self.keeps_words {
                    let words = (0..4).map(|number| convention::word(view, number));
                    self.words.extend(words);
                }
                values.extend((0..4).map(|number| guess(convention::word(view, number), view)));
            }
        }
    }

    /// The registers and the top of the stack, to be unwound later, if they are wanted.
    fn copy_stack(
        &mut self,
        stamp: Stamp,
        point: &Tracepoint,
        view: &View<'_>,
    ) -> Option<CallStack> {
        // The unwinder knows no others.
        if point.stack == Stack::Unwanted || view.regs.machine() != Machine::Amd64 {
            return None;
        }
        let moment = match point.kind {
            plan::Kind::SystemCall => Moment::Inside,
            _ => Moment::Entry,
        };
        if let Some(returns) = view.memory.returns() {
            let addresses = iter::once(view.regs.rip).chain(returns.iter().copied());
            return Some(CallStack::Walked(addresses.collect()));
        }
        self.stack.resize(STACK, 0);
        let got = view.memory.read(Addr(view.regs.rsp), &mut self.stack);
        let bytes = self.stack.get(..got.unwrap_or(0)).unwrap_or_default();
        let scripts = self.pythons.calls(stamp.pid, stamp.tid, view, bytes);
        let left = self.gos.left(stamp.pid, view, bytes, STACK);
        let raw = RawStack::new(view.regs, moment, bytes.into());
        let raw = raw.with_scripts(scripts).with_left(left);
        Some(CallStack::Copied(Box::new(raw)))
    }

    /// The process runs another program, or none any more.
    fn forget(&mut self, pid: Pid) {
        self.pythons.forget(pid);
        self.gos.forget(pid);
    }

    /// The result, when nothing else is shown and it is in a general register.
    fn plain_result(&self, point: &Tracepoint, view: &View<'_>) -> Option<Plain> {
        if view.regs.machine() != Machine::Amd64 || point.kind == plan::Kind::SystemCall {
            return None;
        }
        let prototype = point.prototype.as_ref()?;
        reader(view, self.limits, &[], None).plain(&prototype.result, view.regs.rax)
    }

    /// The values that are shown at the return, and the result.
    fn returned(
        &mut self,
        point: &Tracepoint,
        arguments: Option<Arguments>,
        view: &View<'_>,
        values: &mut Vec<Value>,
    ) -> Value {
        let typed = point.typed(view.regs.machine());
        let result = result(point, view);
        let value = match (arguments, typed, &result) {
            (Some(mut arguments), Some((prototype, capture)), Some(result)) => {
                arguments.has_failed = failure(point, view).is_some();
                let limits = self.limits;
                let value = arguments.at_return(prototype, capture, result, view, limits, values);
                self.spare.push(arguments);
                value
            }
            _ => self.result(&result, view),
        };
        failure(point, view).unwrap_or(value)
    }

    fn result(&self, result: &Option<Argument<'_>>, view: &View<'_>) -> Value {
        match result {
            Some(result) => reader(view, self.limits, &[], Some(result)).read(result),
            None => guess(view.regs.rax, view),
        }
    }
}

/// The values of arguments that are in general registers and need nothing behind them but text. `false` when some do:
/// then there are none.
fn flat(
    prototype: &Prototype,
    capture: &Capture,
    view: &View<'_>,
    reader: &Reader<'_>,
    values: &mut Vec<Value>,
) -> bool {
    let are_simple = in_registers(prototype, capture, view)
        .all(|(ty, word)| word.is_some_and(|word| reader.add_simple(ty, word, values)));
    if !are_simple {
        values.clear();
    }
    are_simple
}

/// The types of the arguments, and the words of those that are in a general register of their own.
fn in_registers<'p>(
    prototype: &'p Prototype,
    capture: &'p Capture,
    view: &View<'_>,
) -> impl Iterator<Item = (&'p Type, Option<u64>)> {
    let params = prototype.params.iter().zip(&capture.locations);
    params.map(|(param, location)| match location {
        Location::Registers(Register::General(number), None) => (
            &param.ty,
            Some(convention::word(view, usize::from(*number))),
        ),
        _ => (&param.ty, None),
    })
}

fn guess(word: u64, view: &View<'_>) -> Value {
    Value::guess(word, convention::model(view.regs.machine()))
}

/// The result as it was returned.
fn word(point: &Tracepoint, view: &View<'_>) -> u64 {
    result(point, view).map_or(view.regs.rax, |result| result.place.low())
}

/// The error that a system call ended with. Of one that returns nothing there is none, whatever is left in its register.
fn failure(point: &Tracepoint, view: &View<'_>) -> Option<Value> {
    let is_void = |prototype: &Arc<Prototype>| matches!(prototype.result, Type::Void);
    if point.kind != plan::Kind::SystemCall || point.prototype.as_ref().is_some_and(is_void) {
        return None;
    }
    // In 32 bits, whose upper half may be anything, or all of the register.
    let result = match view.regs.machine() {
        Machine::Amd64 => i32::try_from(view.regs.rax as i64).ok()?,
        Machine::I386 => view.regs.rax as i32,
    };
    (-MOST_ERRORS..0)
        .contains(&result)
        .then(|| Value::Failed(Box::new(Value::Signed(i64::from(result))), -result))
}

/// The result as the prototype types it.
fn result<'p>(point: &'p Tracepoint, view: &View<'_>) -> Option<Argument<'p>> {
    let ty = &point.prototype.as_ref()?.result;
    let place = convention::result(view, ty);
    Some(Argument { ty, place })
}

/// <linux/err.h>, MAX_ERRNO
const MOST_ERRORS: i32 = 4095;
/// How much of a stack is copied at most. Few are so deep: where a stack ends, so does the copy.
const STACK: usize = 64 << 10;
