//! Functions of random signatures, called with random values: what the trace shows by debug information alone is what was
//! passed. The numbers are the same in every run, unless LTRACE_SIGNATURES=COUNT,SEED says otherwise: 2,000 signatures were
//! tried once, with gcc and clang, for 64 and 32 bits.

use crate::support::expect::same_text;
use crate::support::skip::{find, skip};
use crate::support::{ltrace, scratch};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const FUNCTIONS: usize = 100;

/// Numbers without end (Marsaglia, "Xorshift RNGs", 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A value: its type and itself in C, and as a line shows it.
struct Given {
    ty: String,
    value: String,
    shown: String,
}

/// A source on its way.
struct Source {
    numbers: Numbers,
    structures: String,
    count: usize,
    /// The bits of a `long`.
    long: u32,
}

impl Source {
    fn integer(&mut self, ty: &str, bits: u32, signed: bool) -> Given {
        let value = match self.numbers.below(4) {
            0 => self.numbers.below(2),
            1 => self.numbers.below(100),
            2 => u64::MAX,
            _ => self.numbers.next(),
        };
        let unused = 64 - bits;
        let shown = match signed {
            true => ((value << unused) as i64 >> unused).to_string(),
            false => (value << unused >> unused).to_string(),
        };
        Given {
            ty: ty.to_owned(),
            value: format!("({ty}){value}ull"),
            shown,
        }
    }

    fn scalar(&mut self) -> Given {
        let given = |ty: &str, value: &str, shown: &str| Given {
            ty: ty.to_owned(),
            value: value.to_owned(),
            shown: shown.to_owned(),
        };
        let long = self.long;
        // Those that both compilers have for 64 bits only.
        let kinds = if long == 64 { 17 } else { 14 };
        match self.numbers.below(kinds) {
            14 => self.wide(),
            kind @ (15 | 16) => {
                let part = ["float", "double"][kind as usize - 15];
                let number = self.numbers.below(8000) as f64 / 4.0;
                Given {
                    ty: format!("{part} _Complex"),
                    value: format!("__builtin_complex(({part}){number:?}, ({part})0.25)"),
                    shown: format!("{{ {number:.6}, 0.250000 }}"),
                }
            }
            0 => self.integer("short", 16, true),
            1 => self.integer("unsigned short", 16, false),
            2 => self.integer("int", 32, true),
            3 => self.integer("unsigned", 32, false),
            4 => self.integer("long", long, true),
            5 => self.integer("unsigned long", long, false),
            6 => self.integer("long long", 64, true),
            7 => given("char", "'x'", "'x'"),
            8 => given("_Bool", "1", "true"),
            9 => given("void *", "(void *)0x1234", "0x1234"),
            10 => given("const char *", "\"abc\"", "\"abc\""),
            kind => {
                let ty = ["float", "double", "long double"][kind as usize - 11];
                let number = self.numbers.below(8000) as f64 / 4.0 - 1000.0;
                given(ty, &format!("{number:?}"), &format!("{number:.6}"))
            }
        }
    }

    /// An integer of 16 bytes.
    fn wide(&mut self) -> Given {
        let [high, low] = [(); 2].map(|()| self.numbers.next() >> self.numbers.below(64));
        Given {
            ty: "__int128".to_owned(),
            value: format!("((__int128){high}ull << 64 | {low}ull)"),
            shown: ((u128::from(high) << 64 | u128::from(low)) as i128).to_string(),
        }
    }

    fn structure(&mut self, depth: usize) -> Given {
        let (mut members, mut values, mut shown) = (String::new(), Vec::new(), Vec::new());
        for index in 0..=self.numbers.below(5) {
            match self.numbers.below(8) {
                0 if depth < 2 => {
                    let inner = self.structure(depth + 1);
                    let _ = write!(members, "{} m{index}; ", inner.ty);
                    values.push(inner.value);
                    shown.push(format!("m{index}={}", inner.shown));
                }
                1 => {
                    let bits = 1 + self.numbers.below(20);
                    let value = self.numbers.next() >> (64 - bits);
                    let _ = write!(members, "unsigned m{index} : {bits}; ");
                    values.push(value.to_string());
                    shown.push(format!("m{index}={value}"));
                }
                2 => {
                    let (a, b) = (self.integer("int", 32, true), self.integer("int", 32, true));
                    let _ = write!(members, "int m{index}[2]; ");
                    values.push(format!("{{{}, {}}}", a.value, b.value));
                    shown.push(format!("m{index}=[ {}, {} ]", a.shown, b.shown));
                }
                _ => {
                    let scalar = self.scalar();
                    let _ = write!(members, "{} m{index}; ", scalar.ty);
                    values.push(scalar.value);
                    shown.push(format!("m{index}={}", scalar.shown));
                }
            }
        }
        self.count += 1;
        let ty = format!("struct s{}", self.count);
        let _ = writeln!(self.structures, "{ty} {{ {members}}};");
        Given {
            value: format!("({ty}){{{}}}", values.join(", ")),
            ty,
            shown: format!("{{ {} }}", shown.join(", ")),
        }
    }

