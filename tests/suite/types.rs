//! Arguments and results by the types of debug information, wherever that is.

use crate::support::expect::same_text;
use crate::support::fixture::{file, fixture, shaped, shaped_32};
use crate::support::program::Program;
use crate::support::shape::Shape;
use crate::support::skip::{find, skip};
use crate::support::{ltrace, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The trace is what the fixture says, and the end.
#[track_caller]
fn check(program: &Path) {
    let run = ltrace([program]).finish().exits(0);
    let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
    same_text(&run.stderr, &expected);
}

#[test]
fn every_kind_by_its_type() {
    let shapes = [Shape::Pie, Shape::Clang, Shape::NoPlt, Shape::Musl];
    let programs = shapes.map(|shape| shaped("types", shape));
    for program in programs.into_iter().flatten() {
        check(&program);
    }
}

#[test]
fn of_programs_of_32_bits() {
    if let Some(program) = shaped_32("types", Shape::Pie) {
        check(&program);
    }
}

/// A directory with the fixture in it, its library made by other commands.
struct Build(PathBuf);

impl Build {
    fn new(name: &str) -> Build {
        let dir = scratch(&format!("types-{name}"));
        for name in ["types.c", "types.h", "libtypes.c", "expect.h"] {
            std::fs::copy(file(name), dir.join(name)).unwrap();
        }
        Build(dir)
    }

    /// Runs a command there; false, and the case skipped, where it is missing or refuses.
    fn run(&self, command: &str) -> bool {
        let words: Vec<&str> = command.split_whitespace().collect();
        if find(words[0]).is_none() {
            skip(&format!("{} is not installed", words[0]));
            return false;
        }
        let output = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&self.0)
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            skip(&format!("{command}: {}", said.lines().next().unwrap_or("")));
        }
        output.status.success()
    }

    /// The library of these commands shows what the fixture says.
    #[track_caller]
    fn check(&self, commands: &[&str]) {
        let program = "gcc -w types.c -o types -L. -ltypes -Wl,-rpath,$ORIGIN";
        if commands.iter().all(|command| self.run(command)) && self.run(program) {
            check(&self.0.join("types"));
        }
    }
}

#[test]
fn of_every_version_of_dwarf() {
    for flags in [
        "-gdwarf-2",
        "-gdwarf-3",
        "-gdwarf-4",
        "-gdwarf-5",
        "-gdwarf-5 -gz=zlib",
        "-gdwarf-4 -fdebug-types-section",
        "-gdwarf-5 -fdebug-types-section",
        "-g -O2",
        "-g -O2 -flto",
    ] {
        for compiler in ["gcc", "clang"] {
            let build = Build::new("versions");
            let command = format!("{compiler} -w {flags} -shared -fPIC libtypes.c -o libtypes.so");
            build.check(&[&command]);
        }
    }
}

#[test]
fn in_files_of_their_own() {
    let separated = [
        "gcc -w -g -Wl,--build-id -shared -fPIC libtypes.c -o libtypes.so",
        "objcopy --only-keep-debug libtypes.so libtypes.debug",
        "strip --strip-debug libtypes.so",
        "objcopy --add-gnu-debuglink=libtypes.debug libtypes.so",
    ];
    Build::new("link").check(&separated);
    for compiler in ["gcc", "clang"] {
        for version in ["4", "5"] {
            let split = format!(
                "{compiler} -w -gdwarf-{version} -gsplit-dwarf -fPIC -c libtypes.c -o libtypes.o"
            );
            let link = format!("{compiler} -shared libtypes.o -o libtypes.so");
            Build::new("split").check(&[&split, &link]);
        }
    }
}

/// clang does not say where a parameter is that a function does not read: those who call it and know that leave its register
/// as it is. Who does not know it passes it.
#[test]
fn what_a_function_does_not_read() {
    let build = Build::new("unread");
    let library = "__attribute__((noinline)) int f(int a, int b, const char *c) { return a + *c; }\n\
                   int g(int n) { return f(n, n * 7, \"c\"); }\n";
    let program = "int f(int, int, const char *), g(int);\nint main(int n) { return f(n, 2, \"a\") + g(n) > 999; }\n";
    std::fs::write(build.0.join("unread.c"), library).unwrap();
    std::fs::write(build.0.join("calls.c"), program).unwrap();
    let library = "clang -g -O2 -shared -fPIC unread.c -o libunread.so";
    if !build.run(library) || !build.run("clang calls.c -o calls -L. -lunread -Wl,-rpath,$ORIGIN") {
        return;
    }
    let run = ltrace(["-a", "1", "-x", "f@libunread.so"]).arg(build.0.join("calls"));
    run.finish()
        .exits(0)
        .has_line("f(1, 2, \"a\" <unfinished ...>")
        .has_line("f@libunread.so(1, ?, \"c\") = 100");
}

