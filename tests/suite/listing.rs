//! `--list`: what could be traced; nothing is run.

use crate::support::fixture::{fixture, shaped};
use crate::support::server::{assert_unharmed, server};
use crate::support::shape::Shape;
use crate::support::{ltrace, scratch};
use std::fs;

/// The rows of a list, by words.
#[track_caller]
fn rows(run: &crate::support::program::Finished) -> Vec<Vec<&str>> {
    let mut lines = run.stdout.lines();
    let head: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        head,
        ["FUNCTION", "MODULE", "CALLS", "BY", "TYPES"],
        "{}",
        run.told()
    );
    lines.map(cells).collect()
}

fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn calls_of_a_program() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let run = ltrace(["--list"]).arg(&program).finish().exits(0);
    let rows = rows(&run);
    let abs = rows.iter().find(|row| row[0] == "abs").unwrap();
    assert_eq!(
        abs[1..],
        ["backtrace", "import, PLT", "record", "1 parameter"],
        "{}",
        run.told()
    );
    assert!(
        rows.iter().all(|row| row[1] == "backtrace"),
        "{}",
        run.told()
    );
    let Some(no_plt) = shaped("backtrace", Shape::NoPlt) else {
        return;
    };
    let run = ltrace(["--list"]).arg(no_plt).finish().exits(0);
    assert!(run.stdout.contains("import, GOT"), "{}", run.told());
}

#[test]
fn functions_of_a_program_and_its_libraries() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let run = ltrace(["--list=_ZN4here*+qsort"])
        .arg(program)
        .finish()
        .exits(0);
    let rows = rows(&run);
    let has = |function: &str, module: &str, calls: &str| {
        let mut rows = rows.iter();
        rows.any(|row| row[..3] == [function, module, calls])
    };
    assert!(
        has("_ZN4here5innerEi", "backtrace", "function"),
        "{}",
        run.told()
    );
    assert!(has("qsort", "backtrace", "import, PLT"), "{}", run.told());
    assert!(has("qsort", "libc.so.6", "function"), "{}", run.told());
}

/// Libraries that a program finds by itself are found without it.
#[test]
fn libraries_in_places_of_the_programs_own() {
    let Some(program) = fixture("values") else {
        return;
    };
    let list = || ltrace(["--list=f_ints"]).arg(&program).finish();
    let run = list().exits(0);
    let rows = rows(&run);
    let mut rows = rows.iter();
    let found = rows.any(|row| row[..3] == ["f_ints", "libvalues.so", "function"]);
    assert!(found, "{}", run.told());
}

#[test]
fn what_a_process_has_loaded() {
    let Some(server) = server(2) else { return };
    let pid = server.pid().to_string();
    let run = ltrace(["--list=malloc", "-p", &pid]).finish().exits(0);
    let rows = rows(&run);
    let modules: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert!(
        modules.contains(&"server") && modules.contains(&"libc.so.6"),
        "{}",
        run.told()
    );
    assert_unharmed(server);
}

#[test]
fn nothing_is_an_answer() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let run = ltrace(["--list=no_such_function"])
        .arg(program)
        .finish()
        .exits(1);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.told());
}

#[test]
fn sets_of_the_users_own() {
    let Some(program) = fixture("backtrace") else {
        return;
    };
    let config = scratch("filters");
    fs::create_dir_all(config.join("ltrace/filters")).unwrap();
    fs::write(config.join("ltrace/filters/mine"), "# of mine\nabs\n").unwrap();
    let with = |options: &[&str]| ltrace(options).env("XDG_CONFIG_HOME", &config);
    let run = with(&["--list-filters"]).finish().exits(0);
    assert!(
        run.stdout.contains("%mine           1 function\n"),
        "{}",
        run.told()
    );
    let run = with(&["-e", "%mine"]).arg(program).finish().exits(0);
    let calls: Vec<&str> = run.stderr.lines().collect();
    assert!(
        calls.len() == 2 && calls[0].starts_with("backtrace->abs(-1)"),
        "{}",
        run.told()
    );
}

#[test]
fn types_of_debug_information() {
    let Some(program) = shaped("types_cxx", Shape::Pie) else {
        return;
    };
    let run = ltrace(["--list=_ZN3app5paint*"]).arg(&program);
    let run = run.finish().exits(0);
    let rows = rows(&run);
    assert!(
        rows.iter().all(|row| row[4] == "1 parameter (DWARF)") && !rows.is_empty(),
        "{}",
        run.told()
    );
    let function = rows[0][0];
    let run = ltrace(["--prototype", function]).arg(&program);
    let run = run.finish().exits(0);
    assert!(
        run.stdout.contains("(red=0, green=1)")
            && run.stdout.contains("by debug information of types_cxx"),
        "{}",
        run.told()
    );
}

#[test]
fn what_is_known_of_a_function() {
    let run = ltrace(["--prototype", "labs"]).finish().exits(0);
    let expected = "long labs(long);\n    by libc.so.conf, which comes with ltrace\n";
    assert!(run.stdout.starts_with(expected), "{}", run.told());
    let run = ltrace(["--prototype", "no_such_function"]).finish();
    assert_eq!(run.code(), 1);
    assert!(run.stdout.contains("unknown"), "{}", run.told());
    let conf = scratch("known").join("own.conf");
    fs::write(&conf, "hex(long) labs(int first);\n").unwrap();
    let run = ltrace(["--prototype", "labs", "-F", conf.to_str().unwrap()]);
    let run = run.finish().exits(0);
    let expected = format!("hex(long) labs(int first);\n    by {}\n", conf.display());
    assert!(run.stdout.starts_with(&expected), "{}", run.told());
}
