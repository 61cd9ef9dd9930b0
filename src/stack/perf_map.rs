//! Names for code that was made at run time: the map that a JIT compiler keeps for perf (kernel:
//! tools/perf/Documentation/jit-interface.txt), `/tmp/perf-PID.map`, with a line `START SIZE NAME` for each
//! function, the numbers in hex.
//!
//! Every user may write there. Only a file of root's or of the process's own user counts, that was written since the
//! process began.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::sys::file;
use crate::sys::proc;
use crate::sys::root::{Last, Root};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// So much of a map is read: some 400,000 functions.
const MOST: u64 = 32 << 20;
/// So many lines of it count.
const LINES: usize = 1 << 19;
/// So much of a name is shown.
const NAME: usize = 512;
/// By so much of what was read before, a map that goes on is told from one that was written anew.
const OVERLAP: usize = 256;
/// Clocks of files and of processes differ.
const LATE: Duration = Duration::from_secs(1);

/// The map of one process, as far as it was read.
#[derive(Debug)]
pub struct PerfMap {
    pid: Pid,
    places: Vec<(Root, PathBuf)>,
    owners: Vec<u32>,
    began: Option<SystemTime>,
    known: Functions,
}

/// What a map says.
#[derive(Debug, Default)]
struct Functions {
    text: Vec<u8>,
    /// So much of the text has been looked at: whole lines.
    parsed: usize,
    lines: usize,
    /// By their first addresses; they do not overlap.
    spans: BTreeMap<u64, Span>,
}

#[derive(Clone, Debug)]
struct Span {
    end: u64,
    /// Where the function began, of which another one may have taken the beginning.
    start: u64,
    /// The name's place in the text.
    name: Range<u32>,
}

impl PerfMap {
    /// The map of a process that is alive, not read yet.
    pub fn of(pid: Pid) -> Option<PerfMap> {
        let path = |id: i32| PathBuf::from(format!("/tmp/perf-{id}.map"));
        let own = Root::of(pid).ok()?;
        let mut places = vec![(own, path(proc::innermost_id(pid)?))];
        // Its writer may be outside of the process's namespaces.
        places.extend(Root::ours().ok().map(|root| (root, path(pid.0))));
        let mut owners = proc::users(pid);
        owners.push(0);
        Some(PerfMap {
            pid,
            places,
            owners,
            began: proc::began(pid),
            known: Functions::default(),
        })
    }

    /// Whose it is.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Reads what has come since the last time.
    pub fn refresh(&mut self) {
        let file = self.places.iter().find_map(|place| self.open(place));
        if let Some(file) = file {
            self.known.read(&file);
        }
    }

    /// The function around an address, and how far into it that is.
    pub fn find(&self, at: Addr) -> Option<(Cow<'_, str>, u64)> {
        self.known.find(at.0)
    }

    fn open(&self, (root, path): &(Root, PathBuf)) -> Option<File> {
        let file = root.open(path, Last::NoLink).ok()?;
        let found = file.metadata().ok()?;
        let written = found.modified().ok()?;
        let is_stale = self.began.is_some_and(|began| written + LATE < began);
        (self.owners.contains(&found.uid()) && !is_stale).then_some(file)
    }
}

impl Functions {
    /// Reads on. A map that does not go on where it ended was written anew.
    fn read(&mut self, file: &File) {
        let kept = self.text.len() - self.text.len().min(OVERLAP);
        let Ok(tail) = file::read_part(file, kept as u64..MOST) else {
            return;
        };
        if !tail.starts_with(&self.text[kept..]) {
            *self = Functions::default();
            return self.extend(&file::read_part(file, 0..MOST).unwrap_or_default());
        }
        let overlap = self.text.len() - kept;
        self.extend(&tail[overlap..]);
    }

    /// More of the text. A line without an end is still being written.
    fn extend(&mut self, more: &[u8]) {
        self.text.extend(more);
        while let Some(length) = self.text[self.parsed..].iter().position(|&b| b == b'\n') {
            if self.lines >= LINES {
                self.parsed = self.text.len();
                return;
            }
            let line = self.parsed..self.parsed + length;
            self.parsed = line.end + 1;
            self.lines += 1;
            if let Some(span) = span(&self.text, line) {
                self.add(span);
            }
        }
    }

