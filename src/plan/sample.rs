//! Calls of which only samples are seen: of the bytes that an allocator hands out, one in so many is drawn at random,
//! and the block that it is in is seen from its allocation to its release.

use super::pairs::{Function, Param, Source};

/// What decides whether a call is seen. Numbers are those of arguments, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Bytes between two that are drawn, on average.
    pub interval: u64,
    /// The product of these is the size of what is handed out.
    pub sizes: [Option<u8>; 2],
    /// What is taken back.
    pub old: Option<u8>,
    /// Where that is which was handed out.
    pub key: Option<Key>,
    /// Behind the function's own arguments: whether what a call hands out was drawn, where it takes something back
    /// as well.
    pub told: Option<u8>,
}

/// Where a call tells what it has handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Its result.
    Result,
    /// Where this argument points to.
    Behind(u8),
}

/// All arguments are in registers.
const MOST: usize = 6;

impl Sample {
    /// Of a function that hands out blocks of a size, of one that takes them back, or both. None of others.
    pub fn of(function: &Function, interval: u64) -> Option<Sample> {
        let argument = |at: usize| (at < MOST).then_some(at as u8);
        let is_out = |at: usize| matches!(function.params.get(at), Some(Param::Out(..)));
        let mut sample = Sample {
            interval,
            sizes: [None; 2],
            old: None,
            key: None,
            told: None,
        };
        match (function.sizes.as_slice(), function.key) {
            // It takes back.
            ([], Source::Param(at)) if !is_out(at) => {
                sample.old = Some(argument(at)?);
                return Some(sample);
            }
            ([one], _) => sample.sizes[0] = Some(argument(*one)?),
            ([one, two], _) => sample.sizes = [Some(argument(*one)?), Some(argument(*two)?)],
            _ => return None,
        }
        sample.key = Some(match function.key {
            Source::Result => Key::Result,
            Source::Param(at) => Key::Behind(argument(at)?),
        });
        if let Some(old) = function.old {
            sample.old = Some(argument(old)?);
            sample.told = Some(argument(function.params.len())?);
        }
        Some(sample)
    }
}
