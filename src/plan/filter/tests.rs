//! Filters against the functions they mean, and mistakes against the lines that tell of them.

use super::*;
use proptest::prelude::*;

const MODULES: [(&str, &str, bool); 4] = [
    ("m", "/home/u/m", true),
    (
        "libfoo.so.1",
        "/usr/lib/x86_64-linux-gnu/libfoo.so.1.2",
        false,
    ),
    ("libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6", false),
    ("libstdc++.so.6", "/opt/lib/libstdc++.so.6", false),
];

fn module(name: &str) -> ModuleName {
    let (name, path, is_main) = MODULES
        .into_iter()
        .find(|module| module.0 == name)
        .expect("a known module");
    ModuleName {
        name: name.to_owned(),
        path: path.to_owned(),
        is_main,
    }
}

/// Both lists are written `symbol@module`.
#[track_caller]
fn check(filter: &str, meant: &[&str], others: &[&str]) {
    let filter = Filter::parse(filter).unwrap_or_else(|e| panic!("{e}"));
    for (list, expected) in [(meant, true), (others, false)] {
        for function in list {
            let (symbol, library) = function.rsplit_once('@').expect("symbol@module");
            assert_eq!(
                filter.matches(symbol, &module(library)),
                expected,
                "{function}"
            );
        }
    }
}

#[track_caller]
fn check_library(pattern: &str, meant: &[&str]) {
    let pattern = LibraryPattern::parse(pattern).unwrap_or_else(|e| panic!("{e}"));
    let found: Vec<&str> = MODULES
        .into_iter()
        .map(|module| module.0)
        .filter(|name| pattern.matches(&module(name)))
        .collect();
    assert_eq!(found, meant);
}

#[track_caller]
fn check_error(filter: &str, lines: &str) {
    let error = Filter::parse(filter).expect_err("a mistake");
    assert_eq!(error.to_string(), lines);
}

#[test]
fn patterns_of_names_as_languages_write_them() {
    let means = |filter: &str, symbol| {
        let filter = Filter::parse(filter).expect("a filter");
        Here::new(&filter, &module("m")).written(symbol).is_some()
    };
    assert!(means("f_*", "_Z3f_ui"));
    assert!(means("*_u", "_ZN2ns3f_uEi"));
    assert!(!means("f_*", "_ZN2ns3f_uEi"));
    assert!(!means("f_*", "f_u"));
    assert!(!means("?*", "_Z3f_ui"));
    assert!(means("handle", "_ZN2ns6handleEv"));
}

/// Each name by itself: that another one is a symbol's changes nothing.
#[test]
fn names_of_both_kinds_in_one_filter() {
    let symbols = ["main", "_Z2f2i", "_ZN1K2stEi", "_Z5otheri"];
    let meant = |filter: &str| {
        let filter = Filter::parse(filter).expect("a filter");
        let program = module("m");
        let mut here = Here::new(&filter, &program);
        symbols.iter().for_each(|symbol| here.note(symbol));
        let meant = symbols.iter().filter(|symbol| here.matches(symbol));
        meant.copied().collect::<Vec<_>>()
    };
    assert_eq!(meant("main+f2+K::st"), ["main", "_Z2f2i", "_ZN1K2stEi"]);
    assert_eq!(meant("K::st+f2"), ["_Z2f2i", "_ZN1K2stEi"]);
    assert_eq!(meant("main+oth*"), ["main", "_Z5otheri"]);
    assert_eq!(meant("*-f2-K::st"), ["main", "_Z5otheri"]);
    assert_eq!(meant("main+puts"), ["main"]);
}

