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
