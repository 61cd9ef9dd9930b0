//! Makes the code that records calls in a target.

pub(in crate::record) mod asm;
mod blobs;
mod common;
mod copy;
mod entry;
mod exit;
mod formats;
mod inner;
pub(in crate::record) mod trampolines;
mod unwind;
mod walk;

use super::labels::{Labels, Place, Span};
use super::layout::{
    self, COMMON_BYTES, Layout, MOST_POINTS, MOST_TRAMPOLINES, TRAMPOLINE, header,
};
use super::shape::{Blob, Ends, ResultRegisters, Shape};
use super::shared::Shared;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use asm::{Asm, Made};
pub(super) use common::THREAD_PROBES;
use iced_x86::IcedError;
use iced_x86::code_asm::CodeLabel;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Code begins at such addresses.
const ALIGN: u64 = 16;

/// How a stub finds the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its address is in the slot at this address, each time anew: the dynamic linker may fill it late. Such
    /// calls, as all through a PLT, leave `r11` to what is in between (psABI, "Procedure Linkage Table").
    Slot(u64),
    /// It is this address: a function's code that was moved aside. All registers are what they were.
    Code(u64),
}

/// Why a tracepoint has no stub.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// All numbers or all room for code is used up.
    #[error("there is no more room for code")]
    NoRoom,
    /// An instruction cannot be encoded.
    #[error("code cannot be made: {0}")]
    Encoding(#[from] IcedError),
}

/// The stub of a tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stub {
    /// The number of the tracepoint in records. Never 0.
    pub number: u32,
    /// Where calls are to be led to.
    pub entry: u64,
}

/// Code that has been made and is not yet in the target.
#[derive(Clone, Debug)]
pub struct Written {
    /// Where it belongs.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The addresses of what all code shares.
#[derive(Clone, Copy, Debug, Default)]
struct Common {
    find: u64,
    ask: u64,
    space: u64,
    insert: u64,
    copy_text: u64,
    copy_bytes: u64,
    walk: u64,
    /// What trampolines lead to.
    exit: u64,
    /// Its end.
    leave: u64,
    /// The frame tables of the trampolines.
    tables: u64,
}

/// What decides the code for returns.
type ExitKind = (ResultRegisters, Box<[Blob]>, bool);

/// The code of one target.
#[derive(Clone)]
pub struct Code {
    layout: Layout,
    common: Common,
    labels: Labels,
    shapes: Vec<Arc<Shape>>,
    /// By shape, and whether the function is found through a slot.
    bodies: HashMap<(Arc<Shape>, bool), u64>,
    exits: HashMap<ExitKind, u64>,
    next: u64,
    trampolines: u64,
    written: Vec<Written>,
    /// Where `.eh_frame` is.
    frames: u64,
}

impl Code {
    /// The code that all stubs share, and the first trampolines, for an area that has just been mapped.
    pub fn new(layout: Layout, trampolines: u64) -> Result<Code, Failed> {
        let mut code = Code {
            layout,
            common: Common::default(),
            labels: Labels::new(layout),
            shapes: vec![Arc::new(Shape::default())],
            bodies: HashMap::new(),
            exits: HashMap::new(),
            next: layout.base(),
            trampolines: 1,
            written: Vec::new(),
            frames: 0,
        };
        code.make_common()?;
        if code.next > layout.base() + COMMON_BYTES {
            return Err(Failed::NoRoom);
        }
        code.next = layout.stubs().start;
        code.add_trampolines(trampolines);
        Ok(code)
    }

    /// Makes a stub for a tracepoint. Calls may be led to it once the code is in the target.
    ///
    /// `caller`: only calls that return there are recorded, others pass.
    pub fn add(
        &mut self,
        shape: &Arc<Shape>,
        target: Target,
        caller: Option<&Range<u64>>,
        shared: Shared<'_>,
    ) -> Result<Stub, Failed> {
        let number = self.shapes.len() as u32;
        if u64::from(number) >= MOST_POINTS {
            return Err(Failed::NoRoom);
        }
        let body = self.body(shape, target)?;
        let exit = self.exit(shape)?;
        let mut asm = Asm::new()?;
        let stub = entry::Stub {
            number,
            target,
            body,
            caller,
        };
        entry::stub(&mut asm, &self.layout, &stub)?;
        let (entry, _) = self.place(asm, &[])?;
        let (Target::Slot(address) | Target::Code(address)) = target;
        let point = layout::point(number);
        shared.store(point, address);
        shared.store(point + 8, exit);
        self.shapes.push(shape.clone());
        self.labels.stubs.push(entry);
        Ok(Stub { number, entry })
    }

