//! Copied stacks whose layout is known, because the functions are written in assembly: from each of
//! their labels the unwinder must find the callers that the test has put there.

use crate::support::scratch;
use crate::support::skip::skip;
use ltrace::base::addr::{Bias, Vaddr};
use ltrace::base::regs::Regs;
use ltrace::elf::{Image, SymbolKind};
use ltrace::stack::{Bytes, End, FrameKind, Module, Moment, RawStack, Stacks, Unwinder};
use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// Functions with all shapes of frame. Each label is a symbol; a call site is the label behind it.
const SOURCE: &str = r#"
    .macro label name
    .globl \name
    .type \name, @function
    .size \name, 1
    \name:
    .endm

    .text
    nop
    label nothing_known
    nop

    label leaf
    .cfi_startproc
    nop
    sub $24, %rsp
    .cfi_adjust_cfa_offset 24
    label in_leaf
    nop
    add $24, %rsp
    .cfi_adjust_cfa_offset -24
    ret
    .cfi_endproc

    label with_rbp
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register %rbp
    sub $64, %rsp
    nop
    label in_with_rbp
    leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc

    # What its caller's frame hangs on is saved here.
    label saves_rbx
    .cfi_startproc
    push %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    nop
    label in_saves_rbx
    pop %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc

    label by_rbx
    .cfi_startproc
    .cfi_def_cfa %rbx, 16
    nop
    label in_by_rbx
    ret
    .cfi_endproc

    # As gcc describes a frame that it has aligned: the CFA is at -8(%rbp).
    label by_memory
    .cfi_startproc
    .cfi_escape 0x0f, 3, 0x76, 0x78, 0x06
    .cfi_escape 0x10, 6, 2, 0x76, 0
    nop
    label in_by_memory
    ret
    .cfi_endproc

    # DW_OP_skip to itself.
    label endless
    .cfi_startproc
    .cfi_escape 0x0f, 3, 0x2f, 0xfd, 0xff
    nop
    label in_endless
    ret
    .cfi_endproc

    # The CFA is the stack pointer itself: its own caller, for ever.
    label still
    .cfi_startproc
    .cfi_def_cfa %rsp, 0
    .cfi_offset %rip, 0
    nop
    label in_still
    ret
    .cfi_endproc

    label backwards
    .cfi_startproc
    .cfi_def_cfa %rsp, -64
    .cfi_val_offset %rip, 0
    nop
    label in_backwards
    ret
    .cfi_endproc

    label outermost
    .cfi_startproc
    .cfi_undefined %rip
    call leaf
    label in_outermost
    ret
    .cfi_endproc

    # What follows has no frame information at all.
    label spills
    push %rbx
    push %rbp
    xor %ebp, %ebp
    sub $40, %rsp
    call leaf
    label in_spills
    test %eax, %eax
    jz 2f
    jmp 3f
2:  ud2
3:  add $40, %rsp
    pop %rbp
    pop %rbx
    ret

    label jumps_away
    sub $8, %rsp
    call leaf
    label in_jumps_away
    lea 8(%rsp), %rsp
    jmp leaf

    label leaves
    push %rbp
    mov %rsp, %rbp
    sub $32, %rsp
    call leaf
    label in_leaves
    mov %rbp, %rsp
    pop %rbp
    ret

    label loops
    call leaf
    label in_loops
4:  jmp 4b

    # Where the outermost of those is called.
    label calls
    call *%rax
    label in_calls
    ud2

    nop
    label restorer
    mov $15, %rax
    syscall
    nop
"#;

const BIAS: u64 = 0x7f12_3456_7000;
const STACK: u64 = 0x7ffc_0000_1000;

/// The functions, assembled and linked.
struct Code {
    labels: HashMap<String, Vaddr>,
    unwinder: Unwinder,
}

impl Code {
    fn build(name: &str) -> Option<Code> {
        Code::assemble(name, SOURCE, &[], |_| {})
    }