    /// Adds a function. What was where it is has gone.
    fn add(&mut self, span: Span) {
        let first = self.spans.range(..span.start).next_back();
        let first = first.filter(|(_, first)| first.end > span.start);
        let mut first = first.map_or(span.start, |(&at, _)| at);
        while let Some((&at, _)) = self.spans.range(first..span.end).next() {
            let Some(old) = self.spans.remove(&at) else {
                break;
            };
            if old.end > span.end {
                self.spans.insert(span.end, old.clone());
            }
            if at < span.start {
                let end = span.start;
                self.spans.insert(at, Span { end, ..old });
                first = span.start;
            }
        }
        self.spans.insert(span.start, span);
    }

    fn find(&self, at: u64) -> Option<(Cow<'_, str>, u64)> {
        let (_, span) = self.spans.range(..=at).next_back()?;
        let name = self
            .text
            .get(span.name.start as usize..span.name.end as usize)?;
        (at < span.end).then(|| (String::from_utf8_lossy(name), at - span.start))
    }
}

/// `7f1200 40 name with blanks`, at this place of the text. Some write `0x` before numbers.
fn span(text: &[u8], line: Range<usize>) -> Option<Span> {
    let whole = text.get(line.clone())?;
    let mut fields = whole.splitn(3, |&b| b == b' ');
    let mut number = || {
        let digits = std::str::from_utf8(fields.next()?).ok()?;
        u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
    };
    let start = number()?;
    let end = start.checked_add(number()?)?;
    // The rest of the line.
    let name = fields.next()?.trim_ascii_start();
    let from = line.end - name.len();
    let length = name.trim_ascii_end().len().min(NAME);
    if start == end || length == 0 {
        return None;
    }
    Some(Span {
        start,
        end,
        name: u32::try_from(from).ok()?..u32::try_from(from + length).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn functions(text: &str) -> Functions {
        let mut functions = Functions::default();
        functions.extend(text.as_bytes());
        functions
    }

    #[track_caller]
    fn check(functions: &Functions, at: u64, expected: Option<(&str, u64)>) {
        let found = functions.find(at);
        let found = found.as_ref().map(|(name, offset)| (&**name, *offset));
        assert_eq!(found, expected, "{at:#x}");
    }

    #[test]
    fn lines() {
        let map =
            functions("3000 10 later\n1000 20 a name: *f /x.js:1:2 \n0x2000 0x8 hex\n4000 8 half");
        check(&map, 0x0fff, None);
        check(&map, 0x1000, Some(("a name: *f /x.js:1:2", 0)));
        check(&map, 0x101f, Some(("a name: *f /x.js:1:2", 0x1f)));
        check(&map, 0x1020, None);
        check(&map, 0x2007, Some(("hex", 7)));
        check(&map, 0x3000, Some(("later", 0)));
        check(&map, 0x4000, None);
    }

    #[test]
    fn lines_that_say_nothing() {
        let map = functions(
            "\n \n1000\n1000 10\n1000 10 \n1000 10    \n1000 0 empty\n+1 2 plus\nffffffffffffffff 2 over\n\
             x 10 y\n-1 10 z\n10000000000000000 1 w\n1000  10 blanks\n",
        );
        assert!(map.spans.is_empty() || map.spans.len() == 1, "{map:?}");
        check(&map, 0x1000, None);
    }

    #[test]
    fn the_last_one_written_counts() {
        let map = functions("1000 100 old\n1040 10 inner\n10f0 20 over\n0ff0 20 front\n");
        check(&map, 0x0fff, Some(("front", 0xf)));
        check(&map, 0x100f, Some(("front", 0x1f)));
        check(&map, 0x1010, Some(("old", 0x10)));
        check(&map, 0x1040, Some(("inner", 0)));
        check(&map, 0x1050, Some(("old", 0x50)));
        check(&map, 0x10f0, Some(("over", 0)));
        check(&map, 0x110f, Some(("over", 0x1f)));
        let map = functions("1000 10 a\n1010 10 b\n1020 10 c\n0 ffff all\n1000 10 a\n");
        check(&map, 0x1000, Some(("a", 0)));
        check(&map, 0x1010, Some(("all", 0x1010)));
    }

    #[test]
    fn names_are_bounded_and_may_be_anything() {
        let mut map = functions(&format!("1000 1 {}\n", "n".repeat(100_000)));
        assert_eq!(map.find(0x1000).unwrap().0.len(), NAME);
        map.extend(b"2000 1 \xff\x1b[2J\n");
        check(&map, 0x2000, Some(("\u{fffd}\u{1b}[2J", 0)));
    }

    /// `START SIZE NAME` near each other, so that they overlap.
    fn near() -> impl Strategy<Value = (u64, u64)> {
        (0..64_u64, 0..24_u64)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_last_line_counts_everywhere(lines in prop::collection::vec(near(), 0..40)) {
            let text = lines.iter().enumerate();
            let text: String = text.map(|(n, (at, size))| format!("{at:x} {size:x} f{n}\n")).collect();
            let map = functions(&text);
            for at in 0..100 {
                let mut last = lines.iter().enumerate().rev();
                let last = last.find(|(_, (start, size))| (*start..start + size).contains(&at));
                let expected = last.map(|(n, (start, _))| (format!("f{n}"), at - start));
                let found = map.find(at).map(|(name, offset)| (name.into_owned(), offset));
                prop_assert_eq!(found, expected, "{:#x}", at);
            }
        }

        #[test]
        fn anything_may_be_in_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            at in any::<u64>(),
        ) {
            let mut map = Functions::default();
            for mut piece in pieces {
                // Most of a map looks like one.
                for byte in &mut piece {
                    *byte = if *byte < 240 { b"0123456789abcdef x\n\n"[usize::from(*byte) % 20] } else { *byte };
                }
                map.extend(&piece);
            }
            map.find(at);
        }
    }

    #[test]
    fn maps_are_bounded() {
        let mut map = Functions::default();
        for number in 0..LINES + 10 {
            map.extend(format!("{number:x} 1 f\n").as_bytes());
        }
        assert_eq!(map.spans.len(), LINES);
    }

    #[test]
    fn what_came_since() {
        let path = std::env::temp_dir().join(format!("ltrace-perf-map-{}", std::process::id()));
        let mut map = Functions::default();
        let mut read = |text: &str| {
            fs::write(&path, text).unwrap();
            map.read(&File::open(&path).unwrap());
            map.spans.len()
        };
        assert_eq!(read("1000 1 a\n20"), 1);
        assert_eq!(read("1000 1 a\n2000 1 b\n"), 2);
        assert_eq!(read("1000 1 a\n2000 1 b\n"), 2, "nothing new");
        assert_eq!(read("3000 1 c\n"), 1, "anew, and shorter");
        assert_eq!(read("3000 1 d\n4000 1 e\n"), 2, "anew, and longer");
        fs::remove_file(&path).unwrap();
        check(&map, 0x3000, Some(("d", 0)));
        check(&map, 0x1000, None);
    }

    #[test]
    fn a_map_of_our_own() {
        let pid = Pid(std::process::id() as i32);
        let path = format!("/tmp/perf-{}.map", pid.0);
        let mut map = PerfMap::of(pid).unwrap();
        fs::write(&path, "1000 10 made\n").unwrap();
        map.refresh();
        let found = map
            .find(Addr(0x1001))
            .map(|(name, at)| (name.into_owned(), at));
        assert_eq!(found, Some(("made".to_owned(), 1)));
        // One that another process of this id has left behind.
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(map.began.unwrap() - Duration::from_secs(60))
            .unwrap();
        let mut map = PerfMap::of(pid).unwrap();
        map.refresh();
        fs::remove_file(&path).unwrap();
        assert_eq!(map.find(Addr(0x1001)), None);
    }
}
