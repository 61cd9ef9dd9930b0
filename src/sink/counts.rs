//! Calls counted for those who ask while the trace goes on (`--serve`): by function, with a histogram of times, and by the
//! traced calls around them.

use super::Sink;
use super::demangle::Names;
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::event::{Event, Kind};
use crate::plan::{self, ModuleName, Tracepoint};
use crate::value::Value;
use rustc_hash::FxHashMap;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Upper ends of the classes of times, in nanoseconds; there is one more behind them.
pub const CLASSES: [u64; 13] = [
    1_000,
    4_000,
    16_000,
    64_000,
    250_000,
    1_000_000,
    4_000_000,
    16_000_000,
    64_000_000,
    250_000_000,
    1_000_000_000,
    4_000_000_000,
    16_000_000_000,
];

/// What was counted of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name, as its language writes it.
    pub name: Arc<str>,
    /// `SYS` for system calls.
    pub module: Arc<str>,
    /// Where that file is.
    pub path: Arc<str>,
    /// Calls that have ended.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// How long they took in all.
    pub time: Duration,
    /// How many took so long, by [`CLASSES`].
    pub times: [u64; CLASSES.len() + 1],
}

/// Calls of a function within the same calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The calls around them, by their place among the nodes; none for the outermost.
    pub parent: Option<usize>,
    /// The function, by its place.
    pub function: usize,
    /// Calls that have ended.
    pub calls: u64,
    /// How long they took, without the calls within them.
    pub own: Duration,
}

/// What was counted so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// The functions, in the order in which they were seen.
    pub functions: Vec<Function>,
    /// Their calls by the calls around them; a parent comes first.
    pub nodes: Vec<Node>,
    /// Calls and returns that were lost.
    pub lost: u64,
    /// Processes that run.
    pub processes: usize,
    /// When the trace began, and when this was counted.
    pub time: Option<(Timestamp, Timestamp)>,
}

/// Who asks for counts.
pub trait Readers: Send + Sync {
    /// A reader does.
    fn is_asked(&self) -> bool;

    /// Here they are.
    fn give(&self, counts: Counts);
}

/// Counts calls.
pub struct Counter {
    readers: Arc<dyn Readers>,
    begin: Box<dyn FnMut()>,
    names: Names,
    counts: Counts,
    functions: HashMap<(Arc<str>, Arc<ModuleName>, bool), usize>,
    /// By name and module as they are told: constructors have several symbols.
    named: HashMap<(Arc<str>, Arc<str>), usize>,
    nodes: FxHashMap<(Option<usize>, usize), usize>,
    open: HashMap<Tid, Vec<Open>>,
    processes: HashSet<Pid>,
    given: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Open {
    node: Option<usize>,
    within: Duration,
}

/// So many different nestings are told apart; what comes then counts for the call around it.
const MOST_NODES: usize = 1 << 16;
/// Deeper calls are those of a recursion.
const DEEPEST: usize = 256;
/// Counts are given no more often, however often they are asked for.
const PAUSE: Duration = Duration::from_millis(100);

impl Counter {
    /// Counts for these readers. `begin` is done when tracing begins.
    pub fn new(readers: Arc<dyn Readers>, names: Names, begin: Box<dyn FnMut()>) -> Counter {
        Counter {
            readers,
            begin,
            names,
            counts: Counts::default(),
            functions: HashMap::new(),
            named: HashMap::new(),
            nodes: FxHashMap::default(),
            open: HashMap::new(),
            processes: HashSet::new(),
            given: None,
        }
    }

    fn function(&mut self, point: &Tracepoint) -> usize {
        let is_system_call = point.kind == plan::Kind::SystemCall;
        let key = (point.symbol.clone(), point.module.clone(), is_system_call);
        if let Some(known) = self.functions.get(&key) {
            return *known;
        }
        let name = self.names.of(&point.symbol);
        let module: Arc<str> = match is_system_call {
            true => "SYS".into(),
            false => (&*point.module.name).into(),
        };
        let all = &mut self.counts.functions;
        let number = *self
            .named
            .entry((name.clone(), module.clone()))
            .or_insert_with(|| {
                all.push(Function {
                    name,
                    module,
                    path: (&*point.module.path).into(),
                    ..Function::default()
                });
                all.len() - 1
            });
        self.functions.insert(key, number);
        number
    }

    fn call(&mut self, tid: Tid, depth: usize, point: &Tracepoint) {
        if depth >= DEEPEST {
            return;
        }
        let function = self.function(point);
        let open = self.open.entry(tid).or_default();
        // Those that ended in a way that was not told are gone.
        open.truncate(depth);
        let parent = open.last().and_then(|around| around.node);
        let is_full = self.nodes.len() >= MOST_NODES;
        let nodes = &mut self.counts.nodes;
        let node = match self.nodes.get(&(parent, function)) {
            Some(known) => Some(*known),
            None if is_full => parent,
            None => {
                nodes.push(Node {
                    parent,
                    function,
                    calls: 0,
                    own: Duration::ZERO,
                });
                self.nodes.insert((parent, function), nodes.len() - 1);
                Some(nodes.len() - 1)
            }
        };
        let unknown = Open {
            node: None,
            within: Duration::ZERO,
        };
        open.resize(depth, unknown);
        open.push(Open { node, ..unknown });
    }