    /// With these flags for assembler and linker; afterwards the file is changed.
    fn assemble(
        name: &str,
        source: &str,
        flags: &[&str],
        change: impl Fn(&mut Vec<u8>),
    ) -> Option<Code> {
        let dir = scratch(&format!("unwinding-{name}"));
        std::fs::write(dir.join("code.s"), source).unwrap();
        let run = |command: &mut Command| {
            let output = command.current_dir(&dir).output();
            let Ok(output) = output else {
                skip(&format!("{command:?} is not installed"));
                return None;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}");
            Some(())
        };
        let compile = ["-shared", "-nostdlib", "code.s", "-o", "code.so"];
        run(Command::new("gcc").args(compile).args(flags))?;
        let whole = std::fs::read(dir.join("code.so")).unwrap();
        let symbols = Image::file_symbols(&whole).unwrap();
        let labels = symbols
            .into_iter()
            .filter(|s| s.kind == SymbolKind::Func)
            .map(|s| (s.name, s.vaddr))
            .collect();
        let mut bytes = whole;
        change(&mut bytes);
        Some(Code {
            labels,
            unwinder: unwinder(bytes.into()),
        })
    }

    fn at(&self, label: &str) -> u64 {
        BIAS + self.labels[label].0
    }

    /// Where a call in the function returns to.
    fn call_in(&self, function: &str) -> u64 {
        self.at(&format!("in_{function}"))
    }

    /// The labels of the frames, and why there are no more. A return address is behind its call.
    fn unwind(&mut self, raw: &RawStack) -> (Vec<String>, End) {
        let unwound = self.unwinder.unwind(raw, 16);
        let name = |vaddr: Vaddr| {
            let label = self.labels.iter().find(|(_, at)| **at == vaddr);
            label.map_or_else(|| vaddr.to_string(), |(name, _)| name.clone())
        };
        let frames = unwound.frames.iter().map(|f| match f.kind {
            FrameKind::Exact => name(f.vaddr),
            FrameKind::Return => format!("<- {}", name(f.vaddr)),
            FrameKind::Script | FrameKind::Cut => panic!("the unwinder makes none"),
        });
        (frames.collect(), unwound.end)
    }
}

fn unwinder(file: Bytes) -> Unwinder {
    let mut stacks = Stacks::default();
    let end = BIAS + file.len() as u64 + 0x10000;
    let id = stacks.add_module(Module {
        name: "code.so".into(),
        path: "code.so".into(),
        build_id: None,
        root: None,
        file: file.clone(),
    });
    let mut unwinder = Unwinder::new();
    unwinder.add_module(id, BIAS..end, Bias(BIAS), &file);
    unwinder
}

fn regs(rip: u64) -> Regs {
    Regs {
        rip,
        rsp: STACK,
        ..Regs::default()
    }
}

fn raw(regs: &Regs, moment: Moment, words: &[u64]) -> RawStack {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    RawStack::new(regs, moment, bytes.into())
}

#[track_caller]
fn check(code: &mut Code, regs: &Regs, words: &[u64], frames: &[&str], end: End) {
    let (found, why) = code.unwind(&raw(regs, Moment::Inside, words));
    assert_eq!(
        (found, why),
        (frames.iter().map(|f| (*f).to_owned()).collect(), end)
    );
}

/// What must be found in every file that says it in some way.
fn check_shapes(code: &mut Code) {
    let root = code.call_in("outermost");
    let leaf = code.at("leaf");
    check(
        code,
        &regs(leaf),
        &[root],
        &["leaf", "<- in_outermost"],
        End::Root,
    );

    let inside = regs(code.call_in("leaf"));
    let frames = ["in_leaf", "<- in_outermost"];
    check(code, &inside, &[1, 2, 3, root], &frames, End::Root);

    // Frame by frame pointer, below it one without.
    let mut inside = regs(code.call_in("leaf"));
    inside.rbp = STACK + 8 * 6;
    let middle = code.call_in("with_rbp");
    let words = [1, 2, 3, middle, 4, 5, 0, root];
    let frames = ["in_leaf", "<- in_with_rbp", "<- in_outermost"];
    check(code, &inside, &words, &frames, End::Root);

    // The caller's CFA hangs on a register that the callee has saved, and that has changed since.
    let mut inside = regs(code.call_in("saves_rbx"));
    inside.rbx = 0xdead;
    let middle = code.call_in("by_rbx");
    let words = [STACK + 8 * 3, middle, 1, 2, root];
    let frames = ["in_saves_rbx", "<- in_by_rbx", "<- in_outermost"];
    check(code, &inside, &words, &frames, End::Root);

    let mut inside = regs(code.call_in("by_memory"));
    inside.rbp = STACK + 16;
    let words = [0, STACK + 8 * 5, 7, 8, root];
    let frames = ["in_by_memory", "<- in_outermost"];
    check(code, &inside, &words, &frames, End::Root);

    // Where only the word that holds the CFA is missing.
    inside.rbp = STACK + 8 * 100;
    check(code, &inside, &words, &["in_by_memory"], End::Cut);
}

