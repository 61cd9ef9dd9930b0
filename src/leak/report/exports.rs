//! A report as a profile, for flame graph tools and pprof, and as a page to look at.

use crate::export::{Frame, Page, Profile, Sample, Series, SiteRow, ValueKind};
use crate::leak::report::model::{Amount, Entry, Line, Moment, Origin, PairEntry, Report, Verdict};
use crate::leak::report::numbers;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How many sites have a line of their own in the time line.
const TOPS: usize = 8;

/// Live blocks and bytes by stack.
pub fn profile(report: &Report) -> Profile {
    Profile {
        kinds: [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ]
        .map(|(name, unit)| ValueKind::new(name, unit))
        .to_vec(),
        samples: report.all().map(sample).collect(),
        duration: Duration::try_from_secs_f64(report.process.seconds).ok(),
        program: Some(report.process.name.clone()),
        comments: report.sample.map(numbers::estimated).into_iter().collect(),
        ..Profile::default()
    }
}

/// The page of one report, and of what changed since an earlier one.
pub fn page(report: &Report, before: Option<&Report>) -> Page {
    let earlier: Option<HashMap<String, Amount>> = before.map(by_key);
    let process = &report.process;
    let facts = [
        ("pid", process.pid.to_string()),
        ("watched", format!("{:.1} s", process.seconds)),
        ("threads", process.threads.to_string()),
        ("allocator", process.allocator.clone().unwrap_or_default()),
        (
            "allocated",
            blocks(report.heap.allocated.blocks, report.heap.allocated.bytes),
        ),
        (
            "live",
            blocks(report.heap.live.blocks, report.heap.live.bytes),
        ),
        ("lost", blocks(report.lost.blocks, report.lost.bytes)),
        (
            "amounts",
            report.sample.map(numbers::estimated).unwrap_or_default(),
        ),
    ];
    let told = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
    Page {
        title: format!("leaks: {}", process.name),
        facts: told.map(|(name, fact)| (name.to_owned(), fact)).collect(),
        total: Series {
            name: "live".to_owned(),
            points: report
                .history
                .iter()
                .map(|m| (m.seconds, number(m.live.bytes)))
                .collect(),
        },
        tops: report
            .sites
            .iter()
            .take(TOPS)
            .map(|site| top(site, report))
            .collect(),
        sites: report
            .all()
            .map(|entry| row(entry, earlier.as_ref()))
            .chain(report.pairs.iter().map(pair_row))
            .collect(),
        flame: profile(report),
        before: before.map(profile),
    }
}

fn sample(entry: &Entry) -> Sample {
    let amounts = [entry.allocated, entry.live];
    let values = amounts
        .iter()
        .flat_map(|amount| [amount.blocks, amount.bytes]);
    Sample {
        frames: frames(&entry.stack),
        values: values.map(number).collect(),
        labels: vec![("verdict".to_owned(), word(entry.verdict).to_owned())],
    }
}

fn by_key(report: &Report) -> HashMap<String, Amount> {
    let mut all: HashMap<String, Amount> = HashMap::new();
    for entry in report.all() {
        *all.entry(entry.key()).or_default() += entry.live;
    }
    all
}

fn row(entry: &Entry, earlier: Option<&HashMap<String, Amount>>) -> SiteRow {
    let cycle = entry
        .cycle
        .iter()
        .map(|step| format!("{} +{:#x}", step.what, step.offset));
    let cycle: Vec<String> = cycle.collect();
    let mut notes = Vec::new();
    if !cycle.is_empty() {
        notes.push(format!("cycle: {}", cycle.join(" -> ")));
    }
    notes.extend(
        entry
            .holds
            .iter()
            .map(|holds| format!("holds {}", holds.what)),
    );
    notes.extend(
        entry
            .held_by
            .first()
            .map(|_| format!("held by {}", entry.held_by.join(" <- "))),
    );
    notes.extend(
        entry
            .after
            .iter()
            .map(|after| format!("after {}", after.call)),
    );
    SiteRow {
        verdict: word(entry.verdict).to_owned(),
        bytes: entry.live.bytes,
        blocks: entry.live.blocks,
        allocated: entry.allocated.blocks,
        freed: entry.freed.blocks,
        rate: Some(entry.rate),
        age: entry.age,
        grown: earlier.map(|earlier| {
            let was = earlier.get(&entry.key()).copied().unwrap_or_default();
            let grown = |now: u64, was: u64| number(now) - number(was);
            (
                grown(entry.live.bytes, was.bytes),
                grown(entry.live.blocks, was.blocks),
            )
        }),
        called: called(&entry.stack),
        stack: frames(&entry.stack),
        notes,
    }
}

