//! What a CPython process is running, in its own terms. The allocating thread stands still meanwhile, and only
//! a thread itself changes its frames; so they are read from the interpreter's memory as they are. Nothing
//! of that is believed: it bounds no loop and no allocation.

mod frames;
mod layout;
mod lines;
mod text;

use crate::base::addr::{Addr, Bias};
use crate::base::machine::Machine;
use crate::base::memory::{Memory, Unreadable};
use crate::base::regs::View;
use crate::base::{Pid, Tid};
use crate::elf::{Image, Objects};
use crate::plan::ModuleName;
use crate::stack::{Bytes, ScriptCalls, ScriptLine};
use frames::Frames;
use layout::Layout;
use lines::Lines;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// No object of the interpreter is read further than this.
const OBJECT: usize = 256;

/// The interpreters of all processes.
#[derive(Default)]
pub(super) struct Pythons(HashMap<Pid, Python>);

/// One interpreter.
#[derive(Clone)]
struct Python {
    /// Where its module lies.
    range: Range<u64>,
    /// `Py_Version`, exported since 3.11.
    version: Addr,
    /// `_PyRuntime`.
    runtime: Addr,
    evaluator: Arc<[Range<u64>]>,
    /// Found at the first stack.
    layout: Option<Option<Layout>>,
    threads: HashMap<Tid, Known>,
    codes: HashMap<Addr, Code>,
}

/// Where a thread's state is.
#[derive(Clone, Copy)]
struct Known {
    at: Addr,
    /// The one behind it in the list. What has been freed does not say so any more.
    next: u64,
}

/// What is known of a code object.
#[derive(Clone)]
struct Code {
    /// What was read of it: another one may come to lie at the same address.
    fingerprint: [u64; 5],
    function: Arc<str>,
    file: Arc<str>,
    lines: Arc<Lines>,
    trust: Trust,
}

/// How often a code object is believed to be still the same. To read all of a deep stack each time would
/// cost more than all the rest; and what has not changed for long is seldom thrown away.
#[derive(Clone, Copy, Default)]
struct Trust {
    earned: u32,
    left: u32,
}

/// No code object is believed longer.
const TRUST: u32 = 64;

/// More calls of one stack are a recursion.
const CALLS: usize = 64;
/// As many code objects are kept.
const CODES: usize = 1 << 14;
const INTERPRETERS: usize = 16;
const THREADS: usize = 512;

impl Pythons {
    /// A module was loaded; this is its file.
    pub(super) fn loaded(
        &mut self,
        pid: Pid,
        module: &ModuleName,
        range: &Range<u64>,
        bias: Bias,
        file: &Bytes,
    ) {
        if module.name.contains("python")
            && let Some(python) = Python::find(range, bias, file)
        {
            self.0.insert(pid, python);
        }
    }

    /// A module has gone.
    pub(super) fn unloaded(&mut self, pid: Pid, range: &Range<u64>) {
        if self
            .0
            .get(&pid)
            .is_some_and(|python| python.range == *range)
        {
            self.0.remove(&pid);
        }
    }

    /// The process began as a copy of another one.
    pub(super) fn forked(&mut self, parent: Pid, child: Pid) {
        if let Some(python) = self.0.get(&parent).cloned() {
            self.0.insert(child, python);
        }
    }

    /// The process runs another program, or none any more.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.0.remove(&pid);
    }

    /// The calls of a thread of Python, the top of whose stack has been copied.
    pub(super) fn calls(
        &mut self,
        pid: Pid,
        tid: Tid,
        view: &View<'_>,
        stack: &[u8],
    ) -> Option<ScriptCalls> {
        let python = self.0.get_mut(&pid)?;
        let memory = &Copied {
            at: view.regs.rsp,
            bytes: stack,
            rest: view.memory,
        };
        let layout = python.layout(memory)?;
        let id = view.regs.thread_pointer();
        let frame = python.current_frame(&layout, tid, id, memory)?;
        let runs = python.runs(&layout, frame, memory);
        Some(ScriptCalls {
            runs,
            evaluator: Arc::clone(&python.evaluator),
        })
    }
}

impl Python {
    /// The interpreter of a module, if there is one in it.
    fn find(range: &Range<u64>, bias: Bias, file: &Bytes) -> Option<Python> {
        let objects = Objects::read(file).ok()?;
        let at = |name| Some(bias.addr(objects.named(name)?.vaddr));
        let (version, runtime) = (at("Py_Version")?, at("_PyRuntime")?);
        let exported = Image::parse(file).ok()?.exports;
        // Its cold parts are local.
        let local = Image::file_symbols(file).unwrap_or_default();
        let evaluator = exported
            .iter()
            .chain(&local)
            .filter(|symbol| symbol.name.starts_with("_PyEval_EvalFrameDefault"))
            .map(|symbol| {
                let start = bias.addr(symbol.vaddr).0;
                start..start.saturating_add(symbol.size)
            })
            .collect();
        Some(Python {
            range: range.clone(),
            version,
            runtime,
            evaluator,
            layout: None,
            threads: HashMap::new(),
            codes: HashMap::new(),
        })
    }

