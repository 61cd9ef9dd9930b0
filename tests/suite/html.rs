//! The page that `--html` writes, opened in a browser: nothing complains, and what can be clicked works.

use crate::support::browser::Browser;
use crate::support::scratch;
use ltrace::export::{Frame, Page, Profile, Sample, Series, SiteRow, ValueKind, html};
use std::fs::File;
use std::path::PathBuf;

fn frame(function: &str, file: &str, line: u32) -> Frame {
    Frame {
        function: function.to_owned(),
        file: Some(file.to_owned()),
        line: Some(line),
        module: Some("/usr/bin/server".to_owned()),
        ..Frame::default()
    }
}

/// A stack with this at its end.
fn stack(function: &str, line: u32) -> Vec<Frame> {
    let mut inlined = frame("make_shared<input_reader>", "shared_ptr.h", 1005);
    inlined.inlined = true;
    let libc = Frame {
        module: Some("/lib/x86_64-linux-gnu/libc.so.6".to_owned()),
        function: "start_thread".to_owned(),
        ..Frame::default()
    };
    vec![
        inlined,
        frame(function, "/src/server/server.c", line),
        frame("handle_request", "/src/server/server.c", 22),
        frame("worker(void *)", "/src/server/server.c", 33),
        libc,
    ]
}

/// Live bytes by the function at the end of the stack.
fn profile(live: &[(&str, i64)]) -> Profile {
    let samples = live
        .iter()
        .zip(10..)
        .map(|((function, bytes), line)| Sample {
            frames: stack(function, line),
            values: vec![bytes / 32, *bytes],
            labels: Vec::new(),
        });
    Profile {
        kinds: vec![
            ValueKind::new("inuse_objects", "count"),
            ValueKind::new("inuse_space", "bytes"),
        ],
        samples: samples.collect(),
        ..Profile::default()
    }
}

const LIVE: [(&str, i64); 4] = [
    ("boxed_thing_1", 64_000),
    ("boxed_thing_2", 24_000),
    ("read_config", 8_000),
    ("open_log", 4_000),
];

fn series(name: &str, last: i64) -> Series {
    let points = (0..=60).map(|second| (f64::from(second), last * i64::from(second) / 60));
    Series {
        name: name.to_owned(),
        points: points.collect(),
    }
}

fn page() -> Page {
    let verdicts = ["LOST", "CYCLE", "POSSIBLE", "REFERENCED, GROWING"];
    let rows = LIVE.iter().zip(verdicts).zip(10..);
    let rows = rows.map(|(((function, bytes), verdict), line)| SiteRow {
        verdict: verdict.to_owned(),
        bytes: *bytes as u64,
        blocks: *bytes as u64 / 32,
        allocated: *bytes as u64 / 16,
        freed: *bytes as u64 / 32,
        rate: Some(*bytes as f64 / 3200.0),
        age: Some((0.5, f64::from(line) * 60.0)),
        grown: None,
        stack: stack(function, line),
        called: 1,
        notes: vec![format!("after send(6, {verdict:?})")],
    });
    let facts = [("pid", "22783"), ("threads", "5"), ("check", "0.32 ms")];
    Page {
        title: "leaks: server (pid 22783)".to_owned(),
        facts: facts.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
        total: series("all", 100_000),
        tops: LIVE
            .iter()
            .map(|(name, last)| series(name, *last))
            .collect(),
        sites: rows.collect(),
        flame: profile(&LIVE),
        before: None,
    }
}

fn written(name: &str, page: &Page) -> PathBuf {
    let path = scratch(&format!("{name}-page")).join("page.html");
    let mut file = File::create(&path).expect("the page's file");
    html::write(page, &mut file).expect("written");
    path
}

/// The page in a browser; `None` without one.
fn opened(name: &str, page: &Page) -> Option<Browser> {
    let browser = Browser::start(name)?;
    browser.open(&written(name, page));
    browser.wait_for("document.querySelector('#detail b')");
    Some(browser)
}

#[track_caller]
fn assert_no_complaint(browser: &Browser) {
    assert_eq!(browser.console(), [""; 0]);
}

fn frame_named(name: &str) -> String {
    format!("//*[contains(@class, 'frame') and text()='{name}']")
}

/// A frame comes to take this part of the graph's width, in percent; -1: it is not there.
#[track_caller]
fn assert_width(browser: &Browser, name: &str, expected: f64) {
    browser.wait_for(&format!(
        "((all) => {{
             const found = all.find((frame) => frame.textContent === '{name}');
             const width = found ? parseFloat(found.style.width) : -1;
             return Math.abs(width - {expected}) < 0.01;
         }})([...document.querySelectorAll('.frame')])"
    ));
}

