//! Names for the code and the data of a process, when they are asked for. Debug information is read for that, which
//! may take long: no thread does it that others wait for.

use crate::base::addr::{Addr, Vaddr};
use crate::base::printable::printable;
use crate::leak::book::Loaded;
use crate::leak::line::{self, Line};
use crate::leak::made::MadeCode;
use crate::leak::site;
use crate::leak::worker::Work;
use crate::stack::names::abbreviate;
use crate::stack::origin::{self, by_script, origin};
use crate::stack::{DataNames, Frame, FrameKind, Location, ModuleId, Stacks, Symbolizer};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// What a report asks for names.
pub trait Names {
    /// The calls of a stack, innermost first.
    fn stack(&mut self, origin: site::Origin) -> Vec<Arc<Line>>;

    /// `served (server .bss)`: what data there is at this address.
    fn data(&mut self, at: Addr) -> Option<String>;

    /// The class whose objects begin with this address.
    fn class(&mut self, at: Addr) -> Option<String>;

    /// How many calls were merged with others by their innermost frames.
    fn merged(&self) -> u64;
}

/// Debug information, as far as it was read.
pub struct Namer {
    symbolizer: Symbolizer,
    data: DataNames,
}

/// Modules and stacks of a process, as they were when they were asked for.
pub struct Unnamed {
    pub(super) stacks: Stacks,
    pub(super) loaded: Vec<Loaded>,
    /// Names of code that it makes at run time, and of code that its parents made before they forked.
    pub(super) made: MadeCode,
    /// Modules that run scripts.
    pub(super) interpreters: FxHashSet<ModuleId>,
    /// Functions of allocators, by their first instructions.
    pub(super) allocators: FxHashSet<Frame>,
    /// Calls whose stacks were shortened because there are too many.
    pub(super) merged: u64,
}

/// The names of them.
pub struct Named<'a> {
    unnamed: &'a Unnamed,
    namer: &'a mut Namer,
    work: &'a Work,
    /// The lines of each frame, among scripts and elsewhere: many stacks have it.
    known: FxHashMap<(Frame, bool), Arc<[Arc<Line>]>>,
}

impl Namer {
    /// Names code in this way.
    pub fn new(symbolizer: Symbolizer) -> Namer {
        Namer {
            symbolizer,
            data: DataNames::default(),
        }
    }

    /// The names of what was seen in a process, as far as the work is not in haste: what is not read by then has none.
    pub fn names<'a>(&'a mut self, unnamed: &'a Unnamed, work: &'a Work) -> Named<'a> {
        unnamed.made.refresh();
        Named {
            unnamed,
            namer: self,
            work,
            known: FxHashMap::default(),
        }
    }
}

impl Unnamed {
    fn find(&self, at: Addr) -> Option<&Loaded> {
        let mut loaded = self.loaded.iter();
        loaded.find(|loaded| loaded.range.contains(&at.0))
    }

    fn frames(&self, origin: site::Origin) -> Vec<Frame> {
        match origin {
            site::Origin::Stack(id) => self.stacks.frames(id).copied().collect(),
            site::Origin::Caller(at) => vec![self.caller(at)],
        }
    }

    /// The stack of one call, of which only the return address is known.
    fn caller(&self, at: Addr) -> Frame {
        let kind = FrameKind::Return;
        match self.find(at) {
            Some(loaded) => Frame {
                module: Some(loaded.id),
                vaddr: loaded.bias.vaddr(at),
                kind,
            },
            None => Frame {
                module: None,
                vaddr: loaded_nowhere(at),
                kind,
            },
        }
    }

    /// The call of a function that was made at run time, as far as the process tells of those.
    fn made(&self, frame: &Frame) -> Option<Line> {
        let at = frame.lookup();
        let (function, offset) = self.made.find(Addr(at.0))?;
        Some(Line {
            function: shown(&function),
            vaddr: at.0,
            offset: Some(offset + (frame.vaddr.0 - at.0)),
            module: MADE.to_owned(),
            ..Line::default()
        })
    }

    /// Whether a frame is the interpreter's, among scripts.
    fn is_machinery(&self, frame: &Frame) -> bool {
        let Some(id) = frame.module else { return false };
        self.interpreters.contains(&id)
            || self.stacks.module(id).is_some_and(|module| {
                // Where its own modules in C are, and what one of them calls C by.
                module.path.contains("/lib-dynload/") || module.name.starts_with("libffi.so")
            })
    }
}