    fn layout(&mut self, memory: &dyn Memory) -> Option<Layout> {
        if self.layout.is_none() {
            let version = memory.read_uint(self.version, 4).unwrap_or(0);
            self.layout = Some(Layout::of(version as u32, self.runtime, memory));
        }
        self.layout.flatten()
    }

    /// The innermost frame of a thread that runs Python.
    fn current_frame(
        &mut self,
        layout: &Layout,
        tid: Tid,
        id: u64,
        memory: &dyn Memory,
    ) -> Option<Addr> {
        let known = self.threads.get(&tid).copied();
        let confirmed = known.and_then(|known| {
            let thread = Object::read(known.at, memory)?;
            let same = thread.word(layout.thread.next) == Some(known.next)
                && thread.word(layout.thread.id) == Some(id);
            same.then_some(thread)
        });
        let thread = match confirmed {
            Some(thread) => thread,
            None => self.find_thread(layout, tid, id, memory)?,
        };
        let frame = thread.word(layout.thread.frame)?;
        let frame = match layout.thread.through {
            Some(offset) => memory.read_word(Addr(frame.wrapping_add(offset))).ok()?,
            None => frame,
        };
        (frame != 0).then_some(Addr(frame))
    }

    /// The thread whose pthread_self(3) this is.
    fn find_thread(
        &mut self,
        layout: &Layout,
        tid: Tid,
        id: u64,
        memory: &dyn Memory,
    ) -> Option<Object> {
        self.threads.remove(&tid);
        let word = |at: u64, offset: u64| memory.read_word(Addr(at.wrapping_add(offset))).ok();
        let mut interpreter = word(self.runtime.0, layout.interpreters)?;
        for _ in 0..INTERPRETERS {
            if interpreter == 0 {
                return None;
            }
            let mut at = word(interpreter, layout.threads)?;
            for _ in 0..THREADS {
                if at == 0 {
                    break;
                }
                let thread = Object::read(Addr(at), memory)?;
                let next = thread.word(layout.thread.next)?;
                if thread.word(layout.thread.id) == Some(id) {
                    self.threads.insert(tid, Known { at: Addr(at), next });
                    return Some(thread);
                }
                at = next;
            }
            interpreter = word(interpreter, layout.next_interpreter)?;
        }
        None
    }

    /// The calls from a frame on, in runs.
    fn runs(&mut self, layout: &Layout, frame: Addr, memory: &dyn Memory) -> Vec<Vec<ScriptLine>> {
        let mut runs = vec![Vec::new()];
        for frame in Frames::new(&layout.frame, frame, memory).take(CALLS) {
            if let (Some((code, instruction)), Some(run)) = (frame.running, runs.last_mut()) {
                run.extend(self.line(layout, code, instruction, memory));
            }
            if frame.ends_run {
                runs.push(Vec::new());
            }
        }
        if runs.last().is_some_and(Vec::is_empty) {
            runs.pop();
        }
        runs
    }

    fn line(
        &mut self,
        layout: &Layout,
        code: Addr,
        instruction: u64,
        memory: &dyn Memory,
    ) -> Option<ScriptLine> {
        let is_believed = self.codes.get_mut(&code).is_some_and(Code::is_believed);
        if !is_believed {
            self.look_at(layout, code, memory)?;
        }
        let known = self.codes.get(&code)?;
        let start = code.0.wrapping_add(layout.code.instructions);
        // Instructions are units of two bytes.
        let unit = (instruction.wrapping_sub(start) as i64) >> 1;
        Some(ScriptLine {
            function: Arc::clone(&known.function),
            file: Arc::clone(&known.file),
            line: known.lines.at(unit),
        })
    }

    /// Makes sure that what is known of a code object is true.
    fn look_at(&mut self, layout: &Layout, at: Addr, memory: &dyn Memory) -> Option<()> {
        let object = Object::read(at, memory)?;
        let fingerprint = Code::fingerprint(layout, &object)?;
        match self.codes.get_mut(&at) {
            Some(known) if known.fingerprint == fingerprint => known.trust.grow(),
            _ => {
                if self.codes.len() >= CODES {
                    self.codes.clear();
                }
                self.codes.remove(&at);
                let read = Code::read(layout, fingerprint, memory)?;
                self.codes.insert(at, read);
            }
        }
        Some(())
    }
}