    /// How the stub with this number finds its function, which is one whose code was moved, or has a slot.
    pub fn target(&self, number: u32, is_moved: bool, shared: Shared<'_>) -> Option<Target> {
        let address = Some(shared.load(layout::point(number))).filter(|address| *address != 0)?;
        Some(match is_moved {
            true => Target::Code(address),
            false => Target::Slot(address),
        })
    }

    /// Has a stub lead to another from its beginning on. No task may be in it.
    pub fn redirect(&mut self, stub: u64, to: u64) {
        // Behind its `endbr64`.
        let at = stub + 4;
        let distance = to.wrapping_sub(at + 5) as u32;
        let mut bytes = vec![0xe9];
        bytes.extend(distance.to_le_bytes());
        self.written.push(Written { at, bytes });
    }

    /// Makes a function that stands in for `_dl_find_object`, where a slot holds the address of the real one: calls
    /// through that slot are to be led to it, so that unwinders know our code.
    pub fn add_find_object(&mut self, slot: u64, shared: Shared<'_>) -> Result<u64, Failed> {
        let number = self.shapes.len() as u32;
        if u64::from(number) >= MOST_POINTS {
            return Err(Failed::NoRoom);
        }
        let point = layout::point(number);
        let original = self.layout.in_shared(point);
        let mut asm = Asm::new()?;
        unwind::find_object(&mut asm, &self.layout, self.common.tables, original)?;
        let (entry, _) = self.place(asm, &[])?;
        shared.store(point, slot);
        // Nothing records it, but it has a number.
        self.shapes.push(Arc::new(Shape::default()));
        self.labels.stubs.push(entry);
        Ok(entry)
    }

    /// The frame information of the trampolines, as in a section `.eh_frame`.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Makes so many more trampolines, as far as there may be more.
    pub fn add_trampolines(&mut self, count: u64) {
        let end = self.trampolines.saturating_add(count).min(MOST_TRAMPOLINES);
        let numbers = self.trampolines..end;
        let at = self.layout.pool().start + numbers.start * TRAMPOLINE;
        let made = numbers
            .flat_map(|number| trampolines::trampoline(&self.layout, number, self.common.exit));
        self.written.push(Written {
            at,
            bytes: made.collect(),
        });
        self.trampolines = end;
    }

    /// Makes those trampolines once more that a copy of the target's memory lacks.
    pub fn make_missing_trampolines(&mut self, memory: &dyn Memory) {
        let pool = self.layout.pool().start;
        let is_there = |number: u64| {
            let at = Addr(pool + number * TRAMPOLINE);
            memory.read_uint(at, 1).is_ok_and(|byte| byte != 0)
        };
        let (mut there, mut end) = (1, self.trampolines);
        while there < end {
            let middle = there.midpoint(end);
            match is_there(middle) {
                true => there = middle + 1,
                false => end = middle,
            }
        }
        let missing = self.trampolines - there;
        self.trampolines = there;
        self.add_trampolines(missing);
    }

    /// The code that was made since this was asked last. Pieces that touch each other are one.
    pub fn take_written(&mut self) -> Vec<Written> {
        let mut pieces: Vec<Written> = Vec::new();
        for piece in self.written.drain(..) {
            match pieces.last_mut() {
                Some(last) if last.at + last.bytes.len() as u64 == piece.at => {
                    last.bytes.extend_from_slice(&piece.bytes);
                }
                _ => pieces.push(piece),
            }
        }
        pieces
    }

