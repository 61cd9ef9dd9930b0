//! Tables over the calling convention: every register and stack slot holds its own number, so that a
//! place's bytes tell where it is.

use super::convention::{self, Cursor};
use super::location::Entry;
use super::va_list::VaList;
use super::{Place, sysv};
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Stretch;
use crate::base::regs::{FloatRegs, Floats, Regs, Unknown, View};
use crate::proto::Prototype;
use crate::proto::tests::prototype;

/// Where the stack pointer points at a call; the first stack slot is behind it, where 16 divides (psABI
/// 3.2.2).
const RSP: u64 = 0x6ff8;

struct Fixed(Option<FloatRegs>);

impl Floats for Fixed {
    fn floats(&self) -> Option<FloatRegs> {
        self.0
    }
}

fn float_regs() -> FloatRegs {
    let mut floats = FloatRegs::default();
    for (number, register) in (0x200_u128..).zip(&mut floats.xmm) {
        *register = number.to_le_bytes();
    }
    floats.st = [[7; 10], [8; 10]];
    floats
}

fn regs() -> Regs {
    Regs {
        rdi: 0x100,
        rsi: 0x101,
        rdx: 0x102,
        rcx: 0x103,
        r8: 0x104,
        r9: 0x105,
        rax: 0x106,
        rsp: RSP,
        ..Regs::default()
    }
}

fn stack() -> Stretch {
    let slots = (0..32_u64).flat_map(|slot| (0x300 + slot).to_le_bytes());
    let bytes = [0; 8].into_iter().chain(slots).collect();
    Stretch {
        at: Addr(RSP),
        bytes,
    }
}

fn name(word: u64) -> String {
    let general = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax"];
    match word {
        0 => "-".to_owned(),
        0x100..0x107 => general[word as usize - 0x100].to_owned(),
        0x200..0x210 => format!("xmm{}", word - 0x200),
        0x300..0x320 => format!("s{}", word - 0x300),
        word => format!("{word:#x}"),
    }
}

fn describe(place: Place) -> String {
    match place {
        Place::Bytes(bytes) => {
            let pair = u128::from_le_bytes(bytes);
            match (name(pair as u64), name((pair >> 64) as u64)) {
                (low, high) if high == "-" => low,
                (low, high) => format!("{low}:{high}"),
            }
        }
        Place::Memory(at) => format!("at {at}"),
        Place::Lost => "lost".to_owned(),
    }
}

/// Where the arguments of a call are.
fn places_of(function: &Prototype, view: &View<'_>) -> impl Iterator<Item = Place> {
    let mut cursor = Cursor::new(view.regs.machine(), &function.result);
    let entry = Entry::new(view);
    let params = function.params.iter();
    let places: Vec<Place> = params
        .map(|param| entry.fetch(cursor.next(&param.ty)))
        .collect();
    places.into_iter()
}

#[track_caller]
fn check(function: &str, places: &[&str], result: &str) {
    let function = prototype(&format!("{function};"), "f");
    let (regs, memory, floats) = (regs(), stack(), Fixed(Some(float_regs())));
    let view = View {
        regs: &regs,
        memory: &memory,
        floats: &floats,
        process: &Unknown,
        errno: None,
    };
    let found: Vec<String> = places_of(&function, &view).map(describe).collect();
    assert_eq!(found, places, "{}", function.name);
    assert_eq!(describe(sysv::result(&view, &function.result)), result);
}

#[test]
fn scalars() {
    check("void f()", &[], "-");
    check(
        "int f(int, string, addr, char, long, hex(short))",
        &["rdi", "rsi", "rdx", "rcx", "r8", "r9"],
        "rax",
    );
    check(
        "int f(int, int, int, int, int, int, int, long)",
        &["rdi", "rsi", "rdx", "rcx", "r8", "r9", "s0", "s1"],
        "rax",
    );
    check(
        "double f(double, int, float, int)",
        &["xmm0", "rdi", "xmm1", "rsi"],
        "xmm0",
    );
    check(
        "float f(double, double, double, double, double, double, double, double, double, int)",
        &[
            "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "s0", "rdi",
        ],
        "xmm0",
    );
}

#[test]
fn long_doubles_are_on_the_stack_and_aligned() {
    let st0 = "0x707070707070707:0x707";
    check("ldouble f(ldouble, int)", &["s0:s1", "rdi"], st0);
    check(
        "void f(int,int,int,int,int,int, int, ldouble, int)",
        &["rdi", "rsi", "rdx", "rcx", "r8", "r9", "s0", "s2:s3", "s4"],
        "-",
    );
    check(
        "void f(int,int,int,int,int,int, ldouble, int)",
        &["rdi", "rsi", "rdx", "rcx", "r8", "r9", "s0:s1", "s2"],
        "-",
    );
    check("struct(ldouble) f(struct(ldouble))", &["s0:s1"], st0);
}

