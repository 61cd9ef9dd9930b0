//! Specs that are understood, specs that are refused, and anything else.

use super::*;
use crate::proto::Prototype;
use proptest::prelude::*;

fn pair(text: &str) -> Pair {
    Pair::parse(text).unwrap_or_else(|why| panic!("{why}"))
}

/// One line for each function: its names, where its key is, its sizes, its tests.
fn told(pair: &Pair) -> String {
    let source = |source| match source {
        Source::Result => "result".to_owned(),
        Source::Param(at) => format!("arg{at}"),
    };
    let one = |function: &Function| {
        let mut text = format!("{} key {}", function.names.join(","), source(function.key));
        if let Some(Param::Out(width, count)) = function.params.last() {
            text += &format!(" out {width:?} x{count}");
        }
        for at in &function.sizes {
            text += &format!(" size arg{at}");
        }
        if let Some(at) = function.old {
            text += &format!(" old arg{at}");
        }
        for test in &function.tests {
            let width = function.width(test.source);
            text += &format!(
                " {width:?} {} {:?} {}",
                source(test.source),
                test.operator,
                test.number
            );
        }
        for (number, name) in &function.reasons {
            text += &format!(" {name}={number}");
        }
        text
    };
    let functions: Vec<String> = pair.functions().map(one).collect();
    format!("{:?}: {}", pair.form, functions.join(" / "))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(told(&pair(text)), expected, "{text}");
    for (end, _) in text.char_indices() {
        // Every beginning of a good spec is understood or refused, never more than that.
        let _ = Pair::parse(&text[..end]);
    }
}

#[test]
fn specs() {
    check(
        "sqlite3_open(_, out h) -> sqlite3_close(h) if ret==0",
        "Owned: sqlite3_open key arg1 out Word x1 / sqlite3_close key arg0 Int result Equal 0",
    );
    check(
        "open,openat,socket,accept = fd>=0 -> close(fd)",
        "Owned: open,openat,socket,accept key result Int result AtLeast 0 / close key arg0",
    );
    check(
        "fopen = p!=0 -> fclose(p)",
        "Owned: fopen key result Word result NotEqual 0 / fclose key arg0",
    );
    check(
        "MyLib_ref(p) +-> MyLib_unref(p)",
        "Counted: MyLib_ref key arg0 / MyLib_unref key arg0",
    );
    check(
        "reopen(_, _, old) = new",
        "Replace: reopen key result old arg2",
    );
    check(
        "calloc(count, size)=p->free(p)",
        "Owned: calloc key result size arg1 size arg0 / free key arg0",
    );
    check(
        "open=fd>=0->close(fd)",
        "Owned: open key result Int result AtLeast 0 / close key arg0",
    );
    check(
        "mmap(_, size) = p!=-1 -> munmap(p, size) if ret==0",
        "Owned: mmap key result size arg1 Word result NotEqual -1 \
         / munmap key arg0 size arg1 Int result Equal 0",
    );
    check(
        "pipe(out int fd[2]) if ret==0 -> close(fd)",
        "Owned: pipe key arg0 out Int x2 Int result Equal 0 / close key arg0",
    );
    check(
        "get(long mode, out h) if ret==0 && h!=NULL && mode!=0x10 -> put(_, h) | drop(h)",
        "Owned: get key arg1 out Word x1 Int result Equal 0 Word arg1 NotEqual 0 \
         Word arg0 NotEqual 16 / put key arg1 / drop key arg0",
    );
    check(
        "o(out h) -> c(h) if ret==0 else BUSY=5, MISUSE=21",
        "Owned: o key arg0 out Word x1 / c key arg0 Int result Equal 0 BUSY=5 MISUSE=21",
    );
}

#[test]
fn when_an_effect_is_known() {
    let known = |text: &str| {
        let pair = pair(text);
        pair.functions()
            .map(Function::needs_return)
            .collect::<Vec<bool>>()
    };
    assert_eq!(known("malloc(size) = p -> free(p)"), [true, false]);
    assert_eq!(known("ref(p) +-> unref(p)"), [false, false]);
    assert_eq!(
        known("ref(p) if ret==0 +-> unref(p) if ret==0"),
        [true, true]
    );
    assert_eq!(known("open(out h) -> close(h)"), [true, false]);
}

