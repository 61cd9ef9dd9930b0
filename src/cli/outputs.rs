//! What becomes of a trace: where it goes, in which forms.

use super::args::Args;
use super::values::destination;
use crate::config::{Form, Report};
use crate::sink::output::Destination;
use crate::sink::text::Style;
use std::ffi::OsString;

/// The outputs of one trace.
pub(super) struct Outputs {
    pub(super) output: Destination,
    pub(super) report: Report,
    pub(super) also: Vec<(Destination, Form)>,
}

impl Args {
    /// What is made of calls without `--leaks`. A file that is named for programs is the only output unless another one
    /// is asked for.
    pub(super) fn outputs(&self, output: Destination, style: Style) -> Result<Outputs, String> {
        let named = [(&self.json, Form::Json), (&self.chrome, Form::Chrome)];
        let named = named
            .into_iter()
            .filter_map(|(file, form)| Some((file.as_ref()?, form)));
        let mut also = named.map(file).collect::<Result<Vec<_>, _>>()?;
        let form = match self.format.as_deref() {
            None | Some("text") => None,
            Some("json") => Some(Form::Json),
            Some("chrome") => Some(Form::Chrome),
            Some(other) => {
                return Err(format!(
                    "ltrace: --format: `{other}' is none of text, json and chrome"
                ));
            }
        };
        let counted = match self.summary {
            true => 2,
            false => self.count,
        };
        if counted > 0 && form.is_some() {
            return Err("ltrace: Options -c and --format can't be used together".to_owned());
        }
        let report = match (form, counted) {
            (Some(form), _) => Report::Machine(form),
            (None, 1) => Report::Summary {
                demangle: self.demangle,
            },
            (None, _) => Report::Lines {
                style,
                counted: counted > 1,
            },
        };
        let asked = self.output.is_some() || self.format.is_some() || counted > 0;
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
            report: Report::Machine(form),
            also,
        })
    }
}

fn file((name, form): (&OsString, Form)) -> Result<(Destination, Form), String> {
    Ok((destination(Some(name))?, form))
}
