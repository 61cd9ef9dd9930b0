//! `--list`: what could be traced of a program, or of a process. Nothing is run, and no process is touched.

use crate::base::Pid;
use crate::base::printable::printable;
use crate::config::{Config, Selection};
use crate::elf::{Class, Image};
use crate::error::Error;
use crate::plan::resources::Resources;
use crate::plan::{Kind, ModuleName, Plan, Point, Sites, Stack};
use crate::program;
use crate::proto::library::Library;
use crate::sys::mapped::Mapped;
use crate::sys::root::{Last, Root};
use crate::sys::{file, proc};
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
    let plan = plan(config.selection, prototypes);
    let mut rows = Vec::new();
    for (name, bytes, image) in files.iter().filter_map(read) {
        let points = plan.points(&image, &bytes, &name).points;
        rows.extend(points.iter().map(|point| row(point, &image)));
    }
    rows.sort();
    rows.dedup();
    let text = table(&rows);
    // A reader that goes away wants no more.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(u8::from(rows.is_empty()))
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
        files: false,
    }
}

/// A file that is loaded, or would be.
struct Found {
    file: File,
    path: PathBuf,
    is_main: bool,
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

/// Where a dynamic linker looks for libraries when nothing else is said (ld.so(8)).
const DIRECTORIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/lib32",
    "/usr/lib32",
];

/// A program and the libraries that it asks for, as far as they are in the usual places.
fn with_libraries(program: &Path) -> Vec<Found> {
    let own = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&own).collect();
    directories.extend(DIRECTORIES.map(PathBuf::from));
    let mut found: Vec<Found> = Vec::new();
    let mut known = HashSet::new();
    let mut wanted = vec![(program.to_owned(), true)];
    while let Some((path, is_main)) = wanted.pop() {
        let Ok(file) = file::open(&path) else {
            continue;
        };
        let found_here = Found {
            file,
            path,
            is_main,
        };
        if let Some((_, _, image)) = read(&found_here) {
            let fresh = image
                .needed
                .into_iter()
                .filter(|name| known.insert(name.clone()));
            for name in fresh {
                let mut places = directories.iter().map(|directory| directory.join(&name));
                wanted.extend(
                    places
                        .find(|place| is_for(place, image.class))
                        .map(|p| (p, false)),
                );
            }
            found.push(found_here);
        }
    }
    found
}

fn is_for(path: &Path, class: Class) -> bool {
    let image = file::open(path).ok().and_then(|file| file::map(&file).ok());
    image.is_some_and(|bytes| Image::parse(&bytes).is_ok_and(|image| image.class == class))
}

fn read(found: &Found) -> Option<(Arc<ModuleName>, Mapped, Image)> {
    let bytes = file::map(&found.file).ok()?;
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

fn row(point: &Point, image: &Image) -> Row {
    let tracepoint = &point.tracepoint;
    let is_plain = image.class == Class::Elf64 && image.go.is_none();
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
    let prototype = match &tracepoint.prototype {
        Some(prototype) => match prototype.params.len() {
            1 => "1 parameter".to_owned(),
            count => format!("{count} parameters"),
        },
        None => "unknown".to_owned(),
    };
    [
        printable(&tracepoint.symbol).into_owned(),
        printable(&tracepoint.module.name).into_owned(),
        calls.to_owned(),
        if is_recorded { "record" } else { "stop" }.to_owned(),
        prototype,
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
