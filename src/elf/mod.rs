//! What we take out of an ELF file. It is given bytes, often a mapped file of hundreds of
//! megabytes, touches as few of them as it can, and believes none: whatever they say ends in facts
//! or in an [`Error`].
//!
//! The segments and the dynamic section say everything that a running program needs, so that is
//! where facts come from. Section headers may be missing or lie; only `.symtab` needs them.

mod actions;
mod clones;
mod copy;
mod dynamic;
mod errno;
mod error;
#[cfg(test)]
mod fuzz_tests;
mod go;
mod imports;
mod layout;
mod notes;
mod objects;
mod references;
#[cfg(test)]
mod sample;
mod sections;
mod strings;
mod symbols;
mod system_calls;
#[cfg(test)]
mod tests;
mod thread_local;
mod unwinder;
mod versions;

use crate::base::addr::Vaddr;
use goblin::elf::header::*;
use goblin::elf::program_header::*;
use goblin::elf::{Elf, Header, ProgramHeader};
use layout::{Layout, records, slice};
use std::borrow::Cow;
use std::sync::Arc;
use strings::Strings;

pub use actions::SignalActions;
pub use copy::original_dynamic;
pub use errno::Errno;
pub use error::Error;
pub use go::Go;
pub use objects::{Object, Objects};
pub use sections::{Packing, Section, Sections};
pub use unwinder::Unwinder;

/// The facts of an ELF file.
#[derive(Clone, Debug)]
pub struct Image {
    /// 32 or 64 bits.
    pub class: Class,
    /// `e_machine`. Of a foreign architecture, nothing is read but what stands in the headers.
    pub machine: u16,
    /// Program, library, or neither.
    pub kind: Kind,
    /// Where a program begins.
    pub entry: Vaddr,
    /// The dynamic linker that a program asks for (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// The name that a library gives itself (`DT_SONAME`).
    pub soname: Option<String>,
    /// The libraries it asks for (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// Where these are looked for first, and where after the user's directories (`DT_RPATH`, `DT_RUNPATH`).
    pub rpath: Option<String>,
    #[allow(missing_docs)]
    pub runpath: Option<String>,
    /// What is loaded (`PT_LOAD`), in the order of the file.
    pub segments: Vec<Segment>,
    /// The dynamic section (`PT_DYNAMIC`).
    pub dynamic: Option<Vaddr>,
    /// Where the dynamic linker stores the address of its `r_debug`: the value of `DT_DEBUG`.
    pub debug_entry: Option<Vaddr>,
    /// What code for i386 calls `_GLOBAL_OFFSET_TABLE_` and keeps in a register (`DT_PLTGOT`).
    pub got: Option<Vaddr>,
    /// The initialiser that runs before all others (`DT_INIT`).
    pub init: Option<Vaddr>,
    /// The program headers (`PT_PHDR`).
    pub phdr: Option<Vaddr>,
    /// What identifies this very build.
    pub build_id: Option<Vec<u8>>,
    /// The functions it takes from elsewhere, those of the PLT first.
    pub imports: Vec<Import>,
    /// The functions it offers.
    pub exports: Vec<Symbol>,
    /// What there is of Go's runtime in it.
    pub go: Option<Go>,
}

/// The size of addresses (`EI_CLASS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

impl Class {
    /// The bits of an address.
    pub fn bits(self) -> u32 {
        8 * self.word() as u32
    }
}

/// What a file is for (`e_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program at fixed addresses.
    Exec,
    /// A library or a position-independent program.
    Dyn,
    /// Object files, core dumps.
    Other,
}

/// A piece of the file that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes.
    pub vaddr: Vaddr,
    /// Its size there; what goes beyond the file's content is zero.
    pub mem_size: u64,
    /// Where its content is in the file.
    pub file_offset: u64,
    /// The size of the content.
    pub file_size: u64,
    /// `PF_R`
    pub readable: bool,
    /// `PF_W`
    pub writable: bool,
    /// `PF_X`
    pub executable: bool,
}