#[test]
fn structures() {
    check("struct(int) f(struct(char, short))", &["rdi"], "rax");
    check(
        "struct(long, long) f(struct(int, int, int), int)",
        &["rdi:rsi", "rdx"],
        "rax:rdx",
    );
    check(
        "struct(double, double) f(struct(float, float, float), double)",
        &["xmm0:xmm1", "xmm2"],
        "xmm0:xmm1",
    );
    check(
        "struct(double, long) f(struct(long, double))",
        &["rdi:xmm0"],
        "xmm0:rax",
    );
    check(
        "struct(int, float, double) f(struct(int, float), int)",
        &["rdi", "rsi"],
        "rax:xmm0",
    );
    check("struct(struct(float), array(float, 1)) f()", &[], "xmm0");
    check(
        "void f(array(int, 2), struct(array(char, 16)))",
        &["rdi", "rsi:rdx"],
        "-",
    );
    check("void f(struct(), int)", &["-", "rdi"], "-");
}

#[test]
fn structures_in_memory() {
    // One that is returned in memory takes the first register for its place.
    check(
        "struct(long, long, long) f(int, int)",
        &["rsi", "rdx"],
        "at 0x106",
    );
    check(
        "void f(struct(long, long, long), int, struct(int, int, int, int, int))",
        &["at 0x7000", "rdi", "at 0x7018"],
        "-",
    );
    check(
        "void f(struct(char, ldouble), int)",
        &["at 0x7000", "rdi"],
        "-",
    );
    // When there is one register left, both halves go to the stack, and a later int still gets it.
    check(
        "void f(int,int,int,int,int, struct(long, long), int)",
        &["rdi", "rsi", "rdx", "rcx", "r8", "s0:s1", "r9"],
        "-",
    );
    check(
        "void f(array(array(long, 4611686018427387904), 99)*, struct(array(long, 4611686018427387904)), int)",
        &["rdi", "at 0x7000", "rsi"],
        "-",
    );
}

#[test]
fn a_task_that_is_gone_has_no_floats() {
    let function = prototype("double f(double, int, ldouble)", "f");
    let (regs, memory, floats) = (regs(), stack(), Fixed(None));
    let view = View {
        regs: &regs,
        memory: &memory,
        floats: &floats,
        process: &Unknown,
        errno: None,
    };
    let places = places_of(&function, &view).map(describe);
    assert_eq!(places.collect::<Vec<_>>(), ["lost", "rdi", "s0:s1"]);
    assert_eq!(describe(sysv::result(&view, &function.result)), "lost");
}

#[test]
fn a_stack_that_cannot_be_read_is_told_by_its_address() {
    let function = prototype("int f(int, int, int, int, int, int, int)", "f");
    let regs = regs();
    let view = View {
        regs: &regs,
        memory: &Stretch::default(),
        floats: &Fixed(None),
        process: &Unknown,
        errno: None,
    };
    let last = places_of(&function, &view).last();
    assert_eq!(last, Some(Place::Memory(Addr(RSP + 8))));
}

/// A list at 0x1000 of which `taken` general and `floats` vector registers have been given out.
fn list(taken: u32, floats: u32) -> Stretch {
    let (overflow, save_area) = (0x1100_u64, 0x1018_u64);
    let mut bytes = Vec::new();
    bytes.extend((8 * taken).to_le_bytes());
    bytes.extend((48 + 16 * floats).to_le_bytes());
    bytes.extend(overflow.to_le_bytes());
    bytes.extend(save_area.to_le_bytes());
    (0x100..0x106_u64).for_each(|word| bytes.extend(word.to_le_bytes()));
    (0x200..0x208_u128).for_each(|pair| bytes.extend(pair.to_le_bytes()));
    bytes.resize(0x100, 0);
    (0x300..0x310_u64).for_each(|word| bytes.extend(word.to_le_bytes()));
    Stretch {
        at: Addr(0x1000),
        bytes,
    }
}

#[track_caller]
fn check_list(memory: &Stretch, types: &str, places: &[&str]) {
    let function = prototype(&format!("void f({types});"), "f");
    let mut list = VaList::of(Machine::Amd64, memory, &Place::word(0x1000)).unwrap();
    let params = function.params.iter();
    let found: Vec<String> = params.map(|param| describe(list.next(&param.ty))).collect();
    assert_eq!(found, places, "{types}");
}

