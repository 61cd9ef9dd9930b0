//! The options of `--leaks`, understood as [`Options`].

pub(super) mod words;

use super::args::{BLOCKS, CLUES, FILES, LEAKS, THINGS};
use crate::base::message;
use crate::base::printable::printable;
use crate::base::snapshot::SnapshotMethod;
use crate::config::Comparison;
use crate::leak::kinds::{Kinds, OWN, Set};
use crate::leak::options::{BlockFilter, Checks, Contents, Files, Format, Options, Sort, Thread};
use crate::leak::report::model::Verdict;
use crate::leak::report::suppress::Suppressions;
use crate::leak::report::text::Frames;
use crate::plan::pairs::{self, Form, Pair};
use crate::plan::resources::Alias;
use clap::{Arg, ArgMatches, Args, Command, Id};
use regex::Regex;
use std::ffi::OsStr;
use std::path::PathBuf;
use words::{choose, each, size, time, word};

/// Everything that goes with `--leaks`.
#[derive(Args, Debug, Default)]
pub(super) struct LeakArgs {
    /// Show what is allocated or opened and never given back, by call stack
    ///
    /// With -p on a terminal as a view that refreshes, where ? tells the keys.
    #[arg(long, help_heading = LEAKS)]
    pub(super) leaks: bool,

    /// Watch for so long, then report and let go: 10s, 5m
    #[arg(long = "for", value_name = "TIME", help_heading = LEAKS, hide_short_help = true)]
    watch: Option<String>,

    /// Report so often [default: 5s with -p, 1s in the view]
    #[arg(long, value_name = "TIME", help_heading = LEAKS, hide_short_help = true)]
    every: Option<String>,

    /// Trap calls only so long, then let the program run at full speed; what of it is still there is found out
    /// by the C library's heap
    #[arg(long, value_name = "TIME", help_heading = LEAKS, hide_short_help = true)]
    window: Option<String>,

    /// See few allocations: one byte in so many is drawn, and the blocks of these are followed; amounts are
    /// estimates, and who holds what is not checked: 512KiB
    #[arg(long, value_name = "BYTES", help_heading = LEAKS, hide_short_help = true)]
    sample: Option<String>,

    /// Sites to show [default: 10]
    #[arg(long, value_name = "N", help_heading = LEAKS, hide_short_help = true)]
    top: Option<String>,

    /// Verdicts to show: lost,indirect,possible,reachable [default: lost,possible, and what grows]
    #[arg(long, value_name = "LIST", help_heading = LEAKS, hide_short_help = true)]
    kinds: Option<String>,

    /// When it is checked who still holds what, for which the process is held for some milliseconds: report
    /// (each one), final or off [default: report]
    #[arg(long, value_name = "WHEN", help_heading = LEAKS, hide_short_help = true)]
    check: Option<String>,

    /// How memory is kept for the check: copy, fork (a child that the process is made to have: quicker where
    /// there is much of it) or auto [default: auto]
    #[arg(long, value_name = "HOW", help_heading = LEAKS, hide_short_help = true)]
    freeze: Option<String>,

    /// Only blocks of at least this age [default: 500ms]
    #[arg(long, value_name = "TIME", help_heading = BLOCKS, hide_short_help = true)]
    older: Option<String>,

    /// Only blocks of at least so many bytes
    #[arg(long, value_name = "N", help_heading = BLOCKS, hide_short_help = true)]
    min_size: Option<String>,

    /// Only blocks of no more than so many bytes
    #[arg(long, value_name = "N", help_heading = BLOCKS, hide_short_help = true)]
    max_size: Option<String>,

    /// Only stacks with a function or FILE:LINE that fits
    #[arg(long, value_name = "REGEX", help_heading = BLOCKS, hide_short_help = true)]
    site: Vec<String>,

    /// Only what this thread asked for, by its id or name
    #[arg(long, value_name = "THREAD", help_heading = BLOCKS, hide_short_help = true)]
    thread: Option<String>,

    /// Not what was allocated in the first TIME
    #[arg(long, value_name = "TIME", help_heading = BLOCKS, hide_short_help = true)]
    skip_first: Option<String>,

    /// Not what a file names, in LeakSanitizer's or memcheck's language
    #[arg(long, value_name = "FILE", help_heading = BLOCKS, hide_short_help = true)]
    suppress: Vec<PathBuf>,

