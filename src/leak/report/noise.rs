//! What the C library, the dynamic linker and languages' runtimes keep for themselves: never freed, never
//! the program's fault.

use crate::leak::report::model::{Line, Origin};
use std::sync::Arc;

/// Beginnings of functions that allocate such things.
const FUNCTIONS: [&str; 27] = [
    // threads' own data: dtv, thread-local storage, stacks kept for the next thread
    "_dl_",
    "allocate_dtv",
    "__tls_get_addr",
    "tls_get_addr_tail",
    "tcache_init",
    "init_cacheinfo",
    // stdio's buffers
    "_IO_file_doallocate",
    "_IO_wfile_doallocate",
    "_IO_doallocbuf",
    // locales, conversions, message catalogues, time zones
    "setlocale",
    "_nl_",
    "newlocale",
    "__gconv_",
    "tzset_internal",
    "__tzfile_read",
    "__tzset",
    // name services
    "__nss_",
    "nss_",
    "__res_",
    // exits
    "__new_exitfn",
    "__cxa_atexit",
    // C++: the pool for exceptions that are thrown without memory
    "(anonymous namespace)::pool::pool",
    "__gnu_cxx::__freeres",
    "std::locale::",
    // Rust: the main thread's handle, standard output's buffer
    "std::rt::",
    "std::thread::main_thread",
    "std::io::stdio::",
];

/// The size of libstdc++'s emergency pool, by the versions of GCC (eh_alloc.cc): where its symbols are
/// stripped that is all that tells it.
const POOLS: [u64; 4] = [72_704, 73_728, 72_192, 71_680];

/// No code of the program's is between the allocation and one of these.
pub(super) fn is_runtime(stack: &[Arc<Line>], size: Option<u64>) -> bool {
    let inner = stack.iter().take_while(|line| line.origin != Origin::User);
    let is_known = |line: &Arc<Line>| FUNCTIONS.iter().any(|name| line.function.starts_with(name));
    if inner.clone().any(is_known) {
        return true;
    }
    let in_libstdcxx = |line: &Arc<Line>| line.module.starts_with("libstdc++");
    size.is_some_and(|size| POOLS.contains(&size)) && inner.clone().any(in_libstdcxx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[(&str, &str, Origin)], size: Option<u64>, expected: bool) {
        let line = |&(function, module, origin): &(&str, &str, Origin)| Line {
            function: function.to_owned(),
            module: module.to_owned(),
            origin,
            ..Line::default()
        };
        let stack: Vec<Arc<Line>> = lines.iter().map(line).map(Arc::new).collect();
        assert_eq!(is_runtime(&stack, size), expected, "{lines:?}");
    }

    #[test]
    fn whose_blocks() {
        use Origin::{Allocator, Runtime, Standard, User};
        let malloc = ("malloc", "libc.so.6", Allocator);
        let main = ("main", "server", User);
        let buffer = ("_IO_file_doallocate", "libc.so.6", Runtime);
        check(
            &[malloc, buffer, ("puts", "libc.so.6", Runtime), main],
            None,
            true,
        );
        check(&[malloc, main], None, false);
        check(&[malloc, main, buffer], None, false);
        check(
            &[
                malloc,
                ("_dl_allocate_tls", "ld-linux-x86-64.so.2", Runtime),
                main,
            ],
            None,
            true,
        );
        let pool = ("0x1234", "libstdc++.so.6", Standard);
        check(
            &[malloc, pool, ("call_init", "ld-linux-x86-64.so.2", Runtime)],
            Some(72_704),
            true,
        );
        check(&[malloc, pool, main], Some(100), false);
        check(
            &[
                malloc,
                ("std::string::assign", "libstdc++.so.6", Standard),
                main,
            ],
            None,
            false,
        );
    }
}
