//! What the thread that serves processes does not wait for.

use super::*;
use crate::base::Tid;
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::base::snapshot::{Copies, Copying};
use crate::event::CallId;
use crate::leak::kinds::Set;
use crate::leak::report::model::Verdict;
use crate::leak::system::{Descriptor, FileId};
use crate::plan::pairs;
use crate::plan::{self, ModuleName, Returns, Stack, Tracepoint};
use crate::stack::{Bytes, Module, Symbolizer};
use crate::value::Value;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A system that knows nothing.
struct Nothing;

impl System for Nothing {
    fn program(&self, _: Pid) -> Option<String> {
        None
    }
    fn thread(&self, _: Pid, _: Tid) -> Option<String> {
        None
    }
    fn threads(&self, _: Pid) -> HashMap<Tid, String> {
        HashMap::new()
    }
    fn descriptors(&self, _: Pid) -> Option<BTreeMap<u64, Descriptor>> {
        None
    }
    fn file(&self, _: Tid, _: u64) -> Option<FileId> {
        None
    }
    fn user_requests(&self) -> Vec<UserRequest> {
        Vec::new()
    }
    fn look_out(&self, _: Knowledge) -> Box<dyn Fn() -> bool> {
        Box::new(|| false)
    }
}

/// What was written.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PID: Pid = Pid(1);
/// Where the module lies.
const START: u64 = 0x10_0000;

/// A leak sink whose debug files are opened in this way.
fn leak_sink(
    out: Out,
    open: impl Fn(&Module, &std::path::Path) -> Vec<Bytes> + Send + 'static,
) -> LeakSink {
    let set = Set {
        label: pairs::label("heap").to_owned(),
        pairs: pairs::named("heap").expect("a set"),
    };
    let kinds = Arc::new(Kinds::new(std::slice::from_ref(&set)).expect("kinds"));
    let options = Options {
        sets: vec![set],
        kinds: vec![Verdict::Unchecked],
        checks: crate::leak::options::Checks::Off,
        ..Options::default()
    };
    let setup = Setup {
        readers: None,
        options,
        kinds,
        knowledge: Knowledge::All,
        suppressions: Arc::new(Suppressions::default()),
        book: Book::default(),
        system: Box::new(Nothing),
        out: Behind::new(Box::new(out), || false),
        view: None,
        progress: Progress::new(None),
        give_way: || {},
    };
    LeakSink::new(setup, Namer::new(Symbolizer::new(open)))
}

fn event(kind: Kind) -> Event {
    Event {
        pid: PID,
        tid: Tid(1),
        time: Timestamp(Duration::from_secs(1)),
        kind,
    }
}

/// A module that tells by its build id where its debug information is.
fn stripped() -> Bytes {
    let libc = std::fs::read_to_string("/proc/self/maps").unwrap();
    let path = libc.lines().find_map(|line| {
        let path = line.split_whitespace().nth(5)?;
        path.contains("/libc.so").then_some(path)
    });
    Bytes::from(std::fs::read(path.expect("a C library")).unwrap())
}

/// `main` has called malloc, and keeps what it got.
fn allocates(sink: &mut LeakSink) {
    let module = Arc::new(ModuleName {
        name: "program".to_owned(),
        path: "/program".to_owned(),
        is_main: true,
    });
    let point = Arc::new(Tracepoint {
        module: module.clone(),
        symbol: "malloc".into(),
        kind: plan::Kind::Resource {
            entry: Vaddr(0),
            allocator: None,
            holder: plan::Holder::Memory,
            sample: None,
            nesting: None,
        },
        prototype: None,
        capture: Default::default(),
        returns: Returns::Once,
        stack: Stack::Unwanted,
    });
    let events = [
        Kind::Started {
            parent: None,
            shares_memory: false,
        },
        Kind::Loaded {
            module,
            range: START..START + 0x20_0000,
            bias: Bias(START),
            file: Some(stripped()),
        },
        Kind::Call {
            id: CallId(1),
            depth: 0,
            point: point.clone(),
            return_address: Addr(START + 0x4_0000),
            args: vec![Value::Unsigned(100)],
            words: Vec::new(),
            stack: None,
        },
        Kind::Return {
            id: CallId(1),
            depth: 0,
            point,
            return_address: Addr(START + 0x4_0000),
            out_args: Vec::new(),
            result: Value::Unsigned(0x5000),
            word: 0x5000,
            elapsed: Duration::ZERO,
        },
    ];
    events
        .into_iter()
        .for_each(|kind| sink.event(&event(kind)).unwrap());
}

