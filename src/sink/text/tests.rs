//! Events in, lines out.

use super::*;
use crate::base::names::Spelling;
use crate::sink::tests::{ONE, Task, Written, defined, imported, text};
use Value::{Hidden, Pointer, Signed, Void};

fn written(style: &Style, events: &[Event]) -> Written {
    let written = Written::default();
    let mut sink = Text::new(style.clone(), Box::new(written.clone()));
    for event in events {
        sink.event(event).expect("written");
    }
    sink.finish().expect("finished");
    written
}

/// The same where calls come together with their returns if these are next.
fn written_at_once(style: &Style, events: &[Event]) -> Written {
    let written = Written::default();
    let mut sink = Text::new(style.clone(), Box::new(written.clone()));
    let mut rest = events;
    while let [first, others @ ..] = rest {
        rest = match (&first.kind, others) {
            (Kind::Call { id, .. }, [next, others @ ..]) if matches!(&next.kind, Kind::Return { id: of, .. } if of == id) =>
            {
                sink.complete(first, next).expect("written");
                others
            }
            _ => {
                sink.event(first).expect("written");
                others
            }
        };
    }
    sink.finish().expect("finished");
    written
}

#[track_caller]
fn check(style: &Style, events: &[Event], lines: &[&str]) {
    let text = written(style, events).text();
    assert_eq!(written_at_once(style, events).text(), text);
    let shown: Vec<&str> = text.split_inclusive('\n').collect();
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(shown, lines);
}

/// The usual style but for `change`.
fn with(change: impl Fn(&mut Style)) -> Style {
    let mut style = Style::default();
    change(&mut style);
    style
}

fn usual() -> Style {
    Style::default()
}

#[test]
fn a_call_and_its_return_make_a_line() {
    let (malloc, free, puts, getenv) = (
        imported("malloc"),
        imported("free"),
        imported("puts"),
        imported("getenv"),
    );
    let long = Value::Bytes {
        bytes: b"a longer string than thirty-two "[..].into(),
        cut: true,
    };
    check(
        &usual(),
        &[
            ONE.call(1, 0, &malloc, &[Signed(100)]),
            ONE.returns(1, 0, &malloc, Pointer(Addr(0x55a9ca6ba2a0))),
            ONE.call(2, 0, &free, &[Pointer(Addr(0x55a9ca6ba2a0))]),
            ONE.returns(2, 0, &free, Void),
            ONE.call(3, 0, &puts, &[long]),
            ONE.returns(3, 0, &puts, Signed(57)),
            ONE.call(4, 0, &getenv, &[text("NOPE_NOT_SET")]),
            ONE.returns(4, 0, &getenv, Pointer(Addr(0))),
            ONE.call(5, 0, &getenv, &[]),
            ONE.returns(5, 0, &getenv, Void),
            ONE.exited(3),
        ],
        &[
            "malloc(100)                                      = 0x55a9ca6ba2a0",
            "free(0x55a9ca6ba2a0)                             = <void>",
            "puts(\"a longer string than thirty-two \"...)      = 57",
            "getenv(\"NOPE_NOT_SET\")                           = nil",
            "getenv()                                         = <void>",
            "+++ exited (status 3) +++",
        ],
    );
}

#[test]
fn results_stand_in_a_column() {
    let puts = imported("puts");
    let events = [
        ONE.call(1, 0, &puts, &[text("hi")]),
        ONE.returns(1, 0, &puts, Signed(3)),
    ];
    let aligned = |align| with(move |style| style.align = align);
    check(&aligned(20), &events, &["puts(\"hi\")         = 3"]);
    check(&aligned(13), &events, &["puts(\"hi\")  = 3"]);
    check(&aligned(12), &events, &["puts(\"hi\") = 3"]);
    check(&aligned(0), &events, &["puts(\"hi\") = 3"]);
    let wide = Value::Wide {
        text: "wid€".to_owned(),
        cut: false,
    };
    let events = [
        ONE.call(1, 0, &puts, &[wide]),
        ONE.returns(1, 0, &puts, Signed(3)),
    ];
    check(&aligned(20), &events, &["puts(\"wid€\")       = 3"]);
}

