//! Which file wins, what may be missing, and what the files that come with the program say.

use super::{FILES, Layer, Library, Loader, Sources, is_text};
use crate::proto::parse::{self, Imports};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let name = format!("ltrace-proto-{}-{test}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Scratch(directory)
    }

    fn write(&self, path: &str, text: &str) -> String {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn path(&self, path: &str) -> String {
        self.0.join(path).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(options: &[String]) -> Sources {
    Sources {
        options: options.to_vec(),
        ..Sources::default()
    }
}

/// A library without the files that this machine may have.
fn load(sources: &Sources) -> (Library, Vec<String>) {
    let mut library = Library::shipped();
    let complaints = library.load(sources).unwrap();
    library.system = Layer::default();
    let told = complaints.iter().filter(|c| !c.file.starts_with("/etc/"));
    (library.clone(), told.map(|c| c.to_string()).collect())
}

#[track_caller]
fn check(library: &Library, symbol: &str, sonames: &[&str], result: &str) {
    let found = library.lookup(symbol, sonames);
    let found = found.map_or("none".to_owned(), |found| found.result.to_string());
    assert_eq!(found, result, "{symbol} in {sonames:?}");
}

#[test]
fn shipped_files_are_understood() {
    let mut loader = Loader::new(Vec::new());
    for (name, _) in FILES {
        let parsed = loader.import(name).unwrap();
        assert!(!parsed.functions.is_empty(), "{name}");
    }
    let complaints: Vec<String> = loader.complaints.iter().map(|c| c.to_string()).collect();
    assert_eq!(complaints, Vec::<String>::new());
    let libc = loader.import("libc.so").unwrap();
    assert!(libc.functions.len() >= 400, "{}", libc.functions.len());
}

/// Buffers that have a length are shown whole, as memcpy's are; a size that is an error is negative.
#[test]
fn shipped_buffers_and_errors() {
    let library = Library::shipped();
    let check = |symbol: &str, soname: &str, line: &str| {
        let found = library.lookup(symbol, &[soname]).map(|p| (*p).clone());
        let (parsed, _) = parse::parse("expected", line);
        let expected = parsed.functions.get(symbol).map(|p| (**p).clone());
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{symbol}");
    };
    let update = "int EVP_DigestUpdate(addr, string(array(char, arg3)*), ulong);";
    check("EVP_DigestUpdate", "libcrypto.so.3", update);
    let append = "addr json_stringn(string(array(char, arg2)*), ulong);";
    check("json_stringn", "libjansson.so.4", append);
    check(
        "mbrlen",
        "libc.so.6",
        "errno(long) mbrlen(string[arg2], ulong, addr);",
    );
}

#[test]
fn every_prototype_file_is_shipped() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("prototypes");
    let entries = directory.read_dir().unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut there: Vec<String> = names.collect();
    let mut shipped: Vec<String> = FILES.map(|(name, _)| format!("{name}.conf")).into();
    there.sort();
    shipped.sort();
    assert_eq!(there, shipped);
}

/// glibc 2.34 moved libpthread's functions into libc: no soname can be relied upon. But a `clear` that is
/// not ncurses' own is another function.
#[test]
fn some_shipped_files_serve_every_library() {
    let library = Library::shipped();
    check(&library, "puts", &["libc.so.6"], "int");
    check(&library, "puts", &["libfoo.so.1"], "int");
    check(&library, "clear", &["/opt/lib/libncurses.so.6"], "int");
    check(&library, "sin", &[], "double");
    check(&library, "pthread_join", &["libpthread.so.0"], "error(int)");
    check(&library, "clear", &["libncurses.so.6"], "int");
    check(&library, "clear", &["libfoo.so.1"], "none");
    check(&library, "no_such_function", &["libc.so.6"], "none");
}

#[test]
fn files_and_directories_of_options() {
    let dir = Scratch::new("options");
    let everywhere = dir.write("a.conf", "short puts(string);\nshort both();");
    dir.write("d/libfoo.so.conf", "long foo(int);\nlong both();");
    dir.write("d/libbar.so.2.conf", "ulong bar();");
    dir.write("d/libbar.so.conf", "uint bar();\nuint other();");
    dir.write("d/prog.conf", "float own();");
    dir.write("d/not-a-conf.txt", "nonsense");
    let (library, told) = load(&options(&[format!("{everywhere}:{}", dir.path("d"))]));
    assert_eq!(told, Vec::<String>::new());
    check(&library, "puts", &["libc.so.6"], "short");
    check(&library, "foo", &["libfoo.so.1.2.3"], "long");
    check(&library, "foo", &["libc.so.6", "libfoo.so.1"], "long");
    check(&library, "foo", &["libother.so.1"], "none");
    check(&library, "bar", &["libbar.so.2.5"], "ulong");
    check(&library, "bar", &["libbar.so.3"], "uint");
    check(&library, "other", &["libbar.so.2"], "uint");
    check(&library, "own", &["prog"], "float");
    check(&library, "own", &["prog.so.1"], "none");
    check(&library, "both", &["libfoo.so"], "long");
    check(&library, "both", &["libc.so.6"], "short");
}

#[test]
fn the_users_files_win_over_those_shipped() {
    let dir = Scratch::new("home");
    dir.write(
        "home/.config/ltrace/libc.so.conf",
        "short puts();\nshort a();\nshort b();",
    );
    dir.write("home/.ltrace/libc.so.conf", "uint a();\nuint puts();");
    dir.write("home/.ltrace/libx.so.conf", "uint x();");
    dir.write("home/.ltrace.conf", "ulong b();\nulong c();");
    dir.write("xdg/ltrace/liby.so.conf", "double y();");
    let option = dir.write("option.conf", "float a();");
    let mut sources = Sources {
        home: Some(dir.0.join("home")),
        config_dirs: vec![dir.0.join("nowhere"), dir.0.join("xdg")],
        ..Sources::default()
    };
    let (library, _) = load(&sources);
    check(&library, "puts", &["libc.so.6"], "short");
    check(&library, "a", &["libc.so.6"], "short");
    check(&library, "x", &["libx.so"], "uint");
    check(&library, "b", &["libc.so.6"], "short");
    check(&library, "b", &[], "ulong");
    check(&library, "c", &[], "ulong");
    check(&library, "y", &["liby.so.0"], "double");
    sources.options = vec![option];
    let (library, _) = load(&sources);
    check(&library, "a", &["libc.so.6"], "float");
    sources.config_home = Some(dir.0.join("nowhere"));
    let (library, _) = load(&sources);
    check(&library, "puts", &["libc.so.6"], "uint");
}

#[test]
fn what_is_named_must_be_there() {
    let missing = Library::shipped().load(&options(&["no/such/file.conf".to_owned()]));
    let message = missing.map(|_| ()).unwrap_err().to_string();
    let expected = "cannot read prototypes from no/such/file.conf: No such file or directory";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn complaints_name_the_file() {
    let dir = Scratch::new("complaints");
    let file = dir.write("bad.conf", "int a();\nint b(;\n");
    let (library, told) = load(&options(std::slice::from_ref(&file)));
    assert_eq!(
        told,
        [format!("{file}:2:7: error: expected a type, got ';'")]
    );
    check(&library, "a", &[], "int");
}

#[test]
fn imports_from_beside() {
    let dir = Scratch::new("beside");
    dir.write("types.conf", "typedef mine = ulong;");
    dir.write("round.conf", "import \"a\";");
    let file = dir.write("a.conf", "import \"types\";\nmine f();");
    let around = dir.write("b.conf", "import \"round\";\nimport \"a\";\nmine g();");
    let own = dir.write("libc.so.conf", "import \"libc.so\";\nsize_t h();");
    let (library, told) = load(&options(&[file, around, own]));
    assert!(told.is_empty(), "{told:?}");
    for name in ["f", "g", "h"] {
        check(&library, name, &[], "ulong");
    }
}

#[test]
fn imports() {
    let dir = Scratch::new("imports");
    dir.write("d/types.conf", "typedef mine = ulong;\nint helper();");
    dir.write("d/loop.conf", "import \"loop\";\nint looped();");
    let file = dir.write(
        "a.conf",
        "import \"types\";\nmine f();\nimport \"nowhere\";\nimport \"loop\";\nimport \"libc.so\";\nsize_t g();",
    );
    let (library, told) = load(&options(&[file.clone(), dir.path("d")]));
    let looping = Path::new(&dir.path("d")).join("loop.conf");
    let expected = [
        format!("{}:1:8: error: 'loop' imports itself", looping.display()),
        format!("{file}:3:8: error: there is no 'nowhere.conf'"),
    ];
    assert_eq!(
        {
            let mut told = told;
            told.sort();
            told
        },
        {
            let mut e = expected.to_vec();
            e.sort();
            e
        }
    );
    check(&library, "f", &[], "ulong");
    check(&library, "g", &[], "ulong");
    check(&library, "helper", &[], "int");
    check(&library, "looped", &[], "int");
}

#[test]
fn files_of_any_bytes() {
    let dir = Scratch::new("bytes");
    let path = dir.path("a.conf");
    fs::write(&path, b"int a();\n\xff\xfe\x00 b();\nint c();").unwrap();
    let (library, told) = load(&options(&[path]));
    assert_eq!(told.len(), 1);
    check(&library, "c", &[], "int");
}

#[test]
fn what_is_text() {
    #[track_caller]
    fn check(bytes: &[u8], expected: bool) {
        assert_eq!(is_text(bytes), expected, "{}", bytes.escape_ascii());
    }
    check(b"", true);
    check(b"int f(int);\r\n\t; a comment\x0c\n", true);
    check("; Stra\u{df}e\nint f(int);\n".as_bytes(), true);
    check(b"; Stra\xdfe\nint f(int);\n", true);
    check(b"\x7fELF\x02\x01\x01\0", false);
    check(b"\x1f\x8b\x08\x08\x12\x34\x56\x65\x02\x03", false);
    check(b"\x28\xb5\x2f\xfd\x04\x58\x11\x07\x92\x1b\x1e", false);
}

#[test]
fn names_without_versions() {
    let check = |soname: &str, expected: &[&str]| {
        let names: Vec<String> = super::snipped(soname).map(Into::into).collect();
        assert_eq!(names, expected, "{soname}");
    };
    check("libc.so.6", &["libc.so.6", "libc.so"]);
    check("libz.so", &["libz.so"]);
    check("/a/b.1/libtypes.so", &["libtypes.so"]);
    let bfd = "libbfd-2.40-system.so";
    check(bfd, &[bfd, "libbfd.so"]);
    let python = "libpython3.11.so.1.0";
    let names = [
        python,
        "libpython3.11.so.1",
        "libpython3.11.so",
        "libpython.so",
    ];
    check(python, &names);
    check("libxml2.so", &["libxml2.so"]);
    check("libpcre2-8.so", &["libpcre2-8.so", "libpcre2.so"]);
    check("", &[""]);
    check("-1", &["-1", ".so"]);
}
