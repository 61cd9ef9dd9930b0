//! Reports made by hand, and the texts they are.

use super::super::model::*;
use super::*;
use std::sync::Arc;

fn amount(blocks: u64, bytes: u64) -> Amount {
    Amount { blocks, bytes }
}

/// `function file:line`, or `function module` for one without a line; `~` before it for the standard
/// library's, `^` for an allocator's, `_` for the runtime's.
fn stack(lines: &[&str]) -> Vec<Arc<Line>> {
    let line = |text: &&str| {
        let (origin, text) = match text.chars().next() {
            Some('~') => (Origin::Standard, &text[1..]),
            Some('^') => (Origin::Allocator, &text[1..]),
            Some('_') => (Origin::Runtime, *text),
            _ => (Origin::User, *text),
        };
        let (function, place) = text.rsplit_once(' ').expect("a place");
        let mut line = Line {
            function: function.to_owned(),
            module: "server".to_owned(),
            origin,
            ..Line::default()
        };
        match place.split_once(':') {
            Some((file, number)) => {
                line.file = Some(format!("/src/{file}"));
                line.line = number.parse().ok();
            }
            None => line.module = place.to_owned(),
        }
        line
    };
    lines.iter().map(line).map(Arc::new).collect()
}

fn server() -> Report {
    let lost = |function: &str, line: &str| Entry {
        verdict: Verdict::Lost,
        title: "malloc -> free".to_owned(),
        live: amount(20, 640),
        size: Some(32),
        allocated: amount(20, 640),
        rate: 20.0 / 12.0,
        age: Some((1.2, 11.42)),
        threads: 4,
        grown: 20,
        stack: stack(&[
            "^malloc libc.so.6",
            &format!("{function} {line}"),
            "handle server.c:22",
            "worker server.c:33",
            "_start_thread libc.so.6",
        ]),
        after: Some(After {
            call: r#"send(6, "HTTP/1.0 200 OK\r\nConten"..., 51)"#.to_owned(),
            function: Some("handle".to_owned()),
        }),
        holds: Some(Holds {
            what: "+0 -> served (server .bss), rest zero".to_owned(),
            alike: 20,
            of: 20,
        }),
        ..Entry::default()
    };
    Report {
        version: VERSION,
        watched: vec!["heap".to_owned()],
        process: Process {
            name: "server".to_owned(),
            pid: 22783,
            since: Since::Attached,
            seconds: 12.0,
            threads: 5,
            allocator: Some("glibc malloc".to_owned()),
            no_allocator: false,
            unfollowed: 0,
            ended: None,
        },
        check: Some(CheckTold {
            pause_ms: 0.32,
            verdict_ms: 0.1,
            blocks: 40,
            ..CheckTold::default()
        }),
        heap: Heap {
            allocated: amount(120, 114_278),
            freed: amount(80, 112_998),
            live: amount(40, 1280),
            grown: 40,
            marked: false,
        },
        per: Some(Per {
            function: "accept".to_owned(),
            calls: 20,
            blocks: 2.0,
            bytes: 64.0,
        }),
        sites: vec![lost("boxed_thing_1", "server.c:11")],
        normal: Normal {
            sites: 4,
            allocated: amount(80, 0),
            freed: amount(80, 0),
            longest_ms: 0.9,
        },
        not_counted: NotCounted {
            older_freed: Some(0),
            ..NotCounted::default()
        },
        lost: amount(40, 1280),
        lost_sites: 2,
        ..Report::default()
    }
}

#[track_caller]
fn check(report: &Report, frames: Frames, expected: &str) {
    assert_eq!(text(report, frames, None), expected);
}

#[test]
fn an_incomplete_check_says_so() {
    let mut report = server();
    report.check = Some(CheckTold {
        incomplete: true,
        ..CheckTold::default()
    });
    let text = text(&report, Frames::User, None);
    assert!(text.contains("may be called lost"), "{text}");
}

#[test]
fn a_server() {
    check(
        &server(),
        Frames::User,
        r#"leaks: server (pid 22783), attached 12.0 s, 5 threads, glibc malloc                 check: 0.32 ms pause
  allocated 120 / 111.6 KiB   freed 80   live 40 / 1,280 B   (+40 since attach)     per accept: 2.0 blocks, 64 B

  1  LOST      640 B in 20 blocks of 32    20 allocated, 0 freed   1.7/s   age 1.2-11.4 s   4 threads
     boxed_thing_1   server.c:11
     handle          server.c:22      after send(6, "HTTP/1.0 200 OK\r\nConten"..., 51)
     worker          server.c:33
     holds  +0 -> served (server .bss), rest zero         20 of 20 alike
  -- growing but still referenced: none --   normal: 4 sites, 80 allocated, 80 freed (longest life 0.9 ms)
  not counted: blocks older than the attach (0 of them freed meanwhile)
lost 1,280 B in 40 blocks at 2 sites; still reachable 0 B; total 120 allocations, 80 frees, 111.6 KiB allocated
"#,
    );
}

