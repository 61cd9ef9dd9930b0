//! Reports made by hand, and how they are shown; a view without a terminal.

use super::super::report::model::*;
use super::draw::{Line as Drawn, Style, picture};
use super::*;
use std::sync::{Arc, Mutex};

fn amount(blocks: u64, bytes: u64) -> Amount {
    Amount { blocks, bytes }
}

fn entry(verdict: Verdict, function: &str, blocks: u64, bytes: u64) -> Entry {
    let line = |function: &str, number| Line {
        function: function.to_owned(),
        file: Some("/src/server.c".to_owned()),
        line: Some(number),
        module: "server".to_owned(),
        ..Line::default()
    };
    Entry {
        verdict,
        growing: verdict == Verdict::Reachable,
        title: "malloc -> free".to_owned(),
        live: amount(blocks, bytes),
        allocated: amount(blocks, bytes),
        stack: vec![line(function, 11), line("handle", 22)]
            .into_iter()
            .map(Arc::new)
            .collect(),
        ..Entry::default()
    }
}

fn report(seconds: f64, sites: Vec<Entry>) -> Report {
    let mut live = Amount::default();
    sites.iter().for_each(|entry| live += entry.live);
    Report {
        process: Process {
            name: "server".to_owned(),
            pid: 7,
            seconds,
            threads: 5,
            ..Process::default()
        },
        watched: vec!["heap".to_owned()],
        check: Some(CheckTold {
            pause_ms: 0.32,
            ..CheckTold::default()
        }),
        heap: Heap {
            allocated: live,
            live,
            ..Heap::default()
        },
        sites,
        ..Report::default()
    }
}

fn three() -> Report {
    report(
        12.0,
        vec![
            entry(Verdict::Lost, "boxed_thing_1", 20, 640),
            entry(Verdict::Possible, "read_config", 2, 8_000_000),
            entry(Verdict::Reachable, "remember", 1_000, 32_000),
        ],
    )
}

/// The picture of a report, chosen row and all, as text.
fn shown(report: &Report, chosen: usize, page: Page, columns: usize, rows: usize) -> Vec<String> {
    lines(report, chosen, page, columns, rows)
        .iter()
        .map(|line| line.text().trim_end().to_owned())
        .collect()
}

fn lines(report: &Report, chosen: usize, page: Page, columns: usize, rows: usize) -> Vec<Drawn> {
    let table = rows::rows(report, Frames::User);
    let mut total = Trend::default();
    let mut trends = HashMap::new();
    for second in 0..4_u32 {
        total.add(f64::from(second), u64::from(second) * 160);
        for row in &table {
            let trend: &mut Trend = trends.entry(row.key.clone()).or_default();
            let bytes = row.bytes.unwrap_or(0);
            trend.add(f64::from(second), bytes * u64::from(second + 1) / 4);
        }
    }
    picture(
        &Picture {
            report: Some(report),
            rows: &table,
            trends: &trends,
            total: &total,
            chosen,
            page,
            sort: Sort::Bytes,
            age: 2.3,
            process: (0, 1),
            note: "",
            glyphs: Glyphs::Ascii,
        },
        columns,
        rows,
    )
}

#[track_caller]
fn check(actual: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().skip(1).collect();
    assert_eq!(actual, expected, "\n{}", actual.join("\n"));
}

#[test]
fn a_small_terminal_shows_sites() {
    check(
        &shown(&three(), 0, Page::Sites, 30, 6),
        "
leaks: server (pid 7), attache
 VERDICT     *LIVE  SITE
>LOST        640 B  boxed_thin
 POSSIBLE  7.6 MiB  read_confi
 GROWING  31.2 KiB  remember s
q quit   ? help   s sort: byte",
    );
}

#[test]
fn a_wide_terminal() {
    check(
        &shown(&three(), 1, Page::Sites, 130, 16),
        "
leaks: server (pid 7), attached 12.0 s, 5 threads                                                             check: 0.32 ms pause
  allocated 1,022 / 7.7 MiB   freed 0   live 1,022 / 7.7 MiB   (+0 since attach)
  live                                     _-+# +160 B/s

     VERDICT          *LIVE    BLOCKS        GROWTH  TREND                 SITE
   1 LOST             640 B        20      +160 B/s                  :=*#  boxed_thing_1 server.c:11 < handle server.c:22
>  2 POSSIBLE       7.6 MiB         2    +1.9 MiB/s                  :=*#  read_config server.c:11 < handle server.c:22
   3 GROWING       31.2 KiB     1,000    +8,000 B/s                  :=*#  remember server.c:11 < handle server.c:22

  2  POSSIBLE  7.6 MiB in 2 blocks    2 allocated, 0 freed
     read_config   server.c:11
     handle        server.c:22



q quit   ? help   s sort: bytes   m mark   c check   checked 2 s ago",
    );
}

#[test]
fn a_narrow_terminal() {
    check(
        &shown(&three(), 0, Page::Sites, 45, 10),
        "
leaks: server (pid 7), attached 12.0 s, 5 thr
  check: 0.32 ms pause
  allocated 1,022 / 7.7 MiB   freed 0   live
  live             _-+# +160 B/s

     VERDICT          *LIVE  SITE
>  1 LOST             640 B  boxed_thing_1 se
   2 POSSIBLE       7.6 MiB  read_config serv
   3 GROWING       31.2 KiB  remember server.
q quit   ? help   s sort: bytes   m mark   c",
    );
}

