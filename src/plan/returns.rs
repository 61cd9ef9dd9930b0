//! How often a function comes back, by its name.

use super::Returns;

impl Returns {
    /// By name, as the C library and the C++ runtime define them.
    pub(super) fn of(symbol: &str) -> Returns {
        match symbol {
            "exit"
            | "_exit"
            | "_Exit"
            | "quick_exit"
            | "abort"
            | "exit_group"
            | "pthread_exit"
            | "thrd_exit"
            | "longjmp"
            | "_longjmp"
            | "siglongjmp"
            | "__longjmp_chk"
            | "setcontext"
            | "__assert_fail"
            | "__assert"
            | "__assert_perror_fail"
            | "__stack_chk_fail"
            | "__chk_fail"
            | "__fortify_fail"
            | "err"
            | "errx"
            | "verr"
            | "verrx"
            | "__libc_start_main"
            | "__cxa_throw"
            | "__cxa_rethrow"
            | "__cxa_bad_cast"
            | "__cxa_bad_typeid"
            | "__cxa_throw_bad_array_new_length"
            | "__cxa_pure_virtual"
            | "_Unwind_Resume"
            | "_ZSt9terminatev"
            | "__pthread_unwind_next" => Returns::Never,
            "setjmp" | "_setjmp" | "sigsetjmp" | "__sigsetjmp" | "vfork" | "fork" | "_Fork"
            | "getcontext" | "clone" | "savectx" => Returns::Again,
            // libstdc++'s helpers that do nothing but throw: std::__throw_…
            _ if symbol.starts_with("_ZSt") && symbol.contains("__throw_") => Returns::Never,
            _ => Returns::Once,
        }
    }
}
