//! `--leaks`: what is never given back is found, with its line, and nothing else is.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, told, users};
use crate::support::program::{Program, Running};
use crate::support::text::{assert_text_untouched, wait_until_planted};
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

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