    /// Tells the target how many trampolines there are: to be done when they are in it.
    pub fn publish(&self, shared: Shared<'_>) {
        if shared.load(header::NEXT_TRAMPOLINE) == 0 {
            shared.store(header::NEXT_TRAMPOLINE, 1);
            self.forget_pages(shared);
        }
        shared.store(header::TRAMPOLINES, self.trampolines);
        shared.store(header::NEXT_CODE, self.next);
        shared.store(header::NEXT_POINT, self.shapes.len() as u64);
    }

    /// The same behind the stubs and trampolines that stand in the target already, of as many tracepoints, whose calls
    /// are not ours. `None`: the code there is not such as this.
    pub(in crate::record) fn resumed(
        mut self,
        (next, points): (u64, u64),
        trampolines: u64,
        memory: &dyn Memory,
    ) -> Option<Code> {
        let stubs = self.layout.stubs();
        let is_sensible = stubs.contains(&next)
            && (1..MOST_POINTS).contains(&points)
            && (1..=MOST_TRAMPOLINES).contains(&trampolines);
        let stands = |written: &Written| {
            let mut bytes = vec![0; written.bytes.len()];
            let read = memory.read_exact(Addr(written.at), &mut bytes);
            read.is_ok() && bytes == written.bytes
        };
        let is_same = is_sensible && self.take_written().iter().all(stands);
        if !is_same {
            return None;
        }
        self.next = next;
        self.shapes.resize(points as usize, Arc::default());
        // A task that an earlier tracer has left in one of its stubs finds its way by itself.
        self.labels.stubs.resize(points as usize, 0);
        self.labels.add(&[Span {
            start: stubs.start,
            place: Place::Elsewhere,
        }]);
        self.trampolines = trampolines;
        self.make_missing_trampolines(memory);
        Some(self)
    }

    /// Has pages looked at anew that were found readable: to be done some hundred times a second, as they may be
    /// unmapped.
    pub fn forget_pages(&self, shared: Shared<'_>) {
        let epoch = shared.load(header::EPOCH) % 4095 + 1;
        shared.store(header::EPOCH, epoch);
    }

    /// Tells the target where errno is, against the thread pointer.
    pub fn set_errno(&self, offset: Option<i64>, shared: Shared<'_>) {
        shared.store(header::ERRNO, offset.unwrap_or_default() as u64);
    }

    /// Whether the target will soon need more trampolines.
    pub fn is_short_of_trampolines(&self, shared: Shared<'_>) -> bool {
        let left = self
            .trampolines
            .saturating_sub(shared.load(header::NEXT_TRAMPOLINE));
        left < 1024 && self.trampolines < MOST_TRAMPOLINES
    }

    /// Where tasks are in this code.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The shapes of the tracepoints, by their numbers.
    pub fn shapes(&self) -> &[Arc<Shape>] {
        &self.shapes
    }

    /// Where a call really returns to, whose return address may be a trampoline's.
    pub fn caller(&self, mut return_address: u64, shared: Shared<'_>) -> u64 {
        let pool = self.layout.pool();
        // The target can write the table, and make it lead in a circle.
        for _ in 0..32 {
            if !pool.contains(&return_address) {
                break;
            }
            let offset = (return_address - pool.start) & !(TRAMPOLINE - 1);
            return_address = shared.load(layout::TABLE + offset);
        }
        return_address
    }

    fn make_common(&mut self) -> Result<(), Failed> {
        let layout = self.layout;
        let (find, inner) = self.subroutine(|asm| {
            let find = common::find(asm, &layout)?;
            Ok((find.start, [find.claim]))
        })?;
        self.common.find = find;
        self.labels.retry = find;
        [self.labels.claim] = inner;
        let (ask, inner) = self.subroutine(|asm| {
            let ask = common::ask(asm, &layout)?;
            Ok((ask.start, [ask.asked]))
        })?;
        self.common.ask = ask;
        [self.labels.asked] = inner;
        let start = |label: CodeLabel| Ok((label, []));
        self.common.space = self
            .subroutine(|asm| start(common::space(asm, &layout)?))?
            .0;
        self.common.insert = self
            .subroutine(|asm| start(trampolines::insert(asm, &layout)?))?
            .0;
        self.common.copy_text = self.copying(Ends::AtZero)?;
        self.common.copy_bytes = self.copying(Ends::AtLength)?;
        self.common.walk = self.walking()?;
        let Common { find, space, .. } = self.common;
        let (exit, inner) = self.subroutine(|asm| {
            let exit = exit::exit(asm, &layout, find, space)?;
            Ok((exit.start, [exit.leave]))
        })?;
        self.common.exit = exit;
        [self.common.leave] = inner;
        let made = unwind::tables(&layout, self.next);
        self.common.tables = self.next;
        self.frames = made.frames;
        self.put(made.bytes)?;
        Ok(())
    }