/// A function that the file takes from elsewhere, or through its PLT from itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name; empty for an IFUNC without a symbol.
    pub symbol: String,
    /// The version of it that is asked for.
    pub version: Option<Arc<Version>>,
    /// Where the dynamic linker stores its address.
    pub slot: Vaddr,
    /// Which relocation fills the slot.
    pub binding: Binding,
    /// What the symbol table says it is.
    pub kind: SymbolKind,
    /// What the file has in the slot: of a lazily bound one, where its stub goes on.
    pub content: u64,
}

/// The version of an imported symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Such as `GLIBC_2.34`.
    pub name: String,
    /// The library that had this version when the file was linked, by its soname.
    pub library: String,
}

/// The relocation that fills the slot of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `JUMP_SLOT`: a PLT slot, perhaps bound at the first call only.
    JumpSlot,
    /// `GLOB_DAT`: bound when the file is loaded. Data without a type may hide among these.
    GlobDat,
    /// `IRELATIVE`: filled with what the resolver returns when the file is loaded.
    Irelative {
        /// The function that chooses.
        resolver: Vaddr,
    },
}

/// A function that the file defines. Names may occur twice, with different versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<N = String> {
    /// The name as the file spells it (mangled).
    pub name: N,
    /// Its first instruction, or its resolver's.
    pub vaddr: Vaddr,
    /// The size of its code; zero when it is not stated.
    pub size: u64,
    /// What kind of function it is.
    pub kind: SymbolKind,
    /// Who sees it.
    pub scope: Scope,
}

/// The same, its name where it stands in the file.
pub type InFile<'a> = Symbol<Cow<'a, str>>;

/// What a symbol table calls a function (`st_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    /// A function.
    Func,
    /// A function that chooses another when the file is loaded.
    Ifunc,
    /// Perhaps a function: the symbol has no type.
    NoType,
}

/// Who sees a symbol (the binding in `st_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Its own object file.
    Local,
    /// All modules.
    Global,
    /// All modules, unless there is another.
    Weak,
}

/// How code uses one GOT slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The opcode byte of each `call *slot(%rip)`, behind any prefixes; on i386 of `call *slot` and
    /// `call *offset(%register)`.
    pub calls: Vec<Vaddr>,
    /// The opcode byte of each `jmp *slot(%rip)` and so on: PLT stubs and tail calls.
    pub jumps: Vec<Vaddr>,
    /// The function's address goes elsewhere: into a register or memory, to be called from there
    /// or compared.
    pub escapes: bool,
}

impl Symbol {
    /// The same as one of a file.
    pub fn borrowed(&self) -> InFile<'_> {
        self.with(Cow::from(&self.name))
    }
}

impl InFile<'_> {
    /// The same with a name of its own.
    pub fn owned(&self) -> Symbol {
        self.with(self.name.to_string())
    }
}

impl<N> Symbol<N> {
    fn with<M>(&self, name: M) -> Symbol<M> {
        Symbol {
            name,
            vaddr: self.vaddr,
            size: self.size,
            kind: self.kind,
            scope: self.scope,
        }
    }
}

impl Image {
    /// Reads a whole file's facts.
    pub fn parse(bytes: &[u8]) -> Result<Image, Error> {
        let (class, header) = header(bytes)?;
        let headers = program_headers(bytes, class, &header)?;
        let address = |p_type| {
            headers
                .iter()
                .find(|h| h.p_type == p_type)
                .map(|h| Vaddr(h.p_vaddr))
        };
        let mut image = Image {
            class,
            machine: header.e_machine,
            kind: match header.e_type {
                ET_EXEC => Kind::Exec,
                ET_DYN => Kind::Dyn,
                _ => Kind::Other,
            },
            entry: Vaddr(header.e_entry),
            interpreter: interpreter(bytes, &headers),
            soname: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            segments: headers
                .iter()
                .filter(|h| h.p_type == PT_LOAD)
                .map(Segment::of)
                .collect(),
            dynamic: address(PT_DYNAMIC),
            debug_entry: None,
            got: None,
            init: None,
            phdr: address(PT_PHDR),
            build_id: notes::build_id(bytes, &headers),
            imports: Vec::new(),
            exports: Vec::new(),
            go: Go::of(bytes, &headers),
        };
        if let (EM_X86_64 | EM_386, Some(at)) = (image.machine, image.dynamic) {
            image.link(bytes, at)?;
        } else if image.machine == EM_X86_64 {
            let (class, segments) = (image.class, &image.segments);
            image.imports = imports::without_dynamic_section(Layout {
                bytes,
                class,
                segments,
            });
            image.name_resolvers(bytes);
        }
        Ok(image)
    }

