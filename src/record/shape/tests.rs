//! A table: prototypes, and what is taken of their functions' calls.

use super::formats::texts as texts_of;
use super::{Blob, Caps, Ends, Refused, Shape, Source};
use crate::base::addr::Vaddr;
use crate::plan::{Kind, ModuleName, Returns, Stack, Tracepoint};
use crate::proto::library::Library;
use crate::proto::tests::prototype;
use std::fmt::Write;
use std::sync::Arc;

const CAPS: Caps = Caps {
    text: 32,
    array: 4,
    arguments: true,
    in_order: false,
};

fn point(symbol: &str, line: Option<&str>) -> Tracepoint {
    Tracepoint {
        module: Arc::new(ModuleName {
            name: "m".to_owned(),
            path: "/m".to_owned(),
            is_main: true,
        }),
        symbol: symbol.into(),
        kind: Kind::Entry { entry: Vaddr(0) },
        prototype: line.map(|line| prototype(line, "f")),
        capture: Default::default(),
        returns: Returns::Once,
        stack: Stack::Unwanted,
    }
}

/// In short: registers and stack, and memory; the same of the return.
fn shown(shape: &Shape) -> String {
    let entry = blobs(shape, &shape.at_entry);
    let result = shape.result;
    format!(
        "{} {} {}{entry} | {} {} {}{}",
        shape.general,
        shape.vector,
        shape.stack,
        u8::from(result.rdx),
        result.vector,
        u8::from(result.x87),
        blobs(shape, &shape.at_return)
    )
}

/// Where they are, how long, and `z` where a zero ends them.
fn blobs(shape: &Shape, blobs: &[Blob]) -> String {
    let shown = |source| match source {
        Source::General(n) => format!("g{n}"),
        Source::Stack(n) => format!("s{n}"),
        source => format!("{source:?}"),
    };
    let mut text = String::new();
    for blob in blobs {
        let source = match blob.source {
            Source::Kept(n) => shown(shape.kept[usize::from(n)]),
            source => shown(source),
        };
        let end = if blob.ends == Ends::AtZero { "z" } else { "" };
        let told = if blob.by_format { "?" } else { "" };
        let _ = write!(text, " {source}:{}{end}{told}", blob.most);
    }
    text
}

#[track_caller]
fn check(line: &str, expected: &str) {
    let shape = Shape::of(&point("f", Some(line)), CAPS);
    let found = shape.map_or_else(|why| format!("{why:?}"), |shape| shown(&shape));
    assert_eq!(found, expected, "{line}");
}

#[test]
fn registers_and_stack() {
    check("void f();", "0 0 0 | 0 0 0");
    check("int f(int, addr, double);", "2 1 0 | 0 0 0");
    check(
        "double f(int, int, int, int, int, int, int, short);",
        "6 0 2 | 0 1 0",
    );
    check("ldouble f(ldouble);", "0 0 2 | 0 0 1");
    check(
        "struct(long, double) f(struct(long, long, long));",
        "0 0 3 | 0 1 0",
    );
    check(
        "struct(long, long) f(struct(long, double));",
        "1 1 0 | 1 0 0",
    );
    // A hidden first argument tells where the result belongs.
    check(
        "struct(long, long, long) f(int);",
        "2 0 0 | 0 0 0 Result:24",
    );
}

#[test]
fn memory_behind_memory() {
    check(
        "long f(string, +string*, int);",
        "3 0 0 g0:34z | 0 0 0 g1:8 Before:34z",
    );
    check("int f(int**, int*);", "2 0 0 g0:8 Before:4 g1:4 | 0 0 0");
    check(
        "int f(struct(int, string)*);",
        "1 0 0 g0:16 Before:34z | 0 0 0",
    );
    check(
        "int f(struct(hide(addr), type_name(string))*);",
        "1 0 0 g0:16 Before:34z | 0 0 0",
    );
    check("string* f();", "0 0 0 | 0 0 0 Result:8 Before:34z");
    // What stands there first is not read twice.
    check(
        "int f(array(int, 1)*, +string*, +int*);",
        "3 0 0 g0:8 | 0 0 0 g1:8 Before:34z g2:4",
    );
    check("int f(struct(string, int)*);", "Deep");
    check("int f(struct(string, string)*);", "Deep");
    check("int f(int***);", "Deep");
    check("int f(array(string, 2)*);", "Deep");
}

#[test]
fn memory_at_the_call() {
    check("int f(string);", "1 0 0 g0:34z | 0 0 0");
    check(
        "int f(string[3], string[arg1], string(wchar));",
        "3 0 0 g0:4z g1:34z g2:136 | 0 0 0",
    );
    check(
        "int f(int*, struct(int, long)*);",
        "2 0 0 g0:4 g1:16 | 0 0 0",
    );
    check(
        "int f(array(int, 2)*, array(int, arg1)*, array(short, zero)*);",
        "3 0 0 g0:12 g1:20 g2:10 | 0 0 0",
    );
    check(
        "int f(int,int,int,int,int,int,int,string);",
        "6 0 2 s1:34z | 0 0 0",
    );
    check(
        "int f(hide(string), addr, if(arg3 & 1, string), int);",
        "4 0 0 g2:34z | 0 0 0",
    );
    check("int f(endpoint(struct(ushort))*);", "1 0 0 g0:110 | 0 0 0");
}