    /// Makes a piece of code; its entry and other labels of it.
    fn subroutine<const N: usize>(
        &mut self,
        make: impl FnOnce(&mut Asm) -> Made<(CodeLabel, [CodeLabel; N])>,
    ) -> Result<(u64, [u64; N]), Failed> {
        let mut asm = Asm::new()?;
        let (start, inner) = make(&mut asm)?;
        let labels: Vec<CodeLabel> = std::iter::once(start).chain(inner).collect();
        let (_, found) = self.place(asm, &labels)?;
        let mut inner = [0; N];
        inner.copy_from_slice(&found[1..]);
        Ok((found[0], inner))
    }

    fn walking(&mut self) -> Result<u64, Failed> {
        let layout = self.layout;
        let (walk, []) = self.subroutine(|asm| Ok((walk::walk(asm, &layout)?, [])))?;
        Ok(walk)
    }

    fn copying(&mut self, ends: Ends) -> Result<u64, Failed> {
        let mut asm = Asm::new()?;
        let copy = copy::copy(&mut asm, &self.layout, ends)?;
        let labels: Vec<CodeLabel> = copy.labels().collect();
        let (_, found) = self.place(asm, &labels)?;
        self.labels.faults.extend(copy::faults(&found));
        Ok(found[0])
    }

    fn body(&mut self, shape: &Arc<Shape>, target: Target) -> Result<u64, Failed> {
        let key = (shape.clone(), matches!(target, Target::Slot(_)));
        if let Some(at) = self.bodies.get(&key) {
            return Ok(*at);
        }
        let mut asm = Asm::new()?;
        entry::body(&mut asm, &self.layout, &self.common, shape, target)?;
        let (at, _) = self.place(asm, &[])?;
        self.bodies.insert(key, at);
        Ok(at)
    }

    /// The code for the shape's returns, 0 when the common code is enough.
    fn exit(&mut self, shape: &Shape) -> Result<u64, Failed> {
        if shape.result.words() == 0 && shape.at_return.is_empty() && !shape.asks.at_return {
            return Ok(0);
        }
        let key = (shape.result, shape.at_return.clone(), shape.asks.at_return);
        if let Some(at) = self.exits.get(&key) {
            return Ok(*at);
        }
        let mut asm = Asm::new()?;
        exit::special(&mut asm, &self.layout, &self.common, shape)?;
        let (at, _) = self.place(asm, &[])?;
        self.exits.insert(key, at);
        Ok(at)
    }

    /// Puts code behind what there is; its first byte, and where these labels are.
    fn place(&mut self, asm: Asm, labels: &[CodeLabel]) -> Result<(u64, Vec<u64>), Failed> {
        let made = asm.assemble(self.next)?;
        let labels: Made<Vec<u64>> = labels.iter().map(|label| made.ip(label)).collect();
        self.labels.add(&made.spans);
        Ok((self.put(made.bytes)?, labels?))
    }

    /// Puts bytes behind what there is; where they are.
    fn put(&mut self, mut bytes: Vec<u8>) -> Result<u64, Failed> {
        let at = self.next;
        let end = (at + bytes.len() as u64).next_multiple_of(ALIGN);
        if end > self.layout.code().end {
            return Err(Failed::NoRoom);
        }
        bytes.resize((end - at) as usize, 0xcc);
        self.written.push(Written { at, bytes });
        self.next = end;
        Ok(at)
    }
}
