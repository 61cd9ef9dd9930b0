//! Reports as bytes: to where the trace goes, and into files.

use super::options::{Format, Options};
use super::report::model::Report;
use super::report::{exports, text};
use crate::export;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// What goes where the trace goes.
pub(super) fn text(report: &Report, options: &Options) -> String {
    match options.format {
        Format::Text => text::text(report, options.frames),
        Format::Json => json(report),
        Format::Mtrace => text::text(report, options.frames),
    }
}

/// One document on one line.
fn json(report: &Report) -> String {
    // A report is made of strings and numbers: there is nothing that cannot be written.
    let mut text = serde_json::to_string(report).unwrap_or_default();
    text.push('\n');
    text
}

/// The files that were asked for.
pub(super) fn files(report: &Report, options: &Options) -> io::Result<()> {
    let files = &options.files;
    for path in [&files.json, &files.save].into_iter().flatten() {
        write(path, json(report).as_bytes())?;
    }
    if let Some(path) = &files.folded {
        export::folded::write(&exports::profile(report), &mut create(path)?)?;
    }
    if let Some(path) = &files.pprof {
        export::pprof::write(&exports::profile(report), &mut create(path)?)?;
    }
    if let Some(path) = &files.html {
        export::html::write(&exports::page(report), &mut create(path)?)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.flush()
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new)
}