    /// How much stays for each call of this function
    #[arg(long, value_name = "FUNCTION", help_heading = CLUES, hide_short_help = true)]
    per: Option<String>,

    /// Which call of these its thread made last before an allocation: send,write
    #[arg(long, value_name = "LIST", help_heading = CLUES, hide_short_help = true)]
    context: Option<String>,

    /// The first bytes of three blocks of each site
    #[arg(long, help_heading = CLUES, hide_short_help = true)]
    contents: bool,

    /// Frames of a stack: user, all, or the first N [default: user]
    #[arg(long, value_name = "WHICH", help_heading = CLUES, hide_short_help = true)]
    frames: Option<String>,

    /// Other things than the heap, too: new,fd,file,dir,sqlite,dl,thread,mmap,socket
    #[arg(long, value_name = "LIST", help_heading = THINGS, hide_short_help = true)]
    pairs: Option<String>,

    /// Things of your own, too: 'my_open(_, out h) -> my_close(h) if ret==0'
    #[arg(long, value_name = "SPEC", help_heading = THINGS, hide_short_help = true)]
    pair: Vec<String>,

    /// Not the heap
    #[arg(long, help_heading = THINGS, hide_short_help = true)]
    no_heap: bool,

    /// The allocator's functions, where they have other names or, in a stripped program, none:
    /// malloc=my_malloc,free=0x401136
    #[arg(long, value_name = "LIST", help_heading = THINGS, hide_short_help = true)]
    alloc_sym: Vec<String>,

    /// A profile for pprof
    #[arg(long, value_name = "FILE", help_heading = FILES, hide_short_help = true)]
    pprof: Option<PathBuf>,

    /// Folded stacks, for flame graph tools
    #[arg(long, value_name = "FILE", help_heading = FILES, hide_short_help = true)]
    folded: Option<PathBuf>,

    /// The last report, for --diff; and on each SIGUSR2 to ltrace one as FILE.1, FILE.2
    #[arg(long, value_name = "FILE", help_heading = FILES, hide_short_help = true)]
    save: Option<PathBuf>,

    /// Compare two that were saved: what grew, by site
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], help_heading = FILES, hide_short_help = true)]
    diff: Option<Vec<PathBuf>>,

    /// Suppressions for what is told, after the report
    #[arg(long, help_heading = FILES, hide_short_help = true)]
    gen_suppress: bool,

    /// Exit with 99 when this is found: lost, indirect, possible or reachable, maybe with a limit: `lost>1000`
    #[arg(long, value_name = "WHAT", help_heading = FILES, hide_short_help = true)]
    fail_on: Option<String>,
}

/// Without `--leaks` none of the others may be there.
pub(super) fn refuse(given: &ArgMatches) -> Result<(), String> {
    // clap has a group of all arguments of a struct, by its name.
    let mut options = given.get_many::<Id>("LeakArgs").into_iter().flatten();
    let Some(option) = options.next() else {
        return Ok(());
    };
    let command = LeakArgs::augment_args(Command::new(""));
    let known = command.get_arguments().find(|arg| arg.get_id() == option);
    let name = known.and_then(Arg::get_long).unwrap_or_default();
    Err(format!("ltrace: Option --{name} needs --leaks"))
}

/// Options that traces have as well.
pub(super) struct Shared<'a> {
    pub(super) format: Option<&'a str>,
    pub(super) json: Option<&'a OsStr>,
    pub(super) html: Option<&'a OsStr>,
    pub(super) sort: Option<&'a str>,
    /// Calls are seen by stops.
    pub(super) is_by_stops: bool,
}

/// No two bytes of `--sample` are farther apart.
const MOST_APART: u64 = 1 << 40;

