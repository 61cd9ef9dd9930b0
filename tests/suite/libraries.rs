//! Libraries that come and go, and calls that libraries make.

use crate::support::expect::same_text;
use crate::support::fixture::fixture;
use crate::support::ltrace;
use crate::support::trace::{about, calls};

#[test]
fn library_opened_closed_and_opened_again() {
    let Some(program) = fixture("dlopen") else {
        return;
    };
    let run = ltrace(["-e", "@libplug*"]).arg(program).finish().exits(0);
    same_text(&about(&run.stderr, &run.stdout), &run.stdout);
}

#[test]
fn entry_in_a_library_opened_closed_and_opened_again() {
    let Some(program) = fixture("dlopen") else {
        return;
    };
    let run = ltrace(["-L", "-x", "plug"]).arg(program).finish().exits(0);
    let traced = calls(&run.stderr);
    assert_eq!(traced, ["plug@libplug.so.1"; 3], "{}", run.told());
}
