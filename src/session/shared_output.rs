//! Whether a trace goes to where the traced programs write as well: then each line has to be written before the
//! program goes on, or its own output would come first.

use crate::config::Config;
use crate::sink::output::Destination;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file by device and inode, whatever its name.
type File = (u64, u64);

/// `/dev/null`: what is written there is not read (null(4)).
const NULL: u64 = nix::libc::makedev(1, 3);

/// Whether any of the programs has the trace's file as its standard output or standard error, as they are now.
pub(super) fn is_shared(config: &Config) -> bool {
    let trace = match &config.output {
        Destination::Stderr => file("/proc/self/fd/2".into()),
        Destination::File(path) | Destination::Appended(path) => file(path.clone()),
        Destination::PerProcess(_) | Destination::Pipe(_) => None,
    };
    let launched = config.launch.iter().map(|_| "self".to_owned());
    let attached = config.attach.iter().map(|pid| pid.0.to_string());
    let mut outputs = launched
        .chain(attached)
        .flat_map(|process| ["1", "2"].map(|fd| format!("/proc/{process}/fd/{fd}")));
    trace.is_some() && outputs.any(|output| file(output.into()) == trace)
}

fn file(path: PathBuf) -> Option<File> {
    let file = std::fs::metadata(path).ok()?;
    if file.rdev() == NULL {
        return None;
    }
    Some((file.dev(), file.ino()))
}
