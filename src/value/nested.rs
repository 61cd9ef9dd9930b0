//! Values read back from a recording: a file may not nest them deeper than we do.

use serde::de::{Deserialize, Deserializer, Error};
use std::cell::Cell;

/// As deep as values are read from programs, and more.
const DEEPEST: u32 = 200;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// What holds other values.
pub(super) fn nested<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    input: D,
) -> Result<T, D::Error> {
    let depth = DEPTH.get();
    if depth >= DEEPEST {
        return Err(D::Error::custom("values are nested too deep"));
    }
    DEPTH.set(depth + 1);
    let value = T::deserialize(input);
    DEPTH.set(depth);
    value
}
