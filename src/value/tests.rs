//! Tables over reading: a type, what is in memory, and the text that a line shows.

use super::read::Reader;
use super::render::render;
use super::{Limits, Value};
use crate::abi::{Argument, Place};
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::{Memory, Stretch};
use crate::base::regs::Process;
use crate::proto::layout::Model;
use crate::proto::tests::{EVERYTHING, fuzz::Random, prototype};
use crate::proto::{parse, types::Type};

mod held;

/// Where the tests' memory begins.
const AT: u64 = 0x1000;

const LIST: &str = "typedef list = struct;\ntypedef list = struct(int, list*);\n";

fn ty(text: &str) -> Type {
    let function = prototype(&format!("{LIST}void f({text});"), "f");
    function.params[0].ty.clone()
}

/// One thread is known.
struct Known;

impl Process for Known {
    fn thread(&self, pointer: u64) -> Option<Tid> {
        (pointer == 0x7000).then_some(Tid(12346))
    }

    fn caller(&self, return_address: Addr) -> Addr {
        return_address
    }
}

fn read(text: &str, place: Place, bytes: &[u8], limits: Limits) -> String {
    read_as(Model::Lp64, text, place, bytes, limits)
}

fn read_as(model: Model, text: &str, place: Place, bytes: &[u8], limits: Limits) -> String {
    let memory = Stretch {
        at: Addr(AT),
        bytes: bytes.to_vec(),
    };
    // arg1 is the value itself, arg2 is 2, arg3 is -1.
    let (int, ty) = (ty("int"), ty(text));
    let number = |n: i64| Argument {
        ty: &int,
        place: Place::word(n as u64),
    };
    let argument = Argument { ty: &ty, place };
    let reader = Reader {
        memory: &memory,
        model,
        limits,
        arguments: &[argument, number(2), number(-1)],
        result: Some(&number(3)),
        errno: Some(Addr(AT)),
        thread_pointer: AT,
        process: &Known,
    };
    let shown = render(&reader.read(&argument));
    // The short way of what is simple leads to the same.
    let mut values = Vec::new();
    reader.add(&argument, &mut values);
    let added: Vec<String> = values.iter().map(render).collect();
    assert_eq!(added, [shown.as_str()]);
    shown
}

/// A type behind a word in a register.
#[track_caller]
fn check(text: &str, word: u64, shown: &str) {
    let found = read(text, Place::word(word), &[], Limits::default());
    assert_eq!(found, shown, "{text} of {word:#x}");
}

/// A pointer to these bytes, where memory ends.
#[track_caller]
fn check_at(text: &str, bytes: &[u8], shown: &str) {
    check_limited(text, bytes, Limits::default(), shown);
}