/// Vectors of 32 bytes have a register of their own, of which half is not seen; what is beside them is.
#[test]
fn vectors_in_larger_registers() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    if !cpu.contains(" avx ") {
        return skip("the processor has no AVX");
    }
    let build = Build::new("avx");
    let v8 = "typedef float v8 __attribute__((vector_size(32)));\nv8 f(v8 a, int n, double d, const char *s)";
    let library = format!("{v8} {{ return a * (float)n; }}\n");
    let program = format!(
        "{v8};\nint main(void) {{ v8 a = {{ 1, 2, 3 }}; return f(a, 7, 2.5, \"text\")[0] - 7; }}\n"
    );
    std::fs::write(build.0.join("libavx.c"), library).unwrap();
    std::fs::write(build.0.join("avx.c"), program).unwrap();
    for compiler in ["gcc", "clang"] {
        let compile = format!("{compiler} -mavx");
        let library = format!("{compile} -g -shared -fPIC libavx.c -o libavx.so");
        let program = format!("{compile} avx.c -o avx -L. -lavx -Wl,-rpath,$ORIGIN");
        if build.run(&library) && build.run(&program) {
            let run = ltrace(["-a", "1", "-x", "f@libavx.so"]).arg(build.0.join("avx"));
            run.finish()
                .exits(0)
                .has_line("f(?, 7, 2.500000, \"text\" <unfinished ...>")
                .has_line("f@libavx.so(?, 7, 2.500000, \"text\") = ?");
        }
    }
}

/// Structures of the C library are shown by the program's own functions as by the library's.
#[test]
fn of_the_c_library() {
    let build = Build::new("system");
    let source = r#"#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
struct own { struct sockaddr_in at[2]; sigset_t set; pthread_mutex_t lock; int last; };
int by_value(sigset_t set, clockid_t clock) { return clock; }
int pointed(struct sockaddr *to, struct stat *stat, struct pollfd *poll, pthread_mutex_t *lock) { return lock != 0; }
int within(struct own *own) { return own->last; }
int handler(siginfo_t *info) { return info->si_code; }
int main(void) {
    struct sockaddr_in at = { AF_INET, htons(80), { htonl(0x7f000001) } };
    struct stat stat = { .st_mode = S_IFREG | 0644, .st_size = 3 };
    struct pollfd poll = { 1, POLLIN, POLLHUP };
    struct own own = { { at, at }, .last = 7 };
    siginfo_t info = { .si_signo = SIGSEGV, .si_code = SEGV_MAPERR };
    sigemptyset(&own.set);
    sigaddset(&own.set, SIGINT);
    by_value(own.set, CLOCK_MONOTONIC);
    pointed((struct sockaddr *)&at, &stat, &poll, 0);
    within(&own);
    handler(&info);
}
"#;
    std::fs::write(build.0.join("system.c"), source).unwrap();
    for compiler in ["gcc", "clang"] {
        if !build.run(&format!("{compiler} -g system.c -o system")) {
            continue;
        }
        for how in ["auto", "stop"] {
            let run = ltrace(["-L", "-a", "1", "-x", "by_value+pointed+within+handler"]);
            let run = run.args(["--instrument", how]).arg(build.0.join("system"));
            let run = run.finish().exits(0);
            let stat = "{ st_mode=S_IFREG|0644, st_uid=0, st_gid=0, st_size=3, st_mtime=0 }";
            run.has_line("by_value([ SIGINT ], CLOCK_MONOTONIC) = 1")
                .has_line(&format!(
                    "pointed({{ AF_INET, 127.0.0.1:80 }}, {stat}, {{ fd=1, events=POLLIN, revents=POLLHUP }}, nil) = 0"
                ))
                .has_line(
                    "within({ at=[ { AF_INET, 127.0.0.1:80 }, { AF_INET, 127.0.0.1:80 } ], set=[ SIGINT ], last=7 }) = 7",
                )
                .has_line("handler({ si_signo=SIGSEGV, si_code=SEGV_MAPERR }) = 1");
        }
    }
}

