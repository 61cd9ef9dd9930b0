//! Reports as bytes: to where the trace goes, and into files.

use super::options::{Contents, Format, Options};
use super::report::model::Report;
use super::report::{diff, exports, mtrace, suppress, text};
use crate::base::message;
use crate::export;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What goes where the trace goes.
pub(super) fn text(report: &Report, options: &Options) -> String {
    let mut text = match options.format {
        Format::Text => text::text(report, options.frames),
        Format::Json => json(report),
        Format::Mtrace => mtrace::mtrace(report),
    };
    if options.suppressions == Contents::Shown {
        text.push_str(&suppress::generate(report));
    }
    text
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
        export::html::write(&exports::page(report, None), &mut create(path)?)?;
    }
    Ok(())
}

/// Keeps a report for `--diff`, beside the file of `--save`: its name, a dot and a number. Without one it
/// is named after the program.
pub(super) fn snapshot(report: &Report, options: &Options, number: usize) -> io::Result<PathBuf> {
    let process = &report.process;
    let base = match &options.files.save {
        Some(path) => path.clone(),
        None => format!("leaks.{}.{}", process.name.replace('/', "_"), process.pid).into(),
    };
    let mut path = base.into_os_string();
    path.push(format!(".{number}"));
    let path = PathBuf::from(path);
    write(&path, json(report).as_bytes())?;
    Ok(path)
}

/// What changed between two saved reports: to be read, and as a page.
pub fn compare(
    old: &Path,
    new: &Path,
    top: usize,
    html: Option<&Path>,
) -> Result<String, CannotCompare> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|why| CannotCompare::File(name.clone(), why))?;
        Ok::<Report, CannotCompare>(diff::read(&name, &text)?)
    };
    let (before, after) = (read(old)?, read(new)?);
    if let Some(path) = html {
        let written = create(path).and_then(|mut file| {
            export::html::write(&exports::page(&after, Some(&before)), &mut file)?;
            file.flush()
        });
        written.map_err(|why| CannotCompare::File(path.display().to_string(), why))?;
    }
    Ok(diff::text(&before, &after, top))
}

/// Why two reports cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CannotCompare {
    /// A file cannot be read or written.
    #[error("{0}: {why}", why = message(.1))]
    File(String, io::Error),
    /// A file is no report.
    #[error(transparent)]
    Unreadable(#[from] diff::Unreadable),
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.flush()
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    let named = |why: io::Error| {
        io::Error::new(why.kind(), format!("{}: {}", path.display(), message(&why)))
    };
    File::create(path).map(BufWriter::new).map_err(named)
}
