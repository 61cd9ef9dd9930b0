//! The table of `-c`: how often each function was called, and how long its calls took.
//!
//! Calls are counted by name, whatever library or process they belong to. Times run from a call's
//! entry to its return, so they hold those of traced calls within it, and the tracer's own share.
//! A call that never returns (`exit`, `execve`, `pthread_exit`), or was still open when we left, counts with the
//! time until its end was known.

use super::Sink;
use super::demangle::Names;
use crate::base::printable::printable;
use crate::event::{Event, Kind};
use crate::plan::{self, Tracepoint};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Counts calls, and writes the table at the end.
pub struct Summary {
    names: Names,
    out: Box<dyn Write>,
    tallies: HashMap<Name, Tally>,
    tells_losses: bool,
}

/// What calls are counted by. A system call and the function of its name are two.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    symbol: Arc<str>,
    is_system_call: bool,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    calls: u64,
    time: Duration,
}

/// What system calls are told from functions by.
const SYSTEM_CALL: &str = "SYS_";

const RULE: &str = "------ ----------- ----------- --------- --------------------\n";

impl Summary {
    /// A table that goes to `out`.
    pub fn new(names: Names, out: Box<dyn Write>) -> Summary {
        Summary {
            names,
            out,
            tallies: HashMap::new(),
            tells_losses: true,
        }
    }

    /// The same, where lines tell of what was lost.
    pub fn without_losses(self) -> Summary {
        Summary {
            tells_losses: false,
            ..self
        }
    }

    fn count(&mut self, point: &Tracepoint, elapsed: Duration) {
        let name = Name {
            symbol: Arc::clone(&point.symbol),
            is_system_call: point.kind == plan::Kind::SystemCall,
        };
        let tally = self.tallies.entry(name).or_default();
        tally.calls += 1;
        tally.time = tally.time.saturating_add(elapsed);
    }

    /// The rows, longest time first.
    fn rows(&mut self) -> Vec<(Arc<str>, u64, u128)> {
        let row = |(name, tally): (&Name, &Tally)| {
            let shown = self.names.of(&name.symbol);
            let shown = match name.is_system_call && !shown.starts_with(SYSTEM_CALL) {
                true => format!("{SYSTEM_CALL}{shown}").into(),
                false => shown,
            };
            (shown, tally.calls, tally.time.as_micros())
        };
        let mut rows: Vec<_> = self.tallies.iter().map(row).collect();
        rows.sort_by(|(a, _, shorter), (b, _, longer)| longer.cmp(shorter).then_with(|| a.cmp(b)));
        rows
    }

    fn table(&mut self) -> String {
        let rows = self.rows();
        let total: u128 = rows.iter().map(|row| row.2).sum();
        let calls: u64 = rows.iter().map(|row| row.1).sum();
        let mut table = format!("% time     seconds  usecs/call     calls      function\n{RULE}");
        for (name, calls, micros) in rows {
            let share = rounded(10_000 * micros, total);
            table += &format!(
                "{:3}.{:02} {:4}.{:06} {:11} {:9} {name}\n",
                share / 100,
                share % 100,
                micros / 1_000_000,
                micros % 1_000_000,
                micros / u128::from(calls.max(1)),
                calls
            );
        }
        let (seconds, micros) = (total / 1_000_000, total % 1_000_000);
        table + RULE + &format!("100.00 {seconds:4}.{micros:06}             {calls:9} total\n")
    }
}

/// `part / whole`, to the nearest number; nothing is no part of nothing.
fn rounded(part: u128, whole: u128) -> u128 {
    (part + whole / 2).checked_div(whole).unwrap_or(0)
}

impl Sink for Summary {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            kind if kind.is_bookkeeping() => {}
            Kind::Return { point, elapsed, .. } => self.count(point, *elapsed),
            Kind::NoReturn { point, elapsed, .. } => self.count(point, *elapsed),
            Kind::Lost { what, .. } | Kind::NoAllocator { what } if self.tells_losses => {
                writeln!(self.out, "ltrace: {}", printable(what))?
            }
            _ => (),
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let table = self.table();
        self.out.write_all(table.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Why;
    use crate::sink::tests::{ONE, Written, imported};
    use crate::value::Value;

    fn returned(symbol: &str, micros: u64) -> Event {
        let mut event = ONE.returns(1, 0, &imported(symbol), Value::Void);
        if let Kind::Return { elapsed, .. } = &mut event.kind {
            *elapsed = Duration::from_micros(micros);
        }
        event
    }

    #[track_caller]
    fn check(names: Names, events: &[Event], table: &str) {
        let written = Written::default();
        let mut sink = Summary::new(names, Box::new(written.clone()));
        for event in events {
            sink.event(event).expect("written");
        }
        assert_eq!(written.text(), "", "nothing before the end");
        sink.finish().expect("finished");
        assert_eq!(written.text(), table);
    }

    #[test]
    fn functions_by_time() {
        let mut events = vec![
            returned("malloc", 535),
            returned("printf", 181),
            returned("printf", 300),
        ];
        events.extend([
            returned("sleep", 2_000_000),
            returned("free", 535),
            returned("nothing", 0),
        ]);
        check(
            Names::as_they_are(),
            &events,
            "\
% time     seconds  usecs/call     calls      function
------ ----------- ----------- --------- --------------------
 99.92    2.000000     2000000         1 sleep
  0.03    0.000535         535         1 free
  0.03    0.000535         535         1 malloc
  0.02    0.000481         240         2 printf
  0.00    0.000000           0         1 nothing
------ ----------- ----------- --------- --------------------
100.00    2.001551                     6 total
",
        );
    }

    #[test]
    fn shares_are_rounded() {
        let events = [
            ("qsort", 521),
            ("raise", 251),
            ("puts", 165),
            ("signal", 93),
            ("x", 277),
        ];
        let events = events.map(|(name, micros)| returned(name, micros));
        check(
            Names::as_they_are(),
            &events,
            "\
% time     seconds  usecs/call     calls      function
------ ----------- ----------- --------- --------------------
 39.86    0.000521         521         1 qsort
 21.19    0.000277         277         1 x
 19.20    0.000251         251         1 raise
 12.62    0.000165         165         1 puts
  7.12    0.000093          93         1 signal
------ ----------- ----------- --------- --------------------
100.00    0.001307                     5 total
",
        );
    }

    #[test]
    fn nothing_called() {
        check(
            Names::as_they_are(),
            &[ONE.started(), ONE.signal(10), ONE.exited(0)],
            "\
% time     seconds  usecs/call     calls      function
------ ----------- ----------- --------- --------------------
------ ----------- ----------- --------- --------------------
100.00    0.000000                     0 total
",
        );
    }

    #[test]
    fn calls_count_when_they_end() {
        let (new, exit) = (imported("_Znwm"), imported("exit"));
        let events = [
            ONE.call(1, 0, &new, &[]),
            ONE.no_return(1, 0, &new, Why::Unwound),
            ONE.call(2, 0, &exit, &[]),
            ONE.no_return(2, 0, &exit, Why::Gone),
            ONE.returns_again(&exit, Value::Void),
        ];
        check(
            Names::demangled(),
            &events,
            "\
% time     seconds  usecs/call     calls      function
------ ----------- ----------- --------- --------------------
 50.00    0.000050          50         1 exit
 50.00    0.000050          50         1 operator new(unsigned long)
------ ----------- ----------- --------- --------------------
100.00    0.000100                     2 total
",
        );
    }
}
