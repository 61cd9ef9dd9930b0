//! `--leaks` on other things than memory: what is opened and never closed, and what is closed wrongly.

use crate::support::fixture::fixture;
use crate::support::leaks::{report, users};
use serde_json::Value;

#[test]
fn other_things_than_memory() {
    let Some(program) = fixture("leak_resources") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let (report, finished) = report(&["--no-heap", "--pairs", "fd,file,dir,sqlite"], &[program]);
    let pairs = report["pairs"].as_array().expect("pairs");
    let find = |title: &str, function: &str| {
        let is_it = |pair: &&Value| pair["title"] == title && users(pair).contains(&function);
        let pair = pairs.iter().find(is_it);
        pair.unwrap_or_else(|| panic!("no {title} of {function}: {}", finished.told()))
    };
    let open = find("open -> close", "descriptors");
    assert_eq!(
        (&open["opened"], &open["closed"], &open["open"]),
        (&12.into(), &8.into(), &4.into())
    );
    assert_eq!(open["known"][0], "/etc/passwd");
    assert_eq!(find("fopen -> fclose", "streams")["open"], 3);
    assert_eq!(find("opendir -> closedir", "main")["open"], 1);
    let misuse = &report["misuses"][0];
    assert_eq!(
        (&misuse["function"], &misuse["value"]),
        (&"close".into(), &77.into())
    );
    if pairs.iter().any(|pair| pair["kind"] == "sqlite") {
        let sqlite = find("sqlite3_open -> sqlite3_close", "databases");
        assert_eq!(
            (&sqlite["opened"], &sqlite["closed"]),
            (&12.into(), &6.into())
        );
        assert_eq!(sqlite["refused"][0]["name"], "SQLITE_BUSY");
        assert_eq!(sqlite["refused"][0]["count"], 3);
    }
}

/// Calls that read the same are one line, with the counts of all of them; and a number whose file is another
/// one by now is no descriptor of those who opened the first.
#[test]
fn counts_of_stacks_that_read_the_same() {
    let Some(program) = fixture("leak_counts") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let (report, finished) = report(&["--no-heap", "--pairs", "fd"], &[program]);
    let one = |pair: &Value| {
        let by = users(pair)[0].to_owned();
        let [opened, closed, open] = ["opened", "closed", "open"].map(|name| &pair[name]);
        format!("{by}: {opened} - {closed} = {open}")
    };
    let pairs = report["pairs"].as_array().expect("pairs");
    let mut told: Vec<String> = pairs.iter().map(one).collect();
    told.sort();
    let expected = [
        "opens_3: 3 - 0 = 3",
        "opens_4_closes_2: 4 - 2 = 2",
        "pairs_4_closes_1: 4 - 1 = 3",
        "two_at_once_6_closes_2: 6 - 2 = 4",
    ];
    assert_eq!(told, expected, "{}", finished.told());
}