    /// The function that `r_brk` of `<link.h>` points to, by the names under which dynamic linkers export it.
    pub fn linker_brk(&self) -> Option<Vaddr> {
        const NAMES: [&str; 2] = ["_dl_debug_state", "__dl_debug_state"];
        let mut exports = self.exports.iter();
        let brk = exports.find(|symbol| NAMES.contains(&symbol.name.as_str()));
        brk.map(|symbol| symbol.vaddr)
    }

    /// It is a dynamic linker, which can be asked to run a program.
    pub fn is_linker(&self) -> bool {
        self.interpreter.is_none() && self.linker_brk().is_some()
    }

    /// Where the beginning of the file is loaded, or would be.
    pub fn first_page(&self) -> Vaddr {
        let first = self.segments.iter().min_by_key(|s| s.file_offset);
        first.map_or(Vaddr(0), |s| Vaddr(s.vaddr.0.wrapping_sub(s.file_offset)))
    }

    /// What the file's architecture is called.
    pub fn architecture(&self) -> &'static str {
        match (self.machine, self.class) {
            (EM_X86_64, Class::Elf64) => "x86-64",
            (EM_X86_64, Class::Elf32) => "x32",
            (EM_386, _) => "i386",
            (machine, _) => machine_to_str(machine),
        }
    }

    /// The functions in `.symtab`, which no running program needs: local ones too. None when there
    /// is no such table. There may be a million.
    pub fn file_symbols(bytes: &[u8]) -> Result<Vec<Symbol>, Error> {
        Ok(symbols::functions(bytes)?.map(|s| s.owned()).collect())
    }

    /// The same, to be looked through where they are.
    pub fn functions(bytes: &[u8]) -> impl Iterator<Item = InFile<'_>> + Clone {
        symbols::functions(bytes).into_iter().flatten()
    }

    /// The same with what else `.symtab` names in the code, without a type: hand-written assembly often does not say what
    /// is a function. Labels in the middle of one, and data among the code, are named so too. Only those at addresses that
    /// are wanted.
    pub fn in_code<'a>(
        bytes: &'a [u8],
        is_wanted: impl Fn(Vaddr) -> bool + Clone,
    ) -> impl Iterator<Item = InFile<'a>> + Clone {
        symbols::in_code(bytes, is_wanted).into_iter().flatten()
    }

    /// Whether an address is in the code.
    pub fn is_code(&self, at: Vaddr) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| segment.executable && segment.contains(at))
    }

    /// What the file holds from an address on, to the end of its segment.
    pub fn bytes_at<'a>(&self, bytes: &'a [u8], at: Vaddr) -> &'a [u8] {
        let inside = self.segments.iter().find(|segment| segment.contains(at));
        let from = |segment: &Segment| {
            segment
                .bytes(bytes)
                .get(usize::try_from(at.0 - segment.vaddr.0).ok()?..)
        };
        inside.and_then(from).unwrap_or_default()
    }

    /// The code: the executable segments, as far as the file has them.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = (Vaddr, &'a [u8])> {
        let executable = self.segments.iter().filter(|segment| segment.executable);
        // Segments that lie may all hold the whole file.
        executable.scan(bytes.len().saturating_mul(2), move |budget, segment| {
            let code = segment.bytes(bytes);
            *budget = budget.checked_sub(code.len())?;
            Some((segment.vaddr, code))
        })
    }

    /// Adds what the dynamic section at `at` leads to.
    fn link(&mut self, bytes: &[u8], at: Vaddr) -> Result<(), Error> {
        let layout = Layout {
            bytes,
            class: self.class,
            segments: &self.segments,
        };
        if layout.from(at).is_empty() {
            return Err(Error::Outside("dynamic section"));
        }
        let dynamic = dynamic::read(layout, at);
        let table = layout.from(dynamic.strings.at);
        let mut strings = Strings::new(slice(table, 0, dynamic.strings.size));
        let imports = imports::imports(layout, self.machine, &dynamic, &mut strings)?;
        let exports = symbols::exports(layout, &dynamic, &mut strings);
        self.soname = dynamic.soname.and_then(|at| strings.get(at));
        self.needed = dynamic
            .needed
            .iter()
            .filter_map(|at| strings.get(*at))
            .collect();
        self.rpath = dynamic.rpath.and_then(|at| strings.get(at));
        self.runpath = dynamic.runpath.and_then(|at| strings.get(at));
        self.debug_entry = dynamic.debug_entry;
        self.got = dynamic.got;
        self.init = dynamic.init;
        self.imports = imports;
        self.exports = exports;
        self.name_resolvers(bytes);
        Ok(())
    }

    /// Looks for names of `IRELATIVE` imports, in `.symtab` only if there is need.
    fn name_resolvers(&mut self, bytes: &[u8]) {
        imports::name_resolvers(&mut self.imports, self.exports.iter().map(Symbol::borrowed));
        if self.imports.iter().any(|import| import.symbol.is_empty()) {
            imports::name_resolvers(&mut self.imports, Image::functions(bytes));
        }
    }
}

