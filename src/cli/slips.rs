//! What is said of a command line that clap does not take: as getopt(3) says it, and with what was meant where
//! that can be told. Many options are those of strace, uftrace or an older ltrace.

use super::Stop;
use super::args::Args;
use super::foreign::answer;
use crate::plan::near;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What to say of clap's error.
pub(super) fn stop(error: clap::Error) -> Stop {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => name.as_str(),
        _ => "",
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Told(error),
        ErrorKind::UnknownArgument => Stop::Usage(unknown(named(ContextKind::InvalidArg))),
        ErrorKind::InvalidValue if named(ContextKind::InvalidValue).is_empty() => {
            Stop::Usage(format!(
                "ltrace: an argument is missing after {}",
                named(ContextKind::InvalidArg)
            ))
        }
        ErrorKind::TooManyValues => Stop::Usage(format!(
            "ltrace: option '{}' takes no argument",
            named(ContextKind::InvalidArg)
        )),
        _ => {
            let text = error.to_string();
            let lines = text.lines().take_while(|line| !line.is_empty());
            let lines: Vec<&str> = lines
                .map(|line| line.trim_start_matches("error: ").trim())
                .collect();
            Stop::Usage(format!("ltrace: {}", lines.join(" ")))
        }
    }
}

fn unknown(option: &str) -> String {
    let Some(long) = option.strip_prefix("--") else {
        let letter = option.trim_start_matches('-');
        let told = format!("ltrace: invalid option -- '{letter}'");
        return with(told, answer(letter).unwrap_or_default());
    };
    let possible = beginning_with(long);
    if possible.len() > 1 {
        return format!(
            "ltrace: option '{option}' is ambiguous; possibilities: {}",
            possible.join(" ")
        );
    }
    let told = format!("ltrace: unrecognized option '{option}'");
    match answer(long) {
        Some(answer) => with(told, answer),
        None => match nearest(long).as_slice() {
            [] => told,
            [one, ..] => with(told, &format!("the nearest is --{one}")),
        },
    }
}

fn with(told: String, answer: &str) -> String {
    match answer {
        "" => told,
        answer => format!("{told}; {answer}"),
    }
}

/// Our own long options that begin so.
fn beginning_with(start: &str) -> Vec<String> {
    let command = Args::command();
    let options = command.get_arguments().filter_map(|arg| arg.get_long());
    let options = options.filter(|long| long.starts_with(start));
    options.map(|long| format!("'--{long}'")).collect()
}

fn nearest(long: &str) -> Vec<String> {
    let command = Args::command();
    let options = command.get_arguments().filter_map(|arg| arg.get_long());
    near::nearest(long, options)
}
