//! `--leaks`: what is never given back is found, with its line, and nothing else is.

use crate::support::fixture::fixture;
use crate::support::program::{Finished, Program, Running};
use crate::support::skip::command;
use crate::support::text::{assert_text_untouched, wait_until_planted};
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// A program's report as JSON, and how it ended.
fn report(args: &[&str], program: &[&str]) -> (Value, Finished) {
    let file = scratch("leaks").join("report.json");
    let path = file.to_str().expect("a path");
    let all = [&["--leaks", "--json", path], args, program].concat();
    let finished = ltrace(all).finish();
    (read(&file), finished)
}

fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

/// The functions of the user's own in a site's stack.
fn users(site: &Value) -> Vec<&str> {
    let lines = site["stack"].as_array().expect("a stack");
    let user = lines.iter().filter(|line| line["origin"] == "user");
    user.map(|line| line["function"].as_str().expect("a name"))
        .collect()
}

/// `VERDICT BYTES in BLOCKS: FUNCTION` of each site that is told.
fn told(report: &Value) -> Vec<String> {
    let one = |site: &Value| {
        let users = users(site);
        let (verdict, live) = (site["verdict"].as_str().expect("a verdict"), &site["live"]);
        format!(
            "{verdict} {} in {}: {}",
            live["bytes"],
            live["blocks"],
            users.first().unwrap_or(&"?")
        )
    };
    report["sites"]
        .as_array()
        .expect("sites")
        .iter()
        .map(one)
        .collect()
}

#[test]
fn a_leak_and_its_line() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let finished = ltrace([Path::new("--leaks"), &program]).finish().exits(0);
    let lines: Vec<&str> = finished.stderr.lines().skip(3).take(3).collect();
    let [head, first, second] = lines.as_slice() else {
        panic!("{}", finished.told())
    };
    assert!(
        head.starts_with("  1  LOST      148 B in 1 block    1 allocated, 0 freed"),
        "{}",
        finished.told()
    );
    assert_eq!(*first, "     enroll   leak_student.c:12");
    assert_eq!(*second, "     main     leak_student.c:19");
    ltrace([
        Path::new("--leaks"),
        Path::new("--fail-on"),
        Path::new("lost"),
        &program,
    ])
    .finish()
    .exits(99);
    let more = [
        Path::new("--leaks"),
        Path::new("--fail-on"),
        Path::new("lost>148"),
        &program,
    ];
    ltrace(more).finish().exits(0);
}

#[test]
fn nothing_to_tell_is_one_line() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let args = [
        Path::new("--leaks"),
        Path::new("--fail-on"),
        Path::new("lost"),
        &program,
        Path::new("fixed"),
    ];
    let finished = ltrace(args).finish().exits(0);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.told());
    assert!(
        finished.stderr.starts_with("no leaks: leak_student (pid "),
        "{}",
        finished.told()
    );
}

#[test]
fn programs_that_lose_nothing() {
    for program in [
        &["ls", "/"][..],
        &["ps"],
        &["bash", "-c", "echo ha"],
        &["git", "--version"],
    ] {
        if command(program[0]).is_none() {
            continue;
        }
        let (report, finished) = report(&[], program);
        finished.exits(0);
        let lost: Vec<String> = told(&report)
            .into_iter()
            .filter(|site| site.starts_with("lost"))
            .collect();
        assert!(lost.is_empty(), "{program:?}: {lost:?}");
    }
}

#[test]
fn a_cycle_in_a_program_that_runs() {
    let Some(program) = fixture("leak_words") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let file = scratch("cycle").join("report.json");
    let pid = target.pid().to_string();
    let tracer = ltrace([
        "--leaks",
        "--older",
        "0s",
        "--json",
        file.to_str().expect("a path"),
        "-p",
        &pid,
    ])
    .start();
    wait_until_planted(target.pid());
    for name in ["/etc/passwd", "/etc/group", "/etc/passwd"] {
        let so_far = target.stdout.len();
        target.say(format!("{name}\n").as_bytes());
        target.wait_for_stdout_beyond(so_far, "words ");
    }
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let report = read(&file);
    let [site] = report["sites"].as_array().expect("sites").as_slice() else {
        panic!("{}", finished.told());
    };
    assert_eq!(
        (&site["verdict"], &site["live"]["blocks"]),
        (&"lost".into(), &3.into())
    );
    assert_eq!(site["group"]["groups"], 3);
    assert_eq!(
        site["group"]["all"], report["lost"],
        "everything hangs on them"
    );
    let cycle: Vec<&str> = site["cycle"]
        .as_array()
        .expect("a cycle")
        .iter()
        .filter_map(|step| step["what"].as_str())
        .collect();
    assert_eq!(cycle, ["input_reader", "word_counter"]);
    assert_eq!(users(site), ["count", "main"]);
    assert_text_untouched(target.pid());
    target.close_input();
    target.finish().exits(0);
}

