//! The root directory of a process: paths that it names are looked for there, and lead nowhere else.

use super::{file, patience, proc};
use crate::base::Pid;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A root directory, held open: it stays there when the process has gone.
#[derive(Clone, Debug)]
pub struct Root {
    directory: Arc<File>,
    /// Where it is below ours, if it is there.
    seen: PathBuf,
}

/// What the last part of a path may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// A file, or a symbolic link to one.
    Any,
    /// A file itself.
    NoLink,
}

impl Root {
    /// The root of a process at this moment.
    pub fn of(pid: Pid) -> io::Result<Root> {
        let path = proc::path(pid, "root");
        let seen = fs::read_link(&path)?;
        Root::at(path.as_ref(), seen)
    }

    /// The same, if what it has at a path may be another file than what we have there.
    pub fn elsewhere(pid: Pid) -> Option<Root> {
        let mounts = |who: PathBuf| fs::read_link(who).ok();
        let (theirs, ours) = (Root::of(pid).ok()?, Root::ours().ok()?);
        let identity = |root: &Root| {
            root.directory
                .metadata()
                .ok()
                .map(|found| (found.dev(), found.ino()))
        };
        let same_mounts = mounts(proc::path(pid, "ns/mnt"))
            .is_some_and(|of| Some(of) == mounts("/proc/self/ns/mnt".into()));
        let same = same_mounts && identity(&theirs).is_some_and(|of| Some(of) == identity(&ours));
        (!same).then_some(theirs)
    }

    /// Our own.
    pub fn ours() -> io::Result<Root> {
        Root::at("/".as_ref(), "/".into())
    }

    fn at(path: &Path, seen: PathBuf) -> io::Result<Root> {
        let wanted = path.to_owned();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let open = move || Ok(nix::fcntl::open(&wanted, flags, Mode::empty())?);
        let directory = patience::within(path, open)?;
        Ok(Root {
            directory: Arc::new(directory.into()),
            seen,
        })
    }

    /// Opens a file below this root on the terms of [`file::open`]. Symbolic links and `..` are followed as the
    /// process would (openat2(2), since Linux 5.6). The path may be as the kernel tells it to us, from our root on
    /// (fs/d_path.c).
    pub fn open(&self, path: &Path, last: Last) -> io::Result<File> {
        let below = path.strip_prefix(&self.seen).unwrap_or(path);
        let (root, wanted) = (Arc::clone(&self.directory), below.to_owned());
        patience::within(path, move || open(&root, &wanted, last))
    }
}

fn open(root: &File, path: &Path, last: Last) -> io::Result<File> {
    let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    flags.set(OFlag::O_NOFOLLOW, last == Last::NoLink);
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(resolve);
    let below = path.strip_prefix("/").unwrap_or(path);
    let found = match openat2(root, path, how) {
        // An older kernel, or a sandbox that does not know the call: links lead where ours do.
        Err(Errno::ENOSYS | Errno::EPERM) => openat(root, below, flags, Mode::empty())?,
        other => other?,
    };
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let again = || openat(root, below, flags | OFlag::O_NOFOLLOW, Mode::empty());
    file::reopen(&found.into(), || again().map(File::from))
}

#[cfg(test)]
mod tests {
    use super::{Last, Root};
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn links_stay_below_the_root() {
        let dir = std::env::temp_dir().join(format!("ltrace-root-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("etc")).unwrap();
        fs::write(dir.join("etc/passwd"), "ours").unwrap();
        symlink("/etc/passwd", dir.join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.join("upwards")).unwrap();
        symlink("/proc/self/exe", dir.join("none")).unwrap();
        let root = Root::at(&dir, dir.clone()).unwrap();
        let ours = dir.join("etc/passwd");
        let ours = ours.to_str().unwrap();
        let text = |path: &str| {
            let mut text = String::new();
            let file = root.open(Path::new(path), Last::Any);
            file.unwrap().read_to_string(&mut text).unwrap();
            text
        };
        for path in [ours, "/etc/passwd", "etc/passwd", "/absolute", "/upwards"] {
            assert_eq!(text(path), "ours", "{path}");
        }
        assert!(root.open(Path::new("/none"), Last::Any).is_err());
        let refused = root.open(Path::new("/absolute"), Last::NoLink);
        assert!(
            refused.unwrap_err().to_string().contains("a symbolic link"),
            "not followed"
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
