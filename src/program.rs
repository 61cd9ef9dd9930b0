//! The command to start: found as a shell finds it, and looked at before it runs.

mod reasons;

use crate::base::message;
use crate::config::{Launch, Variable};
use crate::elf;
use crate::error::Error;
use crate::sys::spawn::Command;
use crate::sys::{self, interrupt};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, User, access};
use std::ffi::{CString, OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Where commands are looked for without a `PATH` (execvp(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Finds the command, and makes sure that it is something this machine runs and we can trace.
pub fn command(launch: &Launch) -> Result<Command, Error> {
    let file = find(&launch.command, std::env::var_os("PATH"))
        .map_err(|errno| Error::cannot_start(launch, reasons::not_found(&launch.command, errno)))?;
    inspect(&file).map_err(|why| Error::cannot_start(launch, why))?;
    let user = launch.user.as_deref().map(user).transpose()?;
    let words = std::iter::once(&launch.command).chain(&launch.args);
    let nul = |_| Error::cannot_start(launch, "an argument contains a NUL byte");
    let text = |word: &OsString| CString::new(word.as_bytes());
    let variable = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    Ok(Command {
        file: CString::new(file.into_os_string().into_vec()).map_err(nul)?,
        args: words.map(text).collect::<Result<_, _>>().map_err(nul)?,
        env: environment(std::env::vars_os(), &launch.env)
            .filter_map(variable)
            .collect(),
        ignored: interrupt::ignored(),
        user,
    })
}

/// The environment, with what `-E` changes in it.
fn environment(
    own: impl Iterator<Item = (OsString, OsString)>,
    changes: &[Variable],
) -> impl Iterator<Item = (OsString, OsString)> {
    let kept = own.filter(|(name, _)| changes.iter().all(|change| change.name != *name));
    let last = |index: usize, name: &OsStr| {
        let behind = &changes[index + 1..];
        behind.iter().all(|change| change.name != name)
    };
    let set = changes
        .iter()
        .enumerate()
        .filter_map(move |(index, change)| {
            let value = change.value.clone().filter(|_| last(index, &change.name));
            Some((change.name.clone(), value?))
        });
    kept.chain(set)
}

fn user(name: &str) -> Result<User, Error> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        _ => Err(Error::NoSuchUser(name.to_owned())),
    }
}

/// A name with a `/` is a path; others are looked up in `PATH`. A file that may not be executed is
/// passed over, but remembered as the reason (execvp(3)).
fn find(name: &OsStr, path: Option<OsString>) -> Result<PathBuf, Errno> {
    if name.as_bytes().contains(&b'/') {
        return executable(PathBuf::from(name));
    }
    let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
    let mut reason = Errno::ENOENT;
    for directory in std::env::split_paths(&path) {
        let directory = if directory.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            directory
        };
        match executable(directory.join(name)) {
            Ok(file) => return Ok(file),
            Err(Errno::EACCES) => reason = Errno::EACCES,
            Err(_) => {}
        }
    }
    Err(reason)
}

fn executable(file: PathBuf) -> Result<PathBuf, Errno> {
    if file.is_dir() {
        return Err(Errno::EISDIR);
    }
    access(&file, AccessFlags::X_OK)?;
    Ok(file)
}

/// An ELF file must be a program of this machine, and what it needs to begin with must be there. Anything else is
/// the kernel's and the shell's business.
fn inspect(file: &Path) -> Result<(), String> {
    // A file that may be executed but not read cannot be looked at; the kernel will judge it.
    let Ok(mut opened) = sys::file::open(file) else {
        return Ok(());
    };
    let mut head = Vec::new();
    let read = (&mut opened)
        .take(reasons::HEAD as u64)
        .read_to_end(&mut head);
    if read.is_err() || !head.starts_with(b"\x7fELF") {
        return reasons::script(&head).map_or(Ok(()), Err);
    }
    let bytes = sys::file::map(&opened).map_err(|e| message(&e))?;
    let image = elf::Image::parse(&bytes).map_err(|e| e.to_string())?;
    match image.architecture() {
        "x86-64" | "i386" => reasons::image(&image).map_or(Ok(()), Err),
        other => Err(format!("it is a program for {other}, not for x86-64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_environment() {
        let own = [("HOME", "/root"), ("A", "0"), ("B", "1")];
        let own = own.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let change = |name: &str, value: Option<&str>| Variable {
            name: name.into(),
            value: value.map(OsString::from),
        };
        let changes = [
            change("A", Some("2")),
            change("B", None),
            change("C", Some("3")),
            change("C", Some("4")),
            change("D", Some("5")),
            change("D", None),
        ];
        let env: Vec<_> = environment(own.into_iter(), &changes).collect();
        let expected = [("HOME", "/root"), ("A", "2"), ("C", "4")];
        assert_eq!(
            env,
            expected.map(|(name, value)| (name.into(), value.into()))
        );
    }
}
