//! From a copied stack to its frames, by the unwind information of the modules in one process.

use super::bytes::Piece;
use super::inflate;
use super::{Bytes, Frame, FrameKind, ModuleId, Moment, RawStack};
use crate::base::addr::{Addr, Bias, Vaddr};
use crate::elf::{Section, Sections};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Unwinder as _};
use std::ops::Range;

/// The unwind information of one address space.
#[derive(Default)]
pub struct Unwinder {
    /// By their first address.
    modules: Vec<Loaded>,
    framehop: UnwinderX86_64<Piece>,
    cache: CacheX86_64,
}

#[derive(Clone)]
struct Loaded {
    id: ModuleId,
    range: Range<u64>,
    bias: Bias,
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

/// Why unwinding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the function that nobody called.
    Root,
    /// At the end of the copy.
    Cut,
    /// At as many frames as were asked for.
    Limit,
    /// The caller of the last frame could not be told.
    Lost,
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
        let overlapping: Vec<u64> = self
            .modules
            .iter()
            .filter(|m| m.range.start < range.end && range.start < m.range.end)
            .map(|m| m.range.start)
            .collect();
        for start in overlapping {
            self.remove_module(start);
        }
        let sections = Sections::read(file).ok();
        let code = sections
            .iter()
            .flat_map(Sections::code)
            .map(|section| (section.vaddr, Piece::new(file, section.range)))
            .collect();
        let info = sections
            .map(|sections| unwind_sections(&sections, file))
            .unwrap_or_default();
        self.framehop.add_module(framehop::Module::new(
            String::new(),
            range.clone(),
            bias.0,
            info,
        ));
        let place = self
            .modules
            .partition_point(|m| m.range.start < range.start);
        let loaded = Loaded {
            id,
            range,
            bias,
            code,
        };
        self.modules.insert(place, loaded);
    }

    /// Learns that the module whose first address this is has gone.
    pub fn remove_module(&mut self, start: u64) {
        self.modules.retain(|m| m.range.start != start);
        self.framehop.remove_module(start);
    }

    /// The frames of a stack, at most `limit` of them.
    pub fn unwind(&mut self, raw: &RawStack, limit: usize) -> Unwound {
        let mut regs = UnwindRegsX86_64::new(raw.rip, raw.rsp, raw.rbp);
        let mut address = FrameAddress::from_instruction_pointer(raw.rip);
        let mut frames = vec![self.frame(address)];
        loop {
            if frames.len() >= limit {
                return Unwound {
                    frames,
                    end: End::Limit,
                };
            }
            let before = regs.sp();
            let entry = frames.len() == 1 && raw.moment == Moment::Entry;
            let signal = self.is_signal_return(address);
            let step = match (entry, signal) {
                (true, _) => pop_return_address(raw, &mut regs),
                (false, true) => leave_signal(raw, &mut regs),
                (false, false) => self.step(raw, address, &mut regs),
            };
            address = match step {
                // A handler may run on a stack of its own, above the one that was interrupted.
                Ok(next) if regs.sp() > before || signal => next,
                Ok(_) => {
                    return Unwound {
                        frames,
                        end: End::Lost,
                    };
                }
                Err(end) => return Unwound { frames, end },
            };
            frames.push(self.frame(address));
        }
    }

    /// One step by unwind information, or by the frame pointer where there is none.
    fn step(
        &mut self,
        raw: &RawStack,
        address: FrameAddress,
        regs: &mut UnwindRegsX86_64,
    ) -> Result<FrameAddress, End> {
        let mut read = |at| raw.word(Addr(at)).ok_or(());
        let step = self
            .framehop
            .unwind_frame(address, regs, &mut self.cache, &mut read);
        match step {
            Ok(Some(next)) => FrameAddress::from_return_address(next).ok_or(End::Root),
            Ok(None) => Err(End::Root),
            Err(framehop::Error::CouldNotReadStack(at)) if at >= raw.rsp => Err(End::Cut),
            Err(_) => Err(End::Lost),
        }
    }

    fn frame(&self, address: FrameAddress) -> Frame {
        let kind = match address.is_return_address() && !self.is_signal_return(address) {
            true => FrameKind::Return,
            false => FrameKind::Exact,
        };
        let loaded = self.module_at(address.address_for_lookup());
        let vaddr = loaded.map_or(Vaddr(address.address()), |m| {
            m.bias.vaddr(Addr(address.address()))
        });
        Frame {
            module: loaded.map(|m| m.id),
            vaddr,
            kind,
        }
    }

    fn module_at(&self, at: u64) -> Option<&Loaded> {
        let after = self.modules.partition_point(|m| m.range.start <= at);
        let loaded = self.modules.get(after.checked_sub(1)?)?;
        loaded.range.contains(&at).then_some(loaded)
    }

    /// Whether this is where a signal handler returns to: `mov $__NR_rt_sigreturn, %rax; syscall`
    /// (rt_sigreturn is 15; the C library's `sa_restorer`). Debuggers know it by these bytes too.
    fn is_signal_return(&self, address: FrameAddress) -> bool {
        const RT_SIGRETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
        let at = address.address();
        let Some(loaded) = self.module_at(at) else {
            return false;
        };
        let vaddr = loaded.bias.vaddr(Addr(at)).0;
        loaded.code.iter().any(|(start, code)| {
            vaddr
                .checked_sub(start.0)
                .and_then(|skip| code.get(usize::try_from(skip).ok()?..))
                .is_some_and(|code| code.starts_with(&RT_SIGRETURN))
        })
    }
}

