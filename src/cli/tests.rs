//! Command lines, and what they mean or what is told of them.

mod outputs;

use super::args::{LINES, OTHER, OUTPUT, PROCESSES, SELECT, VALUES};
use super::leaks::LeakArgs;
use super::*;
use crate::base::Pid;
use crate::base::names::Spelling;
use crate::config::{Form, Variable};
use crate::plan::ModuleName;
use crate::sink::sieve::{Outcome, Until};
use crate::sink::summary::{Column, Table};
use clap::{Args as _, CommandFactory};
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

fn run_in(surroundings: Surroundings, line: &[&str]) -> Result<Config, Stop> {
    let words = std::iter::once("ltrace").chain(line.iter().copied());
    parse(words.map(OsString::from), surroundings)
}

#[track_caller]
fn config(line: &[&str]) -> Config {
    run_in(Surroundings::default(), line).unwrap_or_else(|stop| panic!("{stop:?}"))
}

#[track_caller]
fn style(line: &[&str]) -> Style {
    match config(line).report {
        Report::Lines { style, .. } => style,
        report => panic!("{report:?}"),
    }
}

/// The options, beside a command, make this of the usual style.
#[track_caller]
fn check_style(options: &[&str], change: impl Fn(&mut Style)) {
    let mut expected = Style::default();
    change(&mut expected);
    assert_eq!(style(&[options, &["ls"]].concat()), expected, "{options:?}");
}

#[track_caller]
fn check_launch(line: &[&str], command: &[&str]) {
    let launch = config(line).launch.expect("a command");
    let mut words = vec![launch.command];
    words.extend(launch.args);
    assert_eq!(words, command);
}

