//! One ELF file loaded into an address space.

use crate::base::Pid;
use crate::base::addr::{Addr, Bias};
use crate::elf;
use crate::plan::{ModuleName, Point, Tracepoint};
use crate::sys;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// A loaded module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its file, as it was planned.
    pub planned: Arc<Planned>,
    /// Where it lies, against its file.
    pub bias: Bias,
    /// The addresses from its first to its last segment.
    pub range: Range<u64>,
    /// Which of the file's points have been planted here.
    pub planted: Vec<bool>,
    /// Imports whose slot the dynamic linker has not filled yet.
    pub unresolved: Vec<Arc<Tracepoint>>,
}

impl Module {
    /// A module with nothing planted.
    pub fn new(planned: Arc<Planned>, bias: Bias) -> Module {
        let range = range(&planned.image, bias);
        let planted = vec![false; planned.points.len()];
        Module {
            planned,
            bias,
            range,
            planted,
            unresolved: Vec::new(),
        }
    }

    /// How it is called.
    pub fn name(&self) -> &Arc<ModuleName> {
        &self.planned.name
    }
}

/// What was taken out of a file, once for all who load it.
#[derive(Debug)]
pub struct Planned {
    /// How it is called.
    pub name: Arc<ModuleName>,
    /// The file's facts.
    pub image: elf::Image,
    /// What is to be traced in it, and where that is seen.
    pub points: Vec<Point>,
}

/// A file by its identity: the same key means the same contents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileKey {
    /// The identity of an open file.
    pub fn of(file: &File) -> std::io::Result<FileKey> {
        let m = file.metadata()?;
        Ok(FileKey {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
        })
    }
}

/// A module that is in memory, before anything was read of its file.
pub struct Found {
    /// Its file.
    pub file: File,
    /// The path of it, as the process sees it.
    pub path: String,
    /// Where it lies, against its file.
    pub bias: Bias,
    /// It is the main program.
    pub is_main: bool,
}

impl Found {
    /// The main program.
    pub fn program(pid: Pid, bias: Bias) -> std::io::Result<Found> {
        let path = sys::proc::program(pid)?.to_string_lossy().into_owned();
        Ok(Found {
            file: sys::proc::open_program(pid)?,
            path,
            bias,
            is_main: true,
        })
    }

    /// The module that has a byte at this address.
    pub fn at(pid: Pid, maps: &[sys::proc::Mapping], at: Addr, bias: Bias) -> Option<Found> {
        let mapping = maps
            .iter()
            .find(|m| m.contains(at) && m.path.is_absolute())?;
        let path = mapping.path.to_string_lossy();
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned();
        Some(Found {
            file: sys::proc::open_mapped(pid, mapping).ok()?,
            path,
            bias,
            is_main: false,
        })
    }

    /// How it is called: `DT_SONAME`, or the base name; the base name for the main program.
    pub fn name(&self, image: &elf::Image) -> ModuleName {
        let base = Path::new(&self.path)
            .file_name()
            .map_or(self.path.clone(), |n| n.to_string_lossy().into_owned());
        let name = match &image.soname {
            Some(soname) if !self.is_main => soname.clone(),
            _ => base,
        };
        ModuleName {
            name,
            path: self.path.clone(),
            is_main: self.is_main,
        }
    }
}

/// Where the segments of an image with this bias lie.
fn range(image: &elf::Image, bias: Bias) -> Range<u64> {
    let start = image
        .segments
        .iter()
        .map(|s| bias.addr(s.vaddr).0)
        .min()
        .unwrap_or(0);
    let end = image
        .segments
        .iter()
        .map(|s| bias.addr(s.vaddr).0.saturating_add(s.mem_size))
        .max()
        .unwrap_or(0);
    start..end.max(start)
}
