//! Declarations of C, and what they become.

use super::parse;
use crate::proto::tests::fuzz::Random;

/// The prototype of `f` in a header, in the language of prototypes.
fn f(text: &str) -> String {
    let (parsed, complaints) = parse("test.h", text);
    assert_eq!(complaints, [], "{text}");
    let function = &parsed.functions["f"];
    let params = function.params.iter();
    let params: Vec<String> = params.map(|param| param.ty.to_string()).collect();
    format!("{} f({})", function.result, params.join(", "))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(f(text), expected, "{text}");
}

const STRING: &str = "string(array(char, zero)*)";

#[test]
fn functions() {
    check("int f(void);", "int f()");
    check("int f();", "int f()");
    check(
        "extern unsigned long long f(short a, unsigned char);",
        "uint64 f(short, char(uint8))",
    );
    check(
        "const char *f(char *to, const char *from);",
        &format!("{STRING} f(char*, {STRING})"),
    );
    check(
        "char const *f(const char *const *all);",
        &format!("{STRING} f({STRING}*)"),
    );
    check(
        "void *f(size_t n, mode_t m);",
        "void* f(ulong, octal(uint))",
    );
    check(
        "double f(float, long double x[3]);",
        "double f(float, array(ldouble, 3)*)",
    );
    check(
        "void f(int a[], int (*b)(int), int c(void));",
        "void f(int*, void*, void*)",
    );
    check(
        "void (*f(int sig, void (*handler)(int)))(int);",
        "void* f(int, void*)",
    );
    check("int f(const char *fmt, ...);", "int f(format)");
    check("int f(const char *name, ...);", &format!("int f({STRING})"));
    check("static inline int f(int a) { return a; }", "int f(int)");
    check("_Bool f(void), g(int);", "bool(uint8) f()");
    check(
        "FILE *f(struct unknown *, va_list);",
        "struct* f(struct*, hide(void*))",
    );
    check(
        "__attribute__((visibility(\"default\"))) int f(int a __attribute__((unused))) __asm__(\"g\") __attribute__((nonnull(1)));",
        "int f(int)",
    );
    check("extern \"C\" {\nint f(int);\n}", "int f(int)");
}

#[test]
fn types() {
    check("typedef int number; number f(number);", "int f(int)");
    check(
        "typedef struct point { int x, y; } point;\nint f(point *, point);",
        "int f(struct*, struct)",
    );
    check(
        "enum e { A, B = 5, C }; int f(enum e);",
        "int f(enum[uint](A=0, B=5, C=6))",
    );
    check(
        "enum { A = 1, B = A << 1, C = 1 << 2 }; enum e { D = -1, E = B | C }; int f(enum e);",
        "int f(enum[int](D=-1, E=6))",
    );
    check(
        "enum e { R = 1, W = 2, X = 4 }; int f(enum e);",
        "int f(flags[uint](R=1, W=2, X=4))",
    );
    check(
        "typedef int (*callback)(void *); int f(callback, callback *);",
        "int f(void*, void**)",
    );
    check(
        "#define N 3\n#define M \\\n 4\nint f(int /* a */ x); // end",
        "int f(int)",
    );
    check(
        "int f(int a[sizeof(long) * 2 - 1]);",
        "int f(array(int, 15)*)",
    );
}

/// Offsets and sizes are those of the compiler.
#[test]
fn layouts() {
    use crate::proto::layout::Model;
    use crate::proto::types::Type;
    let of = |text: &str| {
        let (parsed, complaints) = parse("test.h", text);
        assert_eq!(complaints, [], "{text}");
        let Type::Struct(s) = parsed.typedefs["t"].clone() else {
            panic!("{text}");
        };
        let offsets: Vec<u64> = Model::Lp64.offsets(&s).map(|(offset, _)| offset).collect();
        (offsets, Model::Lp64.layout(&Type::Struct(s)).size)
    };
    assert_eq!(
        of("typedef struct { char a; int b; char c; } t;"),
        (vec![0, 4, 8], 12)
    );
    assert_eq!(of("typedef union { char a; long b; } t;"), (vec![0, 0], 8));
    assert_eq!(
        of("typedef struct { char a; int b; } __attribute__((packed)) t;"),
        (vec![0, 1], 5)
    );
    assert_eq!(
        of("typedef struct { int a : 3, b : 7; unsigned c : 30; char d; } t;"),
        (vec![0, 0, 4, 8], 12)
    );
    assert_eq!(
        of(
            "typedef struct { int a; struct { char x; union { int i; double d; }; }; char e[5]; } t;"
        ),
        (vec![0, 8, 24], 32)
    );
}

#[test]
fn a_mistake_costs_one_declaration() {
    let text = "int a(int);\nint b(unknown_t x);\nstruct s { int x; nonsense y; };\nint c(int);\n\
                # 7 \"other.h\" 2\nint d(int) int e(int);\nint f(struct s by_value);\nint g(char);\n";
    let (parsed, complaints) = parse("mine.h", text);
    let told: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "mine.h:2:7: error: unknown type 'unknown_t'",
            "mine.h:3:19: error: unknown type 'nonsense'",
            "other.h:7:12: error: expected ',', got 'int'",
            "other.h:8:25: error: a parameter's members have not been told yet",
        ]
    );
    let mut names: Vec<&String> = parsed.functions.keys().collect();
    names.sort();
    assert_eq!(names, ["a", "c", "d", "g"]);
}

#[test]
fn what_is_not_closed_ends_with_its_declaration() {
    let text = "int a(this is not;\nint b(char);\nint c(int[;\nint d(void) { for (;;) { } }\nint e(int);\n";
    let (parsed, complaints) = parse("mine.h", text);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    let mut names: Vec<&String> = parsed.functions.keys().collect();
    names.sort();
    assert_eq!(names, ["b", "d", "e"]);
}

/// Whatever a file holds, it is read to its end.
#[test]
fn any_words() {
    let words = [
        "int",
        "struct",
        "union",
        "enum",
        "s",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "*",
        ",",
        ";",
        ":",
        "=",
        "...",
        "1",
        "0x7fffffffffffffff",
        "<<",
        "-",
        "typedef",
        "const",
        "char",
        "f",
        "\"x\"",
        "'a'",
        "#define",
        "\n",
        "\\\n",
        "/*",
        "*/",
        "//",
        "sizeof",
        "__attribute__",
        "extern",
        "?",
        "unsigned",
        "é",
    ];
    let mut random = Random(7);
    for _ in 0..3000 {
        let count = random.below(40);
        let text: Vec<&str> = (0..count)
            .map(|_| words[random.below(words.len())])
            .collect();
        parse("any.h", &text.join(" "));
    }
    parse("deep.h", &"(".repeat(100_000));
    parse("deep.h", &format!("int f({}", "int (".repeat(10_000)));
    parse("deep.h", &"struct {".repeat(10_000));
    parse("deep.h", &format!("int x[{}", "(-".repeat(10_000)));
    parse("deep.h", &format!("int {}x;", "*".repeat(10_000)));
}
