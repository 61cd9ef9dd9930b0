//! Resources other than heap blocks that are open: descriptors, streams, handles, mappings.

use crate::leak::heap::is_heap;
use crate::leak::kinds::Action;
use crate::leak::report::build::Subject;
use crate::leak::report::model::{PairEntry, Refusal, Verdict, key};
use crate::leak::report::survey::{Group, Survey};
use crate::leak::site::{Site, SiteId};
use crate::leak::symbols::Names;
use std::collections::{BTreeMap, HashMap, HashSet};

/// An entry for each stack with something open, most first. Stacks that read the same are one, as two
/// calls in one line are, and so are their counts.
pub(super) fn pairs(subject: &Subject, survey: &Survey, names: &mut dyn Names) -> Vec<PairEntry> {
    let mut entries: BTreeMap<String, PairEntry> = BTreeMap::new();
    let mut open: HashMap<SiteId, u64> = HashMap::new();
    for ((kind, id, verdict), group) in &survey.groups {
        let kinds = subject.tracker.kinds();
        let (Some(kind), Some(site)) = (kinds.kind(*kind), subject.tracker.sites.get(*id)) else {
            continue;
        };
        if is_heap(kind) {
            continue;
        }
        let stack = names.stack(site.origin);
        if subject.suppressions.cover(&stack, Verdict::Unchecked) {
            continue;
        }
        let new = || PairEntry {
            title: site.title.to_string(),
            kind: match kind.has_descriptors() {
                true => "fd".to_owned(),
                false => kind.label.clone(),
            },
            verdict: *verdict,
            ..PairEntry::default()
        };
        let entry = entries.entry(key(&site.title, &stack)).or_insert_with(new);
        entry.stack = stack;
        *open.entry(*id).or_default() += group.live.blocks;
        add_open(entry, *verdict, group);
    }
    let titles: HashSet<String> = entries.values().map(|entry| entry.title.clone()).collect();
    for (id, site) in subject.tracker.sites.iter() {
        let is_other = |kind| !is_heap(kind) && titles.contains(&*site.title);
        if subject
            .tracker
            .kinds()
            .kind(site.kind)
            .is_some_and(is_other)
        {
            let key = key(&site.title, &names.stack(site.origin));
            if let Some(entry) = entries.get_mut(&key) {
                let open = open.get(&id).copied().unwrap_or(0);
                add_counts(subject, entry, site, closed(survey, id, site, open));
            }
        }
    }
    let mut entries: Vec<PairEntry> = entries.into_values().collect();
    for entry in &mut entries {
        entry.values.sort_unstable();
        if entry.kind == "fd" {
            entry.known = paths(subject, &entry.values);
        }
        entry.refused.sort_by(|a, b| {
            let by_function = || a.function.cmp(&b.function);
            b.count.cmp(&a.count).then_with(by_function)
        });
    }
    entries.sort_by(|a, b| b.open.cmp(&a.open).then_with(|| a.title.cmp(&b.title)));
    entries
}

/// What is open.
fn add_open(entry: &mut PairEntry, verdict: Verdict, group: &Group) {
    entry.open += group.live.blocks;
    entry.bytes += group.live.bytes;
    entry.values.extend(&group.samples);
    entry.verdict = entry.verdict.min(verdict);
}

/// What a site did in all.
fn add_counts(subject: &Subject, entry: &mut PairEntry, site: &Site, closed: u64) {
    entry.opened += site.allocated.blocks;
    entry.closed += closed;
    entry.grown += site.live().blocks as i64 - site.marked.blocks as i64;
    for ((function, result), count) in &site.refused {
        let is_same =
            |known: &&mut Refusal| known.function == **function && known.result == *result;
        match entry.refused.iter_mut().find(is_same) {
            Some(known) => known.count += count,
            None => entry.refused.push(Refusal {
                function: function.to_string(),
                result: *result,
                name: reason(subject, function, *result),
                count: *count,
            }),
        }
    }
}

/// How many of those that a site opened are not open any more. Of ranges that are cut more pieces may be
/// given back than were taken.
fn closed(survey: &Survey, id: SiteId, site: &Site, open: u64) -> u64 {
    let unseen = survey.closed_unseen.get(&id).copied().unwrap_or(0);
    let live = site.live().blocks.saturating_sub(unseen);
    site.allocated.blocks.saturating_sub(live.max(open))
}

/// What the pair says that a result means.
fn reason(subject: &Subject, function: &str, result: i64) -> Option<String> {
    let roles = subject.tracker.kinds().roles(function);
    let releases = roles.iter().filter(|role| role.action == Action::Release);
    let mut reasons = releases.flat_map(|role| &role.function.reasons);
    reasons
        .find(|(number, _)| *number == result)
        .map(|(_, name)| name.clone())
}

/// What the first of the descriptors stand for.
fn paths(subject: &Subject, descriptors: &[u64]) -> Vec<String> {
    let Some(known) = &subject.descriptors else {
        return Vec::new();
    };
    let mut paths: Vec<String> = Vec::new();
    for descriptor in descriptors.iter().filter_map(|number| known.get(number)) {
        if !paths.contains(&descriptor.path) {
            paths.push(descriptor.path.clone());
        }
        if paths.len() == PATHS {
            break;
        }
    }
    paths
}

/// A reader needs no more paths.
const PATHS: usize = 3;