    fn end(&mut self, tid: Tid, depth: usize, point: &Tracepoint, elapsed: Duration, failed: bool) {
        let function = self.function(point);
        let function = &mut self.counts.functions[function];
        function.calls += 1;
        function.errors += u64::from(failed);
        function.time = function.time.saturating_add(elapsed);
        let class = CLASSES.partition_point(|end| u128::from(*end) < elapsed.as_nanos());
        function.times[class] += 1;
        let Some(open) = self.open.get_mut(&tid).filter(|open| open.len() > depth) else {
            return;
        };
        open.truncate(depth + 1);
        let ended = open.pop();
        if let Some(around) = open.last_mut() {
            around.within = around.within.saturating_add(elapsed);
        }
        if let Some((node, within)) = ended.and_then(|ended| Some((ended.node?, ended.within))) {
            let node = &mut self.counts.nodes[node];
            node.calls += 1;
            node.own = node.own.saturating_add(elapsed.saturating_sub(within));
        }
    }

    fn look(&mut self, now: Timestamp) {
        let (begun, _) = *self.counts.time.get_or_insert((now, now));
        self.counts.time = Some((begun, now));
        if self.readers.is_asked() && self.given.is_none_or(|given| now.since(given) >= PAUSE) {
            self.given = Some(now);
            self.readers.give(self.counts.clone());
        }
    }
}

fn is_error(result: &Value) -> bool {
    matches!(result, Value::Signed(-1) | Value::Failed(..))
}

impl Sink for Counter {
    fn begin(&mut self) {
        (self.begin)();
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            kind if kind.is_bookkeeping() => {}
            Kind::Call { depth, point, .. } => self.call(event.tid, *depth, point),
            Kind::Return {
                depth,
                point,
                result,
                elapsed,
                ..
            } => self.end(event.tid, *depth, point, *elapsed, is_error(result)),
            Kind::NoReturn {
                depth,
                point,
                elapsed,
                ..
            } => self.end(event.tid, *depth, point, *elapsed, false),
            Kind::Started { .. } => drop(self.processes.insert(event.pid)),
            Kind::Exited { last, .. } | Kind::Killed { last, .. } => {
                self.open.remove(&event.tid);
                if *last {
                    self.processes.remove(&event.pid);
                }
            }
            Kind::Detached => drop(self.open.remove(&event.tid)),
            Kind::Lost { count, .. } => self.counts.lost += count.unwrap_or(1),
            _ => {}
        }
        self.counts.processes = self.processes.len();
        self.look(event.time);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.readers.give(self.counts.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::Spelling;
    use crate::sink::tests::{ONE, imported};
    use Value::{Signed, Void};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Reader(Mutex<Option<Counts>>);

    impl Readers for Reader {
        fn is_asked(&self) -> bool {
            false
        }

        fn give(&self, counts: Counts) {
            *self.0.lock().expect("whole") = Some(counts);
        }
    }

    fn took(micros: u64, mut event: Event) -> Event {
        if let Kind::Return { elapsed, .. } = &mut event.kind {
            *elapsed = Duration::from_micros(micros);
        }
        event
    }

    #[test]
    fn calls_by_those_around_them() {
        let [outer, inner] = ["outer", "inner"].map(imported);
        let events = [
            ONE.started(),
            ONE.call(1, 0, &outer, &[]),
            ONE.call(2, 1, &inner, &[]),
            took(30, ONE.returns(2, 1, &inner, Signed(-1))),
            ONE.call(3, 1, &inner, &[]),
            took(10, ONE.returns(3, 1, &inner, Signed(0))),
            took(100, ONE.returns(1, 0, &outer, Void)),
            ONE.call(4, 0, &inner, &[]),
            took(1, ONE.returns(4, 0, &inner, Void)),
        ];
        let reader = Arc::new(Reader::default());
        let names = Names::new(Spelling::Whole);
        let mut counter = Counter::new(reader.clone(), names, Box::new(|| ()));
        for event in &events {
            counter.event(event).expect("counted");
        }
        counter.finish().expect("given");
        let counts = reader.0.lock().expect("whole").take().expect("counts");
        let node = |parent, function, calls, micros| Node {
            parent,
            function,
            calls,
            own: Duration::from_micros(micros),
        };
        let expected = [
            node(None, 0, 1, 60),
            node(Some(0), 1, 2, 40),
            node(None, 1, 1, 1),
        ];
        assert_eq!(counts.nodes, expected);
        let [outer, inner] = counts.functions.as_slice() else {
            panic!("{:?}", counts.functions);
        };
        assert_eq!((outer.calls, outer.errors), (1, 0));
        assert_eq!(
            (inner.calls, inner.errors, inner.time),
            (3, 1, Duration::from_micros(41))
        );
        // 1 us, 10 us and 30 us.
        assert_eq!(inner.times[..5], [1, 0, 1, 1, 0]);
        assert_eq!(counts.processes, 1);
    }
}
