//! Call frame information: how to find, from any instruction of a file, the frame of its caller
//! (DWARF 5, 6.4; LSB, "Exception Frames").

use super::raw::{RBP, RIP, RSP};
use super::unwind::CallerRule;
use crate::base::addr::Vaddr;
use crate::debug::bytes::{Bytes, Piece};
use crate::debug::inflate;
use crate::elf::{Section, Sections};
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EhFrameHdr, Encoding, Expression,
    FrameDescriptionEntry, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindOffset,
    UnwindSection, UnwindTableRow,
};
use std::ops::Range;

/// The call frame information of one file. What the one section leaves out may be in the other: where C and Go are
/// linked together, `.eh_frame` covers the one and `.debug_frame` the other.
#[derive(Default)]
pub(super) struct Cfi {
    parts: Vec<Part>,
}

/// That of one section.
struct Part {
    bases: BaseAddresses,
    table: Table,
}

/// Where it is, and what leads to the entry for an address.
enum Table {
    /// `.eh_frame` with the table that the linker made for the run-time unwinder.
    Searched(Sorted, EhFrame<Piece>),
    /// `.eh_frame` without.
    Exceptions(Index, EhFrame<Piece>),
    /// `.debug_frame`
    Debug(Index, DebugFrame<Piece>),
}

/// The linker's table: pairs of a function's address and its entry's, by the first. Both are relative
/// to the header of the table.
struct Sorted {
    header: Vaddr,
    eh_frame: Vaddr,
    pairs: Piece,
}

/// The entries of a section: first address and offset of each, by address.
type Index = Vec<(u64, usize)>;

/// The parts of a function, ascending, and how the caller of a frame in each is found.
pub(super) type FunctionRules = Vec<(Range<u64>, CallerRule)>;

/// So many rows of a function are looked at: the largest have some thousands.
const MOST_ROWS: usize = 1 << 15;

/// How the caller's registers follow from those of a frame at one instruction.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The canonical frame address: the stack pointer before the return address was pushed.
    pub(super) cfa: CfaRule<usize>,
    /// The registers for which there is a rule.
    pub(super) rules: Vec<(Register, RegisterRule<usize>)>,
    /// The frame is one that the kernel made for a signal handler to return to.
    pub(super) is_signal: bool,
    pub(super) encoding: Encoding,
    /// Which part of the information it is from.
    part: usize,
}

impl Cfi {
    /// What a file has. Section headers are asked only for what the program headers do not lead to.
    pub(super) fn of(sections: &Sections<'_>, file: &Bytes) -> Cfi {
        let loaded = searched(sections, file).or_else(|| exceptions(sections, file));
        let parts = loaded.into_iter().chain(debug(sections, file)).collect();
        Cfi { parts }
    }

    /// The rules at an instruction.
    pub(super) fn row(&self, at: Vaddr, context: &mut UnwindContext<usize>) -> Option<Row> {
        let rows = self.parts.iter().enumerate();
        rows.into_iter().find_map(|(index, part)| {
            let row = part.row(at, context)?;
            Some(Row { part: index, ..row })
        })
    }

    /// How callers are found in all of the function around an instruction: by its parts.
    pub(super) fn function(&self, at: Vaddr) -> Option<FunctionRules> {
        let mut context = UnwindContext::new();
        self.parts
            .iter()
            .find_map(|part| part.function(at, &mut context))
    }

    /// The bytes of an expression of one of the rows.
    pub(super) fn expression(
        &self,
        row: &Row,
        place: &UnwindExpression<usize>,
    ) -> Option<Expression<Piece>> {
        match &self.parts.get(row.part)?.table {
            Table::Searched(_, section) | Table::Exceptions(_, section) => place.get(section).ok(),
            Table::Debug(_, section) => place.get(section).ok(),
        }
    }
}

impl Row {
    fn of(row: &UnwindTableRow<usize>, fde: &FrameDescriptionEntry<Piece>) -> Row {
        Row {
            cfa: row.cfa().clone(),
            rules: row.registers().cloned().collect(),
            is_signal: fde.is_signal_trampoline(),
            encoding: fde.cie().encoding(),
            part: 0,
        }
    }

