//! Backtraces below the lines of calls (`-w`), in ltrace's words:
//!
//! ```text
//!  > /usr/bin/prog(main+0x14) [0x563af050517d]
//! <TAB>prog.c:58:16
//! ```

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::printable::printable;
use crate::event::{Event, Kind};
use crate::leak::book::Book;
use crate::sink::demangle::Names;
use crate::sink::text::backtrace::{Backtrace, Backtraces};
use crate::stack::{Frame, FrameKind, Module, RawStack, StackId, Symbolizer};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Modules, stacks, and their names as far as they were shown.
pub struct Traces {
    book: Book,
    symbolizer: Symbolizer,
    names: Names,
    known: HashMap<Frame, Arc<Shown>>,
}

/// How a frame is shown, but for its address in the process.
struct Shown {
    /// `PATH(SYMBOL+0xOFFSET)`
    place: String,
    /// The source lines below, inlined calls first.
    source: String,
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

    fn frame(&mut self, pid: Pid, frame: &Frame, out: &mut String) {
        // Writing to a text does not fail.
        if frame.kind == FrameKind::Cut {
            out.push_str(" > ...\n");
        } else if let Some(script) = self.book.stacks().script(frame) {
            let (file, function) = (printable(&script.file), printable(&script.function));
            let _ = write!(out, " > {file}({function})\n\t{file}");
            let _ = script.line.map(|line| write!(out, ":{line}"));
            out.push('\n');
        } else {
            let at = self.book.address(pid, frame);
            let shown = match frame.module {
                Some(_) => self.shown(frame),
                // Made at run time: whose it is changes.
                None => Arc::new(self.made(pid, frame)),
            };
            let _ = writeln!(out, " > {} [{at}]", shown.place);
            out.push_str(&shown.source);
        }
    }

    fn shown(&mut self, frame: &Frame) -> Arc<Shown> {
        if let Some(known) = self.known.get(frame) {
            return known.clone();
        }
        let stacks = self.book.stacks();
        let module = frame.module.and_then(|id| stacks.module(id));
        let path = module.map_or("", |module| &module.path);
        let symbol = self.symbolizer.symbol(stacks, frame);
        let place = match symbol {
            Some((symbol, offset)) => {
                // Behind it a version may stand.
                let symbol = symbol.split('@').next().unwrap_or_default();
                let name = self.names.of(&symbol.into());
                format!("{}({name}+{offset:#x})", printable(path))
            }
            None => format!("{}(+{:#x})", printable(path), frame.vaddr.0),
        };
        let mut source = String::new();
        for location in self.symbolizer.resolve(stacks, frame).iter() {
            let Some(file) = &location.file else { continue };
            let _ = write!(source, "\t{}", printable(file));
            let _ = location.line.map(|line| write!(source, ":{line}"));
            let _ = location.column.map(|column| write!(source, ":{column}"));
            if location.inlined {
                let _ = write!(source, " {} (inlined)", printable(&location.function));
            }
            source.push('\n');
        }
        let shown = Arc::new(Shown { place, source });
        self.known.insert(*frame, shown.clone());
        shown
    }

    fn made(&self, pid: Pid, frame: &Frame) -> Shown {
        let at = frame.lookup();
        let place = match self.book.made(pid, Addr(at.0)) {
            Some((name, offset)) => {
                format!(
                    "[jit]({}+{:#x})",
                    printable(&name),
                    offset + (frame.vaddr.0 - at.0)
                )
            }
            None => "[unknown]()".to_owned(),
        };
        let source = String::new();
        Shown { place, source }
    }
}

impl Backtraces for Traces {
    fn event(&mut self, event: &Event) {
        let pid = event.pid;
        match &event.kind {
            Kind::Started { parent } => {
                if let Some(parent) = parent.filter(|parent| *parent != pid) {
                    self.book.forked(parent, pid);
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
                self.book.loaded(pid, module, range.clone(), *bias);
            }
            Kind::Unloaded { range, .. } => self.book.unloaded(pid, range),
            Kind::Exec { .. }
            | Kind::Exited { last: true, .. }
            | Kind::Killed { last: true, .. } => self.book.forget(pid),
            _ => (),
        }
    }

    fn unwind(&mut self, pid: Pid, raw: &RawStack) -> StackId {
        self.book.unwind(pid, raw)
    }

    fn write(&mut self, pid: Pid, backtrace: Backtrace, most: usize, out: &mut String) {
        let frames = self.book.stacks().frames(backtrace.stack).to_vec();
        let callers = frames.iter().skip(usize::from(backtrace.has_callee));
        for frame in callers.take(most) {
            self.frame(pid, frame, out);
        }
        out.push('\n');
    }
}
