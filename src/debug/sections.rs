//! The debug sections of a file, together with the files it shares them with or has split them into.

use super::bytes::{Bytes, Piece};
use super::separate::{self, Open};
use super::{Module, inflate};
use crate::elf::Sections;
use addr2line::SplitDwarfLoad;
use gimli::{
    DebugAbbrev, DebugInfo, Dwarf, DwarfPackage, LittleEndian, Reader, Section as _, SectionId,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The debug sections of a module's debug file.
pub(crate) fn read(module: &Module, file: &Bytes, open: &Open) -> Option<Dwarf<Piece>> {
    let mut dwarf = shallow(load(file, |id| Some(id.name()))?)?;
    if let Some(shared) = separate::supplementary(module, file, open) {
        dwarf.set_sup(shallow(load(&shared, |id| Some(id.name()))?)?);
    }
    Some(dwarf)
}

/// The same, whatever its entries are like: for who does not go down them by recursion.
pub(super) fn whole(module: &Module, file: &Bytes, open: &Open) -> Option<Dwarf<Piece>> {
    let mut dwarf = load(file, |id| Some(id.name()))?;
    if let Some(shared) = separate::supplementary(module, file, open) {
        dwarf.set_sup(load(&shared, |id| Some(id.name()))?);
    }
    Some(dwarf)
}

/// A compilation unit that was split off (`-gsplit-dwarf`): in the package beside the module, or
/// where the compiler left it.
pub(crate) fn split(
    module: &Module,
    wanted: &SplitDwarfLoad<Piece>,
    open: &Open,
) -> Option<Arc<Dwarf<Piece>>> {
    packed(module, wanted, open)
        .or_else(|| unpacked(module, wanted, open))
        .map(Arc::new)
}

fn packed(module: &Module, wanted: &SplitDwarfLoad<Piece>, open: &Open) -> Option<Dwarf<Piece>> {
    let files = open(module, Path::new(&format!("{}.dwp", module.path)));
    files.iter().find_map(|file| {
        let sections = Sections::read(file).ok()?;
        let load = |id: SectionId| Ok::<_, gimli::Error>(section(file, &sections, id.dwo_name()));
        let package = DwarfPackage::load(load, Piece::default()).ok()?;
        shallow(package.find_cu(wanted.dwo_id, &wanted.parent).ok()??)
    })
}

fn unpacked(module: &Module, wanted: &SplitDwarfLoad<Piece>, open: &Open) -> Option<Dwarf<Piece>> {
    let text = |piece: &Option<Piece>| Some(piece.as_ref()?.to_string().ok()?.into_owned());
    let name = PathBuf::from(text(&wanted.path)?);
    // An absolute name replaces the directory.
    let path = Path::new(&text(&wanted.comp_dir).unwrap_or_default()).join(name);
    let files = open(module, &path);
    let mut dwarf = files
        .iter()
        .find_map(|file| shallow(load(file, SectionId::dwo_name)?))?;
    dwarf.make_dwo(&wanted.parent);
    Some(dwarf)
}

fn load(file: &Bytes, name: impl Fn(SectionId) -> Option<&'static str>) -> Option<Dwarf<Piece>> {
    let sections = Sections::read(file).ok()?;
    let load = |id| Ok::<_, gimli::Error>(section(file, &sections, name(id)));
    Dwarf::load(load).ok()
}

/// The same, unless its entries are nested too deep or take too long to read.
fn shallow(dwarf: Dwarf<Piece>) -> Option<Dwarf<Piece>> {
    let nested = depth(dwarf.debug_info.reader(), dwarf.debug_abbrev.reader())?;
    (nested <= DEPTH).then_some(dwarf)
}

/// How deep entries may be nested: the reader of inlined calls goes down by recursion. Compilers make
/// some fifty levels, and a file that wants to overflow our stack makes a million.
const DEPTH: isize = 500;

/// What all units may take. Honest ones take a second for some gigabytes; units that all begin with the same long
/// list of abbreviations take hours.
const PATIENCE: Duration = Duration::from_secs(5);

/// How deep the entries of all units are nested; nothing when that takes too long. This costs a few milliseconds for
/// each 10 MB.
fn depth(info: &[u8], abbreviations: &[u8]) -> Option<isize> {
    let begun = Instant::now();
    let info = DebugInfo::new(info, LittleEndian);
    let abbreviations = DebugAbbrev::new(abbreviations, LittleEndian);
    let mut deepest = 0;
    let mut units = info.units();
    while let Ok(Some(unit)) = units.next() {
        if begun.elapsed() > PATIENCE {
            return None;
        }
        let Ok(known) = unit.abbreviations(&abbreviations) else {
            continue;
        };
        let Ok(mut entries) = unit.entries_raw(&known, None) else {
            continue;
        };
        while !entries.is_empty() {
            deepest = deepest.max(entries.next_depth());
            let skipped = match entries.read_abbreviation() {
                Ok(Some(abbreviation)) => entries.skip_attributes(abbreviation.attributes()),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if skipped.is_err() {
                break;
            }
        }
    }
    Some(deepest)
}

/// A section's content; nothing when it is not there.
fn section(file: &Bytes, sections: &Sections<'_>, name: Option<&str>) -> Piece {
    name.and_then(|name| sections.get(name))
        .and_then(|section| inflate::content(file, &section))
        .unwrap_or_default()
}