#[test]
fn nothing_to_tell_is_one_line() {
    let report = Report {
        sites: Vec::new(),
        lost: amount(0, 0),
        lost_sites: 0,
        process: Process {
            since: Since::Launched,
            ended: Some("at exit".to_owned()),
            ..server().process
        },
        ..server()
    };
    check(
        &report,
        Frames::User,
        "no leaks: server (pid 22783), ran 12.0 s, at exit, 5 threads, glibc malloc: \
         lost 0 B; still reachable 0 B; total 120 allocations, 80 frees, 111.6 KiB allocated\n",
    );
}

#[test]
fn nothing_seen_is_not_no_leaks() {
    let report = |since, older_freed| Report {
        sites: Vec::new(),
        heap: Heap::default(),
        lost: amount(0, 0),
        not_counted: NotCounted {
            older_freed,
            ..NotCounted::default()
        },
        process: Process {
            since,
            ..server().process
        },
        ..server()
    };
    let check = |since, older_freed, expected: &str| {
        let text = text(&report(since, older_freed), Frames::User, None);
        assert!(text.contains(expected), "{text}");
    };
    check(
        Since::Launched,
        None,
        "nothing seen: server (pid 22783), ran 12.0 s",
    );
    check(
        Since::Launched,
        None,
        "and none was called: it allocates nothing, or has an allocator of its own",
    );
    check(
        Since::Attached,
        Some(0),
        "nothing seen: server (pid 22783), attached 12.0 s",
    );
    check(Since::Attached, Some(0), "it allocated nothing, or");
    check(Since::Attached, Some(1), "no leaks: server");
}

