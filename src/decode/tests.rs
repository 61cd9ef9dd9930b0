//! Hits in, text out: a call and its return as a line would show them.

use super::Decoder;
use crate::base::addr::{Addr, Vaddr};
use crate::base::memory::Stretch;
use crate::base::regs::{FloatRegs, Floats, Regs, Unknown, View};
use crate::base::time::Timestamp;
use crate::base::{Pid, Tid};
use crate::engine::hit::{self, Hit, What};
use crate::event::{CallId, Event, Kind, Why};
use crate::plan::{self, ModuleName, Returns, Tracepoint};
use crate::proto::tests::prototype;
use crate::value::render::{list, render};
use crate::value::{Limits, Value};
use std::sync::Arc;
use std::time::Duration;

/// Where the memory begins; the stack pointer is there, and stack slots follow.
const AT: u64 = 0x1000;
/// Where the texts are that a test puts into memory.
const TEXT: u64 = AT + 0x200;

struct Vectors(FloatRegs);

impl Floats for Vectors {
    fn floats(&self) -> Option<FloatRegs> {
        Some(self.0)
    }
}

/// What the target looks like at a hit.
struct Target {
    regs: Regs,
    memory: Stretch,
    floats: Vectors,
}

impl Target {
    /// General registers as given, stack slots after them, and text.
    fn new(words: &[u64], text: &[u8]) -> Target {
        let word = |number: usize| words.get(number).copied().unwrap_or_default();
        let regs = Regs {
            rdi: word(0),
            rsi: word(1),
            rdx: word(2),
            rcx: word(3),
            r8: word(4),
            r9: word(5),
            rsp: AT,
            ..Regs::default()
        };
        let slots = words.iter().skip(6).flat_map(|word| word.to_le_bytes());
        let mut bytes: Vec<u8> = [0; 8].into_iter().chain(slots).collect();
        bytes.resize((TEXT - AT) as usize, 0);
        bytes.extend_from_slice(text);
        Target {
            regs,
            memory: Stretch {
                at: Addr(AT),
                bytes,
            },
            floats: Vectors(FloatRegs::default()),
        }
    }

    fn float(mut self, number: usize, value: f64) -> Target {
        self.floats.0.xmm[number][..8].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// The same target when the call has returned.
    fn returned(mut self, rax: u64, text: &[u8]) -> Target {
        self.regs.rax = rax;
        self.memory.bytes.truncate((TEXT - AT) as usize);
        self.memory.bytes.extend_from_slice(text);
        // The callee has used argument registers and slots as it pleased.
        self.regs.rdi = 0xdead;
        self.regs.rsi = 0xdead;
        self.regs.r9 = 0xdead;
        self.memory.bytes[8..0x100].fill(0xee);
        self
    }

    fn view(&self) -> View<'_> {
        View {
            regs: &self.regs,
            memory: &self.memory,
            floats: &self.floats,
            process: &Unknown,
            errno: None,
        }
    }
}

fn point(line: Option<&str>) -> Arc<Tracepoint> {
    Arc::new(Tracepoint {
        module: Arc::new(ModuleName {
            name: "m".to_owned(),
            path: "/m".to_owned(),
            is_main: true,
        }),
        symbol: "f".into(),
        kind: plan::Kind::Entry { entry: Vaddr(0) },
        prototype: line.map(|line| prototype(line, "f")),
        capture: Default::default(),
        returns: Returns::Once,
        stack: plan::Stack::Unwanted,
    })
}