#[test]
fn what_ltrace_understands() {
    check(
        "malloc+free",
        &["malloc@m", "free@libfoo.so.1"],
        &["calloc@m", "xmalloc@m", "malloc2@m"],
    );
    check(
        "malloc+free-@libfoo.so*",
        &["malloc@m", "free@m"],
        &["malloc@libfoo.so.1", "puts@m"],
    );
    check("@libfoo.so*", &["puts@libfoo.so.1"], &["puts@m"]);
    check("-malloc", &["puts@m", "free@libc.so.6"], &["malloc@m"]);
    check("!malloc", &["puts@m"], &["malloc@m"]);
    check("@MAIN-puts", &["free@m"], &["puts@m", "free@libc.so.6"]);
    check("puts@MAIN", &["puts@m"], &["puts@libc.so.6", "free@m"]);
    check("malloc@m", &["malloc@m"], &["malloc@libc.so.6"]);
    check(
        "m?lloc",
        &["malloc@m", "melloc@m"],
        &["mlloc@m", "malloc2@m"],
    );
    check("[mf]*", &["malloc@m", "free@m"], &["puts@m"]);
    check(r"/foo\|bar/", &["foo@m", "bar@m"], &["foobar@m", "xbar@m"]);
    check("puts@/m/", &["puts@m"], &["puts@libc.so.6"]);
    check(
        "/m.*@libfoo.*/",
        &["malloc@libfoo.so.1"],
        &["malloc@m", "free@libfoo.so.1"],
    );
    check(
        "malloc@libfoo.so.1+puts",
        &["malloc@libfoo.so.1", "puts@m"],
        &["malloc@m"],
    );
    check("/^m/", &["m@m"], &["malloc@m"]);
    check("", &[], &["malloc@m", "puts@libc.so.6"]);
    check("*", &["malloc@m", "puts@libc.so.6"], &[]);
    check("@", &["malloc@m", "puts@libc.so.6"], &[]);
    check("puts@", &["puts@m", "puts@libc.so.6"], &["free@m"]);
}

#[test]
fn what_it_only_promises() {
    check("@/usr/lib/*", &["puts@libc.so.6"], &["puts@m"]);
    check(
        "@/usr/lib/x86_64-linux-gnu/libfoo*-malloc",
        &["puts@libfoo.so.1"],
        &["malloc@libfoo.so.1", "puts@libc.so.6"],
    );
    check("@/home/u/m-puts@/home/u/m", &["free@m"], &["puts@m"]);
    check("@/home/*-/ma.*/", &["free@m"], &["malloc@m"]);
    check("@^m$", &["puts@m"], &["puts@libc.so.6"]);
    check("@^MAIN", &["puts@m"], &["puts@libc.so.6"]);
    check("^mall*", &["malloc@m"], &["xmalloc@m"]);
    check("+puts", &["puts@m"], &["malloc@m"]);
    check("[a-m]*", &["free@m"], &["puts@m"]);
    check("/[f-m].*/+puts", &["free@m", "puts@m"], &["write@m"]);
}

#[test]
fn signs_in_names() {
    check(r"a\+b", &["a+b@m"], &["a@m", "b@m"]);
    check(r"a\-b\@c+d", &["a-b@c@m", "d@m"], &["a@m"]);
    check(
        "@libstdc++.so*-free",
        &["puts@libstdc++.so.6"],
        &["free@libstdc++.so.6", "puts@m"],
    );
    check("/a+b/", &["a+b@m"], &["aab@m"]);
}

#[test]
fn globs() {
    check("[!m]*", &["free@m"], &["malloc@m"]);
    check("[^m]*", &["free@m"], &["malloc@m"]);
    check("[[:alpha:]][[:digit:]]", &["y0@m"], &["yy@m"]);
    check("[[:alpha:]_]x", &["_x@m", "ax@m"], &["0x@m"]);
    check(r"a\*", &["a*@m"], &["ab@m"]);
    check(r"a\?*", &["a?b@m"], &["abb@m"]);
    check("a.b", &["a.b@m"], &["axb@m"]);
    check("a.?", &["a.b@m"], &["axb@m"]);
    check("[]a]x", &["]x@m", "ax@m"], &["bx@m"]);
    check("[a-]x", &["-x@m", "ax@m"], &["bx@m"]);
    check("[[.a.]-[=c=]]", &["b@m"], &["d@m"]);
    check("a[&&]b", &["a&b@m"], &["ab@m"]);
}

