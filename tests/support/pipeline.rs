//! Ready-made hits of a few common calls, and the way from them to lines: what the bench `pipeline` times and
//! the test of allocations counts.

use ltrace::base::addr::{Addr, Vaddr};
use ltrace::base::memory::{Memory, Unreadable};
use ltrace::base::regs::{FloatRegs, Floats, Regs, Unknown, View};
use ltrace::base::time::Timestamp;
use ltrace::base::{Pid, Tid};
use ltrace::decode::Decoder;
use ltrace::engine::hit::{self, Hit, What};
use ltrace::event::CallId;
use ltrace::plan::{Kind, ModuleName, Returns, Stack, Tracepoint};
use ltrace::proto::library::Library;
use ltrace::sink::Sink;
use ltrace::sink::text::{Style, Text};
use ltrace::value::Limits;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// Where the memory of the traced process begins; the stack pointer is there.
const STACK: u64 = 0x7000_0000;
/// Where texts are.
const TEXT: u64 = STACK + 0x100;
const FORMAT: u64 = STACK + 0x180;

/// One kind of call, as a hit shows it.
pub(crate) struct Workload {
    /// What a reader knows it by.
    pub(crate) name: &'static str,
    /// The functions, their first arguments and their results; each is called in turn.
    functions: Vec<(Arc<Tracepoint>, [u64; 6], u64)>,
}

/// The calls that the hot path is judged by.
pub(crate) fn workloads() -> Vec<Workload> {
    let library = Library::shipped();
    let workload = |name, functions: &[(&str, [u64; 6], u64)]| Workload {
        name,
        functions: functions
            .iter()
            .map(|(symbol, arguments, result)| (point(&library, symbol), *arguments, *result))
            .collect(),
    };
    vec![
        workload(
            "malloc(32), free(p)",
            &[
                ("malloc", [32, 0, 0, 0, 0, 0], TEXT),
                ("free", [TEXT, 0, 0, 0, 0, 0], 0),
            ],
        ),
        workload(
            "strcpy(p, text)",
            &[("strcpy", [TEXT, TEXT, 0, 0, 0, 0], TEXT)],
        ),
        workload(
            "open(path, flags)",
            &[("open", [TEXT, 0o2101, 0o644, 0, 0, 0], 3)],
        ),
        workload(
            "printf(\"%d %s\\n\", n, text)",
            &[("printf", [FORMAT, 42, TEXT, 0, 0, 0], 35)],
        ),
    ]
}

fn point(library: &Library, symbol: &str) -> Arc<Tracepoint> {
    let prototype = library.lookup(symbol, &["libc.so.6"]);
    assert!(prototype.is_some(), "no prototype of {symbol}");
    Arc::new(Tracepoint {
        module: Arc::new(ModuleName {
            name: "program".to_owned(),
            path: "/program".to_owned(),
            is_main: true,
        }),
        symbol: symbol.into(),
        kind: Kind::Plt { slot: Vaddr(0) },
        prototype,
        capture: Default::default(),
        returns: Returns::Once,
        stack: Stack::Unwanted,
    })
}

/// The traced process: one page.
struct Page(Box<[u8; 4096]>);

impl Page {
    fn new() -> Page {
        let mut page = Box::new([0; 4096]);
        let mut put = |at: u64, text: &[u8]| {
            let at = (at - STACK) as usize;
            page[at..at + text.len()].copy_from_slice(text);
        };
        put(TEXT, b"a text of thirty-two characters.\0");
        put(FORMAT, b"%d %s\n\0");
        Page(page)
    }
}

impl Memory for Page {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let from = at.0.checked_sub(STACK).map(|from| from as usize);
        let rest = from.and_then(|from| self.0.get(from..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if count == 0 && !buf.is_empty() {
            return Err(Unreadable(at));
        }
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Floats for Page {
    fn floats(&self) -> Option<FloatRegs> {
        None
    }
}

/// From hits to lines.
pub(crate) struct Pipe<'w> {
    workload: &'w Workload,
    page: Page,
    next: u64,
    lines: Lines,
}

/// What a hit goes through.
struct Lines {
    decoder: Decoder,
    text: Text,
}

impl Workload {
    /// The way to this output.
    pub(crate) fn pipe(&self, out: Box<dyn Write>) -> Pipe<'_> {
        Pipe {
            workload: self,
            page: Page::new(),
            next: 0,
            lines: Lines {
                decoder: Decoder::new(Limits::default()),
                text: Text::new(Style::default(), out),
            },
        }
    }
}

impl Pipe<'_> {
    /// Makes so many calls, each with its return.
    pub(crate) fn run(&mut self, calls: u32) {
        let functions = self.workload.functions.iter().cycle();
        for (point, arguments, result) in functions.take(calls as usize) {
            self.call(point, arguments, *result);
        }
    }

    fn call(&mut self, point: &Arc<Tracepoint>, arguments: &[u64; 6], result: u64) {
        let [rdi, rsi, rdx, rcx, r8, r9] = *arguments;
        let mut regs = Regs {
            rdi,
            rsi,
            rdx,
            rcx,
            r8,
            r9,
            rsp: STACK,
            ..Regs::default()
        };
        let id = CallId(self.next);
        self.next += 1;
        let return_address = Addr(0x40_0000);
        self.lines.take(What::Call(hit::Call {
            id,
            depth: 0,
            point,
            return_address,
            view: view(&regs, &self.page),
        }));
        regs.rax = result;
        regs.rsp += 8;
        self.lines.take(What::Return {
            call: hit::Call {
                id,
                depth: 0,
                point,
                return_address,
                view: view(&regs, &self.page),
            },
            began: Timestamp(Duration::ZERO),
        });
    }
}

impl Lines {
    fn take(&mut self, what: What<'_>) {
        let event = self.decoder.event(&Hit {
            pid: Pid(1),
            tid: Tid(1),
            time: Timestamp(Duration::ZERO),
            what,
        });
        self.text.event(event).expect("written");
    }
}

fn view<'e>(regs: &'e Regs, page: &'e Page) -> View<'e> {
    View {
        regs,
        memory: page,
        floats: page,
        process: &Unknown,
        errno: None,
    }
}
