//! From a copied stack to its frames, by the call frame information of the modules in one process.

use super::cfi::{Cfi, FunctionRules, Row};
use super::emulate::{self, Code};
use super::raw::{RIP, RSP, Registers};
use super::{Bytes, Frame, FrameKind, ModuleId, Moment, RawStack, step};
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::debug::bytes::Piece;
use crate::elf::Sections;
use gimli::UnwindContext;
use rustc_hash::FxHashMap;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

/// What unwinding needs of one address space.
#[derive(Clone, Default)]
pub struct Unwinder {
    /// By their first address.
    modules: Vec<Loaded>,
    /// The rules for addresses that were met before.
    rows: FxHashMap<u64, Option<Arc<Row>>>,
}

/// As many rows are kept; a program allocates from thousands of places, not millions.
const ROWS: usize = 1 << 16;

#[derive(Clone)]
struct Loaded {
    id: ModuleId,
    range: Range<u64>,
    bias: Bias,
    file: Arc<File>,
}

/// What is needed of a file, wherever it is mapped.
struct File {
    cfi: Cfi,
    code: Vec<(Vaddr, Piece)>,
}

/// What unwinding found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwound {
    /// The frames, innermost first. There is always one.
    pub frames: Vec<Frame>,
    /// Why there are no more.
    pub end: End,
}

/// How the caller of a frame is found from the return address into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerRule {
    /// There is none.
    Root,
    /// Its return address is right below the canonical frame address, which is this far from the stack pointer behind
    /// the return, or from `rbp`.
    Frame {
        /// From `rbp`.
        by_rbp: bool,
        /// So far.
        offset: i64,
        /// Where its `rbp` is, from the canonical frame address on; 0: it is what it was.
        rbp: i64,
    },
    /// In another way.
    Other,
}

/// Why unwinding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the first function of a stack.
    Root,
    /// At the end of the copy.
    Cut,
    /// At as many frames as were asked for.
    Limit,
    /// The caller of the last frame could not be told.
    Lost,
}

/// The address of a frame, and the one to look it up by.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    kind: FrameKind,
}

impl Unwinder {
    /// Unwinding in a process with no modules yet.
    pub fn new() -> Unwinder {
        Unwinder::default()
    }

    /// Learns that a module lies at these addresses. What overlaps it has gone.
    pub fn add_module(&mut self, id: ModuleId, range: Range<u64>, bias: Bias, file: &Bytes) {
        if range.is_empty() {
            return;
        }
        self.rows.clear();
        let apart = |m: &Loaded| m.range.end <= range.start || range.end <= m.range.start;
        self.modules.retain(apart);
        let place = self
            .modules
            .partition_point(|m| m.range.start < range.start);
        let loaded = Loaded {
            id,
            range,
            bias,
            file: Arc::new(File::read(file)),
        };
        self.modules.insert(place, loaded);
    }

    /// Learns that the module whose first address this is has gone.
    pub fn remove_module(&mut self, start: u64) {
        self.rows.clear();
        self.modules.retain(|m| m.range.start != start);
    }

    /// The frames of a stack, at most `limit` of them.
    pub fn unwind(&mut self, raw: &RawStack, limit: usize) -> Unwound {
        let mut registers = raw.registers.clone();
        let mut place = Place {
            at: registers.get(RIP).unwrap_or(0),
            kind: FrameKind::Exact,
        };
        let mut frames = vec![self.frame(place)];
        let end = loop {
            if frames.len() >= limit {
                break End::Limit;
            }
            let entry = frames.len() == 1 && raw.moment == Moment::Entry;
            let step = match entry {
                true => step::from_entry(raw, &registers).map(|caller| (caller, FrameKind::Return)),
                false => self.step(raw, place, &registers),
            };
            let (caller, kind) = match step {
                Ok(step) => step,
                Err(end) => break end,
            };
            // A handler may run on a stack of its own, above the one that was interrupted, and a goroutine's is
            // anywhere; any other caller's frame is above its callee's, or we would go round in circles.
            let elsewhere = raw
                .left()
                .is_some_and(|left| caller.get(RSP) == Some(left.bottom + 8));
            if kind == FrameKind::Return && !elsewhere && caller.get(RSP) <= registers.get(RSP) {
                break End::Lost;
            }
            registers = caller;
            place = self.place(registers.get(RIP).unwrap_or(0), kind);
            frames.push(self.frame(place));
        };
        Unwound { frames, end }
    }