#[track_caller]
fn check_error(line: &[&str], text: &str) {
    match run_in(Surroundings::default(), line) {
        Err(Stop::Usage(told)) => assert_eq!(told, text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn clap_finds_nothing_wrong() {
    Args::command().debug_assert();
}

#[test]
fn options_of_leaks_need_it() {
    let command = LeakArgs::augment_args(clap::Command::new(""));
    let mut tried = 0;
    for arg in command.get_arguments() {
        let name = arg.get_long().expect("a long option");
        if name == "leaks" {
            continue;
        }
        let option = format!("--{name}");
        let values = arg.get_num_args().map_or(1, |range| range.min_values());
        let values = ["1"].repeat(if arg.get_action().takes_values() {
            values
        } else {
            0
        });
        let line = [&[option.as_str()], values.as_slice(), &["ls"]].concat();
        check_error(&line, &format!("ltrace: Option {option} needs --leaks"));
        tried += 1;
    }
    assert!(tried > 27, "{tried}");
}

#[test]
fn options_stop_at_the_command() {
    check_launch(&["ls"], &["ls"]);
    check_launch(&["ls", "-l", "--color", "/"], &["ls", "-l", "--color", "/"]);
    check_launch(
        &["-b", "ls", "-b", "-h", "--help", "-Z"],
        &["ls", "-b", "-h", "--help", "-Z"],
    );
    check_launch(&["--", "ls", "-l"], &["ls", "-l"]);
    check_launch(&["--", "-ls"], &["-ls"]);
    check_launch(&["sh", "-c", "--", "true"], &["sh", "-c", "--", "true"]);
    check_launch(&["ls", "--", "-l"], &["ls", "--", "-l"]);
    check_launch(&["-a", "1", "ls", ""], &["ls", ""]);
}

#[test]
fn styles() {
    check_style(&[], |_| ());
    check_style(&["-a", "20"], |style| style.align = 20);
    check_style(&["-a20"], |style| style.align = 20);
    check_style(&["--align=0"], |style| style.align = 0);
    check_style(&["-a", "1", "-a", "2"], |style| style.align = 2);
    check_style(&["-a", "99999999999"], |style| style.align = 65535);
    check_style(&["-a", "99999999999999999999"], |style| style.align = 65535);
    check_style(&["-n", "2"], |style| style.indent = 2);
    check_style(&["--ind=2"], |style| style.indent = 2);
    check_style(&["-n20"], |style| style.indent = 20);
    check_style(&["-t"], |style| style.time = Time::OfDay);
    check_style(&["-tt"], |style| style.time = Time::OfDayMicros);
    check_style(&["-t", "-t"], |style| style.time = Time::OfDayMicros);
    check_style(&["-ttttt"], |style| style.time = Time::Epoch);
    check_style(&["-r"], |style| style.time = Time::Delta);
    check_style(&["-T"], |style| style.elapsed = true);
    check_style(&["-i"], |style| style.addresses = true);
    check_style(&["-b"], |style| style.signals = false);
    check_style(&["--no-sig"], |style| style.signals = false);
    check_style(&["-q"], |style| style.ends = Ends::Hidden);
    check_style(&["-qf", "--silent"], |style| {
        style.ends = Ends::Hidden;
        style.task_ids = TaskIds::Always;
    });
    check_style(&["-C"], |style| style.demangle = Spelling::Short);
    check_style(&["--arg-names"], |style| style.arg_names = true);
    check_style(&["-CC"], |style| style.demangle = Spelling::Whole);
    check_style(&["-w", "3"], |style| style.frames = 3);
    check_style(&["--where=3"], |style| style.frames = 3);
    check_style(&["-k"], |style| style.frames = usize::MAX);
    check_style(&["-k", "-w", "1"], |style| style.frames = 1);
    check_style(&["--dem"], |style| style.demangle = Spelling::Short);
    check_style(&["-biT"], |style| {
        style.signals = false;
        style.addresses = true;
        style.elapsed = true;
    });
    check_style(&["-e", "malloc"], |style| style.callers = true);
    check_style(&["-e", ""], |style| style.callers = true);
    check_style(&["-l", "libc*"], |style| style.callers = true);
    check_style(&["-x", "main"], |_| ());
    check_style(&["-L"], |_| ());
    check_style(&["-f"], |style| {
        style.task_ids = TaskIds::Always;
        style.ends = Ends::Threads;
    });
    check_style(&["-p", "1"], |_| ());
    check_style(&["-o", "f"], |style| style.task_id_form = TaskIdForm::Bare);
    check_style(&["-p", "1", "-o", "f"], |style| {
        style.task_ids = TaskIds::Always;
        style.task_id_form = TaskIdForm::Bare;
    });
    check_style(&["--color", "always"], |style| style.coloured = true);
    check_style(&["--color=never"], |_| ());
}

#[test]
fn surroundings_count_where_the_command_line_is_silent() {
    let terminal = Surroundings {
        columns: Some(132),
        is_terminal: true,
        colours: true,
        unicode: true,
    };
    let check = |line: &[&str], align: usize, coloured: bool| match run_in(terminal, line) {
        Ok(Config {
            report: Report::Lines { style, .. },
            ..
        }) => {
            assert_eq!((style.align, style.coloured), (align, coloured), "{line:?}");
        }
        other => panic!("{other:?}"),
    };
    check(&["ls"], 82, true);
    check(&["-a", "7", "ls"], 7, true);
    check(&["-o", "f", "ls"], 82, false);
    check(&["-o", "f", "--color=always", "ls"], 82, true);
    check(&["--color=never", "ls"], 82, false);
}

#[test]
fn what_is_traced() {
    let main = ModuleName {
        name: "m".to_owned(),
        path: "/m".to_owned(),
        is_main: true,
    };
    let lib = ModuleName {
        name: "libx.so".to_owned(),
        path: "/libx.so".to_owned(),
        is_main: false,
    };
    let check = |line: &[&str], symbol: &str, in_main: bool, in_lib: bool| {
        let imports = config(line).selection.imports;
        let meant = |module| imports.iter().any(|filter| filter.matches(symbol, module));
        assert_eq!((meant(&main), meant(&lib)), (in_main, in_lib), "{line:?}");
    };
    check(&["ls"], "puts", true, false);
    check(&["-x", "f", "ls"], "puts", true, false);
    check(&["-L", "-x", "f", "ls"], "puts", false, false);
    check(&["-l", "libc*", "ls"], "puts", false, false);
    check(&["-e", "", "ls"], "puts", false, false);
    check(&["-e", "-malloc", "ls"], "puts", true, true);
    check(&["-e", "-malloc", "ls"], "malloc", false, false);
    check(
        &["-e", "malloc", "-e", "puts@libx*", "ls"],
        "puts",
        false,
        true,
    );
    let selection = config(&["-l", "-x*", "-l", "libz*", "-x", "a", "-x", "b", "ls"]).selection;
    assert_eq!(
        (
            selection.libraries.len(),
            selection.entries.len(),
            selection.is_default
        ),
        (2, 2, false)
    );
    assert!(config(&["ls"]).selection.is_default);
}

#[test]
fn processes_and_files() {
    let both = config(&["-p", "12", "-p34", "ls"]);
    assert_eq!(both.attach, [Pid(12), Pid(34)]);
    assert!(both.launch.is_some());
    assert!(config(&["-p", "1"]).launch.is_none());
    assert_eq!(config(&["ls"]).children, Children::Untraced);
    assert_eq!(config(&["-f", "ls"]).children, Children::Followed);
    let user = config(&["-u", "nobody", "ls"])
        .launch
        .and_then(|launch| launch.user);
    assert_eq!(user.as_deref(), Some("nobody"));
    assert_eq!(config(&["ls"]).output, Destination::Stderr);
    assert_eq!(
        config(&["-o", "-f", "ls"]).output,
        Destination::File("-f".into())
    );
    assert_eq!(
        config(&["--out=f", "ls"]).output,
        Destination::File("f".into())
    );
    assert_eq!(
        config(&["-o", "|less -R", "ls"]).output,
        Destination::Pipe("less -R".into())
    );
    let lists = config(&["-F", "a.conf:dir", "-F", "b", "ls"]).prototypes;
    assert_eq!(lists, ["a.conf", "dir", "b"].map(PathBuf::from));
    assert_eq!(
        config(&["-s", "0", "-A9", "ls"]).limits,
        Limits {
            string: 0,
            array: 9
        }
    );
    assert_eq!(
        config(&["ls"]).limits,
        Limits {
            string: 32,
            array: 4
        }
    );
    assert!(matches!(
        config(&["-c", "ls"]).report,
        Report::Summary {
            demangle: Spelling::AsTheyAre,
            ..
        }
    ));
    assert!(matches!(
        config(&["-cC", "ls"]).report,
        Report::Summary {
            demangle: Spelling::Short,
            ..
        }
    ));
}

#[test]
fn mistakes() {
    check_error(&[], "ltrace: too few arguments: a command, or -p PID");
    check_error(
        &["-e", "x"],
        "ltrace: too few arguments: a command, or -p PID (`x' is the argument of -e)",
    );
    check_error(
        &["-a", "x", "ls"],
        "Invalid argument to -a: 'x'.  Use integer >=0.",
    );
    check_error(
        &["-a", "-1", "ls"],
        "Invalid argument to -a: '-1'.  Use integer >=0.",
    );
    check_error(
        &["-a", "", "ls"],
        "Invalid argument to -a: ''.  Use integer >=0.",
    );
    check_error(
        &["-A", "x", "ls"],
        "Invalid argument to -A: 'x'.  Use integer >=0.",
    );
    check_error(
        &["-s", "x", "ls"],
        "Invalid argument to -s: 'x'.  Use integer >=0.",
    );
    check_error(
        &["-n", "30", "ls"],
        "Invalid argument to -n: '30'.  Use integer 0..20.",
    );
    check_error(
        &["-c", "-n", "30", "ls"],
        "Invalid argument to -n: '30'.  Use integer 0..20.",
    );
    check_error(
        &["-p", "0"],
        "Invalid argument to -p: '0'.  Use integer >=1.",
    );
    check_error(
        &["-p", "99999999999"],
        "Invalid argument to -p: '99999999999'.  No process has so large a number.",
    );
    check_error(
        &["-L", "-e", "x", "ls"],
        "ltrace: Option -L can't be used with -e or -l.",
    );
    check_error(
        &["-L", "-l", "x", "ls"],
        "ltrace: Option -L can't be used with -e or -l.",
    );
    check_error(
        &["-r", "-t", "ls"],
        "ltrace: Options -r and -t can't be used together",
    );
    check_error(&["-fff", "ls"], "ltrace: Option -f can be given only twice");
    check_error(&["-ff", "ls"], "ltrace: Option -ff needs -o FILE");
    check_error(
        &["-ff", "-o", "|cat", "ls"],
        "ltrace: Option -ff needs -o FILE",
    );
    check_error(
        &["--leaks", "-ff", "-o", "f", "ls"],
        "ltrace: Options --leaks and -ff can't be used together",
    );
    check_error(
        &["-u", "nobody", "-p", "1"],
        "ltrace: Option -u needs a command",
    );
    check_error(&["-o", "", "ls"], "ltrace: a file is missing after -o");
    check_error(
        &["-o", "| ", "ls"],
        "ltrace: a command is missing after -o '|'",
    );
    check_error(
        &["-e", "a+[b", "ls"],
        "ltrace: -e: this `[` has no `]`\n  a+[b\n    ^",
    );
    check_error(
        &["-x", "%hep", "ls"],
        "ltrace: -x: there is no set `%hep`; known are %file, %heap, %io, %locale, %math, %memory, %net, %process, \
         %signal, %string, %thread, %time\n  %hep\n  ^",
    );
    check_error(
        &["-l", "[", "ls"],
        "ltrace: -l: this `[` has no `]`\n  [\n  ^",
    );
}

#[test]
fn what_clap_finds_is_told_as_getopt_does() {
    check_error(&["-J", "ls"], "ltrace: invalid option -- 'J'");
    check_error(&["-bJ", "ls"], "ltrace: invalid option -- 'J'");
    check_error(&["--zzz", "ls"], "ltrace: unrecognized option '--zzz'");
    check_error(&["--zzz=1", "ls"], "ltrace: unrecognized option '--zzz'");
    check_error(&["-e"], "ltrace: an argument is missing after -e <FILTER>");
    check_error(
        &["--output"],
        "ltrace: an argument is missing after --output <FILE>",
    );
    check_error(
        &["--color=red", "ls"],
        "ltrace: invalid value 'red' for '--color <WHEN>' [possible values: auto, always, never]",
    );
}

/// The long names that strace has for the same.
#[test]
fn long_names() {
    check_style(&["--timestamps"], |style| style.time = Time::OfDay);
    check_style(&["--absolute-timestamps"], |style| style.time = Time::OfDay);
    check_style(&["--relative-timestamps"], |style| style.time = Time::Delta);
    check_style(&["--syscall-times"], |style| style.elapsed = true);
    check_style(&["--instruction-pointer"], |style| style.addresses = true);
    check_style(&["--columns=7"], |style| style.align = 7);
    assert_eq!(config(&["--string-limit=3", "ls"]).limits.string, 3);
    assert_eq!(
        config(&["--follow-forks", "ls"]).children,
        Children::Followed
    );
    assert_eq!(config(&["--attach=4"]).attach, [Pid(4)]);
    assert_eq!(config(&["--pid", "4"]).attach, [Pid(4)]);
    let launch = config(&["--user", "nobody", "ls"])
        .launch
        .expect("a command");
    assert_eq!(launch.user.as_deref(), Some("nobody"));
    let counted = |line| matches!(config(line).report, Report::Summary { .. });
    assert!(counted(&["--summary-only", "ls"]) && counted(&["--count", "ls"]));
    assert_eq!(config(&["--instr=stop", "ls"]).instrument, Instrument::Stop);
}

#[test]
fn environment_of_the_command() {
    let variable = |name: &str, value: Option<&str>| Variable {
        name: name.into(),
        value: value.map(OsString::from),
    };
    let env = |line: &[&str]| config(line).launch.expect("a command").env;
    assert_eq!(env(&["ls"]), []);
    assert_eq!(
        env(&["-E", "A=b=c", "--env=D", "-EE=", "ls"]),
        [
            variable("A", Some("b=c")),
            variable("D", None),
            variable("E", Some(""))
        ]
    );
    check_error(
        &["-E", "=x", "ls"],
        "Invalid argument to -E: '=x'.  Use VAR=VALUE, or VAR alone to take it out.",
    );
    check_error(
        &["-E", "A=b", "-p", "1"],
        "ltrace: Option -E needs a command",
    );
}

#[test]
fn topics_of_debug() {
    let mask = |line: &[&str]| config(line).debug.0;
    assert_eq!(mask(&["ls"]), 0);
    assert_eq!(mask(&["-D", "77", "ls"]), 0o77);
    assert_eq!(mask(&["-D1", "ls"]), 1);
    assert_eq!(mask(&["--deb=event,function", "ls"]), 0o50);
    check_error(
        &["-D", "x", "ls"],
        "ltrace: --debug requires an octal argument, or names: 'x' is neither; -Dh lists them",
    );
    let Err(Stop::Said(help)) = run_in(Surroundings::default(), &["-Dh"]) else {
        panic!("no help");
    };
    assert!(help.contains("   40  function "), "{help}");
    assert!(help.contains("  100  instrument "), "{help}");
}

#[test]
fn files_that_go_on() {
    let output = config(&["--append", "-o", "f", "ls"]).output;
    assert_eq!(output, Destination::Appended("f".into()));
    let output = config(&["--output-append-mode", "-o", "f", "ls"]).output;
    assert_eq!(output, Destination::Appended("f".into()));
    let wrong = "ltrace: Option --append needs -o FILE, and no -ff";
    check_error(&["--append", "ls"], wrong);
    check_error(&["--append", "-o", "|cat", "ls"], wrong);
    check_error(&["--append", "-ff", "-o", "f", "ls"], wrong);
}

#[test]
fn system_calls() {
    let filters = |line: &[&str]| config(line).selection.system_calls.map(|calls| calls.len());
    assert_eq!(filters(&["ls"]), None);
    assert_eq!(filters(&["-S", "ls"]), Some(0));
    assert_eq!(filters(&["--syscalls", "-read", "ls"]), Some(1));
    assert_eq!(
        filters(&["-S", "--syscalls=%file", "--syscalls=read", "ls"]),
        Some(2)
    );
    assert_eq!(
        config(&["-S", "-o", "f", "ls"]).instrument,
        Instrument::Stop
    );
    check_error(
        &["-S", "--leaks", "ls"],
        "ltrace: Options --leaks and -S can't be used together",
    );
    let recorded = ["-S", "--instrument", "record", "ls"];
    assert_eq!(config(&recorded).instrument, Instrument::Stop);
    check_error(
        &["--syscalls", "opne", "ls"],
        "ltrace: --syscalls: 'opne' means no system call; the nearest is open",
    );
}

/// Options of others are answered by those that do their work.
#[test]
fn options_of_other_tracers() {
    let check = |line: &[&str], part: &str| match run_in(Surroundings::default(), line) {
        Err(Stop::Usage(told)) => {
            assert!(told.contains(part), "{line:?}: {told}");
            assert_eq!(told.lines().count(), 1, "{line:?}: {told}");
        }
        other => panic!("{line:?}: {other:?}"),
    };
    check(&["--kernel", "ls"], "system calls are shown by -S");
    check(&["--backtrace", "ls"], "-w N shows N calls");
    check(&["-g", "ls"], "it is -L");
    check(&["-X", "raw", "ls"], "--json FILE has the words");
    check(&["--data=d", "ls"], "--record FILE keeps a trace");
    check(&["-v", "ls"], "-s N and -A N");
    check(&["--trace=open", "ls"], "-e FILTER");
    check(&["--outptu=f", "ls"], "the nearest is --output");
    check(&["--leaks=5", "ls"], "option '--leaks' takes no argument");
    check(
        &["--fo", "ls"],
        "option '--fo' is ambiguous; possibilities: '--follow-forks' '--format' '--for' '--folded'",
    );
    check(&["-o", "-", "ls"], "/dev/stdout");
    check(&["-l", "ls"], "(`ls' is the argument of -l)");
    check(&["--output", "ls"], "(`ls' is the argument of --output)");
}

/// Beginnings of long options that are unique in ltrace 0.7.
#[test]
fn beginnings_of_older_options() {
    for start in ["--a", "--al", "--ali"] {
        check_style(&[start, "7"], |style| style.align = 7);
    }
    for start in ["--i=2", "--in=2", "--inden=2"] {
        check_style(&[start], |style| style.indent = 2);
    }
    for start in ["--n", "--no", "--no-", "--no-s"] {
        check_style(&[start], |style| style.signals = false);
    }
    for start in ["--o", "--ou", "--outpu"] {
        let output = config(&[start, "f", "ls"]).output;
        assert_eq!(output, Destination::File("f".into()), "{start}");
    }
    for start in ["--c", "--co", "--con", "--conf"] {
        assert_eq!(config(&[start, "f", "ls"]).prototypes, [PathBuf::from("f")]);
    }
    for start in ["--l", "--li", "--lib"] {
        assert_eq!(config(&[start, "libz*", "ls"]).selection.libraries.len(), 1);
    }
    for start in ["--h", "--hel", "--v", "--ver"] {
        let told = run_in(Surroundings::default(), &[start]);
        assert!(matches!(told, Err(Stop::Told(_))), "{start}: {told:?}");
    }
}

/// Short options as getopt(3) takes them.
#[test]
fn short_options_in_one_word() {
    check_style(&["-ttn2"], |style| {
        style.time = Time::OfDayMicros;
        style.indent = 2;
    });
    check_style(&["-Tn", "2"], |style| {
        style.elapsed = true;
        style.indent = 2;
    });
    let both = config(&["-foF", "-ex-y", "-p7", "ls"]);
    assert_eq!(both.output, Destination::File("F".into()));
    assert_eq!(both.children, Children::Followed);
    assert_eq!(both.attach, [Pid(7)]);
    assert_eq!(both.selection.imports.len(), 1);
}

#[test]
fn several_processes() {
    let check = |line: &[&str], pids: &[i32], command: &[&str]| {
        let config = config(line);
        let pids: Vec<Pid> = pids.iter().copied().map(Pid).collect();
        assert_eq!(config.attach, pids, "{line:?}");
        let launch = config.launch.into_iter();
        let words: Vec<OsString> = launch
            .flat_map(|launch| std::iter::once(launch.command).chain(launch.args))
            .collect();
        assert_eq!(words, command, "{line:?}");
    };
    check(&["-p", "1,2"], &[1, 2], &[]);
    check(&["-p", "1 2\n3\n"], &[1, 2, 3], &[]);
    check(&["-p", "1, 2,", "-p2"], &[1, 2], &[]);
    check(&["-p", "1", "2", "3"], &[1, 2, 3], &[]);
    check(&["-p", "1", "2", "-e", "malloc", "3"], &[1, 2, 3], &[]);
    check(&["-p", "1", "2", "ls", "3"], &[1, 2], &["ls", "3"]);
    check(&["-p", "1", "--", "2", "3"], &[1], &["2", "3"]);
    check(&["-p", "1", "ls", "2"], &[1], &["ls", "2"]);
    check(&["2", "3"], &[], &["2", "3"]);
    check(&["sh", "-p", "2"], &[], &["sh", "-p", "2"]);
    check_error(
        &["-p", ""],
        "ltrace: -p: no process is named (does one run?)",
    );
    check_error(
        &["-p", " , "],
        "ltrace: -p: no process is named (does one run?)",
    );
    check_error(
        &["-p", "-e", "malloc"],
        "Invalid argument to -p: '-e'.  A process is missing before it (does one run?)",
    );
    check_error(
        &["-p", "nginx"],
        "Invalid argument to -p: 'nginx'.  Use integer >=1, such as $(pgrep -x nginx).",
    );
    check_error(
        &["-p", "1,0"],
        "Invalid argument to -p: '0'.  Use integer >=1.",
    );
    check_error(
        &["-p", "1;2"],
        "Invalid argument to -p: '1;2'.  Use integer >=1.",
    );
}

#[test]
fn help_and_version_are_no_mistakes() {
    let told = |line: &[&str]| match run_in(Surroundings::default(), line) {
        Err(Stop::Told(text)) => text.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        told(&["-V"]),
        concat!("ltrace ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(told(&["--version", "ls"]), told(&["-V"]));
    assert_eq!(told(&["-h"]), told(&["--he"]));
    for group in [SELECT, PROCESSES, OUTPUT, LINES, VALUES, OTHER, "Examples"] {
        assert!(told(&["-h"]).contains(&format!("\n{group}:\n")), "{group}");
    }
}

proptest! {
    #[test]
    fn any_command_line_is_understood_or_told(line in proptest::collection::vec("(-[a-zA-Z]{1,3}|--[a-z]{0,9}|)=?[ -~]{0,6}", 0..5)) {
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        match run_in(Surroundings::default(), &line) {
            Ok(config) => prop_assert!(config.launch.is_some() || !config.attach.is_empty()),
            Err(Stop::Usage(text)) => prop_assert!(!text.trim().is_empty()),
            Err(Stop::Told(_) | Stop::Said(_)) => (),
        }
    }
}

#[test]
fn samples_need_what_sees_them() {
    let with = |more: &[&'static str]| [&["--leaks", "--sample", "512KiB"], more, &["ls"]].concat();
    let refused: [&[&'static str]; 6] = [
        &["--check", "final"],
        &["--window", "2s"],
        &["--contents"],
        &["--fail-on", "lost"],
        &["--format", "mtrace"],
        &["--instrument", "stop"],
    ];
    for more in refused {
        let other = match more {
            ["--check", _] => "--check".to_owned(),
            ["--window" | "--fail-on", _] => more[0].to_owned(),
            _ => more.join(" "),
        };
        check_error(
            &with(more),
            &format!("ltrace: --sample sees too little for {other}"),
        );
    }
    check_error(
        &["--leaks", "--sample", "0", "ls"],
        "ltrace: --sample: `0' is not from 1 to 1024G",
    );
    check_launch(&with(&["--check", "off"]), &["ls"]);
}

/// Options of strace 6.1 and uftrace 0.13 (`strace --help`, `uftrace --help`), those of its tables and internals too: each
/// is taken, or answered by what does its work here.
#[test]
fn every_option_of_other_tracers() {
    const STRACE: &str = "\
        A D E I O P S T U V X Y Z a b c d e f h i k n o p q r s t u v w x y z \
        abbrev absolute-timestamps attach columns const-print-style daemonize debug decode-fds decode-pids detach-on env \
        failed-only fault follow-forks help inject instruction-pointer interruptible kvm no-abbrev output \
        output-append-mode output-separately pidns-translation quiet raw read relative-timestamps seccomp-bpf signal \
        silence silent stack-traces status string-limit strings-in-hex successful-only summary summary-columns \
        summary-only summary-sort-by summary-syscall-overhead summary-wall-clock syscall-number syscall-times \
        timestamps tips trace trace-path user verbose version write";
    const UFTRACE: &str = "\
        A C D E F H K L N P R S T U V W Z a b d e f g h k l p r s t v \
        Event agent argument auto-args avg-self avg-total buffer caller-filter chrome clock color column-offset \
        column-view data debug debug-domain demangle depth diff diff-policy disable estimate-return event event-full \
        filter flame-graph flat force format graphviz help hide host keep-pid kernel kernel-buffer kernel-depth \
        kernel-full kernel-only kernel-skip-out libmcount-path libmcount-single libname list-event loc-filter logfile \
        match max-stack nest-libcall no-args no-comment no-event no-libcall no-merge no-pager no-pltbind \
        no-randomize-addr no-sched no-sched-preempt nop notrace num-thread opt-file output-fields patch pid port \
        record report retval rt-prio run-cmd sample-time script signal size-filter sort sort-column srcline symbols \
        task task-newline tid time time-filter time-range trigger unpatch usage verbose version watch with-syms";
    for option in STRACE.split_whitespace().chain(UFTRACE.split_whitespace()) {
        let dashed = match option.len() {
            1 => format!("-{option}"),
            _ => format!("--{option}"),
        };
        let unknown = match run_in(Surroundings::default(), &[&dashed]) {
            Err(Stop::Usage(told)) if told.contains("invalid option") => Some(told),
            Err(Stop::Usage(told)) if told.contains("unrecognized") => Some(told),
            _ => None,
        };
        if let Some(told) = unknown {
            assert!(super::foreign::answer(option).is_some(), "{told}");
        }
    }
}
