//! Stacks of calls, as they were seen.

use super::{RawStack, StackId};

/// What is known of a call's stack, so that its frames can be told later.
#[derive(Clone, Debug)]
pub enum CallStack {
    /// A copy, to be unwound.
    Copied(Box<RawStack>),
    /// Its thread has walked it: where the function begins, and the return addresses, innermost first.
    Walked(Box<[u64]>),
    /// A recording tells of it, by this number.
    Recorded(StackId),
}