impl Named<'_> {
    /// Finds the names of stacks, so that they are there when they are asked for, and tells how far it is.
    pub fn prepare(&mut self, origins: &[site::Origin]) {
        self.work.begin(origins.len() as u64);
        for origin in origins {
            for frame in &self.unnamed.frames(*origin) {
                self.resolve(frame);
            }
            self.work.advance(1);
        }
    }

    fn resolve(&mut self, frame: &Frame) -> Arc<[Location]> {
        let symbolizer = &mut self.namer.symbolizer;
        symbolizer.hurry(self.work.is_in_haste());
        symbolizer.resolve(&self.unnamed.stacks, frame)
    }

    /// What a frame is called, with the functions that were inlined there; among scripts or not.
    fn lines(&mut self, frame: &Frame, runs_scripts: bool) -> Arc<[Arc<Line>]> {
        if let Some(known) = self.known.get(&(*frame, runs_scripts)) {
            return known.clone();
        }
        let mut lines = self.named(frame);
        if self.unnamed.allocators.contains(frame) {
            lines
                .iter_mut()
                .for_each(|line| line.origin = line::Origin::Allocator);
        }
        if runs_scripts && self.unnamed.is_machinery(frame) {
            lines.iter_mut().for_each(as_standard);
        }
        let lines: Arc<[Arc<Line>]> = lines.into_iter().map(Arc::new).collect();
        self.known.insert((*frame, runs_scripts), lines.clone());
        lines
    }

    fn named(&mut self, frame: &Frame) -> Vec<Line> {
        let unnamed = self.unnamed;
        if frame.kind == FrameKind::Cut {
            return vec![Line::cut()];
        }
        if let Some(script) = unnamed.stacks.script(frame) {
            return vec![Line {
                function: shown(&script.function),
                file: Some(shown(&script.file)),
                line: script.line,
                origin: whose(by_script(&script.file)),
                ..Line::default()
            }];
        }
        if frame.module.is_none()
            && let Some(line) = unnamed.made(frame)
        {
            return vec![line];
        }
        let module = frame.module.and_then(|id| unnamed.stacks.module(id));
        let module = module.map_or("[unknown]".to_owned(), |module| shown(&module.name));
        let vaddr = frame.lookup().0;
        let locations = self.resolve(frame);
        if locations.is_empty() {
            return vec![Line {
                function: format!("{vaddr:#x}"),
                vaddr,
                origin: whose(origin(&module, None)),
                module,
                ..Line::default()
            }];
        }
        let line = |location: &Location| Line {
            function: shown(&abbreviate(&location.function, location.language)),
            file: location.file.as_deref().map(shown),
            line: location.line,
            vaddr,
            offset: location
                .offset
                .map(|offset| offset + (frame.vaddr.0 - vaddr)),
            origin: whose(origin(&module, Some(location))),
            inlined: location.inlined,
            module: module.clone(),
        };
        locations.iter().map(line).collect()
    }
}

/// Where code is from that was made at run time, and told of.
const MADE: &str = "[jit]";

/// Without a module the address in the process is all there is.
fn loaded_nowhere(at: Addr) -> Vaddr {
    Vaddr(at.0)
}

impl Names for Named<'_> {
    fn stack(&mut self, origin: site::Origin) -> Vec<Arc<Line>> {
        let frames = self.unnamed.frames(origin);
        let runs_scripts = frames.iter().any(|frame| frame.kind == FrameKind::Script);
        let mut lines = Vec::with_capacity(frames.len());
        for frame in &frames {
            lines.extend(self.lines(frame, runs_scripts).iter().cloned());
        }
        lines
    }

    fn data(&mut self, at: Addr) -> Option<String> {
        let loaded = self.unnamed.find(at)?;
        let at = loaded.bias.vaddr(at);
        let name = self
            .namer
            .data
            .variable(&self.unnamed.stacks, loaded.id, at)?;
        Some(shown(&name))
    }

    fn merged(&self) -> u64 {
        self.unnamed.merged
    }

    fn class(&mut self, at: Addr) -> Option<String> {
        let loaded = self.unnamed.find(at)?;
        let at = loaded.bias.vaddr(at);
        let name = self.namer.data.class(&self.unnamed.stacks, loaded.id, at)?;
        Some(shown(&name))
    }
}

/// What reports hold may be shown as it is.
fn shown(name: &str) -> String {
    printable(name).into_owned()
}

/// To a script, the interpreter's functions are what a standard library is to other programs.
fn as_standard(line: &mut Line) {
    if line.origin == line::Origin::User {
        line.origin = line::Origin::Standard;
    }
}

fn whose(origin: origin::Origin) -> line::Origin {
    match origin {
        origin::Origin::Allocator => line::Origin::Allocator,
        origin::Origin::Standard => line::Origin::Standard,
        origin::Origin::Runtime => line::Origin::Runtime,
        origin::Origin::User => line::Origin::User,
    }
}
