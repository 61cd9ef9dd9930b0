//! Damaged files, more than 100,000 of them: nothing that a file says may bring a panic, an endless
//! loop, or more memory and time than the file's own size explains.

use super::Class;
use super::sample::{BASE, Sample};
use super::{Image, Vaddr};
use std::time::{Duration, Instant};

/// What one file may take, however wild. Honest ones take less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs everything that reads files over one, and checks the bounds that hold for any.
fn survive(bytes: &[u8]) {
    let start = Instant::now();
    let symbols = Image::file_symbols(bytes).unwrap_or_default();
    let names: usize = symbols.iter().map(|symbol| symbol.name.len()).sum();
    // Each byte of a name may become a replacement character of three.
    let limit = 3 * 16 * bytes.len();
    assert!(names <= limit);
    if let Ok(image) = Image::parse(bytes) {
        let imports = image.imports.iter().map(|import| import.symbol.len());
        let exports = image.exports.iter().map(|symbol| symbol.name.len());
        assert!(imports.sum::<usize>() + exports.sum::<usize>() <= 2 * limit);
        let text: usize = image.text(bytes).map(|(_, code)| code.len()).sum();
        assert!(text <= 2 * bytes.len());
        let slots: Vec<Vaddr> = image.imports.iter().map(|import| import.slot).collect();
        assert_eq!(image.references(bytes, &slots).len(), slots.len());
    }
    assert!(start.elapsed() < PATIENCE);
}

/// Numbers without end, the same in every run (Marsaglia, "Xorshift RNGs", 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A value such as damaged tables hold: an edge, an address or offset of a file, or noise.
    fn value(&mut self, size: usize) -> u64 {
        let near = self.below(size + 16) as u64;
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => u32::MAX.into(),
            4 => near,
            5 => near + BASE,
            6 => near / 8,
            _ => self.next(),
        }
    }

    /// Overwrites up to four fields somewhere in the first `size` bytes.
    fn damage(&mut self, bytes: &mut [u8], size: usize) {
        for _ in 0..=self.below(4) {
            let width = [1, 2, 4, 8][self.below(4)];
            let at = self.below(size - width) / width * width;
            let value = self.value(bytes.len()).to_le_bytes();
            bytes[at..at + width].copy_from_slice(&value[..width]);
        }
    }
}

fn samples() -> [Vec<u8>; 2] {
    [Class::Elf32, Class::Elf64].map(|class| Sample::new(class).bytes)
}

/// A small program of the system, as a linker made it. Some systems have all of coreutils in one
/// large file.
fn program() -> Vec<u8> {
    ["/bin/true", "/usr/bin/getent", "/usr/bin/locale"]
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .find(|bytes| Image::parse(bytes).is_ok() && bytes.len() < 1 << 17)
        .expect("a small program")
}

#[test]
fn every_prefix() {
    for sample in samples() {
        for end in 0..sample.len() {
            survive(&sample[..end]);
        }
    }
    let program = program();
    for end in (0..program.len()).step_by(23) {
        survive(&program[..end]);
    }
}

#[test]
fn every_byte_changed() {
    for sample in samples() {
        for at in 0..sample.len() {
            let mut bytes = sample.clone();
            for value in [
                0,
                1,
                0x7f,
                0x80,
                0xff,
                sample[at] ^ 8,
                sample[at].wrapping_add(1),
            ] {
                bytes[at] = value;
                survive(&bytes);
            }
        }
    }
}

#[test]
fn fields_overwritten() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for sample in samples() {
        for _ in 0..40_000 {
            let mut bytes = sample.clone();
            numbers.damage(&mut bytes, sample.len());
            survive(&bytes);
        }
    }
}

#[test]
fn fields_of_a_real_program_overwritten() {
    let mut numbers = Numbers(0xfeed_beef_cafe_f00d);
    let program = program();
    let image = Image::parse(&program).unwrap();
    let dynamic = image.dynamic.unwrap();
    let segment = image.segments.iter().find(|s| s.contains(dynamic)).unwrap();
    let start = segment.file_offset as usize;
    let tables = start..start + segment.file_size as usize;
    for round in 0..4_000 {
        let mut bytes = program.clone();
        // Header, program headers, symbols and relocations are in the first segment.
        let part = if round % 2 == 0 {
            0..0x1200
        } else {
            tables.clone()
        };
        let size = part.len();
        numbers.damage(&mut bytes[part], size);
        survive(&bytes);
    }
}

#[test]
fn noise() {
    let mut numbers = Numbers(0x0dd_ba11);
    for sample in samples() {
        for _ in 0..5_000 {
            let keep = numbers.below(sample.len());
            let mut bytes = sample[..keep].to_vec();
            bytes.extend((0..numbers.below(1024)).map(|_| numbers.next() as u8));
            survive(&bytes);
        }
    }
}
