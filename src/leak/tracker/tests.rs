//! Calls in, what is live out. A step is `THREAD NAME(NUMBER, …) = NUMBER`; `{` instead of the result
//! leaves the call open until `THREAD } NUMBER`, and `THREAD } gone` ends it without one. The results of
//! `out` parameters, and of those right of them, stand behind the result; `3+4` are two of one `out`.

use super::*;
use crate::base::addr::{Addr, Vaddr};
use crate::leak::amount::Amount;
use crate::leak::kinds::Set;
use crate::leak::misuse::Wrong;
use crate::plan::pairs::{self, Pair};
use crate::value::Value;
use std::collections::HashMap;
use std::time::Duration;

struct Play {
    kinds: Arc<Kinds>,
    tracker: Tracker,
    open: HashMap<i32, Vec<CallId>>,
    next: u64,
}

fn number(text: &str) -> i64 {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{text} is no number"))
}

fn numbers(text: &str) -> Vec<Value> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let value = |word: &str| match word.split_once('+') {
        Some((one, two)) => {
            Value::Struct(vec![Value::Signed(number(one)), Value::Signed(number(two))])
        }
        None => Value::Signed(number(word)),
    };
    words.map(value).collect()
}

/// What a call gave back at this moment: the first number is its result.
fn returned(time: Timestamp, numbers: &[Value]) -> Returned<'_> {
    let (result, out_args) = numbers.split_first().expect("a result");
    Returned {
        time,
        out_args: Args::Values(out_args),
        result: Args::Values(std::slice::from_ref(result)),
    }
}

impl Play {
    fn new(sets: &[&str], specs: &[&str], knowledge: Knowledge) -> Play {
        let shipped = sets.iter().map(|name| Set {
            label: pairs::label(name).to_owned(),
            pairs: pairs::named(name).expect("a set"),
        });
        let own = specs.iter().map(|spec| Set {
            label: "own".to_owned(),
            pairs: vec![Pair::parse(spec).expect("a spec")],
        });
        let sets: Vec<Set> = shipped.chain(own).collect();
        let kinds = Arc::new(Kinds::new(&sets).expect("kinds"));
        Play {
            kinds: kinds.clone(),
            tracker: Tracker::new(kinds, knowledge, Timestamp(Duration::ZERO)),
            open: HashMap::new(),
            next: 0,
        }
    }

    fn step(&mut self, step: &str) {
        let (thread, rest) = step.split_once(' ').expect("a thread");
        let thread: i32 = thread.parse().expect("a thread");
        self.next += 1;
        let time = Timestamp(Duration::from_millis(self.next));
        let open = self.open.entry(thread).or_default();
        if let Some(end) = rest.strip_prefix("} ") {
            let id = open.pop().expect("an open call");
            return match end {
                "gone" => self.tracker.unwound(Tid(thread), id),
                _ => self.end(thread, time, id, end),
            };
        }
        let (name, rest) = rest.split_once('(').expect("a call");
        let (args, end) = rest.split_once(')').expect("arguments");
        let id = CallId(self.next);
        let kinds = self.kinds.clone();
        let caller = Caller {
            thread: Tid(thread),
            time,
            id,
            roles: kinds.roles(name),
            // Each function is called from one place.
            origin: Origin::Caller(Addr(name.len() as u64)),
            entry: Vaddr(0),
            return_address: Addr(thread as u64),
        };
        if end.trim() == "{" {
            open.push(id);
        }
        match end.trim().strip_prefix('=') {
            Some(end) => {
                let back = numbers(end);
                let back = returned(time, &back);
                self.tracker
                    .complete(&caller, Args::Values(&numbers(args)), &back);
            }
            None => self.tracker.call(&caller, Args::Values(&numbers(args))),
        }
    }

    fn end(&mut self, thread: i32, time: Timestamp, id: CallId, end: &str) {
        let back = numbers(end);
        self.tracker
            .returned(Tid(thread), id, &returned(time, &back));
    }

    /// What is live, what is wrong, and the counts of what was missed.
    fn told(&self) -> String {
        let mut words = Vec::new();
        for (_, holdings) in self.tracker.holdings() {
            let mut live: Vec<(u64, u64, i32)> = holdings
                .table
                .iter()
                .map(|(key, live)| (key, live.size, live.thread.0))
                .collect();
            live.sort_unstable();
            words.extend(
                live.iter()
                    .map(|(key, size, thread)| format!("{key:#x}+{size}/{thread}")),
            );
            let counts = [
                ("older", holdings.older_released),
                ("missed", holdings.missed),
            ];
            let told = counts.into_iter().filter(|(_, count)| *count > 0);
            words.extend(told.map(|(name, count)| format!("{name} {count}")));
        }
        for misuse in self.tracker.misuses.iter() {
            let wrong = match misuse.wrong {
                Wrong::Double { .. } => "double".to_owned(),
                Wrong::Inside { offset, .. } => format!("inside +{offset}"),
                Wrong::Never => "never".to_owned(),
                Wrong::Mismatch { .. } => "mismatch".to_owned(),
            };
            words.push(format!("{wrong} {}({:#x})", misuse.symbol, misuse.key));
        }
        let refused = self
            .tracker
            .sites
            .iter()
            .flat_map(|(_, site)| &site.refused);
        words
            .extend(refused.map(|((symbol, result), count)| {
                format!("{symbol} refused {count} with {result}")
            }));
        words.join(", ")
    }
}

