//! What formats tell of, kept: programs print by few formats, again and again.

use crate::proto::scan::Stored;
use crate::proto::types::{Language, Type};
use crate::proto::{format, scan};
use std::sync::Arc;

/// So many formats are kept at a time.
const KEPT: usize = 256;

/// The arguments that a format tells of.
#[derive(Debug)]
pub(super) struct Formatted {
    /// Their types, in their order.
    pub(super) types: Vec<Type>,
    /// For scanf: whether the result counts each of them.
    pub(super) counted: Option<Vec<bool>>,
}

/// A format that was read.
struct Known {
    language: Language,
    text: Box<[u8]>,
    /// How many arguments stand before those it tells of.
    named: usize,
    formatted: Arc<Formatted>,
}

/// The formats that were read last, each at a place that its text decides.
#[derive(Default)]
pub(super) struct Formats(Vec<Option<Known>>);

impl Formats {
    /// What a format tells of that is the last of so many arguments.
    pub(super) fn get(&mut self, language: Language, text: &[u8], named: usize) -> Arc<Formatted> {
        self.0.resize_with(KEPT, || None);
        let place = &mut self.0[place(text)];
        let is_it = |known: &&mut Known| {
            known.language == language && known.named == named && *known.text == *text
        };
        if let Some(known) = place.as_mut().filter(is_it) {
            return known.formatted.clone();
        }
        let formatted = Arc::new(read(language, text, named));
        *place = Some(Known {
            language,
            text: text.into(),
            named,
            formatted: formatted.clone(),
        });
        formatted
    }
}

/// By length and the last letters: two formats in one place only cost time.
fn place(text: &[u8]) -> usize {
    let last = text.iter().rev().take(8);
    let mixed = last.fold(text.len(), |mixed, byte| {
        mixed.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    mixed % KEPT
}

fn read(language: Language, text: &[u8], named: usize) -> Formatted {
    match language {
        Language::Printf | Language::List => Formatted {
            types: format::arguments(text, named + 1),
            counted: None,
        },
        Language::Scanf => {
            let stored = scan::arguments(text);
            Formatted {
                counted: Some(stored.iter().map(|stored| stored.counted).collect()),
                types: stored.into_iter().map(|Stored { ty, .. }| ty).collect(),
            }
        }
    }
}
