//! One self-contained page of a trace: a time line of threads with their calls, a flame graph, and a table of functions. It
//! loads nothing, and forbids itself to. Calls stand in it as columns of numbers, compressed.

use super::html::{SHARED_STYLE, escaped, fill, script};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::io::{self, Write};

const PAGE: &str = include_str!("html/trace.html");
const STYLE: &str = include_str!("html/trace.css");
/// In the order in which they stand in the page.
const SCRIPTS: [&str; 6] = [
    include_str!("html/format.js"),
    include_str!("html/flame.js"),
    include_str!("html/calls.js"),
    include_str!("html/tracks.js"),
    include_str!("html/functions.js"),
    include_str!("html/trace.js"),
];

/// All calls of a trace, in the order in which they began. The columns are of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// When each began, in nanoseconds from the trace's beginning.
    pub start: Vec<f64>,
    /// How long it took, in nanoseconds.
    pub duration: Vec<f64>,
    /// Its function, by number.
    pub function: Vec<u32>,
    /// Its thread, by number.
    pub thread: Vec<u32>,
    /// Its arguments, by the number of their text.
    pub args: Vec<u32>,
    /// Its result, likewise.
    pub result: Vec<u32>,
    /// How many calls were open around it.
    pub depth: Vec<u8>,
    /// [`FAILED`], [`OPEN`], [`LOST`].
    pub flags: Vec<u8>,
}

/// The call failed.
pub const FAILED: u8 = 1;
/// It has not ended.
pub const OPEN: u8 = 2;
/// It will not come back.
pub const LOST: u8 = 4;

/// What a page of a trace shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracePage {
    /// Its heading.
    pub title: String,
    /// What holds for all of it, as `("calls", "12")`.
    pub facts: Vec<(String, String)>,
    /// What threads are called.
    pub threads: Vec<String>,
    /// Names of functions, and of their modules.
    pub functions: Vec<(String, String)>,
    /// Signals and the like: when, in which thread, and what.
    pub instants: Vec<(f64, u32, String)>,
    /// Texts of arguments and results.
    pub texts: Vec<String>,
    /// The calls.
    pub calls: Calls,
    /// How long the trace took, in nanoseconds.
    pub span: f64,
}

/// What `trace.js` reads first.
#[derive(Serialize)]
struct Head<'a> {
    facts: &'a [(String, String)],
    threads: &'a [String],
    functions: &'a [(String, String)],
    instants: &'a [(f64, u32, String)],
    calls: usize,
    span: f64,
}

/// Writes the page.
pub fn write(page: &TracePage, out: &mut dyn Write) -> io::Result<()> {
    let head = Head {
        facts: &page.facts,
        threads: &page.threads,
        functions: &page.functions,
        instants: &page.instants,
        calls: page.calls.start.len(),
        span: page.span,
    };
    fill(PAGE, out, |name, out| match name {
        "title" => out.write_all(escaped(&page.title).as_bytes()),
        "style" => out.write_all([SHARED_STYLE, STYLE].concat().as_bytes()),
        "script" => out.write_all(SCRIPTS.concat().as_bytes()),
        "head" => out.write_all(script(&head)?.as_bytes()),
        _ => out.write_all(&base64(&columns(page)?)),
    })
}

/// The columns, and behind them the texts as JSON, compressed. All of it is read on machines that store numbers as we do:
/// those with the lowest byte first.
fn columns(page: &TracePage) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let Calls {
        start,
        duration,
        function,
        thread,
        args,
        result,
        depth,
        flags,
    } = &page.calls;
    for column in [start, duration] {
        let bytes: Vec<u8> = column
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        gzip.write_all(&bytes)?;
    }
    for column in [function, thread, args, result] {
        let bytes: Vec<u8> = column
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        gzip.write_all(&bytes)?;
    }
    gzip.write_all(depth)?;
    gzip.write_all(flags)?;
    serde_json::to_writer(&mut gzip, &page.texts)?;
    gzip.finish()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let at = |index: usize| u32::from(part.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let digits = [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize]);
        out.extend_from_slice(&digits[..part.len() + 1]);
        out.extend(std::iter::repeat_n(b'=', 3 - part.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        let check = |bytes: &[u8], text: &str| assert_eq!(base64(bytes), text.as_bytes());
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(b"\xff\xfe\xfdx", "//79eA==");
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let page = TracePage {
            title: "<script>".to_owned(),
            threads: vec!["</script><b>".to_owned()],
            ..TracePage::default()
        };
        let mut bytes = Vec::new();
        write(&page, &mut bytes).expect("written");
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("<title>&lt;script&gt;</title>"));
        assert!(text.contains("\\u003c/script>\\u003cb>") && !text.contains("</script><b>"));
        assert_eq!(text.matches("<script").count(), 3);
    }
}