#[test]
fn hidden_arguments_leave_no_comma() {
    let f = imported("f");
    check(
        &with(|style| style.align = 0),
        &[
            ONE.call(1, 0, &f, &[Hidden, Signed(1), Hidden, Signed(2)]),
            ONE.returns_with(1, 0, &f, &[Hidden, Signed(3)], Signed(0)),
            ONE.call(2, 0, &f, &[Hidden]),
            ONE.returns_with(2, 0, &f, &[Signed(3)], Signed(0)),
        ],
        &["f(1, 2, 3) = 0", "f(3) = 0"],
    );
}

#[test]
fn nested_calls_close_the_open_line() {
    let (qsort, puts) = (imported("qsort"), imported("puts"));
    check(
        &usual(),
        &[
            ONE.call(1, 0, &qsort, &[Signed(2)]),
            ONE.call(2, 1, &puts, &[text("hi")]),
            ONE.returns(2, 1, &puts, Signed(3)),
            ONE.call(3, 1, &puts, &[text("ho")]),
            ONE.returns(3, 1, &puts, Signed(3)),
            ONE.returns(1, 0, &qsort, Void),
        ],
        &[
            "qsort(2 <unfinished ...>",
            "puts(\"hi\")                                       = 3",
            "puts(\"ho\")                                       = 3",
            "<... qsort resumed> )                            = <void>",
        ],
    );
}

#[test]
fn arguments_known_at_the_return_stand_on_the_resumed_line() {
    let (asprintf, f, puts) = (imported("asprintf"), imported("f"), imported("puts"));
    let tail = [text("X=1"), text("X=%d"), Signed(1)];
    check(
        &with(|style| style.align = 0),
        &[
            ONE.call(1, 0, &asprintf, &[]),
            ONE.call(2, 1, &puts, &[]),
            ONE.returns(2, 1, &puts, Signed(1)),
            ONE.returns_with(1, 0, &asprintf, &tail, Signed(5)),
            ONE.call(3, 0, &f, &[Signed(5)]),
            ONE.call(4, 1, &puts, &[]),
            ONE.returns(4, 1, &puts, Signed(1)),
            ONE.returns_with(3, 0, &f, &[text("out")], Signed(0)),
        ],
        &[
            "asprintf( <unfinished ...>",
            "puts() = 1",
            "<... asprintf resumed> \"X=1\", \"X=%d\", 1) = 5",
            "f(5 <unfinished ...>",
            "puts() = 1",
            "<... f resumed> , \"out\") = 0",
        ],
    );
}

#[test]
fn events_close_the_open_line_and_the_call_goes_on() {
    let (raise, read, exit) = (imported("raise"), imported("read"), imported("exit"));
    check(
        &usual(),
        &[
            ONE.call(1, 0, &raise, &[Signed(10)]),
            ONE.signal(10),
            ONE.returns(1, 0, &raise, Signed(0)),
            ONE.call(2, 0, &read, &[Signed(0)]),
            ONE.lost("3 calls were lost"),
            ONE.returns(2, 0, &read, Signed(-1)),
            ONE.call(3, 0, &exit, &[Signed(3)]),
            ONE.no_return(3, 0, &exit, Why::Gone),
            ONE.exited(3),
        ],
        &[
            "raise(10 <unfinished ...>",
            "--- SIGUSR1 (User defined signal 1) ---",
            "<... raise resumed> )                            = 0",
            "read(0 <unfinished ...>",
            "ltrace: 3 calls were lost",
            "<... read resumed> )                             = -1",
            "exit(3 <no return ...>",
            "+++ exited (status 3) +++",
        ],
    );
}

