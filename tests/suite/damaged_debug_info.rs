//! Programs whose debug and unwind information is damaged in thousands of ways: whatever a file says,
//! asking about it ends soon, and never in a panic.

use crate::support::fixture::fixture;
use crate::support::scratch;
use crate::support::skip::skip;
use ltrace::abi::{Argument, Place, convention};
use ltrace::base::addr::{Addr, Bias, Vaddr};
use ltrace::base::machine::Machine;
use ltrace::base::memory::Stretch;
use ltrace::base::regs::Regs;
use ltrace::debug::Functions;
use ltrace::elf::{Go, Image, Sections};
use ltrace::plan::capture::Capture;
use ltrace::stack::names::abbreviate;
use ltrace::stack::origin::origin;
use ltrace::stack::{
    Bytes, Frame, FrameKind, Module, Moment, RawStack, Stacks, Symbolizer, Unwinder,
};
use ltrace::value::Limits;
use ltrace::value::read::Reader;
use ltrace::value::render::render;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What one file may take of the processor, however wild: a second in an optimised build, the others are ten times as slow.
/// Honest ones take milliseconds.
const PATIENCE: Duration = match cfg!(debug_assertions) {
    true => Duration::from_secs(10),
    false => Duration::from_secs(1),
};
/// How much memory it may take at a time, besides its own bytes.
const MEMORY: u64 = 100 << 20;
const FRAMES: usize = 64;

/// Numbers without end, the same in every run (Marsaglia, "Xorshift RNGs", 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// An edge, a place in the file, or noise.
    fn value(&mut self, size: usize) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => self.below(size + 16) as u64,
            4 => 1 << self.below(64),
            _ => self.next(),
        }
    }

    fn damage(&mut self, bytes: &mut [u8], part: Range<usize>) {
        for _ in 0..=self.below(6) {
            let width = [1, 1, 2, 4, 8][self.below(5)];
            let at = part.start + self.below(part.len().saturating_sub(width));
            let value = self.value(bytes.len()).to_le_bytes();
            bytes[at..at + width].copy_from_slice(&value[..width]);
        }
    }
}

/// Asks all that can be asked, at these addresses.
fn survive(bytes: Vec<u8>, addresses: &[Vaddr]) {
    within_limits(|| ask(bytes, addresses));
}

fn ask(bytes: Vec<u8>, addresses: &[Vaddr]) {
    const BIAS: u64 = 0x7f00_0000_0000;
    let file = Bytes::from(bytes);
    let mut stacks = Stacks::default();
    let id = stacks.add_module(Module {
        name: "damaged".into(),
        path: "/nowhere/damaged".into(),
        build_id: None,
        root: None,
        file: file.clone(),
    });
    let mut unwinder = Unwinder::new();
    let end = BIAS + file.len() as u64;
    unwinder.add_module(id, BIAS..end, Bias(BIAS), &file);
    // Whatever a separate file is asked for, it is this one.
    let mut symbolizer = Symbolizer::new(move |_, _| vec![file.clone()]);
    for address in addresses {
        let words = addresses.iter().cycle().take(256);
        let stack: Vec<u8> = words.flat_map(|a| (BIAS + a.0 + 1).to_le_bytes()).collect();
        let regs = Regs {
            rip: BIAS + address.0,
            rsp: 0x7ffc_0000_0000,
            rbp: 0x7ffc_0000_0080,
            ..Regs::default()
        };
        let raw = RawStack::new(&regs, Moment::Inside, stack.into());
        let unwound = unwinder.unwind(&raw, FRAMES);
        assert!((1..=FRAMES).contains(&unwound.frames.len()));
        let frame = Frame {
            module: Some(id),
            vaddr: *address,
            kind: FrameKind::Exact,
        };
        for location in &*symbolizer.resolve(&stacks, &frame) {
            let _ = abbreviate(&location.function, location.language);
            let _ = origin("damaged", Some(location));
        }
    }
}

/// Asks how each of these functions is typed, and reads what its parameters would be.
fn survive_types(bytes: Vec<u8>, functions: &[(Vaddr, String)]) {
    within_limits(|| ask_types(bytes, functions));
}

