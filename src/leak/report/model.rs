//! A report as plain data: what `--json` writes and `--save` keeps. `docs/leaks-json.md` tells each field;
//! a change that readers could stumble over raises [`VERSION`].

pub use crate::leak::amount::Amount;
pub use crate::leak::line::{Line, Origin};
pub use crate::leak::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The version of the format.
pub const VERSION: u32 = 1;

/// A report on one process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The format's version.
    pub version: u32,
    /// When it was made, in seconds since 1970.
    pub time: f64,
    /// Whom it is about.
    pub process: Process,
    /// The kinds that were watched: `heap`, `fd`.
    pub watched: Vec<String>,
    /// The reachability check, if there was one.
    pub check: Option<CheckTold>,
    /// All blocks of the heap.
    pub heap: Heap,
    /// How much a call of the function of `--per` costs.
    pub per: Option<Per>,
    /// Sites of the heap that are worth a paragraph, in the order asked for.
    pub sites: Vec<Entry>,
    /// All other sites with live blocks, in less detail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Entry>,
    /// Every live block, when they are to be told one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// The sites that are not worth a paragraph.
    pub normal: Normal,
    /// What was left out.
    pub not_counted: NotCounted,
    /// Other resources than the heap, those that are open.
    pub pairs: Vec<PairEntry>,
    /// Releases that ought not to be.
    pub misuses: Vec<MisuseEntry>,
    /// Calls by stacks of which only the innermost frames are told, as there were too many different ones.
    pub merged: u64,
    /// Of so many bytes of the heap one was drawn, and amounts are estimated by the blocks of these.
    pub sample: Option<u64>,
    /// The sum of everything that is lost, with what hangs on it.
    pub lost: Amount,
    /// At how many sites.
    pub lost_sites: u64,
    /// The sum of what only pointers to its inside lead to.
    pub possible: Amount,
    /// The sum of what can still be reached.
    pub reachable: Amount,
    /// Live bytes over time, oldest first.
    pub history: Vec<Moment>,
    /// The keys of the sites that are told in it.
    pub series: Vec<String>,
}

/// Whom a report is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// The program's name.
    pub name: String,
    /// Its id.
    pub pid: i32,
    /// `attached` or `launched`.
    pub since: Since,
    /// For how many seconds it was watched.
    pub seconds: f64,
    /// How many threads it has, or had.
    pub threads: usize,
    /// Whose heap it is: `glibc malloc`.
    pub allocator: Option<String>,
    /// No functions of an allocator were found: nothing is known of the heap.
    pub no_allocator: bool,
    /// So many children it forked that are not watched.
    pub unfollowed: u64,
    /// At what moment this was: `at exit`, `when main ended`, `killed by SIGSEGV`. Nothing while it runs.
    pub ended: Option<String>,
}

/// What the watching began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Since {
    /// It ran before.
    #[default]
    Attached,
    /// We started it.
    Launched,
}

/// What a check cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckTold {
    /// How long the process was held, in milliseconds.
    pub pause_ms: f64,
    /// The memory was kept by a child of the process, and not copied.
    pub forked: bool,
    /// Why it was copied although there is much of it.
    pub not_forked: Option<String>,
    /// How long the verdict took while the process went on, in milliseconds.
    pub verdict_ms: f64,
    /// How many blocks were looked at.
    pub blocks: u64,
    /// Blocks from before the attach that the allocator's own bookkeeping tells of.
    pub before: Amount,
    /// Those of them that cannot be reached.
    pub before_lost: Amount,
    /// Heaps whose bookkeeping could not be followed: whatever is in them counts as a pointer.
    pub heaps_left_out: u64,
    /// There were more than 2^31 blocks or 2^32 pointers between them: what is held by the others may be called lost.
    pub incomplete: bool,
}

/// All blocks of the heap together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heap {
    /// All that was handed out.
    pub allocated: Amount,
    /// All that was given back.
    pub freed: Amount,
    /// What is live.
    pub live: Amount,
    /// By how many blocks that grew since the mark, or since the beginning.
    pub grown: i64,
    /// A mark was set.
    pub marked: bool,
}

/// How much one call of a function leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Per {
    /// The function.
    pub function: String,
    /// How often it was called.
    pub calls: u64,
    /// Blocks that stay, for each call.
    pub blocks: f64,
    /// Bytes that stay, for each call.
    pub bytes: f64,
}

/// One site: all blocks of one stack and one verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// What the check says.
    pub verdict: Verdict,
    /// They become more and more.
    pub growing: bool,
    /// What hands them out and ought to take them back: `malloc -> free`.
    pub title: String,
    /// The blocks of this verdict.
    pub live: Amount,
    /// The size of each, when all are alike.
    pub size: Option<u64>,
    /// All that the site was given.
    pub allocated: Amount,
    /// All that it gave back.
    pub freed: Amount,
    /// Blocks it was given in a second.
    pub rate: f64,
    /// The age of the youngest and the oldest, in seconds.
    pub age: Option<(f64, f64)>,
    /// How many threads asked.
    pub threads: usize,
    /// By how many blocks it grew since the mark.
    pub grown: i64,
    /// What hangs on them, when they are lost and not alone.
    pub group: Option<Group>,
    /// The cycle that they are, if they are one.
    pub cycle: Vec<CycleStep>,
    /// The stack, innermost call first.
    pub stack: Vec<Arc<Line>>,
    /// The last call of `--context` before the last allocation.
    pub after: Option<After>,
    /// What is in the blocks.
    pub holds: Option<Holds>,
    /// Who holds one of them, nearest first.
    pub held_by: Vec<String>,
    /// The first bytes of some of them.
    pub contents: Vec<String>,
    /// Blocks whose release was not seen: their address was handed out again.
    pub missed: u64,
}

