//! The table of `-c`: how often each function was called, and how long its calls took.
//!
//! Calls are counted by name, whatever library or process they belong to. Times run from a call's
//! entry to its return, so they hold those of traced calls within it, and the tracer's own share.
//! A call that never returns (`exit`, `execve`, `pthread_exit`), or was still open when we left, counts with the
//! time until its end was known.

mod columns;
mod histogram;

pub use columns::{Column, Table};

use super::Sink;
use super::demangle::Names;
use crate::base::Tid;
use crate::base::printable::printable;
use crate::base::time::Timestamp;
use crate::event::{Event, Kind};
use crate::plan::{self, Tracepoint};
use crate::value::Value;
use histogram::Histogram;
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Counts calls, and writes the table at the end.
pub struct Summary {
    names: Names,
    out: Box<dyn Write>,
    table: Table,
    tallies: Vec<(Name, Tally)>,
    /// Where among those a name is.
    by_name: HashMap<Name, usize>,
    /// Where calls of a tracepoint are counted, by its place in memory, which it keeps.
    by_point: FxHashMap<*const Tracepoint, (usize, Arc<Tracepoint>)>,
    /// Of each task, what calls within those that are open took so far, by depth.
    within: FxHashMap<Tid, Vec<Duration>>,
    tells_losses: bool,
    /// Whether the table is asked for while the trace goes on.
    is_asked: Box<dyn FnMut() -> bool>,
    looked: Option<Timestamp>,
}

/// What calls are counted by. A system call and the function of its name are two.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    symbol: Arc<str>,
    is_system_call: bool,
    /// Where the table shows modules.
    module: Option<Arc<plan::ModuleName>>,
}

#[derive(Clone, Default)]
struct Tally {
    calls: u64,
    errors: u64,
    time: Duration,
    own: Duration,
    least: Option<Duration>,
    most: Duration,
    times: Histogram,
}

/// What system calls are told from functions by.
const SYSTEM_CALL: &str = "SYS_";

/// So often it is looked whether the table is asked for.
const LOOK: Duration = Duration::from_millis(100);

impl Summary {
    /// The usual table, which goes to `out`.
    pub fn new(names: Names, out: Box<dyn Write>) -> Summary {
        Summary {
            names,
            out,
            table: Table::default(),
            tallies: Vec::new(),
            by_name: HashMap::new(),
            by_point: FxHashMap::default(),
            within: FxHashMap::default(),
            tells_losses: true,
            is_asked: Box::new(|| false),
            looked: None,
        }
    }

    /// The same with another table, written as well whenever it is asked for.
    pub fn with_table(self, table: Table, is_asked: impl FnMut() -> bool + 'static) -> Summary {
        Summary {
            table,
            is_asked: Box::new(is_asked),
            ..self
        }
    }

    /// The same, where lines tell of what was lost.
    pub fn without_losses(self) -> Summary {
        Summary {
            tells_losses: false,
            ..self
        }
    }

    fn count(
        &mut self,
        event: &Event,
        depth: usize,
        point: &Arc<Tracepoint>,
        result: Option<&Value>,
        elapsed: Duration,
    ) {
        let own = elapsed.saturating_sub(self.within(event.tid, depth, elapsed));
        let tally = self.tally(point);
        let Some((_, tally)) = self.tallies.get_mut(tally) else {
            return;
        };
        tally.calls += 1;
        tally.errors += u64::from(result.is_some_and(is_error));
        tally.time = tally.time.saturating_add(elapsed);
        tally.own = tally.own.saturating_add(own);
        tally.least = Some(tally.least.map_or(elapsed, |least| least.min(elapsed)));
        tally.most = tally.most.max(elapsed);
        if self.table.wants_quantiles() {
            tally.times.add(elapsed);
        }
    }