fn ask_types(bytes: Vec<u8>, functions: &[(Vaddr, String)]) {
    let file = Bytes::from(bytes);
    let module = Module {
        name: "damaged".into(),
        path: "/nowhere/damaged".into(),
        build_id: None,
        root: None,
        file: file.clone(),
    };
    let open = move |_: &Module, _: &Path| vec![file.clone()];
    let mut found = Functions::of(module, open, Box::new(|_| None), Box::new(|_| None));
    let memory_read = Stretch {
        at: Addr(0x1000),
        bytes: (0..=255).cycle().take(4096).collect(),
    };
    for (at, symbol) in functions {
        let Some(prototype) = found.as_mut().and_then(|f| f.prototype(*at, symbol)) else {
            continue;
        };
        for machine in [Machine::Amd64, Machine::I386] {
            let capture = Capture::of(&prototype, machine);
            assert_eq!(capture.locations.len(), prototype.params.len());
            let types = prototype.params.iter().map(|param| &param.ty);
            let argument = |ty| Argument {
                ty,
                place: Place::Memory(Addr(0x1000)),
            };
            let arguments: Vec<Argument<'_>> = types.map(argument).collect();
            let result = argument(&prototype.result);
            let reader = Reader {
                memory: &memory_read,
                model: convention::model(machine),
                limits: Limits::default(),
                arguments: &arguments,
                result: Some(&result),
                errno: None,
                thread_pointer: 0,
                process: &ltrace::base::regs::Unknown,
            };
            for argument in arguments.iter().chain([&result]) {
                let shown = render(&reader.read(argument));
                assert!(shown.len() < 1 << 16, "{shown}");
            }
        }
    }
}

#[test]
fn types_of_functions() {
    damage_types(400);
}

#[test]
#[ignore = "it takes a minute in an optimised build, an hour in others"]
fn types_of_functions_damaged_100_000_times() {
    damage_types(50_000);
}

/// So many ways to damage each of two files, and some for files that are larger.
fn damage_types(count: usize) {
    let files = [
        ("types", "libtypes.so", count),
        ("stacks", "stacks", count),
        ("held", "held", count / 20),
        ("held_rust", "held_rust", count / 20),
    ];
    for (built, name, count) in files {
        let Some(program) = fixture(built) else {
            continue;
        };
        let bytes = std::fs::read(program.with_file_name(name)).unwrap();
        let symbols = Image::file_symbols(&bytes).unwrap();
        let functions = symbols.into_iter().map(|s| (s.vaddr, s.name));
        // Those of interest are called f_something where there are many others.
        let functions =
            functions.filter(|(_, name)| !built.starts_with("held") || name.contains("f_"));
        let functions: Vec<(Vaddr, String)> = functions.collect();
        assert!(!functions.is_empty());
        let all = Sections::read(&bytes).unwrap();
        let sections = [
            ".debug_info",
            ".debug_abbrev",
            ".debug_str",
            ".debug_rnglists",
            ".debug_aranges",
        ];
        let sections = sections
            .iter()
            .filter_map(|name| Some(all.get(name)?.range));
        let parts: Vec<Range<usize>> = sections.collect();
        survive_types(bytes.clone(), &functions);
        let mut numbers = Numbers(0x1234_5678_9abc_def1);
        for _ in 0..count {
            let mut bytes = bytes.clone();
            for _ in 0..=numbers.below(2) {
                // Most of it is in the first two.
                let part = parts[numbers.below(parts.len() + 4) % parts.len()].clone();
                numbers.damage(&mut bytes, part);
            }
            survive_types(bytes, &functions);
        }
    }
}

/// The time that this thread has had a processor: proc_pid_schedstat's first number. That of a clock counts what runs beside.
fn processor() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = times.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

/// What is asked takes no more of the processor and of memory than it may. Only what this thread takes is counted.
fn within_limits(ask: impl FnOnce()) {
    let begin = processor();
    let allocated = allocation_counter::measure(ask);
    let taken = processor() - begin;
    assert!(taken < PATIENCE, "{taken:?}");
    let most = allocated.bytes_max;
    assert!(most < MEMORY, "{} KiB", most >> 10);
}

