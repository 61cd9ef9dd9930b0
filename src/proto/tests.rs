//! Tables over the language: what lines mean, and what is said of those that mean nothing.

mod formats;
pub(crate) mod fuzz;

use super::Prototype;
use super::layout::{Layout, Model};
use super::parse::parse;
use std::sync::Arc;

/// The function that the last line of a text describes.
pub(crate) fn prototype(text: &str, name: &str) -> Arc<Prototype> {
    let (parsed, complaints) = parse("test.conf", text);
    assert_eq!(complaints, [], "{text}");
    Arc::clone(&parsed.functions[name])
}

/// One file that uses every construct of the language.
pub(crate) const EVERYTHING: &str = "\
; comment
# comment
typedef list = struct;
typedef list = struct(int, list*);
typedef size_t = ulong;
typedef iovec = struct(string(array(char, elt2)*), size_t);
typedef mode = oct(uint);
void f01(void);
int f02(char, short, ushort, int, uint, long, ulong, float, double, addr, file); trailing text
function addr f03(schar, uchar, int8, uint8, int16, uint16, int32, uint32, int64, uint64, llong, ullong, ldouble, wchar, itn);
string f04(string, string[arg1], string2, +string0, string[retval], string[7], string(char*), string(array(char, 6)));
int f05(hex(int), oct(int), octal(short), octal, hex, bool(int), bool, hide(int), hide, guess(long), guess, bitvec(ulong), bitvec, endpoint(struct(ushort))*);
int f06(enum(A, B=7, C), enum[ushort](D=-1, E=0x10, F=017), flags(R=0/3, W=1/3, C=0100), flags[ulong](X=1));
int f07(array(int, 3), array(int*, arg1)*, array(array(char, 2), zero)**, array(string, zero(arg1))*);
struct(int, float) f08(struct(char, double), struct(), struct(struct(int, int), list*, array(short, 4)), list*, iovec);
int f09(string(wchar), string(array(wchar, 4)*), char(int), hex(double), hex(array(int, 2)), mode, list**);
int f10(int, if(arg1 & 0x40, octal(int)), format);
int f11(+string*, vformat, hide(addr));
int f12(string, scan_format);
int f13(wformat);
int f14(vwformat, addr, vscan_format, wscan_format, vwscan_format);
";

#[track_caller]
fn check(line: &str, canonical: &str) {
    let text = format!("typedef l = struct;\ntypedef l = struct(int, l*);\n{line}\n");
    let (parsed, complaints) = parse("test.conf", &text);
    assert_eq!(complaints, []);
    let function = &parsed.functions["f"];
    assert_eq!(shown(function), canonical);
}

fn shown(function: &Prototype) -> String {
    let params = function.params.iter().map(|param| {
        let mark = if param.at_return { "+" } else { "" };
        format!("{mark}{}", param.ty)
    });
    let params = params.collect::<Vec<_>>().join(", ");
    format!("{} {}({params})", function.result, function.name)
}

#[test]
fn lines() {
    check("int f();", "int f()");
    check("int f(void);", "int f()");
    check("int f(int)", "int f(int)");
    check("  int\tf ( int , uint ) ;", "int f(int, uint)");
    check("function void f(itn);", "void f(int)");
    check("void f(addr, file, void*);", "void f(void*, void*, void*)");
    check("void f(int); /* whatever */", "void f(int)");
    check(
        "int f(int, +string*, int);",
        "int f(int, +string(array(char, zero)*)*, int)",
    );
    check("void f(int, ulong) # it is", "void f(int, ulong)");
    check("addr f(l*);", "void* f(struct*)");
    check("int f(l);", "int f(struct)");
}

#[test]
fn lenses() {
    check(
        "octal f(oct(int), octal(long));",
        "octal(uint) f(octal(int), octal(long))",
    );
    check(
        "bool f(bool(int), hex);",
        "bool(uint8) f(bool(int), hex(uint))",
    );
    check("void f(hex(oct(int)));", "void f(hex(int))");
    check("void f(enum(A,B=7,C));", "void f(enum[int](A=0, B=7, C=8))");
    check(
        "void f(enum[short](A=-1,B));",
        "void f(enum[short](A=-1, B=0))",
    );
    check(
        "void f(enum(A=0x10, B=010));",
        "void f(enum[int](A=16, B=8))",
    );
    check(
        "void f(flags(A=1/3, B=4));",
        "void f(flags[int](A=1/0x3, B=4))",
    );
    check("void f(array(int, 3));", "void f(array(int, 3)*)");
    check("void f(hex(array(int, 3)));", "void f(hex(array(int, 3)*))");
    check(
        "void f(string, format);",
        "void f(string(array(char, zero)*), format)",
    );
    check(
        "void f(int, if(arg1 & 0100, oct(int)));",
        "void f(int, if(arg1 & 0x40, octal(int)))",
    );
    check("void f(vwscan_format);", "void f(vwscan_format)");
    check("void f(format(string));", "void f(format)");
    let text = "string(array(uint, zero)*)";
    check(&format!("void f(format({text}));"), "void f(wformat)");
    check_complaints(
        "void f(format(int));",
        &["c.conf:1:15: error: a format must be text"],
    );
}

