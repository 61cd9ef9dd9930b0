//! Stacks that threads have walked themselves: equal ones are kept once.

use super::RawStack;
use rustc_hash::FxHashSet;
use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What is known of a call's stack, so that its frames can be told later.
#[derive(Clone, Debug)]
pub enum CallStack {
    /// A copy, to be unwound.
    Copied(Box<RawStack>),
    /// Its addresses.
    Walked(Arc<Walked>),
}

/// The addresses of a stack.
#[derive(Debug)]
pub struct Walked {
    /// Equal stacks have the same; another one never has it.
    pub number: u64,
    /// Where the function begins, and the return addresses, innermost first.
    pub addresses: Box<[u64]>,
}

/// Those that were seen.
#[derive(Debug, Default)]
pub struct WalkedStacks {
    known: FxHashSet<ByAddresses>,
    /// How many there ever were.
    count: u64,
    /// The one that is looked for.
    wanted: Vec<u64>,
}

/// So many are known: what is more begins anew.
const MOST: usize = 1 << 17;

#[derive(Debug)]
struct ByAddresses(Arc<Walked>);

impl WalkedStacks {
    /// The stack of a function that begins there and of these return addresses.
    pub fn find(&mut self, function: u64, returns: &[u64]) -> Arc<Walked> {
        self.wanted.clear();
        self.wanted.push(function);
        self.wanted.extend_from_slice(returns);
        if let Some(ByAddresses(known)) = self.known.get(self.wanted.as_slice()) {
            return known.clone();
        }
        if self.known.len() == MOST {
            self.known.clear();
        }
        self.count += 1;
        let new = Arc::new(Walked {
            number: self.count,
            addresses: self.wanted.as_slice().into(),
        });
        self.known.insert(ByAddresses(new.clone()));
        new
    }
}

impl Borrow<[u64]> for ByAddresses {
    fn borrow(&self) -> &[u64] {
        &self.0.addresses
    }
}

impl PartialEq for ByAddresses {
    fn eq(&self, other: &ByAddresses) -> bool {
        self.0.addresses == other.0.addresses
    }
}

impl Eq for ByAddresses {}

impl Hash for ByAddresses {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.addresses.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stacks_are_one() {
        let mut stacks = WalkedStacks::default();
        let one = stacks.find(1, &[2, 3]);
        assert_eq!(*one.addresses, [1, 2, 3]);
        let others: [(u64, &[u64]); 3] = [(1, &[2]), (2, &[2, 3]), (1, &[2, 3, 4])];
        let others = others.map(|(function, returns)| stacks.find(function, returns).number);
        assert_eq!(others, [2, 3, 4]);
        assert!(Arc::ptr_eq(&one, &stacks.find(1, &[2, 3])));
    }

    #[test]
    fn numbers_are_never_used_again() {
        let mut stacks = WalkedStacks::default();
        let one = stacks.find(0, &[]);
        for at in 1..=MOST as u64 {
            stacks.find(at, &[]);
        }
        assert!(stacks.known.len() < MOST);
        assert_eq!(stacks.find(0, &[]).number, MOST as u64 + 2);
        assert_eq!(one.number, 1);
    }
}