    /// The frames of a stack that was walked already: of a function that begins at the first address, and of return
    /// addresses.
    pub fn walked(&self, addresses: &[u64], limit: usize) -> Unwound {
        let kinds = iter::once(FrameKind::Exact).chain(iter::repeat(FrameKind::Return));
        let places = addresses.iter().zip(kinds);
        let places = places.map(|(at, kind)| self.place(*at, kind));
        let frames = places.take(limit).map(|place| self.frame(place)).collect();
        let end = match addresses.len() >= limit {
            true => End::Limit,
            false => End::Root,
        };
        Unwound { frames, end }
    }

    /// The frames of a stack, and how the caller of each is found from its return address, for who walks stacks
    /// without registers and modules.
    pub fn rules(&mut self, raw: &RawStack, limit: usize) -> Vec<(u64, CallerRule)> {
        let unwound = self.unwind(raw, limit);
        let returns = unwound.frames.iter().skip(1);
        let returns: Vec<u64> = returns
            .map(|frame| match frame.module.and_then(|id| self.loaded(id)) {
                Some(loaded) => loaded.bias.addr(frame.vaddr).0,
                None => frame.vaddr.0,
            })
            .collect();
        let rule = |at: u64| {
            let is_plain = !self.is_signal_return(at);
            let row = if is_plain { self.row(at - 1) } else { None };
            (at, row.map_or(CallerRule::Other, |row| row.compact()))
        };
        returns
            .into_iter()
            .filter(|at| *at != 0)
            .map(rule)
            .collect()
    }

    /// How callers are found in the function around an instruction: by its parts, ascending.
    pub(super) fn function(&self, at: u64) -> FunctionRules {
        let Some(loaded) = module_at(&self.modules, at) else {
            return FunctionRules::new();
        };
        let mut rules = loaded
            .file
            .cfi
            .function(loaded.bias.vaddr(Addr(at)))
            .unwrap_or_default();
        for (range, _) in &mut rules {
            let addr = |vaddr: u64| loaded.bias.addr(Vaddr(vaddr)).0;
            *range = addr(range.start)..addr(range.end);
        }
        rules
    }

    fn loaded(&self, id: ModuleId) -> Option<&Loaded> {
        self.modules.iter().find(|loaded| loaded.id == id)
    }

    /// The caller's registers, and what its instruction pointer points at.
    fn step(
        &mut self,
        raw: &RawStack,
        place: Place,
        registers: &Registers,
    ) -> Result<(Registers, FrameKind), End> {
        if self.is_signal_return(place.at) {
            return Ok((step::from_signal(raw, registers)?, FrameKind::Exact));
        }
        if place.kind == FrameKind::Return
            && let Some(caller) = step::to_goroutine(raw, self.code_at(place.at), registers)
        {
            return Ok((caller, FrameKind::Return));
        }
        let row = self.row(place.lookup());
        let loaded = module_at(&self.modules, place.lookup());
        let Some((row, loaded)) = row.zip(loaded) else {
            return Ok((self.uncovered(raw, place, registers)?, FrameKind::Return));
        };
        let caller = step::by_row(&row, &loaded.file.cfi, raw, registers)?;
        let kind = match row.is_signal {
            true => FrameKind::Exact,
            false => FrameKind::Return,
        };
        Ok((caller, kind))
    }

    /// From code without call frame information. Of what was compiled at run time there is not even the
    /// code, but those who do that keep frame pointers for their own debuggers' sake.
    fn uncovered(
        &self,
        raw: &RawStack,
        place: Place,
        registers: &Registers,
    ) -> Result<Registers, End> {
        let followed = emulate::until_return(place.at, self, raw, registers);
        let caller = match followed {
            Some(caller) => caller,
            None => step::by_frame_pointer(raw, registers)?,
        };
        let known = module_at(&self.modules, place.lookup()).is_some();
        match known && !caller.get(RIP).is_some_and(|at| self.is_return(at)) {
            true => Err(End::Lost),
            false => Ok(caller),
        }
    }

