//! System calls that fail on purpose, so that tests can see what becomes of the program then.
//!
//! `LTRACE_FAULT=CALL:N:ERRNO:FILE` makes the N-th use of a call fail with an error number, and creates FILE
//! when that has happened; with 0 for ERRNO the tracer panics there. It is looked at in debug builds only; in
//! release builds there is nothing here.

use nix::errno::Errno;

/// What the calls of this floor ask before they ask the kernel.
#[cfg(not(debug_assertions))]
pub(super) fn strike(_: &str) -> Option<Errno> {
    None
}

#[cfg(debug_assertions)]
pub(super) fn strike(call: &str) -> Option<Errno> {
    use std::sync::OnceLock;
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| Fault::parse(&std::env::var("LTRACE_FAULT").ok()?));
    fault.as_ref()?.strike(call)
}

/// Which use of which call fails, and how.
#[cfg(debug_assertions)]
struct Fault {
    call: String,
    number: u32,
    errno: Errno,
    told: std::path::PathBuf,
    uses: std::sync::atomic::AtomicU32,
}

#[cfg(debug_assertions)]
impl Fault {
    fn parse(text: &str) -> Option<Fault> {
        let mut fields = text.splitn(4, ':');
        Some(Fault {
            call: fields.next()?.to_owned(),
            number: fields.next()?.parse().ok()?,
            errno: Errno::from_raw(fields.next()?.parse().ok()?),
            told: fields.next()?.into(),
            uses: 0.into(),
        })
    }

    fn strike(&self, call: &str) -> Option<Errno> {
        if call != self.call {
            return None;
        }
        let before = self.uses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before + 1 != self.number {
            return None;
        }
        // A test that cannot be told takes the call for one that is not made so often.
        let _ = std::fs::write(&self.told, "");
        // There is no errno 0.
        assert!(
            self.errno != Errno::UnknownErrno,
            "as LTRACE_FAULT wants it"
        );
        Some(self.errno)
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::Fault;
    use nix::errno::Errno;

    #[test]
    fn the_one_use_fails() {
        let told = std::env::temp_dir().join(format!("ltrace-fault-{}", std::process::id()));
        let text = format!("waitid:2:3:{}", told.display());
        let fault = Fault::parse(&text).expect("four fields");
        let struck = ["waitid", "ptrace", "waitid", "waitid"].map(|call| fault.strike(call));
        assert_eq!(struck, [None, None, Some(Errno::ESRCH), None]);
        assert!(told.exists());
        std::fs::remove_file(told).expect("a file of our own");
        for bad in ["", "waitid", "waitid:x:3:f", "waitid:1:3"] {
            assert!(Fault::parse(bad).is_none(), "{bad}");
        }
    }
}
