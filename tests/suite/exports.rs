//! What a run writes for other programs: read back by them.

use crate::support::browser::Browser;
use crate::support::fixture::fixture;
use crate::support::program::{Program, Running};
use crate::support::{ltrace, scratch};
use libdd_profiling_protobuf::prost_impls::{Message, Profile};
use std::fs;
use std::io::Read;
use std::path::Path;

fn leaking() -> Option<Running> {
    let target = Program::new(fixture("leak_steadily")?).start();
    target.wait_for_stdout("ready");
    Some(target)
}

/// Watches the target for a while, and writes these files in the directory.
#[track_caller]
fn watch(target: &Running, dir: &Path, files: &[&str]) {
    let pid = target.pid().to_string();
    let words = ["--leaks", "--for", "2s", "--older", "100ms", "-p", &pid];
    ltrace(words).args(files).dir(dir).finish().exits(0);
}

#[test]
fn folded_stacks_and_profiles() {
    let Some(target) = leaking() else { return };
    let dir = scratch("exports");
    let files = ["--folded", "a.folded", "--pprof", "a.pb.gz"];
    watch(&target, &dir, &files);
    let folded = fs::read_to_string(dir.join("a.folded")).unwrap();
    let line = folded
        .lines()
        .find(|line| line.contains(";main;turn;lose;"));
    let line = line.unwrap_or_else(|| panic!("{folded}"));
    let bytes: i64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(bytes > 0 && bytes % 32 == 0, "{line}");

    let packed = fs::read(dir.join("a.pb.gz")).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    let profile = Profile::decode(plain.as_slice()).unwrap();
    let text = |at: i64| profile.string_table[at as usize].as_str();
    let kinds: Vec<&str> = profile
        .sample_types
        .iter()
        .map(|kind| text(kind.r#type))
        .collect();
    assert_eq!(
        kinds,
        [
            "alloc_objects",
            "alloc_space",
            "inuse_objects",
            "inuse_space"
        ]
    );
    let names = |sample: &libdd_profiling_protobuf::prost_impls::Sample| -> Vec<String> {
        let lines = sample.location_ids.iter().flat_map(|id| {
            let place = profile.locations.iter().find(|place| place.id == *id);
            place.expect("a location").lines.iter()
        });
        let function = |id| profile.functions.iter().find(|function| function.id == id);
        lines
            .map(|line| text(function(line.function_id).unwrap().name).to_owned())
            .collect()
    };
    let losing = profile
        .samples
        .iter()
        .find(|sample| names(sample).contains(&"lose".to_owned()));
    let losing = losing.expect("a sample of what is lost");
    assert_eq!(losing.values[3], bytes);
    assert_eq!(losing.values[2] * 32, bytes);
}

#[test]
fn pages_of_a_run_and_of_two() {
    let Some(target) = leaking() else { return };
    let dir = scratch("pages");
    watch(&target, &dir, &["--html", "one.html", "--save", "a.json"]);
    watch(&target, &dir, &["--older", "0s", "--save", "b.json"]);
    let diff = [
        "--leaks", "--diff", "a.json", "b.json", "--html", "two.html",
    ];
    ltrace(diff).dir(&dir).finish().exits(0);
    let Some(browser) = Browser::start("exports") else {
        return;
    };
    for (page, change) in [("one.html", false), ("two.html", true)] {
        browser.open(&dir.join(page));
        browser.wait_for("document.querySelector('#detail b')");
        assert_eq!(browser.text("h1"), "leaks: leak_steadily");
        browser.wait_for("document.querySelectorAll('#plot path.line').length >= 2");
        browser.wait_for(
            "[...document.querySelectorAll('.frame')].some((f) => f.textContent === 'lose')",
        );
        assert!(browser.text("tr.site").contains("lose"), "{page}");
        assert_eq!(browser.text("thead").contains("Change"), change, "{page}");
        browser.type_into("//*[@id='search']", "lose");
        browser.wait_for("document.getElementById('matched').textContent.startsWith('100 %')");
        browser.click("//*[contains(@class, 'frame') and text()='turn']");
        browser.wait_for("location.hash.includes('zoom')");
        browser.picture(&format!("export-{page}"));
        assert_eq!(browser.console(), [""; 0], "{page}");
    }
}