/// A server, and the port it listens at.
fn server() -> Option<(Running, u16)> {
    let server = Program::new(fixture("leak_server")?).start();
    server.wait_for_stdout("\n");
    let port = server
        .stdout
        .text()
        .trim()
        .strip_prefix("port ")
        .and_then(|port| port.parse().ok());
    Some((server, port.expect("a port")))
}

fn ask(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
}

#[test]
fn a_server_under_load() {
    let Some((mut server, port)) = server() else {
        return;
    };
    (0..10).for_each(|_| ask(port));
    let file = scratch("server").join("report.json");
    let pid = server.pid().to_string();
    let path = file.to_str().expect("a path");
    let args = [
        "--leaks",
        "--older",
        "0s",
        "--per",
        "accept",
        "--context",
        "send",
        "--json",
        path,
        "-p",
        &pid,
    ];
    let tracer = ltrace(args).start();
    wait_until_planted(server.pid());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| ask(port)));
        }
    });
    // The last answer is sent before its blocks are allocated; the next report knows them.
    tracer.wait_for_stderr("(+40 since attach)");
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let report = read(&file);
    let mut sites = told(&report);
    sites.sort();
    assert_eq!(
        sites,
        [
            "lost 640 in 20: boxed_thing_1",
            "lost 640 in 20: boxed_thing_2"
        ],
        "{}",
        finished.told()
    );
    assert_eq!(report["per"]["bytes"], 64.0);
    assert_eq!(report["heap"]["freed"]["blocks"], 20);
    for site in report["sites"].as_array().expect("sites") {
        let call = site["after"]["call"].as_str().expect("a call");
        assert!(
            call.starts_with("send(") && call.contains(r#""HTTP/1.0 200 OK\r\n"#),
            "{call}"
        );
        assert_eq!(site["after"]["function"], "handle");
        assert_eq!(
            site["holds"]["what"],
            "+0 -> served (leak_server .bss), rest zero"
        );
    }
    ask(port);
    assert_text_untouched(server.pid());
    server.close_input();
    let finished = server.finish().exits(0);
    assert!(
        finished.stdout.ends_with("served 31\n"),
        "{}",
        finished.told()
    );
}

#[test]
fn what_rust_forgets_and_what_it_keeps() {
    let Some(program) = fixture("leak_vector") else {
        return;
    };
    let mut target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let file = scratch("vector").join("report.json");
    let pid = target.pid().to_string();
    let tracer = ltrace([
        "--leaks",
        "--older",
        "0s",
        "--every",
        "1h",
        "--kinds",
        "lost,reachable",
        "--json",
        file.to_str().expect("a path"),
        "-p",
        &pid,
    ])
    .start();
    wait_until_planted(target.pid());
    for _ in 0..20 {
        let so_far = target.stdout.len();
        target.say(b"\n");
        target.wait_for_stdout_beyond(so_far, "done\n");
    }
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let report = read(&file);
    let sites = told(&report);
    assert!(
        sites.contains(&"lost 640 in 20: leak_vector::forget".to_owned()),
        "{sites:?} {}",
        finished.told()
    );
    let kept = "reachable 640 in 20: leak_vector::keep".to_owned();
    assert!(sites.contains(&kept), "{sites:?} {}", finished.told());
    target.close_input();
    target.finish().exits(0);
}

#[test]
fn who_holds_what_rust_keeps() {
    let Some(program) = fixture("leak_vector") else {
        return;
    };
    let file = scratch("holder").join("report.json");
    let path = file.to_str().expect("a path");
    let finished = ltrace(["--leaks", "--kinds", "reachable", "--json", path])
        .arg(program)
        .input("\n".repeat(20))
        .finish()
        .exits(0);
    let report = read(&file);
    let sites = report["sites"].as_array().expect("sites");
    let kept = sites.iter().find(|site| site["live"]["blocks"] == 20);
    let kept = kept.unwrap_or_else(|| panic!("{}", finished.told()));
    let holders: Vec<&str> = kept["held_by"]
        .as_array()
        .expect("holders")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let [buffer, holder] = holders.as_slice() else {
        panic!("{holders:?}")
    };
    assert!(buffer.starts_with("Vec buffer "), "{buffer}");
    assert!(holder.contains("KEPT"), "{holder}");
}

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

/// Allocated, freed and live bytes of a run.
fn counted(threads: &str, calls: &str) -> Option<([i64; 3], [i64; 3])> {
    let program = fixture("leak_exact")?;
    let (report, finished) = report(&["--check", "off"], &[program.to_str()?, threads, calls]);
    let heap = &report["heap"];
    let number = |value: &Value| value.as_i64().expect("a number");
    let ours = [
        &heap["allocated"]["blocks"],
        &heap["freed"]["blocks"],
        &heap["live"]["bytes"],
    ]
    .map(number);
    let line = finished
        .stderr
        .lines()
        .find(|line| line.split(' ').count() == 3);
    let own: Vec<i64> = line?
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    Some((ours, own.try_into().ok()?))
}

