//! What the user wants to know of leaks.

use crate::base::snapshot::SnapshotMethod;
use crate::leak::kinds::Set;
use crate::leak::verdict::Verdict;
use crate::plan::resources::Alias;
use regex::Regex;
use std::path::PathBuf;
use std::time::Duration;

/// All of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The pairs to track.
    pub sets: Vec<Set>,
    /// The allocator's functions that have other names.
    pub aliases: Vec<Alias>,
    /// How often to report meanwhile, if that was said.
    pub every: Option<Duration>,
    /// How long to trap calls; afterwards it is found out by the heap what is still there.
    pub window: Option<Duration>,
    /// Of the bytes that the heap hands out one in so many is drawn, and only the blocks that these are in are seen.
    pub sample: Option<u64>,
    /// How long to watch.
    pub watch: Option<Duration>,
    /// Sites to tell.
    pub top: usize,
    /// The order of sites.
    pub sort: Sort,
    /// When to check who can be reached.
    pub checks: Checks,
    /// How the memory is kept for that.
    pub snapshot_method: SnapshotMethod,
    /// The verdicts to tell.
    pub kinds: Vec<Verdict>,
    /// Which blocks count.
    pub blocks: BlockFilter,
    /// A function by whose calls growth is told.
    pub per: Option<String>,
    /// Functions whose last call before an allocation is told.
    pub context: Vec<String>,
    /// Which frames are shown.
    pub frames: Frames,
    /// So many columns has the terminal that the report is written to.
    pub width: Option<usize>,
    /// Show the first bytes of some blocks.
    pub contents: Contents,
    /// Whether suppressions for what is told are written after it.
    pub suppressions: Contents,
    /// What leads to a failure's exit status, if so many bytes of it are found.
    pub fail_on: Option<(Verdict, u64)>,
    /// What the report is written as.
    pub format: Format,
    /// Files to be written besides.
    pub files: Files,
}

/// Which blocks count.
#[derive(Clone, Debug)]
pub struct BlockFilter {
    /// They are at least so old.
    pub older: Duration,
    /// They have at least so many bytes.
    pub min_size: u64,
    /// They have no more than so many bytes.
    pub max_size: u64,
    /// Some frame of their stack fits one of these, if there are any.
    pub sites: Vec<Regex>,
    /// The thread they were handed to.
    pub thread: Option<Thread>,
    /// They were handed out no earlier than that.
    pub skip_first: Duration,
}

/// A thread as users name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thread {
    /// By its id.
    Id(i32),
    /// By its name.
    Name(String),
}

/// Which frames of a stack are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// The user's, and the last one of the standard library that they called.
    #[default]
    User,
    /// All of them.
    All,
    /// The user's, but no more than so many.
    First(usize),
}

/// The order of sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Most bytes first.
    #[default]
    Bytes,
    /// Most blocks first.
    Blocks,
    /// Fastest first.
    Rate,
    /// Oldest first.
    Age,
}

impl Sort {
    /// The next one, round and round.
    pub fn next(self) -> Sort {
        match self {
            Sort::Bytes => Sort::Blocks,
            Sort::Blocks => Sort::Rate,
            Sort::Rate => Sort::Age,
            Sort::Age => Sort::Bytes,
        }
    }
}

/// When it is checked who can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// For each report.
    #[default]
    Report,
    /// For the last one.
    Final,
    /// Never.
    Off,
}

/// Whether something is shown besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// No.
    #[default]
    Hidden,
    /// Yes.
    Shown,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// To be read.
    #[default]
    Text,
    /// One JSON document a report.
    Json,
    /// The table of mtrace(1).
    Mtrace,
}

/// Two reports that were saved, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The earlier one.
    pub old: PathBuf,
    /// The later one.
    pub new: PathBuf,
    /// How many sites are told.
    pub top: usize,
    /// A page to be written (`--html`).
    pub html: Option<PathBuf>,
}

/// Files that are written with the last report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The report as JSON.
    pub json: Option<PathBuf>,
    /// Stacks for flame graph tools.
    pub folded: Option<PathBuf>,
    /// A profile for pprof.
    pub pprof: Option<PathBuf>,
    /// A page to look at.
    pub html: Option<PathBuf>,
    /// The report, to be compared with another one.
    pub save: Option<PathBuf>,
}

impl Default for BlockFilter {
    fn default() -> BlockFilter {
        BlockFilter {
            older: Duration::from_millis(500),
            min_size: 0,
            max_size: u64::MAX,
            sites: Vec::new(),
            thread: None,
            skip_first: Duration::ZERO,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sets: Vec::new(),
            aliases: Vec::new(),
            every: None,
            sample: None,
            window: None,
            watch: None,
            top: 10,
            sort: Sort::default(),
            checks: Checks::default(),
            snapshot_method: SnapshotMethod::default(),
            kinds: vec![Verdict::Lost, Verdict::Possible],
            blocks: BlockFilter::default(),
            per: None,
            context: Vec::new(),
            frames: Frames::default(),
            width: None,
            contents: Contents::default(),
            suppressions: Contents::default(),
            fail_on: None,
            format: Format::default(),
            files: Files::default(),
        }
    }
}
