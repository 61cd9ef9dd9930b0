//! Every prototype that comes with the program: what a record shows is what the registers and the memory of the
//! moment show.

use super::RING;
use super::area::{Area, CAPS, point, shown, thread_pointer};
use super::memory::half_readable;
use ltrace::abi::sysv;
use ltrace::base::addr::Addr;
use ltrace::base::memory::{Memory, Stretch, Unreadable};
use ltrace::base::regs::{FloatRegs, Floats, Regs, Unknown, View};
use ltrace::decode::Decoder;
use ltrace::plan::Tracepoint;
use ltrace::proto::library::Library;
use ltrace::proto::parse::parse;
use ltrace::record::shape::formats::texts;
use ltrace::record::{Kind, Seen, Shape, Target, formats};
use ltrace::value::Limits;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::arch::global_asm;
use std::ffi::CStr;
use std::io::IoSliceMut;
use std::sync::Arc;

// Calls with the registers and the stack that the words tell; `give` returns what they tell.
global_asm!(
    ".globl recorder_call_all",
    "recorder_call_all:",
    "push rbx; push r12; push r13; mov r12, rdi; sub rsp, 128",
    "xor ecx, ecx",
    "2: mov rax, [r12+120+rcx*8]; mov [rsp+rcx*8], rax; inc ecx; cmp ecx, 16; jb 2b",
    "mov rdi, [r12+8]; mov rsi, [r12+16]; mov rdx, [r12+24]; mov rcx, [r12+32]; mov r8, [r12+40]; mov r9, [r12+48]",
    "movq xmm0, [r12+56]; movq xmm1, [r12+64]; movq xmm2, [r12+72]; movq xmm3, [r12+80]",
    "movq xmm4, [r12+88]; movq xmm5, [r12+96]; movq xmm6, [r12+104]; movq xmm7, [r12+112]",
    "mov [r12+248], rsp; call [r12]",
    "add rsp, 128; pop r13; pop r12; pop rbx; ret",
    ".globl recorder_give",
    "recorder_give:",
    "mov rax, [r12+256]; mov rdx, [r12+264]; movq xmm0, [r12+272]; movq xmm1, [r12+280]; ret",
);

unsafe extern "C" {
    fn recorder_call_all(words: *mut u64);
    fn recorder_give();
}

/// Places among the words.
const GENERAL: usize = 1;
const VECTOR: usize = 7;
const STACK: usize = 15;
const RSP: usize = 31;
const RESULTS: usize = 32;

/// The moment of the call, or of its return.
struct Moment<'w> {
    words: &'w [u64],
    vectors: &'w [u64],
}

impl Memory for Moment<'_> {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let stack = self.words[STACK..RSP]
            .iter()
            .flat_map(|word| word.to_le_bytes());
        let from = at.0.wrapping_sub(self.words[RSP]);
        let count = match from < 128 {
            true => {
                let rest = stack.skip(from as usize);
                buf.iter_mut()
                    .zip(rest)
                    .map(|(to, byte)| *to = byte)
                    .count()
            }
            false => own_memory(at, buf),
        };
        match count {
            0 if !buf.is_empty() => Err(Unreadable(at)),
            count => Ok(count),
        }
    }
}

/// Reads page by page, as far as there is something.
fn own_memory(at: Addr, buf: &mut [u8]) -> usize {
    let mut remote = Vec::new();
    let mut from = at.0 as usize;
    let end = from.saturating_add(buf.len());
    while from < end {
        let next = (from | 0xfff).saturating_add(1).min(end);
        remote.push(RemoteIoVec {
            base: from,
            len: next - from,
        });
        from = next;
    }
    let local = &mut [IoSliceMut::new(buf)];
    process_vm_readv(Pid::this(), local, &remote).unwrap_or(0)
}

impl Floats for Moment<'_> {
    fn floats(&self) -> Option<FloatRegs> {
        let mut floats = FloatRegs::default();
        for (register, word) in floats.xmm.iter_mut().zip(self.vectors) {
            register[..8].copy_from_slice(&word.to_le_bytes());
        }
        Some(floats)
    }
}

/// Numbers that look random, the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A word as programs pass it: a small number, an address in the page, one that cannot be read.
    fn word(&mut self, page: u64) -> u64 {
        match self.next() % 16 {
            0 => 0,
            1 => !0,
            2..=4 => self.next() % 40,
            5 => self.next(),
            6 => page + 4096 + self.next() % 100,
            7..=9 => page + 4096 - self.next() % 80,
            _ => page + self.next() % 4000,
        }
    }
}

/// All functions of the files, as a library gives them.
fn functions() -> Vec<(String, Tracepoint)> {
    let library = Library::shipped();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/prototypes");
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory).expect("prototypes").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("text");
        let name = file.file_name().to_string_lossy().replace(".conf", "");
        let mut symbols: Vec<String> = parse(&name, &text).0.functions.into_keys().collect();
        symbols.sort();
        for symbol in symbols {
            let prototype = library.lookup(&symbol, &[&name]);
            let point = Tracepoint {
                prototype,
                ..(*point(&symbol, None)).clone()
            };
            found.push((symbol, point));
        }
    }
    found
}

