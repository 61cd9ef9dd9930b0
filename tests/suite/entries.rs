//! `-x`: functions by name and by address, whatever they begin with, IFUNCs too.

use crate::support::expect::same_text;
use crate::support::fixture::{file, fixture, shaped};
use crate::support::program::{Finished, Program};
use crate::support::shape::Shape;
use crate::support::text::wait_until_planted;
use crate::support::trace::calls;
use crate::support::{ltrace, server::assert_unharmed, server::server};
use nix::sys::signal::Signal;
use std::path::Path;

/// Traces nothing but what these options say of a fixture's functions.
fn trace(program: &Path, options: &[&str]) -> Finished {
    let name = program.file_name().unwrap().to_str().unwrap();
    let config = file(&format!("{name}.conf"));
    let program = ltrace(["-F", config.to_str().unwrap(), "-L"])
        .args(options)
        .arg(program);
    program.finish().exits(0)
}

#[test]
fn whatever_a_function_begins_with() {
    for shape in [
        Shape::Pie,
        Shape::NoPie,
        Shape::Clang,
        Shape::Static,
        Shape::StaticPie,
    ] {
        let Some(program) = shaped("firsts", shape) else {
            return;
        };
        let run = trace(&program, &["-b", "-x", "f_*"]);
        let (refusal, rest) = run.stderr.split_once('\n').expect("lines");
        assert!(
            refusal.starts_with("ltrace: f_own_int3 cannot be traced: at 0x")
                && refusal.ends_with(" the program has a breakpoint instruction of its own"),
            "{refusal}"
        );
        let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
        same_text(rest, &expected);
    }
}

/// Nothing is planted where the symbol does not lie in the code; a symbol without a type may be asked
/// for by its name.
#[test]
fn symbols_that_do_not_say_what_they_are() {
    let Some(program) = fixture("firsts") else {
        return;
    };
    let run = trace(&program, &["-b", "-x", "f_data", "-x", "f_label"]);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "ltrace: f_data of firsts cannot be traced: it does not lie in the code",
        "{}",
        run.told()
    );
    assert_eq!(calls(&run.stderr), ["f_label"; 2], "{}", run.told());
    assert_eq!(lines.len(), 4, "{}", run.told());
}

const SHAPES: [Shape; 8] = [
    Shape::Pie,
    Shape::NoPie,
    Shape::Now,
    Shape::Clang,
    Shape::Lld,
    Shape::Gold,
    Shape::Static,
    Shape::StaticPie,
];

const BY_NAME: &str = "\
own_ifunc.IFUNC()                                = plus
helper(2 <unfinished ...>
first(0)                                         = 1
first(1)                                         = 2
<... helper resumed> )                           = 2
first(1)                                         = 2
own_ifunc(1)                                     = 3
own_ifunc(2)                                     = 4
+++ exited (status 0) +++
";

fn without_chosen_address(text: &str) -> String {
    crate::support::expect::without_addresses(text)
}

#[test]
fn own_functions_by_name() {
    for shape in SHAPES {
        let Some(program) = shaped("entries", shape) else {
            return;
        };
        let run = trace(&program, &["-x", "helper+first+own_ifunc"]);
        same_text(&without_chosen_address(&run.stderr), BY_NAME);
        let run = trace(&program, &["-x", "h[aeiou]lper", "-x", "own_*"]);
        assert_eq!(
            calls(&run.stderr),
            ["own_ifunc.IFUNC", "helper", "own_ifunc", "own_ifunc"],
            "{}",
            run.told()
        );
    }
}

#[test]
fn names_of_one_address() {
    let Some(program) = fixture("entries") else {
        return;
    };
    // What was asked for by its name goes before what a pattern fits; a line has one of them.
    for (filter, expected) in [
        ("second", "second"),
        ("third", "third"),
        ("first", "first"),
        ("third+sec*", "third"),
        ("sec*+third", "third"),
        ("sec*", "second"),
    ] {
        let run = trace(&program, &["-x", filter]);
        assert_eq!(
            calls(&run.stderr),
            [expected; 3],
            "{filter}\n{}",
            run.told()
        );
    }
}

/// Where `first`, `helper` and `plus` are in the file, as the program says itself.
fn addresses(program: &Path) -> [String; 3] {
    let told = Program::new(program).arg("addresses").finish().exits(0);
    let words: Vec<String> = told.stdout.split_whitespace().map(str::to_owned).collect();
    words.try_into().expect("three addresses")
}

#[test]
fn addresses_of_stripped_programs() {
    for shape in [Shape::Stripped, Shape::NoSections, Shape::Optimised] {
        let Some(program) = shaped("entries", shape) else {
            return;
        };
        let [first, helper, plus] = addresses(&program);
        let filter = format!("{first}+{helper}+{plus}");
        let run = trace(&program, &["-x", &filter]);
        let expected = [&helper, &first, &first, &first, &plus, &plus];
        assert_eq!(calls(&run.stderr), expected, "{shape:?}\n{}", run.told());
        assert_eq!(run.count(&format!("{plus}(1, ")), 1, "{}", run.told());
    }
}

#[test]
fn addresses_with_names() {
    for shape in SHAPES {
        let Some(program) = shaped("entries", shape) else {
            return;
        };
        let [first, helper, plus] = addresses(&program);
        let run = trace(&program, &["-x", &format!("{helper}+{plus}")]);
        assert_eq!(
            calls(&run.stderr),
            ["helper", "plus", "plus"],
            "{}",
            run.told()
        );
        // By whatever name; and never twice.
        let run = trace(&program, &["-x", &first, "-x", "second"]);
        let traced = calls(&run.stderr);
        assert_eq!(traced.len(), 3, "{}", run.told());
        assert!(
            ["first", "second", "third"].contains(&traced[0]),
            "{}",
            run.told()
        );
    }
}