fn only(entry: Entry) -> String {
    let mut report = Report {
        sites: vec![entry],
        ..server()
    };
    report.heap.marked = true;
    let text = text(&report, Frames::User, None);
    let lines = text
        .lines()
        .skip(3)
        .take_while(|line| !line.starts_with("  --"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_cycle_and_what_hangs_on_it() {
    let entry = Entry {
        verdict: Verdict::Lost,
        live: amount(3, 96),
        allocated: amount(3, 96),
        grown: 3,
        group: Some(Group {
            groups: 3,
            all: amount(122, 2 << 20),
        }),
        cycle: vec![
            CycleStep {
                what: "input_reader".to_owned(),
                offset: 0x18,
            },
            CycleStep {
                what: "word_counter".to_owned(),
                offset: 0x38,
            },
        ],
        stack: stack(&[
            "^malloc libc.so.6",
            "^operator new libstdc++.so.6",
            "~std::allocator::allocate x.h:3",
            "~std::make_shared<input_reader> shared_ptr.h:86",
            "main wordcount.cc:86",
            "_start wordcount",
        ]),
        ..Entry::default()
    };
    assert_eq!(
        only(entry),
        "  1  LOST      2.0 MiB in 122 blocks, 3 groups        96 B in 3 blocks keep all the rest    3 allocated, 0 freed   (+3)
     CYCLE  input_reader +0x18 -> word_counter +0x38 -> input_reader     (nothing outside points here)
     std::make_shared<input_reader>
     main   wordcount.cc:86
     (1 frame of the standard library left out)
"
    );
}

#[test]
fn what_grows_and_is_held() {
    let entry = Entry {
        verdict: Verdict::Reachable,
        growing: true,
        live: amount(20, 640),
        size: Some(32),
        allocated: amount(25, 800),
        freed: amount(5, 160),
        grown: 7,
        age: Some((3.0, 3.02)),
        stack: stack(&["do_thing_1 server.rs:10"]),
        held_by: vec!["Vec buffer 512 B".to_owned(), "static ST".to_owned()],
        contents: vec!["0x5000: 01 00".to_owned()],
        ..Entry::default()
    };
    assert_eq!(
        only(entry),
        "  1  REFERENCED, GROWING  640 B in 20 blocks of 32    25 allocated, 5 freed   (+7)   age 3.0 s
     do_thing_1   server.rs:10
     held by Vec buffer 512 B <- static ST
     0x5000: 01 00
"
    );
}

#[test]
fn stacks_by_frames() {
    let lines = stack(&[
        "^malloc libc.so.6",
        "~std::new x:1",
        "~std::make x:2",
        "f a.c:3",
        "g lib.so",
        "~std::sort x:4",
        "main a.c:5",
        "_start a",
    ]);
    let check = |frames, expected: &[&str], left_out| {
        let (lines, count) = shown(&lines, frames);
        let names: Vec<&str> = lines.iter().map(|line| line.function.as_str()).collect();
        assert_eq!((names.as_slice(), count), (expected, left_out));
    };
    check(Frames::User, &["std::make", "f", "g", "main"], 2);
    check(Frames::First(2), &["f", "g"], 3);
    check(
        Frames::All,
        &[
            "malloc",
            "std::new",
            "std::make",
            "f",
            "g",
            "std::sort",
            "main",
            "_start",
        ],
        0,
    );
    let (lines, _) = shown(&lines[..3], Frames::User);
    assert_eq!(
        lines.len(),
        2,
        "without a user's frame the standard library's are shown"
    );
}

#[test]
fn other_resources() {
    let report = Report {
        sites: Vec::new(),
        pairs: vec![
            PairEntry {
                title: "sqlite3_open -> sqlite3_close".to_owned(),
                kind: "sqlite".to_owned(),
                opened: 12,
                closed: 6,
                open: 6,
                refused: vec![Refusal {
                    function: "close".to_owned(),
                    result: 5,
                    name: Some("SQLITE_BUSY".to_owned()),
                    count: 3,
                }],
                stack: stack(&["db resleak.c:9", "main resleak.c:30"]),
                ..PairEntry::default()
            },
            PairEntry {
                title: "open -> close".to_owned(),
                kind: "fd".to_owned(),
                opened: 12,
                closed: 8,
                open: 4,
                values: vec![4, 5, 7, 9],
                known: vec!["/etc/passwd".to_owned()],
                stack: stack(&["leak resleak.c:8"]),
                ..PairEntry::default()
            },
            PairEntry {
                title: "fopen -> fclose".to_owned(),
                opened: 2,
                closed: 1,
                open: 1,
                verdict: Verdict::Lost,
                ..PairEntry::default()
            },
        ],
        ..server()
    };
    let text = text(&report, Frames::User, None);
    let lines: Vec<&str> = text.lines().skip(3).take(3).collect();
    assert_eq!(
        lines.join("\n"),
        "\
pairs:      sqlite3_open -> sqlite3_close   12 opened, 6 closed: 3 refused by close (ret 5 SQLITE_BUSY), 3 never released   db resleak.c:9
            open -> close                   12 opened, 8 closed: 4 open: fd 4, 5, 7, 9 /etc/passwd (checked in /proc/PID/fd)   leak resleak.c:8
            fopen -> fclose                 2 opened, 1 closed: 1 never released, lost"
    );
}

#[test]
fn wrong_releases() {
    let report = Report {
        sites: Vec::new(),
        misuses: vec![MisuseEntry {
            what: "released twice".to_owned(),
            function: "free".to_owned(),
            value: 0x5555,
            thread: 7,
            count: 2,
            stack: stack(&["^free libc.so.6", "main a.c:9"]),
            acquired: stack(&["make a.c:3"]),
            released: stack(&["drop a.c:5"]),
        }],
        ..server()
    };
    let text = text(&report, Frames::User, None);
    let lines: Vec<&str> = text.lines().skip(3).take(6).collect();
    assert_eq!(
        lines.join("\n"),
        "  !  released twice  free(0x5555) by thread 7, 2 times
     main   a.c:9
     released before by
     drop   a.c:5
     handed out by
     make   a.c:3"
    );
}

#[test]
fn stacks_that_are_not_whole() {
    let mut report = server();
    report.merged = 1234;
    report.sites[0].stack.push(Arc::new(Line::cut()));
    let shown = text(&report, Frames::User, None);
    assert!(shown.contains("\n     (cut after 5 frames)\n"), "{shown}");
    let merged = "too many different stacks: of 1,234 calls only the innermost frames are told";
    assert!(shown.contains(merged), "{shown}");
    assert!(!text(&report, Frames::All, None).contains("[truncated]"));
}

#[test]
fn head_fits_the_terminal() {
    #[track_caller]
    fn check(parts: [usize; 2], width: Option<usize>, expected: Option<usize>) {
        assert_eq!(blanks(parts, width), expected);
    }
    check([70, 20], None, Some(14));
    check([90, 20], None, Some(3));
    check([70, 20], Some(200), Some(14));
    check([70, 20], Some(100), Some(10));
    check([70, 20], Some(93), Some(3));
    check([70, 20], Some(92), None);
    check([70, 20], Some(30), None);
}
