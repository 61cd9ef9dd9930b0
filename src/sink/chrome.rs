//! A trace in Chrome's Trace Event Format, which Perfetto, speedscope and chrome://tracing open: an array of objects, one a
//! line. A call is a complete event (`X`) of its thread; signals, execs and ends are instants (`i`), threads a
//! counter (`C`). A reader takes the array without its end as well, should it be missing.

use super::Sink;
use super::demangle::Names;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{CallId, Event, Kind, Why};
use crate::export::json;
use crate::plan::{self, Tracepoint};
use crate::value::Value;
use crate::value::render::{list, render};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Writes the events.
pub struct Chrome {
    out: Box<dyn Write>,
    names: Names,
    /// Times count from here: as numbers of microseconds since 1970 they would have no nanoseconds.
    start: Option<Timestamp>,
    open: FxHashMap<CallId, Begun>,
    threads: HashMap<Pid, HashSet<Tid>>,
}

/// What the end of a call has to know of its beginning. A goroutine's may be in another thread.
struct Begun {
    tid: Tid,
    time: Timestamp,
    args: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    ph: &'static str,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: i32,
    tid: i32,
    /// An instant is the thread's or the process's.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    args: BTreeMap<&'static str, serde_json::Value>,
}

impl Chrome {
    /// Events that go to `out`.
    pub fn new(names: Names, out: Box<dyn Write>) -> Chrome {
        Chrome {
            out,
            names,
            start: None,
            open: FxHashMap::default(),
            threads: HashMap::new(),
        }
    }

    /// The array begins with when times begin.
    fn begin_file(&mut self, time: Timestamp) -> io::Result<()> {
        if self.start.is_some() {
            return Ok(());
        }
        self.start = Some(time);
        let nanos = u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX);
        let head = serde_json::json!({
            "name": "ltrace", "ph": "M", "pid": 0,
            "args": {"version": env!("CARGO_PKG_VERSION"), "start_ns": nanos},
        });
        write!(self.out, "[\n{head}")
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let mut bytes = b",\n".to_vec();
        json::write(&mut bytes, entry)?;
        self.out.write_all(&bytes)
    }

    fn since_start(&self, time: Timestamp) -> f64 {
        micros(time.since(self.start.unwrap_or_default()))
    }

    fn end(
        &mut self,
        event: &Event,
        id: CallId,
        point: &Tracepoint,
        result: Option<(&[Value], &Value)>,
        how: Option<Why>,
    ) -> io::Result<()> {
        let Some(begun) = self.open.remove(&id) else {
            return Ok(());
        };
        let name = self.names.of(&point.symbol);
        let mut args = BTreeMap::new();
        let mut passed = begun.args;
        if let Some((others, result)) = result {
            if !passed.is_empty() && !others.is_empty() {
                passed.push_str(", ");
            }
            list(&mut passed, others);
            args.insert("result", render(result).into());
        }
        args.insert("args", passed.into());
        if let Some(why) = how {
            args.insert("end", format!("{why:?}").to_lowercase().into());
        }
        let module = match point.kind {
            plan::Kind::SystemCall => "syscall",
            _ => &point.module.name,
        };
        let ts = self.since_start(begun.time);
        let entry = Entry {
            name: &name,
            cat: Some(module),
            ph: "X",
            ts,
            dur: Some(self.since_start(event.time) - ts),
            pid: event.pid.0,
            tid: begun.tid.0,
            s: None,
            args,
        };
        self.entry(&entry)
    }

    fn instant(&mut self, event: &Event, name: &str, s: &'static str) -> io::Result<()> {
        let entry = Entry {
            name,
            cat: None,
            ph: "i",
            ts: self.since_start(event.time),
            dur: None,
            pid: event.pid.0,
            tid: event.tid.0,
            s: Some(s),
            args: BTreeMap::new(),
        };
        self.entry(&entry)
    }

    /// How many threads the process has.
    fn count(&mut self, event: &Event, has_begun: bool) -> io::Result<()> {
        let threads = self.threads.entry(event.pid).or_default();
        match has_begun {
            true => threads.insert(event.tid),
            false => threads.remove(&event.tid),
        };
        let entry = Entry {
            name: "threads",
            cat: None,
            ph: "C",
            ts: self.since_start(event.time),
            dur: None,
            pid: event.pid.0,
            tid: event.tid.0,
            s: None,
            args: BTreeMap::from([("threads", self.threads[&event.pid].len().into())]),
        };
        self.entry(&entry)
    }

    fn process_name(&mut self, event: &Event, name: &str) -> io::Result<()> {
        let entry = Entry {
            name: "process_name",
            cat: None,
            ph: "M",
            ts: self.since_start(event.time),
            dur: None,
            pid: event.pid.0,
            tid: event.tid.0,
            s: None,
            args: BTreeMap::from([("name", name.into())]),
        };
        self.entry(&entry)
    }
}

