//! `--leaks` on children that run in their maker's memory: their blocks are the maker's, their descriptors are not.

use crate::support::fixture::fixture;
use crate::support::leaks::{report, users};
use crate::support::ltrace;

#[test]
fn blocks_of_children_in_ones_own_memory() {
    let Some(program) = fixture("leak_vfork") else {
        return;
    };
    let program = program.to_str().expect("a path");
    for instrument in ["auto", "stop"] {
        for follow in [&[][..], &["-f"]] {
            let usual = ["--instrument", instrument, "--pairs", "fd"];
            let (report, finished) = report(&[&usual, follow].concat(), &[program]);
            assert_eq!(report["misuses"], serde_json::json!([]), "{report:#}");
            let heap = &report["heap"];
            assert_eq!(heap["allocated"]["blocks"], 9, "{}", finished.told());
            assert_eq!(heap["live"]["bytes"], 3 * 77, "{}", finished.told());
            let sites = ["sites", "others"].map(|list| report[list].as_array().expect("sites"));
            for site in sites.into_iter().flatten() {
                assert_eq!(users(site)[0], "work", "{report:#}");
            }
            let pair = &report["pairs"][0];
            let counts = (&pair["opened"], &pair["closed"], &pair["open"]);
            assert_eq!(counts, (&1.into(), &0.into(), &1.into()), "{report:#}");
            // The program that a child has run is another process; children that ran none are part of this one.
            let reports = finished.stderr.matches("leak_vfork (pid ").count();
            assert_eq!(reports, 1, "{}", finished.told());
        }
    }
}

/// dash makes the arguments of a program in its vfork child, and frees them.
#[test]
fn a_shell_that_uses_vfork() {
    for follow in [&[][..], &["-f"]] {
        let script = "/bin/true 1; /bin/echo told; /bin/true 2";
        let finished = ltrace([&["--leaks"], follow].concat())
            .args(["dash", "-c", script])
            .finish()
            .exits(0);
        assert_eq!(finished.stdout, "told\n");
        let is_wrong = finished.stderr.contains("released");
        assert!(!is_wrong, "{}", finished.told());
    }
}
