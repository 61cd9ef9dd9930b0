//! The facts of a file written by hand, of real ones, and what is said of damaged ones.

use super::sample::{BASE, SLOTS, Sample};
use super::*;
use goblin::elf::dynamic::*;

const CLASSES: [Class; 2] = [Class::Elf32, Class::Elf64];

fn import(image: &Image, symbol: &str) -> Import {
    let found = image.imports.iter().find(|i| i.symbol == symbol);
    found
        .unwrap_or_else(|| panic!("no import {symbol:?} in {:#?}", image.imports))
        .clone()
}

fn export(image: &Image, name: &str) -> Symbol {
    let found = image.exports.iter().find(|s| s.name == name);
    found
        .unwrap_or_else(|| panic!("no export {name:?} among {}", image.exports.len()))
        .clone()
}

#[test]
fn headers_and_dynamic_section() {
    for class in CLASSES {
        let sample = Sample::new(class);
        let image = Image::parse(&sample.bytes).unwrap();
        assert_eq!((image.class, image.kind), (class, Kind::Dyn));
        let architecture = if class == Class::Elf64 {
            "x86-64"
        } else {
            "i386"
        };
        assert_eq!(image.architecture(), architecture);
        assert_eq!(image.entry, sample.text);
        assert_eq!(image.interpreter.as_deref(), Some("/lib/ld-sample.so"));
        assert_eq!(image.soname.as_deref(), Some("libsample.so.1"));
        assert_eq!(image.needed, ["libm.so.6", "libc.so.6"]);
        assert_eq!(image.dynamic, Some(sample.dynamic));
        let (fourth, word) = (3 * 2 + 1, class.word() as u64);
        assert_eq!(
            image.debug_entry,
            Some(Vaddr(sample.dynamic.0 + fourth * word))
        );
        assert_eq!(image.init, Some(sample.init));
        assert_eq!(image.got, Some(sample.slots[0]));
        assert_eq!(
            image.phdr,
            Some(Vaddr(BASE + sample.program_headers as u64))
        );
        assert_eq!(image.build_id.as_deref(), Some(&b"\xde\xad\xbe\xef"[..]));
        let size = sample.bytes.len() as u64;
        let segment = Segment {
            vaddr: Vaddr(BASE),
            mem_size: size,
            file_offset: 0,
            file_size: size,
            readable: true,
            writable: false,
            executable: true,
        };
        assert_eq!(image.segments, [segment]);
        assert!(
            image
                .text(&sample.bytes)
                .eq([(Vaddr(BASE), &sample.bytes[..])])
        );
    }
}

#[test]
fn imports_of_every_binding() {
    for class in CLASSES {
        let sample = Sample::new(class);
        let image = Image::parse(&sample.bytes).unwrap();
        let text = sample.text.0;
        let resolved = |resolver| {
            (
                Binding::Irelative {
                    resolver: Vaddr(resolver),
                },
                SymbolKind::Ifunc,
            )
        };
        let expected = [
            (
                "puts",
                0,
                (Binding::JumpSlot, SymbolKind::Func),
                Some("libc.so.6"),
            ),
            ("choose", 1, resolved(text + 6), None),
            ("pick", 3, resolved(text + 12), None),
            ("hook", 2, (Binding::GlobDat, SymbolKind::NoType), None),
            (
                "abort",
                4,
                (Binding::GlobDat, SymbolKind::Func),
                Some("libm.so.6"),
            ),
        ];
        assert_eq!(image.imports.len(), expected.len(), "{:#?}", image.imports);
        for (found, (symbol, slot, (binding, kind), library)) in image.imports.iter().zip(expected)
        {
            let version = library.map(|library: &str| {
                Arc::new(Version {
                    name: "GLIBC_2.34".to_owned(),
                    library: library.to_owned(),
                })
            });
            let slot = sample.slots[slot];
            let symbol = symbol.to_owned();
            // Without addends of their own, relocations keep them in the slots.
            let content = match (class, binding) {
                (Class::Elf32, Binding::Irelative { resolver }) => resolver.0,
                _ => 0,
            };
            assert_eq!(
                *found,
                Import {
                    symbol,
                    version,
                    slot,
                    binding,
                    kind,
                    content
                }
            );
        }
    }
}

#[test]
fn exports_are_found_through_either_hash_table() {
    for class in CLASSES {
        let text = Sample::new(class).text.0;
        let expected = [
            ("work", text, SymbolKind::Func, Scope::Global),
            ("choose", text + 6, SymbolKind::Ifunc, Scope::Weak),
            ("label", text + 12, SymbolKind::NoType, Scope::Global),
        ]
        .map(|(name, vaddr, kind, scope)| Symbol {
            name: name.to_owned(),
            vaddr: Vaddr(vaddr),
            size: 6,
            kind,
            scope,
        });
        for tag in [DT_NULL + 0x5555, DT_GNU_HASH, DT_HASH] {
            let image = Image::parse(&Sample::new(class).without(tag).bytes).unwrap();
            assert_eq!(image.exports, expected, "without {tag:#x}");
        }
        let neither = Sample::new(class).without(DT_GNU_HASH).without(DT_HASH);
        assert_eq!(Image::parse(&neither.bytes).unwrap().exports, []);
    }
}

#[test]
fn symbols_of_the_file() {
    for class in CLASSES {
        let sample = Sample::new(class);
        let at = Vaddr(sample.text.0 + 12);
        let expected =
            [("helper", SymbolKind::Func), ("pick", SymbolKind::Ifunc)].map(|(name, kind)| {
                Symbol {
                    name: name.to_owned(),
                    vaddr: at,
                    size: 6,
                    kind,
                    scope: Scope::Local,
                }
            });
        assert_eq!(Image::file_symbols(&sample.bytes).unwrap(), expected);
    }
}

