//! `--list`: what could be traced of a program, or of a process. Nothing is run, and no process is touched.

mod libraries;

use crate::base::Pid;
use crate::base::addr::Vaddr;
use crate::base::printable::{printable, printable_lines};
use crate::config::{Config, Selection};
use crate::debug::{Bytes, Files};
use crate::elf::{Class, Image};
use crate::error::Error;
use crate::plan::resources::Resources;
use crate::plan::{Kind, ModuleName, Plan, Point, Sites, Stack};
use crate::program;
use crate::proto::Prototype;
use crate::proto::library::Library;
use crate::sys::root::{Last, Root};
use crate::sys::{file, proc};
use libraries::with_libraries;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes a table of what the options would have traced to standard output.
pub(super) fn list(config: Config, prototypes: Library) -> Result<u8, Error> {
    let mut files = Vec::new();
    for pid in &config.attach {
        files.extend(loaded(*pid));
    }
    if let Some(launch) = &config.launch {
        let command = program::command(launch)?;
        files.extend(with_libraries(Path::new(OsStr::from_bytes(
            command.file.as_bytes(),
        ))));
    }
    let mut told = Told::new(&prototypes, files.iter().filter_map(read).collect());
    let plan = plan(config.selection, prototypes);
    let mut rows = Vec::new();
    for number in 0..told.files.len() {
        let (name, bytes, image) = &told.files[number];
        let class = (image.class, image.go.is_some());
        for point in plan.points(image, bytes, name).points {
            let types = told.types(number, &point);
            rows.push(row(&point, class, types));
        }
    }
    rows.sort();
    rows.dedup();
    let text = table(&rows);
    // A reader that goes away wants no more.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(u8::from(rows.is_empty()))
}

/// Writes how a function is typed to standard output, and by what. Of a program, what counts for its calls.
pub(super) fn prototype(
    config: &Config,
    prototypes: &Library,
    function: &str,
) -> Result<u8, Error> {
    let mut files = Vec::new();
    if let Some(launch) = &config.launch {
        let command = program::command(launch)?;
        let path = Path::new(OsStr::from_bytes(command.file.as_bytes()));
        files.extend(with_libraries(path));
    }
    let mut told = Told::new(prototypes, files.iter().filter_map(read).collect());
    let found = match told.files.is_empty() {
        true => prototypes.all(function),
        false => told.counting(function, prototypes).into_iter().collect(),
    };
    let mut text = String::new();
    for (prototype, origin) in &found {
        text += &format!("{prototype};\n    by {origin}\n");
    }
    if found.is_empty() {
        text = format!("{function}: unknown: four words are shown\n");
    }
    let _ = io::stdout().write_all(printable_lines(&text).as_bytes());
    Ok(u8::from(found.is_empty()))
}

fn plan(selection: Selection, prototypes: Library) -> Plan {
    Plan {
        stacks: Stack::Unwanted,
        calls: (!selection.is_default).then_some(selection.imports),
        libraries: Vec::new(),
        entries: selection.entries,
        system_calls: None,
        resources: Resources::default(),
        prototypes,
        conditions: Vec::new(),
        files: false,
    }
}

/// A file that is loaded, or would be.
struct Found {
    file: File,
    path: PathBuf,
    is_main: bool,
}

/// What is told of the functions in all files, by prototypes, by debug information and by their names.
struct Told {
    files: Vec<(Arc<ModuleName>, Bytes, Image)>,
    debug: Files<usize>,
}

impl Told {
    fn new(prototypes: &Library, files: Vec<(Arc<ModuleName>, Bytes, Image)>) -> Told {
        let mut debug = Files::new(prototypes);
        for (number, (name, bytes, _)) in files.iter().enumerate() {
            debug.add(number, &name.name, name.path.clone(), bytes.clone());
        }
        Told { files, debug }
    }

    /// How much is known of the types of a function, and by what.
    fn types(&mut self, file: usize, point: &Point) -> String {
        let count = |prototype: &Prototype| match prototype.params.len() {
            1 => "1 parameter".to_owned(),
            count => format!("{count} parameters"),
        };
        if let Some(prototype) = &point.tracepoint.prototype {
            return count(prototype);
        }
        let symbol = &point.tracepoint.symbol;
        let found = match point.sites {
            Sites::Entry(at) => Some((file, at)),
            _ => self.provider(symbol),
        };
        let own = Pid(std::process::id() as i32);
        let by_debug = found.and_then(|(file, at)| self.debug.prototype(&file, own, at, symbol));
        if let Some(prototype) = by_debug {
            return format!("{} (DWARF)", count(&prototype));
        }
        let by_name = found.and_then(|(file, at)| self.debug.by_name(&file, at, symbol));
        by_name.map_or("unknown".to_owned(), |prototype| {
            format!("{} (name)", count(&prototype))
        })
    }