impl LeakArgs {
    /// What the user wants to know, on a terminal of so many columns.
    pub(super) fn options(
        &self,
        width: Option<usize>,
        shared: &Shared<'_>,
    ) -> Result<(Options, Suppressions), String> {
        let usual = Options::default();
        let options = Options {
            sets: self.sets()?,
            aliases: self.aliases()?,
            every: time("every", self.every.as_deref())?,
            window: time("window", self.window.as_deref())?,
            sample: self.interval(shared)?,
            watch: time("for", self.watch.as_deref())?,
            top: size("top", self.top.as_deref())?.map_or(usual.top, |top| top as usize),
            sort: word("sort", shared.sort, &SORTS)?,
            checks: match self.sample {
                Some(_) => Checks::Off,
                None => word("check", self.check.as_deref(), &CHECKS)?,
            },
            snapshot_method: word("freeze", self.freeze.as_deref(), &SNAPSHOT_METHODS)?,
            kinds: match &self.kinds {
                Some(list) => each("kinds", list, |one| choose("kinds", one, &VERDICTS))?,
                None => usual.kinds,
            },
            blocks: self.blocks()?,
            per: self.per.clone(),
            context: self
                .context
                .iter()
                .flat_map(|list| list.split(','))
                .map(str::to_owned)
                .collect(),
            frames: frames(self.frames.as_deref())?,
            width,
            contents: if self.contents {
                Contents::Shown
            } else {
                Contents::Hidden
            },
            suppressions: if self.gen_suppress {
                Contents::Shown
            } else {
                Contents::Hidden
            },
            fail_on: self.fail_on.as_deref().map(fail_on).transpose()?,
            format: word("format", shared.format, &FORMATS)?,
            files: Files {
                json: shared.json.map(PathBuf::from),
                folded: self.folded.clone(),
                pprof: self.pprof.clone(),
                html: shared.html.map(PathBuf::from),
                save: self.save.clone(),
            },
        };
        Kinds::new(&options.sets).map_err(|why| format!("ltrace: --pair: {why}"))?;
        Ok((options, self.suppressions()?))
    }

    /// The bytes of `--sample`, and nothing beside that needs to see all blocks.
    fn interval(&self, shared: &Shared<'_>) -> Result<Option<u64>, String> {
        let Some(text) = self.sample.as_deref() else {
            return Ok(None);
        };
        let interval = size("sample", Some(text))?.filter(|bytes| (1..=MOST_APART).contains(bytes));
        let refused = [
            (
                "--check",
                self.check.as_deref().is_some_and(|when| when != "off"),
            ),
            ("--window", self.window.is_some()),
            ("--contents", self.contents),
            ("--fail-on", self.fail_on.is_some()),
            ("--format mtrace", shared.format == Some("mtrace")),
            ("--instrument stop", shared.is_by_stops),
        ];
        if let Some((other, _)) = refused.iter().find(|(_, is_given)| *is_given) {
            return Err(format!("ltrace: --sample sees too little for {other}"));
        }
        let wrong = || format!("ltrace: --sample: `{text}' is not from 1 to 1024G");
        interval.ok_or_else(wrong).map(Some)
    }

    /// The two reports to compare, if that is what is wanted.
    pub(super) fn comparison(&self, html: Option<&OsStr>) -> Option<Comparison> {
        let [old, new] = self.diff.as_deref()? else {
            return None;
        };
        let top = size("top", self.top.as_deref()).ok().flatten();
        Some(Comparison {
            old: old.clone(),
            new: new.clone(),
            top: top.map_or(Options::default().top, |top| top as usize),
            html: html.map(PathBuf::from),
        })
    }

    fn sets(&self) -> Result<Vec<Set>, String> {
        let mut sets = Vec::new();
        let names = self
            .pairs
            .as_deref()
            .map(|list| list.split(','))
            .into_iter()
            .flatten();
        let heap = (!self.no_heap).then_some("heap");
        for name in heap.into_iter().chain(names) {
            let Some(pairs) = pairs::named(name) else {
                let known: Vec<&str> = pairs::known().collect();
                return Err(format!(
                    "ltrace: --pairs: there is no set `{name}', only {}",
                    known.join(", ")
                ));
            };
            sets.push(Set {
                label: pairs::label(name).to_owned(),
                pairs,
            });
        }
        for spec in &self.pair {
            let pair = Pair::parse(spec).map_err(|why| format!("ltrace: --pair: {why}"))?;
            match (pair.form, sets.last_mut()) {
                (Form::Replace, Some(before)) => before.pairs.push(pair),
                _ => sets.push(Set {
                    label: OWN.to_owned(),
                    pairs: vec![pair],
                }),
            }
        }
        match sets.is_empty() {
            true => Err(
                "ltrace: --no-heap leaves nothing to watch: name --pairs or a --pair".to_owned(),
            ),
            false => Ok(sets),
        }
    }

