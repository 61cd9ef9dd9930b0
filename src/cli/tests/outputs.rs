//! What is made of calls: forms for programs, the table, which calls are shown.

use super::*;

#[test]
fn outputs_for_programs() {
    let file = |name: &str| Destination::File(name.into());
    #[track_caller]
    fn check(line: &[&str], output: Destination, form: Option<Form>, also: &[(Destination, Form)]) {
        let config = config(&[line, &["ls"]].concat());
        let found = match config.report {
            Report::Other(form) => Some(form),
            _ => None,
        };
        assert_eq!((config.output, found), (output, form), "{line:?}");
        assert_eq!(config.also, also, "{line:?}");
    }
    check(&["--json", "j"], file("j"), Some(Form::Json), &[]);
    check(&["--chrome", "c"], file("c"), Some(Form::Chrome), &[]);
    let (json, chrome) = ((file("j"), Form::Json), (file("c"), Form::Chrome));
    check(
        &["--json=j", "--chrome=c"],
        file("j"),
        Some(Form::Json),
        std::slice::from_ref(&chrome),
    );
    check(
        &["-o", "f", "--chrome=c", "--json=j"],
        file("f"),
        None,
        &[json.clone(), chrome],
    );
    check(
        &["-c", "--json=j"],
        Destination::Stderr,
        None,
        std::slice::from_ref(&json),
    );
    check(
        &["--format=text", "--json=j"],
        Destination::Stderr,
        None,
        &[json],
    );
    check(
        &["--format=json"],
        Destination::Stderr,
        Some(Form::Json),
        &[],
    );
    check(
        &["--format=chrome", "-o", "f"],
        file("f"),
        Some(Form::Chrome),
        &[],
    );
    let wrong = "ltrace: --format: `xml' is none of text, tree, json and chrome";
    check_error(&["--format=xml", "ls"], wrong);
    let wrong = "ltrace: Options -c and --format or --tree can't be used together";
    check_error(&["-c", "--format=json", "ls"], wrong);
    let wrong = "ltrace: Options --leaks and --chrome can't be used together";
    check_error(&["--leaks", "--chrome=c", "ls"], wrong);
    let counted = |line: &[&str]| match config(line).report {
        Report::Lines { counted, .. } => counted,
        report => panic!("{report:?}"),
    };
    let usual = || Some(Table::default());
    assert_eq!(counted(&["-cc", "ls"]), usual());
    assert_eq!(counted(&["--summary", "ls"]), usual());
    assert_eq!(counted(&["ls"]), None);
    let tree = Form::Tree {
        demangle: Spelling::AsTheyAre,
    };
    check(&["--tree"], Destination::Stderr, Some(tree), &[]);
    check(&["--format=tree", "-o", "f"], file("f"), Some(tree), &[]);
}

#[test]
fn lists() {
    let listed = config(&["--list", "-e", "malloc", "ls"]);
    assert_eq!(listed.aim, Aim::List);
    assert_eq!(listed.selection.imports.len(), 1);
    let listed = config(&["--list=%heap", "ls"]);
    assert_eq!(listed.selection.imports[0].text, "%heap");
    assert_eq!(listed.selection.entries[0].text, "%heap");
    assert_eq!(
        config(&["--list", "ls"]).launch.expect("a program").command,
        "ls"
    );
    assert_eq!(config(&["--list", "-p", "1"]).attach, [Pid(1)]);
    let Err(Stop::Said(sets)) = run_in(Surroundings::default(), &["--list-filters"]) else {
        panic!("no sets");
    };
    assert!(
        sets.lines().any(|line| line.starts_with("%time ")),
        "{sets}"
    );
}

#[test]
fn tables() {
    let table = |line: &[&str]| match config(&[line, &["ls"]].concat()).report {
        Report::Summary { table, .. } => table,
        report => panic!("{report:?}"),
    };
    assert_eq!(table(&["-c"]), Table::default());
    let chosen = table(&["-c", "--summary-columns=calls,p99,function", "--sort=p99"]);
    assert_eq!(
        chosen.columns,
        [Column::Calls, Column::P99, Column::Function]
    );
    assert_eq!(chosen.sort, Some(Column::P99));
    check_error(
        &["--sort=calls", "ls"],
        "ltrace: --summary-columns and --sort need -c; --sort, or --leaks",
    );
    check_error(
        &["-c", "--sort=size", "ls"],
        "ltrace: --sort: `size' is none of share, seconds, self, usecs, calls, errors, min, p50, p99, max, module, \
         function",
    );
}

#[test]
fn conditions_of_calls() {
    let conditions = |line: &[&str]| config(&[line, &["ls"]].concat()).conditions;
    assert!(!conditions(&[]).are_any());
    let millis = Duration::from_millis;
    assert_eq!(
        conditions(&["--min-time=1.5ms"]).min_time,
        Some(Duration::from_micros(1500))
    );
    assert_eq!(
        conditions(&["--min-time=10us"]).min_time,
        Some(Duration::from_micros(10))
    );
    assert_eq!(conditions(&["-z"]).outcome, Some(Outcome::Success));
    assert_eq!(conditions(&["-Z"]).outcome, Some(Outcome::Failure));
    assert_eq!(
        conditions(&["--failing-only"]).outcome,
        Some(Outcome::Failure)
    );
    assert_eq!(conditions(&["--depth", "2"]).depth, Some(2));
    assert_eq!(conditions(&["--until", "7"]).until, Some(Until::Calls(7)));
    assert_eq!(
        conditions(&["--until", "20ms"]).until,
        Some(Until::Time(millis(20)))
    );
    let between = conditions(&["--trigger=a", "--trigger=b", "--stop=c+d"]);
    assert_eq!((between.triggers.len(), between.stops.len()), (2, 1));
    check_error(
        &["-zZ", "ls"],
        "ltrace: Options -z and -Z can't be used together",
    );
    check_error(
        &["--depth=0", "ls"],
        "Invalid argument to --depth: '0'.  Use integer >=1.",
    );
    check_error(
        &["--until=0", "ls"],
        "ltrace: --until: say how many calls, at least one, or a time",
    );
    check_error(
        &["--until=x", "ls"],
        "ltrace: --until: `x' is no time; say 500ms, 5s, 2m or 1h",
    );
    check_error(
        &["--leaks", "-z", "ls"],
        "ltrace: --leaks knows other conditions than traces do: --min-size, --older, --site",
    );
}

#[test]
fn recordings() {
    let also = config(&["-o", "f", "--record", "r", "ls"]).also;
    assert_eq!(also, [(Destination::File("r".into()), Form::Recording)]);
    assert_eq!(config(&["--replay", "r"]).aim, Aim::Replay("r".into()));
    let wrong = "ltrace: Option --replay takes no command and no -p";
    check_error(&["--replay", "r", "ls"], wrong);
    check_error(&["--replay", "r", "-p", "1"], wrong);
    let wrong = "ltrace: Options --leaks and --record or --replay can't be used together";
    check_error(&["--leaks", "--record", "r", "ls"], wrong);
}