/// `TITLE by FUNCTION: OPEN open` of each line of pairs.
fn kept(report: &Value) -> Vec<String> {
    let one = |pair: &Value| {
        let title = pair["title"].as_str().expect("a title");
        let taker = title.split(" -> ").next();
        let users = users(pair);
        let user = users.iter().find(|name| Some(**name) != taker);
        let bytes = match pair["bytes"].as_u64() {
            Some(bytes) if bytes > 0 => format!(", {bytes} bytes"),
            _ => String::new(),
        };
        format!(
            "{title} by {}: {}{bytes}",
            user.unwrap_or(&"?"),
            pair["open"]
        )
    };
    let mut kept: Vec<String> = report["pairs"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(one)
        .collect();
    kept.sort();
    kept
}

const OWN: [&str; 6] = [
    "--pair",
    "own_open(_, out h) if ret==0 -> own_close(h) if ret==0 else OWN_BUSY=7",
    "--pair",
    "own_swap(old) = new",
    "--pair",
    "own_ref(p) +-> own_unref(p)",
];

#[test]
fn every_built_in_set_and_pairs_of_ones_own() {
    let Some(program) = fixture("leak_handles") else {
        return;
    };
    let sets = "fd,file,dir,dl,thread,mmap,socket";
    let args = [&["--no-heap", "--pairs", sets][..], &OWN].concat();
    let (report, finished) = report(&args, &[program.to_str().expect("a path")]);
    let finished = finished.exits(0);
    let expected = [
        "dlopen -> dlclose by libraries_keep_1: 1",
        "dup -> close by duplicates_keep_1: 1",
        "dup2 -> close by replaced_keeps_1: 1",
        "epoll_create1 -> close by events_keep_2: 1",
        "eventfd -> close by events_keep_2: 1",
        "fmemopen -> fclose by streams_keep_2: 1",
        "getaddrinfo -> freeaddrinfo by addresses_keep_1: 1",
        "mmap -> munmap by mapping_keeps_4096: 1, 4096 bytes",
        "own_open -> own_close by own_keeps_2: 1",
        "own_ref -> own_unref by counted_keeps_1: 1",
        "own_swap -> own_close by own_keeps_2: 1",
        "pipe -> close by pipes_keep_1: 1",
        "pthread_create -> pthread_join by threads_keep_1: 1",
        "socketpair -> close by sockets_keep_2: 2",
        "tmpfile -> fclose by streams_keep_2: 1",
    ];
    assert_eq!(kept(&report), expected, "{}", finished.told());
    assert_eq!(report["misuses"].as_array().map_or(0, Vec::len), 0);
    let pairs = report["pairs"].as_array().expect("pairs");
    let refused = pairs
        .iter()
        .find(|pair| pair["title"] == "own_open -> own_close");
    assert_eq!(refused.expect("refused")["refused"][0]["name"], "OWN_BUSY");
    // The functions of the pair are not whom the user looks for.
    assert!(
        finished.stderr.contains("   own_keeps_2 leak_handles.c:"),
        "{}",
        finished.told()
    );
    assert!(
        finished.stderr.contains("(checked in /proc/PID/fd)"),
        "{}",
        finished.told()
    );
}

#[test]
fn each_set_alone() {
    let Some(program) = fixture("leak_handles") else {
        return;
    };
    let program = program.to_str().expect("a path");
    for (set, open) in [
        ("fd", 7),
        ("file", 2),
        ("dl", 1),
        ("thread", 1),
        ("mmap", 1),
        ("socket", 3),
    ] {
        let (report, finished) = report(&["--no-heap", "--pairs", set], &[program]);
        let pairs = report["pairs"].as_array().expect("pairs");
        let sum: u64 = pairs.iter().filter_map(|pair| pair["open"].as_u64()).sum();
        assert_eq!(sum, open, "{set}: {}", finished.told());
    }
}

/// What is wrong in one run of `leak_misuse.cc`: in words, by which function, and who handed it out.
#[track_caller]
fn misused(what: &str, expected: Option<(&str, &str, &str)>) {
    let Some(program) = fixture("leak_misuse") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let (report, finished) = report(&["--pairs", "new"], &[program, what]);
    let misuses = report["misuses"].as_array().expect("misuses");
    let Some((words, function, from)) = expected else {
        assert!(misuses.is_empty(), "{what}: {}", finished.told());
        return;
    };
    let [misuse] = misuses.as_slice() else {
        panic!("{what}: {}", finished.told());
    };
    assert_eq!(misuse["what"], words, "{what}");
    assert_eq!(misuse["function"], function, "{what}");
    assert_eq!(users(misuse)[0], what, "where it is released");
    let handed_out = misuse["acquired"].as_array().expect("a stack").iter();
    let by = handed_out.filter(|line| line["origin"] == "user");
    let by: Vec<&str> = by.filter_map(|line| line["function"].as_str()).collect();
    assert_eq!(by.first().copied().unwrap_or(""), from, "{what}");
}

#[test]
fn released_in_the_wrong_way() {
    let twice = ("released twice", "free", "twice");
    misused("twice", Some(twice));
    let inside = ("released 16 bytes inside of a block", "free", "inside");
    misused("inside", Some(inside));
    let never = ("released what was never handed out", "free", "");
    misused("never", Some(never));
    let families = [
        ("malloc_and_delete", "malloc", "operator delete"),
        ("new_and_free", "operator new", "free"),
        ("array_and_delete", "operator new[]", "operator delete"),
        ("new_and_delete_array", "operator new", "operator delete[]"),
    ];
    for (what, from, by) in families {
        let words = format!("released what {from} handed out");
        misused(what, Some((&words, by, what)));
    }
    misused("right", None);
}
