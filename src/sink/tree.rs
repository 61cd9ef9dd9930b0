//! Calls as a graph, with how long each took (`--tree`): the look that uftrace gives to functions.
//!
//! ```text
//! # DURATION      TID     FUNCTION
//!   12.300 us [  4711] | malloc(3) = 0x55d1f02a22a0;
//!             [  4711] | qsort(0x7ffd6c5a1a90, 5, 4, 0x55d1ef3fd1c9) {
//!    1.200 us [  4711] |   strcmp("a", "b") = -1;
//!   48.100 us [  4711] | } = <void>; /* qsort */
//!             [  4711] | fgets() {
//!    2.100 us [  4711] |   read(0, "text\n", 1024) = 5;
//!    5.300 us [  4711] | } = 0x7ffd6c5a1b40; /* fgets("text\n", 80, 0x7f5e1b4038e0) */
//!             [  4711] | /* exited (status 0) */
//! ```

use super::Sink;
use super::demangle::Names;
use crate::base::Tid;
use crate::base::printable::printable;
use crate::event::{CallId, Event, Kind, Why};
use crate::plan::{self, Tracepoint};
use crate::value::Value;
use crate::value::render::{list, render};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// Writes the graph.
pub struct Tree {
    names: Names,
    out: Box<dyn Write>,
    has_begun: bool,
    /// The call that began last, if nothing was written since: it may turn out to have nothing within it.
    held: Option<Held>,
    /// Calls whose line ended with a brace, with what stands before that.
    open: FxHashMap<CallId, String>,
}

struct Held {
    id: CallId,
    tid: Tid,
    depth: usize,
    /// What stands before the parenthesis that is closed.
    text: String,
}

/// However deep the calls, a line is not indented further.
const DEEPEST: usize = 500;

impl Tree {
    /// A graph that goes to `out`.
    pub fn new(names: Names, out: Box<dyn Write>) -> Tree {
        Tree {
            names,
            out,
            has_begun: false,
            held: None,
            open: FxHashMap::default(),
        }
    }

    fn line(
        &mut self,
        duration: Option<Duration>,
        tid: Tid,
        depth: usize,
        text: &str,
    ) -> io::Result<()> {
        let mut line = String::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            line.push_str("# DURATION      TID     FUNCTION\n");
        }
        let duration = duration.map_or_else(String::new, shown);
        let indent = 2 * depth.min(DEEPEST);
        line += &format!(
            "{duration:>11} [{tid:>6}] | {:indent$}{text}\n",
            "",
            tid = tid.0
        );
        self.out.write_all(line.as_bytes())
    }

    /// What is written next does not belong into the line of the call that is held.
    fn open_held(&mut self) -> io::Result<()> {
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        self.line(None, held.tid, held.depth, &format!("{}) {{", held.text))?;
        self.open.insert(held.id, held.text);
        Ok(())
    }

    fn call(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        point: &Tracepoint,
        args: &[Value],
    ) -> io::Result<()> {
        self.open_held()?;
        let mut text = self.name(point);
        text.push('(');
        list(&mut text, args);
        self.held = Some(Held {
            id,
            tid: event.tid,
            depth,
            text,
        });
        Ok(())
    }

    fn end(
        &mut self,
        event: &Event,
        id: CallId,
        depth: usize,
        point: &Tracepoint,
        end: &End<'_>,
    ) -> io::Result<()> {
        if let Some(held) = self.held.take_if(|held| held.id == id) {
            let text = filled(held.text, end.out_args) + &end.how;
            return self.line(Some(end.elapsed), event.tid, depth, &text);
        }
        self.open_held()?;
        let Some(begun) = self.open.remove(&id) else {
            return Ok(());
        };
        // What the call has filled stands among its arguments.
        let is_shown = |value: &Value| *value != Value::Hidden;
        let whole = match end.out_args.iter().any(is_shown) {
            true => filled(begun, end.out_args),
            false => self.name(point),
        };
        let text = format!("}}{} /* {} */", end.how, comment(&whole));
        self.line(Some(end.elapsed), event.tid, depth, &text)
    }

    fn note(&mut self, event: &Event, text: &str) -> io::Result<()> {
        self.open_held()?;
        self.line(None, event.tid, 0, &format!("/* {} */", printable(text)))
    }

    fn name(&mut self, point: &Tracepoint) -> String {
        let name = self.names.of(&point.symbol);
        match point.kind {
            plan::Kind::SystemCall => format!("{name}@SYS"),
            _ => name.to_string(),
        }
    }
}

/// A call with its arguments, those behind that are known when it has ended.
fn filled(mut text: String, out_args: &[Value]) -> String {
    for value in out_args.iter().filter(|value| **value != Value::Hidden) {
        text.push_str(match value {
            // It was shown at the call, too.
            Value::Again(_) => " => ",
            _ if text.ends_with('(') => "",
            _ => ", ",
        });
        text.push_str(&render(value));
    }
    text.push(')');
    text
}

