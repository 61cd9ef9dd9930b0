//! A trace as one page to look at (`--html`).

use super::Sink;
use super::demangle::Names;
use crate::base::printable::printable;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind, Why};
use crate::export::trace::{self, FAILED, LOST, OPEN, TracePage};
use crate::plan::{self, ModuleName, Tracepoint};
use crate::value::Value;
use crate::value::render::{list, render};
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Gathers the calls, and writes the page at the end.
pub struct Page {
    out: Box<dyn Write>,
    names: Names,
    page: TracePage,
    start: Option<Timestamp>,
    open: FxHashMap<CallId, usize>,
    functions: HashMap<(Arc<str>, Arc<ModuleName>, bool), u32>,
    threads: HashMap<Tid, u32>,
    programs: HashMap<Pid, String>,
    texts: HashMap<Arc<str>, u32>,
    bytes_of_texts: usize,
    left_out: u64,
    now: f64,
}

/// More calls than these are not kept.
const MOST: usize = 5_000_000;
/// So many bytes of arguments and results are kept; then their lines are cut.
const TEXTS: usize = 256 << 20;
const INSTANTS: usize = 20_000;
/// What is deeper is drawn at this depth.
const DEEPEST: usize = 250;

impl Page {
    /// A page that goes to `out`.
    pub fn new(names: Names, out: Box<dyn Write>) -> Page {
        let mut page = Page {
            out,
            names,
            page: TracePage::default(),
            start: None,
            open: FxHashMap::default(),
            functions: HashMap::new(),
            threads: HashMap::new(),
            programs: HashMap::new(),
            texts: HashMap::new(),
            bytes_of_texts: 0,
            left_out: 0,
            now: 0.0,
        };
        page.text(String::new());
        page
    }

    fn text(&mut self, text: String) -> u32 {
        if let Some(known) = self.texts.get(text.as_str()) {
            return *known;
        }
        if self.bytes_of_texts + text.len() > TEXTS {
            return self.text("…".to_owned());
        }
        self.bytes_of_texts += text.len();
        let number = self.page.texts.len() as u32;
        self.texts.insert(text.as_str().into(), number);
        self.page.texts.push(text);
        number
    }

    fn function(&mut self, point: &Tracepoint) -> u32 {
        let is_system_call = point.kind == plan::Kind::SystemCall;
        let key = (point.symbol.clone(), point.module.clone(), is_system_call);
        if let Some(known) = self.functions.get(&key) {
            return *known;
        }
        let module = match is_system_call {
            true => "system calls",
            false => &point.module.name,
        };
        let name = self.names.of(&point.symbol).to_string();
        let number = self.page.functions.len() as u32;
        let module = printable(module).into_owned();
        self.page
            .functions
            .push((printable(&name).into_owned(), module));
        self.functions.insert(key, number);
        number
    }

    fn thread(&mut self, event: &Event) -> u32 {
        if let Some(known) = self.threads.get(&event.tid) {
            return *known;
        }
        let number = self.page.threads.len() as u32;
        let program = self.programs.get(&event.pid).map_or("", String::as_str);
        let name = match event.pid.0 == event.tid.0 {
            true => format!("{program} {}", event.pid),
            false => format!("{program} {}, thread {}", event.pid, event.tid),
        };
        self.page.threads.push(name.trim().to_owned());
        self.threads.insert(event.tid, number);
        number
    }

    /// What the main program of a process is called, once that is known.
    fn program(&mut self, event: &Event, module: &ModuleName) {
        let name = printable(&module.name).into_owned();
        if self.page.title.is_empty() {
            self.page.title = format!("trace: {name}");
        }
        self.programs.insert(event.pid, name.clone());
        if let Some(thread) = self.threads.get(&event.tid) {
            self.page.threads[*thread as usize] = format!("{name} {}", event.pid);
        }
    }

    fn call(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        point: &Tracepoint,
        args: &[Value],
    ) {
        if self.page.calls.start.len() >= MOST {
            self.left_out += 1;
            return;
        }
        let (function, thread) = (self.function(point), self.thread(event));
        let mut text = String::new();
        list(&mut text, args);
        let args = self.text(text);
        let calls = &mut self.page.calls;
        self.open.insert(id, calls.start.len());
        calls.start.push(self.now);
        calls.duration.push(0.0);
        calls.function.push(function);
        calls.thread.push(thread);
        calls.args.push(args);
        calls.result.push(0);
        calls.depth.push(depth.min(DEEPEST) as u8);
        calls.flags.push(OPEN);
    }

    fn end(&mut self, id: CallId, end: Ended<'_>) {
        let Some(at) = self.open.remove(&id) else {
            return;
        };
        // By the same clock as beginnings: what is within a call must not seem to outlast it.
        self.page.calls.duration[at] = self.now - self.page.calls.start[at];
        self.page.calls.flags[at] = end.flags;
        if !end.out_args.is_empty() {
            let mut text = self.page.texts[self.page.calls.args[at] as usize].clone();
            if !text.is_empty() {
                text.push_str(", ");
            }
            list(&mut text, end.out_args);
            self.page.calls.args[at] = self.text(text);
        }
        if let Some(result) = end.result {
            self.page.calls.result[at] = self.text(render(result));
        }
    }