fn pair_row(entry: &PairEntry) -> SiteRow {
    SiteRow {
        verdict: format!("OPEN {}", entry.kind),
        bytes: entry.bytes,
        blocks: entry.open,
        allocated: entry.opened,
        freed: entry.closed,
        called: called(&entry.stack),
        stack: frames(&entry.stack),
        notes: vec![entry.title.clone()],
        ..SiteRow::default()
    }
}

fn top(entry: &Entry, report: &Report) -> Series {
    let key = entry.key();
    let place = report.series.iter().position(|known| *known == key);
    let at = |moment: &Moment| {
        let site = moment.sites.iter().find(|(site, _)| Some(*site) == place);
        (moment.seconds, number(site.map_or(0, |(_, bytes)| *bytes)))
    };
    let stack = frames(&entry.stack);
    let caller = stack.get(called(&entry.stack));
    Series {
        name: caller.map_or("?".into(), |frame| frame.name().into_owned()),
        points: report.history.iter().map(at).collect(),
    }
}

/// The first call of the user's own.
fn called(stack: &[Arc<Line>]) -> usize {
    stack
        .iter()
        .position(|line| line.origin == Origin::User)
        .unwrap_or(0)
}

fn frames(stack: &[Arc<Line>]) -> Vec<Frame> {
    let frame = |line: &Arc<Line>| Frame {
        // Without a name a frame goes by its module and address.
        function: match line.is_unnamed() {
            true => String::new(),
            false => line.function.clone(),
        },
        file: line.file.clone(),
        line: line.line,
        inlined: line.inlined,
        module: (!line.module.is_empty()).then(|| line.module.clone()),
        build_id: None,
        address: line.vaddr,
    };
    stack.iter().map(frame).collect()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Lost => "LOST",
        Verdict::Indirect => "INDIRECT",
        Verdict::Possible => "POSSIBLE",
        Verdict::Reachable => "REACHABLE",
        Verdict::Unchecked => "LIVE",
    }
}

fn blocks(blocks: u64, bytes: u64) -> String {
    format!(
        "{} in {}",
        numbers::bytes(bytes),
        numbers::of(blocks, "block")
    )
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let line = |function: &str, origin| Line {
            function: function.to_owned(),
            origin,
            ..Line::default()
        };
        let entry = Entry {
            verdict: Verdict::Lost,
            live: Amount {
                blocks: 2,
                bytes: 64,
            },
            allocated: Amount {
                blocks: 3,
                bytes: 96,
            },
            stack: vec![
                Arc::new(line("malloc", Origin::Allocator)),
                Arc::new(line("make", Origin::User)),
            ],
            ..Entry::default()
        };
        Report {
            sites: vec![entry],
            ..Report::default()
        }
    }

    #[test]
    fn a_site_is_a_sample_and_a_row() {
        let profile = profile(&report());
        let sample = &profile.samples[0];
        assert_eq!(sample.values, [3, 96, 2, 64]);
        assert_eq!(sample.labels, [("verdict".to_owned(), "LOST".to_owned())]);
        let page = page(&report(), None);
        assert_eq!((page.sites[0].called, page.sites[0].bytes), (1, 64));
        assert_eq!(page.tops[0].name, "make");
        let mut folded = Vec::new();
        crate::export::folded::write(&profile, &mut folded).unwrap();
        assert_eq!(String::from_utf8(folded).unwrap(), "make;malloc 64\n");
    }
}