#[test]
fn memory_at_the_return() {
    check("string f(int);", "1 0 0 | 0 0 0 Result:34z");
    check("long f(int, +string0, ulong);", "3 0 0 | 0 0 0 g1:34z");
    check(
        "int f(string, +array(int, arg3)*, int*);",
        "3 0 0 g0:34z | 0 0 0 g2:8 g1:20",
    );
}

#[test]
fn what_is_refused() {
    check("array(string, zero)* f();", "Deep");
    check("int f(vformat, va_list);", "Format");
    check("int f(scan_format);", "Format");
    check("int f(string[100000]);", "1 0 0 g0:34z | 0 0 0");
    check("int f(array(array(char, 9000), 4)*);", "Long");
    let of = |point: &Tracepoint| Shape::of(point, CAPS).err();
    assert_eq!(of(&point("dlsym", None)), Some(Refused::LooksAtCaller));
    let perhaps = Tracepoint {
        returns: Returns::Perhaps,
        ..point("f", None)
    };
    assert_eq!(of(&perhaps), Some(Refused::Unsure));
    let unwatched = Tracepoint {
        returns: Returns::Unwatched,
        ..point("f", Some("string f(+string, string*);"))
    };
    let shape = Shape::of(&unwatched, CAPS).map(|shape| shown(&shape));
    assert_eq!(shape, Ok("2 0 0 | 0 0 0".to_owned()));
}

/// The format whole, and what may be a text behind the named parameters.
#[test]
fn what_a_format_tells() {
    let texts: String = (0..8).map(|word| format!(" s{word}:34z?")).collect();
    check(
        "int f(format);",
        &format!("6 8 8 g0:1024z g1:34z? g2:34z? g3:34z? g4:34z? g5:34z?{texts} | 0 0 0"),
    );
    check(
        "int f(+string, int, string, int, int, format);",
        &format!("6 8 8 g5:1024z{texts} | 0 0 0 g0:34z g2:34z g5:34z"),
    );
    let of = |line, format: &str| texts_of(&point("f", Some(line)), format.as_bytes(), CAPS);
    let printf = |format| of("int f(format);", format);
    assert_eq!(printf("none"), Some(0));
    assert_eq!(printf("%d %s %ld %-10s"), Some(1 << 2 | 1 << 4));
    assert_eq!(printf("%g %.*s"), Some(1 << 2));
    assert_eq!(printf("%d %d %d %d %d %d %s"), Some(1 << 7));
    // A long double takes two words, at a multiple of 16.
    assert_eq!(printf("%d %d %d %d %d %d %Lf %s"), Some(1 << 10));
    assert_eq!(
        printf("%d %d %d %d %d %d %d %d %d %d %d %d %s"),
        Some(1 << 13)
    );
    for refused in ["%d %d %d %d %d %d %d %d %d %d %d %d %d %d", "%ls"] {
        assert_eq!(printf(refused), None, "{refused}");
    }
    assert_eq!(of("int f(int, string, format);", "%s"), Some(1 << 3));
    assert_eq!(texts_of(&point("f", None), b"%s", CAPS), None);
}

#[test]
fn without_arguments() {
    let caps = Caps {
        arguments: false,
        ..CAPS
    };
    for (line, expected) in [
        ("long f(int, +string0, double);", "0 0 0 | 0 0 0"),
        ("string f(string*, format);", "0 0 0 | 0 0 0"),
        ("errno(int) f(int);", "0 0 0 | 0 0 0 Errno(Int):4"),
        ("double f(scan_format);", "0 0 0 | 0 1 0"),
    ] {
        let shape = Shape::of(&point("f", Some(line)), caps);
        assert_eq!(
            shape.map(|shape| shown(&shape)),
            Ok(expected.to_owned()),
            "{line}"
        );
    }
}

#[test]
fn what_is_asked_for() {
    let asks = |line| {
        let shape = Shape::asking(&point("f", Some(line)), CAPS).expect("a shape");
        (shape.asks.at_entry, shape.asks.at_return)
    };
    assert_eq!(asks("int f(string);"), (false, false));
    assert_eq!(asks("int f(string*);"), (false, false));
    assert_eq!(asks("int f(string**);"), (true, false));
    assert_eq!(asks("string** f(string);"), (false, true));
    assert_eq!(asks("int f(format);"), (false, false));
    assert_eq!(asks("int f(vformat, va_list);"), (true, false));
    assert_eq!(asks("int f(scan_format);"), (true, true));
    assert_eq!(asks("int f(+string, format);"), (false, false));
}

/// Most functions that have prototypes are recorded without a stop.
#[test]
fn shipped_prototypes() {
    let library = Library::shipped();
    let of = |symbol: &str| {
        let prototype = library.lookup(symbol, &["libc.so.6"]);
        let point = Tracepoint {
            prototype: Some(prototype.expect("a prototype")),
            ..point(symbol, None)
        };
        Shape::of(&point, CAPS)
    };
    for symbol in [
        "malloc", "free", "strlen", "strcpy", "memcpy", "read", "write", "open", "getenv", "stat",
    ] {
        assert!(of(symbol).is_ok(), "{symbol}: {:?}", of(symbol));
    }
    assert!(of("printf").is_ok(), "{:?}", of("printf"));
    assert_eq!(of("vprintf"), Err(Refused::Format));
    assert_eq!(of("execve"), Err(Refused::Deep));
}