/// Leaves a function that has not done anything yet.
fn pop_return_address(raw: &RawStack, regs: &mut UnwindRegsX86_64) -> Result<FrameAddress, End> {
    let sp = regs.sp();
    let address = raw.word(Addr(sp)).ok_or(End::Cut)?;
    regs.set_ip(address);
    regs.set_sp(sp.checked_add(8).ok_or(End::Lost)?);
    FrameAddress::from_return_address(address).ok_or(End::Root)
}

/// Leaves a signal handler's frame for what the signal interrupted: `rsp` points at the `ucontext`
/// that the kernel made, whose general registers begin at 40 (`struct rt_sigframe` in
/// arch/x86/include/asm/sigframe.h, `struct sigcontext_64` in asm/sigcontext.h).
fn leave_signal(raw: &RawStack, regs: &mut UnwindRegsX86_64) -> Result<FrameAddress, End> {
    let sp = regs.sp();
    let saved = |index: u64| {
        let at = sp.checked_add(40 + 8 * index).ok_or(End::Lost)?;
        raw.word(Addr(at)).ok_or(End::Cut)
    };
    let (rbp, rsp, rip) = (saved(10)?, saved(15)?, saved(16)?);
    regs.set_bp(rbp);
    regs.set_sp(rsp);
    regs.set_ip(rip);
    Ok(FrameAddress::from_instruction_pointer(rip))
}

/// What the unwinder needs of a file. Section headers are asked only for what the program headers
/// do not lead to.
fn unwind_sections(sections: &Sections<'_>, file: &Bytes) -> ExplicitModuleSectionInfo<Piece> {
    let mut info = ExplicitModuleSectionInfo::default();
    let piece = |section: &Section| Piece::new(file, section.range.clone());
    let range = |section: &Section| {
        let size = section.range.len() as u64;
        section.vaddr.0..section.vaddr.0.saturating_add(size)
    };
    let table = sections.frame_header();
    let behind_table = table.as_ref().and_then(|table| {
        let at = eh_frame_address(table.vaddr, &piece(table))?;
        sections.loaded(at)
    });
    if let (Some(table), Some(eh_frame)) = (&table, &behind_table) {
        info.eh_frame_hdr_svma = Some(range(table));
        info.eh_frame_hdr = Some(piece(table));
        info.eh_frame_svma = Some(range(eh_frame));
        info.eh_frame = Some(piece(eh_frame));
    } else if let Some(eh_frame) = sections.get(".eh_frame") {
        info.eh_frame_svma = Some(range(&eh_frame));
        info.eh_frame = Some(piece(&eh_frame));
    } else if let Some(frames) = sections.get(".debug_frame") {
        info.debug_frame = inflate::content(file, &frames);
    }
    info.text_svma = sections.get(".text").as_ref().map(range);
    info
}

/// Where the table says that `.eh_frame` is, if it has an index that can be searched (LSB,
/// "Exception Frame Header").
fn eh_frame_address(at: Vaddr, table: &Piece) -> Option<Vaddr> {
    let bases = gimli::BaseAddresses::default().set_eh_frame_hdr(at.0);
    let table = gimli::EhFrameHdr::new(table, gimli::LittleEndian);
    let table = table.parse(&bases, 8).ok()?;
    table.table()?;
    match table.eh_frame_ptr() {
        gimli::Pointer::Direct(at) => Some(Vaddr(at)),
        gimli::Pointer::Indirect(_) => None,
    }
}
