//! What led to calls, as a recording tells it: each place once, each stack once.

use super::stored::Item;
use crate::base::Pid;
use crate::base::addr::Addr;
use crate::event::{Event, Kind};
use crate::plan;
use crate::sink::demangle::Names;
use crate::sink::text::backtrace::{Backtrace, Backtraces, Frame, Place, Shared, Source};
use crate::stack::{CallStack, StackId};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A place in a file of code.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredPlace {
    module: String,
    function: Option<String>,
    offset: Option<u64>,
    source: Vec<StoredSource>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredSource {
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    inlined: Option<String>,
}

/// Addresses, and places by their numbers, innermost first.
pub(super) type StoredStack = Vec<(Option<u64>, u32)>;

/// The stacks of calls that are recorded.
pub(super) struct Recorded {
    from: Shared,
    most: usize,
    places: FxHashMap<Arc<Place>, u32>,
    stacks: FxHashMap<StoredStack, u32>,
}

impl Recorded {
    /// From there, of so many calls.
    pub(super) fn new(from: Shared, most: usize) -> Recorded {
        Recorded {
            from,
            most,
            places: FxHashMap::default(),
            stacks: FxHashMap::default(),
        }
    }

    /// What is to be written before an event.
    pub(super) fn items(&mut self, event: &Event) -> Vec<Item> {
        let mut from = self.from.borrow_mut();
        from.event(event);
        let Kind::Call {
            point,
            stack: Some(stack),
            ..
        } = &event.kind
        else {
            return Vec::new();
        };
        let backtrace = Backtrace {
            stack: from.unwind(event.pid, stack),
            has_callee: point.kind != plan::Kind::SystemCall,
        };
        let mut items = Vec::new();
        let mut stack = StoredStack::new();
        for frame in from.frames(event.pid, backtrace, self.most) {
            let next = self.places.len() as u32;
            let place = *self.places.entry(frame.place).or_insert_with_key(|place| {
                items.push(Item::Place(StoredPlace::of(place)));
                next
            });
            stack.push((frame.address.map(|at| at.0), place));
        }
        let next = self.stacks.len() as u32;
        let number = *self.stacks.entry(stack).or_insert_with_key(|stack| {
            items.push(Item::Stack(stack.clone()));
            next
        });
        items.push(Item::StackOfNext(number));
        items
    }
}

/// What was read so far. Clones share it.
#[derive(Clone, Default)]
pub struct ToldStacks(Rc<RefCell<Read>>);

#[derive(Default)]
struct Read {
    places: Vec<Arc<Place>>,
    stacks: Vec<StoredStack>,
}

impl ToldStacks {
    /// The recording tells of none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().stacks.is_empty()
    }

    pub(super) fn place(&self, place: StoredPlace) {
        self.0.borrow_mut().places.push(Arc::new(place.place()));
    }

    pub(super) fn stack(&self, stack: StoredStack) {
        self.0.borrow_mut().stacks.push(stack);
    }

    /// Its functions named so.
    pub fn named(&self, names: Names) -> Shared {
        let told = self.clone();
        Rc::new(RefCell::new(Named { told, names }))
    }
}

struct Named {
    told: ToldStacks,
    names: Names,
}

impl Backtraces for Named {
    fn event(&mut self, _: &Event) {}

    fn unwind(&mut self, _: Pid, stack: &CallStack) -> StackId {
        match stack {
            CallStack::Recorded(stack) => *stack,
            CallStack::Copied(_) | CallStack::Walked(_) => StackId(u32::MAX),
        }
    }

    fn frames(&mut self, _: Pid, backtrace: Backtrace, most: usize) -> Vec<Frame> {
        let read = self.told.0.borrow();
        let stack = read.stacks.get(backtrace.stack.0 as usize);
        let frames = stack.into_iter().flatten().take(most);
        let frames = frames.filter_map(|(address, place)| {
            let mut place = read.places.get(*place as usize)?.clone();
            if let Some(symbol) = &place.function {
                let name = self.names.of(&symbol.as_str().into());
                if *name != **symbol {
                    Arc::make_mut(&mut place).function = Some(name.to_string());
                }
            }
            let address = address.map(Addr);
            Some(Frame { address, place })
        });
        frames.collect()
    }
}

impl StoredPlace {
    fn of(place: &Place) -> StoredPlace {
        let source = place.source.iter().map(|source| StoredSource {
            file: source.file.clone(),
            line: source.line,
            column: source.column,
            inlined: source.inlined.clone(),
        });
        StoredPlace {
            module: place.module.clone(),
            function: place.function.clone(),
            offset: place.offset,
            source: source.collect(),
        }
    }

    fn place(self) -> Place {
        let source = self.source.into_iter().map(|source| Source {
            file: source.file,
            line: source.line,
            column: source.column,
            inlined: source.inlined,
        });
        Place {
            module: self.module,
            function: self.function,
            offset: self.offset,
            source: source.collect(),
        }
    }
}