/// A long note is not cut off, and takes its place from the table.
#[test]
fn notes() {
    let screen = Fake::default();
    screen.resize(40, 12);
    let mut view = View::new(Box::new(screen.clone()), Look::default());
    view.take(three(), at(0));
    view.say("no allocator was found: server has none of malloc, calloc, realloc".to_owned());
    view.draw(at(0), Sort::Bytes).expect("drawn");
    let drawn = screen.take().replace("\x1b[K", "");
    let lines: Vec<&str> = drawn.split("\r\n").collect();
    assert_eq!(lines.len(), 12, "{drawn}");
    assert_eq!(lines[9], "no allocator was found: server has none");
    assert_eq!(lines[10], "of malloc, calloc, realloc");
    assert!(lines[11].starts_with("q quit"), "{drawn}");
}

/// As many lines as there are rows, none wider than the terminal, whatever its size.
#[test]
fn any_size() {
    for page in [Page::Sites, Page::Help] {
        for columns in 0..140 {
            for rows in 0..40 {
                for chosen in [0, 2, 9] {
                    let drawn = shown(&three(), chosen, page, columns, rows);
                    assert_eq!(drawn.len(), rows, "{columns} x {rows}");
                    let widest = drawn.iter().map(|line| line.chars().count()).max();
                    assert!(widest.unwrap_or(0) <= columns, "{columns} x {rows}");
                }
            }
        }
    }
}

/// The row that is chosen can be seen however many there are.
#[test]
fn many_sites_scroll() {
    let site = |n: u64| entry(Verdict::Lost, &format!("site_{n:02}"), 1, 1_000 - n);
    let many = report(1.0, (0..60).map(site).collect());
    for chosen in [0, 5, 30, 59] {
        let drawn = lines(&many, chosen, Page::Sites, 100, 24);
        let is_marked = |line: &&Drawn| {
            line.0
                .first()
                .is_some_and(|(style, _)| *style == Style::Chosen)
        };
        let marked: Vec<String> = drawn.iter().filter(is_marked).map(Drawn::text).collect();
        assert_eq!(marked.len(), 1, "{chosen}");
        assert!(
            marked[0].contains(&format!("site_{chosen:02}")),
            "{marked:?}"
        );
    }
}

/// Names come from files that may hold anything: they neither move the cursor nor change colours.
#[test]
fn hostile_names() {
    let hostile = "a\x1b[2J\x1b]0;title\x07\n\u{202e}b\u{9b}1m日本語";
    let report = report(1.0, vec![entry(Verdict::Lost, hostile, 1, 32)]);
    for line in lines(&report, 0, Page::Sites, 120, 20) {
        let text = line.text();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
    // A wide character takes two columns.
    let wide = shown(&report, 0, Page::Sites, 49, 20);
    assert!(wide.iter().all(|line| line.chars().count() <= 49));
}

#[test]
fn nothing_lost() {
    let drawn = shown(&report(3.0, Vec::new()), 0, Page::Sites, 80, 8);
    assert_eq!(drawn[3], "", "{drawn:?}");
    assert_eq!(drawn[4], "  no leaks so far");
}

#[test]
fn help() {
    let drawn = shown(&three(), 0, Page::Help, 100, 30).join("\n");
    for key in ["  s  ", "  m  ", "  c  ", "  q  "] {
        assert!(drawn.contains(key), "{drawn}");
    }
}

/// What was shown last, and keys to come.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shown: String,
    typed: Vec<u8>,
    size: (usize, usize),
}

impl Screen for Fake {
    fn size(&self) -> (usize, usize) {
        self.0.lock().expect("ours").size
    }

    fn typed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("ours").typed)
    }

    fn show(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().expect("ours").shown = text.to_owned();
        Ok(())
    }

    fn hide(&mut self) {}

    fn again(&mut self) {}

    fn leave(&mut self) {}
}

impl Fake {
    fn press(&self, keys: &str) {
        self.0.lock().expect("ours").typed.extend(keys.bytes());
    }

    fn resize(&self, columns: usize, rows: usize) {
        self.0.lock().expect("ours").size = (columns, rows);
    }

    fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().expect("ours").shown)
    }
}

fn at(milliseconds: u64) -> Timestamp {
    Timestamp(Duration::from_millis(milliseconds))
}

#[test]
fn keys_and_redrawing() {
    let screen = Fake::default();
    screen.resize(100, 24);
    let mut view = View::new(Box::new(screen.clone()), Look::default());
    let draw = |view: &mut View, now| {
        view.draw(at(now), Sort::Bytes).expect("drawn");
        screen.take()
    };
    assert!(draw(&mut view, 0).contains("for the first time"));
    view.take(three(), at(50));
    assert!(draw(&mut view, 100).contains(">  1 LOST"));
    // Nothing new, and no time has passed.
    assert_eq!(draw(&mut view, 200), "");
    assert_ne!(draw(&mut view, 1100), "");
    screen.resize(60, 10);
    assert_ne!(draw(&mut view, 1200), "");
    screen.press("j");
    assert_eq!(view.keys(), []);
    assert!(draw(&mut view, 1300).contains(">  2 POSSIBLE"));
    // It stays chosen where it goes.
    let mut sorted = three();
    sorted.sites.rotate_left(1);
    view.take(sorted, at(1300));
    assert!(draw(&mut view, 1400).contains(">  1 POSSIBLE"));
    screen.press("?");
    assert_eq!(view.keys(), []);
    assert!(draw(&mut view, 1500).contains("mark: from here on"));
    screen.press("?smcwq");
    let asked = [
        Asked::Sort,
        Asked::Mark,
        Asked::Check(Pid(7)),
        Asked::Snapshot,
        Asked::Quit,
    ];
    assert_eq!(view.keys(), asked);
    view.gone(Pid(7));
    screen.press("cjG\t");
    assert_eq!(view.keys(), []);
}
