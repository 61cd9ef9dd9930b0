//! Profiles for other tools and for the eye: folded stacks ([`folded`]), pprof ([`pprof`]), and one
//! self-contained page ([`html`]); and how the JSON of traces is written ([`json`]). What is written stands here as plain data; it knows nothing of
//! where it came from.

pub mod folded;
pub mod html;
pub mod json;
pub mod pprof;
mod protobuf;
pub mod trace;

#[cfg(test)]
mod sample;

use crate::base::time::Timestamp;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// One call of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The function, demangled; empty when it has no name.
    pub function: String,
    /// The source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The function was inlined into that of the next frame, at the same address.
    pub inlined: bool,
    /// The path of the file that the code is from.
    pub module: Option<String>,
    /// What identifies this build of the module, in hexadecimal digits.
    pub build_id: Option<String>,
    /// Where the code is in its module; without a module, in the process.
    pub address: u64,
}

/// What some code stands for: a value of each kind of its profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The calls, innermost first.
    pub frames: Vec<Frame>,
    /// The values, in the order of [`Profile::kinds`].
    pub values: Vec<i64>,
    /// What else is known of it, as `("verdict", "LOST")`.
    pub labels: Vec<(String, String)>,
}

/// A kind of value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueKind {
    /// Its name: `inuse_space`.
    pub name: String,
    /// Its unit: `bytes`, `count`.
    pub unit: String,
}

/// Values by stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What is measured. The last kind is the one that is shown where only one is.
    pub kinds: Vec<ValueKind>,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// When the measurement began.
    pub time: Option<Timestamp>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// The path of the program's own module.
    pub program: Option<String>,
    /// Whatever else is to be told.
    pub comments: Vec<String>,
}

/// A value over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// What it is the value of.
    pub name: String,
    /// Seconds since the beginning, and the value then.
    pub points: Vec<(f64, i64)>,
}

/// A row of the page's table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteRow {
    /// What is the matter with it: `LOST`.
    pub verdict: String,
    /// Live bytes.
    pub bytes: u64,
    /// Live blocks.
    pub blocks: u64,
    /// Blocks that were ever given out.
    pub allocated: u64,
    /// Blocks that were taken back.
    pub freed: u64,
    /// Live blocks more per second.
    pub rate: Option<f64>,
    /// The ages of the youngest and the oldest live block, in seconds.
    pub age: Option<(f64, f64)>,
    /// Bytes and blocks more than in the earlier snapshot.
    pub grown: Option<(i64, i64)>,
    /// The calls, innermost first.
    pub stack: Vec<Frame>,
    /// The frame that the row is called by: the first of the user's own.
    pub called: usize,
    /// More lines on it.
    pub notes: Vec<String>,
}

/// All that one page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// What holds for all of it, as `("pid", "22783")`.
    pub facts: Vec<(String, String)>,
    /// Everything, over time.
    pub total: Series,
    /// The top sites, over time.
    pub tops: Vec<Series>,
    /// The table.
    pub sites: Vec<SiteRow>,
    /// The flame graph.
    pub flame: Profile,
    /// The same at an earlier time, when two are to be compared.
    pub before: Option<Profile>,
}

impl ValueKind {
    /// A kind of value: `ValueKind::new("inuse_space", "bytes")`.
    pub fn new(name: &str, unit: &str) -> ValueKind {
        ValueKind {
            name: name.to_owned(),
            unit: unit.to_owned(),
        }
    }
}

impl Frame {
    /// What the frame is called: its function, else where its code is.
    pub fn name(&self) -> Cow<'_, str> {
        if !self.function.is_empty() {
            return Cow::Borrowed(&self.function);
        }
        Cow::Owned(match &self.module {
            Some(module) => {
                let base = module.rsplit('/').next().unwrap_or(module);
                format!("{base}+{:#x}", self.address)
            }
            None => format!("{:#x}", self.address),
        })
    }
}

impl Profile {
    /// The value of a sample that is shown where only one is.
    fn shown(&self, sample: &Sample) -> i64 {
        let last = self.kinds.len().checked_sub(1);
        let value = last.and_then(|last| sample.values.get(last));
        value.copied().unwrap_or(0)
    }
}
