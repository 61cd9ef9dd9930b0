//! Two kinds of address that must never be mixed: where something is in a running process, and
//! where its ELF file says it is. The bias of a loaded module turns one into the other.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// An address in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

/// An address as an ELF file states it (`st_value`, `p_vaddr`, `r_offset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vaddr(pub u64);

/// `Addr - Vaddr` of one loaded module (`l_addr` in `<link.h>`), modulo 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bias(pub u64);

impl Bias {
    /// Where the file's address is in the process.
    pub fn addr(self, vaddr: Vaddr) -> Addr {
        Addr(vaddr.0.wrapping_add(self.0))
    }

    /// What the file calls an address of the process.
    pub fn vaddr(self, addr: Addr) -> Vaddr {
        Vaddr(addr.0.wrapping_sub(self.0))
    }
}

impl Addr {
    /// The address `bytes` further on, modulo 2^64: targets choose their pointers, we do not.
    pub fn offset(self, bytes: i64) -> Addr {
        Addr(self.0.wrapping_add_signed(bytes))
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// As a text: most readers have numbers of 53 bits.
impl Serialize for Addr {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Addr {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Addr, D::Error> {
        let text = String::deserialize(input)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let number = u64::from_str_radix(digits, 16).map_err(D::Error::custom)?;
        Ok(Addr(number))
    }
}

impl fmt::Display for Vaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