/// Locks of C++'s library are addresses, and those of others what they hold.
#[test]
fn locks_of_cxx() {
    let build = Build::new("locks");
    let source = "#include <condition_variable>\n#include <mutex>\n\
                  struct Own { int a = 1; std::mutex lock; int b = 2; };\n\
                  namespace mine { struct mutex { int locked = 3; }; }\n\
                  int f(std::mutex *lock, std::condition_variable *, Own &own, mine::mutex &) { return lock != nullptr; }\n\
                  int main() { Own own; mine::mutex mine; return f(nullptr, nullptr, own, mine); }\n";
    std::fs::write(build.0.join("locks.cc"), source).unwrap();
    for compiler in ["g++", "clang++"] {
        if build.run(&format!("{compiler} -std=c++17 -g locks.cc -o locks")) {
            let run = ltrace(["-C", "-L", "-a", "1", "-x", "f"]).arg(build.0.join("locks"));
            run.finish()
                .exits(0)
                .has_line("f(nil, nil, { a=1, b=2 }, { locked=3 }) = 0");
        }
    }
}

/// A structure that is part of one parameter, and pointed to by another.
#[test]
fn parts_that_are_pointed_to_as_well() {
    let build = Build::new("parts");
    let source = "struct part { int p; };\nstruct whole { struct part part; int w; };\n\
                  int f(struct whole *whole, struct part *part) { return whole->w; }\n\
                  int main(void) { struct whole w = { { 1 }, 2 }; return f(&w, &w.part) - 2; }\n";
    std::fs::write(build.0.join("parts.c"), source).unwrap();
    if build.run("gcc -g parts.c -o parts") {
        let run = ltrace(["-L", "-a", "1", "-x", "f"]).arg(build.0.join("parts"));
        let run = run.finish().exits(0);
        run.has_line("f({ part={ p=1 }, w=2 }, { p=1 }) = 2");
    }
}

/// Arrays at the end of a structure that have no length, and characters of C11.
#[test]
fn what_has_no_length_and_wide_characters() {
    let build = Build::new("flexible");
    let source = "#include <stdlib.h>\n#include <string.h>\n#include <uchar.h>\n\
                  struct text { int n; char text[]; };\nstruct numbers { int n; int numbers[]; };\n\
                  int text(struct text *t) { return t->n; }\nint numbers(struct numbers *t) { return t->n; }\n\
                  int wide(const char16_t *s, const char32_t *t, char16_t c, char32_t d) { return 1; }\n\
                  int main(void) {\n    struct text *t = malloc(99);\n    t->n = 5;\n    strcpy(t->text, \"hello\");\n\
                  text(t);\n    numbers((void *)t);\n    wide(u\"\u{e9}\u{1f600}\", U\"\u{1f600}\", u'\u{416}', U'\u{1f600}');\n    return 0;\n}\n";
    std::fs::write(build.0.join("flexible.c"), source).unwrap();
    for compiler in ["gcc", "clang"] {
        if !build.run(&format!("{compiler} -g flexible.c -o flexible")) {
            continue;
        }
        for how in ["auto", "stop"] {
            let run = ltrace([
                "-L",
                "-a",
                "1",
                "-x",
                "text+numbers+wide",
                "--instrument",
                how,
            ]);
            let run = run.env("LC_ALL", "C.UTF-8").arg(build.0.join("flexible"));
            run.finish()
                .exits(0)
                .has_line("text({ n=5, text=\"hello\" }) = 5")
                .has_line("numbers({ n=5, numbers=? }) = 5")
                .has_line("wide(\"\u{e9}\u{1f600}\", \"\u{1f600}\", '\u{416}', '\u{1f600}') = 1");
        }
    }
}

/// Prototypes that are written down for the library go before what debug information says, and so do types.
#[test]
fn what_the_user_says_goes_first() {
    let Some(program) = shaped("types", Shape::Pie) else {
        return;
    };
    let conf = scratch("types-conf").join("types.conf");
    let text =
        "int f_enum(hex(int), bool(int));\ntypedef point = hex(long);\ntypedef list = void;\n";
    std::fs::write(&conf, text).unwrap();
    let run = ltrace(["-a", "1", "-F", conf.to_str().unwrap()]);
    let run = run.arg(program).finish().exits(0);
    let lists = run.count("f_list(0x");
    assert_eq!(lists, 1, "{}", run.told());
    run.has_line("f_enum(0, true) = 0")
        .has_line("f_big({ a=1, b=2, c=3, text=\"big\" }, 0xfffffff800000007) = { a=8, b=2, c=3, text=\"big\" }");
}

