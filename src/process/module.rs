//! One ELF file loaded into an address space.

use crate::base::addr::{Addr, Bias, Vaddr};
use crate::base::memory::Memory;
use crate::base::{Pid, message};
use crate::debug::Bytes;
use crate::elf;
use crate::plan::near::Heard;
use crate::plan::{ModuleName, Point, Tracepoint};
use crate::process::files::{self, GoneFiles};
use crate::sys;
use crate::sys::proc::Mapping;
use rustc_hash::FxHashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// PATH_MAX (linux/limits.h).
const MOST_PATH: usize = 4096;

/// A loaded module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its file, as it was planned.
    pub planned: Arc<Planned>,
    /// Where it lies, against its file.
    pub bias: Bias,
    /// In which of the dynamic linker's lists it stands: the first is the program's.
    pub namespace: usize,
    /// The addresses from its first to its last segment.
    pub range: Range<u64>,
    /// Which of the file's points have been planted here.
    pub planted: Vec<bool>,
    /// Imports whose slot the dynamic linker has not filled yet.
    pub unresolved: Vec<Arc<Tracepoint>>,
    /// Imports, as they were planted, whose provider is not known yet.
    pub untyped: Vec<Arc<Tracepoint>>,
    /// Functions that a resolver chooses, by that resolver, whose address is not known yet.
    pub unchosen: Vec<(Vaddr, Arc<Tracepoint>)>,
    /// Its setting of signal actions is watched.
    pub is_watched: bool,
    /// What matters to code that records is watched, too.
    pub is_watched_for_records: bool,
}

impl Module {
    /// A module with nothing planted.
    pub fn new(planned: Arc<Planned>, found: &Found) -> Module {
        let bias = found.bias;
        let range = range(&planned.image, bias);
        let planted = vec![false; planned.points.len()];
        Module {
            planned,
            bias,
            namespace: found.namespace,
            range,
            planted,
            unresolved: Vec::new(),
            untyped: Vec::new(),
            unchosen: Vec::new(),
            is_watched: false,
            is_watched_for_records: false,
        }
    }

    /// How it is called.
    pub fn name(&self) -> &Arc<ModuleName> {
        &self.planned.name
    }

    /// Its first instruction, of a program.
    pub fn entry(&self) -> Addr {
        self.bias.addr(self.planned.image.entry)
    }

    /// What its code keeps in a register to find its slots, when it is for i386.
    pub fn got(&self) -> Option<Addr> {
        let image = &self.planned.image;
        let got = image.got.filter(|_| image.class == elf::Class::Elf32)?;
        Some(self.bias.addr(got))
    }

    /// Whether the dynamic linker stores the address of an import here.
    pub fn has_slot(&self, at: Addr) -> bool {
        let imports = &self.planned.image.imports;
        imports
            .iter()
            .any(|import| self.bias.addr(import.slot) == at)
    }
}

/// What was taken out of a file, once for all who load it.
#[derive(Debug)]
pub struct Planned {
    /// Which file it is.
    pub key: FileKey,
    /// How it is called.
    pub name: Arc<ModuleName>,
    /// The file's facts.
    pub image: elf::Image,
    /// What is to be traced in it, and where that is seen.
    pub points: Vec<Point>,
    /// The filters of `-x`, by their indices, that mean anything in it.
    pub matched: Vec<usize>,
    /// Its functions have no names but those that it exports, and `-x` asks for some.
    pub is_stripped: bool,
    /// What is known in it of the names that `-e` and `-x` spell out.
    pub heard: Vec<Heard>,
    /// What was asked for and cannot be traced.
    pub refused: Vec<String>,
    /// What it says of where errno is.
    pub errno: Option<elf::Errno>,
    /// Where it sets signal actions.
    pub signal_actions: elf::SignalActions,
    /// Where it makes tasks by itself, if functions are traced.
    pub clones: Vec<Vaddr>,
    /// Its content, when stacks are wanted.
    pub file: Option<Bytes>,
    /// What unwinds stacks in it.
    pub unwinder: elf::Unwinder,
    /// Names that are no symbols', and what they were taken as.
    pub taken: Vec<String>,
    /// It is a dynamic linker.
    pub is_linker: bool,
    /// How long the functions are that it exports, once that was asked.
    pub sizes: OnceLock<FxHashMap<Vaddr, u64>>,
}

