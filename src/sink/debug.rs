//! What ltrace itself does, as far as events tell (`--debug`): lines for who looks for a mistake in it, in a form that
//! changes.

use super::Sink;
use crate::base::printable::printable;
use crate::event::{Event, Kind};
use crate::plan::Tracepoint;
use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

/// What lines are about: a bit of the mask, and a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// What is begun and ended.
    General = 0o1,
    /// Each event.
    Event = 0o10,
    /// Processes, threads and modules.
    Process = 0o20,
    /// Functions that are called for the first time.
    Function = 0o40,
    /// How calls are seen, by code that records them or by int3s, and why.
    Instrument = 0o100,
}

impl Topic {
    /// All of them, with names and meanings.
    pub const ALL: [(Topic, &'static str, &'static str); 5] = [
        (Topic::General, "general", "what is begun and ended"),
        (Topic::Event, "event", "each event"),
        (Topic::Process, "process", "processes, threads and modules"),
        (
            Topic::Function,
            "function",
            "functions, at their first call",
        ),
        (
            Topic::Instrument,
            "instrument",
            "how calls are seen, and why",
        ),
    ];
}

/// The topics that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(pub u32);

impl Topics {
    /// Whether this one is.
    pub fn has(self, topic: Topic) -> bool {
        self.0 & topic as u32 != 0
    }
}

/// Writes the lines.
pub struct Debug {
    topics: Topics,
    out: Box<dyn Write>,
    known: HashSet<*const Tracepoint>,
    /// Keeps the places in memory by which they are known.
    points: Vec<Arc<Tracepoint>>,
}

impl Debug {
    /// Lines about these topics.
    pub fn new(topics: Topics, out: Box<dyn Write>) -> Debug {
        Debug {
            topics,
            out,
            known: HashSet::new(),
            points: Vec::new(),
        }
    }

    fn line(&mut self, topic: Topic, text: &str) -> io::Result<()> {
        match self.topics.has(topic) {
            true => line(&mut self.out, topic, text),
            false => Ok(()),
        }
    }

    fn function(&mut self, point: &Arc<Tracepoint>) -> io::Result<()> {
        if !self.topics.has(Topic::Function) || !self.known.insert(Arc::as_ptr(point)) {
            return Ok(());
        }
        self.points.push(point.clone());
        let prototype = match &point.prototype {
            Some(prototype) => format!("{} parameters", prototype.params.len()),
            None => "no prototype".to_owned(),
        };
        let text = format!(
            "{} of {}: {:?}, {prototype}, returns {:?}, stack {:?}",
            point.symbol, point.module.name, point.kind, point.returns, point.stack
        );
        self.line(Topic::Function, &text)
    }
}

/// Writes a line about a topic.
pub fn line(out: &mut dyn Write, topic: Topic, text: &str) -> io::Result<()> {
    let names = Topic::ALL.iter().find(|(known, ..)| *known == topic);
    let name = names.map_or("", |(_, name, _)| name);
    writeln!(out, "DEBUG: {name}: {}", printable(text))
}

impl Sink for Debug {
    fn begin(&mut self) {
        // The trace does not end for want of these.
        let _ = self.line(Topic::General, "all tasks to be traced are stopped");
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let who = format!("{} {} at {:?}", event.pid, event.tid, event.time.0);
        let process = match &event.kind {
            Kind::Call { point, .. } => {
                self.function(point)?;
                None
            }
            Kind::Started { parent, .. } => Some(format!("started, by {parent:?}")),
            Kind::Exec { ip } => Some(format!("runs another program, from {ip}")),
            Kind::Exited { status, last } => Some(format!("exited: {status}, last {last}")),
            Kind::Killed { signal, last } => Some(format!("killed by {signal}, last {last}")),
            Kind::Detached => Some("detached".to_owned()),
            Kind::Unfollowed => Some("made a child that is not followed".to_owned()),
            Kind::Loaded {
                module,
                range,
                bias,
                ..
            } => Some(format!("loaded {} at {range:#x?}, {bias:?}", module.path)),
            Kind::Unloaded { module, .. } => Some(format!("unloaded {}", module.path)),
            _ => None,
        };
        if let Some(text) = process {
            self.line(Topic::Process, &format!("{who}: {text}"))?;
        }
        if self.topics.has(Topic::Event) {
            self.line(Topic::Event, &format!("{who}: {}", told(&event.kind)))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.line(Topic::General, "there are no more events")
    }
}

fn told(kind: &Kind) -> String {
    match kind {
        Kind::Call {
            id, depth, point, ..
        } => format!("call {} of {}, depth {depth}", id.0, point.symbol),
        Kind::Return {
            id, point, elapsed, ..
        } => format!(
            "return of {} from {}, after {elapsed:?}",
            id.0, point.symbol
        ),
        Kind::ReturnedAgain { point, .. } => format!("another return from {}", point.symbol),
        Kind::NoReturn { id, point, why, .. } => {
            format!("no return of {} from {}: {why:?}", id.0, point.symbol)
        }
        Kind::Loaded { module, .. } => format!("loaded {}", module.name),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::{ONE, Written, imported};
    use crate::value::Value::Void;

    #[track_caller]
    fn check(mask: u32, beginnings: &[&str]) {
        let written = Written::default();
        let mut sink = Debug::new(Topics(mask), Box::new(written.clone()));
        let f = imported("f");
        sink.begin();
        for event in [
            ONE.started(),
            ONE.call(1, 0, &f, &[]),
            ONE.returns(1, 0, &f, Void),
        ] {
            sink.event(&event).expect("written");
        }
        sink.event(&ONE.call(2, 0, &f, &[])).expect("written");
        sink.finish().expect("written");
        let text = written.text();
        let fits = text
            .lines()
            .zip(beginnings)
            .all(|(line, start)| line.starts_with(start));
        assert!(fits && text.lines().count() == beginnings.len(), "{text}");
    }

    #[test]
    fn lines_by_topic() {
        check(0, &[]);
        check(0o1, &["DEBUG: general: "; 2]);
        check(0o10, &["DEBUG: event: "; 4]);
        check(0o20, &["DEBUG: process: "]);
        check(0o40, &["DEBUG: function: f of "]);
        check(
            0o11,
            &[
                "DEBUG: general: ",
                "DEBUG: event: ",
                "DEBUG: event: ",
                "DEBUG: event: ",
                "DEBUG: event: ",
                "DEBUG: general: ",
            ],
        );
    }
}
