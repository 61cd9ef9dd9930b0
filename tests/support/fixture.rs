//! Builds fixtures: once per shape, kept in `target/fixtures` until a source or the command changes.
//!
//! The first lines of a fixture say how to build it by hand, in the directory that holds it:
//! `// build: gcc -O1 -pthread threads.c -o threads`. Several such lines are obeyed in order. A shape
//! replaces the compiler and adds its own flags.

use super::root;
use super::shape::{Finish, Recipe, Shape};
use super::skip::{find, skip};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program built from `fixtures/NAME.*` in gcc's default shape; `None`, and the case skipped,
/// when there is no compiler for it.
pub fn fixture(name: &str) -> Option<PathBuf> {
    shaped(name, Shape::Pie)
}

/// The same in any shape.
pub fn shaped(name: &str, shape: Shape) -> Option<PathBuf> {
    build(name, shape, &shape.name(), &[])
}

/// The same for i386, as any shape but `M32` and those that there is nothing for.
pub fn shaped_32(name: &str, shape: Shape) -> Option<PathBuf> {
    if !has_32_bit() {
        skip("gcc-multilib is not installed");
        return None;
    }
    build(name, shape, &format!("{}-32", shape.name()), &["-m32"])
}

/// The same by clang with LLVM's library of C++, where that is installed.
pub fn with_libcxx(name: &str) -> Option<PathBuf> {
    const FLAGS: &[&str] = &["-stdlib=libc++"];
    let mut clang = Command::new("clang++");
    let try_it = clang
        .args(FLAGS)
        .args(["-fsyntax-only", "-include", "string", "-x", "c++"]);
    let tried = try_it.arg("/dev/null").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        skip("there is no libc++ for clang");
        return None;
    }
    build(name, Shape::Clang, "libcxx", FLAGS)
}

fn build(name: &str, shape: Shape, kind: &str, flags: &[&str]) -> Option<PathBuf> {
    let source = source(name);
    let text = fs::read_to_string(&source).expect("fixture");
    let recipe = shape.recipe();
    let commands: Vec<_> = text
        .lines()
        .map_while(|line| line.strip_prefix("// build: "))
        .map(|line| Step::parse(line, &recipe, flags))
        .collect();
    assert!(
        !commands.is_empty(),
        "{source:?} does not say how to build it"
    );
    if let Some(missing) = commands.iter().find(|step| find(&step.compiler).is_none()) {
        skip(&format!("{} is not installed", missing.compiler));
        return None;
    }
    if shape == Shape::M32 && !has_32_bit() {
        skip("gcc-multilib is not installed");
        return None;
    }
    let dir = root().join("target/fixtures").join(kind).join(name);
    fs::create_dir_all(&dir).expect("directory for fixtures");
    // Tests run side by side, in threads and in processes: the first one builds, the others wait.
    let lock = File::create(dir.join(".lock")).expect("lock file");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("lock");
    let stamp = dir.join(".stamp");
    let wanted = fingerprint(&commands, recipe.finish);
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Some(dir.join(name));
    }
    for step in &commands {
        step.run(&dir);
    }
    // Only now, since nothing can be linked with a library that has no section headers.
    for step in &commands {
        finish(&dir.join(&step.output), recipe.finish);
    }
    fs::write(&stamp, wanted).expect("stamp");
    Some(dir.join(name))
}

/// Where a file of `fixtures/` is, by its whole name.
pub fn file(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

fn source(name: &str) -> PathBuf {
    ["c", "cc", "rs", "go"]
        .iter()
        .map(|suffix| file(&format!("{name}.{suffix}")))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("no fixture {name}"))
}

/// Where a header says how wide its addresses are, and what it says for 32 bits (elf(5)).
const EI_CLASS: usize = 4;
const ELFCLASS32: u8 = 1;

fn has_32_bit() -> bool {
    [
        "/usr/include/x86_64-linux-gnu/gnu/stubs-32.h",
        "/usr/include/gnu/stubs-32.h",
    ]
    .iter()
    .any(|path| Path::new(path).exists())
}

/// One compiler run.
#[derive(Hash)]
struct Step {
    compiler: String,
    args: Vec<String>,
    sources: Vec<PathBuf>,
    output: String,
}

impl Step {
    fn parse(line: &str, recipe: &Recipe, flags: &[&str]) -> Step {
        let mut words = line.split_whitespace();
        let compiler = match words.next() {
            Some("gcc") => recipe.cc,
            Some("g++") => recipe.cxx,
            Some("rustc") => "rustc",
            Some("go") => "go",
            other => panic!("unknown compiler {other:?} in {line:?}"),
        };
        let words: Vec<&str> = words.collect();
        let mut step = Step {
            compiler: compiler.to_owned(),
            args: Vec::new(),
            sources: Vec::new(),
            output: String::new(),
        };
        for (index, word) in words.iter().enumerate() {
            let path = file(word);
            if path.is_file() {
                step.args.push(path.to_string_lossy().into_owned());
                step.sources.push(path);
            } else {
                step.args.push((*word).to_owned());
            }
            if index > 0 && words[index - 1] == "-o" {
                step.output = (*word).to_owned();
            }
        }
        if !matches!(compiler, "rustc" | "go") {
            let own = recipe.all.iter();
            let program = recipe.program.iter();
            let shared = words.contains(&"-shared");
            let flags = own.chain(program.filter(|_| !shared)).chain(flags);
            step.args.extend(flags.map(|flag| (*flag).to_owned()));
        }
        step
    }

    fn run(&self, dir: &Path) {
        let output = Command::new(&self.compiler)
            .args(&self.args)
            // Go builds nothing without a place to keep what it has compiled.
            .env("GOCACHE", root().join("target/go"))
            .current_dir(dir)
            .output()
            .expect("compiler");
        assert!(
            output.status.success(),
            "{} {:?}\n{}",
            self.compiler,
            self.args,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn finish(built: &Path, finish: Finish) {
    match finish {
        Finish::AsLinked => {}
        Finish::Strip => {
            let status = Command::new("strip").arg(built).status();
            assert!(status.expect("strip").success());
        }
        Finish::DropSections => drop_sections(built),
    }
}

/// Changes when the commands, their sources or any header does.
fn fingerprint(commands: &[Step], finish: Finish) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{finish:?}").hash(&mut hasher);
    commands.hash(&mut hasher);
    let headers = fs::read_dir(root().join("fixtures"))
        .expect("fixtures")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "h"));
    let mut read: Vec<PathBuf> = commands
        .iter()
        .flat_map(|step| step.sources.iter().cloned())
        .chain(headers)
        .collect();
    read.sort();
    for path in read {
        fs::read(path).expect("source").hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// Takes the section headers away: `e_shoff`, `e_shnum` and `e_shstrndx` of the header become zero
/// (elf(5)).
fn drop_sections(path: &Path) {
    let mut bytes = fs::read(path).expect("built file");
    let fields = match bytes[EI_CLASS] {
        ELFCLASS32 => [0x20..0x24, 0x30..0x32, 0x32..0x34],
        _ => [0x28..0x30, 0x3c..0x3e, 0x3e..0x40],
    };
    for field in fields {
        bytes[field].fill(0);
    }
    fs::write(path, bytes).expect("built file");
}