    fn aliases(&self) -> Result<Vec<Alias>, String> {
        let heap = pairs::named("heap").unwrap_or_default();
        let functions = heap
            .iter()
            .flat_map(|pair| std::iter::once(&pair.acquire).chain(&pair.releases));
        let known: Vec<&str> = functions
            .flat_map(|function| function.names.iter().map(String::as_str))
            .collect();
        let alias = |text: &str| {
            let alias = Alias::parse(text).ok_or_else(|| {
                format!("ltrace: --alloc-sym: `{text}' is not like malloc=NAME or malloc=0x401136")
            })?;
            match known.contains(&alias.usual.as_str()) {
                true => Ok(alias),
                false => Err(format!(
                    "ltrace: --alloc-sym: `{}' is none of malloc, calloc, realloc, free and their kin",
                    alias.usual
                )),
            }
        };
        let lists = self.alloc_sym.iter();
        lists.flat_map(|list| list.split(',')).map(alias).collect()
    }

    fn blocks(&self) -> Result<BlockFilter, String> {
        let usual = BlockFilter::default();
        let re = |text: &String| {
            Regex::new(text)
                .map_err(|why| format!("ltrace: --site: {}", last_line(&why.to_string())))
        };
        Ok(BlockFilter {
            older: time("older", self.older.as_deref())?.unwrap_or(usual.older),
            min_size: size("min-size", self.min_size.as_deref())?.unwrap_or(usual.min_size),
            max_size: size("max-size", self.max_size.as_deref())?.unwrap_or(usual.max_size),
            sites: self.site.iter().map(re).collect::<Result<_, _>>()?,
            thread: self.thread.as_ref().map(|text| match text.parse() {
                Ok(id) => Thread::Id(id),
                Err(_) => Thread::Name(text.clone()),
            }),
            skip_first: time("skip-first", self.skip_first.as_deref())?.unwrap_or(usual.skip_first),
        })
    }

    fn suppressions(&self) -> Result<Suppressions, String> {
        let mut all = Suppressions::default();
        for path in &self.suppress {
            let name = printable(&path.to_string_lossy()).into_owned();
            let text = std::fs::read(path)
                .map_err(|why| format!("ltrace: cannot read {name}: {}", message(&why)))?;
            let text = String::from_utf8_lossy(&text);
            all.add(&name, &text)
                .map_err(|why| format!("ltrace: {why}"))?;
        }
        Ok(all)
    }
}

const SORTS: [(&str, Sort); 4] = [
    ("bytes", Sort::Bytes),
    ("blocks", Sort::Blocks),
    ("rate", Sort::Rate),
    ("age", Sort::Age),
];

const CHECKS: [(&str, Checks); 3] = [
    ("report", Checks::Report),
    ("final", Checks::Final),
    ("off", Checks::Off),
];

const SNAPSHOT_METHODS: [(&str, SnapshotMethod); 3] = [
    ("auto", SnapshotMethod::Auto),
    ("copy", SnapshotMethod::Copy),
    ("fork", SnapshotMethod::Fork),
];

const VERDICTS: [(&str, Verdict); 4] = [
    ("lost", Verdict::Lost),
    ("indirect", Verdict::Indirect),
    ("possible", Verdict::Possible),
    ("reachable", Verdict::Reachable),
];

const FORMATS: [(&str, Format); 3] = [
    ("text", Format::Text),
    ("json", Format::Json),
    ("mtrace", Format::Mtrace),
];

fn frames(text: Option<&str>) -> Result<Frames, String> {
    match text {
        None | Some("user") => Ok(Frames::User),
        Some("all") => Ok(Frames::All),
        Some(text) => match text.parse() {
            Ok(count) => Ok(Frames::First(count)),
            Err(_) => Err(format!(
                "ltrace: --frames: `{text}' is none of user, all and a number"
            )),
        },
    }
}

/// `lost`, `lost>1000`
fn fail_on(text: &str) -> Result<(Verdict, u64), String> {
    let (verdict, limit) = text
        .split_once('>')
        .map_or((text, None), |(v, limit)| (v, Some(limit)));
    let limit = size("fail-on", limit)?.unwrap_or(0);
    Ok((choose("fail-on", verdict, &VERDICTS)?, limit))
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}
