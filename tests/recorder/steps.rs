//! Every instruction of our code, one by one: what the labels say is tried there. A task that is put back makes the
//! same call, or the same return, once.

use super::area::{Area, CAPS, point};
use super::{as_function, libc_function};
use ltrace::base::addr::Addr;
use ltrace::base::memory::{Memory, Unreadable};
use ltrace::base::regs::{Regs, Unknown};
use ltrace::plan::{Stack, Tracepoint};
use ltrace::record::labels::MOST_STEPS;
use ltrace::record::rules::Rules;
use ltrace::record::shape::formats::texts;
use ltrace::record::{
    Asked, Kind, Labels, Layout, Out, Reader, Seen, Shared, When, formats, head, header,
};
use ltrace::stack::CallerRule;
use nix::libc;
use std::arch::global_asm;
use std::ffi::{c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

// Calls what the first argument says with the arguments of the second, each instruction trapped.
global_asm!(
    ".globl recorder_stepped",
    "recorder_stepped:",
    "push rbx; mov rax, rdi; mov rbx, rsi",
    "mov rdi, [rbx]; mov rsi, [rbx+8]; mov rdx, [rbx+16]; mov rcx, [rbx+24]; mov r8, [rbx+32]; mov r9, [rbx+40]",
    "mov r10, 0x1010; mov r11, 0x1111; pxor xmm0, xmm0",
    "pushfq; or qword ptr [rsp], 0x100; popfq",
    "call rax",
    ".globl recorder_stepped_return",
    "recorder_stepped_return:",
    "pushfq; and qword ptr [rsp], ~0x100; popfq",
    "pop rbx; ret",
);

unsafe extern "C" {
    fn recorder_stepped_return();
    fn recorder_stepped(function: u64, arguments: *const u64) -> c_long;
}

/// The trap flag (Intel SDM 1, 3.4.3).
const TRAP: i64 = 0x100;

/// What the handler works on. One test at a time has it.
static STEPPING: AtomicPtr<Stepping> = AtomicPtr::new(null_mut());
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Stepping {
    labels: Labels,
    layout: Layout,
    entry: u64,
    /// The registers to which a restart leads.
    start: Regs,
    /// The instruction of our code where the task is put back.
    back_at: usize,
    seen: usize,
    in_a_row: usize,
    was_put_back: bool,
    wrong: Option<String>,
    shared: Shared<'static>,
    asked: Vec<Asked>,
}

/// The memory of this process.
struct Own;

impl Memory for Own {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Unreadable> {
        let from = at.0 as *const u8;
        // SAFETY: only the stack of the thread that was trapped is read.
        unsafe { from.copy_to_nonoverlapping(buf.as_mut_ptr(), buf.len()) };
        Ok(buf.len())
    }
}

/// The registers of a signal frame that our code may change, by their numbers (`<sys/ucontext.h>`).
const CHANGED: [c_int; 11] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_RSP,
    libc::REG_RIP,
];

fn changed(regs: &mut Regs) -> [&mut u64; 11] {
    [
        &mut regs.rax,
        &mut regs.rcx,
        &mut regs.rdx,
        &mut regs.rsi,
        &mut regs.rdi,
        &mut regs.r8,
        &mut regs.r9,
        &mut regs.r10,
        &mut regs.r11,
        &mut regs.rsp,
        &mut regs.rip,
    ]
}

/// An int3 has trapped, and not the flag (SI_KERNEL of `<asm-generic/siginfo.h>`).
const BY_INT3: c_int = 0x80;

extern "C" fn on_trap(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes what it tells of the signal.
    let code = unsafe { (*info).si_code };
    // SAFETY: the kernel passes the frame that the thread goes back to.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    // SAFETY: set by the test that traps, which waits for us.
    let stepping = unsafe { &mut *STEPPING.load(Ordering::Acquire) };
    let gregs = &mut context.uc_mcontext.gregs;
    let mut regs = Regs::default();
    for (to, number) in changed(&mut regs).into_iter().zip(CHANGED) {
        *to = gregs[number as usize] as u64;
    }
    if code == BY_INT3 {
        stepping.ask(&regs);
    }
    let Some(mut to) = stepping.step(&regs) else {
        return;
    };
    for (from, number) in changed(&mut to).into_iter().zip(CHANGED) {
        gregs[number as usize] = *from as i64;
    }
    gregs[libc::REG_EFL as usize] &= !TRAP;
}

