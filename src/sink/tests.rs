//! What the tests of all sinks share: events made by hand, and an output that can be read back.

use crate::base::addr::{Addr, Vaddr};
use crate::base::signal::Signal;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind, Why};
use crate::plan::{self, ModuleName, Returns, Tracepoint};
use crate::value::Value;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps every single write.
#[derive(Clone, Default)]
pub(super) struct Written(Arc<Mutex<Vec<String>>>);

impl Written {
    pub(super) fn writes(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    pub(super) fn text(&self) -> String {
        self.writes().concat()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("whole characters");
        self.0.lock().expect("no panic").push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A call of the main program.
pub(super) fn imported(symbol: &str) -> Arc<Tracepoint> {
    point(
        symbol,
        "prog",
        plan::Kind::Plt {
            slot: Vaddr(0x4000),
        },
    )
}

/// A function of a module, found by `-x`.
pub(super) fn defined(symbol: &str, module: &str) -> Arc<Tracepoint> {
    point(
        symbol,
        module,
        plan::Kind::Entry {
            entry: Vaddr(0x1000),
        },
    )
}

fn point(symbol: &str, module: &str, kind: plan::Kind) -> Arc<Tracepoint> {
    Arc::new(Tracepoint {
        module: Arc::new(ModuleName {
            name: module.to_owned(),
            path: format!("/lib/{module}"),
            is_main: module == "prog",
        }),
        symbol: symbol.into(),
        kind,
        prototype: None,
        capture: Default::default(),
        returns: Returns::Once,
        stack: plan::Stack::Unwanted,
    })
}

/// The events of one task, a millisecond apart.
pub(super) struct Task {
    pub(super) pid: i32,
    pub(super) tid: i32,
}

/// `Task 7` in tests of one task.
pub(super) const ONE: Task = Task { pid: 7, tid: 7 };

/// When the events of the tests happen.
pub(super) const NOON: Duration = Duration::from_micros(1_795_173_840_672_193);

impl Task {
    pub(super) fn at(&self, millis: u64, kind: Kind) -> Event {
        Event {
            pid: Pid(self.pid),
            tid: Tid(self.tid),
            time: Timestamp(NOON + Duration::from_millis(millis)),
            kind,
        }
    }

    fn now(&self, kind: Kind) -> Event {
        self.at(0, kind)
    }

    pub(super) fn call(
        &self,
        id: u64,
        depth: usize,
        point: &Arc<Tracepoint>,
        args: &[Value],
    ) -> Event {
        self.now(Kind::Call {
            id: CallId(id),
            depth,
            point: Arc::clone(point),
            return_address: Addr(0x401136 + id),
            args: args.to_vec(),
            words: Vec::new(),
            stack: None,
        })
    }

    pub(super) fn returns(
        &self,
        id: u64,
        depth: usize,
        point: &Arc<Tracepoint>,
        result: Value,
    ) -> Event {
        self.returns_with(id, depth, point, &[], result)
    }

    pub(super) fn returns_with(
        &self,
        id: u64,
        depth: usize,
        point: &Arc<Tracepoint>,
        out_args: &[Value],
        result: Value,
    ) -> Event {
        self.now(Kind::Return {
            id: CallId(id),
            depth,
            point: Arc::clone(point),
            return_address: Addr(0x401136 + id),
            out_args: out_args.to_vec(),
            result,
            word: 0,
            elapsed: Duration::from_nanos(211_900),
        })
    }

    pub(super) fn no_return(
        &self,
        id: u64,
        depth: usize,
        point: &Arc<Tracepoint>,
        why: Why,
    ) -> Event {
        self.now(Kind::NoReturn {
            id: CallId(id),
            depth,
            point: Arc::clone(point),
            why,
            elapsed: Duration::from_micros(50),
        })
    }

    pub(super) fn returns_again(&self, point: &Arc<Tracepoint>, result: Value) -> Event {
        self.now(Kind::ReturnedAgain {
            point: Arc::clone(point),
            depth: 0,
            return_address: Addr(0x401136),
            result,
        })
    }

    pub(super) fn signal(&self, number: i32) -> Event {
        self.now(Kind::Signal {
            signal: Signal(number),
            ip: Addr(0x7f0010),
        })
    }

    pub(super) fn exec(&self) -> Event {
        self.now(Kind::Exec { ip: Addr(0x7f0020) })
    }

    pub(super) fn exited(&self, status: i32) -> Event {
        self.now(Kind::Exited { status, last: true })
    }

    pub(super) fn thread_exited(&self) -> Event {
        self.now(Kind::Exited {
            status: 0,
            last: false,
        })
    }

    pub(super) fn killed(&self, number: i32) -> Event {
        self.now(Kind::Killed {
            signal: Signal(number),
            last: true,
        })
    }

    pub(super) fn started(&self) -> Event {
        self.now(Kind::Started {
            parent: None,
            shares_memory: false,
        })
    }

    pub(super) fn detached(&self) -> Event {
        self.now(Kind::Detached)
    }

    pub(super) fn lost(&self, what: &str) -> Event {
        self.now(Kind::Lost {
            what: what.to_owned(),
            count: None,
        })
    }
}

/// A short string.
pub(super) fn text(text: &str) -> Value {
    Value::Bytes {
        bytes: text.as_bytes().into(),
        cut: false,
    }
}