#[test]
fn regular_expressions() {
    check(r"/\(ab\)*c/", &["ababc@m", "c@m"], &["abac@m"]);
    check(r"/ab\{2,3\}/", &["abb@m", "abbb@m"], &["ab@m", "abbbb@m"]);
    check(r"/ab\{2\}/", &["abb@m"], &["abbb@m"]);
    check(r"/ab\{,2\}/", &["a@m", "abb@m"], &["abbb@m"]);
    check(r"/ab\{2,\}/", &["abbbb@m"], &["ab@m"]);
    check(r"/ab\+c\?/", &["abb@m", "abc@m"], &["ac@m"]);
    check("/a+b?(c)|{2}/", &["a+b?(c)|{2}@m"], &["aab@m"]);
    check("/*a/", &["*a@m"], &["a@m"]);
    check(r"/\(*a\)/", &["*a@m"], &["a@m"]);
    check("/a^b$c/", &["a^b$c@m"], &["abc@m"]);
    check(r"/^\(ma\|fr\).*$/", &["malloc@m", "free@m"], &["puts@m"]);
    check(r"/a\.b/", &["a.b@m"], &["axb@m"]);
    check(r"/a\/b/", &["a/b@m"], &["ab@m"]);
    check("/[!a]/", &["!@m", "a@m"], &["b@m"]);
    check(r"/\w*_\W/", &["ab_.@m"], &["ab_c@m"]);
    check(r"/\<ab\>/", &["ab@m"], &["abc@m"]);
}

#[test]
fn names_of_go() {
    check(
        "main.leaf",
        &["main.leaf@m"],
        &["main.leaf2@m", "mainxleaf@m"],
    );
    check(
        "net/http.(*Server).Serve",
        &["net/http.(*Server).Serve@m"],
        &["net/http.(*Server).ServeTLS@m"],
    );
    check(
        "main.Map[go.shape.int,*]",
        &["main.Map[go.shape.int,*]@m"],
        &["main.Map@m", "main.Map[go.shape.int]@m"],
    );
    check(
        "github.com/some-body/a-b/pkg.F-free",
        &["github.com/some-body/a-b/pkg.F@m"],
        &["github.com/some-body/a-b/pkg.F-free@m", "free@m"],
    );
    check(
        "net/*-net/http.*+malloc-/x/",
        &["net/url.Parse@m", "malloc@m"],
        &["net/http.Get@m", "x@m"],
    );
    check(r"main.T.M\-fm", &["main.T.M-fm@m"], &["main.T.M@m"]);
}

#[test]
fn names_as_cpp_and_rust_write_them() {
    let (handle, put) = ("_ZN2ns6handleEv@libc.so.6", "_ZN2ns3BoxIiE3putEi@libc.so.6");
    let rust = "_RNvNtCs1234_7mycrate6module4func@libc.so.6";
    check("ns::handle", &[handle], &[put, "handle@libc.so.6"]);
    check("ns::*", &[handle, put], &[rust]);
    check("ns::*-ns::handle", &[put], &[handle]);
    check("/^ns::h/", &[], &[handle]);
    check("/^ns::h.*/", &[handle], &[put]);
    check("Box<int>::put(int)", &[put], &[handle]);
    check("module::func", &[rust], &[handle]);
    let (shift, subscript) = ("_ZN2ns1BrsEPKc@libc.so.6", "_ZN2ns1BixEi@libc.so.6");
    check("ns::B::operator[]", &[subscript], &[shift]);
    check("operator[]+operator new[]-puts", &[], &[shift]);
    check("ns::B::operator>>(char const *)", &[shift], &[subscript]);
    check("ns::*::oper*(char const *)", &[shift], &[subscript]);
    check("ns::B::operator[][!i]*", &[subscript], &[shift]);
    // A plain name is a symbol's, and goes first.
    check("handle", &["handle@libc.so.6"], &[handle]);
    let meant = |filter: &str| {
        let filter = Filter::parse(filter).expect("a filter");
        let modules = MODULES.iter().map(|(name, ..)| module(name));
        let meant = modules.filter(|module| Here::new(&filter, module).matches("_ZN2ns6handleEv"));
        meant.map(|module| module.name).collect::<Vec<_>>()
    };
    // As another one it is the program's, or a library's that is named.
    let program = MODULES.iter().find(|module| module.2).expect("a program");
    assert_eq!(meant("handle"), [program.0]);
    assert_eq!(meant("handle@libc.so.6"), ["libc.so.6"]);
    assert_eq!(meant("handl").len(), 0);
    let filter = Filter::parse("*operator>>*").expect("a filter");
    let program = module(program.0);
    let here = Here::new(&filter, &program);
    assert!(here.matches("_ZN2ns1BrsEPKc"));
    assert!(!here.matches("_ZN2ns1BixEi"));
}