/// The program, and an address in each of its functions.
fn program() -> Option<(Vec<u8>, Vec<Vaddr>)> {
    let bytes = std::fs::read(fixture("stacks")?).unwrap();
    let symbols = Image::file_symbols(&bytes).unwrap();
    let inside = symbols.iter().map(|s| Vaddr(s.vaddr.0 + s.size / 2));
    let addresses = inside.filter(|at| at.0 > 0).collect();
    Some((bytes, addresses))
}

fn damaged(sections: &[&str], rounds: usize) {
    if let Some(program) = program() {
        damaged_program(program, sections, rounds);
    }
}

fn damaged_program((bytes, addresses): (Vec<u8>, Vec<Vaddr>), sections: &[&str], rounds: usize) {
    survive(bytes.clone(), &addresses);
    let parts: Vec<Range<usize>> = {
        let all = Sections::read(&bytes).unwrap();
        sections
            .iter()
            .filter_map(|name| Some(all.get(name)?.range))
            .collect()
    };
    assert!(parts.len() + 1 >= sections.len(), "{sections:?}");
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..rounds {
        let mut bytes = bytes.clone();
        for _ in 0..=numbers.below(2) {
            let part = parts[numbers.below(parts.len())].clone();
            numbers.damage(&mut bytes, part);
        }
        survive(bytes, &addresses);
    }
}

#[test]
fn units_and_abbreviations() {
    damaged(&[".debug_info", ".debug_abbrev", ".debug_aranges"], 1500);
}

#[test]
fn lines_strings_and_ranges() {
    let sections = [
        ".debug_line",
        ".debug_line_str",
        ".debug_str",
        ".debug_rnglists",
        ".debug_loclists",
    ];
    damaged(&sections, 1500);
}

#[test]
fn frames() {
    damaged(&[".eh_frame", ".eh_frame_hdr"], 3000);
}

/// The program as other builds have it: changed by these commands, which know it as `program`.
fn made(name: &str, commands: &str) -> Option<(Vec<u8>, Vec<Vaddr>)> {
    let (bytes, addresses) = program()?;
    let dir = scratch(name);
    std::fs::write(dir.join("program"), bytes).unwrap();
    let made = Command::new("sh")
        .args(["-ec", commands])
        .current_dir(&dir)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        skip("no gcc or objcopy");
        return None;
    }
    Some((std::fs::read(dir.join("program")).unwrap(), addresses))
}

/// What is to be unwound by `.debug_frame`, as Go and some libraries have it.
#[test]
fn frames_for_debuggers() {
    let source = "int leaf(int n) { return n + 1; } int deep(int n) { char c[99]; return leaf(n) + c[n]; } int main(void) { return deep(1); }";
    let commands = format!(
        "echo '{source}' > code.c; gcc -O1 -g -fno-inline -fno-asynchronous-unwind-tables code.c -o program"
    );
    let Some((bytes, _)) = made("debug-frame", &commands) else {
        return;
    };
    let symbols = Image::file_symbols(&bytes).unwrap();
    let addresses = symbols.iter().filter(|symbol| symbol.size > 0);
    let addresses = addresses.map(|s| Vaddr(s.vaddr.0 + s.size / 2)).collect();
    damaged_program((bytes, addresses), &[".debug_frame"], 1500);
}

/// What leads to other files. The one that they lead to is the damaged one itself.
#[test]
fn links_to_other_files() {
    let commands = "
        objcopy --only-keep-debug program program.debug
        objcopy --dump-section .note.gnu.build-id=note program
        { printf 'shared.debug\\0'; tail -c 20 note; } > alternate
        objcopy --strip-debug --add-gnu-debuglink=program.debug program
        objcopy --add-section .gnu_debugaltlink=alternate program";
    let Some(program) = made("links", commands) else {
        return;
    };
    let sections = [".gnu_debuglink", ".note.gnu.build-id", ".gnu_debugaltlink"];
    damaged_program(program, &sections, 3000);
    // The same where a file has debug information of its own, which is supplemented.
    let commands = "
        objcopy --dump-section .note.gnu.build-id=note program
        { printf 'shared.debug\\0'; tail -c 20 note; } > alternate
        objcopy --add-section .gnu_debugaltlink=alternate program";
    let Some(program) = made("supplement", commands) else {
        return;
    };
    let sections = [".gnu_debugaltlink", ".note.gnu.build-id", ".debug_info"];
    damaged_program(program, &sections, 1000);
}

