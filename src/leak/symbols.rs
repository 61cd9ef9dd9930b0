//! Who is who: modules of each process, stacks by their frames, and names for code and data when they are
//! asked for.

use crate::base::Pid;
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::base::printable::printable;
use crate::leak::made::MadeCode;
use crate::leak::reach::habits::{GENERATIONS, Lineage};
use crate::leak::report::model::{self, Line};
use crate::leak::site;
use crate::stack::names::abbreviate;
use crate::stack::origin::{self, by_script, origin};
use crate::stack::script::{self, Of, ScriptCalls, ScriptLine};
use crate::stack::{
    Bytes, DataNames, End, Frame, FrameKind, Module, ModuleId, RawStack, Root, StackId, Stacks,
    Symbolizer, Unwinder,
};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// What a report asks for names.
pub trait Names {
    /// The calls of a stack, innermost first.
    fn stack(&mut self, pid: Pid, origin: site::Origin) -> Vec<Line>;

    /// `served (server .bss)`: what data there is at this address.
    fn data(&mut self, pid: Pid, at: Addr) -> Option<String>;

    /// The class whose objects begin with this address.
    fn class(&mut self, pid: Pid, at: Addr) -> Option<String>;

    /// How many calls of a process were merged with others by their innermost frames.
    fn merged(&self, _pid: Pid) -> u64 {
        0
    }
}

/// Modules, stacks and names.
pub struct Book {
    stacks: Stacks,
    symbolizer: Symbolizer,
    data: DataNames,
    spaces: HashMap<Pid, Space>,
    /// Modules that run scripts.
    interpreters: HashSet<ModuleId>,
    /// Functions of allocators, by their first instructions.
    allocators: HashSet<Frame>,
}

/// The modules of one process.
#[derive(Default)]
struct Space {
    unwinder: Unwinder,
    loaded: Vec<Loaded>,
    /// Its root directory, once that was asked for, where it has one of its own.
    root: Option<Option<Root>>,
    /// Names of code that it makes at run time, and of code that its parents made before they forked.
    made: MadeCode,
    /// Calls whose stacks were shortened because there are too many.
    merged: u64,
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
/// How many frames are kept in all: some ten thousands of different stacks. A report holds most of them at once,
/// with names, in a few hundred bytes each.
const FRAMES_IN_ALL: usize = 1 << 19;
/// What is kept of stacks beyond that, and when these become too many as well: frames, and those in all.
const SHORTENED: [(usize, usize); 2] = [(8, FRAMES_IN_ALL / 4 * 5), (2, usize::MAX)];

impl Book {
    /// An empty one, which names code in this way.
    pub fn new(symbolizer: Symbolizer) -> Book {
        Book {
            stacks: Stacks::default(),
            symbolizer,
            data: DataNames::default(),
            spaces: HashMap::new(),
            interpreters: HashSet::new(),
            allocators: HashSet::new(),
        }
    }

    /// A module was loaded.
    pub fn loaded(&mut self, pid: Pid, mut module: Module, range: Range<u64>, bias: Bias) {
        let file = module.file.clone();
        let space = self.spaces.entry(pid).or_default();
        module.root = space
            .root
            .get_or_insert_with(|| Root::elsewhere(pid))
            .clone();
        let id = self.stacks.add_module(module);
        space.add(Loaded {
            id,
            range,
            bias,
            file,
        });
    }

    /// Some module of the process is known.
    pub fn has_modules(&self, pid: Pid) -> bool {
        let space = self.spaces.get(&pid);
        space.is_some_and(|space| !space.loaded.is_empty())
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
        let made = self.spaces.get(&parent).map(|space| space.made.clone());
        let mut space = Space {
            made: made.unwrap_or_default(),
            ..Space::default()
        };
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
        if unwound.frames.iter().any(|frame| frame.module.is_none()) {
            space.made.meet(pid);
        }
        let mut frames = match raw.scripts() {
            Some(scripts) => self.with_scripts(pid, unwound.frames, scripts),
            None => unwound.frames,
        };
        if matches!(unwound.end, End::Limit | End::Cut) {
            frames.push(Frame::CUT);
        }
        if self.shorten(&mut frames)
            && let Some(space) = self.spaces.get_mut(&pid)
        {
            space.merged += 1;
        }
        self.stacks.intern(frames)
    }