    fn any(&mut self) -> Given {
        match self.numbers.below(5) {
            0 | 1 => self.structure(0),
            _ => self.scalar(),
        }
    }
}

/// How many functions, and where the numbers begin.
fn asked() -> (usize, u64) {
    let text = std::env::var("LTRACE_SIGNATURES").unwrap_or_default();
    let (count, seed) = text.split_once(',').unwrap_or(("", ""));
    (
        count.parse().unwrap_or(FUNCTIONS),
        seed.parse().unwrap_or(0x1234_5678_9abc_def1),
    )
}

/// Writes library and program into a directory; what their calls are to be shown as.
fn write(dir: &Path, long: u32) -> String {
    let (functions, seed) = asked();
    let mut source = Source {
        numbers: Numbers(seed),
        structures: String::new(),
        count: 0,
        long,
    };
    let (mut declared, mut defined, mut calls, mut expected) =
        (String::new(), String::new(), String::new(), String::new());
    for number in 0..functions {
        let count = source.numbers.below(10);
        let params: Vec<Given> = (0..count).map(|_| source.any()).collect();
        let result = source.any();
        let join = |part: fn(&Given) -> &str| {
            let parts: Vec<&str> = params.iter().map(part).collect();
            parts.join(", ")
        };
        let names = params.iter().enumerate();
        let names: Vec<String> = names.map(|(i, p)| format!("{} p{i}", p.ty)).collect();
        let names = if names.is_empty() {
            "void".to_owned()
        } else {
            names.join(", ")
        };
        let head = format!("{} f{number}({names})", result.ty);
        let _ = writeln!(declared, "{head};");
        let _ = writeln!(defined, "{head} {{ return {}; }}", result.value);
        let _ = writeln!(calls, "f{number}({});", join(|given| &given.value));
        let shown = join(|given| &given.shown);
        let _ = writeln!(expected, "f{number}({shown}) = {}", result.shown);
    }
    let header = format!("{}{declared}", source.structures);
    let include = "#include \"signatures.h\"\n";
    std::fs::write(dir.join("signatures.h"), header).unwrap();
    std::fs::write(dir.join("library.c"), format!("{include}{defined}")).unwrap();
    let program = format!("{include}int main(void) {{\n{calls}return 0;\n}}\n");
    std::fs::write(dir.join("program.c"), program).unwrap();
    expected
}

#[track_caller]
fn check(compiler: &str, flags: &[&str], long: u32) {
    if find(compiler).is_none() {
        skip(&format!("{compiler} is not installed"));
        return;
    }
    let dir = scratch(&format!("signatures-{compiler}-{long}"));
    let expected = write(&dir, long);
    let library = ["-shared", "-fPIC", "library.c", "-o", "libsignatures.so"];
    let program = ["program.c", "-o", "program", "-L.", "-lsignatures"];
    for rest in [&library[..], &program] {
        let mut command = Command::new(compiler);
        command.args(["-w", "-g", "-O1"]).args(flags).args(rest);
        let output = command.current_dir(&dir).output().unwrap();
        if !output.status.success() {
            skip(&format!("{compiler} {flags:?} does not link"));
            return;
        }
    }
    let run = ltrace(["-a", "1", "-A", "8"]).arg(dir.join("program"));
    let run = run.env("LD_LIBRARY_PATH", &dir).finish().exits(0);
    let expected = format!("{expected}+++ exited (status 0) +++\n");
    same_text(&run.stderr, &expected);
}

#[test]
fn of_gcc() {
    check("gcc", &[], 64);
}

#[test]
fn of_clang() {
    check("clang", &[], 64);
}

#[test]
fn of_32_bits() {
    check("gcc", &["-m32"], 32);
}
