//! Real servers under load: attached and left again, with every answer right.

use crate::support::leaks::{read, told};
use crate::support::program::{Program, Running};
use crate::support::skip::command;
use crate::support::text::{assert_text_untouched, tracer_of, wait_until_planted};
use crate::support::until::wait_until;
use crate::support::{ltrace, scratch};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A port of the loopback interface that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn connect(port: u16) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(Duration::from_secs(60)))
                    .unwrap();
                return stream;
            }
            Err(e) => assert!(Instant::now() < deadline, "no server: {e}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Keeps four clients busy while `act` runs and for some answers more; each checks its answers.
fn under_load(ask: impl Fn(usize) + Sync, act: impl FnOnce(&AtomicUsize)) {
    let stop = AtomicBool::new(false);
    let answers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (ask, stop, answers) = (&ask, &stop, &answers);
            scope.spawn(move || {
                let mut round = client;
                while !stop.load(Ordering::Relaxed) {
                    ask(round);
                    answers.fetch_add(1, Ordering::Relaxed);
                    round += 4;
                }
            });
        }
        let stop = StopOnDrop(&stop);
        act(&answers);
        wait_for_answers(&answers, 20);
        drop(stop);
    });
}

/// So that clients end when an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_for_answers(answers: &AtomicUsize, more: usize) {
    let wanted = answers.load(Ordering::Relaxed) + more;
    wait_until("the server answers", || {
        answers.load(Ordering::Relaxed) >= wanted
    });
}

/// Attaches to `pid` under load, twice, until calls and answers have come; then leaves.
fn attach_and_leave(pid: i32, call: &str, answers: &AtomicUsize) {
    for _ in 0..2 {
        let tracer: Running = ltrace(["-p", &pid.to_string()]).start();
        tracer.wait_for_stderr(call);
        wait_for_answers(answers, 20);
        tracer.signal(Signal::SIGINT);
        tracer.finish().exits(0);
        assert_eq!(tracer_of(pid), 0);
        assert_text_untouched(pid);
        wait_for_answers(answers, 20);
    }
}

/// Hunts leaks under load, and finds none.
fn hunt(pid: i32, answers: &AtomicUsize) {
    let file = scratch("hunt").join("report.json");
    let path = file.to_str().unwrap();
    let args = ["--leaks", "--every", "1h", "--json", path, "-p"];
    let tracer = ltrace(args).arg(pid.to_string()).start();
    wait_until_planted(pid);
    wait_for_answers(answers, 60);
    tracer.signal(Signal::SIGINT);
    let finished = tracer.finish().exits(0);
    let report = read(&file);
    let sites: Vec<String> = told(&report);
    let lost = sites.iter().find(|site| site.starts_with("lost"));
    assert_eq!(lost, None, "{}", finished.told());
    let allocated = report["heap"]["allocated"]["blocks"].as_u64();
    assert!(allocated > Some(20), "{}", finished.told());
    assert_eq!(tracer_of(pid), 0);
    assert_text_untouched(pid);
    wait_for_answers(answers, 20);
}

fn ask_nginx(port: u16) {
    let mut stream = connect(port);
    stream
        .write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
    assert!(answer.ends_with("\r\n\r\nhello from nginx\n"), "{answer:?}");
}

#[test]
fn nginx() {
    let Some(nginx) = command("nginx") else {
        return;
    };
    let dir = scratch("nginx");
    let port = free_port();
    fs::write(dir.join("page"), "hello from nginx\n").unwrap();
    let user = if nix::unistd::Uid::effective().is_root() {
        "user root;"
    } else {
        ""
    };
    let path = dir.display();
    fs::write(
        dir.join("nginx.conf"),
        format!(
            "{user} daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error;\n\
             events {{}}\n\
             http {{ access_log {path}/access; client_body_temp_path {path}; proxy_temp_path {path};\n\
             fastcgi_temp_path {path}; uwsgi_temp_path {path}; scgi_temp_path {path};\n\
             server {{ listen 127.0.0.1:{port}; root {path}; }} }}\n"
        ),
    )
    .unwrap();
    let server = Program::new(nginx)
        .args([
            "-p".as_ref(),
            dir.as_os_str(),
            "-c".as_ref(),
            dir.join("nginx.conf").as_os_str(),
        ])
        .args(["-e".as_ref(), dir.join("error").as_os_str()])
        .start();
    // Whoever answers is the worker.
    ask_nginx(port);
    let master = server.pid();
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    let worker: i32 = children
        .split_whitespace()
        .next()
        .expect("a worker")
        .parse()
        .unwrap();
    under_load(
        |_| ask_nginx(port),
        |answers| {
            attach_and_leave(worker, "epoll_wait(", answers);
            hunt(worker, answers);
        },
    );
    server.signal(Signal::SIGQUIT);
    server.finish().exits(0);
}

fn ask_redis(port: u16, round: usize) {
    let mut stream = connect(port);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |command: String, answers: &[&str]| {
        stream.write_all(command.as_bytes()).unwrap();
        for expected in answers {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line.trim_end(), *expected);
        }
    };
    let value = format!("value-{round:06}");
    ask(format!("SET key{round} {value}\r\n"), &["+OK"]);
    ask(format!("GET key{round}\r\n"), &["$12", &value]);
    ask(format!("DEL key{round}\r\n"), &[":1"]);
}

#[test]
fn redis() {
    let Some(redis) = command("redis-server") else {
        return;
    };
    let dir = scratch("redis");
    let port = free_port();
    let server = Program::new(redis)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string()])
        .dir(&dir)
        .start();
    server.wait_for_stdout("eady to accept connections");
    let pid = server.pid();
    under_load(
        |round| ask_redis(port, round),
        |answers| {
            attach_and_leave(pid, "epoll_wait(", answers);
            hunt(pid, answers);
        },
    );
    server.signal(Signal::SIGTERM);
    server.finish().exits(0);
}

const PYTHON: &str = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.0'
    def do_GET(self):
        body = (self.path * 50).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
print('ready', flush=True)
server.serve_forever()
";

#[test]
fn python() {
    let Some(python) = command("/usr/bin/python3") else {
        return;
    };
    let port = free_port();
    let server = Program::new(python)
        .args(["-c", PYTHON, &port.to_string()])
        .start();
    server.wait_for_stdout("ready\n");
    let ask = |round: usize| {
        let mut stream = connect(port);
        let path = format!("/page-{round}");
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = format!("\r\n\r\n{}", path.repeat(50));
        assert!(answer.ends_with(&body), "{answer:?}");
    };
    under_load(ask, |answers| hunt(server.pid(), answers));
}
