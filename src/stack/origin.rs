//! Whose code a frame is: the reader looks for his own, and finds it between an allocator and
//! thirteen frames of a standard library.

use super::names::Language;
use super::symbolize::Location;

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Functions that give memory: malloc, `operator new`, `__rust_alloc`.
    Allocator,
    /// The standard library of a language, and what compilers make of it.
    Standard,
    /// What runs before and around the program: the dynamic linker, `_start`, thread starts.
    Runtime,
    /// None of these.
    User,
}

/// Whose code a frame is, by its module (a soname or base name) and what is known of its source.
pub fn origin(module: &str, location: Option<&Location>) -> Origin {
    let by_name = location.map_or(Origin::User, |location| {
        by_function(&location.function, location.language)
    });
    if by_name != Origin::User {
        return by_name;
    }
    let by_module = by_module(module);
    if by_module != Origin::User {
        return by_module;
    }
    let file = location.and_then(|location| location.file.as_deref());
    file.map_or(Origin::User, by_file)
}

/// Whose code the function is.
pub fn by_function(name: &str, language: Language) -> Origin {
    if let Some(origin) = by_c_name(name) {
        return origin;
    }
    match language {
        Language::Rust => by_rust_path(name),
        Language::Cpp => by_cpp_name(name),
        Language::Unknown => Origin::User,
    }
}

const ALLOCATORS: [&str; 24] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "free",
    "cfree",
    "free_sized",
    "free_aligned_sized",
    "strdup",
    "strndup",
    "asprintf",
    "vasprintf",
    "_int_malloc",
    "_int_free",
    "_int_realloc",
    "_int_memalign",
    "sysmalloc",
    "tcache_init",
    "_mid_memalign",
];

/// Beginnings of names in C and of what compilers call.
const C_PREFIXES: [(&str, Origin); 28] = [
    ("__libc_malloc", Origin::Allocator),
    ("__libc_calloc", Origin::Allocator),
    ("__libc_realloc", Origin::Allocator),
    ("__libc_memalign", Origin::Allocator),
    ("__libc_free", Origin::Allocator),
    ("operator new", Origin::Allocator),
    ("operator delete", Origin::Allocator),
    ("__rust_", Origin::Allocator),
    ("__rustc::__rust_", Origin::Allocator),
    ("__rdl_", Origin::Allocator),
    ("__rg_", Origin::Allocator),
    ("je_", Origin::Allocator),
    ("_rjem_", Origin::Allocator),
    ("mi_", Origin::Allocator),
    ("_mi_", Origin::Allocator),
    ("tc_", Origin::Allocator),
    ("TCMallocInternal", Origin::Allocator),
    ("sn_rust_", Origin::Allocator),
    ("moz_arena_", Origin::Allocator),
    ("__cxa_", Origin::Standard),
    ("_Unwind_", Origin::Runtime),
    ("__libc_", Origin::Runtime),
    ("_dl_", Origin::Runtime),
    ("__rust_begin_short_backtrace", Origin::Runtime),
    ("_GLOBAL__sub_I_", Origin::Runtime),
    // Of Go, and what cgo puts between it and C.
    ("runtime.", Origin::Runtime),
    ("_cgo_", Origin::Runtime),
    ("__static_initialization_and_destruction", Origin::Runtime),
];

const RUNTIME: [&str; 8] = [
    "_start",
    "_init",
    "_fini",
    "start_thread",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
];

fn by_c_name(name: &str) -> Option<Origin> {
    if ALLOCATORS.contains(&name) {
        return Some(Origin::Allocator);
    }
    if RUNTIME.contains(&name) {
        return Some(Origin::Runtime);
    }
    // What cgo adds to each package that calls C.
    if name.ends_with("._cgo_cmalloc") {
        return Some(Origin::Runtime);
    }
    C_PREFIXES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, origin)| *origin)
}

