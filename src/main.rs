//! Parse, run, map the result to an exit code; nothing else.

use ltrace::base::printable::printable;
use ltrace::cli::{self, Surroundings};
use ltrace::session;
use std::io::Write;
use std::process::ExitCode;

ltrace::look_at_sigpipe_before_main!();

fn main() -> ExitCode {
    let config = match cli::parse(std::env::args_os(), Surroundings::look()) {
        Ok(config) => config,
        Err(stop) => return ExitCode::from(stop.tell()),
    };
    match session::run(config) {
        Ok(status) => ExitCode::from(status),
        Err(why) => {
            // When even that cannot be written, it cannot be told.
            let why = why.to_string();
            let _ = writeln!(std::io::stderr(), "ltrace: {}", printable(&why));
            ExitCode::from(1)
        }
    }
}
