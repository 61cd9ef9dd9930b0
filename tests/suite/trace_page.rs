//! The page of a trace (`--html`), opened in a browser: it shows what was traced, can be searched and zoomed, and a million
//! calls are no matter.

use crate::support::browser::Browser;
use crate::support::fixture::fixture;
use crate::support::{ltrace, scratch};
use ltrace::export::trace::{self, Calls, TracePage};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// Opens the page, and waits until it is shown.
fn open(browser: &Browser, file: &Path) -> u64 {
    browser.open(file);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let ready = browser.run("return document.body.dataset.ready ?? null");
        if let Some(ready) = ready.as_str() {
            return ready.parse().unwrap();
        }
        assert!(Instant::now() < deadline, "{}", browser.text("#matched"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn search(browser: &Browser, text: &str) -> String {
    browser.type_into("//input[@id='search']", text);
    browser.text("#matched")
}

#[test]
fn a_trace() {
    let Some(program) = fixture("threads") else {
        return;
    };
    let Some(browser) = Browser::start("trace-page") else {
        return;
    };
    let file = scratch("trace-page").join("trace.html");
    ltrace(["--html"])
        .arg(&file)
        .arg(program)
        .args(["2", "20"])
        .finish()
        .exits(0);
    open(&browser, &file);
    assert_eq!(browser.text("h1"), "trace: threads");
    assert!(
        browser.text("#facts").contains("threads3"),
        "{}",
        browser.text("#facts")
    );
    let row = "return [...document.querySelectorAll('#table tbody tr')].map((row) => row.textContent).find((text) => text.startsWith('malloc'))";
    let malloc = browser.run(row);
    assert!(
        malloc.as_str().is_some_and(|row| row.contains("40")),
        "{malloc}"
    );
    let found = search(&browser, "malloc");
    assert!(found.starts_with("40 of "), "{found}");
    // Enter goes to the first of them, which is told below.
    browser.type_into("//input[@id='search']", "\u{e007}");
    assert!(
        browser.text("#call").starts_with("malloc("),
        "{}",
        browser.text("#call")
    );
    browser.run("globalThis.ltrace.show(0, globalThis.ltrace.span / 2)");
    browser.wait_for("!document.getElementById('whole').disabled");
    browser.click("//button[@id='whole']");
    browser.wait_for("document.getElementById('whole').disabled");
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// A program of eight threads, each of which calls again and again what calls others.
fn million() -> TracePage {
    const THREADS: u32 = 8;
    const GROUPS: u32 = 31_250;
    let mut calls = Calls::default();
    let mut add = |start: f64, duration: f64, function: u32, thread: u32, depth: u8| {
        calls.start.push(start);
        calls.duration.push(duration);
        calls.function.push(function);
        calls.thread.push(thread);
        calls.args.push(1 + function);
        calls.result.push(0);
        calls.depth.push(depth);
        calls.flags.push(0);
    };
    for group in 0..GROUPS {
        for thread in 0..THREADS {
            let begin = f64::from(group) * 10_000.0 + f64::from(thread) * 3.0;
            add(begin, 9_000.0, group % 7, thread, 0);
            add(begin + 100.0, 4_000.0, 7 + group % 5, thread, 1);
            add(begin + 200.0, 3_000.0, 12 + group % 3, thread, 2);
            add(begin + 5_000.0, 3_500.0, 15, thread, 1);
        }
    }
    TracePage {
        title: "trace: a million".to_owned(),
        threads: (0..THREADS)
            .map(|thread| format!("thread {thread}"))
            .collect(),
        functions: (0..16)
            .map(|number| (format!("function_{number}"), "program".to_owned()))
            .collect(),
        texts: (0..17).map(|number| format!("argument {number}")).collect(),
        calls,
        span: f64::from(GROUPS) * 10_000.0,
        ..TracePage::default()
    }
}

/// It takes half a second by itself, and drawing a few milliseconds: other tests run beside it.
#[test]
fn a_million_calls() {
    let Some(browser) = Browser::start("million") else {
        return;
    };
    let file = scratch("million").join("trace.html");
    let page = million();
    assert_eq!(page.calls.start.len(), 1_000_000);
    trace::write(&page, &mut File::create(&file).unwrap()).unwrap();
    let ready = open(&browser, &file);
    assert!(ready < 9_000, "shown after {ready} ms");
    let draws = "const { draw, show, span } = globalThis.ltrace;
        const begun = performance.now();
        for (let step = 0; step < 20; step += 1) { show(span * step / 40, span * (step / 40 + 0.01 * (1 + step))); draw(); }
        return (performance.now() - begun) / 20";
    let draw = browser.run(draws).as_f64().unwrap();
    println!("shown after {ready} ms, drawn in {draw:.1} ms");
    assert!(draw < 300.0, "drawn in {draw} ms");
    let found = search(&browser, "function_15");
    assert_eq!(found, "250,000 of 1,000,000 calls");
    assert_eq!(browser.console(), Vec::<String>::new());
}