#[test]
fn addresses_that_are_no_beginnings() {
    let Some(program) = fixture("firsts") else {
        return;
    };
    let nm = Program::new("nm").arg(&program).finish().exits(0).stdout;
    let of = |name: &str| {
        let line = nm
            .lines()
            .find(|l| l.ends_with(&format!(" {name}")))
            .expect(name);
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
    };
    // The second byte of `rep movsb` and the second instruction of a function.
    let (inside, second) = (of("f_rep") + 1, of("f_push") + 1);
    let nowhere = of("f_data");
    let filter = format!("{inside:#x}+{second:#x}+{nowhere:#x}+0x7fffffffffff");
    let run = trace(&program, &["-b", "-x", &filter]);
    let expected = format!(
        "ltrace: {inside:#x} of firsts cannot be traced: it is inside an instruction of f_rep\n\
         ltrace: {nowhere:#x} of firsts cannot be traced: there is no code at that address of the file\n\
         ltrace: 0x7fffffffffff of firsts cannot be traced: there is no code at that address of the file\n"
    );
    assert!(run.stderr.starts_with(&expected), "{}", run.told());
    // No return address is where the first word of the stack is.
    assert_eq!(run.count("f_push+0x1("), 2, "{}", run.told());
    assert!(!run.stderr.contains(" = "), "{}", run.told());
}

#[test]
fn what_libraries_choose() {
    let Some(program) = fixture("ifunc") else {
        return;
    };
    let run = ltrace(["-L", "-x", "twice+strlen@libc.so*"])
        .arg(&program)
        .finish()
        .exits(0);
    let mut traced = calls(&run.stderr);
    // The resolver runs for each module that binds it.
    traced.retain(|name| !name.contains(".IFUNC"));
    let expected = ["twice@libifunc.so", "strlen@libc.so.6"].repeat(2);
    assert_eq!(traced, expected, "{}", run.told());
    assert_eq!(run.count("strlen@libc.so.6(\"four\")"), 2, "{}", run.told());
}

#[test]
fn one_line_for_names_that_choose_the_same_code() {
    let Some(program) = fixture("ifunc") else {
        return;
    };
    let run = ltrace(["-L", "-x", "mem*@libc.so*-*.IFUNC"])
        .arg(&program)
        .finish()
        .exits(0);
    let traced = calls(&run.stderr);
    let copies = traced
        .iter()
        .filter(|name| ["memcpy@libc.so.6", "memmove@libc.so.6"].contains(name));
    assert_eq!(copies.count(), 2, "{}", run.told());
}

#[test]
fn chosen_before_we_came() {
    let Some(server) = server(2) else { return };
    let options = ["-L", "-x", "strlen+memset@libc.so*", "-p"];
    let tracer = ltrace(options).arg(server.pid().to_string()).start();
    tracer.wait_for_stderr("strlen@libc.so.6(\"twelve chars\")");
    tracer.wait_for_stderr("memset@libc.so.6(");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_unharmed(server);
}

#[test]
fn chosen_in_a_static_program_before_we_came() {
    for shape in [Shape::Static, Shape::StaticPie] {
        let Some(program) = shaped("server", shape) else {
            return;
        };
        let server = Program::new(program).arg("2").start();
        server.wait_for_stdout("ready\n");
        let tracer = ltrace(["-L", "-x", "strlen", "-p"])
            .arg(server.pid().to_string())
            .start();
        wait_until_planted(server.pid());
        tracer.wait_for_stderr("strlen(\"twelve chars\")");
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert_unharmed(server);
    }
}

/// The kernel's own code is chosen for it.
#[test]
fn time_of_the_c_library() {
    let Some(program) = fixture("clock") else {
        return;
    };
    let run = ltrace(["-L", "-x", "time+gettimeofday@libc.so*"])
        .arg(&program)
        .finish()
        .exits(0);
    let traced = calls(&run.stderr);
    let count = |name: &str| traced.iter().filter(|traced| **traced == name).count();
    assert_eq!(count("time@libc.so.6"), 3, "{}", run.told());
    assert_eq!(count("gettimeofday@libc.so.6"), 3, "{}", run.told());
}

#[test]
fn a_filter_that_means_nothing() {
    let Some(program) = fixture("entries") else {
        return;
    };
    let run = trace(&program, &["-x", "no_such_function", "-x", "helper"]);
    let told = "ltrace: -x 'no_such_function': no module that was loaded has such a function";
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.contains(&told), "{}", run.told());
    assert_eq!(calls(&run.stderr), ["helper"], "{}", run.told());
}

#[test]
fn a_name_that_was_stripped() {
    let Some(program) = shaped("entries", Shape::Stripped) else {
        return;
    };
    let run = trace(&program, &["-x", "main"]);
    let told = "; entries is stripped: only what it exports has a name, and -x 0xADDRESS@MAIN means a function by its \
                address\n";
    assert_eq!(run.stderr.matches(told).count(), 1, "{}", run.told());
}

/// All functions of all modules at once: nobody is harmed, and every call has its end.
#[test]
fn everything() {
    for (name, shape) in [
        ("entries", Shape::Pie),
        ("entries", Shape::Static),
        ("basic", Shape::Musl),
    ] {
        let Some(program) = shaped(name, shape) else {
            return;
        };
        let run = ltrace(["-L", "-x", "*"]).arg(&program).finish().exits(0);
        assert!(calls(&run.stderr).len() > 20, "{}", run.told());
        let last = run.stderr.lines().last().unwrap();
        assert_eq!(last, "+++ exited (status 0) +++", "{}", run.told());
    }
}
