//! Files and formats made at random: no panic, no endless depth, no endless size.

use super::EVERYTHING;
use crate::proto::parse::{Parsed, parse};
use crate::proto::{format, scan};

/// A small generator of numbers (xorshift64*), so that every run tries the same cases.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Parses, and spells out all that was understood; says how many functions that were.
fn try_text(bytes: &[u8]) -> usize {
    let (parsed, _) = parse("f.conf", &String::from_utf8_lossy(bytes));
    spell_out(&parsed)
}

fn spell_out(parsed: &Parsed) -> usize {
    let functions = parsed.functions.values();
    let spelt = functions.map(|function| super::shown(function));
    spelt.filter(|text| !text.is_empty()).count()
}

#[test]
fn every_prefix() {
    let lines: Vec<&str> = EVERYTHING.lines().collect();
    for line in &lines {
        for end in 0..=line.len() {
            let before = "typedef list = struct;\ntypedef list = struct(int, list*);\n";
            try_text(format!("{before}{}", &line[..end]).as_bytes());
        }
    }
    for end in (0..EVERYTHING.len()).step_by(7) {
        try_text(&EVERYTHING.as_bytes()[..end]);
    }
    assert_eq!(try_text(EVERYTHING.as_bytes()), 14);
}

/// One or two lines of the good file with a few bytes flipped, put in, taken out or doubled.
#[test]
fn damaged_lines() {
    let marks = b"()[],;*+=\"#/ 0179-azAZ\n\xff\x00";
    let lines: Vec<&str> = EVERYTHING.lines().collect();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut understood = 0;
    for _ in 0..100_000 {
        let mut text = lines[random.below(lines.len())].as_bytes().to_vec();
        if random.below(4) == 0 {
            text.push(b'\n');
            text.extend_from_slice(lines[random.below(lines.len())].as_bytes());
        }
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            match random.below(4) {
                0 if !text.is_empty() => text[at] ^= 1 << random.below(8),
                1 => text.insert(at, marks[random.below(marks.len())]),
                2 if !text.is_empty() => drop(text.remove(at)),
                _ => {
                    let piece = text[at..].to_vec();
                    text.extend(piece);
                }
            }
        }
        understood += try_text(&text);
    }
    assert!(
        understood > 10_000,
        "only {understood} lines were understood"
    );
}

#[test]
fn arbitrary_bytes() {
    let mut random = Random(0xfeed_f00d_dead_beef);
    for _ in 0..10_000 {
        let length = random.below(60);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        try_text(&bytes);
    }
}

#[test]
fn arbitrary_formats() {
    let signs = b"%%%%%%$*.0123459hlqjztLdiouxXscpnmfgeaSC[]^ -+#'I!";
    let mut random = Random(77);
    for _ in 0..50_000 {
        let length = random.below(24);
        let sign = |random: &mut Random| signs[random.below(signs.len())];
        let text: Vec<u8> = (0..length).map(|_| sign(&mut random)).collect();
        assert!(format::arguments(&text, 1).len() <= 64);
        assert!(scan::arguments(&text).len() <= 64);
    }
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let (_, complaints) = parse("f.conf", text);
    let found = complaints.iter().any(|c| c.message == message);
    assert!(found, "{:?}", complaints.first());
}

#[test]
fn depth_has_an_end() {
    let many = 200_000;
    refused(&format!("int{} f();", "*".repeat(many)), "too many '*'");
    refused(&"hex(".repeat(many), "nested too deep");
    refused(&"struct(".repeat(many), "nested too deep");
    refused(
        &format!("void f(string[{}", "zero(".repeat(many)),
        "expected a length: a number, argN, eltN, retval or zero",
    );
}

/// Each typedef doubles the one before: what they spell out together would have no end.
#[test]
fn size_has_an_end() {
    let doubled = |i| format!("typedef t{} = struct(t{i}, t{i});\n", i + 1);
    let text: String = (0..200).map(doubled).collect();
    let text = format!("typedef t0 = int;\n{text}");
    refused(&text, "the type is too large or too deep");
    let chained: String = (0..5000)
        .map(|i| format!("typedef t{} = t{i}*;\n", i + 1))
        .collect();
    refused(
        &format!("typedef t0 = int;\n{chained}"),
        "the type is too large or too deep",
    );
}

/// Announced structures may point to each other in one long chain, which is dropped in one go.
#[test]
fn announced_structures_have_an_end() {
    let announced = (0..2000).map(|i| format!("typedef t{i} = struct;\n"));
    let told = (0..2000).map(|i| format!("typedef t{i} = struct(t{}*, t{}*);\n", i + 1, i + 1));
    let text: String = announced.chain(told).collect();
    refused(&text, "more than 1000 structures announced");
    let by_value = (0..900).rev();
    let told = by_value.map(|i| format!("typedef t{i} = struct(t{}, t{});\n", i + 1, i + 1));
    let announced = (0..=900).map(|i| format!("typedef t{i} = struct;\n"));
    let text: String = announced
        .chain(["typedef t900 = struct(int);\n".into()])
        .chain(told)
        .collect();
    refused(&text, "the type is too large or too deep");
}