#[track_caller]
fn check_with(knowledge: Knowledge, sets: &[&str], specs: &[&str], steps: &[&str], expected: &str) {
    let mut play = Play::new(sets, specs, knowledge);
    steps.iter().for_each(|step| play.step(step));
    assert_eq!(play.told(), expected);
    // What sites count is what is live.
    let counted: u64 = play
        .tracker
        .sites
        .iter()
        .map(|(_, site)| site.live().blocks)
        .sum();
    let live: usize = play
        .tracker
        .holdings()
        .map(|(_, holdings)| holdings.table.len())
        .sum();
    if sets != ["mmap"] {
        assert_eq!(counted, live as u64, "sites and table disagree");
    }
}

#[track_caller]
fn check(sets: &[&str], steps: &[&str], expected: &str) {
    check_with(Knowledge::All, sets, &[], steps, expected);
}

#[test]
fn the_heap() {
    let heap = &["heap"];
    check(
        heap,
        &[
            "1 malloc(32) = 0x1000",
            "2 malloc(8) = 0x2000",
            "2 free(0x1000)",
        ],
        "0x2000+8/2",
    );
    check(heap, &["1 calloc(4, 25) = 0x1000"], "0x1000+100/1");
    check(heap, &["1 malloc(32) = 0", "1 free(0)"], "");
    check(
        heap,
        &["1 posix_memalign() = 0 0x1000 64 100"],
        "0x1000+100/1",
    );
    check(heap, &["1 posix_memalign() = 12 0x1000 64 100"], "");
    check(
        heap,
        &["1 aligned_alloc(64, 128) = 0x1000", "1 cfree(0x1000)"],
        "",
    );
    check(heap, &["1 malloc(32) {"], "");
    check(heap, &["1 malloc(32) {", "1 } gone"], "");
}

#[test]
fn realloc_moves_keeps_and_frees() {
    let heap = &["heap"];
    check(
        heap,
        &["1 malloc(1) = 0x1000", "1 realloc(0x1000, 50) = 0x2000"],
        "0x2000+50/1",
    );
    check(
        heap,
        &["1 malloc(1) = 0x1000", "1 realloc(0x1000, 50) = 0x1000"],
        "0x1000+50/1",
    );
    check(heap, &["1 realloc(0, 50) = 0x1000"], "0x1000+50/1");
    check(
        heap,
        &["1 malloc(1) = 0x1000", "1 realloc(0x1000, 50) = 0"],
        "0x1000+1/1",
    );
    check(
        heap,
        &["1 malloc(1) = 0x1000", "1 realloc(0x1000, 0) = 0"],
        "",
    );
    check(
        heap,
        &[
            "1 malloc(1) = 0x1000",
            "1 reallocarray(0x1000, 6, 7) = 0x2000",
        ],
        "0x2000+42/1",
    );
    // While one thread's realloc is under way, another may be handed what it gave up.
    check(
        heap,
        &[
            "1 malloc(1) = 0x1000",
            "1 realloc(0x1000, 50) {",
            "2 malloc(2) = 0x1000",
            "1 } 0x2000",
        ],
        "0x1000+2/2, 0x2000+50/1",
    );
    check(
        heap,
        &[
            "1 malloc(1) = 0x1000",
            "1 realloc(0x1000, 50) {",
            "1 } gone",
        ],
        "0x1000+1/1",
    );
}

#[test]
fn the_outermost_call_counts() {
    let all = &["heap", "new", "mmap"];
    check(
        all,
        &[
            "1 _Znwm(32) {",
            "1 malloc(32) {",
            "1 mmap(0, 4096) = 0x7000",
            "1 } 0x1000",
            "1 } 0x1000",
        ],
        "0x1000+32/1",
    );
    check(
        all,
        &[
            "1 _Znwm(32) {",
            "2 malloc(8) = 0x2000",
            "1 malloc(32) = 0x1000",
            "1 } 0x1000",
        ],
        "0x1000+32/1, 0x2000+8/2",
    );
    check(
        all,
        &[
            "1 _Znwm(32) = 0x1000",
            "1 _ZdlPvm(0x1000, 32)",
            "1 free(0x1000)",
        ],
        "",
    );
    check(
        all,
        &[
            "1 _Znwm(32) {",
            "1 malloc(32) {",
            "1 } 0",
            "1 } gone",
            "1 malloc(1) = 0x1000",
        ],
        "0x1000+1/1",
    );
}

