//! Stacks and the modules they pass through, each kept once. Both outlive the process that they
//! were seen in, so that what it left behind can still be named.

use super::{Frame, FrameKind, Module, ModuleId, ScriptLine, StackId};
use crate::base::addr::Vaddr;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// All stacks and modules that were seen.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    modules: Vec<Module>,
    by_identity: FxHashMap<(String, Option<Vec<u8>>, usize), ModuleId>,
    stacks: Vec<Arc<[Frame]>>,
    by_frames: FxHashMap<Arc<[Frame]>, StackId>,
    /// Of all stacks together.
    frame_count: usize,
    scripts: Vec<ScriptLine>,
    by_script: FxHashMap<ScriptLine, usize>,
}

impl Stacks {
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

    /// Whether there is such a stack already.
    pub fn has(&self, frames: &[Frame]) -> bool {
        self.by_frames.contains_key(frames)
    }

    /// How many frames all stacks have together.
    pub fn frame_count(&self) -> usize {
        self.frame_count
    }

    /// The id of a stack, innermost frame first.
    pub fn intern(&mut self, frames: Vec<Frame>) -> StackId {
        if let Some(&id) = self.by_frames.get(frames.as_slice()) {
            return id;
        }
        let id = StackId(u32::try_from(self.stacks.len()).unwrap_or(u32::MAX));
        self.frame_count += frames.len();
        let frames: Arc<[Frame]> = frames.into();
        self.stacks.push(Arc::clone(&frames));
        self.by_frames.insert(frames, id);
        id
    }

    /// The frames of a stack, innermost first; none of one that is not known.
    pub fn frames(&self, id: StackId) -> &[Frame] {
        self.stacks.get(id.0 as usize).map_or(&[], |frames| frames)
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
