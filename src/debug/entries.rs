//! Entries of debug information, wherever they are: in a unit, in another one, in the file that several share, or split
//! off. Entries lead to each other by offsets, which may be anything in a damaged file.

use super::bytes::Piece;
use super::separate::Open;
use super::units::Stretches;
use super::{Module, sections};
use addr2line::SplitDwarfLoad;
use gimli::{
    Attribute, AttributeValue, DebugInfoOffset, DebugTypeSignature, DebuggingInformationEntry,
    DwAt, Dwarf, Reader, Unit, UnitOffset, UnitRef, UnitType,
};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// So many stretches of code a unit has.
const MOST_RANGES: usize = 1 << 16;

/// An entry as it stands in the file.
pub(super) type Entry = DebuggingInformationEntry<Piece>;

/// Which of the files a unit is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The module's own.
    Main,
    /// The one that several share.
    Shared,
    /// A unit that was split off, by its place among those.
    Split(usize),
}

/// Where an entry is.
#[derive(Clone)]
pub(super) struct At {
    pub(super) part: Part,
    pub(super) unit: Rc<Unit<Piece>>,
    pub(super) offset: UnitOffset,
}

/// What tells entries from each other: units stay where they are for as long as their module is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    unit: *const Unit<Piece>,
    offset: UnitOffset,
}

/// The entries of one module.
pub(super) struct Entries {
    main: Arc<Dwarf<Piece>>,
    splits: Vec<Arc<Dwarf<Piece>>>,
    /// Where the units of a part begin, in order.
    starts: HashMap<Part, Rc<[DebugInfoOffset]>>,
    units: HashMap<(Part, DebugInfoOffset), Option<Rc<Unit<Piece>>>>,
    /// Units that hold one type that others lead to, in the module's own file.
    signatures: Option<HashMap<DebugTypeSignature, At>>,
}

impl At {
    pub(super) fn key(&self) -> Key {
        Key {
            unit: Rc::as_ptr(&self.unit),
            offset: self.offset,
        }
    }

    /// Another entry of the same unit.
    pub(super) fn sibling(&self, offset: UnitOffset) -> At {
        At {
            offset,
            ..self.clone()
        }
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        self.unit.entry(self.offset).ok()
    }

    /// The entries directly below this one. A file may claim any number of them: so many are looked at.
    pub(super) fn children(&self, most: usize) -> Vec<At> {
        let mut found = Vec::new();
        let Ok(mut cursor) = self.unit.entries_at_offset(self.offset) else {
            return found;
        };
        if !matches!(cursor.next_dfs(), Ok(Some(entry)) if entry.has_children) {
            return found;
        }
        let mut next = cursor.next_dfs().ok().flatten().cloned();
        while let Some(entry) = next.filter(|entry| entry.depth() > 0) {
            if found.len() >= most {
                break;
            }
            found.push(self.sibling(entry.offset()));
            next = cursor.next_sibling().ok().flatten().cloned();
        }
        found
    }
}

impl Entries {
    pub(super) fn new(dwarf: Dwarf<Piece>) -> Entries {
        Entries {
            main: Arc::new(dwarf),
            splits: Vec::new(),
            starts: HashMap::new(),
            units: HashMap::new(),
            signatures: None,
        }
    }

    fn dwarf(&self, part: Part) -> Option<&Dwarf<Piece>> {
        match part {
            Part::Main => Some(&self.main),
            Part::Shared => self.main.sup(),
            Part::Split(index) => self.splits.get(index).map(|dwarf| &**dwarf),
        }
    }

    /// The unit together with the sections that its strings and addresses are in.
    pub(super) fn unit_ref<'a>(&'a self, at: &'a At) -> Option<UnitRef<'a, Piece>> {
        Some(UnitRef::new(self.dwarf(at.part)?, &at.unit))
    }

    /// Where the units of a part begin.
    pub(super) fn starts(&mut self, part: Part) -> Rc<[DebugInfoOffset]> {
        if let Some(known) = self.starts.get(&part) {
            return known.clone();
        }
        let mut starts = Vec::new();
        if let Some(dwarf) = self.dwarf(part) {
            let mut units = dwarf.units();
            while let Ok(Some(header)) = units.next() {
                starts.extend(header.debug_info_offset());
            }
        }
        let starts: Rc<[DebugInfoOffset]> = starts.into();
        self.starts.insert(part, starts.clone());
        starts
    }