#[test]
fn lists() {
    check_list(&list(0, 0), "int, double, string", &["rdi", "xmm0", "rsi"]);
    check_list(&list(2, 1), "int, double", &["rdx", "xmm1"]);
    check_list(
        &list(5, 7),
        "int, int, double, double, long",
        &["r9", "s0", "xmm7", "s1", "s2"],
    );
    check_list(
        &list(6, 8),
        "ldouble, int, ldouble, double",
        &["s0:s1", "s2", "s4:s5", "s6"],
    );
    let lying = Stretch {
        at: Addr(0x1000),
        bytes: vec![0xff; 24],
    };
    check_list(&lying, "int, double", &["at 0xffffffffffffffff", "at 0x8"]);
    assert!(VaList::of(Machine::Amd64, &lying, &Place::word(0x1001)).is_none());
}

/// A call of an i386 function: the words of its stack are 0x300 and so on, and so is what `st(0)` holds.
#[track_caller]
fn check_32(function: &str, places: &[&str], result: &str) {
    let function = prototype(&format!("{function};"), "f");
    let regs = Regs {
        rax: 0xdead_0000_0106,
        rdx: 0x102,
        rsp: RSP,
        cs: 0x23,
        ..Regs::default()
    };
    let words = (0..32_u32).flat_map(|word| (0x300 + word).to_le_bytes());
    let memory = Stretch {
        at: Addr(RSP),
        bytes: [0; 4].into_iter().chain(words).collect(),
    };
    // 1.5
    let mut floats = FloatRegs::default();
    floats.st[0] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0x3f];
    let floats = Fixed(Some(floats));
    let view = View {
        regs: &regs,
        memory: &memory,
        floats: &floats,
        process: &Unknown,
        errno: None,
    };
    let name = |word: u32| match word {
        0 => String::new(),
        0x300..0x320 => format!("s{} ", word - 0x300),
        word => format!("{word:#x} "),
    };
    let describe = |place: Place| match place {
        Place::Bytes(bytes) => {
            let words = bytes.as_chunks::<4>().0.iter();
            let names: String = words.map(|word| name(u32::from_le_bytes(*word))).collect();
            names.trim_end().to_owned()
        }
        place => describe(place),
    };
    let found: Vec<String> = places_of(&function, &view).map(describe).collect();
    assert_eq!(found, places, "{}", function.name);
    assert_eq!(
        describe(convention::result(&view, &function.result)),
        result
    );
}

#[test]
fn i386_arguments_follow_each_other() {
    check_32("void f()", &[], "0x106 0x102");
    check_32(
        "int f(int, string, long, llong, addr)",
        &["s0", "s1", "s2", "s3 s4", "s5"],
        "0x106 0x102",
    );
    check_32("llong f(double, float)", &["s0 s1", "s2"], "0x106 0x102");
    check_32("void f(ldouble, int)", &["s0 s1 s2", "s3"], "0x106 0x102");
    check_32(
        "void f(struct(short, short, short), struct(), struct(llong, llong), int)",
        &["s0 s1", "", "s2 s3 s4 s5", "s6"],
        "0x106 0x102",
    );
    check_32(
        "void f(struct(llong, llong, char), array(array(long, 4611686018427387904), 99)*, int)",
        &["at 0x6ffc", "s5", "s6"],
        "0x106 0x102",
    );
}

#[test]
fn i386_results() {
    check_32("float f()", &[], "0x3fc00000");
    check_32("double f()", &[], "0x3ff80000");
    check_32("ldouble f()", &[], "0xc0000000 0x3fff");
    check_32("string f()", &[], "0x106 0x102");
    // The place for a structure is the first word.
    check_32("struct(char) f(int)", &["s1"], "at 0x106");
    check_32("struct() f(int)", &["s0"], "0x106 0x102");
}

#[test]
fn i386_lists_are_addresses() {
    let memory = Stretch {
        at: Addr(0x1000),
        bytes: [1_u32, 2, 3].map(u32::to_le_bytes).concat(),
    };
    let place = Place::word(0x1000);
    let mut list = VaList::of(Machine::I386, &memory, &place).unwrap();
    let function = prototype("void f(int, llong, int);", "f");
    let found: Vec<Place> = (function.params.iter().map(|param| list.next(&param.ty))).collect();
    let long = u64::from(2_u32) | 3 << 32;
    let end = Place::Memory(Addr(0x100c));
    assert_eq!(found, [Place::word(1), Place::word(long), end]);
    assert!(VaList::of(Machine::I386, &memory, &Place::Lost).is_none());
}

#[test]
fn unknown_functions_of_i386_have_words_on_the_stack() {
    let regs = Regs {
        rsp: 0x1000,
        cs: 0x23,
        ..Regs::default()
    };
    let memory = Stretch {
        at: Addr(0x1000),
        bytes: [9_u32, 1, 2].map(u32::to_le_bytes).concat(),
    };
    let view = View {
        regs: &regs,
        memory: &memory,
        floats: &Fixed(None),
        process: &Unknown,
        errno: None,
    };
    let words: Vec<u64> = (0..3).map(|n| convention::word(&view, n)).collect();
    assert_eq!(words, [1, 2, 0]);
}
