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
    heads: Vec<Head>,
    /// Which of them is a tracepoint's.
    known: FxHashMap<*const Tracepoint, usize>,
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
            heads: Vec::new(),
            known: FxHashMap::default(),
        }
    }

    /// How lines of this tracepoint begin.
    pub(super) fn of(&mut self, point: &Arc<Tracepoint>) -> &Head {
        let index = match self.known.get(&Arc::as_ptr(point)) {
            Some(index) => *index,
            None => self.add(point),
        };
        &self.heads[index]
    }

    fn add(&mut self, point: &Arc<Tracepoint>) -> usize {
        let name = self.names.of(&point.symbol);
        let mut call = Line::new(self.coloured);
        add_call(&mut call, point, &name, self.callers);
        self.heads.push(Head {
            call,
            name,
            _point: point.clone(),
        });
        let index = self.heads.len() - 1;
        self.known.insert(Arc::as_ptr(point), index);
        index
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
