//! Which modules each process has, and its stacks by their frames. Nothing is named here: that takes time, and is
//! the business of `symbols`.

use crate::base::Pid;
use crate::base::addr::{Addr, Bias};
use crate::leak::made::MadeCode;
use crate::leak::reach::habits::{GENERATIONS, Lineage};
use crate::leak::site;
use crate::leak::symbols::Unnamed;
use crate::stack::script::{self, Of, ScriptCalls, ScriptLine};
use crate::stack::{
    Bytes, CallStack, End, Frame, FrameKind, Module, ModuleId, Root, StackId, Stacks, Unwinder,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Modules and stacks.
pub struct Book {
    /// Of deeper stacks only the innermost calls are kept.
    most: usize,
    /// How many frames are kept whole.
    most_in_all: usize,
    stacks: Stacks,
    spaces: FxHashMap<Pid, Space>,
    /// Modules that run scripts.
    interpreters: FxHashSet<ModuleId>,
    /// Functions of allocators, by their first instructions.
    allocators: FxHashSet<Frame>,
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
    /// Stacks by their addresses, as they were walked; and whether they were shortened.
    walked: FxHashMap<Box<[u64]>, (StackId, bool)>,
}

/// A module in a process.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) id: ModuleId,
    pub(super) range: Range<u64>,
    pub(super) bias: Bias,
    file: Bytes,
}

/// So many stacks are known as they were walked.
const WALKED: usize = 1 << 17;
/// Deeper stacks are those of a recursion.
const FRAMES: usize = 64;
/// How many frames are kept in all: some hundred thousand different stacks, at four bytes a frame. A report holds
/// most of them at once, at eight.
const FRAMES_IN_ALL: usize = 1 << 22;
/// How many frames of a stack are kept when there are more in all, and when there are a quarter more.
const SHORTENED: [usize; 2] = [8, 2];

impl Default for Book {
    fn default() -> Book {
        Book::with_frames(FRAMES)
    }
}

impl Book {
    /// One that keeps so many frames of a stack, at most as many as any.
    pub fn with_frames(most: usize) -> Book {
        Book {
            most: most.min(FRAMES),
            most_in_all: FRAMES_IN_ALL,
            stacks: Stacks::default(),
            spaces: FxHashMap::default(),
            interpreters: FxHashSet::default(),
            allocators: FxHashSet::default(),
        }
    }

    /// All modules and stacks.
    pub fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// Where a frame's code is in a process.
    pub fn address(&self, pid: Pid, frame: &Frame) -> Addr {
        let space = self.spaces.get(&pid);
        let loaded = space.and_then(|space| {
            let mut loaded = space.loaded.iter();
            loaded.find(|loaded| Some(loaded.id) == frame.module)
        });
        loaded.map_or(Addr(frame.vaddr.0), |loaded| loaded.bias.addr(frame.vaddr))
    }

    /// The call that returns to an address.
    pub fn caller(&self, pid: Pid, return_address: Addr) -> Option<Frame> {
        let mut loaded = self.spaces.get(&pid)?.loaded.iter();
        let loaded = loaded.find(|loaded| loaded.range.contains(&return_address.0))?;
        Some(Frame {
            module: Some(loaded.id),
            vaddr: loaded.bias.vaddr(return_address),
            kind: FrameKind::Return,
        })
    }

    /// The function that a process has made at run time around an address, and how far into it that is.
    pub fn made(&self, pid: Pid, at: Addr) -> Option<(String, u64)> {
        let made = &self.spaces.get(&pid)?.made;
        made.refresh();
        made.find(at)
    }