#[test]
fn every_call_has_one_end() {
    let (qsort, longjmp, execve, read, setjmp) = (
        imported("qsort"),
        imported("longjmp"),
        imported("execve"),
        imported("read"),
        imported("_setjmp"),
    );
    check(
        &usual(),
        &[
            ONE.call(1, 0, &setjmp, &[]),
            ONE.returns(1, 0, &setjmp, Signed(0)),
            ONE.call(2, 0, &qsort, &[Signed(5)]),
            ONE.call(3, 1, &longjmp, &[Signed(1)]),
            ONE.no_return(3, 1, &longjmp, Why::Unwound),
            ONE.no_return(2, 0, &qsort, Why::Unwound),
            ONE.returns_again(&setjmp, Signed(1)),
            ONE.call(4, 0, &execve, &[text("/bin/sh")]),
            ONE.no_return(4, 0, &execve, Why::Gone),
            ONE.exec(),
            ONE.call(5, 0, &read, &[Signed(0)]),
            ONE.signal(34),
            ONE.no_return(5, 0, &read, Why::Gone),
            ONE.killed(11),
        ],
        &[
            "_setjmp()                                        = 0",
            "qsort(5 <unfinished ...>",
            "longjmp(1 <unwound ...>",
            "<... qsort resumed> <unwound ...>",
            "<... _setjmp resumed again> )                    = 1",
            "execve(\"/bin/sh\" <no return ...>",
            "--- Called exec() ---",
            "read(0 <unfinished ...>",
            "--- SIGRT0 (Real-time signal 0) ---",
            "<... read resumed> <no return ...>",
            "+++ killed by SIGSEGV +++",
        ],
    );
    check(
        &usual(),
        &[
            ONE.call(1, 0, &read, &[Signed(0)]),
            ONE.no_return(1, 0, &read, Why::Detached),
            ONE.detached(),
        ],
        &["read(0 <detached ...>"],
    );
}

#[test]
fn a_stream_that_breaks_off_leaves_a_whole_line() {
    let read = imported("read");
    check(
        &usual(),
        &[ONE.call(1, 0, &read, &[Signed(0)])],
        &["read(0 <unfinished ...>"],
    );
}

#[test]
fn signals_can_be_hidden() {
    let read = imported("read");
    check(
        &with(|style| style.signals = false),
        &[
            ONE.call(1, 0, &read, &[]),
            ONE.signal(10),
            ONE.returns(1, 0, &read, Signed(0)),
            ONE.killed(15),
        ],
        &[
            "read()                                           = 0",
            "+++ killed by SIGTERM +++",
        ],
    );
}

#[test]
fn modules_stand_at_the_function() {
    let (puts, foo, main) = (
        imported("puts"),
        defined("foo", "libfoo.so.1"),
        defined("main", "prog"),
    );
    let events = [
        ONE.call(1, 0, &main, &[Signed(1)]),
        ONE.call(2, 1, &puts, &[]),
        ONE.call(3, 2, &foo, &[Signed(10)]),
        ONE.returns(3, 2, &foo, Signed(11)),
        ONE.returns(2, 1, &puts, Signed(11)),
        ONE.returns(1, 0, &main, Signed(0)),
    ];
    check(
        &with(|style| style.callers = true),
        &events,
        &[
            "main(1 <unfinished ...>",
            "prog->puts( <unfinished ...>",
            "foo@libfoo.so.1(10)                              = 11",
            "<... puts resumed> )                             = 11",
            "<... main resumed> )                             = 0",
        ],
    );
    check(
        &usual(),
        &events,
        &[
            "main(1 <unfinished ...>",
            "puts( <unfinished ...>",
            "foo@libfoo.so.1(10)                              = 11",
            "<... puts resumed> )                             = 11",
            "<... main resumed> )                             = 0",
        ],
    );
}

const TWO: Task = Task { pid: 7, tid: 8 };

#[test]
fn tasks_are_named_from_the_second_on() {
    let puts = imported("puts");
    let events = [
        ONE.started(),
        ONE.call(1, 0, &puts, &[]),
        TWO.started(),
        ONE.returns(1, 0, &puts, Signed(1)),
        ONE.call(2, 0, &puts, &[]),
        TWO.call(3, 0, &puts, &[]),
        ONE.returns(2, 0, &puts, Signed(1)),
        TWO.returns(3, 0, &puts, Signed(1)),
        TWO.thread_exited(),
        ONE.exited(0),
    ];
    check(
        &usual(),
        &events,
        &[
            "puts()                                           = 1",
            "[pid 7] puts( <unfinished ...>",
            "[pid 8] puts( <unfinished ...>",
            "[pid 7] <... puts resumed> )                     = 1",
            "[pid 8] <... puts resumed> )                     = 1",
            "[pid 7] +++ exited (status 0) +++",
        ],
    );
    let file = with(|style| {
        style.task_ids = TaskIds::Always;
        style.task_id_form = TaskIdForm::Bare;
        style.ends = Ends::Threads;
    });
    check(
        &file,
        &events,
        &[
            "7 puts()                                         = 1",
            "7 puts( <unfinished ...>",
            "8 puts( <unfinished ...>",
            "7 <... puts resumed> )                           = 1",
            "8 <... puts resumed> )                           = 1",
            "8 +++ exited (status 0) +++",
            "7 +++ exited (status 0) +++",
        ],
    );
    let quiet = with(|style| style.ends = Ends::Hidden);
    check(&quiet, &events[events.len() - 1..], &[]);
}