/// What calls print by: one register or another, the stack, and no text at all.
const FORMATS: [&CStr; 4] = [
    c"%d %s",
    c"%s %g %.3s %s",
    c"no conversion",
    c"%d %d %d %d %d %s %ld %s",
];

/// The register that a format is passed in.
fn format_register(shape: &Shape) -> Option<usize> {
    let numbered = Regs {
        rsi: 1,
        rdx: 2,
        rcx: 3,
        r8: 4,
        r9: 5,
        ..Regs::default()
    };
    let format = shape.format(&numbered, &Stretch::default())?;
    usize::try_from(format.0).ok()
}

#[test]
fn records_show_what_the_moment_shows() {
    let mut area = Area::new(1, RING);
    let mut reader = area.ring();
    let page = half_readable() as u64;
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for offset in 0..4096 {
        let byte = match numbers.next() % 8 {
            0 => 0,
            1 => numbers.next() as u8,
            n => b'a' + n as u8,
        };
        // SAFETY: in the page that the test has mapped.
        unsafe { ((page + offset) as *mut u8).write(byte) };
    }
    // The thread's errno, as calls find it that fail.
    let errno = page as *mut u32;
    // SAFETY: in the page that the test has mapped.
    unsafe { errno.write(2) };
    let offset = page.wrapping_sub(thread_pointer()) as i64;
    area.code.set_errno(Some(offset), area.shared);
    let (mut recorded, mut refused) = (0, 0);
    let mut points = Vec::new();
    for (symbol, point) in functions() {
        let Ok(shape) = Shape::of(&point, CAPS) else {
            refused += 1;
            continue;
        };
        let format = format_register(&shape);
        let result = point
            .prototype
            .as_ref()
            .map(|prototype| sysv::results(&prototype.result));
        if result.is_some_and(|result| result.x87) {
            continue;
        }
        let target = Target::Code(recorder_give as *const () as u64);
        let stub = area
            .code
            .add(&Arc::new(shape), target, None, area.shared)
            .expect("a stub");
        points.push((symbol, Arc::new(point), stub, format));
        recorded += 1;
    }
    area.code.add_trampolines(recorded);
    area.write();
    area.enable(1);
    assert!(
        recorded > 6 * refused,
        "{recorded} recorded, {refused} refused"
    );
    let limits = Limits {
        string: CAPS.text,
        array: CAPS.array,
    };
    let mut decoders = [Decoder::new(limits), Decoder::new(limits)];
    assert!(points.iter().any(|(_, _, _, format)| format.is_some()));
    for (symbol, point, stub, format) in points.iter().chain(&points) {
        let mut words = vec![0; 64];
        words.fill_with(|| numbers.word(page));
        words[0] = stub.entry;
        if let Some(register) = format {
            let format = FORMATS[numbers.next() as usize % FORMATS.len()];
            words[GENERAL + register] = format.as_ptr() as u64;
            let texts = texts(point, format.to_bytes(), CAPS).expect("plain texts");
            formats::clear(area.shared);
            let shape = &area.code.shapes()[stub.number as usize];
            let key = shape.format_key(Addr(format.as_ptr() as u64));
            formats::add(area.shared, key.expect("a format"), texts);
        }
        // SAFETY: the assembly keeps to the calling convention.
        unsafe { recorder_call_all(words.as_mut_ptr()) };
        let frame = words[RSP] - 8;
        let live = |regs: &Regs, vectors: &[u64], kind, decoder: &mut Decoder| {
            let moment = Moment {
                words: &words,
                vectors,
            };
            let view = View {
                regs,
                memory: &moment,
                floats: &moment,
                process: &Unknown,
                errno: Some(Addr(page)),
            };
            shown(decoder, point, (kind, 0), view)
        };
        let regs = Regs {
            rdi: words[GENERAL],
            rsi: words[GENERAL + 1],
            rdx: words[GENERAL + 2],
            rcx: words[GENERAL + 3],
            r8: words[GENERAL + 4],
            r9: words[GENERAL + 5],
            rsp: frame,
            cs: 0x33,
            ..Regs::default()
        };
        let returned = Regs {
            rax: words[RESULTS],
            rdx: words[RESULTS + 1],
            rsp: frame + 8,
            cs: 0x33,
            ..Regs::default()
        };
        let expected = [
            (
                Kind::Call,
                live(&regs, &words[VECTOR..], Kind::Call, &mut decoders[0]),
            ),
            (
                Kind::Return,
                live(
                    &returned,
                    &words[RESULTS + 2..],
                    Kind::Return,
                    &mut decoders[0],
                ),
            ),
        ];
        for (kind, line) in expected {
            assert!(reader.time(area.shared, area.code.shapes()).is_some());
            let record = reader.take(area.code.shapes()).expect("a record");
            assert_eq!(
                (record.kind, record.number, record.frame),
                (kind, stub.number, frame)
            );
            let mut regs = Seen::registers(0);
            let seen = Seen::new(&record, &mut regs, 0);
            let view = View {
                process: &Unknown,
                errno: Some(Addr(page)),
                ..seen.view(&Unknown)
            };
            let found = shown(&mut decoders[1], point, (kind, 0), view);
            assert_eq!(found, line, "{symbol}: {:x?}", &words[..36]);
        }
        let _ = reader.release(area.shared);
    }
}