impl Stepping {
    /// The tracer is asked to look.
    fn ask(&mut self, regs: &Regs) {
        match self.labels.asked(regs, &Own, self.shared) {
            Some(asked) => {
                let expected = Regs {
                    rip: 0,
                    ..self.start
                };
                // Who was put back is not stepped any more, so that the start of the return is not known.
                if *asked.regs != expected && !self.was_put_back {
                    self.wrong = Some(format!("{asked:x?}, not {expected:x?}"));
                }
                self.asked.push(asked);
            }
            None => self.wrong = Some("an int3".to_owned()),
        }
    }

    /// Looks at one instruction; where to go instead, if anywhere.
    fn step(&mut self, regs: &Regs) -> Option<Regs> {
        if !self.layout.code().contains(&regs.rip) {
            self.in_a_row = 0;
            return None;
        }
        let in_pool = self.layout.pool().contains(&regs.rip);
        if regs.rip == self.entry || in_pool && regs.rip % 16 == 4 {
            self.start = *regs;
        }
        self.seen += 1;
        let out = self.labels.out(regs, &Own);
        match out {
            Out::Not => self.wrong = Some(format!("{:#x} is ours", regs.rip)),
            Out::Step => {
                self.in_a_row += 1;
                if self.in_a_row > MOST_STEPS {
                    self.wrong = Some("too many steps".to_owned());
                }
            }
            Out::Restart(to) => {
                self.in_a_row = 0;
                if *to != self.start {
                    self.wrong = Some(format!("{regs:x?}: {to:x?}, not {:x?}", self.start));
                }
                if self.seen >= self.back_at && !self.was_put_back {
                    self.was_put_back = true;
                    return Some(*to);
                }
            }
        }
        None
    }
}

/// Calls a stub and puts the thread back at the given instruction of our code, or the next where that can be.
fn stepped(area: &Area, entry: u64, arguments: &[u64; 6], back_at: usize) -> Stepping {
    let mut stepping = Stepping {
        labels: area.code.labels().clone(),
        layout: area.layout,
        entry,
        start: Regs::default(),
        back_at,
        seen: 0,
        in_a_row: 0,
        was_put_back: false,
        wrong: None,
        shared: area.shared,
        asked: Vec::with_capacity(4),
    };
    STEPPING.store(&raw mut stepping, Ordering::Release);
    // SAFETY: the stub keeps to the calling convention, and the handler to what it was told.
    unsafe { recorder_stepped(entry, arguments.as_ptr()) };
    STEPPING.store(null_mut(), Ordering::Release);
    assert_eq!(stepping.wrong, None);
    stepping
}

fn install() {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_trap as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the interface that the flag promises.
    let installed = unsafe { libc::sigaction(libc::SIGTRAP, &action, null_mut()) };
    assert_eq!(installed, 0);
}

/// Every instruction of a call and its return, prepared each time.
#[track_caller]
fn check(
    prototype: &str,
    function: usize,
    arguments: [u64; 6],
    prepare: impl Fn(&mut Area, &mut Reader, &mut u64),
    expected: &[&str],
) {
    check_asked(prototype, function, arguments, prepare, (expected, &[]));
}

#[track_caller]
fn check_asked(
    prototype: &str,
    function: usize,
    arguments: [u64; 6],
    prepare: impl Fn(&mut Area, &mut Reader, &mut u64),
    (expected, asked): (&[&str], &[When]),
) {
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    install();
    let mut area = Area::new(1, 0);
    let mut entry = area.stub(Some(prototype), function).entry;
    let mut reader = area.ring();
    for at in 0.. {
        area.enable(1);
        prepare(&mut area, &mut reader, &mut entry);
        let stepping = stepped(&area, entry, &arguments, at);
        let lines = area.lines(&mut reader);
        assert_eq!(lines, expected, "put back at {at}");
        let stops: Vec<When> = stepping.asked.iter().map(|asked| asked.when).collect();
        assert_eq!(stops, asked, "put back at {at}");
        assert!(stepping.asked.iter().all(|asked| asked.number == 1));
        let frames = stepping.asked.iter().map(|asked| asked.frame);
        assert!(frames.is_sorted_by(|a, b| a == b));
        if !stepping.was_put_back {
            assert!(at > 10, "{at}");
            break;
        }
    }
}