impl Planned {
    /// The size of a function that it exports, in bytes; zero where that is not stated.
    pub fn size_of(&self, function: Vaddr) -> u64 {
        let sizes = self.sizes.get_or_init(|| {
            // Of several names for one address the first counts.
            let exports = self.image.exports.iter().rev();
            exports.map(|symbol| (symbol.vaddr, symbol.size)).collect()
        });
        sizes.get(&function).copied().unwrap_or_default()
    }
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
    /// In which of the dynamic linker's lists it stands.
    pub namespace: usize,
    /// The name by which it was started, of the main program.
    pub started_as: Option<String>,
}

impl Found {
    /// The main program, its bias still to be found. `execfn` is where the string is that was given to execve(2)
    /// (getauxval(3), AT_EXECFN): it names the program as the user knows it, unless it is a script's name.
    ///
    /// # Errors
    /// Neither its file nor its memory can be read.
    pub fn program(
        pid: Pid,
        execfn: Addr,
        memory: &dyn Memory,
        copies: &GoneFiles,
    ) -> std::io::Result<Found> {
        let execfn = memory.read_c_string(execfn, MOST_PATH).unwrap_or_default();
        let execfn = String::from_utf8_lossy(&execfn.0);
        let path = sys::proc::program(pid)?;
        let file =
            sys::proc::open_program(pid).or_else(|why| copies.program(pid, memory).ok_or(why))?;
        let path = without_mark(pid, &path.to_string_lossy(), &file);
        let started_as = match sys::proc::is_same_file(pid, &execfn, &file) {
            true => base_name(&execfn),
            false => base_name(&path),
        };
        Ok(Found {
            file,
            path,
            bias: Bias(0),
            namespace: 0,
            started_as: Some(started_as),
        })
    }

    /// The module that has a byte at this address; `None` when no file is mapped there, but the kernel's
    /// own code.
    pub fn at(
        pid: Pid,
        maps: &[Mapping],
        at: Addr,
        bias: Bias,
        memory: &dyn Memory,
        copies: &GoneFiles,
    ) -> Option<Result<Found, String>> {
        let mapping = maps
            .iter()
            .find(|m| m.contains(at) && m.path.is_absolute())?;
        let path = mapping.path.to_string_lossy();
        Some(match copies.open(pid, maps, mapping, bias, memory) {
            Ok(file) => Ok(Found {
                path: without_mark(pid, &path, &file),
                file,
                bias,
                namespace: 0,
                started_as: None,
            }),
            Err(why) => Err(format!(
                "{path} cannot be read, and its calls are not traced: {}",
                message(&why)
            )),
        })
    }

    /// The module that is mapped here, of a process that runs. A copy is kept of one whose file cannot be had.
    pub fn ahead(
        pid: Pid,
        maps: &[Mapping],
        mapping: &Mapping,
        memory: &dyn Memory,
        copies: &mut GoneFiles,
    ) -> Option<Found> {
        if !mapping.path.is_absolute() {
            return None;
        }
        let file = match files::existing(pid, maps, mapping, memory) {
            Ok(file) => file,
            Err(_) => copies.add(maps, mapping, memory)?,
        };
        Some(Found {
            path: without_mark(pid, &mapping.path.to_string_lossy(), &file),
            file,
            bias: Bias(0),
            namespace: 0,
            started_as: None,
        })
    }

    /// It is the program that a dynamic linker was asked to run.
    pub fn run_by_linker(self) -> Found {
        let started_as = Some(base_name(&self.path));
        Found { started_as, ..self }
    }

    /// How it is called: `DT_SONAME`, or the base name; the base name for the main program.
    pub fn name(&self, image: &elf::Image) -> ModuleName {
        let name = match (&self.started_as, &image.soname) {
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => base_name(&self.path),
        };
        ModuleName {
            name,
            path: self.path.clone(),
            is_main: self.started_as.is_some(),
        }
    }
}

/// The kernel marks the path of a file that is gone (proc_pid_maps(5), proc_pid_exe(5)). A name that ends so may
/// also be the file's own.
fn without_mark(pid: Pid, path: &str, file: &File) -> String {
    match path.strip_suffix(" (deleted)") {
        Some(unmarked) if !sys::proc::is_same_file(pid, path, file) => unmarked.to_owned(),
        _ => path.to_owned(),
    }
}

fn base_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or(path.to_owned(), |name| name.to_string_lossy().into_owned())
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
