//! Stacks and the modules they pass through, each kept once. Both outlive the process that they
//! were seen in, so that what it left behind can still be named.

use super::{Frame, FrameKind, Module, ModuleId, ScriptLine, StackId};
use crate::base::addr::Vaddr;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// All stacks and modules that were seen.
#[derive(Debug, Default)]
pub struct Stacks {
    modules: Vec<Module>,
    by_identity: FxHashMap<(String, Option<Vec<u8>>, usize), ModuleId>,
    frames: Vec<Frame>,
    stacks: Vec<Arc<[FrameId]>>,
    /// Of all stacks together.
    frame_count: usize,
    index: Index,
    scripts: Vec<ScriptLine>,
    by_script: FxHashMap<ScriptLine, usize>,
}

/// Finds what is known already.
#[derive(Clone, Debug, Default)]
struct Index {
    frames: FxHashMap<Frame, FrameId>,
    stacks: FxHashMap<Arc<[FrameId]>, StackId>,
}

/// A frame, by its place in [`Stacks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FrameId(u32);

impl Stacks {
    /// A copy to read from, made fast: it does not find its stacks and frames when they are added again.
    pub fn snapshot(&self) -> Stacks {
        Stacks {
            modules: self.modules.clone(),
            by_identity: self.by_identity.clone(),
            frames: self.frames.clone(),
            stacks: self.stacks.clone(),
            frame_count: self.frame_count,
            index: Index::default(),
            scripts: self.scripts.clone(),
            by_script: self.by_script.clone(),
        }
    }

    /// The id of a module. The same build at the same path is the same module, so that its frames
    /// are equal from process to process.
    pub fn add_module(&mut self, module: Module) -> ModuleId {
        let identity = (
            module.path.clone(),
            module.build_id.clone(),
            module.file.len(),
        );
        let modules = &mut self.modules;
        *self.by_identity.entry(identity).or_insert_with(|| {
            modules.push(module);
            ModuleId::from_count(modules.len())
        })
    }

    /// The module with this id.
    pub fn module(&self, id: ModuleId) -> Option<&Module> {
        self.modules.get(id.index())
    }

    /// All modules.
    pub fn modules(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        let ids = (1..).map(ModuleId::from_count);
        ids.zip(&self.modules)
    }

    /// The frame that stands for a line of a script.
    pub fn add_script(&mut self, line: &ScriptLine) -> Frame {
        let place = match self.by_script.get(line) {
            Some(&place) => place,
            None => {
                let place = self.scripts.len();
                self.scripts.push(line.clone());
                self.by_script.insert(line.clone(), place);
                place
            }
        };
        Frame {
            module: None,
            vaddr: Vaddr(place as u64),
            kind: FrameKind::Script,
        }
    }

    /// The line that a frame stands for, if it is one of a script.
    pub fn script(&self, frame: &Frame) -> Option<&ScriptLine> {
        let place = usize::try_from(frame.vaddr.0).ok()?;
        let is_script = frame.kind == FrameKind::Script;
        is_script.then(|| self.scripts.get(place)).flatten()
    }

    /// Whether there is such a stack already, innermost frame first.
    pub fn has(&self, frames: &[Frame]) -> bool {
        let known = frames
            .iter()
            .map(|frame| self.index.frames.get(frame).copied());
        let ids: Option<Vec<FrameId>> = known.collect();
        ids.is_some_and(|ids| self.index.stacks.contains_key(ids.as_slice()))
    }

    /// How many frames all stacks have together.
    pub fn frame_count(&self) -> usize {
        self.frame_count
    }

    /// The id of a stack, innermost frame first.
    pub fn intern(&mut self, frames: &[Frame]) -> StackId {
        let ids: Vec<FrameId> = frames.iter().map(|frame| self.frame(frame)).collect();
        if let Some(&id) = self.index.stacks.get(ids.as_slice()) {
            return id;
        }
        let id = StackId(number(self.stacks.len()));
        self.frame_count += ids.len();
        let ids: Arc<[FrameId]> = ids.into();
        self.stacks.push(Arc::clone(&ids));
        self.index.stacks.insert(ids, id);
        id
    }

    fn frame(&mut self, frame: &Frame) -> FrameId {
        let frames = &mut self.frames;
        *self.index.frames.entry(*frame).or_insert_with(|| {
            frames.push(*frame);
            FrameId(number(frames.len() - 1))
        })
    }

    /// The frames of a stack, innermost first; none of one that is not known.
    pub fn frames(&self, id: StackId) -> impl Iterator<Item = &Frame> {
        let ids = self.stacks.get(id.0 as usize);
        let ids = ids.into_iter().flat_map(|ids| ids.iter());
        ids.filter_map(|id| self.frames.get(id.0 as usize))
    }

    /// How many different stacks there are.
    pub fn len(&self) -> usize {
        self.stacks.len()
    }

    /// There is none yet.
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }
}

/// No process has 2^32 of them.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