#[test]
fn named_sets() {
    check("%heap", &["malloc@m", "free@libfoo.so.1"], &["puts@m"]);
    check("%heap+puts", &["malloc@m", "puts@m"], &["fputs@m"]);
    check("%heap-free", &["malloc@m"], &["free@m"]);
    check("%heap@MAIN", &["malloc@m"], &["malloc@libc.so.6"]);
    check("-%heap", &["puts@m"], &["malloc@m"]);
    check("%file+%net", &["open@m", "socket@m"], &["malloc@m"]);
}

#[test]
fn libraries() {
    check_library("libc.so*", &["libc.so.6"]);
    check_library("libstdc++.so.6", &["libstdc++.so.6"]);
    check_library("/opt/lib/*", &["libstdc++.so.6"]);
    check_library("/usr/lib/x86_64-linux-gnu/*", &["libfoo.so.1", "libc.so.6"]);
    check_library("/lib[fs].*/", &["libfoo.so.1", "libstdc++.so.6"]);
    check_library("MAIN", &["m"]);
    check_library("*", &["m", "libfoo.so.1", "libc.so.6", "libstdc++.so.6"]);
    assert_eq!(
        LibraryPattern::parse("").expect_err("none").to_string(),
        "a library is missing here\n  \n  ^"
    );
}

#[test]
fn mistakes_have_a_caret() {
    check_error(
        "malloc+[ab",
        "this `[` has no `]`\n  malloc+[ab\n         ^",
    );
    check_error(
        "malloc+",
        "a rule is missing here: a function, or `@` and a library\n  malloc+\n         ^",
    );
    check_error(
        "-",
        "a rule is missing here: a function, or `@` and a library\n  -\n   ^",
    );
    check_error(
        "a@b@c",
        "`@` cannot stand here, only `+` or `-` and another rule\n  a@b@c\n     ^",
    );
    check_error(
        "/a/b",
        "`b` cannot stand here, only `+` or `-` and another rule\n  /a/b\n     ^",
    );
    check_error(
        "puts-/ab",
        "this regular expression has no `/` at its end\n  puts-/ab\n       ^",
    );
    check_error(
        r"x+/\(a\)\1/",
        "a back-reference cannot be used in a filter\n  x+/\\(a\\)\\1/\n          ^",
    );
    check_error(r"/a\(b/", "this `\\(` has no `\\)`\n  /a\\(b/\n    ^");
    check_error(r"/ab\)/", "this `\\)` has no `\\(`\n  /ab\\)/\n     ^");
    check_error(r"/a\{2/", "this `\\{` has no `\\}`\n  /a\\{2/\n    ^");
    check_error(
        r"/a\{3,2\}/",
        "this interval is backwards\n  /a\\{3,2\\}/\n    ^",
    );
    check_error(
        r"/a\{x\}/",
        "an interval is written `\\{2\\}`, `\\{2,\\}` or `\\{2,5\\}`\n  /a\\{x\\}/\n    ^",
    );
    check_error("a[z-a]", "this range is backwards\n  a[z-a]\n    ^");
    check_error(
        "[[:alfa:]]",
        "there is no class `[:alfa:]`\n  [[:alfa:]]\n   ^",
    );
    check_error("a\\", "a backslash has nothing after it\n  a\\\n   ^");
    check_error(
        "%hep+a",
        "there is no set `%hep`; known are %file, %heap, %io, %locale, %math, %memory, %net, %process, \
         %signal, %string, %thread, %time\n  %hep+a\n  ^",
    );
    check_error("ä\t+[b", "this `[` has no `]`\n  ä?+[b\n     ^");
    check_error(
        r"/a\{9999\}\{9999\}/",
        "this pattern is too large\n  /a\\{9999\\}\\{9999\\}/\n   ^",
    );
}