    /// Where calls of a tracepoint are counted.
    fn tally(&mut self, point: &Arc<Tracepoint>) -> usize {
        if let Some((index, _)) = self.by_point.get(&Arc::as_ptr(point)) {
            return *index;
        }
        let name = Name {
            symbol: Arc::clone(&point.symbol),
            is_system_call: point.kind == plan::Kind::SystemCall,
            module: self.table.has(Column::Module).then(|| point.module.clone()),
        };
        let new = self.tallies.len();
        let index = *self.by_name.entry(name.clone()).or_insert(new);
        if index == new {
            self.tallies.push((name, Tally::default()));
        }
        if self.by_point.len() >= POINTS {
            self.by_point.clear();
        }
        let kept = (index, point.clone());
        self.by_point.insert(Arc::as_ptr(point), kept);
        index
    }

    /// What the calls within one took that has just ended, and which itself is within the next one out.
    fn within(&mut self, tid: Tid, depth: usize, elapsed: Duration) -> Duration {
        // Deeper calls than these are a recursion, and count as their own.
        if depth >= DEEPEST {
            return Duration::ZERO;
        }
        let within = self.within.entry(tid).or_default();
        within.resize(depth + 1, Duration::ZERO);
        // This depth is that of the calls within the one around this one.
        let inner = std::mem::take(&mut within[depth]);
        if let Some(outer) = depth.checked_sub(1).and_then(|outer| within.get_mut(outer)) {
            *outer = outer.saturating_add(elapsed);
        }
        inner
    }

    fn text(&mut self) -> String {
        let rows = self.tallies.iter().map(|(name, tally)| {
            let shown = self.names.of(&name.symbol);
            let shown = match name.is_system_call && !shown.starts_with(SYSTEM_CALL) {
                true => format!("{SYSTEM_CALL}{shown}").into(),
                false => shown,
            };
            columns::Row {
                name: shown,
                module: name
                    .module
                    .as_ref()
                    .map(|module| printable(&module.name).into_owned()),
                calls: tally.calls,
                errors: tally.errors,
                time: tally.time,
                own: tally.own,
                least: tally.least.unwrap_or_default(),
                most: tally.most,
                // A class of times is wider than one.
                median: tally.times.quantile(500).min(tally.most),
                p99: tally.times.quantile(990).min(tally.most),
            }
        });
        self.table.text(rows.collect())
    }

