//! What lines of a tracepoint begin with: made when its first line is, since it depends on nothing else.

use super::line::Line;
use super::{FUNCTION, Style};
use crate::base::printable::printable;
use crate::plan::{Kind, Tracepoint};
use crate::sink::demangle::Names;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The beginnings of all lines so far.
pub(super) struct Heads {
    names: Names,
    callers: bool,
    coloured: bool,
    known: FxHashMap<*const Tracepoint, Head>,
}

/// How lines of one tracepoint begin.
pub(super) struct Head {
    /// `MODULE->NAME(` or `NAME@MODULE(`.
    pub(super) call: Line,
    /// The name alone.
    pub(super) name: Arc<str>,
    /// Keeps the place in memory by which it is known.
    _point: Arc<Tracepoint>,
}

impl Heads {
    pub(super) fn new(style: &Style) -> Heads {
        Heads {
            names: Names::new(style.demangle),
            callers: style.callers,
            coloured: style.coloured,
            known: FxHashMap::default(),
        }
    }

    /// How lines of this tracepoint begin.
    pub(super) fn of(&mut self, point: &Arc<Tracepoint>) -> &Head {
        let Heads {
            names,
            callers,
            coloured,
            known,
        } = self;
        known.entry(Arc::as_ptr(point)).or_insert_with(|| {
            let name = names.of(&point.symbol);
            let mut call = Line::new(*coloured);
            add_call(&mut call, point, &name, *callers);
            Head {
                call,
                name,
                _point: point.clone(),
            }
        })
    }
}

fn add_call(line: &mut Line, point: &Tracepoint, name: &str, callers: bool) {
    let module = printable(&point.module.name);
    if callers && matches!(point.kind, Kind::Plt { .. }) {
        line.push(&module);
        line.push("->");
    }
    line.paint(FUNCTION, name);
    let at_definer = matches!(
        point.kind,
        Kind::Entry { .. } | Kind::Resolver { .. } | Kind::SystemCall
    );
    if at_definer && !point.module.is_main {
        line.push("@");
        line.push(&module);
    }
    line.push("(");
}
