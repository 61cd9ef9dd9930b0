//! Source lines and names out of debug information, wherever compilers, linkers and distributions put
//! it: packed, split off, in files of their own, or left out.

use crate::support::fixture::file;
use crate::support::lines::line;
use crate::support::scratch;
use crate::support::skip::{find, skip};
use ltrace::base::addr::Vaddr;
use ltrace::elf::{Image, Symbol};
use ltrace::stack::names::{Language, abbreviate};
use ltrace::stack::{Bytes, Frame, FrameKind, Location, Module, Progress, Stacks, Symbolizer};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A place for one test's files.
struct Build {
    dir: PathBuf,
}

impl Build {
    fn new(name: &str) -> Build {
        let dir = scratch(&format!("lines-{name}"));
        Build { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a command in the directory; false, and the case skipped, where it is missing or refuses.
    fn run(&self, command: &str) -> bool {
        let words: Vec<&str> = command.split_whitespace().collect();
        if find(words[0]).is_none() {
            skip(&format!("{} is not installed", words[0]));
            return false;
        }
        let output = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&self.dir)
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            skip(&format!("{command}: {}", said.lines().next().unwrap_or("")));
        }
        output.status.success()
    }

    /// Builds the fixture as `program`, with these flags too.
    fn compile(&self, compiler: &str, flags: &str) -> bool {
        let source = file("stacks.cc");
        let source = source.display();
        self.run(&format!(
            "{compiler} -g -O1 -pthread {flags} {source} -o program"
        ))
    }
}

fn open(path: &Path) -> Option<Bytes> {
    Some(std::fs::read(path).ok()?.into())
}

/// A program whose addresses are to be named.
struct Subject {
    stacks: Stacks,
    symbolizer: Symbolizer,
    module: Module,
}

impl Subject {
    fn new(program: &Path, open: impl Fn(&Path) -> Option<Bytes> + Send + 'static) -> Subject {
        let module = Module {
            name: "program".into(),
            path: program.to_string_lossy().into_owned(),
            build_id: None,
            root: None,
            file: std::fs::read(program).unwrap().into(),
        };
        Subject {
            stacks: Stacks::default(),
            symbolizer: Symbolizer::new(move |_, path| open(path).into_iter().collect()),
            module,
        }
    }

    fn at(&mut self, vaddr: u64) -> Vec<Location> {
        let frame = Frame {
            module: Some(self.stacks.add_module(self.module.clone())),
            vaddr: Vaddr(vaddr),
            kind: FrameKind::Exact,
        };
        self.symbolizer.resolve(&self.stacks, &frame).to_vec()
    }

    /// What is said of each address of a function.
    fn function(&mut self, symbol: &Symbol) -> Vec<Vec<Location>> {
        let range = symbol.vaddr.0..symbol.vaddr.0 + symbol.size;
        range.map(|vaddr| self.at(vaddr)).collect()
    }
}