/// Text that does not end a comment.
fn comment(text: &str) -> Cow<'_, str> {
    match text.contains("*/") {
        true => text.replace("*/", "*\\/").into(),
        false => text.into(),
    }
}

/// How a call ended.
struct End<'a> {
    out_args: &'a [Value],
    /// ` = 3;`
    how: String,
    elapsed: Duration,
}

fn shown(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (whole, unit) = match nanos {
        0..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, " s"),
    };
    format!(
        "{}.{:03} {unit}",
        nanos / whole,
        nanos % whole * 1000 / whole
    )
}

impl Sink for Tree {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            kind if kind.is_bookkeeping() => Ok(()),
            Kind::Call {
                id,
                depth,
                point,
                args,
                ..
            } => self.call(event, *id, *depth, point, args),
            Kind::Return {
                id,
                depth,
                point,
                out_args,
                result,
                elapsed,
                ..
            } => {
                let end = End {
                    out_args,
                    how: format!(" = {};", render(result)),
                    elapsed: *elapsed,
                };
                self.end(event, *id, *depth, point, &end)
            }
            Kind::NoReturn {
                id,
                depth,
                point,
                why,
                elapsed,
            } => {
                let how = match why {
                    Why::Unwound => "unwound",
                    Why::Gone => "no return",
                    Why::Detached => "detached",
                    Why::Unwatched => "unwatched",
                };
                let end = End {
                    out_args: &[],
                    how: format!("; /* {how} */"),
                    elapsed: *elapsed,
                };
                self.end(event, *id, *depth, point, &end)
            }
            Kind::ReturnedAgain {
                point,
                depth,
                result,
                ..
            } => {
                self.open_held()?;
                let text = format!("}} = {}; /* {} again */", render(result), self.name(point));
                self.line(None, event.tid, *depth, &text)
            }
            Kind::Signal { signal, .. } => self.note(event, &signal.to_string()),
            Kind::Exec { .. } => self.note(event, "exec"),
            Kind::Exited { status, .. } => self.note(event, &format!("exited (status {status})")),
            Kind::Killed { signal, .. } => self.note(event, &format!("killed by {signal}")),
            Kind::Lost { what, .. } | Kind::NoAllocator { what } => self.note(event, what),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.open_held()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::Spelling;
    use crate::sink::tests::{ONE, Task, Written, imported, text};
    use Value::{Signed, Void};

    #[test]
    fn a_graph_of_calls() {
        let [outer, inner, read, exit] = ["outer", "inner", "read", "exit"].map(imported);
        let two = Task { pid: 7, tid: 8 };
        let again = Value::Again(Box::new(Signed(5)));
        let events = [
            ONE.started(),
            ONE.call(1, 0, &outer, &[Signed(1), text("a")]),
            ONE.call(2, 1, &inner, &[]),
            ONE.returns(2, 1, &inner, Signed(2)),
            two.call(3, 0, &read, &[Signed(0)]),
            ONE.returns(1, 0, &outer, Void),
            ONE.signal(10),
            two.returns_with(3, 0, &read, &[text("b*/"), Signed(1)], Signed(1)),
            ONE.call(4, 0, &read, &[Signed(0)]),
            ONE.returns_with(4, 0, &read, &[text("c")], Signed(1)),
            ONE.call(6, 0, &read, &[Signed(0)]),
            ONE.returns_with(6, 0, &read, &[again, Value::Hidden], Signed(0)),
            ONE.call(5, 0, &exit, &[Signed(0)]),
            ONE.no_return(5, 0, &exit, Why::Gone),
            ONE.exited(0),
        ];
        let written = Written::default();
        let mut sink = Tree::new(Names::new(Spelling::AsTheyAre), Box::new(written.clone()));
        for event in &events {
            sink.event(event).expect("written");
        }
        sink.finish().expect("written");
        let expected = "\
# DURATION      TID     FUNCTION
            [     7] | outer(1, \"a\") {
 211.900 us [     7] |   inner() = 2;
            [     8] | read(0) {
 211.900 us [     7] | } = <void>; /* outer */
            [     7] | /* SIGUSR1 */
 211.900 us [     8] | } = 1; /* read(0, \"b*\\/\", 1) */
 211.900 us [     7] | read(0, \"c\") = 1;
 211.900 us [     7] | read(0 => 5) = 0;
  50.000 us [     7] | exit(0); /* no return */
            [     7] | /* exited (status 0) */
";
        assert_eq!(written.text(), expected);
    }

    #[test]
    fn times() {
        let check = |nanos, text: &str| assert_eq!(shown(Duration::from_nanos(nanos)), text);
        check(0, "0.000 us");
        check(999_999, "999.999 us");
        check(1_500_000, "1.500 ms");
        check(12_000_000_000, "12.000  s");
    }
}
