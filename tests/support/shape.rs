//! The shapes in which compilers and linkers of today write calls into an ELF file. Every fixture
//! can be built in every shape, and must then give the same lines.

/// How a fixture is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// gcc's default: position-independent, `.plt`, bound at the first call.
    Pie,
    /// At a fixed address.
    NoPie,
    /// Bound before main (`DF_BIND_NOW`), all of the GOT read-only afterwards.
    Now,
    /// No stubs at all: `call *slot(%rip)`.
    NoPlt,
    /// No stubs at a fixed address: on i386 `call *slot`.
    NoPltNoPie,
    /// Two stubs a function: `.plt` for the binding, `.plt.sec` for the calls.
    Ibt,
    /// The same, bound before main: the default of Ubuntu.
    IbtNow,
    /// clang with ld.
    Clang,
    /// clang with lld.
    Lld,
    /// gcc with gold.
    Gold,
    /// No read-only GOT.
    NoRelro,
    /// Relative relocations packed (`DT_RELR`).
    Relr,
    /// No symbol table but the dynamic one.
    Stripped,
    /// No section headers, as packers leave it.
    NoSections,
    /// Optimised, and stripped of all that optimisation leaves unused.
    Optimised,
    /// musl's C library.
    Musl,
    /// No dynamic linking.
    Static,
    /// No dynamic linking, position-independent.
    StaticPie,
    /// For i386.
    M32,
}

/// What happens to a file after linking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing.
    AsLinked,
    /// Run `strip` over it.
    Strip,
    /// Take the section headers away.
    DropSections,
}

/// The words of a shape.
pub struct Recipe {
    /// Instead of `gcc`.
    pub cc: &'static str,
    /// Instead of `g++`.
    pub cxx: &'static str,
    /// For every file.
    pub all: &'static [&'static str],
    /// For programs only, not for shared libraries.
    pub program: &'static [&'static str],
    /// Afterwards.
    pub finish: Finish,
}

impl Shape {
    /// The directory name of what is built in this shape.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// How to build in this shape.
    pub fn recipe(self) -> Recipe {
        let gcc = |all, program| Recipe {
            cc: "gcc",
            cxx: "g++",
            all,
            program,
            finish: Finish::AsLinked,
        };
        let clang = |all, program| Recipe {
            cc: "clang",
            cxx: "clang++",
            ..gcc(all, program)
        };
        // Spelled out, since distributions have different defaults.
        const LAZY: &[&str] = &["-fPIC", "-fcf-protection=none", "-Wl,-z,lazy"];
        const PIE: &[&str] = &["-pie"];
        match self {
            Shape::Pie => gcc(LAZY, PIE),
            Shape::NoPie => gcc(
                &["-fcf-protection=none", "-Wl,-z,lazy"],
                &["-fno-pie", "-no-pie"],
            ),
            Shape::Now => gcc(
                &["-fPIC", "-fcf-protection=none", "-Wl,-z,relro,-z,now"],
                PIE,
            ),
            Shape::NoPlt => gcc(&["-fPIC", "-fno-plt", "-Wl,-z,now"], PIE),
            Shape::NoPltNoPie => gcc(
                &["-fno-plt", "-fcf-protection=none", "-Wl,-z,now"],
                &["-fno-pie", "-no-pie"],
            ),
            Shape::Ibt => gcc(
                &["-fPIC", "-fcf-protection", "-Wl,-z,ibtplt", "-Wl,-z,lazy"],
                PIE,
            ),
            Shape::IbtNow => gcc(
                &["-fPIC", "-fcf-protection", "-Wl,-z,ibtplt", "-Wl,-z,now"],
                PIE,
            ),
            Shape::Clang => clang(LAZY, PIE),
            Shape::Lld => clang(&["-fPIC", "-fuse-ld=lld", "-Wl,-z,lazy"], PIE),
            Shape::Gold => gcc(
                &[
                    "-fPIC",
                    "-fcf-protection=none",
                    "-fuse-ld=gold",
                    "-Wl,-z,lazy",
                ],
                PIE,
            ),
            Shape::NoRelro => gcc(
                &[
                    "-fPIC",
                    "-fcf-protection=none",
                    "-Wl,-z,lazy",
                    "-Wl,-z,norelro",
                ],
                PIE,
            ),
            Shape::Relr => gcc(&["-fPIC", "-Wl,-z,pack-relative-relocs"], PIE),
            Shape::Stripped => Recipe {
                finish: Finish::Strip,
                ..gcc(LAZY, PIE)
            },
            Shape::NoSections => Recipe {
                finish: Finish::DropSections,
                ..gcc(LAZY, PIE)
            },
            Shape::Optimised => gcc(
                &["-fPIC", "-O2", "-fno-plt", "-ffunction-sections", "-Wl,-O1"],
                &["-pie", "-Wl,--gc-sections", "-Wl,--as-needed", "-s"],
            ),
            Shape::Musl => Recipe {
                cc: "musl-gcc",
                cxx: "no C++ library for musl",
                ..gcc(&["-fPIC"], PIE)
            },
            Shape::Static => gcc(&[], &["-static"]),
            Shape::StaticPie => gcc(&["-fPIC"], &["-static-pie"]),
            Shape::M32 => gcc(&["-m32"], &[]),
        }
    }
}
