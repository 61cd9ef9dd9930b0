//! Pages of the manual and completions of shells are made of the options, and of `docs/prototypes.md`; they are
//! checked in. `LTRACE_BLESS=1` writes them anew.
#![allow(clippy::unwrap_used)]

use clap::ValueHint;
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// What ltrace(1) has besides the options.
const MORE: &str = r#".SH "EXIT STATUS"
The status of the program; 128 + N when signal N ended it. 1 for an error of ltrace's, 2 for a mistake on the command line.
.SH FILES
.TP
.I $XDG_CONFIG_HOME/ltrace/, ~/.ltrace.conf, /usr/share/ltrace/, /etc/ltrace.conf
Prototypes, see
.BR ltrace.conf (5).
.TP
.I $XDG_CONFIG_HOME/ltrace/filters/
Sets of functions of the user's own, each a file.
.SH "SEE ALSO"
.BR ltrace.conf (5),
.BR strace (1),
.BR ptrace (2)
"#;

#[track_caller]
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("LTRACE_BLESS").is_some() {
        return fs::write(path, text).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == text,
        "{name} is not what the options are: LTRACE_BLESS=1 cargo test --test tidy"
    );
}

#[test]
fn the_manual_page() {
    let mut page = Vec::new();
    // Without the date, which the page would change by.
    let man = clap_mangen::Man::new(ltrace::cli::command()).date("");
    man.render(&mut page).unwrap();
    check("man/ltrace.1", &(String::from_utf8(page).unwrap() + MORE));
}

#[test]
fn completions() {
    for (shell, name) in [
        (Shell::Bash, "ltrace.bash"),
        (Shell::Zsh, "_ltrace"),
        (Shell::Fish, "ltrace.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut with_command(), "ltrace", &mut script);
        check(
            &format!("completions/{name}"),
            &String::from_utf8(script).unwrap(),
        );
    }
}

/// Text as roff(7) takes it.
fn roff(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('`', "")
        .replace("**", "");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[test]
fn the_manual_page_of_prototypes() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prototypes.md");
    let source = fs::read_to_string(source).unwrap();
    // The title is the page's own.
    let lines = source.lines().skip(1).map(str::trim_start);
    let mut is_example = false;
    let mut page = ".TH ltrace.conf 5\n.SH NAME\nltrace.conf \\- prototypes of functions for ltrace\n.SH DESCRIPTION\n".to_owned();
    for line in lines {
        if line.starts_with("```") {
            is_example = !is_example;
            page += if is_example { ".nf\n" } else { ".fi\n" };
            continue;
        }
        if let Some((number, item)) = line.split_once(". ")
            && number.parse::<u8>().is_ok()
        {
            page += &format!(".IP {number}.\n{}\n", roff(item));
            continue;
        }
        let cells = line.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        page += &match cells {
            // Bars within a cell stand behind a backslash.
            Some(cells) => match cells.replace("\\|", "\u{1}").split_once(" | ") {
                Some((left, right))
                    if !cells.contains("---")
                        && right.trim() != "meaning"
                        && right.trim() != "shown" =>
                {
                    let cell = |text: &str| roff(text.trim()).replace('\u{1}', "|");
                    format!(".TP\n\\fB{}\\fR\n{}\n", cell(left), cell(right))
                }
                _ => String::new(),
            },
            None if line.is_empty() => ".PP\n".to_owned(),
            None => match line.strip_prefix("## ") {
                Some(head) => format!(".SH \"{}\"\n", roff(head).to_uppercase()),
                None => roff(line) + "\n",
            },
        };
    }
    page += ".SH \"SEE ALSO\"\n.BR ltrace (1)\n";
    check("man/ltrace.conf.5", &page);
}

/// What stands behind the options is a command and its arguments.
fn with_command() -> clap::Command {
    ltrace::cli::command().mut_arg("command", |arg| {
        arg.hide(false).value_hint(ValueHint::CommandWithArguments)
    })
}