#[test]
fn a_file_without_section_headers_keeps_its_imports() {
    let mut sample = Sample::new(Class::Elf64);
    sample.bytes[0x28..0x30].fill(0);
    assert_eq!(Image::file_symbols(&sample.bytes), Ok(Vec::new()));
    let image = Image::parse(&sample.bytes).unwrap();
    let names: Vec<_> = image.imports.iter().map(|i| i.symbol.as_str()).collect();
    assert_eq!(names, ["puts", "choose", "", "hook", "abort"]);
}

#[test]
fn uses_of_slots_in_the_text() {
    CLASSES.into_iter().for_each(check_uses);
}

#[track_caller]
fn check_uses(class: Class) {
    let sample = Sample::new(class);
    let image = Image::parse(&sample.bytes).unwrap();
    let found = image.references(&sample.bytes, &sample.slots);
    let at = |offset| vec![Vaddr(sample.text.0 + offset)];
    for (symbol, found) in SLOTS.iter().zip(found) {
        let expected = match *symbol {
            "puts" => References {
                jumps: at(0),
                ..References::default()
            },
            "abort" => References {
                calls: at(6),
                ..References::default()
            },
            "hook" => References {
                escapes: true,
                ..References::default()
            },
            _ => References::default(),
        };
        assert_eq!(found, expected, "{symbol}");
    }
}

#[test]
fn a_foreign_architecture_is_no_error() {
    let mut sample = Sample::new(Class::Elf64);
    sample.bytes[0x12..0x14].copy_from_slice(&EM_AARCH64.to_le_bytes());
    let image = Image::parse(&sample.bytes).unwrap();
    assert_eq!(image.machine, EM_AARCH64);
    assert_eq!(image.architecture(), "AARCH64");
    assert_eq!(image.segments.len(), 1);
    assert_eq!(image.imports, []);
}

#[track_caller]
fn check(damage: impl FnOnce(&mut Sample), message: &str) {
    let mut sample = Sample::new(Class::Elf64);
    damage(&mut sample);
    let error = Image::parse(&sample.bytes).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn what_is_said_of_unusable_files() {
    check(|s| s.bytes.clear(), "not an ELF file");
    check(|s| s.bytes = b"#!/bin/sh\n".to_vec(), "not an ELF file");
    check(
        |s| s.bytes.truncate(10),
        "damaged ELF file: its header lies outside the file",
    );
    check(
        |s| s.bytes.truncate(60),
        "damaged ELF file: its header lies outside the file",
    );
    check(|s| s.bytes[EI_CLASS] = 7, "unknown ELF class 7");
    check(
        |s| s.bytes[EI_DATA] = ELFDATA2MSB,
        "a big-endian ELF file, which this tracer cannot read",
    );
    check(
        |s| s.bytes[0x36] = 1,
        "damaged ELF file: its program header table has entries of a wrong size",
    );
    check(
        |s| s.bytes.truncate(100),
        "damaged ELF file: its program header table lies outside the file",
    );
    check(
        |s| s.bytes.truncate(s.dynamic_offset),
        "damaged ELF file: its dynamic section lies outside the file",
    );
    check(
        |s| s.bytes.truncate(s.bytes.len() / 2),
        "damaged ELF file: its relocation table lies outside the file",
    );
}

#[test]
fn damaged_section_headers_are_told() {
    let sample = Sample::new(Class::Elf64);
    let outside = Err(Error::Outside("section header table"));
    let cut = &sample.bytes[..sample.bytes.len() - 1];
    assert_eq!(Image::file_symbols(cut), outside);
    let mut bytes = sample.bytes.clone();
    bytes[0x3a] = 1;
    assert_eq!(
        Image::file_symbols(&bytes),
        Err(Error::EntrySize("section header table"))
    );
}

#[test]
fn the_test_program_itself() {
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let image = Image::parse(&bytes).unwrap();
    assert!(
        image.needed.iter().any(|name| name.starts_with("libc.so")),
        "{:?}",
        image.needed
    );
    assert!(image.interpreter.is_some() && image.debug_entry.is_some());
    let malloc = import(&image, "malloc");
    let references = image.references(&bytes, &[malloc.slot]);
    let References {
        calls,
        jumps,
        escapes,
    } = &references[0];
    assert!(calls.len() + jumps.len() > 0 || *escapes);
    let name = "the_test_program_itself";
    let symbols = Image::file_symbols(&bytes).unwrap();
    let own = symbols
        .iter()
        .find(|symbol| symbol.name.contains(name))
        .unwrap();
    assert!(
        image
            .segments
            .iter()
            .any(|s| s.executable && s.contains(own.vaddr))
    );
}

#[test]
fn the_c_library() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths = maps
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(5));
    let path = paths
        .find(|path| path.ends_with("/libc.so.6"))
        .expect("a glibc");
    let image = Image::parse(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(image.soname.as_deref(), Some("libc.so.6"));
    assert_eq!(export(&image, "malloc").kind, SymbolKind::Func);
    assert_eq!(export(&image, "strlen").kind, SymbolKind::Ifunc);
    assert!(!image.exports.iter().any(|symbol| symbol.name == "environ"));
    let irelative = |i: &&Import| matches!(i.binding, Binding::Irelative { .. });
    assert!(
        image
            .imports
            .iter()
            .filter(irelative)
            .any(|import| !import.symbol.is_empty())
    );
}