fn hit(seconds: u64, what: What<'_>) -> Hit<'_> {
    Hit {
        pid: Pid(1),
        tid: Tid(2),
        time: Timestamp(Duration::from_secs(seconds)),
        what,
    }
}

fn call<'e>(point: &'e Arc<Tracepoint>, target: &'e Target) -> Hit<'e> {
    let view = target.view();
    let return_address = Addr(0x40);
    hit(
        10,
        What::Call(hit::Call {
            id: CallId(7),
            depth: 0,
            point,
            return_address,
            view,
        }),
    )
}

fn back<'e>(point: &'e Arc<Tracepoint>, target: &'e Target) -> Hit<'e> {
    let view = target.view();
    let return_address = Addr(0x40);
    hit(
        13,
        What::Return {
            call: hit::Call {
                id: CallId(7),
                depth: 0,
                point,
                return_address,
                view,
            },
            began: Timestamp(Duration::from_secs(10)),
        },
    )
}

fn shown(values: &[Value]) -> String {
    let mut text = String::new();
    list(&mut text, values);
    text
}

fn args(event: &Event) -> String {
    match &event.kind {
        Kind::Call { args, .. } => shown(args),
        kind => panic!("{kind:?}"),
    }
}

/// The arguments at entry, those at return, and the result.
#[track_caller]
fn check_both(line: Option<&str>, entry: Target, rax: u64, text: &[u8], expected: [&str; 3]) {
    let point = point(line);
    let mut decoder = Decoder::new(Limits::default());
    let at_entry = args(decoder.event(&call(&point, &entry)));
    let target = entry.returned(rax, text);
    match &decoder.event(&back(&point, &target)).kind {
        Kind::Return {
            out_args,
            result,
            elapsed,
            ..
        } => {
            let found = [&at_entry, &shown(out_args), &render(result)];
            assert_eq!(found, expected, "{line:?}");
            assert_eq!(*elapsed, Duration::from_secs(3));
        }
        kind => panic!("{kind:?}"),
    }
    assert!(decoder.open.is_empty());
}

/// The arguments of a call that are all shown at entry.
#[track_caller]
fn check(line: &str, target: Target, expected: &str) {
    let point = point(Some(line));
    let mut decoder = Decoder::new(Limits::default());
    let found = args(decoder.event(&call(&point, &target)));
    assert_eq!(found, expected, "{line}");
}

#[test]
fn unknown_functions() {
    let target = Target::new(&[10000, 0x2711, -1_i64 as u64, 4, 5], b"");
    check_both(
        None,
        target,
        0xffff_ffff,
        b"",
        ["10000, 0x2711, -1, 4", "", "0xffffffff"],
    );
}

#[test]
fn known_functions() {
    let target = || Target::new(&[3, TEXT, 9, 4, 5, 6, 7, 8], b"abc\0");
    check_both(
        Some("int f(int, string, hide(int))"),
        target(),
        u64::MAX,
        b"",
        ["3, \"abc\"", "", "-1"],
    );
    check_both(Some("void f()"), target(), 5, b"", ["", "", "<void>"]);
    check_both(
        Some("string f(int)"),
        target(),
        TEXT,
        b"new\0",
        ["3", "", "\"new\""],
    );
    check(
        "int f(int,int,int,int,int,int,int,char)",
        target(),
        r"3, 512, 9, 4, 5, 6, 7, '\b'"
            .replace("512", &TEXT.to_string())
            .as_str(),
    );
    let target = Target::new(&[1], b"").float(0, 1.5).float(1, 2.0);
    check(
        "double f(double, int, double)",
        target,
        "1.500000, 1, 2.000000",
    );
}

#[test]
fn arguments_that_are_shown_at_return() {
    let target = || Target::new(&[3, TEXT, 64], b"old old\0");
    let read = Some("long f(int, +string[retval], ulong)");
    check_both(read, target(), 3, b"new\0", ["3", "\"new\", 64", "3"]);
    check_both(
        read,
        target(),
        -1_i64 as u64,
        b"new\0",
        ["3", "\"\", 64", "-1"],
    );
    let implied = Some("long f(int, string0, ulong)");
    check_both(implied, target(), 2, b"new\0", ["3", "\"ne\", 64", "2"]);
    // An argument tells how much of the result is shown.
    let line = Some("string[arg2] f(addr, ulong)");
    let target = Target::new(&[0x9000, 2], b"old\0");
    check_both(line, target, TEXT, b"new\0", ["0x9000, 2", "", "\"ne\""]);
    // Words are those of the entry: by value, whatever became of registers and slots.
    let stack = Target::new(&[1, 2, 3, 4, 5, 6, 7], b"");
    let line = Some("void f(int, +int, int, int, int, int, int)");
    check_both(line, stack, 0, b"", ["1", "2, 3, 4, 5, 6, 7", "<void>"]);
}

#[test]
fn printf() {
    let target = |format: &str, words: &[u64]| {
        let text = format!("{format}\0str\0");
        let at = TEXT + format.len() as u64 + 1;
        let words = words
            .iter()
            .map(|word| if *word == 0x5555 { at } else { *word });
        Target::new(
            &[&[TEXT][..], &words.collect::<Vec<_>>()].concat(),
            text.as_bytes(),
        )
    };
    let f = "int f(format)";
    check(f, target("hi", &[]), "\"hi\"");
    check(f, target("%d-%s", &[7, 0x5555]), "\"%d-%s\", 7, \"str\"");
    check(
        f,
        target("%2$s %1$d", &[7, 0x5555]),
        "\"%2$s %1$d\", 7, \"str\"",
    );
    check(f, target("%5.2s", &[0x5555]), "\"%5.2s\", \"st\"");
    check(f, target("%.*s", &[1, 0x5555]), "\"%.*s\", 1, \"s\"");
    check(
        f,
        target("%.*s", &[u64::MAX, 0x5555]),
        "\"%.*s\", -1, \"str\"",
    );
    check(
        f,
        target("%c%x%o%p", &[200, 255, 8, 0]),
        r#""%c%x%o%p", '\310', 0xff, 010, nil"#,
    );
    check(
        f,
        target("%hhd %hd", &[65, 0xfffd]),
        "\"%hhd %hd\", 'A', -3",
    );
    check(
        f,
        target("%d%d%d%d%d%d%d", &[1, 2, 3, 4, 5, 6, 7]),
        "\"%d%d%d%d%d%d%d\", 1, 2, 3, 4, 5, 6, 7",
    );
    check(
        f,
        target("%f %d", &[7]).float(0, 0.5),
        "\"%f %d\", 0.500000, 7",
    );
    check(f, Target::new(&[16], b""), "0x10");
    let fprintf = "int f(file, format)";
    let words = [0x9000, TEXT, 5];
    check(fprintf, Target::new(&words, b"%d\0"), "0x9000, \"%d\", 5");
}

/// `%Lf` stands on the stack where 16 divides, counted from the first slot; the int before it fills that.
#[test]
fn printf_of_a_long_double() {
    let one = [1 << 63, 0x3fff];
    let words = [TEXT, 1, 2, 3, 4, 5, 6, 0xbad, one[0], one[1], 7];
    check(
        "int f(format)",
        Target::new(&words, b"%d%d%d%d%d%d%Lf%d\0"),
        "\"%d%d%d%d%d%d%Lf%d\", 1, 2, 3, 4, 5, 6, 1.000000, 7",
    );
}

#[test]
fn printf_to_a_place_that_is_shown_at_return() {
    let text = b"text\0%s!\0str\0";
    let target = || Target::new(&[TEXT, TEXT + 5, TEXT + 9], text);
    let line = Some("int f(+string, format)");
    check_both(
        line,
        target(),
        3,
        text,
        ["", "\"text\", \"%s!\", \"str\"", "3"],
    );
    let line = Some("int f(string, format)");
    check_both(
        line,
        target(),
        3,
        text,
        ["\"text\", \"%s!\", \"str\"", "", "3"],
    );
    // What it prints is read when it does.
    let changed = b"text\0%s!\0new\0";
    let line = Some("int f(+string, format)");
    check_both(
        line,
        target(),
        3,
        changed,
        ["", "\"text\", \"%s!\", \"str\"", "3"],
    );
}

#[test]
fn vprintf() {
    let mut bytes = b"%d %s\0xx".to_vec();
    // The list: one register taken, the save area at its end.
    bytes.extend(8_u32.to_le_bytes());
    bytes.extend(48_u32.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend((TEXT + 32).to_le_bytes());
    bytes.extend([0, 42, TEXT + 56].map(u64::to_le_bytes).concat());
    bytes.extend(b"str\0");
    let target = || Target::new(&[TEXT, TEXT + 8], &bytes);
    check(
        "int f(vformat, hide(addr))",
        target(),
        "\"%d %s\", 42, \"str\"",
    );
    check("int f(vformat)", target(), "\"%d %s\"");
    check(
        "int f(vformat, addr)",
        Target::new(&[TEXT, 16], &bytes),
        "\"%d %s\", 0x10",
    );
}

#[test]
fn scanf() {
    let format = b"%d %d%n\0";
    let mut text = format.to_vec();
    text.extend([1_u32, 2, 3].map(u32::to_le_bytes).concat());
    let target = || Target::new(&[TEXT, TEXT + 8, TEXT + 12, TEXT + 16], &text);
    let line = Some("int f(scan_format)");
    check_both(line, target(), 2, &text, ["\"%d %d%n\"", "1, 2, 3", "2"]);
    // What was not stored is not there.
    check_both(
        line,
        target(),
        1,
        &text,
        ["\"%d %d%n\"", "1, 0x120c, 0x1210", "1"],
    );
    let all = "0x1208, 0x120c, 0x1210";
    check_both(
        line,
        target(),
        u64::from(u32::MAX),
        &text,
        ["\"%d %d%n\"", all, "-1"],
    );
}

#[test]
fn calls_that_do_not_return() {
    let point = point(Some("int f(+int)"));
    let mut decoder = Decoder::new(Limits::default());
    let target = Target::new(&[1], b"");
    assert_eq!(args(decoder.event(&call(&point, &target))), "");
    let what = What::NoReturn {
        id: CallId(7),
        depth: 0,
        point: &point,
        why: Why::Unwound,
        began: Timestamp(Duration::from_secs(10)),
    };
    match &decoder.event(&hit(12, what)).kind {
        Kind::NoReturn { elapsed, why, .. } => {
            assert_eq!((*elapsed, *why), (Duration::from_secs(2), Why::Unwound));
        }
        kind => panic!("{kind:?}"),
    }
    assert!(decoder.open.is_empty());
}

#[test]
fn returns_again() {
    let point = point(Some("int f(addr)"));
    let mut decoder = Decoder::new(Limits::default());
    let target = Target::new(&[], b"").returned(5, b"");
    let what = What::ReturnedAgain {
        depth: 1,
        point: &point,
        return_address: Addr(0x40),
        view: target.view(),
    };
    match &decoder.event(&hit(12, what)).kind {
        Kind::ReturnedAgain {
            result, depth: 1, ..
        } => assert_eq!(render(result), "5"),
        kind => panic!("{kind:?}"),
    }
}

#[test]
fn a_return_without_a_call_still_tells_its_result() {
    let point = point(Some("int f(+string)"));
    let mut decoder = Decoder::new(Limits::default());
    let target = Target::new(&[], b"").returned(5, b"");
    match &decoder.event(&back(&point, &target)).kind {
        Kind::Return {
            out_args, result, ..
        } => {
            assert!(out_args.is_empty());
            assert_eq!(render(result), "5");
        }
        kind => panic!("{kind:?}"),
    }
}

/// Arguments and result.
type Numbers = (Vec<u64>, Option<u64>);

/// The call of a resource's function as it is told without an event, and by its events.
fn plainly(line: &str, words: &[u64], rax: u64) -> (Option<Numbers>, String) {
    let point = Arc::new(Tracepoint {
        kind: plan::Kind::Resource {
            entry: Vaddr(0),
            allocator: None,
            holder: plan::Holder::Memory,
            sample: None,
            nesting: None,
        },
        ..(*point(Some(line))).clone()
    });
    let target = Target::new(words, b"text\0");
    let returned = Target::new(&[], b"text\0").returned(rax, b"text\0");
    let complete = || {
        hit(
            10,
            What::Complete {
                call: hit::Call {
                    id: CallId(7),
                    depth: 0,
                    point: &point,
                    return_address: Addr(0x40),
                    view: target.view(),
                },
                returned: returned.view(),
                ended: Timestamp(Duration::from_secs(13)),
            },
        )
    };
    let mut decoder = Decoder::new(Limits::default());
    let hit = complete();
    let plain = decoder.plain(&hit).map(|plain| {
        assert_eq!((plain.id, plain.return_address), (CallId(7), Addr(0x40)));
        assert!(plain.stack.is_empty());
        let returned = plain.returned.expect("it has returned");
        assert_eq!(returned.time, Timestamp(Duration::from_secs(13)));
        (plain.args.to_vec(), returned.result)
    });
    decoder.event(&complete());
    let (call, back) = decoder.complete(&point).expect("two events");
    let text = match (&call.kind, &back.kind) {
        (Kind::Call { args, .. }, Kind::Return { result, .. }) => {
            let mut text = String::new();
            list(&mut text, args);
            text.push_str(" = ");
            text.push_str(&render(result));
            text
        }
        _ => panic!("a call and its return"),
    };
    (plain, text)
}

#[test]
fn calls_whose_values_are_numbers() {
    let minus = u64::MAX - 4;
    let check = |line, words: &[u64], rax, numbers: Option<(&[u64], Option<u64>)>, text| {
        let (plain, shown) = plainly(line, words, rax);
        let plain = plain.as_ref().map(|(args, result)| (&**args, *result));
        assert_eq!((plain, shown.as_str()), (numbers, text), "{line}");
    };
    check(
        "addr f(ulong, int)",
        &[32, 0xdead_0000_ffff_fffb],
        0x5000,
        Some((&[32, minus], Some(0x5000))),
        "32, -5 = 0x5000",
    );
    check(
        "void f(addr)",
        &[TEXT],
        3,
        Some((&[TEXT], None)),
        "0x1200 = <void>",
    );
    check(
        "int f()",
        &[],
        0xffff_fffb,
        Some((&[], Some(minus))),
        " = -5",
    );
    check("int f(string)", &[TEXT], 1, None, "\"text\" = 1");
    check("string f(int)", &[1], TEXT, None, "1 = \"text\"");
    check("int f(double)", &[], 1, None, "0.000000 = 1");
}

#[test]
fn calls_that_are_no_resource_s_are_events() {
    let point = point(Some("int f(int)"));
    let target = Target::new(&[1], b"");
    let mut decoder = Decoder::new(Limits::default());
    assert!(decoder.plain(&call(&point, &target)).is_none());
    assert!(decoder.plain(&back(&point, &target)).is_none());
}
