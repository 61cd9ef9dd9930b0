//! What stands behind options: numbers, files, filters.

use crate::config::Variable;
use crate::plan::filter::{Filter, sets};
use crate::plan::{near, system_calls as known};
use crate::sink::debug::{Topic, Topics};
use crate::sink::output::Destination;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A filter of system calls, which means at least one.
pub(super) fn system_calls(text: &str) -> Result<Filter, String> {
    let filter = Filter::parse(text).map_err(|error| error.to_string())?;
    if known::any_meant(&filter) {
        return Ok(filter);
    }
    let spelt = filter.spelt().find_map(|(name, _)| name);
    let near = spelt.map_or_else(Vec::new, |name| near::nearest(name, known::names()));
    Err(match near.as_slice() {
        [] => format!("'{text}' means no system call"),
        [nearest, ..] => format!("'{text}' means no system call; the nearest is {nearest}"),
    })
}

pub(super) fn each<T, E: std::fmt::Display>(
    option: &str,
    texts: &[String],
    parse: fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    let one = |text: &String| parse(text).map_err(|error| format!("ltrace: {option}: {error}"));
    texts.iter().map(one).collect()
}

pub(super) fn number(
    option: &str,
    text: Option<&str>,
    allowed: RangeInclusive<usize>,
) -> Result<Option<usize>, String> {
    let Some(text) = text else { return Ok(None) };
    // As many as there may be; so large a number means no other.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().unwrap_or(usize::MAX));
    let number = number.filter(|number| allowed.contains(number));
    let range = || match *allowed.end() {
        usize::MAX => format!(">={}", allowed.start()),
        end => format!("{}..{end}", allowed.start()),
    };
    let wrong = || {
        format!(
            "Invalid argument to {option}: '{text}'.  Use integer {}.",
            range()
        )
    };
    number.map(Some).ok_or_else(wrong)
}

pub(super) fn destination(text: Option<&OsStr>) -> Result<Destination, String> {
    let Some(text) = text else {
        return Ok(Destination::Stderr);
    };
    match text.as_bytes() {
        b"" => Err("ltrace: a file is missing after -o".to_owned()),
        b"-" => Err(
            "ltrace: -o -: standard output is -o /dev/stdout, a file of that name -o ./-"
                .to_owned(),
        ),
        [b'|', command @ ..] if command.trim_ascii().is_empty() => {
            Err("ltrace: a command is missing after -o '|".to_owned() + "'")
        }
        [b'|', command @ ..] => Ok(Destination::Pipe(OsStr::from_bytes(command).to_owned())),
        _ => Ok(Destination::File(text.into())),
    }
}

pub(super) fn paths(list: &OsStr) -> impl Iterator<Item = PathBuf> {
    let parts = list
        .as_bytes()
        .split(|&b| b == b':')
        .filter(|part| !part.is_empty());
    parts.map(|part| PathBuf::from(OsStr::from_bytes(part)))
}

/// `127.0.0.1:9000`, `[::1]:9000`, or a port of this machine alone: `:9000`, `9000`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .or_else(|_| text.replace("localhost:", "127.0.0.1:").parse())
        .map_err(|_| {
            format!("ltrace: --serve: `{text}' is no address and port, such as 127.0.0.1:9000")
        })
}

/// `VAR=VALUE` sets a variable, `VAR` takes it out.
pub(super) fn variable(text: &OsString) -> Result<Variable, String> {
    let bytes = text.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    if name.is_empty() {
        return Err(format!(
            "Invalid argument to -E: '{}'.  Use VAR=VALUE, or VAR alone to take it out.",
            text.to_string_lossy()
        ));
    }
    let owned = |bytes| OsStr::from_bytes(bytes).to_owned();
    Ok(Variable {
        name: owned(name),
        value: value.map(owned),
    })
}

/// An octal mask, or names with commas between them.
pub(super) fn topics(text: &str) -> Result<Topics, String> {
    if let Ok(mask) = u32::from_str_radix(text, 8) {
        return Ok(Topics(mask));
    }
    let mut mask = 0;
    for word in text.split(',') {
        let (topic, ..) = Topic::ALL
            .into_iter()
            .find(|(_, name, _)| *name == word)
            .ok_or_else(|| {
                format!("ltrace: --debug requires an octal argument, or names: '{word}' is neither; -Dh lists them")
            })?;
        mask |= topic as u32;
    }
    Ok(Topics(mask))
}

/// What can stand behind `--debug`.
pub(super) fn topics_help() -> String {
    let mut help =
        "--debug MASK and -D MASK tell what ltrace does, on standard error.\n\n".to_owned();
    for (topic, name, meaning) in Topic::ALL {
        help += &format!("{:>5o}  {name:10} {meaning}\n", topic as u32);
    }
    help + "\nMASK is the sum, in octal, or names with commas between them. Lines and meanings change.\n"
}

/// The named sets of functions.
pub(super) fn list_of_filters() -> String {
    let line = |(name, count): (String, usize)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("%{name:10} {count:5} function{plural}\n")
    };
    sets::list().into_iter().map(line).collect()
}