#[test]
fn tasks_one_after_the_other_are_not_several() {
    let next = Task { pid: 9, tid: 9 };
    check(
        &usual(),
        &[ONE.started(), ONE.exited(0), next.started(), next.exited(1)],
        &["+++ exited (status 0) +++", "+++ exited (status 1) +++"],
    );
}

#[test]
fn prefixes_stand_in_ltraces_order() {
    let (qsort, puts) = (imported("qsort"), imported("puts"));
    let events = [
        ONE.call(1, 0, &qsort, &[]),
        ONE.call(2, 1, &puts, &[]),
        ONE.returns(2, 1, &puts, Signed(1)),
        ONE.signal(10),
        ONE.no_return(1, 0, &qsort, Why::Gone),
        ONE.exec(),
        ONE.exited(0),
    ];
    let all = with(|style| {
        style.task_ids = TaskIds::Always;
        style.time = Time::Epoch;
        style.addresses = true;
        style.indent = 2;
        style.elapsed = true;
        style.align = 0;
    });
    check(
        &all,
        &events,
        &[
            "[pid 7] 1795173840.672193 [0x401137] qsort( <unfinished ...>",
            "[pid 7] 1795173840.672193 [0x401138]   puts() = 1 <0.000211>",
            "[pid 7] 1795173840.672193 [0x7f0010] --- SIGUSR1 (User defined signal 1) ---",
            "[pid 7] 1795173840.672193 [0x401137] <... qsort resumed> <no return ...>",
            "[pid 7] 1795173840.672193 [0x7f0020] --- Called exec() ---",
            "[pid 7] 1795173840.672193 [0xffffffffffffffff] +++ exited (status 0) +++",
        ],
    );
}

#[test]
fn prefixes_count_for_the_column() {
    let puts = imported("puts");
    let style = with(|style| {
        style.task_ids = TaskIds::Always;
        style.time = Time::Epoch;
        style.indent = 4;
    });
    check(
        &style,
        &[
            ONE.call(1, 1, &puts, &[]),
            ONE.returns(1, 1, &puts, Signed(1)),
        ],
        &["[pid 7] 1795173840.672193     puts()             = 1"],
    );
}

#[test]
fn deltas_are_from_line_start_to_line_start() {
    let puts = imported("puts");
    let call = |id, millis| Event {
        time: ONE
            .at(
                millis,
                Kind::Started {
                    parent: None,
                    shares_memory: false,
                },
            )
            .time,
        ..ONE.call(id, 0, &puts, &[])
    };
    let back = |id, millis| Event {
        time: ONE
            .at(
                millis,
                Kind::Started {
                    parent: None,
                    shares_memory: false,
                },
            )
            .time,
        ..ONE.returns(id, 0, &puts, Signed(1))
    };
    check(
        &with(|style| {
            style.time = Time::Delta;
            style.align = 0;
        }),
        &[
            call(1, 0),
            back(1, 5),
            call(2, 7),
            ONE.at(
                9,
                Kind::Signal {
                    signal: crate::base::signal::Signal(10),
                    ip: Addr(0),
                },
            ),
            back(2, 1009),
        ],
        &[
            "  0.000000 puts() = 1",
            "  0.007000 puts( <unfinished ...>",
            "  0.002000 --- SIGUSR1 (User defined signal 1) ---",
            "  1.000000 <... puts resumed> ) = 1",
        ],
    );
}

