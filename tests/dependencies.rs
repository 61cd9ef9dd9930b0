//! What the crate is built from: licences, sources, versions, and the oldest Rust that builds it, as
//! `cargo metadata` tells them. `deny.toml` says which licences are allowed.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every package of the lock file that is built for the targets of `deny.toml`, this one included.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]);
    for target in ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"] {
        cargo.args(["--filter-platform", target]);
    }
    let output = cargo.output().expect("cargo metadata");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or("")
}

/// The list `allow = [...]` of `deny.toml`.
fn allowed_licences() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let deny = std::fs::read_to_string(path).expect("deny.toml");
    let list = deny
        .split("\nallow = [")
        .nth(1)
        .expect("a list of licences");
    let list = list.split(']').next().expect("its end");
    let names = list.split(',').map(|name| name.trim().trim_matches('"'));
    names.map(str::to_owned).collect()
}

/// Whether a licence expression (SPDX; older packages write `/` for `OR`) can be met with the
/// allowed licences: one of each `OR`, all of each `AND`.
fn may_be_used(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|all| {
        let all = all.trim().trim_matches(['(', ')']);
        all.split(" OR ")
            .any(|one| allowed.iter().any(|name| name == one.trim()))
    })
}

/// Major and minor number of a version of Rust.
fn rust(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[test]
fn licence_expressions_are_read() {
    let allowed = ["MIT", "Unicode-3.0"].map(str::to_owned);
    let check = |text: &str, expected| assert_eq!(may_be_used(text, &allowed), expected, "{text}");
    check("MIT", true);
    check("GPL-3.0-only", false);
    check("Apache-2.0/MIT", true);
    check("Apache-2.0 OR BSD-2-Clause", false);
    check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
    check("MIT AND OpenSSL", false);
}

#[test]
fn licences_are_allowed() {
    let allowed = allowed_licences();
    assert!(allowed.len() > 3, "{allowed:?}");
    let mut wrong = Vec::new();
    for package in packages() {
        let licence = text(&package, "license");
        if !may_be_used(licence, &allowed) {
            wrong.push(format!("{}: {licence}", text(&package, "name")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn packages_come_from_crates_io() {
    for package in packages() {
        let (name, source) = (text(&package, "name"), text(&package, "source"));
        assert!(source == CRATES_IO || name == "ltrace", "{name}: {source}");
    }
}

/// `syn` is a part of macros only, and not of the program; `embedded-io` is for features of postcard that are off.
#[test]
fn no_package_is_built_twice() {
    let mut versions = BTreeMap::<String, Vec<String>>::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        let of_name = versions.entry(text(&package, "name").to_owned());
        of_name.or_default().push(version);
    }
    versions.retain(|name, versions| {
        versions.len() > 1 && !["syn", "embedded-io"].contains(&name.as_str())
    });
    assert!(versions.is_empty(), "{versions:?}");
}

#[test]
fn the_stated_rust_builds_every_package() {
    let packages = packages();
    let ours = packages.iter().find(|p| text(p, "name") == "ltrace");
    let stated = rust(text(ours.expect("this package"), "rust_version"));
    assert!(stated > (1, 0));
    for package in &packages {
        let needed = text(package, "rust_version");
        assert!(
            rust(needed) <= stated,
            "{}: {needed}",
            text(package, "name")
        );
    }
}
