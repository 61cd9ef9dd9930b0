//! What ends a run: one line in the user's words, naming the thing.

use crate::base::message;
use crate::base::signal::Signal;
use crate::config::Launch;
use crate::leak::kinds::NothingToReplace;
use crate::leak::output::CannotCompare;
use crate::proto::library::Missing;
use crate::sink::output::{Destination, Unwritable};
use crate::sys::{self, spawn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command cannot be started.
    #[error("cannot start {command}: {why}")]
    CannotStart {
        /// As the user named it.
        command: String,
        /// Why.
        why: String,
    },
    /// `-u` names no user.
    #[error("cannot find user `{0}'")]
    NoSuchUser(String),
    /// A prototype file is missing.
    #[error(transparent)]
    Prototypes(#[from] Missing),
    /// The trace cannot be written.
    #[error("cannot write the trace to {output}: {}", message(why))]
    Output {
        /// Where it should go.
        output: String,
        /// Why.
        why: io::Error,
    },
    /// There is nothing to replay.
    #[error("cannot replay {file}: {}", message(why))]
    Recording {
        /// As the user named it.
        file: String,
        /// Why.
        why: io::Error,
    },
    /// No reader can be served there.
    #[error("cannot serve at {at}: {}", message(why))]
    Serve {
        /// The address.
        at: SocketAddr,
        /// Why.
        why: io::Error,
    },
    /// What /proc tells is of other processes, or it is not there.
    #[error("/proc {0}; mount the one of this pid namespace: mount -t proc proc /proc")]
    Proc(&'static str),
    /// A file besides it cannot be written.
    #[error(transparent)]
    File(#[from] Unwritable),
    /// The process that traces is gone.
    #[error("the tracer was killed by {0}")]
    TracerKilled(Signal),
    /// Pairs that do not go together.
    #[error("--pair: {0}")]
    Pairs(#[from] NothingToReplace),
    /// Two reports cannot be compared.
    #[error("--diff: {0}")]
    Compare(#[from] CannotCompare),
    /// The kernel refused what a tracer needs.
    #[error("cannot trace: {0}")]
    System(#[from] sys::Error),
}

impl Error {
    pub(crate) fn cannot_start(launch: &Launch, why: impl Into<String>) -> Error {
        Error::CannotStart {
            command: launch.name(),
            why: why.into(),
        }
    }

    pub(crate) fn launch(launch: &Launch, why: spawn::Error) -> Error {
        Error::cannot_start(launch, why.to_string())
    }

    pub(crate) fn recording(file: &Path, why: io::Error) -> Error {
        let file = file.display().to_string();
        Error::Recording { file, why }
    }

    pub(crate) fn output(output: &Destination, why: io::Error) -> Error {
        let why = match why.downcast::<Unwritable>() {
            Ok(why) => return Error::File(why),
            Err(why) => why,
        };
        let output = match output {
            Destination::Stderr => "standard error".to_owned(),
            Destination::File(path) | Destination::Appended(path) => path.display().to_string(),
            Destination::PerProcess(path) => format!("{}.PID", path.display()),
            Destination::Pipe(command) => format!("`{}'", command.to_string_lossy()),
        };
        Error::Output { output, why }
    }
}