    /// The code of units, as far as the file has a table of it, and one that can be read (`.debug_aranges`).
    pub(super) fn table(&self) -> Stretches {
        let mut stretches = Stretches::default();
        let mut headers = self.main.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next() {
                let range = entry.range();
                if range.begin < range.end {
                    stretches.add(range.begin..range.end, header.debug_info_offset());
                }
            }
        }
        stretches
    }

    /// The unit that begins here.
    pub(super) fn unit(&mut self, part: Part, start: DebugInfoOffset) -> Option<At> {
        let known = self.units.get(&(part, start)).cloned();
        let unit = known.unwrap_or_else(|| {
            let read = || {
                let dwarf = self.dwarf(part)?;
                let header = dwarf.debug_info.header_from_offset(start).ok()?;
                dwarf.unit(header).ok().map(Rc::new)
            };
            let unit = read();
            self.units.insert((part, start), unit.clone());
            unit
        })?;
        let offset = unit.header.root_offset();
        Some(At { part, unit, offset })
    }

    /// The unit that was split off from a skeleton, else the unit itself.
    pub(super) fn whole(&mut self, skeleton: At, module: &Module, open: &Open) -> At {
        let is_skeleton = matches!(skeleton.unit.header.type_(), UnitType::Skeleton(_));
        let Some(dwo_id) = skeleton
            .unit
            .dwo_id
            .filter(|_| is_skeleton || skeleton.part == Part::Main)
        else {
            return skeleton;
        };
        let load = SplitDwarfLoad {
            dwo_id,
            comp_dir: skeleton.unit.comp_dir.clone(),
            path: self.dwo_name(&skeleton),
            parent: self.main.clone(),
        };
        let Some(split) = sections::split(module, &load, open) else {
            return skeleton;
        };
        let unit = first_unit(&split, &skeleton.unit);
        self.splits.push(split);
        let part = Part::Split(self.splits.len() - 1);
        match unit {
            Some(unit) => At {
                part,
                offset: unit.header.root_offset(),
                unit: Rc::new(unit),
            },
            None => skeleton,
        }
    }

    fn dwo_name(&self, at: &At) -> Option<Piece> {
        let entry = at.entry()?;
        let name = entry
            .attr_value(gimli::DW_AT_dwo_name)
            .or_else(|| entry.attr_value(gimli::DW_AT_GNU_dwo_name))?;
        self.main.attr_string(&at.unit, name).ok()
    }

    /// The entry that an attribute of this one leads to.
    pub(super) fn follow(&mut self, at: &At, entry: &Entry, name: DwAt) -> Option<At> {
        match entry.attr(name).map(Attribute::value)? {
            AttributeValue::UnitRef(offset) => Some(at.sibling(offset)),
            AttributeValue::DebugInfoRef(offset) => self.anywhere(at.part, offset),
            AttributeValue::DebugInfoRefSup(offset) => self.anywhere(Part::Shared, offset),
            AttributeValue::DebugTypesRef(signature) => self.signed(signature),
            _ => None,
        }
    }

    fn anywhere(&mut self, part: Part, offset: DebugInfoOffset) -> Option<At> {
        let starts = self.starts(part);
        let index = starts.partition_point(|start| start.0 <= offset.0);
        let start = *starts.get(index.checked_sub(1)?)?;
        let at = self.unit(part, start)?;
        let offset = offset.to_unit_offset(&at.unit.header)?;
        Some(at.sibling(offset))
    }

    /// The type of a unit that is known by its signature.
    fn signed(&mut self, signature: DebugTypeSignature) -> Option<At> {
        if self.signatures.is_none() {
            self.signatures = Some(self.signatures());
        }
        self.signatures.as_ref()?.get(&signature).cloned()
    }

    fn signatures(&self) -> HashMap<DebugTypeSignature, At> {
        let mut found = HashMap::new();
        let mut headers = Vec::new();
        let mut units = self.main.units();
        while let Ok(Some(header)) = units.next() {
            headers.push(header);
        }
        let mut units = self.main.type_units();
        while let Ok(Some(header)) = units.next() {
            headers.push(header);
        }
        for header in headers {
            let UnitType::Type {
                type_signature,
                type_offset,
            } = header.type_()
            else {
                continue;
            };
            if let Ok(unit) = self.main.unit(header) {
                let at = At {
                    part: Part::Main,
                    unit: Rc::new(unit),
                    offset: type_offset,
                };
                found.insert(type_signature, at);
            }
        }
        found
    }

    /// A string of an entry.
    pub(super) fn text(&self, at: &At, entry: &Entry, name: DwAt) -> Option<String> {
        let value = entry.attr_value(name)?;
        let text = self.unit_ref(at)?.attr_string(value).ok()?;
        Some(text.to_string_lossy().ok()?.into_owned())
    }
}

/// The unit of a file that was split off, with what only the skeleton says.
fn first_unit(split: &Dwarf<Piece>, skeleton: &Unit<Piece>) -> Option<Unit<Piece>> {
    let mut units = split.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(mut unit) = split.unit(header) else {
            continue;
        };
        if unit.dwo_id == skeleton.dwo_id {
            unit.copy_relocated_attributes(skeleton);
            return Some(unit);
        }
    }
    None
}

/// A number that an attribute holds.
pub(super) fn number(entry: &Entry, name: DwAt) -> Option<u64> {
    let value = entry.attr_value(name)?;
    value
        .udata_value()
        .or_else(|| value.sdata_value().map(|n| n as u64))
}

/// Whether a flag is set.
pub(super) fn flag(entry: &Entry, name: DwAt) -> bool {
    matches!(entry.attr_value(name), Some(AttributeValue::Flag(true)))
}

/// The code of a unit or function, as far as it is not empty. There may be no end of ranges.
pub(super) fn code(unit: &UnitRef<'_, Piece>, entry: &Entry) -> Vec<Range<u64>> {
    let address = |name| unit.attr_address(entry.attr_value(name)?).ok()?;
    let mut found = Vec::new();
    if let Some(low) = address(gimli::DW_AT_low_pc)
        && let Some(high) = entry.attr_value(gimli::DW_AT_high_pc)
    {
        let end = match high.udata_value() {
            Some(size) => low.checked_add(size),
            None => address(gimli::DW_AT_high_pc),
        };
        found.extend(end.filter(|end| low < *end).map(|end| low..end));
    }
    let ranges = entry.attr_value(gimli::DW_AT_ranges);
    if let Some(Ok(Some(mut ranges))) = ranges.map(|ranges| unit.attr_ranges(ranges)) {
        while found.len() < MOST_RANGES
            && let Ok(Some(range)) = ranges.next()
        {
            if range.begin < range.end {
                found.push(range.begin..range.end);
            }
        }
    }
    found
}