#[test]
fn what_is_read_of_a_call() {
    let shown = |text: &str| {
        let pair = pair(text);
        let one = |function: &Function| {
            let Prototype { result, params, .. } = function.prototype("f");
            let params: Vec<String> = params
                .iter()
                .map(|p| format!("{}{}", if p.at_return { "+" } else { "" }, p.ty))
                .collect();
            format!("{result} f({})", params.join(", "))
        };
        pair.functions().map(one).collect::<Vec<String>>()
    };
    assert_eq!(
        shown("open = fd>=0 -> close(fd)"),
        ["int f()", "int f(int)"]
    );
    assert_eq!(
        shown("posix_memalign(out p, _, size) if ret==0 -> free(p)"),
        ["int f(+uint64*, hide(uint64), uint64)", "int f(uint64)"]
    );
    assert_eq!(
        shown("pipe(out int fd[2]) if ret==0 -> close(fd)"),
        ["int f(+struct(int, int)*)", "int f(int)"]
    );
}

#[track_caller]
fn refused(text: &str, shown: &str) {
    match Pair::parse(text) {
        Ok(pair) => panic!("{text} is understood as {pair:?}"),
        Err(why) => assert_eq!(why.to_string(), shown, "{text}"),
    }
}

#[test]
fn mistakes_are_pointed_at() {
    refused("", "a function is missing here\n  \n  ^");
    refused(
        "fopen = p",
        "`->` and the function that takes it back are missing here\n  fopen = p\n           ^",
    );
    refused(
        "fopen = p -> fclose(q)",
        "`q` is named nowhere before the arrow\n  fopen = p -> fclose(q)\n                      ^",
    );
    refused(
        "fopen = p -> fclose",
        "`(` and what is taken back are missing here\n  fopen = p -> fclose\n                     ^",
    );
    refused(
        "fopen = p -> fclose()",
        "this names nothing that it takes back\n  fopen = p -> fclose()\n               ^",
    );
    refused(
        "open = fd>= -> close(fd)",
        "a number is missing here\n  open = fd>= -> close(fd)\n              ^",
    );
    refused(
        "open = fd>=x -> close(fd)",
        "a number is missing here\n  open = fd>=x -> close(fd)\n             ^",
    );
    refused(
        "a = p -> b(p) if q==0",
        "`q` is no name of this function's\n  a = p -> b(p) if q==0\n                   ^",
    );
    refused(
        "a = p -> b(p) c",
        "nothing more can stand here\n  a = p -> b(p) c\n                ^",
    );
    refused(
        "a = p b(p)",
        "`->` is missing before here\n  a = p b(p)\n        ^",
    );
    refused(
        "a = p ; b(p)",
        "only names, numbers and the signs of the pair language can stand here\n  a = p ; b(p)\n        ^",
    );
    refused(
        "a(x, x) -> b(x)",
        "`x` is named twice\n  a(x, x) -> b(x)\n       ^",
    );
    refused(
        "a(x[2]) -> b(x)",
        "only an `out` can be several\n  a(x[2]) -> b(x)\n     ^",
    );
    refused(
        "a(x y) -> b(x)",
        "`,` is missing here, or `)`\n  a(x y) -> b(x)\n      ^",
    );
    refused(
        "a(x, y) -> b(x) | c(y)",
        "this takes back something else than `x`\n  a(x, y) -> b(x) | c(y)\n                    ^",
    );
    refused(
        "f(_, old) = p",
        "this does not say what `new` is\n  f(_, old) = p\n  ^",
    );
}

proptest! {
    #[test]
    fn any_text_is_taken(text in "[a-c_ (),=|>+!&0-9\\[\\]if-]{0,40}|.{0,30}") {
        let _ = Pair::parse(&text);
    }

    #[test]
    fn any_damage_is_taken(at in 0usize..60, c in any::<char>()) {
        let mut text: Vec<char> = "a,b(_, out int h[2]) = x if x>=0 && ret!=-1 -> c(h) if ret==0 else E=5".chars().collect();
        if let Some(place) = text.get_mut(at) {
            *place = c;
        }
        let _ = Pair::parse(&text.into_iter().collect::<String>());
    }
}