    fn instant(&mut self, event: &Event, text: &str) {
        if self.page.instants.len() < INSTANTS {
            let thread = self.thread(event);
            let text = printable(text).into_owned();
            self.page.instants.push((self.now, thread, text));
        }
    }
}

/// How a call ended.
struct Ended<'a> {
    out_args: &'a [Value],
    result: Option<&'a Value>,
    flags: u8,
}

impl Sink for Page {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if event.kind.is_bookkeeping() || matches!(event.kind, Kind::Tick) {
            return Ok(());
        }
        let start = *self.start.get_or_insert(event.time);
        self.now = event.time.since(start).as_nanos() as f64;
        match &event.kind {
            Kind::Call {
                id,
                depth,
                point,
                args,
                ..
            } => self.call(event, *id, *depth, point, args),
            Kind::Return {
                id,
                out_args,
                result,
                ..
            } => {
                let failed = matches!(result, Value::Signed(-1) | Value::Failed(..));
                let end = Ended {
                    out_args,
                    result: Some(result),
                    flags: if failed { FAILED } else { 0 },
                };
                self.end(*id, end);
            }
            Kind::NoReturn { id, why, .. } => {
                let end = Ended {
                    out_args: &[],
                    result: None,
                    flags: if *why == Why::Detached { OPEN } else { LOST },
                };
                self.end(*id, end);
            }
            Kind::Started {
                parent: Some(parent),
                ..
            } => {
                if let Some(program) = self.programs.get(parent).cloned() {
                    self.programs.entry(event.pid).or_insert(program);
                }
            }
            Kind::Loaded { module, .. } if module.is_main => self.program(event, module),
            Kind::Signal { signal, .. } => self.instant(event, &signal.to_string()),
            Kind::Exec { .. } => self.instant(event, "exec"),
            Kind::Exited { status, .. } => self.instant(event, &format!("exited: {status}")),
            Kind::Killed { signal, .. } => self.instant(event, &format!("killed by {signal}")),
            Kind::Lost { what, .. } | Kind::NoAllocator { what } => self.instant(event, what),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let page = &mut self.page;
        // Those that are still open reach to the end.
        for at in self.open.values() {
            page.calls.duration[*at] = self.now - page.calls.start[*at];
        }
        page.span = self.now;
        let mut facts = vec![
            ("calls", page.calls.start.len().to_string()),
            ("functions", page.functions.len().to_string()),
            ("threads", page.threads.len().to_string()),
            ("time", format!("{:.3} s", self.now / 1e9)),
        ];
        if self.left_out > 0 {
            facts.push(("calls left out", self.left_out.to_string()));
        }
        page.facts = facts
            .into_iter()
            .map(|(name, fact)| (name.to_owned(), fact))
            .collect();
        if page.title.is_empty() {
            page.title = "trace".to_owned();
        }
        trace::write(page, &mut self.out)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::Spelling;
    use crate::sink::tests::{ONE, Task, Written, imported, text};

    #[test]
    fn calls_in_columns() {
        let [outer, inner] = ["outer", "inner"].map(imported);
        let two = Task { pid: 7, tid: 8 };
        let events = [
            ONE.started(),
            ONE.call(1, 0, &outer, &[Value::Signed(1)]),
            ONE.call(2, 1, &inner, &[]),
            ONE.returns(2, 1, &inner, Value::Signed(-1)),
            two.call(3, 0, &inner, &[]),
            ONE.returns_with(1, 0, &outer, &[text("x")], Value::Void),
            ONE.signal(10),
            two.no_return(3, 0, &inner, Why::Gone),
            ONE.call(4, 0, &outer, &[]),
            ONE.exited(0),
        ];
        let written = Written::default();
        let mut sink = Page::new(Names::new(Spelling::Whole), Box::new(written.clone()));
        for event in &events {
            sink.event(event).expect("written");
        }
        sink.finish().expect("written");
        let page = &sink.page;
        assert_eq!(page.calls.function, [0, 1, 1, 0]);
        assert_eq!(page.calls.thread, [0, 0, 1, 0]);
        assert_eq!(page.calls.depth, [0, 1, 0, 0]);
        assert_eq!(page.calls.flags, [0, FAILED, LOST, OPEN]);
        let texts = |numbers: &[u32]| -> Vec<&str> {
            numbers
                .iter()
                .map(|number| &*page.texts[*number as usize])
                .collect()
        };
        assert_eq!(texts(&page.calls.args), ["1, \"x\"", "", "", ""]);
        assert_eq!(texts(&page.calls.result), ["<void>", "-1", "", ""]);
        assert_eq!(page.threads, ["7", "7, thread 8"]);
        let instants: Vec<&str> = page.instants.iter().map(|(.., text)| &**text).collect();
        assert_eq!(instants, ["SIGUSR1", "exited: 0"]);
        assert!(written.text().contains("<h1>trace</h1>"));
    }
}
