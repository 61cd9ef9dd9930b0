//! Releases that ought not to be, in words and with both stacks.

use crate::leak::misuse::{Misuse, Wrong};
use crate::leak::report::build::Subject;
use crate::leak::report::model::{Line, MisuseEntry, Verdict};
use crate::leak::site::SiteId;
use crate::leak::symbols::Names;
use crate::stack::names::spoken;
use std::sync::Arc;

/// All of them, in the order in which they were first seen.
pub(super) fn misuses(subject: &Subject, names: &mut dyn Names) -> Vec<MisuseEntry> {
    let told = subject
        .tracker
        .misuses
        .iter()
        .map(|misuse| entry(subject, misuse, names));
    let told: Vec<MisuseEntry> = told.collect();
    let is_wanted = |entry: &MisuseEntry| {
        !subject.suppressions.cover(&entry.stack, Verdict::Unchecked)
            && !is_thread_end(&entry.stack)
    };
    told.into_iter().filter(is_wanted).collect()
}

/// glibc frees a thread's cached blocks, which the program had freed, by free itself.
fn is_thread_end(stack: &[Arc<Line>]) -> bool {
    let ends = ["tcache_thread_shutdown", "__malloc_arena_thread_freeres"];
    stack
        .iter()
        .any(|line| ends.contains(&line.function.as_str()))
}

fn entry(subject: &Subject, misuse: &Misuse, names: &mut dyn Names) -> MisuseEntry {
    let mut acquired = |site: SiteId| -> (String, Vec<Arc<Line>>) {
        let site = subject.tracker.sites.get(site);
        let title = site.map(|site| site.title.split(" -> ").next().unwrap_or("").to_owned());
        let stack = site.map(|site| names.stack(site.origin));
        (title.unwrap_or_default(), stack.unwrap_or_default())
    };
    let mut entry = MisuseEntry {
        function: spoken(&misuse.symbol),
        value: misuse.key,
        thread: misuse.thread.0,
        count: misuse.count,
        ..MisuseEntry::default()
    };
    match misuse.wrong {
        Wrong::Double { site, earlier } => {
            entry.what = "released twice".to_owned();
            entry.acquired = acquired(site).1;
            entry.released = names.stack(earlier);
        }
        Wrong::Inside { site, offset } => {
            entry.what = format!("released {offset} bytes inside of a block");
            entry.acquired = acquired(site).1;
        }
        Wrong::Never => entry.what = "released what was never handed out".to_owned(),
        Wrong::Mismatch { site } => {
            let (title, stack) = acquired(site);
            entry.what = format!("released what {title} handed out");
            entry.acquired = stack;
        }
    }
    entry.stack = names.stack(misuse.origin);
    entry
}