#[test]
fn wrong_releases() {
    let heap = &["heap", "new"];
    check(
        heap,
        &["1 malloc(8) = 0x1000", "1 free(0x1000)", "1 free(0x1000)"],
        "double free(0x1000)",
    );
    check(
        heap,
        &[
            "1 malloc(8) = 0x1000",
            "1 free(0x1000)",
            "1 realloc(0x1000, 9) = 0x2000",
        ],
        "0x2000+9/1, double realloc(0x1000)",
    );
    check(
        heap,
        &["1 malloc(80) = 0x1000", "1 free(0x1008)"],
        "0x1000+80/1, inside +8 free(0x1008)",
    );
    check(heap, &["1 free(0x1008)"], "never free(0x1008)");
    check_with(
        Knowledge::SinceAttach,
        heap,
        &[],
        &["1 free(0x1008)"],
        "older 1",
    );
    check(
        heap,
        &["1 _Znwm(8) = 0x1000", "1 free(0x1000)"],
        "mismatch free(0x1000)",
    );
    check(
        heap,
        &["1 _Znam(8) = 0x1000", "1 _ZdlPv(0x1000)"],
        "mismatch _ZdlPv(0x1000)",
    );
    check(
        heap,
        &["1 malloc(8) = 0x1000", "1 _ZdlPv(0x1000)", "1 free(0x1000)"],
        "mismatch _ZdlPv(0x1000)",
    );
    check(
        heap,
        &["1 _Znwm(8) = 0x1000", "1 realloc(0x1000, 9) = 0x2000"],
        "0x2000+9/1, mismatch realloc(0x1000)",
    );
}

#[test]
fn the_allocators_own_frees() {
    let mut play = Play::new(&["heap"], &[], Knowledge::All);
    play.tracker.set_allocator(2..3);
    for step in [
        "1 malloc(8) = 0x1000",
        "1 free(0x1000)",
        "2 free(0x1000)",
        "2 free(0x2000)",
    ] {
        play.step(step);
    }
    assert_eq!(
        play.told(),
        "",
        "thread 2 calls from inside of the allocator"
    );
}

#[test]
fn an_address_that_is_handed_out_again() {
    check(
        &["heap"],
        &["1 malloc(8) = 0x1000", "1 malloc(9) = 0x1000"],
        "0x1000+9/1, missed 1",
    );
}

#[test]
fn descriptors() {
    let fd = &["fd"];
    check(
        fd,
        &[
            "1 open() = 3",
            "1 open() = -1",
            "1 close(3) = 0",
            "1 socket() = 3",
        ],
        "0x3+0/1",
    );
    check(fd, &["1 pipe() = 0 5+6", "1 close(5) = 0"], "0x6+0/1");
    let first = ["f(out int fd[2], out int other[2]) -> g(int fd)"];
    let steps = ["1 f() = 0 5+6 7+8", "1 g(5) = 0"];
    check_with(Knowledge::All, &[], &first, &steps, "0x6+0/1");
    check(
        fd,
        &["1 open() = 3", "1 close(3) = 0", "1 close(3) = -1"],
        "double close(0x3)",
    );
    check(
        fd,
        &["1 open() = 3", "1 close(3) = 0", "1 close(3) = 0"],
        "",
    );
    check(fd, &["1 close(99) = -1"], "never close(0x63)");
    check(fd, &["1 close(-1) = -1"], "");
    // The kernel gives a number away as soon as it is closed.
    check(
        fd,
        &["1 open() = 3", "1 close(3) {", "2 open() = 3", "1 } 0"],
        "0x3+0/2",
    );
    check(
        fd,
        &["1 open() = 3", "1 dup2(3, 7) = 7", "1 dup2(3, 7) = 7"],
        "0x3+0/1, 0x7+0/1",
    );
    check(
        fd,
        &["1 open() = 3", "1 close(3) = 0", "1 dup2(5, 3) = 3"],
        "0x3+0/1",
    );
    check(
        &["fd", "file"],
        &["1 open() = 3", "1 fdopen(3) = 0x1000"],
        "0x1000+0/1",
    );
    check(
        &["fd", "file"],
        &["1 open() = 3", "1 fdopen(3) = 0"],
        "0x3+0/1, fdopen refused 1 with 0",
    );
}

#[test]
fn refused_releases() {
    check(
        &["sqlite"],
        &[
            "1 sqlite3_open(1) = 0 0x1000",
            "1 sqlite3_close(0x1000) = 5",
            "1 sqlite3_close(0x1000) = 5",
        ],
        "0x1000+0/1, sqlite3_close refused 2 with 5",
    );
    check(
        &["sqlite"],
        &[
            "1 sqlite3_open(1) = 14 0x1000",
            "1 sqlite3_close_v2(0x1000) = 0",
        ],
        "",
    );
}