impl Trust {
    fn grow(&mut self) {
        self.earned = (self.earned * 2 + 1).min(TRUST);
        self.left = self.earned;
    }
}

impl Code {
    /// Whether it needs no look. What was compiled in passing may go in passing.
    fn is_believed(&mut self) -> bool {
        let believed = self.trust.left > 0 && !self.file.starts_with("<string");
        self.trust.left = self.trust.left.saturating_sub(1);
        believed
    }

    /// The size, and what it refers to.
    fn fingerprint(layout: &Layout, object: &Object) -> Option<[u64; 5]> {
        let at = &layout.code;
        let first_line = object.word(at.first_line)? as u32;
        Some([
            object.word(text::SIZE)?,
            u64::from(first_line),
            object.word(at.file)?,
            object.word(at.name)?,
            object.word(at.lines)?,
        ])
    }

    fn read(layout: &Layout, fingerprint: [u64; 5], memory: &dyn Memory) -> Option<Code> {
        let [_, first_line, file, name, lines] = fingerprint;
        let table = text::bytes(Addr(lines), memory).unwrap_or_default();
        Some(Code {
            fingerprint,
            function: text::text(&layout.text, Addr(name), memory)?.into(),
            file: text::text(&layout.text, Addr(file), memory)?.into(),
            lines: Arc::new(Lines::read(&table, first_line as u32)),
            trust: Trust::default(),
        })
    }
}

/// Memory of which a piece has been copied already.
struct Copied<'a> {
    at: u64,
    bytes: &'a [u8],
    rest: &'a dyn Memory,
}

impl Memory for Copied<'_> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let copied = || {
            let from = usize::try_from(at.0.checked_sub(self.at)?).ok()?;
            self.bytes.get(from..)?.get(..buf.len())
        };
        match copied() {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(bytes.len())
            }
            None => self.rest.read(at, buf),
        }
    }

    fn machine(&self) -> Machine {
        self.rest.machine()
    }
}

/// The beginning of an object.
struct Object([u8; OBJECT]);

impl Object {
    /// As much as there is of it before memory ends.
    fn read(at: Addr, memory: &dyn Memory) -> Option<Object> {
        let mut bytes = [0; OBJECT];
        memory.read(at, &mut bytes).ok()?;
        Some(Object(bytes))
    }

    fn word(&self, offset: u64) -> Option<u64> {
        let from = usize::try_from(offset).ok()?;
        Some(u64::from_le_bytes(*self.0.get(from..)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that says the same wherever it is read.
    struct Everywhere([u8; 8]);

    impl Memory for Everywhere {
        fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
            for (place, byte) in (at.0..).zip(buf.iter_mut()) {
                *byte = self.0[(place % 8) as usize];
            }
            Ok(buf.len())
        }
    }

    fn python() -> Python {
        Python {
            range: 0..1,
            version: Addr(0x1000),
            runtime: Addr(0x2000),
            evaluator: Arc::new([]),
            layout: None,
            threads: HashMap::new(),
            codes: HashMap::new(),
        }
    }

    /// Python 3.11, whose objects are all alike: each list leads round in a circle.
    #[test]
    fn circles_end() {
        let word = 0x030b_0000_u64;
        let memory = Everywhere(word.to_le_bytes());
        let mut python = python();
        let layout = python.layout(&Everywhere(0x030b_07f0_u64.to_le_bytes()));
        let layout = layout.expect("a layout");
        assert_eq!(python.current_frame(&layout, Tid(1), 5, &memory), None);
        let frame = python.current_frame(&layout, Tid(1), word, &memory);
        assert_eq!(frame, Some(Addr(word)));
        let runs = python.runs(&layout, Addr(word), &memory);
        assert!(runs.iter().map(Vec::len).sum::<usize>() <= CALLS);
    }

    #[test]
    fn other_versions_are_left_alone() {
        for version in [0x030a_0df0_u64, 0, u64::MAX] {
            let memory = Everywhere(version.to_le_bytes());
            assert_eq!(python().layout(&memory), None);
        }
    }

    /// A code object is looked at again, the more seldom the longer it stays the same.
    #[test]
    fn trust_is_earned() {
        let mut code = Code {
            fingerprint: [0; 5],
            function: "f".into(),
            file: "f.py".into(),
            lines: Arc::default(),
            trust: Trust::default(),
        };
        let mut looks = 0;
        for _ in 0..1000 {
            if !code.is_believed() {
                looks += 1;
                code.trust.grow();
            }
        }
        assert!((10..40).contains(&looks), "{looks}");
        code.file = "<string>".into();
        assert!(!code.is_believed());
    }
}
