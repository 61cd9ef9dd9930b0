//! Reports as bytes: to where the trace goes, and into files.

use crate::base::Pid;
use crate::base::message;
use crate::export;
use crate::leak::options::{Comparison, Contents, Files, Format, Options};
use crate::leak::report::model::Report;
use crate::leak::report::{diff, exports, mtrace, suppress, text};
use crate::sink::output::Unwritable;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What goes where the trace goes.
pub(super) fn text(report: &Report, options: &Options) -> String {
    let mut text = match options.format {
        Format::Text => text::text(report, options.frames, options.width),
        Format::Json => {
            let mut text = Vec::new();
            // Nothing that a report is made of cannot be written there.
            let _ = json(report, &mut text);
            String::from_utf8(text).unwrap_or_default()
        }
        Format::Mtrace => mtrace::mtrace(report),
    };
    if options.suppressions == Contents::Shown {
        text.push_str(&suppress::generate(report));
    }
    text
}

/// One document on one line. It is not held as a whole: of a hundred thousand sites it has some hundred MB.
fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    out.write_all(b"\n")
}

/// The files that were asked for; for any process but the first one with its id behind their names.
pub(super) fn files(report: &Report, options: &Options, other: Option<Pid>) -> io::Result<()> {
    let files = &options.files;
    for path in [&files.json, &files.save].into_iter().flatten() {
        write(&of(path, other), |out| json(report, out))?;
    }
    if let Some(path) = &files.folded {
        write(&of(path, other), |out| {
            export::folded::write(&exports::profile(report), out)
        })?;
    }
    if let Some(path) = &files.pprof {
        write(&of(path, other), |out| {
            export::pprof::write(&exports::profile(report), out)
        })?;
    }
    if let Some(path) = &files.html {
        write(&of(path, other), |out| {
            export::html::write(&exports::page(report, None), out)
        })?;
    }
    Ok(())
}

/// A pipe or a device is one for all.
fn of(path: &Path, other: Option<Pid>) -> PathBuf {
    let is_special = std::fs::metadata(path).is_ok_and(|known| !known.is_file());
    match other.filter(|_| !is_special) {
        Some(pid) => {
            let mut path = path.as_os_str().to_owned();
            path.push(format!(".{pid}"));
            path.into()
        }
        None => path.to_owned(),
    }
}

/// Makes sure that all of them can be written, before anything is traced for them.
pub fn try_files(files: &Files) -> Result<(), Unwritable> {
    let Files {
        json,
        folded,
        pprof,
        html,
        save,
    } = files;
    for path in [json, folded, pprof, html, save].into_iter().flatten() {
        try_file(path).map_err(|why| Unwritable {
            path: path.clone(),
            why,
        })?;
    }
    Ok(())
}

/// What it holds stays, and what was not there is not there afterwards.
fn try_file(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        // Opening a pipe waits for its reader.
        Ok(known) if !known.is_file() && !known.is_dir() => Ok(()),
        known => {
            File::options().append(true).create(true).open(path)?;
            match known {
                Ok(_) => Ok(()),
                Err(_) => std::fs::remove_file(path),
            }
        }
    }
}

/// Keeps a report for `--diff`, beside the file of `--save`: its name, a dot and a number. Without one it
/// is named after the program.
pub(super) fn snapshot(
    report: &Report,
    options: &Options,
    number: usize,
) -> Result<PathBuf, Unwritable> {
    let process = &report.process;
    let base = match &options.files.save {
        Some(path) => path.clone(),
        None => format!("leaks.{}.{}", process.name.replace('/', "_"), process.pid).into(),
    };
    let mut path = base.into_os_string();
    path.push(format!(".{number}"));
    let path = PathBuf::from(path);
    write(&path, |out| json(report, out))?;
    Ok(path)
}

/// What changed between two saved reports: to be read, and as a page.
pub fn compare(comparison: &Comparison) -> Result<String, CannotCompare> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|why| CannotCompare::File(name.clone(), why))?;
        Ok::<Report, CannotCompare>(diff::read(&name, &text)?)
    };
    let (before, after) = (read(&comparison.old)?, read(&comparison.new)?);
    if let Some(path) = &comparison.html {
        write(path, |out| {
            export::html::write(&exports::page(&after, Some(&before)), out)
        })?;
    }
    Ok(diff::text(&before, &after, comparison.top))
}

/// Why two reports cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CannotCompare {
    /// A file cannot be read.
    #[error("{0}: {why}", why = message(.1))]
    File(String, io::Error),
    /// The page cannot be written.
    #[error(transparent)]
    Page(#[from] Unwritable),
    /// A file is no report.
    #[error(transparent)]
    Unreadable(#[from] diff::Unreadable),
}

/// Writes all of a file.
fn write(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Unwritable> {
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::new(file);
        content(&mut out)?;
        out.flush()
    });
    written.map_err(|why| Unwritable {
        path: path.to_owned(),
        why,
    })
}