/// `core::`, `alloc::` and `std::`; of `<T as Trait>::f` the type decides, and the trait where the
/// type is no path of its own.
fn by_rust_path(name: &str) -> Origin {
    let Some(inside) = name.strip_prefix('<') else {
        return by_rust_crate(name);
    };
    let plain = inside.trim_start_matches(['&', '*', '<', '[', '(', ' ']);
    let plain = ["mut ", "const ", "dyn "]
        .iter()
        .fold(plain, |plain, word| {
            plain.strip_prefix(word).unwrap_or(plain)
        });
    // `<mimalloc::MiMalloc as core::alloc::global::GlobalAlloc>::alloc`
    let the_trait = inside.split_once(" as ").map(|(_, the_trait)| the_trait);
    if the_trait.is_some_and(|the_trait| the_trait.starts_with("core::alloc::global::GlobalAlloc"))
    {
        return Origin::Allocator;
    }
    let end = plain
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(plain.len());
    match (plain[..end].contains("::"), the_trait) {
        (false, Some(the_trait)) => by_rust_crate(the_trait),
        _ => by_rust_crate(plain),
    }
}

fn by_rust_crate(path: &str) -> Origin {
    match path.split("::").next() {
        Some("core" | "alloc" | "std" | "hashbrown") if path.contains("::") => Origin::Standard,
        _ => Origin::User,
    }
}

/// Namespaces of the C++ standard library (libstdc++ manual, "Namespaces"; libc++ has `std::__1`).
fn by_cpp_name(name: &str) -> Origin {
    const NAMESPACES: [&str; 3] = ["std::", "__gnu_cxx::", "__cxxabiv1::"];
    let name = ["non-virtual thunk to ", "virtual thunk to "]
        .iter()
        .find_map(|thunk| name.strip_prefix(thunk))
        .unwrap_or(name);
    match NAMESPACES.iter().any(|space| name.starts_with(space)) {
        true => Origin::Standard,
        false => Origin::User,
    }
}

/// Whose code a script's file is: CPython's own modules lie in a directory that is called after its version,
/// and what was installed besides in another one below it (`site` in the library reference).
pub fn by_script(path: &str) -> Origin {
    let in_library = |rest: &str| {
        let installed = ["/site-packages/", "/dist-packages/"];
        rest.starts_with(|c: char| c.is_ascii_digit())
            && !installed.iter().any(|i| rest.contains(i))
    };
    let own = path
        .split_once("/lib/python")
        .is_some_and(|(_, rest)| in_library(rest));
    match own || path.starts_with("<frozen ") {
        true => Origin::Standard,
        false => Origin::User,
    }
}

fn by_module(name: &str) -> Origin {
    const MODULES: [(&str, Origin); 13] = [
        ("libc.so", Origin::Runtime),
        ("libc-2", Origin::Runtime),
        ("ld-linux", Origin::Runtime),
        ("ld-musl", Origin::Runtime),
        ("libpthread", Origin::Runtime),
        ("libgcc_s", Origin::Runtime),
        ("linux-vdso", Origin::Runtime),
        ("libstdc++", Origin::Standard),
        ("libc++", Origin::Standard),
        ("libstd-", Origin::Standard),
        ("libjemalloc", Origin::Allocator),
        ("libtcmalloc", Origin::Allocator),
        ("libmimalloc", Origin::Allocator),
    ];
    MODULES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map_or(Origin::User, |(_, origin)| *origin)
}