#[test]
fn times_of_day_are_short_or_exact() {
    let exited = |time| written(&with(move |style| style.time = time), &[ONE.exited(0)]).text();
    let (short, exact) = (exited(Time::OfDay), exited(Time::OfDayMicros));
    // The hour depends on where the tests run.
    assert_eq!(short.get(8..), Some(" +++ exited (status 0) +++\n"));
    assert_eq!(exact.get(8..), Some(".672193 +++ exited (status 0) +++\n"));
    assert_eq!(exact.get(5..8), Some(":00"));
}

#[test]
fn names_can_be_demangled() {
    let what = imported("_ZNSt13runtime_errorC1EPKc");
    let style = with(|style| {
        style.demangle = Spelling::Whole;
        style.align = 0;
    });
    check(
        &style,
        &[
            ONE.call(1, 0, &what, &[Signed(1)]),
            ONE.signal(10),
            ONE.returns(1, 0, &what, Signed(0)),
        ],
        &[
            "std::runtime_error::runtime_error(char const*)(1 <unfinished ...>",
            "--- SIGUSR1 (User defined signal 1) ---",
            "<... std::runtime_error::runtime_error(char const*) resumed> ) = 0",
        ],
    );
}

#[test]
fn each_half_is_one_write() {
    let puts = imported("puts");
    let style = with(|style| {
        style.task_ids = TaskIds::Always;
        style.coloured = true;
    });
    let events = [
        ONE.started(),
        ONE.call(1, 0, &puts, &[text("hi")]),
        ONE.call(2, 1, &puts, &[text("hi")]),
        ONE.returns(2, 1, &puts, Signed(3)),
        ONE.signal(10),
        ONE.returns(1, 0, &puts, Signed(3)),
        ONE.detached(),
    ];
    let writes = written(&style, &events).writes();
    assert_eq!(writes.len(), 5, "{writes:?}");
    assert!(
        writes.iter().skip(2).all(|half| half.ends_with('\n')),
        "{writes:?}"
    );
}

#[test]
fn colours_change_no_column() {
    let puts = imported("puts");
    let style = with(|style| {
        style.coloured = true;
        style.callers = true;
    });
    let events = [
        ONE.call(1, 0, &puts, &[text("hi")]),
        ONE.returns(1, 0, &puts, Signed(3)),
        ONE.call(1, 0, &puts, &[text("hi")]),
        ONE.returns(1, 0, &puts, Signed(-1)),
        ONE.signal(10),
        ONE.exited(0),
    ];
    check(
        &style,
        &events,
        &[
            "prog->\u{1b}[1mputs\u{1b}[0m(\"hi\")                                 = \u{1b}[32m3\u{1b}[0m",
            "prog->\u{1b}[1mputs\u{1b}[0m(\"hi\")                                 = \u{1b}[31m-1\u{1b}[0m",
            "\u{1b}[35m--- SIGUSR1 (User defined signal 1) ---\u{1b}[0m",
            "\u{1b}[33m+++ exited (status 0) +++\u{1b}[0m",
        ],
    );
    let plain = anstream::adapter::strip_str(&written(&style, &events).text()).to_string();
    let uncoloured = with(|style| style.callers = true);
    assert_eq!(plain, written(&uncoloured, &events).text());
}

#[test]
fn the_reader_is_gone() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Text::new(usual(), Box::new(Closed));
    let error = sink.event(&ONE.exited(0)).expect_err("no reader");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    sink.finish().expect("it is not told twice");
}

#[test]
fn names_and_reports_do_not_command_the_terminal() {
    let (name, from) = (imported("a\u{1b}[2Jb"), defined("f", "lib\u{7}.so"));
    check(
        &with(|style| style.align = 0),
        &[
            ONE.call(1, 0, &name, &[]),
            ONE.returns(1, 0, &name, Signed(0)),
            ONE.call(2, 0, &from, &[]),
            ONE.returns(2, 0, &from, Signed(0)),
            ONE.lost("a\nb"),
        ],
        &["a\\033[2Jb() = 0", "f@lib\\007.so() = 0", "ltrace: a\\nb"],
    );
}

#[test]
fn deep_calls_make_no_endless_lines() {
    let puts = imported("puts");
    let text = written(
        &with(|style| style.indent = 20),
        &[ONE.call(1, 100_000, &puts, &[])],
    )
    .text();
    assert!(text.len() < 1100, "{}", text.len());
}