impl Segment {
    /// Whether this address is in it when it is loaded.
    pub fn contains(&self, at: Vaddr) -> bool {
        at >= self.vaddr && at.0 - self.vaddr.0 < self.mem_size
    }

    fn of(header: &ProgramHeader) -> Segment {
        Segment {
            vaddr: Vaddr(header.p_vaddr),
            mem_size: header.p_memsz,
            file_offset: header.p_offset,
            file_size: header.p_filesz,
            readable: header.is_read(),
            writable: header.is_write(),
            executable: header.is_executable(),
        }
    }
}

/// The ELF header, of a file that we can read on from.
fn header(bytes: &[u8]) -> Result<(Class, Header), Error> {
    if !bytes.starts_with(ELFMAG) {
        return Err(Error::NotElf);
    }
    let ident = bytes
        .first_chunk::<SIZEOF_IDENT>()
        .ok_or(Error::Outside("header"))?;
    let class = match ident[EI_CLASS] {
        ELFCLASS32 => Class::Elf32,
        ELFCLASS64 => Class::Elf64,
        class => return Err(Error::Class(class)),
    };
    if ident[EI_DATA] != ELFDATA2LSB {
        return Err(Error::Endianness);
    }
    let header = Elf::parse_header(bytes).map_err(|_| Error::Outside("header"))?;
    Ok((class, header))
}

/// More than this the kernel does not load (`load_elf_phdrs` in fs/binfmt_elf.c).
const PROGRAM_HEADERS_LIMIT: usize = 65536;

fn program_headers(
    bytes: &[u8],
    class: Class,
    header: &Header,
) -> Result<Vec<ProgramHeader>, Error> {
    const NAME: &str = "program header table";
    if header.e_phnum == 0 {
        return Ok(Vec::new());
    }
    if usize::from(header.e_phentsize) != ProgramHeader::size(class.ctx()) {
        return Err(Error::EntrySize(NAME));
    }
    let size = usize::from(header.e_phnum) * usize::from(header.e_phentsize);
    let table = slice(bytes, header.e_phoff, size as u64);
    if size > PROGRAM_HEADERS_LIMIT || table.len() < size {
        return Err(Error::Outside(NAME));
    }
    Ok(records(table, class.ctx()).collect())
}

/// The kernel reads it by file offset, up to `PATH_MAX` (`load_elf_binary` in fs/binfmt_elf.c).
fn interpreter(bytes: &[u8], headers: &[ProgramHeader]) -> Option<String> {
    let header = headers.iter().find(|header| header.p_type == PT_INTERP)?;
    Strings::new(slice(bytes, header.p_offset, header.p_filesz.min(4096))).get(0)
}
