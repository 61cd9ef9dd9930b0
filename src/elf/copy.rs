//! Modules copied out of a process's memory, whose file cannot be had any more.

use super::layout::{Layout, records};
use super::{Error, Segment, header, program_headers};
use crate::base::addr::{Addr, Bias, Vaddr};
use goblin::elf::dynamic::*;
use goblin::elf::program_header::{PT_DYNAMIC, PT_LOAD};

/// The addresses in the dynamic section to which glibc adds the bias where they stand
/// (elf/get-dynamic-info.h, `ADJUST_DYN_INFO`).
const ADJUSTED: [u64; 9] = [
    DT_HASH,
    DT_GNU_HASH,
    DT_PLTGOT,
    DT_STRTAB,
    DT_SYMTAB,
    DT_RELA,
    DT_REL,
    DT_JMPREL,
    DT_VERSYM,
];

/// The dynamic section of a copy as its file has it, and at which offset it belongs.
pub fn original_dynamic(copy: &[u8], bias: Bias) -> Result<(u64, Vec<u8>), Error> {
    let outside = Error::Outside("dynamic section");
    let (class, header) = header(copy)?;
    let headers = program_headers(copy, class, &header)?;
    let segments: Vec<Segment> = headers
        .iter()
        .filter(|h| h.p_type == PT_LOAD)
        .map(Segment::of)
        .collect();
    let layout = Layout {
        bytes: copy,
        class,
        segments: &segments,
    };
    let dynamic = headers.iter().find(|h| h.p_type == PT_DYNAMIC);
    let dynamic = dynamic.ok_or(outside)?;
    let size = usize::try_from(dynamic.p_filesz).unwrap_or(usize::MAX);
    let at = Vaddr(dynamic.p_vaddr);
    let section = layout.from(at).get(..size).ok_or(outside)?;
    let is_ours = |at| segments.iter().any(|segment| segment.contains(at));
    let mut original = section.to_vec();
    let word = class.word();
    for (index, entry) in records::<Dyn, _>(section, class.ctx()).enumerate() {
        let adjusted = bias.vaddr(Addr(entry.d_val));
        let may_be = ADJUSTED.contains(&entry.d_tag);
        if may_be && is_ours(adjusted) {
            let start = (2 * index + 1) * word;
            original[start..start + word].copy_from_slice(&adjusted.0.to_le_bytes()[..word]);
        }
    }
    Ok((dynamic.p_offset, original))
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::super::sample::Sample;
    use super::*;

    /// What glibc does to a module.
    fn adjusted(sample: &Sample, class: Class, bias: Bias) -> Vec<u8> {
        let mut bytes = sample.bytes.clone();
        let word = class.word();
        for entry in bytes[sample.dynamic_offset..]
            .chunks_exact_mut(2 * word)
            .take(24)
        {
            let number = |bytes: &[u8]| {
                let mut wide = [0; 8];
                wide[..word].copy_from_slice(bytes);
                u64::from_le_bytes(wide)
            };
            let (tag, value) = (number(&entry[..word]), number(&entry[word..]));
            if ADJUSTED.contains(&tag) {
                let value = bias.addr(Vaddr(value)).0.to_le_bytes();
                entry[word..].copy_from_slice(&value[..word]);
            }
        }
        bytes
    }

    #[test]
    fn a_copy_gets_the_addresses_of_its_file_back() {
        for (class, bias) in [
            (Class::Elf64, 0x7f00_1234_5000),
            (Class::Elf32, 0x5655_5000),
        ] {
            let sample = Sample::new(class);
            let copy = adjusted(&sample, class, Bias(bias));
            assert_ne!(copy, sample.bytes);
            // Where nothing was adjusted, nothing is.
            for copy in [&copy, &sample.bytes] {
                let (at, dynamic) = original_dynamic(copy, Bias(bias)).unwrap();
                let at = at as usize;
                assert_eq!(at, sample.dynamic_offset);
                assert_eq!(dynamic, sample.bytes[at..at + dynamic.len()]);
            }
            for end in 0..copy.len() {
                let _ = original_dynamic(&copy[..end], Bias(bias));
            }
        }
    }
}