#[test]
fn names_of_arguments() {
    let Some(program) = shaped("types", Shape::Pie) else {
        return;
    };
    let conf = scratch("types-names").join("names.conf");
    std::fs::write(
        &conf,
        "void f_file(FILE *, +int hidden);\nint f_text(+string first, string);\n",
    )
    .unwrap();
    let run = ltrace(["-a", "1", "--arg-names", "-F", conf.to_str().unwrap()]);
    let run = run.arg(program).finish().exits(0);
    run.has_line("f_enum(a=A, b=B) = 0")
        .has_line("f_big(big={ a=1, b=2, c=3, text=\"big\" }, point={ x=7, y=-8 }) = { a=8, b=2, c=3, text=\"big\" }")
        .has_line("f_format(format=\"%d %s\", 3, \"x\") = <void>")
        .has_line("f_text(first=\"text\", nil) = -1");
}

#[test]
fn of_cxx() {
    for shape in [Shape::Pie, Shape::Clang] {
        let Some(program) = shaped("types_cxx", shape) else {
            return;
        };
        let names = "app::paint+app::add+app::count+app::texts+app::many+app::owned+app::letters+app::wide+app::unused+\
                     app::gauge::~gauge+app::derived::get+app::box<int>::put";
        let run = ltrace(["-C", "-L", "-x", names]).arg(program);
        let run = run.finish().exits(0);
        let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
        same_text(&run.stderr, &expected);
    }
}

/// Without debug information, by what the names tell.
#[test]
fn of_mangled_names() {
    for shape in [Shape::Pie, Shape::Clang] {
        let Some(program) = shaped("mangled", shape) else {
            return;
        };
        let run = ltrace(["-C", "-e", "app::*"]).arg(&program);
        let run = run.finish().exits(0);
        let expected = format!("{}+++ exited (status 0) +++\n", run.stdout);
        same_text(&run.stderr, &expected);
    }
    let Some(program) = fixture("mangled") else {
        return;
    };
    let function = "_ZNK3app7counter4nameB5cxx11Ei";
    let told = ltrace(["--prototype", function]).arg(&program);
    let told = told.env("LD_LIBRARY_PATH", program.parent().unwrap());
    let told = told.finish();
    let known = "(hide(void*), void* this, int);\n    by its name and its code in ";
    assert!(told.stdout.contains(known), "{}", told.told());
    let run = ltrace(["-C", "-e", "app::counter::name", "--arg-names"]);
    let run = run.arg(&program).finish().exits(0);
    assert!(run.stderr.contains("name(this=0x"), "{}", run.told());
    // A prototype goes first.
    let conf = scratch("mangled").join("mangled.conf");
    std::fs::write(&conf, format!("void {function}(addr, hex(int));\n")).unwrap();
    let run = ltrace(["-C", "-e", "app::counter::name", "-F"]).arg(&conf);
    let run = run.arg(&program).finish().exits(0);
    assert!(run.stderr.contains("= <void>"), "{}", run.told());
}

/// Headers of what is installed, as the preprocessor leaves them, are understood to the last declaration.
#[test]
fn headers_of_c() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let dir = scratch("headers");
    for name in ["stdio.h", "sqlite3.h", "zlib.h", "curl/curl.h"] {
        let header = dir.join(name.replace('/', "-"));
        let preprocess = format!("echo '#include <{name}>' | cc -E - > {}", header.display());
        let done = Program::new("sh").args(["-c", &preprocess]).finish();
        if done.code() != 0 {
            skip(&format!("there is no {name}"));
            continue;
        }
        let run = ltrace(["-F", header.to_str().unwrap()]).arg(&program);
        let run = run.finish();
        assert!(!run.stderr.contains("error: "), "{}", run.told());
        assert!(run.stderr.contains("malloc(100)"), "{}", run.told());
    }
}

#[test]
fn structures_of_a_header() {
    let Some(program) = shaped("types", Shape::Pie) else {
        return;
    };
    let header = scratch("header").join("types.h");
    let text = "/* as it might be written */\n\
                struct big { long a, b; int c; char text[5]; } ;\n\
                struct point { int x; int y; };\n\
                struct big f_big(struct big big, struct point);\n\
                int f_enum(nothing);\n\
                extern _Bool f_bool(_Bool flag, char letter, short, int);\n";
    std::fs::write(&header, text).unwrap();
    let run = ltrace(["-a", "1", "-F", header.to_str().unwrap()]);
    let run = run.arg(program).finish().exits(0);
    let complaint = format!("{}:5:12: error: unknown type 'nothing'", header.display());
    assert!(run.stderr.contains(&complaint), "{}", run.told());
    run.has_line("f_bool(true, 'c', -2, 119) = false")
        .has_line("f_enum(A, B) = 0");
}