    /// Writes the table so far when it is asked for.
    fn look(&mut self, now: Timestamp) -> io::Result<()> {
        if self.looked.is_some_and(|before| now.since(before) < LOOK) {
            return Ok(());
        }
        self.looked = Some(now);
        if !(self.is_asked)() {
            return Ok(());
        }
        let text = self.text();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// So many tracepoints are known by their place, of all processes.
const POINTS: usize = 1 << 16;

/// However deep calls are nested, no more is kept of them.
const DEEPEST: usize = 10_000;

fn is_error(result: &Value) -> bool {
    matches!(result, Value::Signed(-1) | Value::Failed(..))
}

impl Sink for Summary {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.look(event.time)?;
        match &event.kind {
            kind if kind.is_bookkeeping() => {}
            Kind::Return {
                depth,
                point,
                result,
                elapsed,
                ..
            } => self.count(event, *depth, point, Some(result), *elapsed),
            Kind::NoReturn {
                depth,
                point,
                elapsed,
                ..
            } => self.count(event, *depth, point, None, *elapsed),
            Kind::Exited { .. } | Kind::Killed { .. } | Kind::Detached => {
                self.within.remove(&event.tid);
            }
            Kind::Lost { what, .. } | Kind::NoAllocator { what } if self.tells_losses => {
                writeln!(self.out, "ltrace: {}", printable(what))?
            }
            _ => (),
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let table = self.text();
        self.out.write_all(table.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::Spelling;
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
            Names::new(Spelling::AsTheyAre),
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
            Names::new(Spelling::AsTheyAre),
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
            Names::new(Spelling::AsTheyAre),
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
            Names::new(Spelling::Whole),
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

    fn at_depth(depth: usize, symbol: &str, micros: u64, result: Value) -> Event {
        let mut event = ONE.returns(1, depth, &imported(symbol), result);
        if let Kind::Return { elapsed, .. } = &mut event.kind {
            *elapsed = Duration::from_micros(micros);
        }
        event
    }

    /// `outer` calls `inner` twice, and that calls `leaf`.
    fn nested() -> [Event; 5] {
        [
            at_depth(2, "leaf", 100, Value::Signed(-1)),
            at_depth(1, "inner", 300, Value::Void),
            at_depth(1, "inner", 500, Value::Void),
            at_depth(0, "outer", 1000, Value::Void),
            at_depth(0, "outer", 3000, Value::Void),
        ]
    }

    #[track_caller]
    fn check_chosen(columns: &[Column], sort: Option<Column>, expected: &str) {
        let written = Written::default();
        let columns = columns.to_vec();
        let mut asked = 0;
        let is_asked = move || {
            asked += 1;
            asked == 2
        };
        let sink = Summary::new(Names::new(Spelling::AsTheyAre), Box::new(written.clone()));
        let mut sink = sink.with_table(Table { columns, sort }, is_asked);
        for event in nested() {
            sink.event(&event).expect("written");
        }
        assert_eq!(written.text(), "", "not asked for yet");
        sink.event(&ONE.at(1000, Kind::Tick)).expect("written");
        sink.finish().expect("finished");
        assert_eq!(written.text(), [expected, expected].concat());
    }

    #[test]
    fn columns_by_choice() {
        check_chosen(
            &[
                Column::Calls,
                Column::Seconds,
                Column::Own,
                Column::Errors,
                Column::Function,
            ],
            Some(Column::Own),
            "\
calls  seconds     self errors function
----- -------- -------- ------ --------
    2 0.004000 0.003200      0 outer
    2 0.000800 0.000700      0 inner
    1 0.000100 0.000100      1 leaf
",
        );
        check_chosen(
            &[
                Column::Module,
                Column::Function,
                Column::Min,
                Column::Usecs,
                Column::Max,
            ],
            Some(Column::Function),
            "\
module function      min usecs/call      max
------ -------- -------- ---------- --------
prog   inner     300.000    400.000  500.000
prog   leaf      100.000    100.000  100.000
prog   outer    1000.000   2000.000 3000.000
",
        );
    }

    #[test]
    fn no_quantile_is_longer_than_the_longest_call() {
        let written = Written::default();
        let columns = vec![Column::Median, Column::Max];
        let table = Table {
            columns,
            sort: None,
        };
        let sink = Summary::new(Names::new(Spelling::AsTheyAre), Box::new(written.clone()));
        let mut sink = sink.with_table(table, || false);
        sink.event(&returned("f", 2962)).expect("written");
        sink.finish().expect("finished");
        let row = "2962.000 2962.000";
        assert_eq!(
            written.text().lines().last(),
            Some(row),
            "{}",
            written.text()
        );
    }

    #[test]
    fn quantiles_are_near() {
        let written = Written::default();
        let columns = vec![Column::Median, Column::P99, Column::Share];
        let table = Table {
            columns,
            sort: None,
        };
        let sink = Summary::new(Names::new(Spelling::AsTheyAre), Box::new(written.clone()));
        let mut sink = sink.with_table(table, || false);
        for micros in 1..=1000 {
            sink.event(&returned("f", micros)).expect("written");
        }
        sink.finish().expect("finished");
        let text = written.text();
        let row = text.lines().last().unwrap_or_default();
        let cells: Vec<f64> = row
            .split_whitespace()
            .filter_map(|cell| cell.parse().ok())
            .collect();
        let is_near = |cell: usize, micros: f64| (cells[cell] - micros).abs() < micros / 20.0;
        assert!(is_near(0, 500.0) && is_near(1, 990.0), "{text}");
        assert_eq!(cells[2], 100.0);
    }
}