#[test]
fn no_block_is_lost_or_invented() {
    if fixture("leak_exact").is_none() {
        return;
    }
    // What the C library allocates for threads is the same in both runs.
    let (before, _) = counted("8", "0").expect("counts");
    let (after, own) = counted("8", "3000").expect("counts");
    let ours: Vec<i64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(ours, own);
}

#[test]
fn two_reports_compared() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let dir = scratch("diff");
    let [old, new, page] =
        ["old", "new", "page.html"].map(|name| dir.join(name).display().to_string());
    let program = program.to_str().expect("a path");
    ltrace(["--leaks", "--save", &old, program, "fixed"])
        .finish()
        .exits(0);
    ltrace(["--leaks", "--save", &new, program])
        .finish()
        .exits(0);
    let finished = ltrace(["--leaks", "--diff", &old, &new, "--html", &page])
        .finish()
        .exits(0);
    assert!(
        finished
            .stderr
            .contains("  1  +148 B  in +1 blocks    0 B -> 148 B   new\n     enroll"),
        "{}",
        finished.told()
    );
    assert!(
        fs::read_to_string(page)
            .expect("a page")
            .starts_with("<!DOCTYPE html>")
    );
    let cut = fs::read_to_string(&new).expect("a report");
    fs::write(&new, &cut[..cut.len() / 2]).expect("written");
    let finished = ltrace(["--leaks", "--diff", &old, &new]).finish().exits(1);
    assert!(
        finished.stderr.contains(": line 1, column "),
        "{}",
        finished.told()
    );
}

#[test]
fn suppressions_that_are_generated_suppress() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let finished = ltrace(["--leaks", "--gen-suppress", program])
        .finish()
        .exits(0);
    let from = finished.stderr.find("{\n").expect("a suppression");
    let file = scratch("suppress").join("own.supp");
    fs::write(&file, &finished.stderr[from..]).expect("written");
    let file = file.to_str().expect("a path");
    let args = ["--leaks", "--fail-on", "lost", "--suppress", file, program];
    let finished = ltrace(args).finish().exits(0);
    assert!(
        finished.stderr.starts_with("no leaks: "),
        "{}",
        finished.told()
    );
}

#[test]
fn the_table_of_mtrace() {
    let Some(program) = fixture("leak_student") else {
        return;
    };
    let program = program.to_str().expect("a path");
    let finished = ltrace(["--leaks", "--format", "mtrace", program])
        .finish()
        .exits(0);
    let last = finished.stderr.lines().last().expect("a line");
    assert!(
        last.contains("0x94  at ") && last.ends_with("leak_student.c:12"),
        "{}",
        finished.told()
    );
}

/// A mistake is told in the user's words, with status 2.
#[track_caller]
fn refused(args: &[&str], said: &str) {
    let finished = ltrace(args).finish().exits(2);
    assert!(finished.stderr.starts_with(said), "{}", finished.told());
}

#[test]
fn mistakes() {
    refused(
        &["--every", "5s", "ls"],
        "ltrace: Option --every needs --leaks\n",
    );
    refused(
        &["--leaks", "--every", "soon", "ls"],
        "ltrace: --every: `soon' is no time",
    );
    refused(
        &["--leaks", "--pairs", "fd,fish", "ls"],
        "ltrace: --pairs: there is no set `fish', only heap, ",
    );
    refused(
        &["--leaks", "--pair", "a = p", "ls"],
        "ltrace: --pair: `->` and the function that takes it back are missing here\n  a = p\n       ^\n",
    );
    refused(
        &["--leaks", "--pair", "f(_, old) = new", "--no-heap", "ls"],
        "ltrace: --pair: no pair stands before this one",
    );
    refused(
        &["--leaks", "--no-heap", "ls"],
        "ltrace: --no-heap leaves nothing to watch",
    );
    refused(
        &["--leaks", "--fail-on", "lost>many", "ls"],
        "ltrace: --fail-on: `many' is no number",
    );
    refused(
        &["--leaks", "--kinds", "lost,dead", "ls"],
        "ltrace: --kinds: `dead' is none of lost, indirect",
    );
    refused(&["--leaks", "-c", "ls"], "ltrace: Options --leaks and -c");
    let file = scratch("mistakes").join("bad.supp");
    fs::write(&file, "leak:a\nwrong\n").expect("written");
    let file = file.to_str().expect("a path");
    refused(
        &["--leaks", "--suppress", file, "ls"],
        &format!("ltrace: {file}:2:1: "),
    );
}
