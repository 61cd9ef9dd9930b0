//! Arguments and results, as fixtures that know them say.

use crate::support::expect::same_text;
use crate::support::fixture::{file, fixture, shaped, shaped_32};
use crate::support::shape::Shape;
use crate::support::{ltrace, scratch};

/// The whole trace is what the fixture said, and the end.
fn check(options: &[&str], name: &str, shape: Shape) {
    let Some(program) = shaped(name, shape) else {
        return;
    };
    let run = ltrace(options).arg(program).finish().exits(0);
    let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
    same_text(&run.stderr, &expected);
}

fn prototypes() -> String {
    file("values.conf").to_string_lossy().into_owned()
}

#[test]
fn every_kind_by_a_prototype_file() {
    check(&["-F", &prototypes()], "values", Shape::Pie);
}

#[test]
fn every_kind_without_stubs() {
    check(&["-F", &prototypes()], "values", Shape::NoPlt);
}

#[test]
fn printf_formats() {
    check(&[], "printf", Shape::Pie);
}

#[test]
fn data_and_addresses_of_sockets() {
    check(&[], "data", Shape::Pie);
}

#[test]
fn structures_that_calls_take_and_fill() {
    for shape in [Shape::Pie, Shape::NoPlt, Shape::Musl] {
        let Some(program) = shaped("structs", shape) else {
            continue;
        };
        for instrument in ["stop", "record"] {
            let file = scratch(&format!("structs-{instrument}")).join("file");
            let run = ltrace(["--instrument", instrument, "-b", "-s", "100"]);
            let run = run.arg(&program).arg(&file).finish().exits(0);
            let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
            same_text(&run.stderr, &expected);
        }
    }
}

#[test]
fn numbers_and_where_they_end() {
    let program = shaped("numbers", Shape::Pie);
    let of_32_bits = shaped_32("numbers", Shape::Pie);
    for program in program.into_iter().chain(of_32_bits) {
        let run = ltrace([&program]).finish().exits(0);
        let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
        same_text(&run.stderr, &expected);
    }
}

#[test]
fn checking_forms_of_printf() {
    check(&[], "fortify", Shape::Pie);
}

/// The lines that the fixture says, whichever thread they are of.
#[track_caller]
fn check_errno(program: Option<std::path::PathBuf>) {
    let Some(program) = program else {
        return;
    };
    for instrument in ["stop", "record"] {
        let run = ltrace(["--instrument", instrument, "-e", ERRNO]);
        let run = run.arg(&program).finish().exits(0);
        let words = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.contains("+++"));
            let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let own = |line: String| line.split("] ").last().unwrap_or_default().to_owned();
            lines
                .map(|text| own(line(text)).replace("errno->", ""))
                .collect()
        };
        let (found, expected) = (words(&run.stderr), words(&run.stdout));
        same_text(&found.join("\n"), &expected.join("\n"));
    }
}

/// Locales by their names, and where a `jmp_buf` leads.
#[test]
fn locales_and_jumps() {
    for (shape, whole) in [
        (Shape::Pie, "C.UTF-8"),
        (Shape::M32, "C.UTF-8"),
        // It has no numbers of UTF-8.
        (Shape::Musl, "LC_CTYPE=C.UTF-8"),
    ] {
        let Some(program) = shaped("handles", shape) else {
            continue;
        };
        for instrument in ["auto", "stop"] {
            let options = ["--instrument", instrument, "-e", "*locale+*longjmp", "-o"];
            let dir = scratch("locales");
            let run = ltrace(options).arg(dir.join("trace")).arg(&program);
            let run = run.finish().exits(0);
            let trace = std::fs::read_to_string(dir.join("trace")).unwrap();
            let text = trace.split_whitespace().collect::<Vec<_>>().join(" ");
            for line in [
                format!("newlocale(LC_ALL_MASK, \"C.UTF-8\", nil) = {whole}"),
                format!("uselocale({whole}) = LC_GLOBAL_LOCALE"),
                format!("uselocale(LC_CTYPE=C.UTF-8) = {whole}"),
                "uselocale(LC_GLOBAL_LOCALE) = LC_CTYPE=C.UTF-8".to_owned(),
                "freelocale(LC_CTYPE=C.UTF-8) = <void>".to_owned(),
            ] {
                assert!(
                    text.contains(&line),
                    "{shape:?} {line}\n{trace}{}",
                    run.told()
                );
            }
            let leads = text.contains("longjmp(0x") && text.contains("<main+0x");
            assert!(leads, "{shape:?}\n{trace}");
        }
    }
}

const ERRNO: &str = "open+opendir+read+close+mmap+signal+pthread_mutex_*+chdir";

#[test]
fn failures_with_what_errno_says() {
    for shape in [Shape::Pie, Shape::Musl, Shape::M32] {
        check_errno(shaped("errno", shape));
    }
}

#[test]
fn errno_of_a_program_that_holds_its_c_library() {
    let Some(program) = shaped("errno", Shape::Static) else {
        return;
    };
    let run = ltrace(["-x", "close"]).arg(&program).finish().exits(0);
    run.has_line(
        "close(-1)                                        = -1 EBADF (Bad file descriptor)",
    );
}

#[test]
fn unknown_functions_show_four_words() {
    let Some(program) = fixture("values") else {
        return;
    };
    ltrace([&program])
        .finish()
        .exits(0)
        .has_line("f_unknown(10000, 0x2711, -10000, 0xffffffffffffd8ef) = 0");
}

#[test]
fn strings() {
    let Some(program) = fixture("long_string") else {
        return;
    };
    let run = ltrace([&program]).finish().exits(0);
    same_text(
        &crate::support::trace::about(&run.stderr, &run.stdout),
        &run.stdout,
    );
}

#[test]
fn string_length_option() {
    let Some(program) = fixture("long_string") else {
        return;
    };
    let run = ltrace(["-s", "5"]).arg(&program).finish().exits(0);
    run.has_line("getenv(\"twent\"...)                               = nil");
    let run = ltrace(["-s", "0"]).arg(&program).finish().exits(0);
    run.has_line("getenv(\"\"...)                                    = nil")
        .has_line("getenv(\"\")                                       = nil");
    let run = ltrace(["-s", "100"]).arg(&program).finish().exits(0);
    run.has_line("getenv(\"thirty-three characters, too long\")      = nil");
}
