//! Arguments and results, as fixtures that know them say.

use crate::support::expect::same_text;
use crate::support::fixture::{file, fixture, shaped};
use crate::support::ltrace;
use crate::support::shape::Shape;

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
fn checking_forms_of_printf() {
    check(&[], "fortify", Shape::Pie);
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
