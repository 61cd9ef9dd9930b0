//! Why a command cannot be started, as far as its file tells. The kernel has one number for many reasons
//! (execve(2)): "No such file or directory" may be that of an interpreter.

use crate::elf::{Image, Kind};
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How much of a file the kernel looks at for `#!` (BINPRM_BUF_SIZE in linux/binfmts.h).
pub(super) const HEAD: usize = 256;

/// Why no file could be found for a command, or none that may be executed.
pub(super) fn not_found(name: &OsStr, errno: Errno) -> String {
    let path = Path::new(name);
    let is_path = name.as_bytes().contains(&b'/');
    let first = name.as_bytes().split(|&b| b == b' ').next();
    let first = OsStr::from_bytes(first.unwrap_or_default());
    let is_number = name.as_bytes().iter().all(u8::is_ascii_digit);
    let shown = name.to_string_lossy();
    match errno {
        _ if name.is_empty() => "the word is empty".to_owned(),
        Errno::EACCES if is_path => not_executable(path),
        Errno::ENOENT if path.is_symlink() && is_path => {
            "it is a symbolic link to a file that does not exist".to_owned()
        }
        Errno::ENOENT if first.len() < name.len() && found(first) => {
            format!(
                "there is no such file; the command and its arguments are words of their own: ltrace {shown}"
            )
        }
        Errno::ENOENT if is_path => errno.desc().to_owned(),
        Errno::ENOENT if is_number => {
            format!("it is not in PATH; a running process is traced by -p {shown}")
        }
        Errno::ENOENT if path.is_file() => format!("it is not in PATH; here it is ./{shown}"),
        Errno::ENOENT if matches!(&*shown, "help" | "version") => {
            format!("it is not in PATH; ltrace's own is --{shown}")
        }
        Errno::ENOENT => match of_uftrace(&shown) {
            Some(ours) => format!("it is not in PATH, and no command of ltrace's; {ours}"),
            None => "it is not in PATH".to_owned(),
        },
        errno => errno.desc().to_owned(),
    }
}

/// What does the work of uftrace's commands.
fn of_uftrace(command: &str) -> Option<&'static str> {
    Some(match command {
        "record" => "--record FILE COMMAND keeps a trace",
        "replay" | "dump" | "script" => {
            "--replay FILE shows a trace, with --json FILE for programs"
        }
        "report" => "-c makes a table, --replay FILE -c one of what was recorded",
        "graph" | "tui" => "--tree shows calls as a graph, --html FILE as a page to look at",
        "live" => "without one, calls are shown as they are made",
        "recv" => "--serve ADDRESS:PORT serves figures and profiles by HTTP",
        _ => return None,
    })
}

fn found(name: &OsStr) -> bool {
    super::find(name, std::env::var_os("PATH")).is_ok()
}

/// The permission that is missing for a file.
fn not_executable(path: &Path) -> String {
    let Ok(metadata) = path.metadata() else {
        return "permission denied: a directory of its path may not be searched".to_owned();
    };
    let no_exec = statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC));
    if metadata.permissions().mode() & 0o111 == 0 {
        "permission denied: it is not executable (chmod +x)".to_owned()
    } else if no_exec {
        "permission denied: its file system is mounted noexec".to_owned()
    } else {
        "permission denied: this user may not execute it".to_owned()
    }
}

/// Why the kernel or the shell would not run a file that begins so, and is not an ELF file.
pub(super) fn script(head: &[u8]) -> Option<String> {
    let Some(line) = head.strip_prefix(b"#!") else {
        // What bash asks as well before it takes a file for a script.
        let first = head.split(|&b| b == b'\n').next().unwrap_or_default();
        return (first.contains(&0) && !has_other_formats())
            .then(|| format!("it is {}", foreign(head)));
    };
    let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let word = line.trim_ascii_start().split(|b| blank(b)).next();
    let interpreter = Path::new(OsStr::from_bytes(word.unwrap_or_default()));
    let name = interpreter.to_string_lossy();
    if name.is_empty() {
        return Some("its first line, #!, names no interpreter".to_owned());
    }
    if let Some(name) = name.strip_suffix('\r') {
        return Some(format!(
            "its lines end as those of Windows do: the interpreter is `{name}' and a carriage return"
        ));
    }
    match interpreter.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("its interpreter {name} does not exist"))
        }
        Ok(metadata) if metadata.is_dir() => Some(format!("its interpreter {name} is a directory")),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Some(format!("its interpreter {name} is not executable"))
        }
        _ => None,
    }
}

/// Files that are no program of Linux's, by their first bytes.
fn foreign(head: &[u8]) -> &'static str {
    match head {
        [b'M', b'Z', ..] => "a program for Windows",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "a program for macOS",
        [0xca, 0xfe, 0xba, 0xbe, ..] => "a Java class or a program for macOS",
        [b'P', b'K', 3, 4, ..] => "an archive",
        [0x1f, 0x8b, ..] => "compressed",
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => "a static library",
        _ => "neither a program nor a script",
    }
}

/// The kernel was told to run other formats as well (binfmt_misc), and will judge.
fn has_other_formats() -> bool {
    let formats = std::fs::read_dir("/proc/sys/fs/binfmt_misc");
    formats.is_ok_and(|formats| {
        let own = |name: &OsStr| name == "register" || name == "status";
        formats.flatten().any(|entry| !own(&entry.file_name()))
    })
}

/// Why an ELF file of this machine is no program that can be started.
pub(super) fn image(image: &Image) -> Option<String> {
    match &image.interpreter {
        _ if image.kind == Kind::Other => {
            Some("it is an object file or a core dump, not a program".to_owned())
        }
        None if image.entry.0 == 0 => Some("it is a library, not a program".to_owned()),
        Some(linker) if !Path::new(linker).exists() => Some(format!(
            "its dynamic linker {linker} does not exist{}",
            provider(linker)
        )),
        _ => None,
    }
}

/// Where Debian has it from.
fn provider(linker: &str) -> &'static str {
    match linker {
        "/lib/ld-linux.so.2" => "; for programs of 32 bits Debian has libc6-i386",
        "/lib/ld-musl-x86_64.so.1" => "; Debian has it in musl",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], told: Option<&str>) {
        assert_eq!(script(head).as_deref(), told);
    }

    #[test]
    fn first_lines() {
        check(b"", None);
        check(b"echo\n\0", None);
        check(b"#!/bin/sh", None);
        check(b"#! /bin/sh -e\necho", None);
        check(b"#!\t/bin/sh\t-e\n", None);
        check(b"#!\n", Some("its first line, #!, names no interpreter"));
        check(
            b"#!/no/such -x\n",
            Some("its interpreter /no/such does not exist"),
        );
        check(b"#!/ -x\n", Some("its interpreter / is a directory"));
        check(
            b"#!/etc/passwd\n",
            Some("its interpreter /etc/passwd is not executable"),
        );
        check(
            b"#!/bin/sh\r\n",
            Some(
                "its lines end as those of Windows do: the interpreter is `/bin/sh' and a carriage return",
            ),
        );
        assert_eq!(foreign(b"MZ\x90\0"), "a program for Windows");
    }
}