#[test]
fn a_call_and_its_return() {
    let abs = libc_function(c"abs");
    check(
        "int f(int);",
        abs,
        [7, 0, 0, 0, 0, 0],
        |_, _, _| {},
        &["f(7)", "() = 7"],
    );
}

#[test]
fn a_call_that_makes_a_trampoline() {
    let another = |area: &mut Area, _: &mut Reader, entry: &mut u64| {
        *entry = area.stub(Some("int f(int);"), libc_function(c"abs")).entry;
    };
    let abs = libc_function(c"abs");
    check(
        "int f(int);",
        abs,
        [7, 0, 0, 0, 0, 0],
        another,
        &["f(7)", "() = 7"],
    );
}

#[test]
fn texts_and_what_is_kept() {
    let text = c"a text".as_ptr() as u64;
    let prototype = "string f(string, +string, array(short, 2)*);";
    let forget = |area: &mut Area, _: &mut Reader, _: &mut u64| {
        area.code.forget_pages(area.shared);
    };
    let labs = libc_function(c"labs");
    let expected = [
        "f(\"a text\")",
        "(\"a text\", [ 8289, 25972 ]) = \"a text\"",
    ];
    check(
        prototype,
        labs,
        [text, text, text, 0, 0, 0],
        forget,
        &expected,
    );
    check(
        prototype,
        labs,
        [text, text, text, 0, 0, 0],
        |_, _, _| {},
        &expected,
    );
}

#[test]
fn what_the_tracer_looks_at_itself() {
    let labs = libc_function(c"labs");
    let arguments = [7, 0, 0, 0, 0, 0];
    let ways: [(&str, &[&str], &[When]); 3] = [
        ("long f(array(string, 2)*);", &["() = 7"], &[When::Call]),
        ("array(string, 2)* f(long);", &["f(7)"], &[When::Return]),
        ("int f(scan_format);", &[], &[When::Call, When::Return]),
    ];
    for (prototype, lines, asked) in ways {
        check_asked(prototype, labs, arguments, |_, _, _| {}, (lines, asked));
    }
}

/// A call that prints asks for what its format means, until that is known.
#[test]
fn calls_that_print() {
    let labs = libc_function(c"labs");
    let (format, text) = (c"%d %s\n".as_ptr() as u64, c"a text".as_ptr() as u64);
    let prototype = "int f(addr, format);";
    let arguments = [7, format, 8, text, 0, 0];
    let asked: &[When] = &[When::Call];
    check_asked(
        prototype,
        labs,
        arguments,
        |_, _, _| {},
        (&["() = 7"], asked),
    );
    let know = |area: &mut Area, _: &mut Reader, _: &mut u64| {
        let point = point("f", Some(prototype));
        let texts = texts(&point, b"%d %s\n", CAPS).expect("plain texts");
        let key = area.code.shapes()[1].format_key(Addr(format));
        formats::add(area.shared, key.expect("a format"), texts);
    };
    let lines: &[&str] = &["f(0x7, \"%d %s\\n\", 8, \"a text\")", "() = 7"];
    check(prototype, labs, arguments, know, lines);
}

#[test]
fn results_in_other_registers() {
    let prototype = "struct(long, double) f(long);";
    let labs = libc_function(c"labs");
    check(
        prototype,
        labs,
        [7, 0, 0, 0, 0, 0],
        |_, _, _| {},
        &["f(7)", "() = { 7, 0.000000 }"],
    );
}

/// Calls until the next record has no room before the end of the ring.
fn fill(area: &Area, reader: &mut Reader, entry: u64) {
    let f = as_function!(entry, extern "C" fn(c_int) -> c_int);
    let word = |offset| area.shared.load(area.layout.head(0) + offset);
    while word(head::WRITE) <= word(head::LIMIT) {
        f(1);
        while reader.time(area.shared, area.code.shapes()).is_some() {
            reader.take(area.code.shapes());
        }
        let _ = reader.release(area.shared);
    }
}

#[test]
fn a_ring_that_begins_again() {
    let abs = libc_function(c"abs");
    check(
        "int f(int);",
        abs,
        [7, 0, 0, 0, 0, 0],
        |area, reader, entry| fill(area, reader, *entry),
        &["f(7)", "() = 7"],
    );
}

