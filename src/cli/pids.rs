//! The processes of `-p`: one number, or several as pgrep(1) prints them.

use super::args::Args;
use crate::base::Pid;
use std::ffi::OsString;
use std::path::Path;

/// The processes that the arguments of `-p` name, each once: numbers with commas or blanks between them.
pub(super) fn pids(texts: &[String]) -> Result<Vec<Pid>, String> {
    let mut found = Vec::new();
    for text in texts {
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let before = found.len();
        for word in words.filter(|word| !word.is_empty()) {
            found.push(pid(word)?);
        }
        if found.len() == before {
            return Err("ltrace: -p: no process is named (does one run?)".to_owned());
        }
    }
    let mut once = Vec::new();
    for pid in found {
        if !once.contains(&pid) {
            once.push(pid);
        }
    }
    Ok(once)
}

fn pid(word: &str) -> Result<Pid, String> {
    let why = match word.parse::<i32>() {
        Ok(pid) if pid >= 1 => return Ok(Pid(pid)),
        _ if word.bytes().all(|b| b.is_ascii_digit()) && !word.trim_matches('0').is_empty() => {
            "No process has so large a number.".to_owned()
        }
        _ if word.contains('/') && Path::new(word).is_file() => {
            format!("Use integer >=1, such as $(cat {word}) if that holds it.")
        }
        _ if word.starts_with('-') && !word[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            "A process is missing before it (does one run?)".to_owned()
        }
        _ if word.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            format!("Use integer >=1, such as $(pgrep -x {word}).")
        }
        _ => "Use integer >=1.".to_owned(),
    };
    Err(format!("Invalid argument to -p: '{word}'.  {why}"))
}

/// `-p 1 2 3`, as a shell makes it of `-p $(pgrep NAME)`: the same with a `-p` before each number, if a command
/// line begins its command with numbers and has a `-p`.
pub(super) fn spread(args: &Args, words: &[OsString]) -> Option<Vec<OsString>> {
    let is_number = |word: &&OsString| {
        let word = word.as_encoded_bytes();
        !word.is_empty() && word.iter().all(u8::is_ascii_digit)
    };
    let numbers = args.command.iter().take_while(is_number).count();
    let (options, command) = words.split_at(words.len().checked_sub(args.command.len())?);
    if args.attach.is_empty() || numbers == 0 || options.last()? == "--" {
        return None;
    }
    let (pids, rest) = command.split_at(numbers);
    let mut spread = options.to_vec();
    for pid in pids {
        spread.extend(["-p".into(), pid.clone()]);
    }
    spread.extend_from_slice(rest);
    Some(spread)
}
