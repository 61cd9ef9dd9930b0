//! Where a module's debug information is: in the file itself, or in a separate one that the
//! distribution or the builder keeps.

use super::bytes::{Bytes, Piece};
use super::{Module, inflate};
use crate::elf::Sections;
use crate::sys::file;
use crate::sys::root::Last;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How separate files are come by: maps or reads those at a path that may be meant for a module, the likeliest first.
/// Where a process has a root of its own there may be two.
pub(crate) type Open = dyn Fn(&Module, &Path) -> Vec<Bytes> + Send;

/// Files of debug information, as a module names them: below the root of its process, and below ours.
pub fn below_roots(module: &Module, path: &Path) -> Vec<Bytes> {
    let root = module.root.as_ref();
    let theirs = root.and_then(|root| root.open(path, Last::Any).ok());
    let files = theirs.into_iter().chain(file::open(path).ok());
    let mapped = files.filter_map(|file| file::map(&file).ok());
    mapped.map(Bytes::from).collect()
}

/// Where distributions keep separate debug files (GDB manual, "Separate Debug Files").
const DEBUG_DIRECTORY: &str = "/usr/lib/debug";

/// The file that has the module's debug information; `None` when there is none anywhere.
pub(crate) fn find(module: &Module, open: &Open) -> Option<Bytes> {
    let sections = Sections::read(&module.file).ok()?;
    if sections.get(".debug_info").is_some() {
        return Some(module.file.clone());
    }
    let build_id = sections.build_id().or_else(|| module.build_id.clone());
    let by_build_id = build_id.as_deref().and_then(|id| {
        let files = open(module, &by_build_id(id)?);
        files.into_iter().find(|file| has_build_id(file, id))
    });
    by_build_id.or_else(|| linked(module, &sections, build_id.as_deref(), open))
}

/// The supplementary file that several debug files share, if this one has such
/// (`.gnu_debugaltlink`, as `dwz -m` makes: a path and a build id).
pub(crate) fn supplementary(module: &Module, file: &Bytes, open: &Open) -> Option<Bytes> {
    let sections = Sections::read(file).ok()?;
    let link = inflate::content(file, &sections.get(".gnu_debugaltlink")?)?;
    let (name, id) = split_name(&link)?;
    let beside = Path::new(&module.path).parent()?.join(name);
    [Some(beside), by_build_id(id)]
        .into_iter()
        .flatten()
        .flat_map(|path| open(module, &path))
        .find(|file| has_build_id(file, id))
}

/// `/usr/lib/debug/.build-id/ab/cdef….debug`
fn by_build_id(id: &[u8]) -> Option<PathBuf> {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (directory, name) = hex.split_at_checked(2)?;
    let path = format!("{DEBUG_DIRECTORY}/.build-id/{directory}/{name}.debug");
    (!name.is_empty()).then(|| path.into())
}

/// The file that `.gnu_debuglink` names (objcopy(1), `--add-gnu-debuglink`: a name and, aligned to
/// 4, the CRC-32 of the file), in the three places where debuggers look.
fn linked(
    module: &Module,
    sections: &Sections<'_>,
    build_id: Option<&[u8]>,
    open: &Open,
) -> Option<Bytes> {
    let link = inflate::content(&module.file, &sections.get(".gnu_debuglink")?)?;
    let (name, _) = split_name(&link)?;
    let crc = link.get(name.len() + 1..)?;
    let crc = crc.get((name.len() + 1).next_multiple_of(4) - name.len() - 1..)?;
    let crc = u32::from_le_bytes(*crc.first_chunk::<4>()?);
    // The name must not lead elsewhere.
    let name = Path::new(name).file_name()?;
    let directory = Path::new(&module.path).parent()?;
    let below = directory.strip_prefix("/").unwrap_or(directory);
    let places = [
        directory.join(name),
        directory.join(".debug").join(name),
        Path::new(DEBUG_DIRECTORY).join(below).join(name),
    ];
    places
        .iter()
        .flat_map(|path| open(module, path))
        .find(|file| match (build_id, build_id_of(file)) {
            // Cheaper than a checksum over hundreds of megabytes, and as good.
            (Some(wanted), Some(found)) => wanted == found,
            _ => file.len() <= SUMMED && checksum(file) == crc,
        })
}

/// A name that ends with NUL, and what follows.
fn split_name(link: &Piece) -> Option<(&OsStr, &[u8])> {
    let end = link.iter().position(|&byte| byte == 0)?;
    Some((OsStr::from_bytes(&link[..end]), &link[end + 1..]))
}

fn build_id_of(file: &Bytes) -> Option<Vec<u8>> {
    Sections::read(file).ok()?.build_id()
}

fn has_build_id(file: &Bytes, id: &[u8]) -> bool {
    build_id_of(file).as_deref() == Some(id)
}

/// Larger files have build ids by which they are known; summing this one up takes a second.
const SUMMED: usize = 2 << 30;

fn checksum(file: &Bytes) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(file);
    crc.sum()
}