/// In 1024ths, which sums of numbers keep: a call that ends when the next one begins must not overlap it by a rounding, nor
/// one that ends with the call around it.
fn micros(time: Duration) -> f64 {
    (time.as_nanos() * 1024 / 1000) as f64 / 1024.0
}

const OF_THREAD: &str = "t";
const OF_PROCESS: &str = "p";

impl Sink for Chrome {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if event.kind.is_bookkeeping() || matches!(event.kind, Kind::Tick | Kind::Leaving) {
            return Ok(());
        }
        self.begin_file(event.time)?;
        match &event.kind {
            Kind::Call { id, args, .. } => {
                let mut text = String::new();
                list(&mut text, args);
                let begun = Begun {
                    tid: event.tid,
                    time: event.time,
                    args: text,
                };
                self.open.insert(*id, begun);
                Ok(())
            }
            Kind::Return {
                id,
                point,
                out_args,
                result,
                ..
            } => self.end(event, *id, point, Some((out_args, result)), None),
            Kind::NoReturn { id, point, why, .. } => self.end(event, *id, point, None, Some(*why)),
            Kind::ReturnedAgain { point, .. } => {
                let name = format!("{} returned again", self.names.of(&point.symbol));
                self.instant(event, &name, OF_THREAD)
            }
            Kind::Signal { signal, .. } => self.instant(event, &signal.to_string(), OF_THREAD),
            Kind::Started { .. } => self.count(event, true),
            Kind::Exec { .. } => self.instant(event, "exec", OF_PROCESS),
            Kind::Exited { status, last } => {
                if *last {
                    self.instant(event, &format!("exited: {status}"), OF_PROCESS)?;
                }
                self.count(event, false)
            }
            Kind::Killed { signal, last } => {
                if *last {
                    self.instant(event, &format!("killed by {signal}"), OF_PROCESS)?;
                }
                self.count(event, false)
            }
            Kind::Detached => self.count(event, false),
            Kind::Loaded { module, .. } if module.is_main => {
                self.process_name(event, &Arc::clone(module).name)
            }
            Kind::Lost { what, .. } | Kind::NoAllocator { what } => {
                self.instant(event, what, OF_PROCESS)
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.begin_file(Timestamp::default())?;
        self.out.write_all(b"\n]\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::Spelling;
    use crate::sink::tests::{ONE, Written, imported, text};

    #[test]
    fn events_of_each_kind() {
        let written = Written::default();
        let mut sink = Chrome::new(Names::new(Spelling::Whole), Box::new(written.clone()));
        let (new, exit) = (imported("_Znwm"), imported("exit"));
        let events = [
            ONE.started(),
            ONE.call(1, 0, &new, &[Value::Signed(3)]),
            ONE.signal(10),
            ONE.returns_with(1, 0, &new, &[text("x")], Value::Signed(4)),
            ONE.call(2, 0, &exit, &[Value::Signed(0)]),
            ONE.no_return(2, 0, &exit, Why::Gone),
            ONE.exited(0),
        ];
        for event in &events {
            sink.event(event).expect("written");
        }
        let cut = written.text();
        sink.finish().expect("finished");
        let all: Vec<serde_json::Value> = serde_json::from_str(&written.text()).expect("an array");
        let cut: Vec<serde_json::Value> = serde_json::from_str(&(cut + "]")).expect("an array");
        assert_eq!(all, cut, "whole in each moment but for the end");
        let of = |phase: &str| {
            let phases = all.iter().filter(|entry| entry["ph"] == phase);
            phases
                .map(|entry| entry["name"].as_str().unwrap_or_default())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("X"), ["operator new(unsigned long)", "exit"]);
        assert_eq!(of("i"), ["SIGUSR1", "exited: 0"]);
        assert_eq!(of("C"), ["threads", "threads"]);
        let call = all.iter().find(|entry| entry["ph"] == "X").expect("a call");
        assert_eq!(
            call["args"],
            serde_json::json!({"args": "3, \"x\"", "result": "4"})
        );
        assert_eq!((&call["pid"], &call["tid"]), (&7.into(), &7.into()));
        assert!(call["dur"].is_f64() && call["ts"].is_f64(), "{call}");
    }
}