/// A function of an unstripped program.
fn symbol(program: &Path, name: &str) -> Symbol {
    let symbols = Image::file_symbols(&std::fs::read(program).unwrap()).unwrap();
    let found = symbols.into_iter().find(|s| s.name == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

fn brief(location: &Location) -> (String, Option<u32>, bool) {
    let name = abbreviate(&location.function, location.language);
    (name, location.line, location.inlined)
}

/// Somewhere in `aligned`, `keep` is inlined, with the lines of both; and `main` has its lines.
#[track_caller]
fn check_lines(subject: &mut Subject, unstripped: &Path) {
    let places = subject.function(&symbol(unstripped, "_Z7alignedi"));
    let expected = [
        ("keep".to_owned(), Some(line("stacks.cc", "keep")), true),
        (
            "aligned".to_owned(),
            Some(line("stacks.cc", "aligned")),
            false,
        ),
    ];
    assert!(
        places
            .iter()
            .any(|l| l.iter().map(brief).eq(expected.clone())),
        "{:#?}",
        places.last()
    );
    let first = &places[0][0];
    assert!(
        first
            .file
            .as_deref()
            .is_some_and(|f| f.ends_with("/stacks.cc"))
    );
    assert_eq!((first.offset, first.language), (None, Language::Cpp));
    let main = subject.function(&symbol(unstripped, "main"));
    for name in ["main raises", "main dives"] {
        let place = ("main".to_owned(), Some(line("stacks.cc", name)), false);
        let here = |l: &Vec<Location>| l.iter().map(brief).eq([place.clone()]);
        assert!(main.iter().any(here), "{name}");
    }
}

fn check(name: &str, compiler: &str, flags: &str, commands: &[&str]) {
    let build = Build::new(name);
    if build.compile(compiler, flags) && commands.iter().all(|command| build.run(command)) {
        let program = build.path("program");
        check_lines(&mut Subject::new(&program, open), &program);
    }
}

#[test]
fn of_every_version_of_dwarf_and_both_compilers() {
    check("gcc-4", "g++", "-gdwarf-4", &[]);
    check("gcc-5", "g++", "-gdwarf-5", &[]);
    check("static", "g++", "-static", &[]);
    check("no-pie", "g++", "-no-pie", &[]);
    check("clang-4", "clang++", "-gdwarf-4", &[]);
    check("clang-5", "clang++", "-gdwarf-5", &[]);
}

#[test]
fn packed() {
    check("zlib", "g++", "-gz=zlib", &[]);
    check("zlib-gnu", "g++", "-gz=zlib-gnu", &[]);
    let zstd = "objcopy --compress-debug-sections=zstd program";
    check("zstd", "g++", "", &[zstd]);
}

#[test]
fn split_off() {
    check("dwo-4", "g++", "-gsplit-dwarf -gdwarf-4", &[]);
    check("dwo-5", "g++", "-gsplit-dwarf -gdwarf-5", &[]);
    let build = Build::new("dwp");
    // binutils' dwp knows DWARF 4 only.
    if build.compile("g++", "-gsplit-dwarf -gdwarf-4") && build.run("dwp -e program -o program.dwp")
    {
        let program = build.path("program");
        let open = |path: &Path| open(path).filter(|_| path.ends_with("program.dwp"));
        check_lines(&mut Subject::new(&program, open), &program);
    }
}

/// Builds the program, its debug information apart in `program.debug`, and the whole as `unstripped`.
fn separate(build: &Build, flags: &str) -> bool {
    build.compile("g++", flags)
        && build.run("cp program unstripped")
        && build.run("objcopy --only-keep-debug program program.debug")
        && build.run("strip program")
}

#[test]
fn in_a_file_found_by_build_id() {
    let build = Build::new("build-id");
    if !separate(&build, "-Wl,--build-id=0xabcdef0123") {
        return;
    }
    let debug = build.path("program.debug");
    let expected = Path::new("/usr/lib/debug/.build-id/ab/cdef0123.debug");
    let program = build.path("program");
    let by_id = move |path: &Path| open(&debug).filter(|_| path == expected);
    check_lines(
        &mut Subject::new(&program, by_id),
        &build.path("unstripped"),
    );
    // Another build's debug information would only mislead.
    let other = Build::new("build-id-other");
    if separate(&other, "-Wl,--build-id=0xabcdef0124") {
        let debug = other.path("program.debug");
        let mut subject = Subject::new(&program, move |_| open(&debug));
        let aligned = symbol(&build.path("unstripped"), "_Z7alignedi");
        assert_eq!(subject.at(aligned.vaddr.0), []);
    }
}

#[test]
fn in_a_file_found_by_debug_link() {
    let build = Build::new("debug-link");
    if !separate(&build, "-Wl,--build-id=none")
        || !build.run("objcopy --add-gnu-debuglink=program.debug program")
    {
        return;
    }
    let (program, unstripped) = (build.path("program"), build.path("unstripped"));
    check_lines(&mut Subject::new(&program, open), &unstripped);
    std::fs::create_dir(build.path(".debug")).unwrap();
    std::fs::rename(
        build.path("program.debug"),
        build.path(".debug/program.debug"),
    )
    .unwrap();
    check_lines(&mut Subject::new(&program, open), &unstripped);
    // The checksum no longer fits.
    let mut bytes = std::fs::read(build.path(".debug/program.debug")).unwrap();
    bytes.push(0);
    std::fs::write(build.path(".debug/program.debug"), bytes).unwrap();
    let aligned = symbol(&unstripped, "_Z7alignedi");
    assert_eq!(Subject::new(&program, open).at(aligned.vaddr.0), []);
}

#[test]
fn shared_between_files() {
    let build = Build::new("dwz");
    if separate(&build, "-gdwarf-4")
        && build.run("cp program.debug second.debug")
        && build.run("dwz -m shared.debug program.debug second.debug")
    {
        let debug = build.path("program.debug");
        let shared = build.path("shared.debug");
        let open = move |path: &Path| match path.ends_with("shared.debug") {
            true => open(&shared),
            false => open(&debug),
        };
        let unstripped = build.path("unstripped");
        check_lines(&mut Subject::new(&build.path("program"), open), &unstripped);
    }
}

#[test]
fn of_a_stripped_program_only_what_it_exports() {
    let build = Build::new("stripped");
    if !separate(&build, "-rdynamic") {
        return;
    }
    let mut subject = Subject::new(&build.path("program"), |_| None);
    let aligned = symbol(&build.path("unstripped"), "_Z7alignedi");
    let named = subject.at(aligned.vaddr.0 + 3);
    let [location] = &named[..] else {
        panic!("{named:#?}");
    };
    assert_eq!(location.function, "aligned(int)");
    assert_eq!((location.offset, location.line), (Some(3), None));
    assert_eq!(subject.at(0), []);
}

#[test]
fn of_rust_in_both_ways_of_mangling() {
    // Compilers differ in which is the default.
    for (name, version) in [("default", ""), ("v0", "-C symbol-mangling-version=v0")] {
        let build = Build::new(&format!("rust-{name}"));
        std::fs::write(
            build.path("deep.rs"),
            "mod deep {\n    #[inline(never)]\n    pub fn grow(v: &mut Vec<u8>) {\n        \
             v.reserve(1000);\n    }\n}\nfn main() {\n    deep::grow(&mut Vec::new());\n}\n",
        )
        .unwrap();
        if !build.run(&format!("rustc -g -O {version} deep.rs -o program")) {
            continue;
        }
        let program = build.path("program");
        let symbols = Image::file_symbols(&std::fs::read(&program).unwrap()).unwrap();
        let grow = symbols.iter().find(|s| s.name.contains("4grow")).unwrap();
        let mut subject = Subject::new(&program, open);
        let places = subject.function(grow);
        let outermost: Vec<_> = places.iter().filter_map(|l| l.last()).collect();
        assert!(outermost.iter().all(|l| l.function == "deep::deep::grow"));
        assert!(outermost.iter().all(|l| l.language == Language::Rust));
        assert!(outermost.iter().any(|l| l.line == Some(4)));
        let reserve = |l: &Location| l.inlined && l.function.contains("::reserve");
        assert!(places.iter().any(|l| l.iter().any(reserve)), "{places:#?}");
    }
}

#[test]
fn reading_is_told() {
    let build = Build::new("progress");
    if !build.compile("g++", "") {
        return;
    }
    let program = build.path("program");
    let mut subject = Subject::new(&program, open);
    let id = subject.stacks.add_module(subject.module.clone());
    let frame = |vaddr| Frame {
        module: Some(id),
        vaddr,
        kind: FrameKind::Return,
    };
    let frames = ["_Z7alignedi", "main"].map(|name| frame(symbol(&program, name).vaddr));
    let mut told = Vec::new();
    let mut note = |progress: Progress<'_>| told.push(format!("{progress:?}"));
    subject
        .symbolizer
        .prepare(&subject.stacks, &frames, &mut note);
    let size = subject.module.file.len();
    assert_eq!(
        told,
        [
            format!("Reading {{ module: \"program\", bytes: {size} }}"),
            "Named { done: 1, total: 2 }".to_owned(),
            "Named { done: 2, total: 2 }".to_owned(),
        ]
    );
}
