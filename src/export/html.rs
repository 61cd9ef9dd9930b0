//! One self-contained page to look at: a time line, a flame graph, and the table of sites. It loads
//! nothing, and forbids itself to. The data stands in it as JSON.

use super::{Frame, Page, Profile, Series, SiteRow};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};

const PAGE: &str = include_str!("html/page.html");
/// What all pages begin and end with.
const HEAD: &str = include_str!("html/head.html");
const FOOT: &str = include_str!("html/foot.html");
/// Colours and what pages have in common.
pub(super) const SHARED_STYLE: &str = include_str!("html/page.css");
/// In the order in which they stand in the page.
const SCRIPTS: [&str; 5] = [
    include_str!("html/format.js"),
    include_str!("html/timeline.js"),
    include_str!("html/flame.js"),
    include_str!("html/sites.js"),
    include_str!("html/page.js"),
];

/// Writes the page.
pub fn write(page: &Page, out: &mut dyn Write) -> io::Result<()> {
    fill(PAGE, out, |name, out| match name {
        "title" => out.write_all(escaped(&page.title).as_bytes()),
        "style" => out.write_all(SHARED_STYLE.as_bytes()),
        "script" => out.write_all(SCRIPTS.concat().as_bytes()),
        _ => out.write_all(data(page)?.as_bytes()),
    })
}

/// Writes a page around this body, and what the places of its template are filled with.
pub(super) fn fill(
    body: &str,
    out: &mut dyn Write,
    mut filled: impl FnMut(&str, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    for mut rest in [HEAD, body, FOOT] {
        while let Some((before, name, after)) = next_place(rest) {
            out.write_all(before.as_bytes())?;
            filled(name, out)?;
            rest = after;
        }
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}

/// What a script reads, as JSON that no name in it can break out of: within a script element only `<`
/// begins anything (HTML standard, 4.12.1.3).
pub(super) fn script(data: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(data)?.replace('<', "\\u003c"))
}

/// What stands before the next `{{name}}` of the template, that name, and what stands behind.
fn next_place(template: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = template.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// Text between tags.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The page's content.
fn data(page: &Page) -> io::Result<String> {
    let mut frames = Frames::default();
    let data = Data {
        title: &page.title,
        facts: &page.facts,
        total: &page.total,
        tops: &page.tops,
        sites: page
            .sites
            .iter()
            .map(|row| site(row, &mut frames))
            .collect(),
        flame: flame(&page.flame, &mut frames),
        before: page
            .before
            .as_ref()
            .map(|before| flame(before, &mut frames)),
        frames: frames.all,
    };
    script(&data)
}

/// What `page.js` reads.
#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    facts: &'a [(String, String)],
    total: &'a Series,
    tops: &'a [Series],
    sites: Vec<Site<'a>>,
    flame: Flame<'a>,
    before: Option<Flame<'a>>,
    /// What stacks refer to by number.
    frames: Vec<Code<'a>>,
}

#[derive(Serialize)]
struct Site<'a> {
    verdict: &'a str,
    bytes: u64,
    blocks: u64,
    allocated: u64,
    freed: u64,
    rate: Option<f64>,
    age: Option<(f64, f64)>,
    grown: Option<(i64, i64)>,
    stack: Vec<usize>,
    called: usize,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Flame<'a> {
    name: &'a str,
    unit: &'a str,
    /// Stacks, innermost first, and their values.
    samples: Vec<(Vec<usize>, i64)>,
}

#[derive(Serialize, PartialEq, Eq, Hash, Clone)]
struct Code<'a> {
    name: Cow<'a, str>,
    file: Option<&'a str>,
    line: Option<u32>,
    inlined: bool,
    module: Option<&'a str>,
}

/// Frames, each once.
#[derive(Default)]
struct Frames<'a> {
    all: Vec<Code<'a>>,
    known: HashMap<Code<'a>, usize>,
}

impl<'a> Frames<'a> {
    fn stack(&mut self, frames: &'a [Frame]) -> Vec<usize> {
        frames.iter().map(|frame| self.number(frame)).collect()
    }

    fn number(&mut self, frame: &'a Frame) -> usize {
        let code = Code {
            name: frame.name(),
            file: frame.file.as_deref(),
            line: frame.line,
            inlined: frame.inlined,
            module: frame.module.as_deref(),
        };
        let all = &mut self.all;
        *self.known.entry(code).or_insert_with_key(|code| {
            all.push(code.clone());
            all.len() - 1
        })
    }
}

fn site<'a>(row: &'a SiteRow, frames: &mut Frames<'a>) -> Site<'a> {
    Site {
        verdict: &row.verdict,
        bytes: row.bytes,
        blocks: row.blocks,
        allocated: row.allocated,
        freed: row.freed,
        rate: row.rate,
        age: row.age,
        grown: row.grown,
        stack: frames.stack(&row.stack),
        called: row.called,
        notes: &row.notes,
    }
}

fn flame<'a>(profile: &'a Profile, frames: &mut Frames<'a>) -> Flame<'a> {
    let kind = profile.kinds.last();
    let samples = profile.samples.iter();
    Flame {
        name: kind.map_or("", |kind| &kind.name),
        unit: kind.map_or("", |kind| &kind.unit),
        samples: samples
            .map(|sample| (frames.stack(&sample.frames), profile.shown(sample)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{frame, heap};
    use super::*;
    use crate::export::Sample;

    /// A page full of what could break out of its place.
    fn hostile() -> Page {
        let name = "</script><script>alert(1)</script><!--{{data}} &amp; \"'\u{2028}";
        let mut flame = heap();
        flame.samples = vec![Sample {
            frames: vec![frame(name), frame("main"), frame("main")],
            values: vec![1, 32],
            labels: Vec::new(),
        }];
        Page {
            title: name.to_owned(),
            facts: vec![(name.to_owned(), name.to_owned())],
            sites: vec![SiteRow {
                stack: vec![frame(name)],
                rate: Some(f64::NAN),
                ..SiteRow::default()
            }],
            flame,
            ..Page::default()
        }
    }

    fn text(page: &Page) -> String {
        let mut out = Vec::new();
        write(page, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn names_stay_in_their_place() {
        let page = text(&hostile());
        let empty = text(&Page::default());
        for tag in ["<script", "</script", "<!--"] {
            assert_eq!(
                page.matches(tag).count(),
                empty.matches(tag).count(),
                "{tag}"
            );
        }
    }

    #[test]
    fn names_are_no_places_of_the_template() {
        // In the title, the heading and the data: title, fact, frame.
        assert_eq!(text(&hostile()).matches("{{data}}").count(), 6);
    }

    #[test]
    fn data_is_all_there() {
        let page = hostile();
        let data = data(&page).expect("JSON");
        let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(data["title"], page.title.as_str());
        assert_eq!(data["frames"][0]["name"], page.title.as_str());
        assert_eq!(data["frames"].as_array().map(Vec::len), Some(2));
        assert_eq!(data["sites"][0]["stack"], serde_json::json!([0]));
        assert_eq!(
            data["flame"]["samples"],
            serde_json::json!([[[0, 1, 1], 32]])
        );
        assert!(data["before"].is_null());
    }

    #[test]
    fn nothing_is_loaded() {
        let page = text(&Page::default());
        assert!(page.contains("default-src 'none'"));
        // A name, not an address.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for way in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(way), "{way}");
        }
    }
}