    /// A process is about to end: what names its code may be gone with it.
    pub fn ends(&self, pid: Pid) {
        if let Some(space) = self.spaces.get(&pid) {
            space.made.refresh();
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
            space.walked.clear();
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

    /// The stack of a call, which may be one of an allocator's function, however that is called.
    pub fn unwind(&mut self, pid: Pid, stack: &CallStack, is_of_allocator: bool) -> StackId {
        let raw = match stack {
            CallStack::Copied(raw) => raw,
            CallStack::Walked(addresses) => return self.walked(pid, addresses, is_of_allocator),
            CallStack::Recorded(_) => return self.walked(pid, &[], is_of_allocator),
        };
        let most = self.most;
        let unwound = self.space(pid).unwinder.unwind(raw, most);
        let frames = self.with_scripts(pid, unwound.frames, raw.scripts());
        self.intern(pid, frames, unwound.end, is_of_allocator).0
    }

    /// The same of a stack whose thread has walked it: of a function that begins at the first address, and of return
    /// addresses.
    pub fn walked(&mut self, pid: Pid, addresses: &[u64], is_of_allocator: bool) -> StackId {
        let most = self.most;
        let addresses = addresses.get(..most).unwrap_or(addresses);
        let space = self.space(pid);
        if let Some((known, is_shortened)) = space.walked.get(addresses) {
            space.merged += u64::from(*is_shortened);
            return *known;
        }
        let unwound = space.unwinder.walked(addresses, most);
        let new = self.intern(pid, unwound.frames, unwound.end, is_of_allocator);
        let walked = &mut self.space(pid).walked;
        if walked.len() == WALKED {
            walked.clear();
        }
        walked.insert(addresses.into(), new);
        new.0
    }

    /// The stack of these frames, and whether it was shortened.
    fn intern(
        &mut self,
        pid: Pid,
        mut frames: Vec<Frame>,
        end: End,
        is_of_allocator: bool,
    ) -> (StackId, bool) {
        let is_made = |frame: &Frame| frame.module.is_none() && frame.kind != FrameKind::Script;
        if frames.iter().any(is_made) {
            self.space(pid).made.meet(pid);
        }
        if matches!(end, End::Limit | End::Cut) {
            frames.push(Frame::CUT);
        }
        if is_of_allocator && let Some(first) = frames.first() {
            self.allocators.insert(*first);
        }
        let is_shortened = self.shorten(&mut frames);
        let id = self.stacks.intern(&frames);
        self.space(pid).merged += u64::from(is_shortened);
        (id, is_shortened)
    }

    fn space(&mut self, pid: Pid) -> &mut Space {
        self.spaces.entry(pid).or_default()
    }

    /// Keeps only the innermost frames of a new stack when there are very many already: a recursion that takes
    /// another way each time has stacks without end.
    fn shorten(&self, frames: &mut Vec<Frame>) -> bool {
        let (count, most) = (self.stacks.frame_count(), self.most_in_all);
        if count + frames.len() <= most || self.stacks.has(frames) {
            return false;
        }
        let kept = SHORTENED[usize::from(count >= most / 4 * 5)];
        if frames.len() <= kept {
            return false;
        }
        frames.truncate(kept);
        frames.push(Frame::CUT);
        true
    }

    /// The lines of scripts in the places of their evaluator.
    fn with_scripts(
        &mut self,
        pid: Pid,
        frames: Vec<Frame>,
        scripts: Option<&ScriptCalls>,
    ) -> Vec<Frame> {
        let Some(scripts) = scripts else {
            return frames;
        };
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
        let stack = match origin {
            site::Origin::Stack(id) => Some(id),
            site::Origin::Caller(_) => None,
        };
        let frames = stack.into_iter().flat_map(|id| self.stacks.frames(id));
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

    /// What there is to be named of a process by now.
    pub(super) fn unnamed(&self, pid: Pid) -> Unnamed {
        let space = self.spaces.get(&pid);
        Unnamed {
            stacks: self.stacks.snapshot(),
            loaded: space.map_or(Vec::new(), |space| space.loaded.clone()),
            made: space.map(|space| space.made.clone()).unwrap_or_default(),
            interpreters: self.interpreters.clone(),
            allocators: self.allocators.clone(),
            merged: space.map_or(0, |space| space.merged),
        }
    }
}

impl Space {
    fn add(&mut self, loaded: Loaded) {
        self.walked.clear();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Vaddr;
    use crate::stack::FrameKind;

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
            let id = book.stacks.intern(&frames);
            if number + 100 >= first + count {
                longest = longest.max(book.stacks.frames(id).count());
            }
        }
        (shortened, longest)
    }

    #[test]
    fn frames_are_bounded() {
        let mut book = Book {
            most_in_all: 1 << 19,
            ..Book::default()
        };
        let whole = book.most_in_all as u64 / 64;
        assert_eq!(kept(&mut book, 0, whole), (0, 64));
        assert_eq!(kept(&mut book, 0, whole), (0, 64), "known ones stay whole");
        let (shortened, longest) = kept(&mut book, whole, 1000);
        assert_eq!((shortened, longest), (1000, 9));
        let (shortened, longest) = kept(&mut book, 2 * whole, 2 * whole);
        assert_eq!((shortened, longest), (2 * whole, 3));
        let before = book.stacks.frame_count();
        kept(&mut book, 10 * whole, 1000);
        assert_eq!(book.stacks.frame_count(), before, "all are alike by now");
    }
}