    /// The prototype of a function that counts, and what tells it.
    fn counting(
        &mut self,
        function: &str,
        prototypes: &Library,
    ) -> Option<(Arc<Prototype>, String)> {
        let found = self.provider(function).or_else(|| self.own(function));
        let soname = found.and_then(|(file, _)| self.files.get(file));
        let soname = soname.map_or_else(String::new, |(name, ..)| name.name.clone());
        let all = prototypes.all(function);
        let origin = |prototype: &Arc<Prototype>| {
            let mut all = all.iter();
            let same = all.find(|(known, _)| Arc::ptr_eq(known, prototype));
            same.map_or_else(String::new, |(_, origin)| origin.clone())
        };
        if let Some(prototype) = prototypes.lookup_own(function, &[&soname]) {
            let origin = origin(&prototype);
            return Some((prototype, origin));
        }
        let own = Pid(std::process::id() as i32);
        let by_debug = found.and_then(|(file, at)| self.debug.prototype(&file, own, at, function));
        if let Some(prototype) = by_debug {
            return Some((prototype, format!("debug information of {soname}")));
        }
        if let Some(prototype) = prototypes.lookup(function, &[&soname]) {
            let origin = origin(&prototype);
            return Some((prototype, origin));
        }
        let (file, at) = found?;
        let by_name = self.debug.by_name(&file, at, function)?;
        Some((by_name, format!("its name and its code in {soname}")))
    }

    /// The file that has a function which is not exported, and where.
    fn own(&self, symbol: &str) -> Option<(usize, Vaddr)> {
        let mut files = self.files.iter().enumerate();
        files.find_map(|(number, (_, bytes, _))| {
            let symbols = Image::file_symbols(bytes).ok()?;
            let function = symbols.iter().find(|function| function.name == symbol)?;
            Some((number, function.vaddr))
        })
    }

    /// The file that has an imported function, and where.
    fn provider(&self, symbol: &str) -> Option<(usize, Vaddr)> {
        let mut files = self.files.iter().enumerate();
        files.find_map(|(number, (.., image))| {
            let function = image.exports.iter().find(|export| export.name == symbol)?;
            Some((number, function.vaddr))
        })
    }
}

/// The files that a process runs code of, the program first.
fn loaded(pid: Pid) -> Vec<Found> {
    let root = Root::of(pid).ok();
    let maps = proc::maps(pid).unwrap_or_default();
    let main = proc::program(pid).ok();
    let mut known = HashSet::new();
    let code = maps.iter().filter(|map| map.executable && map.file.1 != 0);
    let fresh = code.filter(|map| known.insert(map.file));
    let found = fresh.filter_map(|map| {
        let file = root.as_ref()?.open(&map.path, Last::Any).ok()?;
        Some(Found {
            file,
            path: map.path.clone(),
            is_main: Some(&map.path) == main.as_ref(),
        })
    });
    found.collect()
}

fn read(found: &Found) -> Option<(Arc<ModuleName>, Bytes, Image)> {
    let bytes = Bytes::from(file::map(&found.file).ok()?);
    let image = Image::parse(&bytes).ok()?;
    let base = found.path.file_name()?.to_string_lossy().into_owned();
    let name = match (&image.soname, found.is_main) {
        (Some(soname), false) => soname.clone(),
        _ => base,
    };
    let name = ModuleName {
        name,
        path: found.path.to_string_lossy().into_owned(),
        is_main: found.is_main,
    };
    Some((Arc::new(name), bytes, image))
}

/// Function, module, how its calls are found, by what they would be seen, whether its types are known.
type Row = [String; 5];

fn row(point: &Point, (class, is_go): (Class, bool), types: String) -> Row {
    let tracepoint = &point.tracepoint;
    let is_plain = class == Class::Elf64 && !is_go;
    let (calls, is_recorded) = match (&point.sites, &tracepoint.kind) {
        (_, Kind::Resolver { .. }) => ("IFUNC's resolver", false),
        (Sites::Entry(_), _) => ("function", is_plain),
        (Sites::Chosen { .. }, _) => ("function, chosen by IFUNC", is_plain),
        (Sites::Code { calls, jumps }, _) => match (calls.is_empty(), jumps.is_empty()) {
            (true, true) => ("import, never called", false),
            (true, false) => ("import, PLT", is_plain),
            (false, true) => ("import, GOT", is_plain),
            (false, false) => ("import, PLT and GOT", is_plain),
        },
        (Sites::Callee { .. }, _) => ("import, by pointer", false),
    };
    [
        printable(&tracepoint.symbol).into_owned(),
        printable(&tracepoint.module.name).into_owned(),
        calls.to_owned(),
        if is_recorded { "record" } else { "stop" }.to_owned(),
        types,
    ]
}

fn table(rows: &[Row]) -> String {
    let head = ["FUNCTION", "MODULE", "CALLS", "BY", "TYPES"].map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let width = |column: usize| lines().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
    let line = |[function, module, calls, by, types]: &Row| {
        let [a, b, c, d] = widths;
        format!("{function:a$}  {module:b$}  {calls:c$}  {by:d$}  {types}\n")
    };
    lines().map(line).collect()
}