#[test]
fn opens_in_light_and_dark() {
    let Some(browser) = opened("opens", &page()) else {
        return;
    };
    assert_eq!(browser.text("h1"), "leaks: server (pid 22783)");
    assert_eq!(browser.text("#facts dd"), "22783");
    let shown = |selector: &str| {
        let count = format!("return document.querySelectorAll('{selector}').length");
        browser.run(&count).as_u64()
    };
    assert_eq!(shown("#plot path.line"), Some(5));
    assert_eq!(shown("tr.site"), Some(4));
    // all, start_thread, worker, handle_request, four functions and what is inlined in each
    assert_eq!(shown(".frame"), Some(12));
    let background = "return getComputedStyle(document.body).backgroundColor";
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        backgrounds.push(browser.run(background));
        browser.picture(&format!("html-{scheme}"));
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    assert_no_complaint(&browser);
}

#[test]
fn the_legend_hides_a_line() {
    let Some(browser) = opened("legend", &page()) else {
        return;
    };
    let lines = "document.querySelectorAll('#plot path.line').length";
    browser.click("//*[@id='legend']/button[2]");
    browser.wait_for(&format!("{lines} === 4"));
    browser.click("//*[@id='legend']/button[2]");
    browser.wait_for(&format!("{lines} === 5"));
    assert_no_complaint(&browser);
}

#[test]
fn zoom() {
    let Some(browser) = opened("zoom", &page()) else {
        return;
    };
    assert_width(&browser, "handle_request", 100.0);
    assert_width(&browser, "boxed_thing_2", 24.0);
    browser.click(&frame_named("boxed_thing_2"));
    browser.wait_for("location.hash.includes('zoom')");
    assert_width(&browser, "boxed_thing_2", 100.0);
    assert_width(&browser, "boxed_thing_1", -1.0);
    assert_width(&browser, "handle_request", 100.0);
    let detail = browser.text("#detail");
    for part in ["boxed_thing_2", "server.c:11", "23.4 KiB, 24.0 %"] {
        assert!(detail.contains(part), "{detail}");
    }
    browser.picture("html-zoom");
    // The address holds it, and the way back leads out.
    browser.run("location.reload()");
    browser.wait_for("document.querySelector('#detail b')?.textContent === 'boxed_thing_2'");
    browser.back();
    browser.wait_for("document.querySelector('#detail b').textContent === 'all'");
    assert_width(&browser, "boxed_thing_2", 24.0);
    // So does the button.
    browser.click(&frame_named("boxed_thing_1"));
    assert_width(&browser, "boxed_thing_1", 100.0);
    browser.click("//*[@id='reset']");
    browser.wait_for("!location.hash.includes('zoom')");
    assert_width(&browser, "boxed_thing_1", 64.0);
    // The other way round, what asks is outermost.
    browser.click("//*[@id='inverted']");
    assert_width(&browser, "make_shared<input_reader>", 100.0);
    assert_no_complaint(&browser);
}

#[test]
fn search() {
    let Some(browser) = opened("search", &page()) else {
        return;
    };
    let check = |wanted: &str, matched: &str, hits: u64| {
        browser.run("document.getElementById('search').value = ''");
        browser.type_into("//*[@id='search']", wanted);
        assert_eq!(browser.text("#matched"), matched, "{wanted}");
        let count = "return document.querySelectorAll('.frame.hit').length";
        assert_eq!(browser.run(count).as_u64(), Some(hits), "{wanted}");
    };
    check("BOXED", "88.0 % matched, 85.9 KiB; 2 of 4 sites", 2);
    browser.picture("html-search");
    check(
        "/thing_1$|^open/",
        "68.0 % matched, 66.4 KiB; 2 of 4 sites",
        2,
    );
    check("server.c:10", "64.0 % matched, 62.5 KiB; 1 of 4 sites", 1);
    // Nested matches count once.
    check("server.c", "100 % matched, 97.7 KiB; 4 of 4 sites", 6);
    check("/(/", "0 % matched, 0 B; 0 of 4 sites", 0);
    assert_eq!(browser.text("#table tbody"), "No site matches the search.");
    check("CYCLE", "0 % matched, 0 B; 1 of 4 sites", 0);
    // Within what is zoomed to.
    browser.run("document.getElementById('search').value = ''");
    browser.type_into("//*[@id='search']", "thing_1");
    browser.click(&frame_named("boxed_thing_2"));
    browser.wait_for("document.getElementById('matched').textContent.startsWith('0 %')");
    assert_no_complaint(&browser);
}

#[test]
fn sites() {
    let Some(browser) = opened("sites", &page()) else {
        return;
    };
    let first = || browser.text("tr.site td.site code");
    assert_eq!(first(), "boxed_thing_1");
    // Numbers largest first, then the other way round.
    browser.click("//th/button[text()='Live']");
    assert_eq!(first(), "boxed_thing_1");
    browser.click("//th/button[text()='Live']");
    assert_eq!(first(), "open_log");
    browser.click("//th/button[text()='Verdict']");
    assert_eq!(first(), "boxed_thing_2");
    browser.click("//tr[contains(@class, 'site')][1]//button");
    let stack = browser.text("tr.stack");
    let parts = [
        "after send(6",
        "make_shared<input_reader> shared_ptr.h:1005 (inlined)",
        "worker(void *) server.c:33",
    ];
    for part in parts {
        assert!(stack.contains(part), "{stack}");
    }
    browser.run("document.querySelector('tr.stack').scrollIntoView()");
    browser.picture("html-sites");
    browser.click("//button[text()='Show in the flame graph']");
    browser.wait_for("location.hash.includes('zoom')");
    assert_width(&browser, "boxed_thing_2", 100.0);
    browser.click("//tr[contains(@class, 'site')][1]//button");
    browser.wait_for("!document.querySelector('tr.stack')");
    assert_no_complaint(&browser);
}

