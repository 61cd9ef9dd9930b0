//! What calls that print take: a table tells by their format which of their words lead to texts.

use super::super::formats::{bit, key};
use super::memory::Walk;
use super::{Blob, Caps, Ends, Refused, Shape, Source};
use crate::abi::location::Location;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::plan::Tracepoint;
use crate::proto::format;
use crate::proto::types::{Format, Language, Type, Varargs};

/// A longer format is not recorded. Bytes.
pub const MOST_FORMAT: usize = 1024;
/// The words of the stack that are taken of a call that prints.
const STACK: u16 = 8;
/// The registers that may hold arguments (psABI 3.2.3).
const GENERAL: u8 = 6;
const VECTOR: u8 = 8;

impl Walk<'_> {
    /// Takes what the format that is this parameter may tell of.
    pub(super) fn format(
        &mut self,
        shape: &mut Shape,
        index: usize,
        format: Format,
    ) -> Result<(), Refused> {
        let is_printf = format.language == Language::Printf && format.arguments == Varargs::Passed;
        let source = Source::of(self.capture.locations[index]).filter(|_| is_printf);
        let source = source.ok_or(Refused::Format)?;
        let ty = &self.prototype.params[index].ty;
        let text = self.by_value(ty, None)?;
        if text.is_none_or(|text| text.ends != Ends::AtZero) {
            return Err(Refused::Format);
        }
        let most = u32::try_from(self.caps.text.saturating_add(2)).map_err(|_| Refused::Long)?;
        let text = |source| Blob {
            source,
            most,
            ends: Ends::AtZero,
            by_format: true,
        };
        let general = (shape.general..GENERAL).map(Source::General);
        let stack = (shape.stack..STACK).map(Source::Stack);
        // All of it, whatever is shown.
        self.at_entry.retain(|blob| blob.source != source);
        self.at_entry.push(Blob {
            most: MOST_FORMAT as u32,
            by_format: false,
            ..text(source)
        });
        self.at_entry.extend(general.chain(stack).map(text));
        // At most 6, 8, and 32 of them.
        let named = u16::from(shape.general) | u16::from(shape.vector) << 3 | shape.stack << 7;
        shape.format = Some(super::Format { source, named });
        shape.general = GENERAL;
        shape.vector = VECTOR;
        shape.stack = shape.stack.max(STACK);
        Ok(())
    }

    /// Which words of a call with arguments of these types, behind the named ones, lead to texts.
    fn texts(&self, types: &[Type]) -> Option<u64> {
        let mut behind = self.capture.behind;
        types.iter().try_fold(0, |texts, ty| {
            let location = behind.next(ty);
            if let Location::Stack { offset, size } = location
                && (offset - 8).saturating_add(size) > 8 * u64::from(STACK)
            {
                return None;
            }
            match self.by_value(ty, None).ok()? {
                None => Some(texts),
                Some(extent) => {
                    let is_text = extent.ends == Ends::AtZero;
                    let bit = bit(Source::of(location)?).filter(|_| is_text)?;
                    Some(texts | 1 << bit)
                }
            }
        })
    }
}

impl Shape {
    /// The address of the format of a call at the function's first instruction, if the table of formats is to tell what is
    /// taken of it.
    pub fn format(&self, regs: &Regs, memory: &dyn Memory) -> Option<Addr> {
        match self.format?.source {
            Source::General(number) => {
                let number = usize::from(number);
                regs.arguments().get(number).copied().map(Addr)
            }
            Source::Stack(word) => {
                let at = Addr(regs.rsp).offset(8 + 8 * i64::from(word));
                memory.read_word(at).ok().map(Addr)
            }
            Source::Kept(_) | Source::Result | Source::Errno(_) | Source::Before => None,
        }
    }
}

impl Shape {
    /// What stands for this format in the table, for calls that are given it as these are.
    pub fn format_key(&self, format: Addr) -> Option<u64> {
        Some(key(format.0, self.format?.named))
    }
}

/// What the [table](super::super::formats) is to tell of a format of this tracepoint's calls. `None`: calls with it cannot be
/// recorded.
pub fn texts(point: &Tracepoint, format: &[u8], caps: Caps) -> Option<u64> {
    let (prototype, capture) = point.typed(Machine::Amd64)?;
    let types = format::arguments(format, prototype.params.len() + 1);
    Walk::new(prototype, capture, caps).texts(&types)
}