/// What hangs on lost blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// How many leaders or cycles there are.
    pub groups: u64,
    /// The leaders and cycles, and all that only they keep.
    pub all: Amount,
}

/// One block of a cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CycleStep {
    /// What it is: a class, or its size.
    pub what: String,
    /// Where in it the pointer to the next one is.
    pub offset: u64,
}

/// The call of interest before an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct After {
    /// The call.
    pub call: String,
    /// The function that made it.
    pub function: Option<String>,
}

/// What is in the blocks of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holds {
    /// What most of them have in common.
    pub what: String,
    /// So many of them.
    pub alike: u64,
    /// Of so many that were looked at.
    pub of: u64,
}

/// One live block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Block {
    /// Where it is.
    pub address: u64,
    /// Its size.
    pub size: u64,
    /// Who asked for it.
    pub stack: Vec<Arc<Line>>,
}

/// Sites without a paragraph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Normal {
    /// How many sites.
    pub sites: u64,
    /// What they were given.
    pub allocated: Amount,
    /// What they gave back.
    pub freed: Amount,
    /// The longest life of anything they gave back, in milliseconds.
    pub longest_ms: f64,
}

/// What a report leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotCounted {
    /// There are blocks from before the attach; so many of them were freed meanwhile.
    pub older_freed: Option<u64>,
    /// What the C library, the dynamic linker and languages' runtimes keep for themselves.
    pub runtime: Amount,
    /// What matched `--suppress`.
    pub suppressed: Amount,
    /// What is younger than `--older`.
    pub young: Amount,
    /// Blocks whose release was not seen.
    pub missed: u64,
    /// For so many milliseconds, since the end of `--window`, no calls were seen.
    pub unseen_ms: Option<u64>,
}

/// A resource that is no heap block: one site's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairEntry {
    /// `open -> close`
    pub title: String,
    /// What kind of thing: `fd`.
    pub kind: String,
    /// How many were opened.
    pub opened: u64,
    /// How many were closed.
    pub closed: u64,
    /// How many are open.
    pub open: u64,
    /// Their values.
    pub values: Vec<u64>,
    /// What the kernel knows of the descriptors among them.
    pub known: Vec<String>,
    /// Refused releases: function, result, the result's name, how often.
    pub refused: Vec<Refusal>,
    /// Bytes, where the functions tell sizes.
    pub bytes: u64,
    /// What the check says of them.
    pub verdict: Verdict,
    /// By how many it grew since the mark.
    pub grown: i64,
    /// The stack.
    pub stack: Vec<Arc<Line>>,
}

/// Releases that were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// By which function.
    pub function: String,
    /// Its result.
    pub result: i64,
    /// What that means.
    pub name: Option<String>,
    /// How often.
    pub count: u64,
}

/// A release that ought not to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MisuseEntry {
    /// In words: `released twice`.
    pub what: String,
    /// The function that was called.
    pub function: String,
    /// With this, the first time.
    pub value: u64,
    /// By this thread, the first time.
    pub thread: i32,
    /// How often.
    pub count: u64,
    /// From here.
    pub stack: Vec<Arc<Line>>,
    /// Where it had been handed out.
    pub acquired: Vec<Arc<Line>>,
    /// Where it had been released before.
    pub released: Vec<Arc<Line>>,
}

/// How much was live at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// Seconds from the beginning.
    pub seconds: f64,
    /// What was live in all.
    pub live: Amount,
    /// Live bytes of the sites that had most, by their places in `series`.
    pub sites: Vec<(usize, u64)>,
}

impl Line {
    /// What stands at the end of a stack of which there is more than is known.
    pub fn cut() -> Line {
        Line {
            function: "[truncated]".to_owned(),
            origin: Origin::Runtime,
            ..Line::default()
        }
    }

    /// It is no call, but the end of what is known.
    pub fn is_cut(&self) -> bool {
        self.function == "[truncated]" && self.module.is_empty()
    }
}

impl Report {
    /// Every site with live blocks.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.sites.iter().chain(&self.others)
    }

    /// The heap was watched.
    pub fn is_of_heap(&self) -> bool {
        self.watched.iter().any(|kind| kind == "heap")
    }
}

impl Entry {
    /// What names the site in every run: its stack without addresses of the process.
    pub fn key(&self) -> String {
        key(&self.title, &self.stack)
    }

    /// A number that sites of one key have in common, and others do not: a key is some KiB, and there may be a hundred
    /// thousand.
    pub fn key_number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key_parts().for_each(|part| part.hash(&mut hasher));
        hasher.finish()
    }

    /// Their order by what keys are made of.
    pub fn cmp_key(&self, other: &Entry) -> Ordering {
        self.key_parts().cmp(other.key_parts())
    }

    fn key_parts(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let title = std::iter::once((&*self.title, "", 0));
        title.chain(self.stack.iter().map(|line| match (&line.file, line.line) {
            (Some(_), Some(number)) => (&*line.module, &*line.function, number.into()),
            _ => (&*line.module, &*line.function, line.vaddr),
        }))
    }
}

/// A stack's name: modules, functions and lines, or offsets where no line is known.
pub fn key(title: &str, stack: &[Arc<Line>]) -> String {
    let line = |line: &Arc<Line>| match (&line.file, line.line) {
        (Some(_), Some(number)) => format!("{}!{}:{number}", line.module, line.function),
        _ => format!("{}!{}+{:#x}", line.module, line.function, line.vaddr),
    };
    let lines: Vec<String> = stack.iter().map(line).collect();
    format!("{title};{}", lines.join(";"))
}