#[test]
fn nobody_reads() {
    let abs = libc_function(c"abs");
    let full = |area: &mut Area, reader: &mut Reader, entry: &mut u64| {
        fill(area, reader, *entry);
        let first = area.shared.load(area.layout.head(0) + head::BASE);
        area.shared.store(area.layout.head(0) + head::TAIL, first);
        area.shared.store(header::OWNER, 0);
    };
    check("int f(int);", abs, [7, 0, 0, 0, 0, 0], full, &[]);
}

/// The code around the call that [`recorder_stepped`] makes.
fn around_the_call() -> std::ops::Range<u64> {
    let start = recorder_stepped as *const () as u64;
    start..start + 256
}

fn check_from(caller: std::ops::Range<u64>, expected: &[&str]) {
    let from = |area: &mut Area, _: &mut Reader, entry: &mut u64| {
        let point = point("f", Some("int f(int);"));
        let abs = libc_function(c"abs");
        *entry = area.stub_from(Some(caller.clone()), point, abs).entry;
    };
    let abs = libc_function(c"abs");
    check("int f(int);", abs, [7, 0, 0, 0, 0, 0], from, expected);
}

#[test]
fn calls_out_of_one_module() {
    check_from(around_the_call(), &["f(7)", "() = 7"]);
}

#[test]
fn calls_out_of_another_module() {
    let other = around_the_call().end;
    check_from(other..other + 256, &[]);
}

/// A call whose stack is walked: the return address of the call, by this rule, and that of its caller.
fn walked(rule: Option<CallerRule>, asked: &[When]) -> Vec<u64> {
    let wants_stack = Tracepoint {
        stack: Stack::Wanted,
        ..(*point("f", Some("int f(int);"))).clone()
    };
    let wants_stack = Arc::new(wants_stack);
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    install();
    let mut area = Area::new(1, 0);
    let abs = libc_function(c"abs");
    let entry = area.stub_of(wants_stack, abs).entry;
    let mut reader = area.ring();
    let here = std::ptr::from_ref(&area) as u64;
    reader.set_stack(&(here - (4 << 20)..here + (4 << 20)), area.shared);
    if let Some(rule) = rule {
        let return_address = recorder_stepped_return as *const () as u64;
        Rules::default().add(area.shared, return_address, &rule);
    }
    let mut returns = Vec::new();
    for at in 0.. {
        area.enable(1);
        let stepping = stepped(&area, entry, &[7, 0, 0, 0, 0, 0], at);
        let stops: Vec<When> = stepping.asked.iter().map(|asked| asked.when).collect();
        assert_eq!(stops, asked, "put back at {at}");
        while reader.time(area.shared, area.code.shapes()).is_some() {
            let record = reader.take(area.code.shapes()).expect("a record");
            let mut regs = Seen::registers(1);
            let seen = Seen::new(&record, &mut regs, 2);
            let view = seen.view(&Unknown);
            if record.kind == Kind::Call {
                assert_eq!(view.regs.rdi, 7);
                returns = view.memory.returns().unwrap_or_default().to_vec();
            }
        }
        let _ = reader.release(area.shared);
        if !stepping.was_put_back {
            assert!(at > 30, "{at}");
            break;
        }
    }
    returns
}

#[test]
fn stacks_that_are_known() {
    let return_address = recorder_stepped_return as *const () as u64;
    assert_eq!(walked(Some(CallerRule::Root), &[]), [return_address]);
}

#[test]
fn stacks_that_are_not_known() {
    assert!(walked(None, &[When::Call]).is_empty());
    assert!(walked(Some(CallerRule::Other), &[When::Call]).is_empty());
    // The caller of the caller is not.
    let rule = CallerRule::Frame {
        by_rbp: false,
        offset: 16,
        rbp: 0,
    };
    assert!(walked(Some(rule), &[When::Call]).is_empty());
    // No way leads down, or out of the stack.
    for offset in [-8, 1 << 24] {
        let rule = CallerRule::Frame {
            by_rbp: false,
            offset,
            rbp: 0,
        };
        assert!(walked(Some(rule), &[When::Call]).is_empty());
    }
}