#[test]
fn the_thread_that_serves_processes_reads_no_debug_information() {
    let (asked, who) = channel();
    // The file is not there before the processes were served on.
    let (answer, coming): (_, Receiver<()>) = channel();
    let out = Out::default();
    let mut sink = leak_sink(out.clone(), move |_, _| {
        asked.send(thread::current().id()).unwrap();
        let _ = coming.recv();
        Vec::new()
    });
    sink.begin();
    allocates(&mut sink);
    sink.want_all(Moment::Meanwhile);
    sink.flush().unwrap();
    assert_ne!(who.recv().unwrap(), thread::current().id());
    allocates(&mut sink);
    sink.event(&event(Kind::Tick)).unwrap();
    assert_eq!(out.text(), "", "there is no report without names");
    drop(answer);
    sink.finish().unwrap();
    let text = out.text();
    assert_eq!(text.matches("leaks: ").count(), 2, "{text}");
}

#[test]
fn nobody_waits_for_the_last_report_on_a_process() {
    let (answer, coming): (_, Receiver<()>) = channel();
    let out = Out::default();
    let mut sink = leak_sink(out.clone(), move |_, _| {
        let _ = coming.recv();
        Vec::new()
    });
    sink.setup.options.checks = crate::leak::options::Checks::Final;
    sink.setup.options.kinds = vec![Verdict::Lost];
    sink.begin();
    allocates(&mut sink);
    sink.event(&event(Kind::Exiting)).unwrap();
    assert_eq!(sink.request(), Some(Request::Snapshot(PID)));
    let snapshot = Snapshot {
        regions: Vec::new(),
        images: Vec::new(),
        tasks: Vec::new(),
        memory: Box::new(Copies::default()),
        pause: Duration::ZERO,
        copying: Copying::Copied,
    };
    sink.snapshot(PID, Some(snapshot)).unwrap();
    let (status, last) = (0, true);
    let ends = |sink: &mut LeakSink| sink.event(&event(Kind::Exited { status, last }));
    ends(&mut sink).unwrap();
    sink.event(&event(Kind::Tick)).unwrap();
    assert_eq!(out.text(), "", "there is no report without names");
    drop(answer);
    // The next process with this id is another one.
    allocates(&mut sink);
    assert_eq!(sink.processes.len(), 1);
    ends(&mut sink).unwrap();
    sink.finish().unwrap();
    let text = out.text();
    let heads = [", at exit, ", "  1  LOST      100 B in 1 block "];
    for head in heads {
        assert_eq!(text.matches(head).count(), 1, "{head}: {text}");
    }
    assert_eq!(text.matches("leaks: ").count(), 2, "{text}");
}

/// A report was due when the process came to its end: the one snapshot that can still be made is for the last report.
#[test]
fn the_last_snapshot_is_for_the_last_report() {
    let mut sink = leak_sink(Out::default(), |_, _| Vec::new());
    sink.begin();
    allocates(&mut sink);
    sink.wanted.clear();
    sink.wanted.push_back((PID, Moment::Meanwhile));
    sink.wanted.push_back((PID, Moment::Snapshot));
    sink.event(&event(Kind::Exiting)).unwrap();
    assert_eq!(
        sink.wanted,
        [(PID, Moment::AtExit), (PID, Moment::Snapshot)]
    );
}
