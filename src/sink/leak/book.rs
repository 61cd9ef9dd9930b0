//! Who is who: modules of each process, stacks by their frames, and names for code and data when they are
//! asked for.

use super::report::model::{self, Line};
use super::site;
use crate::base::Pid;
use crate::base::addr::{Addr, Bias};
use crate::stack::names::abbreviate;
use crate::stack::origin::{self, origin};
use crate::stack::{
    Bytes, DataNames, Frame, FrameKind, Module, ModuleId, RawStack, StackId, Stacks, Symbolizer,
    Unwinder,
};
use std::collections::HashMap;
use std::ops::Range;

/// What a report asks for names.
pub trait Names {
    /// The calls of a stack, innermost first.
    fn stack(&mut self, pid: Pid, origin: site::Origin) -> Vec<Line>;

    /// `served (server .bss)`: what data there is at this address.
    fn data(&mut self, pid: Pid, at: Addr) -> Option<String>;

    /// The class whose objects begin with this address.
    fn class(&mut self, pid: Pid, at: Addr) -> Option<String>;
}

/// Modules, stacks and names.
pub struct Book {
    stacks: Stacks,
    symbolizer: Symbolizer,
    data: DataNames,
    spaces: HashMap<Pid, Space>,
}

/// The modules of one process.
#[derive(Default)]
struct Space {
    unwinder: Unwinder,
    loaded: Vec<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    id: ModuleId,
    range: Range<u64>,
    bias: Bias,
    file: Bytes,
}

/// Deeper stacks are those of a recursion.
const FRAMES: usize = 64;

impl Book {
    /// An empty one, which names code in this way.
    pub fn new(symbolizer: Symbolizer) -> Book {
        Book {
            stacks: Stacks::default(),
            symbolizer,
            data: DataNames::default(),
            spaces: HashMap::new(),
        }
    }

    /// A module was loaded.
    pub fn loaded(&mut self, pid: Pid, module: Module, range: Range<u64>, bias: Bias) {
        let file = module.file.clone();
        let id = self.stacks.add_module(module);
        let space = self.spaces.entry(pid).or_default();
        space.add(Loaded {
            id,
            range,
            bias,
            file,
        });
    }

    /// A module has gone.
    pub fn unloaded(&mut self, pid: Pid, range: &Range<u64>) {
        if let Some(space) = self.spaces.get_mut(&pid) {
            space.unwinder.remove_module(range.start);
            space
                .loaded
                .retain(|loaded| loaded.range.start != range.start);
        }
    }

    /// The process began as a copy of another one.
    pub fn forked(&mut self, parent: Pid, child: Pid) {
        let loaded = self
            .spaces
            .get(&parent)
            .map_or(Vec::new(), |space| space.loaded.clone());
        let mut space = Space::default();
        loaded.into_iter().for_each(|loaded| space.add(loaded));
        self.spaces.insert(child, space);
    }

    /// The process runs another program, or none any more.
    pub fn forget(&mut self, pid: Pid) {
        self.spaces.remove(&pid);
    }

    /// Where the module of this path lies.
    pub fn module(&self, pid: Pid, path: &str) -> Option<Range<u64>> {
        let is_it = |loaded: &&Loaded| {
            self.stacks
                .module(loaded.id)
                .is_some_and(|module| module.path == path)
        };
        let loaded = self.spaces.get(&pid)?.loaded.iter().find(is_it)?;
        Some(loaded.range.clone())
    }

    /// The stack of a copy.
    pub fn unwind(&mut self, pid: Pid, raw: &RawStack) -> StackId {
        let space = self.spaces.entry(pid).or_default();
        let unwound = space.unwinder.unwind(raw, FRAMES);
        self.stacks.intern(unwound.frames)
    }

    /// The stack of one call, of which only the return address is known.
    fn caller(&self, pid: Pid, at: Addr) -> Frame {
        let kind = FrameKind::Return;
        match self.spaces.get(&pid).and_then(|space| space.find(at)) {
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

    fn lines(&mut self, frame: &Frame, lines: &mut Vec<Line>) {
        let module = frame.module.and_then(|id| self.stacks.module(id));
        let module = module.map_or("[unknown]".to_owned(), |module| module.name.clone());
        let vaddr = frame.lookup().0;
        let locations = self.symbolizer.resolve(&self.stacks, frame);
        for location in locations.iter() {
            lines.push(Line {
                function: abbreviate(&location.function, location.language),
                file: location.file.clone(),
                line: location.line,
                vaddr,
                origin: whose(origin(&module, Some(location))),
                inlined: location.inlined,
                module: module.clone(),
            });
        }
        if locations.is_empty() {
            let origin = whose(origin(&module, None));
            let function = format!("{vaddr:#x}");
            lines.push(Line {
                function,
                vaddr,
                origin,
                module,
                ..Line::default()
            });
        }
    }
}

/// Without a module the address in the process is all there is.
fn loaded_nowhere(at: Addr) -> crate::base::addr::Vaddr {
    crate::base::addr::Vaddr(at.0)
}

impl Names for Book {
    fn stack(&mut self, pid: Pid, origin: site::Origin) -> Vec<Line> {
        let frames = match origin {
            site::Origin::Stack(id) => self.stacks.frames(id).to_vec(),
            site::Origin::Caller(at) => vec![self.caller(pid, at)],
        };
        let mut lines = Vec::new();
        for frame in &frames {
            self.lines(frame, &mut lines);
        }
        lines
    }

    fn data(&mut self, pid: Pid, at: Addr) -> Option<String> {
        let loaded = self.spaces.get(&pid)?.find(at)?;
        self.data
            .variable(&self.stacks, loaded.id, loaded.bias.vaddr(at))
    }

    fn class(&mut self, pid: Pid, at: Addr) -> Option<String> {
        let loaded = self.spaces.get(&pid)?.find(at)?;
        self.data
            .class(&self.stacks, loaded.id, loaded.bias.vaddr(at))
    }
}

impl Space {
    fn add(&mut self, loaded: Loaded) {
        self.loaded
            .retain(|other| other.range.start != loaded.range.start);
        self.unwinder
            .add_module(loaded.id, loaded.range.clone(), loaded.bias, &loaded.file);
        self.loaded.push(loaded);
    }

    fn find(&self, at: Addr) -> Option<&Loaded> {
        self.loaded
            .iter()
            .find(|loaded| loaded.range.contains(&at.0))
    }
}

fn whose(origin: origin::Origin) -> model::Origin {
    match origin {
        origin::Origin::Allocator => model::Origin::Allocator,
        origin::Origin::Standard => model::Origin::Standard,
        origin::Origin::Runtime => model::Origin::Runtime,
        origin::Origin::User => model::Origin::User,
    }
}