#[test]
fn frames_of_every_shape() {
    let Some(mut code) = Code::build("whole") else {
        return;
    };
    check_shapes(&mut code);
}

#[test]
fn without_section_headers() {
    let drop_sections = |bytes: &mut Vec<u8>| {
        for field in [0x28..0x30, 0x3c..0x3e, 0x3e..0x40] {
            bytes[field].fill(0);
        }
    };
    if let Some(mut code) = Code::assemble("no-sections", SOURCE, &[], drop_sections) {
        check_shapes(&mut code);
    }
}

#[test]
fn without_the_linkers_table() {
    let flags = ["-Wl,--no-eh-frame-hdr"];
    if let Some(mut code) = Code::assemble("no-table", SOURCE, &flags, |_| {}) {
        check_shapes(&mut code);
    }
}

#[test]
fn by_debug_frame_alone() {
    for (name, packing) in [("debug-frame", "none"), ("debug-frame-z", "zlib")] {
        let flag = format!("-Wl,--compress-debug-sections={packing}");
        let source = format!(".cfi_sections .debug_frame\n{SOURCE}");
        if let Some(mut code) = Code::assemble(name, &source, &[&flag], |_| {}) {
            check_shapes(&mut code);
        }
    }
}

#[test]
fn code_that_nothing_is_known_of() {
    let Some(mut code) = Code::build("unknown") else {
        return;
    };
    let root = code.call_in("outermost");
    let unknown = code.at("nothing_known");
    let mut inside = regs(unknown);
    inside.rbp = STACK + 16;
    let frames = ["nothing_known", "<- in_outermost"];
    check(&mut code, &inside, &[1, 2, 0, root], &frames, End::Root);
    // A frame pointer of zero marks the outermost frame; one below the stack pointer is none.
    inside.rbp = 0;
    check(
        &mut code,
        &inside,
        &[1, 2, 0, root],
        &["nothing_known"],
        End::Root,
    );
    inside.rbp = STACK - 8;
    check(
        &mut code,
        &inside,
        &[1, 2, 0, root],
        &["nothing_known"],
        End::Lost,
    );
    // At a function's entry its return address is known, whatever else is not.
    let (frames, end) = code.unwind(&raw(&inside, Moment::Entry, &[root]));
    assert_eq!((frames.len(), end), (2, End::Root));
    // Outside of all modules, frames are addresses of the process.
    let elsewhere = regs(0x1234);
    let unwound = code
        .unwinder
        .unwind(&raw(&elsewhere, Moment::Entry, &[root]), 16);
    assert_eq!(
        (unwound.frames[0].module, unwound.frames[0].vaddr),
        (None, Vaddr(0x1234))
    );
}

#[test]
fn through_code_without_frame_information() {
    let Some(mut code) = Code::build("emulated") else {
        return;
    };
    let (calls, middle) = (code.call_in("calls"), code.call_in("leaves"));
    let root = code.call_in("outermost");
    let inside = regs(code.call_in("spills"));
    // Five words of its own, and what it has saved: by one of them its caller finds its frame.
    let mut words = vec![1, calls, 3, 4, 5, STACK + 8 * 14, 7, middle];
    words.extend([calls; 6]);
    words.extend([0, root]);
    let frames = ["in_spills", "<- in_leaves", "<- in_outermost"];
    check(&mut code, &inside, &words, &frames, End::Root);

    let inside = regs(code.call_in("jumps_away"));
    let frames = ["in_jumps_away", "<- in_outermost"];
    check(&mut code, &inside, &[calls, root], &frames, End::Root);

    // What stands there is no return address.
    let data = code.at("leaf");
    check(
        &mut code,
        &inside,
        &[1, data],
        &["in_jumps_away"],
        End::Root,
    );
    let inside = regs(code.call_in("loops"));
    check(&mut code, &inside, &[1, calls], &["in_loops"], End::Root);
}