#[test]
fn two_snapshots() {
    let mut page = page();
    page.before = Some(profile(&[
        ("boxed_thing_1", 16_000),
        ("boxed_thing_2", 24_000),
        ("read_config", 16_000),
        ("gone", 4_000),
    ]));
    for (row, grown) in page.sites.iter_mut().zip([48_000, 0, -8_000, 4_000]) {
        row.grown = Some((grown, grown / 32));
    }
    let Some(browser) = opened("two", &page) else {
        return;
    };
    let hue = |name: &str| {
        let script = format!(
            "const all = [...document.querySelectorAll('.frame')];
             const style = all.find((frame) => frame.textContent === '{name}').style;
             return style.getPropertyValue('--hue') + ' ' + style.getPropertyValue('--strength')"
        );
        let told = browser.run(&script);
        told.as_str().map(str::to_owned).expect("a text")
    };
    assert_eq!(hue("boxed_thing_1"), "8 70%");
    assert_eq!(hue("boxed_thing_2"), "215 0%");
    assert_eq!(hue("read_config"), "215 55%");
    browser.picture("html-diff");
    // 48 kB and 4 kB have grown.
    browser.click("//*[@id='view']/option[text()='growth']");
    assert_width(&browser, "boxed_thing_1", 48.0 / 52.0 * 100.0);
    assert_width(&browser, "open_log", 4.0 / 52.0 * 100.0);
    assert_width(&browser, "read_config", -1.0);
    browser.click("//*[@id='view']/option[text()='live before']");
    assert_width(&browser, "gone", 4.0 / 60.0 * 100.0);
    browser.click("//th/button[text()='Change']");
    assert_eq!(
        browser.text("tr.site:last-child td:nth-child(3)"),
        "-7.8 KiB"
    );
    assert_no_complaint(&browser);
}

#[test]
fn names_cannot_break_out() {
    let name =
        "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>{{data}}";
    let mut page = page();
    page.title = name.to_owned();
    page.facts.push((name.to_owned(), name.to_owned()));
    page.tops[0].name = name.to_owned();
    page.sites[0].verdict = name.to_owned();
    page.sites[0].notes = vec![name.to_owned()];
    page.sites[0].stack[1].function = name.to_owned();
    page.flame.samples[0].frames[1].function = name.to_owned();
    let Some(browser) = opened("names", &page) else {
        return;
    };
    browser.click("//tr[contains(@class, 'site')][1]//button");
    for selector in ["h1", "title", "tr.stack p", "tr.stack li:nth-child(2) code"] {
        assert_eq!(browser.text(selector), name, "{selector}");
    }
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        0
    );
    assert_no_complaint(&browser);
}

#[test]
fn nothing_to_show() {
    let Some(browser) = opened("nothing", &Page::default()) else {
        return;
    };
    assert_eq!(browser.text("#sites .nothing"), "Nothing is left over.");
    browser.type_into("//*[@id='search']", "x");
    assert_eq!(browser.text("#matched"), "0 % matched, 0; 0 of 0 sites");
    assert_no_complaint(&browser);
}

/// Wide, deep and large: it still opens, and shows no more than can be told apart.
#[test]
fn a_large_page() {
    let mut page = page();
    let wide = (0..20_000).map(|number| Sample {
        frames: stack(&format!("site_{number}"), number),
        values: vec![1, 64],
        labels: Vec::new(),
    });
    let deep = Sample {
        frames: (0..5_000)
            .map(|line| frame("recurse", "deep.c", line))
            .collect(),
        values: vec![1, 640_000],
        labels: Vec::new(),
    };
    page.flame.samples.extend(wide.chain([deep]));
    page.sites = page.sites.iter().cycle().take(5_000).cloned().collect();
    page.total.points = (0..100_000)
        .map(|at| (f64::from(at), i64::from(at % 977)))
        .collect();
    let Some(browser) = opened("large", &page) else {
        return;
    };
    let count = browser.run("return document.querySelectorAll('*').length");
    assert!(
        count.as_u64().is_some_and(|count| count < 10_000),
        "{count}"
    );
    // handle_request has 20,004 callees: four can be seen, the rest are one box.
    let rest = browser.run("return document.querySelector('.narrow').title");
    assert_eq!(rest, "20,000 more, too narrow to be drawn");
    browser.picture("html-large");
    assert_eq!(browser.text("#further"), "Show 1,000 more of 5,000");
    browser.click("//*[@id='further']");
    browser.wait_for("document.querySelectorAll('tr.site').length === 1100");
    assert_no_complaint(&browser);
}
