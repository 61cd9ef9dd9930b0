//! Folded stacks, a line for each: `outermost;…;innermost value`. flamegraph.pl, inferno and speedscope
//! read them.

use super::Profile;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes the profile's last kind of value by stack, in the order of the names.
pub fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let mut values = BTreeMap::<String, i64>::new();
    for sample in &profile.samples {
        let value = values.entry(line(profile, sample)).or_default();
        *value = value.saturating_add(profile.shown(sample));
    }
    // Those who read this take numbers without a sign.
    for (stack, value) in values.iter().filter(|(_, value)| **value > 0) {
        writeln!(out, "{stack} {value}")?;
    }
    Ok(())
}

fn line(profile: &Profile, sample: &super::Sample) -> String {
    if sample.frames.is_empty() {
        return profile
            .program
            .as_deref()
            .map_or_else(|| "[unknown]".to_owned(), escaped);
    }
    let names = sample.frames.iter().rev();
    let names: Vec<String> = names.map(|frame| escaped(&frame.name())).collect();
    names.join(";")
}

/// A name without what separates frames and lines. Single blanks stay: the value stands behind the last.
fn escaped(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| word.replace(';', ":"))
        .collect();
    if words.is_empty() {
        return "[unknown]".to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::sample::{frame, heap};
    use super::*;
    use crate::export::Sample;

    fn check(samples: &[(&[&str], i64)], expected: &str) {
        let mut profile = heap();
        profile.samples = samples
            .iter()
            .map(|(names, bytes)| Sample {
                frames: names.iter().map(|name| frame(name)).collect(),
                values: vec![1, *bytes],
                labels: Vec::new(),
            })
            .collect();
        let mut out = Vec::new();
        write(&profile, &mut out).expect("a vector takes all");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn lines() {
        check(&[], "");
        check(&[(&["malloc", "f", "main"], 32)], "main;f;malloc 32\n");
        // Outermost first, equal stacks together, in the order of the names.
        check(
            &[
                (&["g", "main"], 1),
                (&["f", "main"], 2),
                (&["g", "main"], 3),
            ],
            "main;f 2\nmain;g 4\n",
        );
        // What is gone is not shown, and nothing below it.
        check(&[(&["f"], 0), (&["g"], -5)], "");
        // Values beyond all bounds stay in them.
        check(
            &[(&["f"], i64::MAX), (&["f"], 1)],
            "f 9223372036854775807\n",
        );
    }

    #[test]
    fn names() {
        check(
            &[(&["operator new(unsigned long)", "a;b"], 1)],
            "a:b;operator new(unsigned long) 1\n",
        );
        check(
            &[(&["two\nlines\t\tand  blanks", "\u{1b}[31m"], 1)],
            "[31m;two lines and blanks 1\n",
        );
        check(&[(&["\n"], 1)], "[unknown] 1\n");
        check(&[(&[], 1)], "[unknown] 1\n");
        // Without a name, where its code is.
        check(&[(&[""], 1)], "server+0x1000 1\n");
    }
}
