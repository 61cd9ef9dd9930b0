//! `--replay`: a recorded trace, shown by the options of today.

use super::code::Code;
use super::{sieved, with_others};
use crate::config::{Config, Selection};
use crate::error::Error;
use crate::event::{Event, Kind, Request};
use crate::leak::tracker::Knowledge;
use crate::plan::{self, Tracepoint};
use crate::session::mode;
use crate::sink::Sink;
use crate::sink::recording::Reader;
use crate::sys::file;
use crate::sys::interrupt;
use std::io;
use std::path::Path;

/// Shows the recording of this file.
pub(super) fn replay(config: Config, path: &Path) -> Result<u8, Error> {
    let unreadable = |why| Error::recording(path, why);
    let file = file::open(path).map_err(unreadable)?;
    let own = file.metadata().map_err(unreadable)?;
    let mut outputs = config.also.iter().map(|(to, _)| to).chain([&config.output]);
    if outputs.any(|to| to.is(&own)) {
        let why = "an output of this run would take its place";
        return Err(unreadable(io::Error::other(why)));
    }
    let reader = Reader::new(file).map_err(unreadable)?;
    let code = Code::of_recording(&reader);
    let mode = mode(&config, code.clone())?;
    let open = |to: &crate::sink::output::Destination| {
        let opened = to.open(interrupt::is_unwanted);
        opened.map_err(|why| Error::output(to, why))
    };
    let out = open(&config.output)?;
    let also = config.also.iter().map(|(to, form)| Ok((*form, open(to)?)));
    let also = also.collect::<Result<Vec<_>, Error>>()?;
    let (callers, backtraces) = (reader.callers(), reader.backtraces());
    let wants_callers = !config.conditions.callers.is_empty();
    let sink = mode.sink(&config.output, out, Knowledge::All);
    let sink = with_others(also, config.frames, &code, sink);
    let mut sink = sieved(config.conditions, &code, sink);
    match show(reader, &config.selection, &mut *sink) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::output(&config.output, why))
        }
        _ if wants_callers && callers.is_empty() => {
            let why = "it does not tell whose code calls, which --caller needs";
            Err(Error::recording(path, io::Error::other(why)))
        }
        _ if config.frames > 0 && backtraces.is_empty() => {
            let why = "it does not tell what led to calls, as one does that -w recorded";
            Err(Error::recording(path, io::Error::other(why)))
        }
        _ => Ok(0),
    }
}

fn show(
    events: impl Iterator<Item = Event>,
    selection: &Selection,
    sink: &mut dyn Sink,
) -> io::Result<()> {
    sink.begin();
    for event in events.filter(|event| is_meant(event, selection)) {
        sink.event(&event)?;
        if sink.request() == Some(Request::End) {
            break;
        }
    }
    sink.finish()
}

/// Calls are those that the filters mean; without any, all that was recorded.
fn is_meant(event: &Event, selection: &Selection) -> bool {
    let (Kind::Call { point, .. }
    | Kind::Return { point, .. }
    | Kind::ReturnedAgain { point, .. }
    | Kind::NoReturn { point, .. }) = &event.kind
    else {
        return true;
    };
    let named = !selection.is_default || !selection.entries.is_empty();
    !named && selection.system_calls.is_none() || names(selection, point)
}

fn names(selection: &Selection, point: &Tracepoint) -> bool {
    let filters = match point.kind {
        plan::Kind::Plt { .. } => &selection.imports,
        plan::Kind::SystemCall => match &selection.system_calls {
            Some(filters) if filters.is_empty() => return true,
            Some(filters) => filters,
            None => return false,
        },
        _ => &selection.entries,
    };
    filters
        .iter()
        .any(|filter| filter.matches(&point.symbol, &point.module))
}
