//! `--leaks` on servers that leak with every request, while they are asked.

use crate::support::fixture::fixture;
use crate::support::leaks::{read, told, users};
use crate::support::program::{Program, Running};
use crate::support::text::{assert_text_untouched, wait_until_planted};
use crate::support::until::wait_until;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// A server, and the port it listens at.
fn server(name: &str) -> Option<(Running, u16)> {
    let server = Program::new(fixture(name)?).start();
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

/// Four clients that ask five times each.
fn ask_twenty_times(port: u16) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| ask(port)));
        }
    });
}

/// It has answered so many, and ends as it would.
#[track_caller]
fn ends(mut server: Running, served: u32) {
    assert_text_untouched(server.pid());
    server.close_input();
    let finished = server.finish().exits(0);
    let line = format!("served {served}\n");
    assert!(finished.stdout.ends_with(&line), "{}", finished.told());
}

#[test]
fn two_blocks_for_each_request() {
    let Some((server, port)) = server("leak_server") else {
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
    ask_twenty_times(port);
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
    assert!(
        finished.stderr.contains("   per accept: 2.0 blocks, 64 B"),
        "{}",
        finished.told()
    );
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
        assert_eq!(users(site)[1..], ["handle", "worker"]);
        let lines = site["stack"].as_array().expect("a stack").iter();
        let is_placed = |line: &Value| {
            let file = line["file"].as_str().unwrap_or_default();
            file.ends_with("leak_server.c") && line["line"].is_u64()
        };
        let user = lines.filter(|line| line["origin"] == "user");
        assert!(user.into_iter().all(is_placed), "{}", site["stack"]);
    }
    ask(port);
    ends(server, 31);
}

/// The tracer comes and goes while clients ask without a pause: each answer is right, and whenever it looks,
/// there are two blocks for each request, but for those that are being served.
#[test]
fn attached_and_left_under_load() {
    let Some((server, port)) = server("leak_server") else {
        return;
    };
    let is_over = AtomicBool::new(false);
    let answered = AtomicU32::new(0);
    let clients = 4;
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    ask(port);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Whatever fails here must end the clients, too.
        let looks = std::panic::catch_unwind(|| {
            for _ in 0..3 {
                let file = scratch("load").join("report.json");
                let path = file.to_str().expect("a path");
                let pid = server.pid().to_string();
                let args = [
                    "--leaks", "--every", "1h", "--older", "0s", "--per", "accept",
                ];
                let tracer = ltrace(args).args(["--json", path, "-p", &pid]).start();
                wait_until_planted(server.pid());
                let so_far = answered.load(Ordering::Relaxed);
                wait_until("forty answers more", || {
                    answered.load(Ordering::Relaxed) >= so_far + 40
                });
                tracer.signal(Signal::SIGINT);
                let finished = tracer.finish().exits(0);
                let report = read(&file);
                let calls = report["per"]["calls"].as_i64().expect("calls");
                let live = report["heap"]["live"]["blocks"].as_i64().expect("blocks");
                assert!(calls >= 5, "{}", finished.told());
                // Of a request being served there may be the answer, and one or both of the blocks.
                assert!(
                    (live - 2 * calls).abs() <= 3 * clients,
                    "{}",
                    finished.told()
                );
                let mut sites = told(&report);
                sites.retain(|site| site.starts_with("lost"));
                assert_eq!(sites.len(), 2, "{sites:?}");
            }
        });
        is_over.store(true, Ordering::Relaxed);
        if let Err(why) = looks {
            std::panic::resume_unwind(why);
        }
    });
    ends(server, answered.into_inner());
}

#[test]
fn what_rust_forgets_and_what_it_keeps() {
    let Some((server, port)) = server("leak_vector") else {
        return;
    };
    let file = scratch("vector").join("report.json");
    let pid = server.pid().to_string();
    let path = file.to_str().expect("a path");
    let args = [
        "--leaks",
        "--older",
        "0s",
        "--every",
        "1s",
        "--per",
        "accept4",
        "--context",
        "send,write",
    ];
    let tracer = ltrace(args).args(["--json", path, "-p", &pid]).start();
    wait_until_planted(server.pid());
    ask_twenty_times(port);
    // What does not grow for a while is no growth: there is a second between two reports.
    let twenty = "in 20 blocks of 32    20 allocated";
    tracer.wait_for_stderr(twenty);
    tracer.wait_for_stderr_beyond(tracer.stderr.len(), twenty);
    ask_twenty_times(port);
    tracer.wait_for_stderr("per accept4: 2.0 blocks, ");
    tracer.wait_for_stderr("in 40 blocks of 32    40 allocated");
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let report = read(&file);
    let sites = told(&report);
    let forgotten = "lost 1280 in 40: leak_vector::forget".to_owned();
    assert!(sites.contains(&forgotten), "{sites:?} {}", finished.told());
    let kept = "reachable 1280 in 40: leak_vector::keep".to_owned();
    assert!(sites.contains(&kept), "{sites:?} {}", finished.told());
    let sites = report["sites"].as_array().expect("sites").iter();
    let reached: Vec<&Value> = sites
        .filter(|site| site["verdict"] == "reachable")
        .collect();
    let kept = reached
        .iter()
        .find(|site| site["live"]["blocks"] == 40)
        .expect("kept");
    assert_eq!(kept["growing"], true);
    let holder = |at: usize| kept["held_by"][at].as_str().unwrap_or_default();
    assert!(holder(0).starts_with("Vec buffer "), "{}", kept["held_by"]);
    assert!(holder(1).contains("KEPT"), "{}", kept["held_by"]);
    ends(server, 40);
}