#[test]
fn declarations_of_c() {
    check(
        "extern ssize_t f(int fd, void *restrict buf, size_t n);",
        "long f(int, void*, ulong)",
    );
    check(
        "const char *f(const char *, char const*, char *);",
        "string(array(char, zero)*) f(string(array(char, zero)*), char*, char*)",
    );
    check(
        "int f(const char *const *argv, const wchar_t *);",
        "int f(string(array(char, zero)*)*, string(array(char(int), zero)*))",
    );
    check(
        "unsigned f(unsigned long, long unsigned int, unsigned long long x, long long, signed char)",
        "uint f(ulong, ulong, uint64, int64, char)",
    );
    check(
        "long double f(unsigned char c, unsigned short, short int, long int, double d)",
        "ldouble f(char(uint8), ushort, short, long, double)",
    );
    check(
        "void f(struct stat *st, const struct l *, enum color, FILE *, DIR*);",
        "void f(struct*, struct*, int, struct*, struct*)",
    );
    check(
        "pid_t f(int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t);",
        "int f(int8, uint8, short, ushort, int, uint, int64, uint64)",
    );
    check(
        "mode_t f(off_t, uid_t, time_t, intptr_t, uintptr_t, socklen_t, wchar_t, bool, _Bool);",
        "octal(uint) f(long, uint, long, long, hex(ulong), uint, char(int), bool(uint8), bool(uint8))",
    );
    // Words that begin a line may be names of types.
    let words = "typedef typedef = int;\ntypedef function = long;\n";
    for line in [
        "typedef f(function);",
        "function typedef f(function);",
        "function int f(function);",
    ] {
        let shown = shown(&prototype(&format!("{words}{line}"), "f"));
        assert_eq!(shown, "int f(long)", "{line}");
    }
    let line = format!("{words}function f(int);");
    assert_eq!(shown(&prototype(&line, "f")), "long f(int)");
    // What a file says of a name comes first.
    let typedef = "typedef time_t = hex(int);\nint f(time_t);";
    assert_eq!(shown(&prototype(typedef, "f")), "int f(hex(int))");
    check_complaints(
        "int f(struct stat);",
        &["c.conf:1:7: error: this structure's members have not been told yet"],
    );
}

#[test]
fn lengths() {
    check(
        "void f(string[arg2], int);",
        "void f(string(array(char, zero(arg2))*), int)",
    );
    check(
        "void f(string2, int);",
        "void f(string(array(char, zero(arg2))*), int)",
    );
    check(
        "void f(string[5]);",
        "void f(string(array(char, zero(5))*))",
    );
    check(
        "void f(string[zero(5)]);",
        "void f(string(array(char, zero(5))*))",
    );
    // What needs the result waits for it.
    check(
        "int f(string0);",
        "int f(+string(array(char, zero(retval))*))",
    );
    check("int f(array(int, arg0)*);", "int f(+array(int, retval)*)");
    check(
        "void f(string(char*));",
        "void f(string(array(char, zero)*))",
    );
    check(
        "void f(string(char), string(int)*);",
        "void f(char, char(int)*)",
    );
    check(
        "string[arg2] f(addr, ulong);",
        "string(array(char, zero(arg2))*) f(void*, ulong)",
    );
    check("void f(string(int*));", "void f(string(array(int, zero)*))");
    check(
        "void f(struct(int, array(int, elt1)));",
        "void f(struct(int, array(int, elt1)))",
    );
}