/// Headers and sources of standard libraries, whose templates and generics are compiled into
/// programs.
fn by_file(path: &str) -> Origin {
    let standard = path.starts_with("/rustc/") && path.contains("/library/")
        || path.contains("/lib/rustlib/src/rust/library/")
        || path.contains("/include/c++/");
    match standard {
        true => Origin::Standard,
        false => Origin::User,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(language: Language, origin: Origin, names: &[&str]) {
        for name in names {
            assert_eq!(by_function(name, language), origin, "{name}");
        }
    }

    #[test]
    fn allocators() {
        let names = [
            "malloc",
            "__libc_malloc",
            "_int_malloc",
            "posix_memalign",
            "strdup",
            "je_malloc",
            "mi_malloc",
            "__rust_alloc",
            "__rustc::__rust_alloc",
            "__rdl_alloc",
            "_rjem_malloc",
            "_mi_theap_default",
        ];
        check(Language::Unknown, Origin::Allocator, &names);
        let names = ["<server::Counting as core::alloc::global::GlobalAlloc>::alloc"];
        check(Language::Rust, Origin::Allocator, &names);
        let names = ["operator new(unsigned long)", "operator delete[](void*)"];
        check(Language::Cpp, Origin::Allocator, &names);
    }

    #[test]
    fn standard_libraries() {
        let names = [
            "std::make_shared<input_reader>()",
            "std::allocator<char>::allocate(unsigned long)",
            "__gnu_cxx::new_allocator<char>::allocate(unsigned long, void const*)",
            "non-virtual thunk to std::ostream::~ostream()",
            "__cxa_throw",
        ];
        check(Language::Cpp, Origin::Standard, &names);
        let names = [
            "alloc::vec::Vec<T,A>::push",
            "core::ptr::drop_in_place<server::Conn>",
            "<alloc::string::String as core::clone::Clone>::clone",
            "<T as core::convert::Into<U>>::into",
            "<&mut W as core::fmt::Write>::write_str",
            "<[T] as alloc::slice::Concat>::concat",
            "std::thread::spawn",
            "<<alloc::vec::Vec<T> as core::ops::Deref>::Target as core::fmt::Debug>::fmt",
        ];
        check(Language::Rust, Origin::Standard, &names);
    }

    #[test]
    fn runtime() {
        let names = [
            "_start",
            "__libc_start_main",
            "__libc_start_call_main",
            "_dl_init",
            "_dl_catch_exception",
            "start_thread",
            "clone3",
            "_Unwind_RaiseException",
            "runtime.asmcgocall",
            "_cgo_8e72c12dbf06_Cfunc_c_leak",
            "main._cgo_cmalloc",
        ];
        check(Language::Unknown, Origin::Runtime, &names);
    }

    #[test]
    fn the_users_own() {
        let names = [
            "main",
            "main.handle",
            "main._Cfunc_leak",
            "handle",
            "mallocate",
            "start",
            "std_init",
            "",
        ];
        check(Language::Unknown, Origin::User, &names);
        let names = [
            "stdext::f()",
            "server::std::f()",
            "f(std::string)",
            "core::run()",
        ];
        check(Language::Cpp, Origin::User, &names);
        let names = [
            "server::do_thing_1",
            "<server::Conn as core::ops::drop::Drop>::drop",
            "<&server::Conn as core::fmt::Debug>::fmt",
            "<dyn server::Job as core::any::Any>::type_id",
            "<T as server::Pool>::take",
            "corelib::f",
            "std",
            "<",
        ];
        check(Language::Rust, Origin::User, &names);
    }

    #[test]
    fn scripts() {
        let check = |path, expected| assert_eq!(by_script(path), expected, "{path}");
        check("/usr/lib/python3.11/json/decoder.py", Origin::Standard);
        check("<frozen importlib._bootstrap>", Origin::Standard);
        check("/usr/lib/python3/dist-packages/six.py", Origin::User);
        check("/opt/env/lib/python3.13/site-packages/six.py", Origin::User);
        check("/srv/lib/pythonic/load.py", Origin::User);
        check("load.py", Origin::User);
        check("<string>", Origin::User);
    }

    #[test]
    fn modules_and_files_count_too() {
        let at = |function: &str, file: &str| Location {
            function: function.to_owned(),
            language: Language::Unknown,
            offset: None,
            file: Some(file.to_owned()),
            line: None,
            column: None,
            inlined: false,
        };
        let check = |module, location: Option<&Location>, expected| {
            assert_eq!(origin(module, location), expected, "{module} {location:?}");
        };
        check("libc.so.6", None, Origin::Runtime);
        check("libstdc++.so.6", None, Origin::Standard);
        check("libjemalloc.so.2", None, Origin::Allocator);
        check("server", None, Origin::User);
        check("libcurl.so.4", None, Origin::User);
        check(
            "libc.so.6",
            Some(&at("malloc", "malloc.c")),
            Origin::Allocator,
        );
        let std = "/rustc/1234/library/alloc/src/raw_vec.rs";
        check("server", Some(&at("finish_grow", std)), Origin::Standard);
        let header = "/usr/include/c++/12/bits/stl_vector.h";
        check("server", Some(&at("grow", header)), Origin::Standard);
        check("server", Some(&at("grow", "src/vector.cc")), Origin::User);
    }
}