#[test]
fn every_prefix_is_a_filter_or_a_mistake() {
    let good = r"malloc+%heap-/[[:alpha:]]\{1,3\}\(a\|b\)*@lib.*/+f[!a-z]*@/usr/lib/x-y/lib*+\@@^lib++$-@MAIN";
    assert!(Filter::parse(good).is_ok());
    for (end, _) in good.char_indices() {
        if let Err(error) = Filter::parse(&good[..end]) {
            assert_eq!(error.to_string().lines().count(), 3);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_text_is_a_filter_or_a_mistake(text in any::<String>()) {
        let _ = Filter::parse(&text).map(|filter| filter.matches("malloc", &module("m")));
        let _ = LibraryPattern::parse(&text).map(|pattern| pattern.matches(&module("m")));
    }

    #[test]
    fn text_of_the_language_is_a_filter_or_a_mistake(text in r"[-+@/\\\[\]!^$*?.:={}()|,%a-c1-3]{0,24}") {
        // What is understood is a pattern that the regex crate takes too: no mistake without a place of its own.
        for error in [Filter::parse(&text).err(), LibraryPattern::parse(&text).err()].into_iter().flatten() {
            prop_assert!(!error.message().contains("cannot be used:"), "{error}");
        }
    }

    #[test]
    fn a_name_with_every_character_escaped_means_itself(name in "[ -~]{1,12}") {
        let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
        let filter = Filter::parse(&escaped).expect("a filter");
        prop_assert!(filter.matches(&name, &module("m")));
    }
}

#[test]
fn addresses() {
    let check = |filter: &str, module_name: &str, expected: &[u64]| {
        let filter = Filter::parse(filter).unwrap_or_else(|e| panic!("{e}"));
        let found: Vec<u64> = filter
            .addresses(&module(module_name))
            .map(|at| at.0)
            .collect();
        assert_eq!(found, expected);
        assert!(!filter.matches("0x401136", &module(module_name)));
    };
    check("0x401136", "m", &[0x401136]);
    check("0x401136", "libfoo.so.1", &[]);
    check("0x10@libfoo*+main-0x30", "libfoo.so.1", &[0x10]);
    check("0x10@libfoo*+main+0xfF", "m", &[0xff]);
    check("0x", "m", &[]);
    check("0x12345678123456789", "m", &[]);
    check("0x+1", "m", &[]);
}

#[test]
fn names_are_more_than_patterns() {
    let names = |filter: &str| {
        let filter = Filter::parse(filter).unwrap_or_else(|e| panic!("{e}"));
        filter.names("malloc", &module("m"))
    };
    assert!(names("malloc") && names("m*+malloc@m") && names(r"mall\oc"));
    assert!(!names("m*") && !names("malloc-m*") && !names("malloc@libfoo*"));
}

/// What other tracers and shells join by other signs.
#[test]
fn filters_in_other_languages() {
    check_error(
        "malloc,free",
        "names are joined by `+`: malloc+free\n  malloc,free\n        ^",
    );
    check_error("a|b|c", "names are joined by `+`: a+b+c\n  a|b|c\n   ^");
    check_error(
        "mal* free",
        "names are joined by `+`: mal*+free\n  mal* free\n      ^",
    );
    check_error(
        "malloc, ",
        "names are joined by `+`: malloc\n  malloc, \n        ^",
    );
    check_error(
        "trace=malloc,free",
        "`trace=` is strace's; here it is malloc+free\n  trace=malloc,free\n  ^",
    );
    check_error(
        "signal=SIGHUP",
        "`signal=` is strace's; here a filter names functions\n  signal=SIGHUP\n  ^",
    );
    // Names that hold such signs.
    for name in [
        "std::map<int, int>::at(int const&)",
        "operator new",
        "operator,",
        "operator=",
        "main.(*T).M",
        "/foo\\|bar/",
        "[,|]x",
        "a\\,b",
        "",
    ] {
        assert!(Filter::parse(name).is_ok(), "{name}");
    }
}
