//! Files that others name: debug links, paths of modules, perf maps. A named file may hold anything
//! there, and may change it at any time; so none is opened but through [`open`].

use super::mapped::Mapped;
use super::patience;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open as openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

/// The largest debug files that builds make have some gigabytes. A sparse file of terabytes costs
/// nothing to make, but much to read.
const MOST: u64 = 16 << 30;

/// Opens a file for reading, if it is a regular one of at most 16 GiB. Anything else is not even opened: a
/// FIFO would have us wait for a writer, and a device may act on it. A file that another process holds a lease on is
/// not waited for either (fcntl(2), "F_SETLEASE"), and a server that does not answer not for long.
pub fn open(path: &Path) -> io::Result<File> {
    let wanted = path.to_owned();
    patience::within(path, move || {
        let found = openat(&wanted, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        reopen(&found.into(), || nonblocking(&wanted))
    })
}

/// Opens a file for reading that is known by an O_PATH descriptor, on the terms of [`open`]; in another way when
/// /proc does not show our descriptors.
pub(super) fn reopen(found: &File, otherwise: impl Fn() -> nix::Result<File>) -> io::Result<File> {
    check(&found.metadata()?)?;
    // The very file that was looked at, whatever the path leads to by now (proc_pid_fd(5)).
    let same = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = match nonblocking(Path::new(&same)) {
        // The /proc that is mounted is that of other processes.
        Err(Errno::ENOENT) => otherwise()?,
        other => other?,
    };
    check(&file.metadata()?)?;
    // A server may tell names and no more.
    file.read_at(&mut [0], 0)?;
    Ok(file)
}

pub(super) fn nonblocking(path: &Path) -> nix::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(path, flags, Mode::empty()).map(File::from)
}

fn check(found: &Metadata) -> io::Result<()> {
    if !found.is_file() {
        let kind = kind(found.file_type());
        return Err(io::Error::other(format!("it is a {kind}, not a file")));
    }
    match found.len() > MOST {
        true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
        false => Ok(()),
    }
}

fn kind(file: FileType) -> &'static str {
    match file {
        _ if file.is_dir() => "directory",
        _ if file.is_fifo() => "FIFO",
        _ if file.is_socket() => "socket",
        _ if file.is_symlink() => "symbolic link",
        _ => "device",
    }
}

/// The content of a file that [`open`] gave, but no more than `most` bytes. Files of no size, such as those of
/// /proc, have no content here: some of them have no end.
pub fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len().min(most);
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same of a part of the file, as far as there is such.
pub fn read_part(file: &File, part: Range<u64>) -> io::Result<Vec<u8>> {
    let end = file.metadata()?.len().min(part.end);
    let mut bytes = vec![0; end.saturating_sub(part.start) as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], part.start + done as u64)? {
            0 => break,
            more => done += more,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Maps a whole file for reading. An empty file gives an empty mapping.
pub fn map(file: &File) -> io::Result<Mapped> {
    Mapped::new(file)
}

/// A file of no directory, to be filled (memfd_create(2)).
pub fn anonymous() -> io::Result<File> {
    let fd = memfd_create(c"module", MFdFlags::MFD_CLOEXEC)?;
    Ok(File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::{MOST, open, read};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::{Path, PathBuf};

    /// An empty directory for one test.
    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ltrace-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[track_caller]
    fn refused(path: &Path, why: &str) {
        let error = open(path).expect_err("a file that is not opened");
        assert!(
            error.to_string().contains(why),
            "{}: {error}",
            path.display()
        );
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = directory("opened");
        let at = |name: &str| dir.join(name);
        fs::write(at("file"), "text").unwrap();
        assert_eq!(read(&open(&at("file")).unwrap(), 3).unwrap(), b"tex");
        symlink("file", at("link")).unwrap();
        assert!(open(&at("link")).is_ok());
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        refused(&at("fifo"), "a FIFO, not a file");
        symlink("fifo", at("to-fifo")).unwrap();
        refused(&at("to-fifo"), "a FIFO, not a file");
        let _socket = UnixListener::bind(at("socket")).unwrap();
        refused(&at("socket"), "a socket");
        symlink("loop", at("loop")).unwrap();
        refused(&at("loop"), "oo many");
        refused(&dir, "a directory");
        refused(Path::new("/dev/zero"), "a device");
        refused(Path::new("/dev/tty"), "a device");
        refused(&at("none"), "No such file");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn files_are_bounded() {
        let dir = directory("bounded");
        let sparse = dir.join("sparse");
        File::create(&sparse).unwrap().set_len(MOST + 1).unwrap();
        refused(&sparse, "too large");
        let endless = open(Path::new("/proc/self/maps")).unwrap();
        assert_eq!(read(&endless, 100).unwrap(), b"");
        fs::remove_dir_all(&dir).unwrap();
    }
}
