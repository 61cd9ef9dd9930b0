//! How much is known of a process from its beginning.

/// What is known of a process before its first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It was launched by us: what was not seen to be handed out does not exist.
    All,
    /// It ran before: it holds things that we never saw.
    SinceAttach,
}
