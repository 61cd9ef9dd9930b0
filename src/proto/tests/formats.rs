//! Tables over printf and scanf formats.

use crate::proto::{format, scan};

const STRING: &str = "string(array(char, zero)*)";

#[track_caller]
fn check(format: &str, types: &[&str]) {
    let found = format::arguments(format.as_bytes(), 3);
    let found: Vec<String> = found.iter().map(|ty| ty.to_string()).collect();
    assert_eq!(found, types, "{format}");
}

#[test]
fn conversions() {
    check("", &[]);
    check("no %% at all%m", &[]);
    check("%d %i %u", &["int", "int", "uint"]);
    check("%x%X%o", &["hex(uint)", "hex(uint)", "octal(uint)"]);
    check("%s %p %n", &[STRING, "void*", "void*"]);
    check("%c %lc %C", &["char(uint8)", "char(int)", "char(int)"]);
    check("%ls%S", &["string(array(char(int), zero)*)"; 2]);
    check("%f%e%g%a%F%E%G%A", &["double"; 8]);
    check("%Lf %LG", &["ldouble", "ldouble"]);
    check("100%", &[]);
    check("%", &[]);
    check("%d %!", &["int"]);
}

#[test]
fn sizes() {
    check("%hhd%hhu%hd%hu", &["char", "uint8", "short", "ushort"]);
    check("%ld%lu%lx", &["long", "ulong", "hex(ulong)"]);
    check("%lld%qd%jd", &["int64"; 3]);
    check("%zu%td%Zx", &["ulong", "long", "hex(ulong)"]);
    check("%llo", &["octal(uint64)"]);
}

#[test]
fn widths_and_precisions() {
    check(
        "%-5d|%05d|%+d|% d|%#x|%'d",
        &["int", "int", "int", "int", "hex(uint)", "int"],
    );
    check("%5.3s", &["string(array(char, zero(3))*)"]);
    check("%.s", &["string(array(char, zero(0))*)"]);
    check("%10s", &[STRING]);
    check("%*d", &["int", "int"]);
    check("%.*s", &["int", "string(array(char, zero(arg3))*)"]);
    check(
        "%d %*.*s",
        &["int", "int", "int", "string(array(char, zero(arg5))*)"],
    );
    check("%.*f", &["int", "double"]);
    check("%99999999999999999999999d", &["int"]);
}

#[test]
fn positions() {
    check("%2$s %1$d", &["int", STRING]);
    check("%1$d %1$x", &["int"]);
    check("%3$s", &["int", "int", STRING]);
    check("%1$*2$d", &["int", "int"]);
    check("%2$.*1$s", &["int", "string(array(char, zero(arg3))*)"]);
    check("%0$d", &[]);
    check("%999999$d", &[]);
    check(&"%d".repeat(1000), &["int"; 64]);
}

#[track_caller]
fn check_scan(format: &str, types: &[&str]) {
    let found = scan::arguments(format.as_bytes());
    let shown = |stored: &scan::Stored| {
        let mark = if stored.counted { "" } else { "uncounted " };
        format!("{mark}{}", stored.ty)
    };
    assert_eq!(
        found.iter().map(shown).collect::<Vec<_>>(),
        types,
        "{format}"
    );
}

#[test]
fn scanning() {
    check_scan(
        "%d %u %x%n",
        &["int*", "uint*", "hex(uint)*", "uncounted int*"],
    );
    check_scan("%hd%ld%lld%hhu", &["short*", "long*", "int64*", "uint8*"]);
    check_scan("%f%lf%Lf", &["float*", "double*", "ldouble*"]);
    check_scan(
        "%10s%*d%c%3c",
        &[STRING, "string(array(char, 1)*)", "string(array(char, 3)*)"],
    );
    check_scan("%[a-z]%[^]x]%[]%d]%d", &[STRING, STRING, STRING, "int*"]);
    check_scan("%ms %p", &["string(array(char, zero)*)*", "void**"]);
    check_scan("%ls %%", &["string(array(char(int), zero)*)"]);
    check_scan("%[", &[STRING]);
    check_scan("%", &[]);
    check_scan("%d %!", &["int*"]);
}
