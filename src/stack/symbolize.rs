//! Names and source lines for frames, read from debug information when they are first asked for.

use super::names::{self, Language};
use super::symbols::Symbols;
use super::{Frame, Module, ModuleId, Stacks};
use crate::base::addr::Vaddr;
use crate::debug::bytes::{Bytes, Piece};
use crate::debug::sections;
use crate::debug::separate::{self, Open};
use addr2line::{Context, LookupContinuation, LookupResult};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// One call as the source has it. A frame has several where functions were inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The function's name, as its language writes it.
    pub function: String,
    /// What language that is, as far as its name or the debug information says.
    pub language: Language,
    /// How far into the function the address is, when nothing but a symbol table names it.
    pub offset: Option<u64>,
    /// The source file.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The column in the line, from 1.
    pub column: Option<u32>,
    /// It was inlined into the next one.
    pub inlined: bool,
}

/// How far naming frames has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A module's debug information is about to be read, from a file of this size.
    Reading {
        /// The module's name.
        module: &'a str,
        /// The size of the file.
        bytes: u64,
    },
    /// So many of the frames have been named.
    Named {
        /// The frames done with.
        done: usize,
        /// The frames in all.
        total: usize,
    },
}

/// Names frames. What was read is kept, and so is every answer.
pub struct Symbolizer {
    open: Box<Open>,
    modules: HashMap<ModuleId, Debug>,
    known: HashMap<(ModuleId, Vaddr), Arc<[Location]>>,
    is_in_haste: bool,
}

/// What is known of one module's source.
struct Debug {
    lines: Option<Context<Piece>>,
    /// The file with the lines, and maybe with more symbols.
    file: Option<Bytes>,
    symbols: OnceCell<Symbols>,
}

impl Symbolizer {
    /// A symbolizer that comes by separate debug files in this way.
    pub fn new(open: impl Fn(&Module, &Path) -> Vec<Bytes> + Send + 'static) -> Symbolizer {
        Symbolizer {
            open: Box::new(open),
            modules: HashMap::new(),
            known: HashMap::new(),
            is_in_haste: false,
        }
    }

    /// Whether nothing is to be read any more, as a reader is waiting: what is not known yet has no names then.
    pub fn hurry(&mut self, is_in_haste: bool) {
        self.is_in_haste = is_in_haste;
    }

    /// Where a frame is in the source, the innermost inlined function first. Empty when nothing at
    /// all is known of it.
    pub fn resolve(&mut self, stacks: &Stacks, frame: &Frame) -> Arc<[Location]> {
        self.locate(stacks, frame, &mut |_| {})
    }

    /// The symbol around a frame as the file spells it, and how far into it the frame is. Names of debug information are
    /// no help for that.
    pub fn symbol(&mut self, stacks: &Stacks, frame: &Frame) -> Option<(String, u64)> {
        let id = frame.module?;
        let module = stacks.module(id)?;
        let open = &*self.open;
        let read = || Debug::read(module, open, &mut |_| {});
        let debug = self.modules.entry(id).or_insert_with(read);
        let at = frame.lookup();
        let (symbol, offset) = debug.symbols(module).find(at)?;
        Some((symbol.to_owned(), offset + (frame.vaddr.0 - at.0)))
    }

