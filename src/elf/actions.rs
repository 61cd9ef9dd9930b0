//! Where code asks the kernel for signal actions.

use super::system_calls::Numbers;
use super::{Image, InFile, Symbol};
use crate::base::addr::Vaddr;

/// rt_sigaction(2) (asm/unistd_64.h, asm/unistd_32.h).
const NUMBERS: Numbers = Numbers {
    amd64: 13,
    i386: 174,
};

/// Where a C library, or a program without one, sets signal actions.
#[derive(Clone, Debug, Default)]
pub struct SignalActions {
    /// The entries of sigaction(3), where they are known.
    pub entries: Vec<Vaddr>,
    /// The instructions that make rt_sigaction(2).
    pub calls: Vec<Vaddr>,
}

impl Image {
    /// Where the file's code sets signal actions.
    pub fn signal_actions(&self, bytes: &[u8]) -> SignalActions {
        let exports = self.exports.iter().map(Symbol::borrowed);
        let mut entries = named(exports, &["sigaction"]);
        if entries.is_empty() && !self.needed.is_empty() {
            return SignalActions::default();
        }
        let calls = self.system_calls(bytes, NUMBERS);
        if entries.is_empty() && !calls.is_empty() {
            entries = named(Image::functions(bytes), &["sigaction", "__sigaction"]);
        }
        SignalActions { entries, calls }
    }
}

/// Where the symbols of these names lie, each place once.
fn named<'a>(symbols: impl Iterator<Item = InFile<'a>>, names: &[&str]) -> Vec<Vaddr> {
    let named = symbols.filter(|s| names.contains(&&*s.name));
    let mut places: Vec<Vaddr> = named.map(|symbol| symbol.vaddr).collect();
    places.sort_unstable_by_key(|at| at.0);
    places.dedup();
    places
}