    /// The rules at an instruction.
    pub(super) fn row(&mut self, at: u64) -> Option<Arc<Row>> {
        if let Some(known) = self.rows.get(&at) {
            return known.clone();
        }
        let row = module_at(&self.modules, at).and_then(|loaded| {
            let vaddr = loaded.bias.vaddr(Addr(at));
            let mut context = UnwindContext::new();
            loaded.file.cfi.row(vaddr, &mut context)
        });
        let row = row.map(Arc::new);
        if self.rows.len() >= ROWS {
            self.rows.clear();
        }
        self.rows.insert(at, row.clone());
        row
    }

    /// A handler returns to the first instruction of what no call precedes.
    fn place(&self, at: u64, kind: FrameKind) -> Place {
        let kind = match self.is_signal_return(at) {
            true => FrameKind::Exact,
            false => kind,
        };
        Place { at, kind }
    }

    fn frame(&self, place: Place) -> Frame {
        let loaded = module_at(&self.modules, place.lookup());
        Frame {
            module: loaded.map(|m| m.id),
            vaddr: loaded.map_or(Vaddr(place.at), |m| m.bias.vaddr(Addr(place.at))),
            kind: place.kind,
        }
    }

    /// Whether this is where a signal handler returns to: `mov $__NR_rt_sigreturn, %rax; syscall`
    /// (rt_sigreturn is 15; the C library's `sa_restorer`). Debuggers know it by these bytes too.
    pub(super) fn is_signal_return(&self, at: u64) -> bool {
        const RT_SIGRETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
        module_at(&self.modules, at).is_some_and(|loaded| {
            let vaddr = loaded.bias.vaddr(Addr(at));
            loaded.file.code_at(vaddr).starts_with(&RT_SIGRETURN)
        })
    }
}

impl Code for Unwinder {
    fn code_at(&self, at: u64) -> &[u8] {
        module_at(&self.modules, at).map_or(&[], |loaded| {
            loaded.file.code_at(loaded.bias.vaddr(Addr(at)))
        })
    }

    fn is_return(&self, at: u64) -> bool {
        let Some(loaded) = module_at(&self.modules, at) else {
            return false;
        };
        let vaddr = loaded.bias.vaddr(Addr(at));
        emulate::ends_in_call(loaded.file.code_before(vaddr)) || self.is_signal_return(at)
    }
}

impl Place {
    /// See [`Frame::lookup`].
    fn lookup(self) -> u64 {
        match self.kind {
            FrameKind::Exact | FrameKind::Script | FrameKind::Cut => self.at,
            FrameKind::Return => self.at.wrapping_sub(1),
        }
    }
}

impl File {
    fn read(file: &Bytes) -> File {
        let sections = Sections::read(file).ok();
        let code = sections.iter().flat_map(Sections::code);
        File {
            cfi: sections
                .as_ref()
                .map_or_else(Cfi::default, |sections| Cfi::of(sections, file)),
            code: code
                .map(|section| (section.vaddr, Piece::new(file, section.range)))
                .collect(),
        }
    }

    /// The code from an address on.
    fn code_at(&self, at: Vaddr) -> &[u8] {
        self.segment(at).map_or(&[], |(code, skip)| &code[skip..])
    }

    /// The code in front of an address, as much as an instruction has.
    fn code_before(&self, at: Vaddr) -> &[u8] {
        self.segment(at)
            .map_or(&[], |(code, skip)| &code[skip.saturating_sub(15)..skip])
    }

    /// The segment around an address, and how far into it that is: less than its length.
    fn segment(&self, at: Vaddr) -> Option<(&Piece, usize)> {
        self.code.iter().find_map(|(start, code)| {
            let skip = usize::try_from(at.0.checked_sub(start.0)?).ok()?;
            (skip < code.len()).then_some((code, skip))
        })
    }
}

fn module_at(modules: &[Loaded], at: u64) -> Option<&Loaded> {
    let after = modules.partition_point(|m| m.range.start <= at);
    let loaded = modules.get(after.checked_sub(1)?)?;
    loaded.range.contains(&at).then_some(loaded)
}