    /// The same, if it is as simple as most are.
    pub(super) fn compact(&self) -> CallerRule {
        compact(&self.cfa, self.rules.iter(), self.is_signal)
    }
}

/// A row's rules, if they are as simple as most are.
fn compact<'r>(
    cfa: &CfaRule<usize>,
    rules: impl Iterator<Item = &'r (Register, RegisterRule<usize>)> + Clone,
    is_signal: bool,
) -> CallerRule {
    let rule = |number: u16| {
        let found = rules.clone().find(|(register, _)| register.0 == number);
        found.map(|(_, rule)| rule)
    };
    let (by_rbp, offset) = match *cfa {
        CfaRule::RegisterAndOffset { register, offset } if register.0 == RSP => (false, offset),
        CfaRule::RegisterAndOffset { register, offset } if register.0 == RBP => (true, offset),
        _ => return CallerRule::Other,
    };
    let rbp = match rule(RBP) {
        None | Some(RegisterRule::SameValue) => 0,
        Some(RegisterRule::Offset(offset)) if *offset < 0 => *offset,
        _ => return CallerRule::Other,
    };
    match (rule(RIP), rule(RSP)) {
        _ if is_signal => CallerRule::Other,
        (None | Some(RegisterRule::Undefined), None) => CallerRule::Root,
        (Some(RegisterRule::Offset(-8)), None) => CallerRule::Frame {
            by_rbp,
            offset,
            rbp,
        },
        _ => CallerRule::Other,
    }
}

impl Part {
    fn row(&self, at: Vaddr, context: &mut UnwindContext<usize>) -> Option<Row> {
        let offset = self.offset(at)?;
        match &self.table {
            Table::Searched(_, section) | Table::Exceptions(_, section) => {
                self.entry(section, offset, at, context)
            }
            Table::Debug(_, section) => self.entry(section, offset, at, context),
        }
    }

    fn function(&self, at: Vaddr, context: &mut UnwindContext<usize>) -> Option<FunctionRules> {
        let offset = self.offset(at)?;
        match &self.table {
            Table::Searched(_, section) | Table::Exceptions(_, section) => {
                self.all(section, offset, at, context)
            }
            Table::Debug(_, section) => self.all(section, offset, at, context),
        }
    }

    /// The offset of the entry that an address may be in.
    fn offset(&self, at: Vaddr) -> Option<usize> {
        match &self.table {
            Table::Searched(table, _) => table.search(at),
            Table::Exceptions(index, _) | Table::Debug(index, _) => {
                let after = index.partition_point(|(start, _)| *start <= at.0);
                index.get(after.checked_sub(1)?).map(|(_, offset)| *offset)
            }
        }
    }

    fn all<S>(
        &self,
        section: &S,
        offset: usize,
        at: Vaddr,
        context: &mut UnwindContext<usize>,
    ) -> Option<FunctionRules>
    where
        S: UnwindSection<Piece>,
        S::Offset: UnwindOffset<usize>,
    {
        let fde = section
            .fde_from_offset(&self.bases, S::Offset::from(offset), S::cie_from_offset)
            .ok()
            .filter(|fde| fde.contains(at.0))?;
        let mut rows = fde.rows(section, &self.bases, context).ok()?;
        let mut rules = FunctionRules::new();
        for _ in 0..MOST_ROWS {
            let Ok(Some(row)) = rows.next_row() else {
                break;
            };
            let rule = compact(row.cfa(), row.registers(), fde.is_signal_trampoline());
            match rules.last_mut() {
                Some((range, last)) if *last == rule && range.end == row.start_address() => {
                    range.end = row.end_address();
                }
                _ => rules.push((row.start_address()..row.end_address(), rule)),
            }
        }
        Some(rules)
    }

    fn entry<S>(
        &self,
        section: &S,
        offset: usize,
        at: Vaddr,
        context: &mut UnwindContext<usize>,
    ) -> Option<Row>
    where
        S: UnwindSection<Piece>,
        S::Offset: UnwindOffset<usize>,
    {
        let fde = section
            .fde_from_offset(&self.bases, S::Offset::from(offset), S::cie_from_offset)
            .ok()?;
        let row = fde
            .unwind_info_for_address(section, &self.bases, context, at.0)
            .ok()?;
        Some(Row::of(row, &fde))
    }
}