#[test]
fn counts_and_mappings() {
    check(
        &["dl"],
        &[
            "1 dlopen() = 0x1000",
            "1 dlopen() = 0x1000",
            "1 dlclose(0x1000) = 0",
        ],
        "0x1000+0/1",
    );
    check(
        &["mmap"],
        &[
            "1 mmap(0, 0x3000) = 0x10000",
            "1 munmap(0x11000, 4096) = 0",
            "1 mmap(0, 1) = -1",
        ],
        "0x10000+4096/1, 0x12000+4096/1",
    );
    check(
        &["mmap"],
        &[
            "1 mmap(0, 8192) = 0x10000",
            "1 mremap(0x10000, 8192, 4096) = 0x10000",
        ],
        "0x10000+4096/1",
    );
    check(
        &["mmap"],
        &[
            "1 mmap(0, 8192) = 0x10000",
            "1 mremap(0x10000, 8192, 4096) = -1",
        ],
        "0x10000+8192/1",
    );
}

#[test]
fn own_pairs() {
    let specs = &["MyLib_ref(p) +-> MyLib_unref(p)"];
    let steps = &["1 MyLib_ref(7)", "1 MyLib_ref(7)", "2 MyLib_unref(7)"];
    check_with(Knowledge::All, &[], specs, steps, "0x7+0/1");
}

#[test]
fn exec_and_exit() {
    let mut play = Play::new(&["heap", "fd"], &[], Knowledge::SinceAttach);
    for step in [
        "1 malloc(8) = 0x1000",
        "1 open() = 3",
        "1 realloc(0x1000, 9) {",
    ] {
        play.step(step);
    }
    play.tracker.thread_gone(Tid(1));
    assert_eq!(play.told(), "0x1000+8/1, 0x3+0/1");
    play.tracker.exec();
    assert_eq!(play.told(), "0x3+0/1");
    let sites = play.tracker.sites.iter();
    let allocated: Vec<_> = sites
        .map(|(_, site)| (&*site.title, site.allocated.blocks, site.live().blocks))
        .collect();
    let expected = [("malloc -> free", 0, 0), ("open -> close", 1, 1)];
    assert_eq!(allocated, expected);
}

#[test]
fn what_sites_know() {
    let mut play = Play::new(&["heap"], &[], Knowledge::All);
    for step in ["1 malloc(8) = 0x1000", "2 malloc(8) = 0x2000"] {
        play.step(step);
    }
    play.tracker.sites.mark();
    let passed = Passed {
        call: "send(6)".into(),
        caller: Addr(1),
    };
    play.tracker.passed(Tid(2), passed);
    for step in [
        "2 malloc(8) = 0x3000",
        "1 malloc(8) = 0x4000",
        "1 free(0x1000)",
    ] {
        play.step(step);
    }
    let sites: Vec<_> = play
        .tracker
        .sites
        .iter()
        .map(|(_, site)| site.clone())
        .collect();
    let [site] = sites.as_slice() else {
        panic!("{sites:?}")
    };
    assert_eq!(&*site.title, "malloc -> free");
    assert_eq!(
        site.allocated,
        Amount {
            blocks: 4,
            bytes: 32
        }
    );
    assert_eq!(site.live().blocks, 3);
    assert_eq!(site.marked.blocks, 2);
    assert_eq!(site.threads.len(), 2);
    assert_eq!(site.longest, 4_000);
    assert_eq!(
        site.after.as_ref().map(|passed| &*passed.call),
        Some("send(6)")
    );
}

#[test]
fn blocks_that_are_cut_from_blocks() {
    // operator new has a chunk from malloc, which is freed by itself at the end; a header before a block.
    let sets = &["heap", "new"];
    check(
        sets,
        &[
            "1 _Znwm(24) {",
            "1 malloc(65536) =0x10000",
            "1 } 0x10040",
            "1 _Znwm(24) =0x10060",
            "1 _ZdlPv(0x10040)",
            "1 free(0x10000)",
        ],
        "0x10060+24/1",
    );
    check(
        sets,
        &[
            "1 _Znwm(24) {",
            "1 malloc(40) =0x5000",
            "1 } 0x5010",
            "1 _ZdlPv(0x5010)",
            "1 free(0x5000)",
        ],
        "",
    );
    // What operator new hands on is its own.
    check(
        sets,
        &[
            "1 _Znwm(24) {",
            "1 malloc(24) =0x5000",
            "1 } 0x5000",
            "1 free(0x6000)",
            "1 _ZdlPv(0x5000)",
            "1 free(0x5000)",
            "1 free(0x5000)",
        ],
        "never free(0x6000), double free(0x5000)",
    );
}
