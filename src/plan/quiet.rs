//! Functions that write nothing a user could see: their calls need not wait until the lines before them are written,
//! where a trace goes to the place to which the program writes.

use super::filter::sets::shipped;
use std::collections::HashSet;
use std::sync::LazyLock;

/// The sets whose functions write nothing, if they do no more than call back into the program, whose calls are seen.
const SETS: [&str; 7] = [
    "heap", "locale", "math", "memory", "string", "thread", "time",
];
/// But these.
const WRITE: [&str; 4] = ["malloc_info", "malloc_stats", "mtrace", "muntrace"];
/// Others that are called often.
const OTHERS: [&str; 16] = [
    "__errno_location",
    "__sigsetjmp",
    "_setjmp",
    "setjmp",
    "__cxa_atexit",
    "__cxa_guard_acquire",
    "__cxa_guard_release",
    "__cxa_allocate_exception",
    "__cxa_begin_catch",
    "__cxa_end_catch",
    "__cxa_free_exception",
    "bsearch",
    "getenv",
    "getpid",
    "qsort",
    "qsort_r",
];
/// Methods of std::string, as names are mangled (Itanium C++ ABI, 5.1).
const BEGINNINGS: [&str; 4] = [
    "_ZNSt7__cxx1112basic_string",
    "_ZNKSt7__cxx1112basic_string",
    "_ZNSs",
    "_ZNKSs",
];

static QUIET: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let sets = SETS.iter().flat_map(|name| shipped(name));
    let quiet = sets.filter(|name| !WRITE.contains(name));
    quiet.chain(OTHERS).collect()
});

/// Whether a function of this name writes nothing.
pub fn is_quiet(symbol: &str) -> bool {
    QUIET.contains(symbol) || BEGINNINGS.iter().any(|begin| symbol.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::is_quiet;

    #[test]
    fn what_writes_nothing() {
        let quiet = [
            "malloc",
            "strlen",
            "memcpy",
            "pthread_mutex_lock",
            "sin",
            "qsort",
        ];
        assert!(quiet.iter().all(|name| is_quiet(name)));
        assert!(is_quiet(
            "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_appendEPKcm"
        ));
        let others = [
            "puts",
            "write",
            "malloc_stats",
            "fflush",
            "exit",
            "unknown",
            "_ZNSolsEi",
        ];
        assert!(!others.iter().any(|name| is_quiet(name)));
    }
}