impl Sorted {
    /// The table behind the header, in the one form that linkers give it (LSB, "Exception Frame
    /// Header"): 4-byte count, `DW_EH_PE_datarel | DW_EH_PE_sdata4`.
    fn of(header: &Section, eh_frame: Vaddr, file: &Bytes) -> Option<Sorted> {
        const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        let bytes = Piece::new(file, header.range.clone());
        let (form, rest) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*rest.get(4..)?.first_chunk::<4>()?);
        let start = header.range.start + 12;
        let end = start.saturating_add(count as usize * 8);
        (*form == FORM && count > 0).then(|| Sorted {
            header: header.vaddr,
            eh_frame,
            pairs: Piece::new(file, start..end.min(header.range.end)),
        })
    }

    /// The offset in `.eh_frame` of the entry for an address, if there is one.
    fn search(&self, at: Vaddr) -> Option<usize> {
        let (pairs, _) = self.pairs.as_chunks::<8>();
        let address = |word: Option<&[u8; 4]>| {
            let offset = i32::from_le_bytes(*word?);
            Some(self.header.0.wrapping_add_signed(offset.into()))
        };
        let after = pairs.partition_point(|p| address(p.first_chunk()).is_some_and(|a| a <= at.0));
        let pair = pairs.get(after.checked_sub(1)?)?;
        let offset = address(pair.last_chunk())?.checked_sub(self.eh_frame.0)?;
        usize::try_from(offset).ok()
    }
}

/// `.eh_frame` by way of `PT_GNU_EH_FRAME`.
fn searched(sections: &Sections<'_>, file: &Bytes) -> Option<Part> {
    let header = sections.frame_header()?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(header.vaddr.0);
    let parsed = EhFrameHdr::from(Piece::new(file, header.range.clone()));
    let parsed = parsed.parse(&bases, 8).ok()?;
    let at = Vaddr(parsed.eh_frame_ptr().direct().ok()?);
    let (bases, section) = eh_frame(bases, &sections.loaded(at)?, sections, file);
    let table = match Sorted::of(&header, at, file) {
        Some(table) => Table::Searched(table, section),
        None => Table::Exceptions(index(&section, &bases), section),
    };
    Some(Part { bases, table })
}

/// `.eh_frame` by its name.
fn exceptions(sections: &Sections<'_>, file: &Bytes) -> Option<Part> {
    let (bases, section) = eh_frame(
        BaseAddresses::default(),
        &sections.get(".eh_frame")?,
        sections,
        file,
    );
    let table = Table::Exceptions(index(&section, &bases), section);
    Some(Part { bases, table })
}

fn eh_frame(
    bases: BaseAddresses,
    section: &Section,
    sections: &Sections<'_>,
    file: &Bytes,
) -> (BaseAddresses, EhFrame<Piece>) {
    let text = sections.get(".text").map_or(0, |text| text.vaddr.0);
    let bases = bases.set_eh_frame(section.vaddr.0).set_text(text);
    let mut section = EhFrame::from(Piece::new(file, section.range.clone()));
    section.set_address_size(8);
    (bases, section)
}

fn debug(sections: &Sections<'_>, file: &Bytes) -> Option<Part> {
    let content = inflate::content(file, &sections.get(".debug_frame")?)?;
    let bases = BaseAddresses::default();
    let mut section = DebugFrame::from(content);
    section.set_address_size(8);
    let table = Table::Debug(index(&section, &bases), section);
    Some(Part { bases, table })
}

/// Looks at every entry of a section, up to the first that makes no sense.
fn index<S>(section: &S, bases: &BaseAddresses) -> Index
where
    S: UnwindSection<Piece>,
{
    let mut index = Vec::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(fde) = entry else {
            continue;
        };
        if let Ok(fde) = fde.parse(S::cie_from_offset) {
            index.push((fde.initial_address(), fde.offset()));
        }
    }
    index.sort_unstable();
    index
}
