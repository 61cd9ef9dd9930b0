//! The texts of a report that was read from a file, which may hold anything.

use crate::base::printable::printable;
use crate::leak::report::model::{Entry, Line, Report};
use std::borrow::Cow;
use std::sync::Arc;

/// Makes all that is shown of a report printable, as it is in a report of our own.
pub(super) fn clean(report: &mut Report) {
    let process = &mut report.process;
    text(&mut process.name);
    texts(process.allocator.iter_mut().chain(&mut process.ended));
    texts(&mut report.watched);
    texts(
        report
            .check
            .iter_mut()
            .flat_map(|check| &mut check.not_forked),
    );
    texts(report.per.iter_mut().map(|per| &mut per.function));
    report
        .sites
        .iter_mut()
        .chain(&mut report.others)
        .for_each(entry);
    report
        .blocks
        .iter_mut()
        .for_each(|block| stack(&mut block.stack));
    for pair in &mut report.pairs {
        texts([&mut pair.title, &mut pair.kind]);
        texts(&mut pair.known);
        for refusal in &mut pair.refused {
            text(&mut refusal.function);
            texts(&mut refusal.name);
        }
        stack(&mut pair.stack);
    }
    for misuse in &mut report.misuses {
        texts([&mut misuse.what, &mut misuse.function]);
        stack(&mut misuse.stack);
        stack(&mut misuse.acquired);
        stack(&mut misuse.released);
    }
    texts(&mut report.series);
}

fn entry(entry: &mut Entry) {
    text(&mut entry.title);
    texts(entry.cycle.iter_mut().map(|step| &mut step.what));
    stack(&mut entry.stack);
    if let Some(after) = &mut entry.after {
        text(&mut after.call);
        texts(&mut after.function);
    }
    texts(entry.holds.iter_mut().map(|holds| &mut holds.what));
    texts(entry.held_by.iter_mut().chain(&mut entry.contents));
}

fn stack(lines: &mut [Arc<Line>]) {
    for line in lines.iter_mut().map(Arc::make_mut) {
        texts([&mut line.function, &mut line.module]);
        texts(&mut line.file);
    }
}

fn texts<'t>(all: impl IntoIterator<Item = &'t mut String>) {
    all.into_iter().for_each(text);
}

fn text(text: &mut String) {
    if let Cow::Owned(shown) = printable(text) {
        *text = shown;
    }
}