#[test]
fn out_of_a_signal_handler() {
    let Some(mut code) = Code::build("signal") else {
        return;
    };
    let (restorer, root) = (code.at("restorer"), code.call_in("outermost"));
    let interrupted = code.at("in_leaf");
    let mut words = vec![restorer];
    // uc_flags, uc_link, uc_stack, then the registers from r8 on.
    words.extend([0; 5]);
    words.extend([0; 17]);
    words[6 + 15] = STACK + 8 * 30;
    words[6 + 16] = interrupted;
    words.resize(33, 0);
    words.push(root);
    let leaf = regs(code.at("leaf"));
    // Where the signal came is no call: the instruction itself counts, the first of a function too.
    let frames = ["leaf", "restorer", "in_leaf", "<- in_outermost"];
    check(&mut code, &leaf, &words, &frames, End::Root);
    words[6 + 16] = leaf.rip;
    words[30] = root;
    let frames = ["leaf", "restorer", "leaf", "<- in_outermost"];
    check(&mut code, &leaf, &words, &frames, End::Root);
    check(
        &mut code,
        &leaf,
        &words[..10],
        &["leaf", "restorer"],
        End::Cut,
    );
}

#[test]
fn what_leads_nowhere_ends() {
    let Some(mut code) = Code::build("ends") else {
        return;
    };
    let begin = Instant::now();
    for label in ["endless", "still", "backwards"] {
        let inside = regs(code.call_in(label));
        let words = [inside.rip; 64];
        let (frames, end) = code.unwind(&raw(&inside, Moment::Inside, &words));
        assert_eq!((frames.len(), end), (1, End::Lost), "{label}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
    // A function that seems to call itself all the way up.
    let inside = regs(code.call_in("leaf"));
    let words = [inside.rip; 512];
    let (frames, end) = code.unwind(&raw(&inside, Moment::Inside, &words));
    assert_eq!((frames.len(), end), (16, End::Limit));
    check(&mut code, &inside, &words[..3], &["in_leaf"], End::Cut);
    check(&mut code, &inside, &[], &["in_leaf"], End::Cut);
    check(&mut code, &inside, &[1, 2, 3, 0], &["in_leaf"], End::Root);
    let mut wild = inside;
    wild.rsp = u64::MAX - 4;
    let (frames, _) = code.unwind(&raw(&wild, Moment::Inside, &words));
    assert_eq!(frames.len(), 1);
    let (frames, _) = code.unwind(&raw(&wild, Moment::Entry, &words));
    assert!(frames.len() <= 2);
}

#[test]
fn modules_come_and_go() {
    let Some(mut code) = Code::build("modules") else {
        return;
    };
    let root = code.call_in("outermost");
    let inside = regs(code.call_in("leaf"));
    let words = raw(&inside, Moment::Inside, &[1, 2, 3, root]);
    assert_eq!(code.unwind(&words).0.len(), 2);
    let mut forked = code.unwinder.clone();
    code.unwinder.remove_module(BIAS);
    let unwound = code.unwinder.unwind(&words, 16);
    assert_eq!(unwound.frames[0].module, None);
    assert_eq!(unwound.frames.len(), 1, "{unwound:?}");
    // A copy for a forked child is its own.
    assert_eq!(forked.unwind(&words, 16).frames.len(), 2);
}

#[test]
fn stacks_are_kept_once() {
    let Some(mut code) = Code::build("interned") else {
        return;
    };
    let root = code.call_in("outermost");
    let mut stacks = Stacks::default();
    let mut ids = Vec::new();
    for junk in [1, 2] {
        let inside = regs(code.call_in("leaf"));
        let copy = raw(&inside, Moment::Inside, &[junk, 2, 3, root]);
        ids.push(stacks.intern(&code.unwinder.unwind(&copy, 16).frames));
    }
    let other = raw(&regs(code.at("leaf")), Moment::Inside, &[root]);
    ids.push(stacks.intern(&code.unwinder.unwind(&other, 16).frames));
    assert_eq!((ids[0], stacks.len()), (ids[1], 2));
    assert_ne!(ids[0], ids[2]);
    let innermost = stacks.frames(ids[2]).next();
    assert_eq!(
        innermost.map(|frame| frame.vaddr),
        Some(code.labels["leaf"])
    );
}