    /// Keeps only the innermost frames of a new stack when there are very many already: a recursion that takes
    /// another way each time has stacks without end.
    fn shorten(&self, frames: &mut Vec<Frame>) -> bool {
        let count = self.stacks.frame_count();
        if count + frames.len() <= FRAMES_IN_ALL || self.stacks.has(frames) {
            return false;
        }
        let fits = SHORTENED.iter().find(|(_, in_all)| count < *in_all);
        let kept = fits.map_or(1, |(kept, _)| *kept);
        if frames.len() <= kept {
            return false;
        }
        frames.truncate(kept);
        frames.push(Frame::CUT);
        true
    }

    /// Names are about to be asked for: reads what the process has told of code that it makes.
    pub fn refresh(&mut self, pid: Pid) {
        if let Some(space) = self.spaces.get_mut(&pid) {
            space.made.refresh();
        }
    }

    /// See [`Symbolizer::hurry`].
    pub fn hurry(&mut self, is_in_haste: bool) {
        self.symbolizer.hurry(is_in_haste);
    }

    /// Finds the names of a stack, so that they are there when they are asked for.
    pub fn prepare(&mut self, pid: Pid, origin: site::Origin) {
        for frame in &self.frames(pid, origin) {
            self.symbolizer.resolve(&self.stacks, frame);
        }
    }

    fn frames(&self, pid: Pid, origin: site::Origin) -> Vec<Frame> {
        match origin {
            site::Origin::Stack(id) => self.stacks.frames(id).to_vec(),
            site::Origin::Caller(at) => vec![self.caller(pid, at)],
        }
    }

    /// The innermost call of a stack is an allocator's function, however that is called.
    pub fn begins_in_allocator(&mut self, stack: StackId) {
        if let Some(first) = self.stacks.frames(stack).first() {
            self.allocators.insert(*first);
        }
    }

    /// The lines of scripts in the places of their evaluator.
    fn with_scripts(&mut self, pid: Pid, frames: Vec<Frame>, scripts: &ScriptCalls) -> Vec<Frame> {
        let loaded = scripts
            .evaluator
            .first()
            .and_then(|range| self.spaces.get(&pid)?.find(Addr(range.start)))
            .map(|loaded| (loaded.id, loaded.bias));
        let Some((id, bias)) = loaded else {
            return frames;
        };
        self.interpreters.insert(id);
        let what = |frame: &Frame| {
            let at = bias.addr(frame.lookup()).0;
            let mut parts = scripts.evaluator.iter();
            match frame.module == Some(id) {
                true if parts.any(|part| part.contains(&at)) => Of::Evaluator,
                true => Of::Interpreter,
                false => Of::Others,
            }
        };
        let stacks = &mut self.stacks;
        let mut run =
            |lines: &Vec<ScriptLine>| lines.iter().map(|line| stacks.add_script(line)).collect();
        let runs: Vec<Vec<Frame>> = scripts.runs.iter().map(&mut run).collect();
        script::mix(frames, what, runs)
    }

