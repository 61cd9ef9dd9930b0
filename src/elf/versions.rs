//! Which version of a symbol an import asks for, and of which library (LSB, "Symbol Versioning").

use super::Version;
use super::dynamic::Dynamic;
use super::layout::Layout;
use super::strings::Strings;
use std::collections::HashMap;
use std::sync::Arc;

/// `DT_VERSYM` and `DT_VERNEED`.
pub(super) struct Versions<'a> {
    versym: &'a [u8],
    needed: HashMap<u16, Arc<Version>>,
}

/// Version indices have 15 bits; the top bit marks a hidden version.
const INDEX: u16 = 0x7fff;

impl<'a> Versions<'a> {
    pub(super) fn read(layout: Layout<'a>, dynamic: &Dynamic, strings: &mut Strings<'_>) -> Self {
        let verneed = dynamic.verneed.map(|at| layout.from(at));
        Versions {
            versym: dynamic.versym.map(|at| layout.from(at)).unwrap_or_default(),
            needed: needed(verneed.unwrap_or_default(), strings).unwrap_or_default(),
        }
    }

    /// The version that the symbol with this index asks for.
    pub(super) fn of(&self, symbol: usize) -> Option<Arc<Version>> {
        let index = u16_at(self.versym, symbol.checked_mul(2)?)? & INDEX;
        self.needed.get(&index).cloned()
    }
}

/// Walks the chains of `Elf_Verneed` and their `Elf_Vernaux`, whose layouts are the same in both
/// classes. There cannot be more entries than indices, which also ends chains that lie.
fn needed(table: &[u8], strings: &mut Strings<'_>) -> Option<HashMap<u16, Arc<Version>>> {
    let mut versions = HashMap::new();
    let mut entries = 0..INDEX;
    let mut file = 0usize;
    loop {
        // Elf_Verneed: vn_version, vn_cnt (16 bits each), vn_file, vn_aux, vn_next.
        let Some(library) = strings.get(u32_at(table, file.checked_add(4)?)?.into()) else {
            return Some(versions);
        };
        let mut aux = file.checked_add(u32_at(table, file.checked_add(8)?)? as usize)?;
        loop {
            entries.next()?;
            // Elf_Vernaux: vna_hash (32 bits), vna_flags, vna_other (16 bits), vna_name, vna_next.
            let (Some(index), Some(name)) = (
                u16_at(table, aux.checked_add(6)?),
                u32_at(table, aux.checked_add(8)?).and_then(|at| strings.get(at.into())),
            ) else {
                return Some(versions);
            };
            let version = Version {
                name,
                library: library.clone(),
            };
            versions.insert(index & INDEX, Arc::new(version));
            match u32_at(table, aux.checked_add(12)?)? {
                0 => break,
                next => aux = aux.checked_add(next as usize)?,
            }
        }
        match u32_at(table, file.checked_add(12)?)? {
            0 => return Some(versions),
            next => file = file.checked_add(next as usize)?,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}