#[track_caller]
fn check_complaints(text: &str, expected: &[&str]) {
    let (_, complaints) = parse("c.conf", text);
    let told = complaints.iter().map(ToString::to_string);
    assert_eq!(told.collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn complaints() {
    check_complaints(
        "; fine\n\nint f(;\n",
        &["c.conf:3:7: error: expected a type, got ';'"],
    );
    check_complaints("foo f();", &["c.conf:1:1: error: unknown type 'foo'"]);
    check_complaints(
        "int f(int",
        &["c.conf:1:10: error: expected ',', got the end of the line"],
    );
    check_complaints(
        "int f(int int)",
        &["c.conf:1:11: error: expected ',', got 'i'"],
    );
    check_complaints(
        "int (int);",
        &["c.conf:1:5: error: expected a function, got '('"],
    );
    check_complaints("int f int", &["c.conf:1:7: error: expected '(', got 'i'"]);
    check_complaints(
        "int f(int, void);",
        &["c.conf:1:12: warning: void parameter assumed to be 'hide(int)'"],
    );
    check_complaints(
        "int f(enum(A B));",
        &["c.conf:1:14: error: expected ',', got 'B'"],
    );
    check_complaints("int f(enum(A=x));", &["c.conf:1:14: error: bad number 'x'"]);
    check_complaints(
        "int f(enum(A=99999999999999999999));",
        &["c.conf:1:14: error: bad number '99999999999999999999'"],
    );
    check_complaints(
        "int f(string[x]);",
        &["c.conf:1:14: error: expected a length: a number, argN, eltN, retval or zero"],
    );
    check_complaints(
        "typedef a = int;\ntypedef a = long;",
        &["c.conf:2:9: error: redefinition of typedef 'a'"],
    );
    check_complaints(
        "typedef int = long;",
        &["c.conf:1:9: error: 'int' is a word of the language"],
    );
    check_complaints(
        "typedef s = struct; typedef\nint f(s*);\nint g(s);",
        &["c.conf:3:7: error: this structure's members have not been told yet"],
    );
    check_complaints(
        "typedef s = struct;\ntypedef s = struct(s);",
        &["c.conf:2:20: error: this structure's members have not been told yet"],
    );
    check_complaints(
        "array(void, 3) f();",
        &["c.conf:1:7: error: void has no value"],
    );
    check_complaints(
        "import \"x\";",
        &["c.conf:1:8: error: nothing can be imported here"],
    );
    check_complaints("import \"x", &["c.conf:1:9: error: missing '\"'"]);
    check_complaints("ö f();", &["c.conf:1:1: error: expected a type, got 'ö'"]);
    check_complaints(
        "int f(if(retval & 1, int));",
        &["c.conf:1:10: error: only an argument can tell: argN"],
    );
    check_complaints(
        "int f(char(float));",
        &["c.conf:1:12: error: a character must be an integer"],
    );
}

#[test]
fn a_bad_line_leaves_the_others() {
    let (parsed, complaints) = parse("c.conf", "int a();\nint b(;\nint c();\nint a(int);");
    assert_eq!(complaints.len(), 1);
    let mut names: Vec<_> = parsed.functions.keys().collect();
    names.sort();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(parsed.functions["a"].params.len(), 1);
}

#[test]
fn a_file_may_take_over_new_words_only() {
    let text = "typedef ldouble = double;\nvoid f(ldouble);";
    assert_eq!(shown(&prototype(text, "f")), "void f(double)");
}

#[test]
fn the_canonical_spelling_means_the_same() {
    let (parsed, complaints) = parse("e.conf", EVERYTHING);
    assert_eq!(complaints, []);
    assert_eq!(parsed.functions.len(), 14);
    for function in parsed
        .functions
        .values()
        .filter(|f| f.name != "f08" && f.name != "f09")
    {
        let canonical = shown(function);
        let again = prototype(&canonical, &function.name);
        assert_eq!(shown(&again), canonical);
    }
}

#[track_caller]
fn check_layout(ty: &str, size: u64, align: u64, small: (u64, u64)) {
    let function = prototype(&format!("void f({ty}*)"), "f");
    let super::types::Type::Pointer(ty) = &function.params[0].ty else {
        panic!("not a pointer");
    };
    assert_eq!(Model::Lp64.layout(ty), Layout { size, align });
    let (size, align) = small;
    assert_eq!(Model::Ilp32.layout(ty), Layout { size, align });
}

#[test]
fn layouts() {
    check_layout("char", 1, 1, (1, 1));
    check_layout("long", 8, 8, (4, 4));
    check_layout("llong", 8, 8, (8, 4));
    check_layout("ldouble", 16, 16, (12, 4));
    check_layout("struct(char, int, char)", 12, 4, (12, 4));
    check_layout("struct(char, double)", 16, 8, (12, 4));
    check_layout("struct(int, addr)", 16, 8, (8, 4));
    check_layout("array(short, 5)", 10, 2, (10, 2));
    check_layout("array(int, elt1)", 0, 4, (0, 4));
    check_layout("string(array(char, zero(6)))", 6, 1, (6, 1));
    check_layout(
        "array(array(long, 4611686018427387904), 99)",
        u64::MAX,
        8,
        (u64::MAX, 4),
    );
    check_layout("struct()", 0, 1, (0, 1));
}