    /// Resolves many frames, so that later asking is quick, and tells how far it is.
    pub fn prepare(
        &mut self,
        stacks: &Stacks,
        frames: &[Frame],
        progress: &mut dyn FnMut(Progress<'_>),
    ) {
        for (done, frame) in frames.iter().enumerate() {
            self.locate(stacks, frame, progress);
            progress(Progress::Named {
                done: done + 1,
                total: frames.len(),
            });
        }
    }

    fn locate(
        &mut self,
        stacks: &Stacks,
        frame: &Frame,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Arc<[Location]> {
        let found = frame.module.and_then(|id| Some((id, stacks.module(id)?)));
        let Some((id, module)) = found else {
            return Arc::new([]);
        };
        let at = frame.lookup();
        if let Some(known) = self.known.get(&(id, at)) {
            return Arc::clone(known);
        }
        if self.is_in_haste && !self.modules.contains_key(&id) {
            return Arc::new([]);
        }
        let debug = self
            .modules
            .entry(id)
            .or_insert_with(|| Debug::read(module, &*self.open, progress));
        let locations: Arc<[Location]> = debug.locate(module, at, &*self.open).into();
        self.known.insert((id, at), Arc::clone(&locations));
        locations
    }
}

impl Debug {
    fn read(module: &Module, open: &Open, progress: &mut dyn FnMut(Progress<'_>)) -> Debug {
        let file = separate::find(module, open);
        if let Some(file) = &file {
            progress(Progress::Reading {
                module: &module.name,
                bytes: file.len() as u64,
            });
        }
        let lines = file
            .as_ref()
            .and_then(|file| Context::from_dwarf(sections::read(module, file, open)?).ok());
        Debug {
            lines,
            file,
            symbols: OnceCell::new(),
        }
    }

    fn locate(&self, module: &Module, at: Vaddr, open: &Open) -> Vec<Location> {
        let mut locations = self.source(module, at, open);
        let outermost = locations.pop();
        if outermost.as_ref().is_some_and(|l| !l.function.is_empty()) {
            locations.extend(outermost);
        } else if let Some((symbol, offset)) = self.symbols(module).find(at) {
            let (function, language) = names::demangle(symbol);
            let named = outermost.map(|l| Location {
                function: function.clone(),
                language,
                ..l
            });
            locations.push(named.unwrap_or(Location {
                function,
                language,
                offset: Some(offset),
                file: None,
                line: None,
                column: None,
                inlined: false,
            }));
        }
        // Without its name it is of no use.
        locations.retain(|location| !location.function.is_empty());
        locations
    }

    /// What the debug information says.
    fn source(&self, module: &Module, at: Vaddr, open: &Open) -> Vec<Location> {
        let mut locations = Vec::new();
        let Some(lines) = &self.lines else {
            return locations;
        };
        let mut lookup = lines.find_frames(at.0);
        let found = loop {
            match lookup {
                LookupResult::Output(found) => break found,
                LookupResult::Load { load, continuation } => {
                    lookup = continuation.resume(sections::split(module, &load, open));
                }
            }
        };
        if let Ok(mut frames) = found {
            while let Ok(Some(frame)) = frames.next() {
                locations.push(location(&frame));
            }
        }
        // Only the outermost was really called.
        let inlined = locations.len().saturating_sub(1);
        for location in &mut locations[..inlined] {
            location.inlined = true;
        }
        locations
    }

    fn symbols(&self, module: &Module) -> &Symbols {
        self.symbols.get_or_init(|| {
            let separate = self.file.as_deref().into_iter();
            let files: Vec<&[u8]> = [&module.file[..]].into_iter().chain(separate).collect();
            Symbols::read(&files)
        })
    }
}

/// The language of a compilation unit.
fn written_in(language: gimli::DwLang) -> Language {
    match language {
        gimli::DW_LANG_Rust => Language::Rust,
        gimli::DW_LANG_C_plus_plus
        | gimli::DW_LANG_C_plus_plus_03
        | gimli::DW_LANG_C_plus_plus_11
        | gimli::DW_LANG_C_plus_plus_14
        | gimli::DW_LANG_C_plus_plus_17
        | gimli::DW_LANG_C_plus_plus_20 => Language::Cpp,
        _ => Language::Unknown,
    }
}

fn location(frame: &addr2line::Frame<'_, Piece>) -> Location {
    let name = frame.function.as_ref();
    let raw = name
        .and_then(|name| name.raw_name().ok())
        .unwrap_or_default();
    let (function, mut language) = names::demangle(&raw);
    if language == Language::Unknown {
        language = name
            .and_then(|name| name.language)
            .map_or(Language::Unknown, written_in);
    }
    let place = frame.location.as_ref();
    Location {
        function,
        language,
        offset: None,
        file: place.and_then(|place| Some(place.file?.to_owned())),
        // Zero is for code that no line is the source of.
        line: place.and_then(|place| place.line).filter(|&line| line > 0),
        column: place
            .and_then(|place| place.column)
            .filter(|&column| column > 0),
        inlined: false,
    }
}