    /// Who asked, and on whose behalf, and so on.
    pub fn lineage(&self, origin: site::Origin) -> Lineage {
        let frames = match origin {
            site::Origin::Stack(id) => self.stacks.frames(id),
            site::Origin::Caller(_) => &[],
        };
        let mut hasher = DefaultHasher::new();
        origin.hash(&mut hasher);
        let mut lineage = [hasher.finish(); GENERATIONS];
        let mut hasher = DefaultHasher::new();
        // The last one is the whole stack.
        for (own, frame) in lineage.iter_mut().take(GENERATIONS - 1).zip(frames) {
            (frame.module, frame.vaddr).hash(&mut hasher);
            *own = hasher.finish();
        }
        lineage
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

    /// The call of a function that was made at run time, as far as the process tells of those.
    fn made(&self, pid: Pid, frame: &Frame) -> Option<Line> {
        let at = frame.lookup();
        let (function, offset) = self.spaces.get(&pid)?.made.find(Addr(at.0))?;
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

    fn lines(&mut self, pid: Pid, frame: &Frame, lines: &mut Vec<Line>) {
        if frame.kind == FrameKind::Cut {
            return lines.push(Line::cut());
        }
        if let Some(script) = self.stacks.script(frame) {
            lines.push(Line {
                function: shown(&script.function),
                file: Some(shown(&script.file)),
                line: script.line,
                origin: whose(by_script(&script.file)),
                ..Line::default()
            });
            return;
        }
        if frame.module.is_none()
            && let Some(line) = self.made(pid, frame)
        {
            return lines.push(line);
        }
        let module = frame.module.and_then(|id| self.stacks.module(id));
        let module = module.map_or("[unknown]".to_owned(), |module| shown(&module.name));
        let vaddr = frame.lookup().0;
        let locations = self.symbolizer.resolve(&self.stacks, frame);
        for location in locations.iter() {
            lines.push(Line {
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

/// Where code is from that was made at run time, and told of.
const MADE: &str = "[jit]";

/// Without a module the address in the process is all there is.
fn loaded_nowhere(at: Addr) -> Vaddr {
    Vaddr(at.0)
}

impl Names for Book {
    fn stack(&mut self, pid: Pid, origin: site::Origin) -> Vec<Line> {
        let frames = self.frames(pid, origin);
        let runs_scripts = frames.iter().any(|frame| frame.kind == FrameKind::Script);
        let mut lines = Vec::new();
        for frame in &frames {
            let from = lines.len();
            self.lines(pid, frame, &mut lines);
            if self.allocators.contains(frame) {
                let own = lines.iter_mut().skip(from);
                own.for_each(|line| line.origin = model::Origin::Allocator);
            }
            if runs_scripts && self.is_machinery(frame) {
                lines.iter_mut().skip(from).for_each(as_standard);
            }
        }
        lines
    }

    fn data(&mut self, pid: Pid, at: Addr) -> Option<String> {
        let loaded = self.spaces.get(&pid)?.find(at)?;
        let at = loaded.bias.vaddr(at);
        let name = self.data.variable(&self.stacks, loaded.id, at)?;
        Some(shown(&name))
    }

    fn merged(&self, pid: Pid) -> u64 {
        self.spaces.get(&pid).map_or(0, |space| space.merged)
    }

    fn class(&mut self, pid: Pid, at: Addr) -> Option<String> {
        let loaded = self.spaces.get(&pid)?.find(at)?;
        let at = loaded.bias.vaddr(at);
        let name = self.data.class(&self.stacks, loaded.id, at)?;
        Some(shown(&name))
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

/// What reports hold may be shown as it is.
fn shown(name: &str) -> String {
    printable(name).into_owned()
}

/// To a script, the interpreter's functions are what a standard library is to other programs.
fn as_standard(line: &mut Line) {
    if line.origin == model::Origin::User {
        line.origin = model::Origin::Standard;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps as many different stacks of 64 frames; how many of them were shortened, and the longest of the last
    /// hundred.
    fn kept(book: &mut Book, first: u64, count: u64) -> (u64, usize) {
        let (mut shortened, mut longest) = (0, 0);
        for number in first..first + count {
            let frame = |at: u64| Frame {
                module: None,
                vaddr: Vaddr(if at < 3 { at } else { number * 100 + at }),
                kind: FrameKind::Return,
            };
            let mut frames: Vec<Frame> = (0..64).map(frame).collect();
            shortened += u64::from(book.shorten(&mut frames));
            let id = book.stacks.intern(frames);
            if number + 100 >= first + count {
                longest = longest.max(book.stacks.frames(id).len());
            }
        }
        (shortened, longest)
    }

    #[test]
    fn frames_are_bounded() {
        let mut book = Book::new(Symbolizer::new(|_, _| Vec::new()));
        let whole = FRAMES_IN_ALL as u64 / 64;
        assert_eq!(kept(&mut book, 0, whole), (0, 64));
        assert_eq!(kept(&mut book, 0, whole), (0, 64), "known ones stay whole");
        let (shortened, longest) = kept(&mut book, whole, 1000);
        assert_eq!((shortened, longest), (1000, 9));
        let (shortened, longest) = kept(&mut book, 2 * whole, 20_000);
        assert_eq!((shortened, longest), (20_000, 3));
        let before = book.stacks.frame_count();
        kept(&mut book, 10 * whole, 1000);
        assert_eq!(book.stacks.frame_count(), before, "all are alike by now");
    }
}