#[track_caller]
fn check_limited(text: &str, bytes: &[u8], limits: Limits, shown: &str) {
    let found = read(text, Place::word(AT), bytes, limits);
    assert_eq!(found, shown, "{text} of {bytes:?}");
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn ints(ints: &[u32]) -> Vec<u8> {
    ints.iter().flat_map(|int| int.to_le_bytes()).collect()
}

#[test]
fn integers_by_their_size() {
    check("int", 0xdead_beef_ffff_ffff, "-1");
    check("uint", 0xdead_beef_ffff_ffff, "4294967295");
    check("short", 0xabc_fffd, "-3");
    check("ushort", 0xabc_ffff, "65535");
    check("int8", 0xff80, "-128");
    check("uint8", 0xff80, "128");
    check("long", u64::MAX, "-1");
    check("ulong", u64::MAX, "18446744073709551615");
    check("llong", u64::MAX, "-1");
    check("char", 0xffff_ff61, "'a'");
    check("char", 0xff, r"'\377'");
    check("uchar", 200, r"'\310'");
    check("char(int)", 0xffff_ffff, "EOF");
    check("char(int)", 0xff, r"'\377'");
    check("wchar", 0x20ac, "'€'");
}

#[test]
fn threads_by_their_id() {
    check("thread", 0x7000, "12346");
    check("thread(ulong)", 0x7001, "0x7001");
    check_at("thread(ulong)*", &words(&[0x7000]), "12346");
}

#[test]
fn locales_by_their_names() {
    check("locale", 0, "nil");
    check("locale(addr)", u64::MAX, "LC_GLOBAL_LOCALE");
    // 13 categories and three tables, then 13 names, of which the seventh is not set.
    let name = |at: u64| AT + 29 * 8 + at;
    let mut glibc = vec![0; 16];
    glibc.extend([name(0); 13]);
    glibc[16 + 6] = 0;
    let with_text = |words: &[u64]| [&self::words(words), &b"C.UTF-8\0C\0"[..]].concat();
    check_at("locale", &with_text(&glibc), "C.UTF-8");
    glibc[17..].fill(name(8));
    check_at("locale", &with_text(&glibc), "LC_CTYPE=C.UTF-8");
    // Six maps; the name is behind two words of one.
    let musl = [AT + 4 * 8, 0, 0, 0, 0, 0];
    check_at("locale", &with_text(&musl), "LC_CTYPE=C.UTF-8");
    check_at("locale", &[0x55; 300], "0x1000");
}

#[test]
fn where_a_jmp_buf_leads() {
    let mut saved = [0; 8];
    check_at("jump", &words(&saved), "0x1000");
    saved[7] = AT + 3;
    check_at("jump", &words(&saved), "0x1000<0x1003>");
    // The thread pointer is where the memory begins.
    saved[6] = 0x1234_5678_9abc_def0;
    saved[7] = ((AT + 5) ^ saved[6]).rotate_left(17);
    check_at("jump(addr)", &words(&saved), "0x1000<0x1005>");
    check("jump", 8, "0x8");
}

#[test]
fn names_of_members() {
    check_at("struct(int a, int b)*", &ints(&[1, 2]), "{ a=1, b=2 }");
    check_at(
        "struct(int a, hide(int), int)*",
        &ints(&[1, 2, 3]),
        "{ a=1, 3 }",
    );
    check_at(
        "packed(uint8 a, uint32 b)*",
        &[1, 2, 0, 0, 0],
        "{ a=1, b=2 }",
    );
    check_at("packed(uint8, uint32)*", &[1, 2, 0, 0, 0], "{ 1, 2 }");
}

#[test]
fn sets_by_names_and_numbers() {
    check("set(uint)", 0b1010, "[ 1, 3 ]");
    check("set(uint)", 0, "[ ]");
    check("set[uint](A=0, B=1, C=2)", 0b1010, "[ B, 3 ]");
    check("set[uint](A=0, B=1, C=2)", 0b110, "~[ A ]");
    check("set[uint](A=0, B=1, C=2)", 0b111, "~[ ]");
    check_at("set(array(uint, 2))*", &words(&[1 << 40]), "[ 40 ]");
    check_at("set(array(uchar, arg2))*", &words(&[0x10101]), "[ 0, 8 ]");
}

#[test]
fn modes_letters_and_statuses() {
    let mode = "flags[oct(uint)](REG=0100000/0170000, DIR=040000/0170000)";
    check(mode, 0o100_644, "REG|0644");
    check(mode, 0o40_000, "DIR");
    check(mode, 0o755, "0755");
    check(mode, 0, "00");
    check("ascii", 97, "'a'");
    check("ascii", 1000, "1000");
    check("ascii", u64::from(u32::MAX), "-1");
    check("wait_status", 0x100, "WIFEXITED(s) && WEXITSTATUS(s) == 1");
    check("wait_status", 9, "WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL");
    check(
        "wait_status",
        0x8b,
        "WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)",
    );
    check(
        "wait_status",
        0x137f,
        "WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP",
    );
    check("wait_status", 0xffff, "WIFCONTINUED(s)");
}

#[test]
fn types_that_another_value_chooses() {
    check("switch(arg2, 1: hex(int), 2|3: bool(int))", 7, "true");
    check("switch(arg3, -1: hex(int), int)", 7, "0x7");
    check("switch(retval, 1: hex(int), long)", 7, "7");
    check("switch(arg2, 1: hex(int))", 7, "");
    check("switch(arg9, 1: hex(int), int)", 7, "");
    check_at("switch(arg2, 2: string, int)", b"ab\0", "\"ab\"");
    check_at(
        "struct(int kind, switch(elt1, 1: int, 2: char(int)) of)*",
        &ints(&[2, 65]),
        "{ kind=2, of='A' }",
    );
    let by_pointer = "struct(addr at, switch(elt1, 0: int, char(int)) of)*";
    check_at(by_pointer, &words(&[0, 65]), "{ at=nil, of=65 }");
    check_at(by_pointer, &words(&[8, 65]), "{ at=0x8, of='A' }");
}

#[test]
fn texts_that_have_a_length_together() {
    let text = |at: u64, length| words(&[AT + at, length]);
    let mut memory = [text(32, 2), text(34, 5)].concat();
    memory.extend(b"abcdefg");
    let pairs = "array(struct(string(array(char, elt2)*), size_t), 2)";
    check_at(
        &format!("total(retval, {pairs})*"),
        &memory,
        "[ { \"ab\", 2 }, { \"c\", 5 } ]",
    );
}

/// A result of a thread whose errno is this.
#[track_caller]
fn check_result(text: &str, word: u64, errno: u32, shown: &str) {
    let found = read(text, Place::word(word), &ints(&[errno]), Limits::default());
    assert_eq!(found, shown, "{text} of {word:#x}, errno {errno}");
}

#[test]
fn failures_with_their_errors() {
    const ALL: u64 = u64::MAX;
    let low = u64::from(u32::MAX);
    check_result(
        "errno(int)",
        low,
        2,
        "-1 ENOENT (No such file or directory)",
    );
    check_result("errno(int)", 3, 2, "3");
    check_result("errno(int)", low, 0, "-1");
    check_result("errno(int)", low, 9999, "-1");
    check_result("errno(long)", low, 2, "4294967295");
    check_result("errno(long)", ALL, 4, "-1 EINTR (Interrupted system call)");
    check_result("errno(addr)", 0, 12, "nil ENOMEM (Cannot allocate memory)");
    check_result("errno(addr)", 16, 12, "0x10");
    check_result(
        "errno(string)",
        0,
        34,
        "nil ERANGE (Numerical result out of range)",
    );
    let mapping = "errno(enum[addr](MAP_FAILED=-1))";
    check_result(mapping, ALL, 22, "MAP_FAILED EINVAL (Invalid argument)");
    check_result(mapping, 0, 22, "nil");
    check_result(mapping, 0x7000, 22, "0x7000");
    check("errno(int)", low, "-1");
    check("error(int)", 0, "0");
    check("error(int)", 16, "16 EBUSY (Device or resource busy)");
    check(
        "error(int)",
        -2_i64 as u64,
        "-2 ENOENT (No such file or directory)",
    );
    check("error(int)", 9999, "9999");
    check("error(int)", -512_i64 as u64, "-512 ERESTARTSYS");
}

#[test]
fn names_of_types_as_their_source_writes_them() {
    check_at(
        "type_name(string)",
        b"St13runtime_error\0",
        "std::runtime_error",
    );
    check_at("type_name(string)", b"*N3app5thingE\0", "app::thing");
    check_at("type_name(string)", b"i\0", "int");
    check_at("type_name(string)", b"no type\0", "\"no type\"");
    check_at("type_name(string)", b"", "0x1000");
    let info = [words(&[7, AT + 16]), b"2my\0".to_vec()].concat();
    check_at(
        "contents(struct(hide(addr), type_name(string)))*",
        &info,
        "my",
    );
}

/// Four bytes of memory of a 32-bit program for each word, and a pointer to them.
#[track_caller]
fn check_32(text: &str, words: &[u32], shown: &str) {
    let found = read_as(
        Model::Ilp32,
        text,
        Place::word(AT),
        &ints(words),
        Limits::default(),
    );
    assert_eq!(found, shown, "{text} of {words:x?}");
}

#[test]
fn longs_and_pointers_of_32_bits() {
    check_32("long*", &[u32::MAX], "-1");
    check_32("ulong*", &[u32::MAX, 7], "4294967295");
    check_32("llong*", &[u32::MAX, u32::MAX], "-1");
    check_32("guess(long)*", &[-20_000_i32 as u32], "0xffffb1e0");
    check_32("guess(long)*", &[-20_i32 as u32], "-20");
    check_32(
        "struct(addr, llong, char, short)*",
        &[0x8048000, 1, 0, 0x20061],
        "{ 0x8048000, 1, 'a', 2 }",
    );
    check_32("lp64(struct(long, long)*)", &[1, 2], "0x1000");
    check_32(
        "lp64(struct(long, long)*, struct(int, int)*)",
        &[1, 2],
        "{ 1, 2 }",
    );
    check_32("array(addr, 2)*", &[0x8048000, 0], "[ 0x8048000, nil ]");
    check_32("list*", &[1, AT as u32], "{ 1, recurse }");
}

#[test]
fn lenses_on_integers() {
    check("hex(int)", u64::MAX, "0xffffffff");
    check("hex(short)", u64::MAX, "0xffff");
    check("octal(int)", u64::MAX, "037777777777");
    check("oct(int)", 0, "00");
    check("bool(int)", 0x1_0000_0000, "false");
    check("bool", 0x101, "true");
    check("bool", 0x100, "false");
    check("hide(int)", 7, "");
    check("guess(int)", u64::MAX, "-1");
    check("guess", 0x2711, "0x2711");
    check("enum(A,B=7)", 7, "B");
    check("enum(A,B=7)", 8, "8");
    check("enum(A=-1)", 0xffff_ffff, "A");
    check("enum[ushort](A=-1)", 0xffff, "A");
    check("hex(char)", 0x61, "0x61");
}

#[test]
fn flags() {
    let open = "flags(O_RDONLY=0/3, O_WRONLY=1/3, O_RDWR=2/3, O_CREAT=0100, O_CLOEXEC=02000000)";
    check(open, 0, "O_RDONLY");
    check(open, 0o2000000, "O_RDONLY|O_CLOEXEC");
    check(open, 0o102, "O_RDWR|O_CREAT");
    check(open, 0o4101, "O_WRONLY|O_CREAT|0x800");
    let last = "flags(RDWR=2/3, WRONLY=1/3, RDONLY=0/3)";
    check(last, 2, "RDWR");
    check(last, 0, "RDONLY");
    check("flags(A=1)", 0, "0");
    check("flags(A=1)", 4, "0x4");
    check("flags(NONE=0, A=1)", 0, "NONE");
    check("flags(NONE=0, A=1)", 1, "A");
    check("flags(AB=3, A=1, B=2)", 3, "AB");
}

#[test]
fn conditions() {
    // arg2 is 2.
    check("if(arg2 & 6, oct(int))", 8, "010");
    check("if(arg2 & 4, oct(int))", 8, "");
    check("if(arg9 & 4, oct(int))", 8, "");
    check("struct(if(arg2 & 2, int), if(arg2 & 1, int))", 8, "{ 8 }");
}

#[test]
fn bit_vectors() {
    check("bitvec(uint)", 0x18, "<3-4>");
    check("bitvec(uint)", 0b1011_1000, "<3-5,7>");
    check("bitvec(int)", 0xffff_fffe, "~<0>");
    check("bitvec(ulong)", u64::MAX, "~<>");
    check("bitvec(uint)", 0, "<>");
    let bytes = [1, 2, 4, 8, 16, 32, 64, 128];
    check_at("bitvec(array(char, 8)*)", &bytes, "<0,9,18,27,36,45,54,63>");
    check_at("bitvec(array(char, 9)*)", &bytes, "0x1000");
    check_at("bitvec(uint*)", &[0, 1, 0, 0], "<8>");
}

#[test]
fn reals() {
    check("double", 2.5_f64.to_bits(), "2.500000");
    check(
        "float",
        u64::from((-0.5_f32).to_bits()) | 7 << 32,
        "-0.500000",
    );
    check("hex(double)", 1.5_f64.to_bits(), "0x1.8p+0");
    let mut one = [0; 16];
    one[7] = 0x80;
    one[8] = 0xff;
    one[9] = 0x3f;
    let found = read("ldouble", Place::Bytes(one), &[], Limits::default());
    assert_eq!(found, "1.000000");
}

#[test]
fn texts() {
    check("string", 0, "nil");
    check("string", 16, "0x10");
    check_at("string", b"abc\0", r#""abc""#);
    check_at("string", b"\0", r#""""#);
    // Text that runs out of memory is not all there is.
    check_at("string", b"abc", r#""abc"..."#);
    check_at("string", &[b'x'; 40], &format!("\"{}\"...", "x".repeat(32)));
    check_at(
        "string",
        &[&[b'x'; 32][..], b"\0"].concat(),
        &format!("\"{}\"", "x".repeat(32)),
    );
    check_at("string[2]", b"abc\0", r#""ab""#);
    check_at("string[2]", b"ab", r#""ab""#);
    check_at("string[9]", b"ab\0", r#""ab""#);
    check_at("string[arg2]", b"abc\0", r#""ab""#);
    check_at("string[arg3]", b"abc\0", r#""abc""#);
    check_at("string[arg9]", b"abc\0", r#""""#);
    check_at("string[retval]", b"abcdef\0", r#""abc""#);
    check_at("string(array(char, 4))", b"ab\0c", r#""ab\0c""#);
    check_at(
        "string(array(char, 40))",
        &[b'x'; 40],
        &format!("\"{}\"...", "x".repeat(32)),
    );
    check_at(
        "string(array(char, 33))",
        &[b'x'; 33],
        &format!("\"{}\"...", "x".repeat(32)),
    );
    check_at("string(char*)", b"abc\0", r#""abc""#);
    check_at("string*", &words(&[AT + 8, 0x63_62_61]), r#""abc""#);
    check_at("char*", b"abc\0", "'a'");
}

#[test]
fn limits_of_texts() {
    let limits = |string| Limits {
        string,
        ..Limits::default()
    };
    check_limited("string", b"plain\0", limits(5), r#""plain""#);
    check_limited("string", b"plain\0", limits(4), r#""plai"..."#);
    check_limited("string", b"plain\0", limits(0), r#"""..."#);
    check_limited("string", b"\0", limits(0), r#""""#);
    check_limited("string[5]", b"plain", limits(0), r#"""..."#);
    check_limited("string", b"plain\0", limits(usize::MAX), r#""plain""#);
}

#[test]
fn wide_texts() {
    let wide = ints(&[0x77, 0x20ac, 0]);
    check_at("string(wchar)", &wide, "\"w€\"");
    check_at("string(int*)", &wide, "\"w€\"");
    check_at("string(int)*", &wide, "'w'");
    check("string(uint)", 0x416, "'Ж'");
    check("string(char)", 0x41, "'A'");
    check_at("string(array(wchar, 1)*)", &wide, "\"w\"");
    check_at("string(ushort*)", &[b'h', 0, b'i', 0, 0, 0], "\"hi\"");
    check_at("string(wchar)", &ints(&[0xffff_ffff, 0]), "\"\u{fffd}\"");
    let limits = Limits {
        string: 1,
        ..Limits::default()
    };
    check_limited("string(wchar)", &wide, limits, "\"w\"...");
}

#[test]
fn pointers() {
    check("addr", 0, "nil");
    check("addr", AT, "0x1000");
    check("file", 7, "0x7");
    check("int*", 0, "nil");
    check("int*", 16, "0x10");
    check_at("int*", &ints(&[5]), "5");
    check_at("int*", &[1, 2], "0x1000");
    check_at("hex(int*)", &ints(&[255]), "0xff");
    check_at("int**", &words(&[AT + 8, 9]), "9");
    check_at("addr*", &words(&[5]), "0x5");
}

#[test]
fn arrays() {
    let five = ints(&[1, 2, 3, 4, 5]);
    check_at("array(int, 5)", &five, "[ 1, 2, 3, 4... ]");
    check_at("array(int, 4)", &five, "[ 1, 2, 3, 4 ]");
    check_at("array(int, 0)", &five, "[  ]");
    check_at("array(int, arg2)*", &five, "[ 1, 2 ]");
    check_at("array(int, zero)", &ints(&[1, 2, 0]), "[ 1, 2 ]");
    check_at("array(int, zero(1))", &ints(&[1, 2, 0]), "[ 1 ]");
    check_at(
        "array(int, zero)",
        &ints(&[1, 2, 3, 4, 0]),
        "[ 1, 2, 3, 4 ]",
    );
    check_at(
        "array(int, zero)",
        &ints(&[1, 2, 3, 4, 5, 0]),
        "[ 1, 2, 3, 4... ]",
    );
    check_at("hex(array(int, 2))", &ints(&[16, 17]), "[ 0x10, 0x11 ]");
    check_at(
        "array(string, zero)*",
        &words(&[AT + 16, 0, 0x61]),
        "[ \"a\" ]",
    );
    check("array(int, 3)", 16, "0x10");
    check_at("array(int, 3)", &ints(&[1]), "[ 1, 0x1004, 0x1008 ]");
    check_at(
        "array(struct(), 4000000000)",
        &[0],
        "[ {  }, {  }, {  }, {  }... ]",
    );
    let none = Limits {
        array: 0,
        ..Limits::default()
    };
    check_limited("array(int, 5)", &five, none, "[ ... ]");
    check_limited("array(int, 0)", &five, none, "[  ]");
}

#[test]
fn structures() {
    let found = |text, bytes: &[u8]| {
        let mut place = [0; 16];
        place[..bytes.len()].copy_from_slice(bytes);
        read(text, Place::Bytes(place), &[], Limits::default())
    };
    assert_eq!(
        found("struct(int, char, short)", &[1, 0, 0, 0, b'x', 9, 2, 0]),
        "{ 1, 'x', 2 }"
    );
    let hello = [&b"hello\0\0\0"[..], &2.5_f64.to_le_bytes()].concat();
    let text = "struct(string(array(char, 6)), double)";
    assert_eq!(found(text, &hello), r#"{ "hello\0", 2.500000 }"#);
    check_at(&format!("{text}*"), &hello, r#"{ "hello\0", 2.500000 }"#);
    check_at(
        "struct(int, hide(int), int)*",
        &ints(&[1, 2, 3]),
        "{ 1, 3 }",
    );
    check_at(
        "struct(int, array(int, elt1))*",
        &ints(&[2, 7, 8, 9]),
        "{ 2, [ 7, 8 ] }",
    );
    let vector = [&words(&[AT + 16, 2])[..], b"abc"].concat();
    check_at("struct(string[elt2], ulong)*", &vector, r#"{ "ab", 2 }"#);
    check_at("struct(int, int)*", &ints(&[1]), "{ 1, 0x1004 }");
    check("struct(int)*", 16, "0x10");
    check("list*", 0, "nil");
}

#[test]
fn recursion() {
    let node = |value: u64, next: u64| words(&[value, next]);
    let three = |last| [node(1, AT + 16), node(2, AT + 32), node(3, last)].concat();
    check_at("list*", &three(0), "{ 1, { 2, { 3, nil } } }");
    check_at("list*", &three(AT + 32), "{ 1, { 2, { 3, recurse } } }");
    check_at("list*", &three(AT), "{ 1, { 2, { 3, recurse^^ } } }");
    let limits = |array| Limits {
        array,
        ..Limits::default()
    };
    check_limited("list*", &three(0), limits(2), "{ 1, { 2, ... } }");
    check_limited("list*", &three(0), limits(0), "...");
    let long: Vec<u8> = (0..1000).flat_map(|i| node(i, AT + 16 * (i + 1))).collect();
    let shown = read("list*", Place::word(AT), &long, limits(usize::MAX));
    assert!(shown.contains("... }") && shown.len() < 500, "{shown}");
}

#[test]
fn what_is_lost_is_elided() {
    let found = |text| read(text, Place::Lost, &[], Limits::default());
    for text in [
        "double",
        "string",
        "struct(int, float)",
        "array(int, 3)*",
        "ldouble",
    ] {
        assert!(found(text).contains("..."), "{text}: {}", found(text));
    }
}

/// A tree whose nodes all point to the whole memory: without a budget it would be 4^48 nodes.
#[test]
fn values_have_an_end() {
    let text = "typedef t = struct;\ntypedef t = struct(t*, t*, t*, t*);\nvoid f(t**);";
    let function = prototype(text, "f");
    struct Endless;
    impl Memory for Endless {
        fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, crate::base::memory::Unreadable> {
            for (i, byte) in buf.iter_mut().enumerate() {
                *byte = (at.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8) as u8 ^ i as u8 | 1;
            }
            Ok(buf.len())
        }
    }
    let argument = Argument {
        ty: &function.params[0].ty,
        place: Place::word(AT),
    };
    let limits = Limits {
        array: 1000,
        string: 32,
    };
    let reader = Reader {
        memory: &Endless,
        model: Model::Lp64,
        limits,
        arguments: &[],
        result: None,
        errno: None,
        thread_pointer: AT,
        process: &Known,
    };
    let value = reader.read(&argument);
    assert!(matches!(value, Value::Struct(_)));
    assert!(render(&value).len() < 100_000);
}

/// Every type of the language over memory that holds anything.
#[test]
fn arbitrary_memory() {
    let (parsed, _) = parse::parse("e.conf", EVERYTHING);
    let mut random = Random(99);
    let mut shown = 0;
    for _ in 0..3000 {
        let any = |random: &mut Random| match random.below(4) {
            0 => AT + random.below(64) as u64,
            1 => random.below(5) as u64,
            _ => random.next() << random.below(16),
        };
        let memory: Vec<u64> = (0..32).map(|_| any(&mut random)).collect();
        let memory = Stretch {
            at: Addr(AT),
            bytes: words(&memory),
        };
        for function in parsed.functions.values() {
            let params = function.params.iter();
            let arguments: Vec<Argument> = params
                .map(|param| Argument {
                    ty: &param.ty,
                    place: Place::word(any(&mut random)),
                })
                .collect();
            let result = Argument {
                ty: &function.result,
                place: Place::Memory(Addr(AT)),
            };
            let reader = Reader {
                memory: &memory,
                model: Model::Lp64,
                limits: Limits::default(),
                arguments: &arguments,
                result: Some(&result),
                errno: None,
                thread_pointer: AT,
                process: &Known,
            };
            for argument in arguments.iter().chain([&result]) {
                shown += render(&reader.read(argument)).len();
            }
        }
    }
    assert!(shown > 0);
}

#[test]
fn structures_of_which_a_part_is_there() {
    let sockaddr = "endpoint(struct(enum[ushort](AF_UNIX=1, AF_INET=2)))";
    let inet = [2, 0, 0, 80, 127, 0, 0, 1];
    let check_filled = |length: u64, memory: &[u8], shown: &str| {
        check_at(&format!("filled({length}, {sockaddr}*)"), memory, shown);
    };
    check_filled(16, &inet, "{ AF_INET, 127.0.0.1:80 }");
    check_filled(2, &inet, "{ AF_INET }");
    check_filled(1, &inet, "{  }");
    check_filled(0, &inet, &format!("{AT:#x}"));
    check_filled(5, b"\x01\0abcdef", "{ AF_UNIX, \"abc\" }");
    check_filled(2, b"\x01\0abcdef", "{ AF_UNIX, \"\" }");
    let member = format!("struct(filled(elt2, {sockaddr}*), int)*");
    let behind = [&words(&[AT + 16, 0])[..], &inet].concat();
    check_at(&member, &behind, &format!("{{ {:#x}, 0 }}", AT + 16));
    // A structure around is all there.
    check_at("filled(4, struct(int, int))*", &ints(&[1, 2]), "{ 1 }");
}

#[test]
fn control_messages() {
    let message = |length: u64, level: u32, kind: u32, data: &[u32]| {
        let mut bytes = words(&[length]);
        bytes.extend(ints(&[level, kind]));
        bytes.extend(ints(data));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let rights = message(20, 1, 1, &[3]);
    let both = [&rights[..], &message(28, 1, 2, &[12, 0, u32::MAX])].concat();
    let control = |length: u64| format!("control(array(char, {length})*)");
    let shown = "[ { SOL_SOCKET, SCM_RIGHTS, [ 3 ] }, { SOL_SOCKET, SCM_CREDENTIALS, { pid=12, uid=0, gid=-1 } } ]";
    check_at(&control(56), &both, shown);
    // What is cut, empty or damaged.
    let one = "[ { SOL_SOCKET, SCM_RIGHTS, [ 3 ] } ]";
    check_at(&control(30), &both, one);
    check_at(
        &control(24),
        &message(u64::MAX, 1, 1, &[3, 0]),
        "[ { SOL_SOCKET, SCM_RIGHTS, [ 3, 0 ] } ]",
    );
    check_at(&control(24), &message(3, 1, 1, &[3]), "[  ]");
    check_at(&control(15), &rights, "[  ]");
    let other = message(20, 0, 9, &[0x4142]);
    check_at(&control(24), &other, "[ { SOL_IP, 9, \"BA\\0\\0\" } ]");
}

#[test]
fn integers_of_sixteen_bytes() {
    let check_wide = |ty: &str, number: [u64; 2], shown: &str| {
        check_at(&format!("{ty}*"), &words(&number), shown);
    };
    check_wide("__int128", [5, 0], "5");
    check_wide("__int128", [u64::MAX, u64::MAX], "-1");
    check_wide("int128", [0, 1], "18446744073709551616");
    check_wide(
        "unsigned __int128",
        [u64::MAX, u64::MAX],
        "340282366920938463463374607431768211455",
    );
    check_wide("__uint128_t", [7, 0], "7");
    check_wide("hex(uint128)", [255, 1], "{ 0xff, 0x1 }");
}
