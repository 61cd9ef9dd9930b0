//! `--serve`: what Prometheus and pprof read, and clients that mean harm.

use crate::support::fixture::fixture;
use crate::support::program::{Program, Running};
use crate::support::skip::command;
use crate::support::{ltrace, scratch};
use regex::Regex;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A tracer of `leak_steadily` that serves, once there is something to tell.
fn serve(options: &[&str]) -> Option<(Running, SocketAddr)> {
    let program = fixture("leak_steadily")?;
    let run = ltrace(options).args(["--serve", "127.0.0.1:0"]);
    let run = run.arg(program).start();
    run.wait_for_stderr("/\n");
    run.wait_for_stdout("ready");
    let told = run.stderr.text();
    let address = Regex::new("http://([0-9.:]+)/").unwrap();
    let address = address.captures(&told).unwrap()[1].parse().unwrap();
    Some((run, address))
}

/// Status and body of an answer.
fn get(at: SocketAddr, request: &str) -> (String, Vec<u8>) {
    try_get(at, request).unwrap()
}

/// The same of one who may be sent away.
fn try_get(at: SocketAddr, request: &str) -> std::io::Result<(String, Vec<u8>)> {
    let mut server = TcpStream::connect(at)?;
    server.set_read_timeout(Some(Duration::from_secs(60)))?;
    server.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Ok((head, answer[end + 4..].to_vec()))
}

fn page(at: SocketAddr, path: &str) -> String {
    let (head, body) = get(at, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    String::from_utf8(body).unwrap()
}

/// The value of a metric.
fn metric(page: &str, name: &str) -> u64 {
    known_metric(page, name).unwrap_or_else(|| panic!("no {name}\n{page}"))
}

/// The same; nothing of a function whose first call has not ended.
fn known_metric(page: &str, name: &str) -> Option<u64> {
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

/// What a profile's text form has, by go's own reader.
fn pprof(at: SocketAddr, path: &str) -> Option<String> {
    let go = command("go")?;
    let dir = scratch("pprof");
    let url = format!("http://{at}{path}");
    let run = Program::new(go)
        .args(["tool", "pprof", "-traces", &url])
        .dir(&dir);
    let run = run
        .env("PPROF_TMPDIR", &dir)
        .env("HOME", &dir)
        .finish()
        .exits(0);
    Some(run.stdout)
}

#[test]
fn metrics_for_prometheus() {
    let Some((run, at)) = serve(&[]) else { return };
    let calls = "ltrace_calls_total{function=\"usleep\",module=\"leak_steadily\"}";
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut text = page(at, "/metrics");
    let before = known_metric(&text, calls);
    while known_metric(&text, calls) <= before {
        assert!(Instant::now() < deadline, "{text}");
        text = page(at, "/metrics");
    }
    assert_eq!(metric(&text, "ltrace_processes"), 1);
    let histogram = "ltrace_call_duration_seconds";
    let of = "{function=\"usleep\",module=\"leak_steadily\"";
    let count = metric(&text, &format!("{histogram}_count{of}}}"));
    assert_eq!(
        metric(&text, &format!("{histogram}_bucket{of},le=\"+Inf\"}}")),
        count
    );
    // It sleeps for 5 ms.
    assert_eq!(
        metric(&text, &format!("{histogram}_bucket{of},le=\"0.004\"}}")),
        0
    );
    if let Some(promtool) = command("promtool") {
        let checked = Program::new(promtool)
            .args(["check", "metrics"])
            .input(text);
        let checked = checked.finish().exits(0);
        assert_eq!(
            (checked.stdout, checked.stderr),
            (String::new(), String::new())
        );
    }
    drop(run);
}

#[test]
fn profiles_of_calls() {
    let Some((run, at)) = serve(&[]) else { return };
    for path in ["/debug/pprof/calls", "/debug/pprof/calls?seconds=1"] {
        let Some(text) = pprof(at, path) else { return };
        assert!(text.contains("usleep"), "{path}\n{text}");
    }
    drop(run);
}

#[test]
fn the_live_heap() {
    let Some((run, at)) = serve(&["--leaks"]) else {
        return;
    };
    let site =
        Regex::new("ltrace_heap_live_bytes\\{pid=\"[0-9]+\",site=\"[^\"]*lose[^\"]*\"\\} ([0-9]+)")
            .unwrap();
    let mut amounts = Vec::<u64>::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while amounts.first() >= amounts.last() {
        assert!(Instant::now() < deadline, "{amounts:?}");
        let text = page(at, "/metrics");
        amounts.extend(
            site.captures(&text)
                .map(|found| found[1].parse::<u64>().unwrap()),
        );
    }
    if let Some(text) = pprof(at, "/debug/pprof/heap") {
        assert!(
            text.contains("inuse_space") && text.contains("lose"),
            "{text}"
        );
    }
    drop(run);
}

#[test]
fn what_is_not_served() {
    let Some((run, at)) = serve(&[]) else { return };
    let check = |request: &str, status: &str| {
        let (head, _) = get(at, request);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request:?}: {head}"
        );
    };
    check("GET /nowhere HTTP/1.1\r\n\r\n", "404 Not Found");
    check("GET /../../etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found");
    check("GET /debug/pprof/heap HTTP/1.1\r\n\r\n", "404 Not Found");
    check("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed");
    check(
        "GET /debug/pprof/calls?seconds=0 HTTP/1.1\r\n\r\n",
        "400 Bad Request",
    );
    check(
        "GET /debug/pprof/calls?seconds=99999999999999999999 HTTP/1.1\r\n\r\n",
        "400 Bad Request",
    );
    check("nonsense\r\n\r\n", "400 Bad Request");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    let mut server = TcpStream::connect(at).unwrap();
    // It is left before all of it is said.
    let _ = server.write_all(long.as_bytes());
    let (head, body) = get(at, "HEAD / HTTP/1.1\r\n\r\n");
    assert!(
        head.contains("Content-Length: ") && body.is_empty(),
        "{head}"
    );
    drop(run);
}

/// Some say nothing, some read nothing: the program runs on, and others are answered when they have been left.
#[test]
fn slow_clients_hold_nobody_up() {
    let Some((run, at)) = serve(&[]) else { return };
    let silent: Vec<TcpStream> = (0..40)
        .filter_map(|_| TcpStream::connect(at).ok())
        .collect();
    let deaf: Vec<TcpStream> = (0..8).filter_map(|_| TcpStream::connect(at).ok()).collect();
    for mut client in &deaf {
        let _ = client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let calls = "ltrace_calls_total{function=\"usleep\",module=\"leak_steadily\"}";
    let mut seen = Vec::new();
    while seen.len() < 2 {
        assert!(Instant::now() < deadline, "nobody is answered any more");
        let answer = try_get(at, "GET /metrics HTTP/1.1\r\n\r\n");
        if let Ok((head, body)) = answer
            && head.starts_with("HTTP/1.1 200")
        {
            seen.push(metric(&String::from_utf8(body).unwrap(), calls));
        }
    }
    assert!(seen[0] <= seen[1], "{seen:?}");
    drop((silent, deaf, run));
}

#[test]
fn addresses() {
    let refused = |address: &str, told: &str| {
        let run = ltrace(["--serve", address, "true"]).finish();
        assert!(run.stderr.contains(told), "{}", run.told());
        assert_ne!(run.code(), 0);
    };
    refused("nowhere", "`nowhere' is no address and port");
    refused("192.0.2.1:80", "cannot serve at 192.0.2.1:80: ");
    ltrace(["--serve", ":0", "true"]).finish().exits(0);
}
