//! What becomes of a trace: where it goes, in which forms.

use super::args::Args;
use super::leaks::words::{choose, time};
use super::values::{destination, each, number};
use crate::base::names::Spelling;
use crate::config::{Form, Report};
use crate::plan::filter::Filter;
use crate::sink::output::Destination;
use crate::sink::sieve::{Conditions, Outcome, Until, condition};
use crate::sink::summary::{Column, Table};
use crate::sink::text::Style;
use std::ffi::OsString;

/// The outputs of one trace.
pub(super) struct Outputs {
    pub(super) output: Destination,
    pub(super) report: Report,
    pub(super) also: Vec<(Destination, Form)>,
}

impl Args {
    /// How names are written (`-C`).
    pub(super) fn written(&self) -> Spelling {
        match self.demangle {
            0 => Spelling::AsTheyAre,
            1 => Spelling::Short,
            _ => Spelling::Whole,
        }
    }

    /// The outputs whose options name their form and their file.
    fn named_outputs(&self) -> Result<Vec<(Destination, Form)>, String> {
        let named = [
            (&self.json, Form::Json),
            (&self.chrome, Form::Chrome),
            (&self.html, Form::Page),
            (&self.record, Form::Recording),
        ];
        let given = named
            .into_iter()
            .filter_map(|(file, form)| Some((file.as_ref()?, form)));
        given.map(file).collect()
    }

    /// The form of the main output (`--format`, `--tree`). `None`: lines of text.
    fn form(&self) -> Result<Option<Form>, String> {
        let tree = Form::Tree {
            demangle: self.written(),
        };
        Ok(match self.format.as_deref() {
            None if self.tree => Some(tree),
            None | Some("text") => None,
            Some("json") => Some(Form::Json),
            Some("chrome") => Some(Form::Chrome),
            Some("tree") => Some(tree),
            Some(other) => {
                return Err(format!(
                    "ltrace: --format: `{other}' is none of text, tree, json and chrome"
                ));
            }
        })
    }

    /// What is made of calls without `--leaks`. A file that is named for programs is the only output unless another one
    /// is asked for.
    pub(super) fn outputs(&self, output: Destination, style: Style) -> Result<Outputs, String> {
        let mut also = self.named_outputs()?;
        let form = self.form()?;
        let table = self.table(self.summary || self.count > 0)?;
        let counted = match self.summary {
            true => 2,
            false => self.count,
        };
        if counted > 0 && form.is_some() {
            return Err(
                "ltrace: Options -c and --format or --tree can't be used together".to_owned(),
            );
        }
        let report = match (form, counted) {
            (Some(form), _) => Report::Other(form),
            (None, 1) => Report::Summary {
                demangle: self.written(),
                table,
            },
            (None, _) => Report::Lines {
                style,
                counted: (counted > 1).then_some(table),
            },
        };
        let asked_for = self.output.is_some() || self.format.is_some() || counted > 0;
        if self.serve.is_some() && form.is_none() && also.is_empty() && !asked_for {
            return Ok(Outputs {
                output,
                report: Report::Nothing,
                also,
            });
        }
        let asked = self.output.is_some() || form.is_some() || self.format.is_some() || counted > 0;
        if asked || also.is_empty() {
            return Ok(Outputs {
                output,
                report,
                also,
            });
        }
        let (output, form) = also.remove(0);
        Ok(Outputs {
            output,
            report: Report::Other(form),
            also,
        })
    }
}

impl Args {
    /// Which calls are shown.
    pub(super) fn conditions(&self) -> Result<Conditions, String> {
        let conditions = Conditions {
            min_time: time("min-time", self.min_time.as_deref())?,
            outcome: match (self.successful, self.failed) {
                (true, _) => Some(Outcome::Success),
                (_, true) => Some(Outcome::Failure),
                _ => None,
            },
            depth: number("--depth", self.depth.as_deref(), 1..=usize::MAX)?,
            callers: each("--caller", &self.callers, Filter::parse)?,
            values: each("--arg", &self.values, condition::parse)?,
            paths: self.paths.clone(),
            triggers: each("--trigger", &self.triggers, Filter::parse)?,
            stops: each("--stop", &self.stops, Filter::parse)?,
            until: self.until.as_deref().map(until).transpose()?,
        };
        match conditions.are_any() && self.leaks.leaks {
            true => Err(
                "ltrace: --leaks knows other conditions than traces do: --min-size, --older, --site"
                    .to_owned(),
            ),
            false => Ok(conditions),
        }
    }
}

impl Args {
    /// How the table of `-c` looks.
    fn table(&self, is_wanted: bool) -> Result<Table, String> {
        if !is_wanted && (self.columns.is_some() || self.sort.is_some()) {
            return Err(
                "ltrace: --summary-columns and --sort need -c; --sort, or --leaks".to_owned(),
            );
        }
        let columns = self.columns.as_deref().map(|list| {
            let one = |word: &str| choose("summary-columns", word, &Column::ALL);
            list.split(',').map(one).collect::<Result<Vec<_>, _>>()
        });
        let sort = self
            .sort
            .as_deref()
            .map(|word| choose("sort", word, &Column::ALL));
        Ok(Table {
            columns: columns.transpose()?.unwrap_or_default(),
            sort: sort.transpose()?,
        })
    }
}

/// A number of calls, or a time with its unit.
fn until(text: &str) -> Result<Until, String> {
    match text.parse() {
        Ok(0) => Err("ltrace: --until: say how many calls, at least one, or a time".to_owned()),
        Ok(calls) => Ok(Until::Calls(calls)),
        Err(_) => Ok(Until::Time(time("until", Some(text))?.unwrap_or_default())),
    }
}

fn file((name, form): (&OsString, Form)) -> Result<(Destination, Form), String> {
    Ok((destination(Some(name))?, form))
}
