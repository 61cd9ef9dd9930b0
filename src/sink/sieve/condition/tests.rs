//! Conditions of `--arg`, and calls that meet them.

use super::*;
use crate::base::addr::Addr;
use crate::sink::tests::imported;
use Value::{Guess, Hex, Pointer, Signed, Unsigned, Void};

fn bytes(text: &str, cut: bool) -> Value {
    let bytes = text.as_bytes().into();
    Value::Bytes { bytes, cut }
}

fn name(name: &str) -> Value {
    Value::Name(name.into())
}

fn flags(names: &[&str], rest: u64) -> Value {
    let names = names.iter().map(|name| Arc::from(*name)).collect();
    Value::Flags { names, rest }
}

/// `f(args…)`, which came back with `result`, after 2 ms.
#[track_caller]
fn check(text: &str, args: &[Value], result: Value, expected: bool) {
    let condition = parse(text).unwrap_or_else(|why| panic!("{why}"));
    let point = imported("f");
    assert!(condition.is_about(&point), "{text}");
    let call = Call {
        point: &point,
        args,
        out_args: &[],
        words: &[],
        end: Some(End {
            result: Some((&result, 7)),
            elapsed: Duration::from_millis(2),
        }),
    };
    assert_eq!(
        condition.holds(&call),
        Some(expected),
        "{text} of {args:?} = {result:?}"
    );
}

#[test]
fn numbers() {
    let args = [
        Signed(3),
        Unsigned(u64::MAX),
        Hex(0x10),
        Guess(-5_i64 as u64),
        Pointer(Addr(0)),
    ];
    for (text, expected) in [
        ("arg1==3", true),
        ("arg1 == 4", false),
        ("arg1 != 4", true),
        ("arg1<3", false),
        ("arg1 <= 3", true),
        ("arg2 > 0xffff", true),
        ("arg3 == 020", true),
        ("arg3 & 0x30", true),
        ("arg3 & 0x20", false),
        ("arg4 == -5", true),
        ("arg5 == 0", true),
        ("arg5 == nil", true),
        ("arg5 != NULL", false),
        ("arg5", false),
        ("!arg5", true),
        ("arg6 == 0", false),
        ("arg1 == 'a'", false),
        ("f: arg1 == 3", true),
        ("f@*: arg1 == 3 && (arg3 == 1 || arg3 == 16)", true),
        ("arg1 == 3 && arg3 == 1 || arg4 == 0", false),
        ("ret == -1", true),
        ("errno == ENOENT", true),
        ("errno == 2", true),
        ("errno != EACCES", true),
        ("errno", true),
        ("time > 1ms", true),
        ("time >= 2s", false),
    ] {
        let failed = Value::Failed(Box::new(Signed(-1)), 2);
        check(text, &args, failed, expected);
    }
}

#[test]
fn names_and_texts() {
    let args = [
        name("SEEK_SET"),
        flags(&["O_WRONLY", "O_CREAT"], 0),
        flags(&["A"], 8),
        bytes("/etc/passwd", false),
        bytes("/etc/pas", true),
        Value::Struct(vec![
            Signed(1),
            Value::Array {
                items: vec![Signed(2)],
                cut: false,
            },
        ]),
    ];
    for (text, expected) in [
        ("arg1 == SEEK_SET", true),
        ("arg1 != SEEK_SET", false),
        ("arg2 & O_CREAT", true),
        ("arg2 & O_EXCL", false),
        ("arg2 == O_CREAT", false),
        ("arg3 == A", false),
        ("arg4 == \"/etc/passwd\"", true),
        ("arg4 ~ \"/etc/*\"", true),
        ("arg4 ~ \"etc\"", false),
        ("arg4 !~ \"*.so*\"", true),
        ("arg5 == \"/etc/passwd\"", true),
        ("arg5 == \"/var\"", false),
        ("arg6.elt1 == 1", true),
        ("arg6.elt2.elt1 == 2", true),
        ("arg6.elt3 == 2", false),
        ("arg1.elt1 == 2", false),
        ("arg2 ~ \"*CREAT*\"", true),
        ("ret", false),
        ("errno", false),
        ("arg1 == \"SEEK_SET\"", true),
    ] {
        check(text, &args, Void, expected);
    }
}

/// What is not there yet is not decided yet, unless the rest decides it.
#[test]
fn before_the_end() {
    let point = imported("f");
    let call = Call {
        point: &point,
        args: &[Signed(3)],
        out_args: &[],
        words: &[],
        end: None,
    };
    for (text, expected) in [
        ("arg1 == 3", Some(true)),
        ("arg2 == 3", None),
        ("ret == 3", None),
        ("!(ret == 3)", None),
        ("arg1 == 4 && ret == 3", Some(false)),
        ("arg1 == 3 && ret == 3", None),
        ("arg1 == 3 || ret == 3", Some(true)),
        ("arg1 == 4 || time > 1s", None),
    ] {
        let condition = parse(text).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(condition.holds(&call), expected, "{text}");
    }
    assert!(
        !parse("g: arg1")
            .unwrap_or_else(|why| panic!("{why}"))
            .is_about(&point)
    );
}

#[test]
fn what_was_passed_counts_where_a_name_is_shown() {
    let point = imported("f");
    let call = Call {
        point: &point,
        args: &[name("SEEK_END")],
        out_args: &[],
        words: &[2],
        end: None,
    };
    let holds = |text: &str| {
        parse(text)
            .unwrap_or_else(|why| panic!("{why}"))
            .holds(&call)
    };
    assert_eq!(
        (holds("arg1 == 2"), holds("arg1 == 1")),
        (Some(true), Some(false))
    );
}

#[test]
fn mistakes() {
    for (text, message) in [
        (
            "",
            "arg1, arg2, …, ret, errno or time is expected here\n  \n  ^",
        ),
        (
            "read: size == 3",
            "arg1, arg2, …, ret, errno or time is expected here\n  read: size == 3\n        ^",
        ),
        (
            "arg1 = 3",
            "one of == != < <= > >= & ~ !~ is expected here\n  arg1 = 3\n       ^",
        ),
        (
            "arg1 == ",
            "a number, a name or a \"text\" is expected here\n  arg1 == \n          ^",
        ),
        (
            "arg1 == \"x",
            "a \" is missing\n  arg1 == \"x\n            ^",
        ),
        (
            "arg1 == 3 arg2",
            "`&&', `||' or the end is expected here\n  arg1 == 3 arg2\n            ^",
        ),
        ("(arg1", "`)' is expected here\n  (arg1\n       ^"),
        (
            "arg1 < \"x\"",
            "this cannot be compared so\n  arg1 < \"x\"\n            ^",
        ),
        (
            "time > 3",
            "time is compared with 5us, 1ms, 2s\n  time > 3\n          ^",
        ),
        (
            "arg1.x",
            "behind a dot stands elt1, elt2, …\n  arg1.x\n        ^",
        ),
        ("arg1 == 09", "this is no number\n  arg1 == 09\n          ^"),
    ] {
        let told = parse(text).err().map(|why| why.to_string());
        assert_eq!(told.as_deref(), Some(message), "{text}");
    }
}
