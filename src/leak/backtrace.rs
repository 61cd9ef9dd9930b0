//! Who called whom before a call, for lines and objects of it (`-w`).

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::printable::printable;
use crate::event::{Event, Kind};
use crate::leak::book::Book;
use crate::sink::demangle::Names;
use crate::sink::text::backtrace::{self, Backtrace, Backtraces, Place, Source};
use crate::stack::{CallStack, Frame, FrameKind, Location, Module, StackId, Symbolizer};
use std::collections::HashMap;
use std::sync::Arc;

/// Modules, stacks, and their names as far as they were shown.
pub struct Traces {
    book: Book,
    symbolizer: Symbolizer,
    names: Names,
    known: HashMap<Frame, Arc<Place>>,
}

impl Traces {
    /// Named so, with frames of so many calls at most.
    pub fn new(symbolizer: Symbolizer, names: Names, most: usize) -> Traces {
        Traces {
            // The function that was called, which is not shown, has a frame as well.
            book: Book::with_frames(most.saturating_add(1)),
            symbolizer,
            names,
            known: HashMap::new(),
        }
    }

    fn frame(&mut self, pid: Pid, frame: &Frame) -> backtrace::Frame {
        if frame.kind == FrameKind::Cut {
            let module = "...".to_owned();
            return nowhere(Place {
                module,
                ..Place::default()
            });
        }
        if let Some(script) = self.book.stacks().script(frame) {
            let file = printable(&script.file).into_owned();
            return nowhere(Place {
                module: file.clone(),
                function: Some(printable(&script.function).into_owned()),
                offset: None,
                source: vec![Source {
                    file,
                    line: script.line,
                    ..Source::default()
                }],
            });
        }
        backtrace::Frame {
            address: Some(self.book.address(pid, frame)),
            place: match frame.module {
                Some(_) => self.place(frame),
                // Made at run time: what is there changes.
                None => Arc::new(self.made(pid, frame)),
            },
        }
    }

    fn place(&mut self, frame: &Frame) -> Arc<Place> {
        if let Some(known) = self.known.get(frame) {
            return known.clone();
        }
        let stacks = self.book.stacks();
        let module = frame.module.and_then(|id| stacks.module(id));
        let path = module.map_or("", |module| &module.path);
        let symbol = self.symbolizer.symbol(stacks, frame);
        let (function, offset) = match symbol {
            Some((symbol, offset)) => {
                // Behind it a version may stand.
                let symbol = symbol.split('@').next().unwrap_or_default();
                let name = self.names.of(&symbol.into());
                (Some(name.to_string()), offset)
            }
            None => (None, frame.vaddr.0),
        };
        let locations = self.symbolizer.resolve(stacks, frame);
        let place = Arc::new(Place {
            module: printable(path).into_owned(),
            function,
            offset: Some(offset),
            source: locations.iter().filter_map(source).collect(),
        });
        self.known.insert(*frame, place.clone());
        place
    }

    fn made(&self, pid: Pid, frame: &Frame) -> Place {
        let at = frame.lookup();
        match self.book.made(pid, Addr(at.0)) {
            Some((name, offset)) => Place {
                module: "[jit]".to_owned(),
                function: Some(printable(&name).into_owned()),
                offset: Some(offset + (frame.vaddr.0 - at.0)),
                source: Vec::new(),
            },
            None => Place {
                module: "[unknown]".to_owned(),
                ..Place::default()
            },
        }
    }
}

fn nowhere(place: Place) -> backtrace::Frame {
    backtrace::Frame {
        address: None,
        place: Arc::new(place),
    }
}

fn source(location: &Location) -> Option<Source> {
    let inlined = location.inlined.then_some(&location.function);
    Some(Source {
        file: printable(location.file.as_deref()?).into_owned(),
        line: location.line,
        column: location.column,
        inlined: inlined.map(|function| printable(function).into_owned()),
    })
}

/// Modules come and go, processes fork and end.
pub(super) fn learn(book: &mut Book, event: &Event) {
    let pid = event.pid;
    match &event.kind {
        Kind::Started { parent, .. } => {
            if let Some(parent) = parent.filter(|parent| *parent != pid) {
                book.forked(parent, pid);
            }
        }
        Kind::Loaded {
            module,
            range,
            bias,
            file: Some(file),
        } => {
            let module = Module {
                name: module.name.clone(),
                path: module.path.clone(),
                build_id: None,
                root: None,
                file: file.clone(),
            };
            book.loaded(pid, module, range.clone(), *bias);
        }
        Kind::Unloaded { range, .. } => book.unloaded(pid, range),
        Kind::Exec { .. } | Kind::Exited { last: true, .. } | Kind::Killed { last: true, .. } => {
            book.forget(pid)
        }
        _ => (),
    }
}

impl Backtraces for Traces {
    fn event(&mut self, event: &Event) {
        learn(&mut self.book, event);
    }

    fn unwind(&mut self, pid: Pid, stack: &CallStack) -> StackId {
        self.book.unwind(pid, stack, false)
    }

    fn frames(&mut self, pid: Pid, backtrace: Backtrace, most: usize) -> Vec<backtrace::Frame> {
        let frames: Vec<Frame> = self
            .book
            .stacks()
            .frames(backtrace.stack)
            .copied()
            .collect();
        let callers = frames.iter().skip(usize::from(backtrace.has_callee));
        callers
            .take(most)
            .map(|frame| self.frame(pid, frame))
            .collect()
    }
}
