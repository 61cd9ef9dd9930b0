//! Counts in Prometheus' text format. Source: prometheus.io/docs/instrumenting/exposition_formats.

use crate::base::Pid;
use crate::export::{Frame, Profile};
use crate::sink::counts::{CLASSES, Counts};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Live heap is told of so many sites, the largest.
const SITES: usize = 100;

/// The page of metrics. Writing to a text does not fail.
pub(super) fn text(counts: &Counts, heaps: &[(Pid, Arc<Profile>)]) -> String {
    let mut out = String::new();
    family(
        &mut out,
        "ltrace_processes",
        "gauge",
        "Processes that are traced.",
    );
    let _ = writeln!(out, "ltrace_processes {}", counts.processes);
    family(
        &mut out,
        "ltrace_lost_total",
        "counter",
        "Calls and returns that could not be kept.",
    );
    let _ = writeln!(out, "ltrace_lost_total {}", counts.lost);
    let labels: Vec<String> = counts
        .functions
        .iter()
        .map(|f| {
            format!(
                "function=\"{}\",module=\"{}\"",
                escaped(&f.name),
                escaped(&f.module)
            )
        })
        .collect();
    let functions = || labels.iter().zip(&counts.functions);
    family(
        &mut out,
        "ltrace_calls_total",
        "counter",
        "Calls that have ended.",
    );
    for (labels, function) in functions() {
        let _ = writeln!(out, "ltrace_calls_total{{{labels}}} {}", function.calls);
    }
    family(
        &mut out,
        "ltrace_errors_total",
        "counter",
        "Calls that failed.",
    );
    for (labels, function) in functions() {
        let _ = writeln!(out, "ltrace_errors_total{{{labels}}} {}", function.errors);
    }
    let name = "ltrace_call_duration_seconds";
    family(
        &mut out,
        name,
        "histogram",
        "How long calls took, those within them included.",
    );
    for (labels, function) in functions() {
        let mut below = 0;
        for (end, count) in CLASSES.iter().zip(&function.times) {
            below += count;
            let end = *end as f64 / 1e9;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{end}\"}} {below}");
        }
        let _ = writeln!(
            out,
            "{name}_bucket{{{labels},le=\"+Inf\"}} {}",
            function.calls
        );
        let _ = writeln!(
            out,
            "{name}_sum{{{labels}}} {}",
            function.time.as_secs_f64()
        );
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", function.calls);
    }
    if !heaps.is_empty() {
        heap(&mut out, heaps);
    }
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Live blocks and bytes by the function that asked for them.
fn heap(out: &mut String, heaps: &[(Pid, Arc<Profile>)]) {
    let mut sites: BTreeMap<(i32, String), [i64; 2]> = BTreeMap::new();
    for (pid, profile) in heaps {
        let kind = |name: &str| profile.kinds.iter().position(|kind| kind.name == name);
        let (Some(blocks), Some(bytes)) = (kind("inuse_objects"), kind("inuse_space")) else {
            continue;
        };
        for sample in &profile.samples {
            let site = site(&sample.frames);
            let sum = sites.entry((pid.0, site)).or_default();
            for (sum, kind) in sum.iter_mut().zip([blocks, bytes]) {
                *sum += sample.values.get(kind).copied().unwrap_or(0);
            }
        }
    }
    let mut sites: Vec<_> = sites.into_iter().collect();
    sites.sort_by_key(|(_, [_, bytes])| std::cmp::Reverse(*bytes));
    sites.truncate(SITES);
    let gauges = [
        (
            "ltrace_heap_live_blocks",
            "Live blocks, of the sites with the most bytes.",
        ),
        (
            "ltrace_heap_live_bytes",
            "Live bytes, of the sites with the most of them.",
        ),
    ];
    for (index, (name, help)) in gauges.into_iter().enumerate() {
        family(out, name, "gauge", help);
        for ((pid, site), amounts) in &sites {
            let _ = writeln!(
                out,
                "{name}{{pid=\"{pid}\",site=\"{}\"}} {}",
                escaped(site),
                amounts[index]
            );
        }
    }
}

/// The innermost calls, which say where it is.
fn site(frames: &[Frame]) -> String {
    let names = frames.iter().filter(|frame| !frame.function.is_empty());
    let names: Vec<_> = names
        .take(3)
        .map(|frame| frame.name().into_owned())
        .collect();
    names.join(" < ")
}

/// A label's value; what a terminal would obey is not in it either.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace(char::is_control, "?")
}
