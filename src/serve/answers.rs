//! What is answered to which request.

use super::{Board, metrics};
use crate::export::{Frame, Profile, Sample, ValueKind, pprof};
use crate::sink::counts::Counts;
use std::time::Duration;

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

const TEXT: &str = "text/plain; charset=utf-8";
/// That of version 0.0.4.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// A profile is taken over this time at most.
const LONGEST: u64 = 3600;

const INDEX: &str = "\
ltrace
/metrics                     calls, errors and times by function, live heap by site (Prometheus)
/debug/pprof/calls           calls by the traced calls around them, since the trace began (pprof)
/debug/pprof/calls?seconds=N the same of the next N seconds
/debug/pprof/heap            live blocks by stack, with --leaks (pprof)
";

impl Answer {
    pub(super) fn text(status: &'static str, text: &str) -> Answer {
        Answer {
            status,
            kind: TEXT,
            body: text.as_bytes().to_vec(),
        }
    }
}

/// The answer to a request for this.
pub(super) fn answer(board: &Board, target: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/" => Answer::text("200 OK", INDEX),
        "/metrics" => {
            let heaps = board.heaps().unwrap_or_default();
            Answer {
                status: "200 OK",
                kind: METRICS,
                body: metrics::text(&board.counts(), &heaps).into_bytes(),
            }
        }
        "/debug/pprof/calls" => match seconds(query) {
            Ok(None) => profile(&calls(&board.counts(), None)),
            Ok(Some(seconds)) => {
                let before = board.counts();
                std::thread::sleep(seconds);
                profile(&calls(&board.counts(), Some(&before)))
            }
            Err(()) => Answer::text("400 Bad Request", "seconds=1 to seconds=3600\n"),
        },
        "/debug/pprof/heap" => match board.heaps() {
            Some(heaps) => {
                let all: Vec<_> = heaps.iter().map(|(_, heap)| &**heap).collect();
                profile(&joined(&all))
            }
            None => Answer::text("404 Not Found", "the heap is watched with --leaks only\n"),
        },
        _ => Answer::text("404 Not Found", "there is no such page; / lists them\n"),
    }
}

/// `seconds=30`; other parameters mean nothing here.
fn seconds(query: &str) -> Result<Option<Duration>, ()> {
    let mut parameters = query.split('&').filter_map(|text| text.split_once('='));
    let Some((_, text)) = parameters.find(|(name, _)| *name == "seconds") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(seconds @ 1..=LONGEST) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(()),
    }
}

fn profile(profile: &Profile) -> Answer {
    let mut body = Vec::new();
    match pprof::write(profile, &mut body) {
        Ok(()) => Answer {
            status: "200 OK",
            kind: BYTES,
            body,
        },
        Err(_) => Answer::text(
            "500 Internal Server Error",
            "the profile could not be made\n",
        ),
    }
}

/// Calls by the calls around them: all, or those since.
fn calls(counts: &Counts, since: Option<&Counts>) -> Profile {
    let frame = |node: usize| {
        let function = &counts.functions[counts.nodes[node].function];
        Frame {
            function: function.name.to_string(),
            module: Some(function.path.to_string()).filter(|path| !path.is_empty()),
            ..Frame::default()
        }
    };
    let nodes = counts.nodes.iter().enumerate();
    let samples = nodes.filter_map(|(number, node)| {
        let before = since.and_then(|since| since.nodes.get(number));
        let calls = node.calls - before.map_or(0, |before| before.calls);
        let own = node
            .own
            .saturating_sub(before.map_or(Duration::ZERO, |before| before.own));
        if calls == 0 && own.is_zero() {
            return None;
        }
        let around = std::iter::successors(Some(number), |at| counts.nodes[*at].parent);
        let number = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
        Some(Sample {
            frames: around.map(frame).collect(),
            values: vec![number(calls.into()), number(own.as_nanos())],
            labels: Vec::new(),
        })
    });
    let begun = since.map_or_else(
        || counts.time.map(|(begun, _)| begun),
        |since| since.time.map(|(_, now)| now),
    );
    Profile {
        kinds: vec![
            ValueKind::new("calls", "count"),
            ValueKind::new("time", "nanoseconds"),
        ],
        samples: samples.collect(),
        time: begun,
        duration: counts
            .time
            .zip(begun)
            .map(|((_, now), begun)| now.since(begun)),
        ..Profile::default()
    }
}

/// Several processes' as one.
fn joined(all: &[&Profile]) -> Profile {
    let Some(first) = all.first() else {
        return Profile::default();
    };
    Profile {
        kinds: first.kinds.clone(),
        samples: all
            .iter()
            .flat_map(|profile| profile.samples.clone())
            .collect(),
        time: first.time,
        duration: all.iter().filter_map(|profile| profile.duration).max(),
        program: first.program.clone(),
        comments: first.comments.clone(),
    }
}