/// What tells a program of Go, and where its goroutines are.
#[test]
fn goroutines() {
    let commands = "
        head -c 4096 program > table
        echo '__thread int tls[9]; int main(void) { return tls[1]; }' > code.c
        gcc -g code.c -o program
        objcopy --add-symbol runtime.tlsg=.tbss:8,global program
        objcopy --add-section .gopclntab=table --add-section .go.buildinfo=table program";
    let Some((bytes, _)) = made("go", commands) else {
        return;
    };
    assert!(Go::is_in(&bytes));
    let mut numbers = Numbers(0x0dd_ba11);
    let table = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) as usize;
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        numbers.damage(&mut damaged, 0..0x400);
        numbers.damage(&mut damaged, table..bytes.len());
        within_limits(|| {
            let _ = Go::is_in(&damaged);
            let _ = Image::parse(&damaged);
        });
    }
}

#[test]
fn headers_and_symbols() {
    let Some((bytes, addresses)) = program() else {
        return;
    };
    let mut numbers = Numbers(0xfeed_beef_cafe_f00d);
    let table = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) as usize;
    for _ in 0..1500 {
        let mut damaged = bytes.clone();
        numbers.damage(&mut damaged, 0..0x400);
        numbers.damage(&mut damaged, table..bytes.len());
        survive(damaged, &addresses);
    }
}

#[test]
fn cut_short() {
    let Some((bytes, addresses)) = program() else {
        return;
    };
    for end in (0..bytes.len()).step_by(61) {
        survive(bytes[..end].to_vec(), &addresses);
    }
}

/// A function in which a million calls are inlined, each into the one before.
const NESTED: &str = r#"
    .globl deep
    .type deep, @function
deep:
    nop
    .size deep, 1
end:
    .section .debug_abbrev, "", @progbits
    # Compilation unit and subprogram with low_pc and high_pc, inlined_subroutine with low_pc, all with
    # children.
    .byte 1, 0x11, 1, 0x11, 1, 0x12, 1, 0, 0
    .byte 2, 0x2e, 1, 0x11, 1, 0x12, 1, 0, 0
    .byte 3, 0x1d, 1, 0, 0
    .byte 0
    .section .debug_info, "", @progbits
    .long last - first
first:
    .value 4
    .long 0
    .byte 8
    .byte 1
    .quad deep, end
    .byte 2
    .quad deep, end
    .rept 1000000
    .byte 3
    .endr
last:
"#;

/// Fifty thousand units that all begin with the same three hundred thousand abbreviations: honest ones share them,
/// too, but these are as many again to read for each unit.
const SHARED: &str = r#"
    .globl deep
    .type deep, @function
deep:
    nop
    .size deep, 1
    .section .debug_abbrev, "", @progbits
    .set code, 1
    .rept 300000
    .uleb128 code
    .byte 0x11, 0, 0, 0
    .set code, code + 1
    .endr
    .byte 0
    .section .debug_info, "", @progbits
    .rept 50000
    .long 8
    .value 4
    .long 0
    .byte 8
    .byte 1
    .endr
"#;

/// Builds a library of assembly with a function `deep`, and asks for its name.
fn assembled(name: &str, source: &str) {
    let dir = scratch(name);
    std::fs::write(dir.join("code.s"), source).unwrap();
    let gcc = Command::new("gcc")
        .args(["-shared", "-nostdlib", "-Wl,-Ttext=0x1000"])
        .args(["code.s", "-o", "code.so"])
        .current_dir(&dir)
        .status();
    let Ok(status) = gcc else {
        skip("gcc is not installed");
        return;
    };
    assert!(status.success());
    let bytes = std::fs::read(dir.join("code.so")).unwrap();
    let symbols = Image::file_symbols(&bytes).unwrap();
    survive(bytes, &[symbols[0].vaddr]);
}

#[test]
fn nested_a_million_deep() {
    assembled("nested", NESTED);
}

#[test]
fn abbreviations_that_are_read_again_and_again() {
    assembled("shared", SHARED);
}
