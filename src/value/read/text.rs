//! Text: arrays of characters seen through the string lens.

use super::{Absent, Around, Reading, Source};
use crate::base::addr::Addr;
use crate::base::memory::Text;
use crate::base::names::type_name;
use crate::base::printable::printable;
use crate::proto::types::{Expr, Lens, Type, Width};
use crate::value::Value;

/// So long a name of a type is looked at. Bytes.
const LONGEST_NAME: usize = 1024;

/// Whether text can consist of such elements.
pub(super) fn is_text(element: &Type) -> bool {
    matches!(element.unshown(), Type::Integer(_) | Type::Character(_))
}

/// Whether a type is a pointer to text of one-byte characters that nothing but a zero ends.
pub(super) fn is_plain(ty: &Type) -> bool {
    let ty = match ty {
        Type::Shown(Lens::Format(_), ty) => ty,
        ty => ty,
    };
    let Type::Shown(Lens::Text, pointer) = ty else {
        return false;
    };
    let Type::Pointer(to) = &**pointer else {
        return false;
    };
    let Type::Array(element, Expr::Zero(None)) = &**to else {
        return false;
    };
    match &**element {
        Type::Integer(integer) | Type::Character(integer) => integer.width == Width::W8,
        _ => false,
    }
}

/// What ends a text besides its length.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    AtZero,
    AtLength,
}

impl Reading<'_> {
    pub(super) fn text(
        &mut self,
        element: &Type,
        length: &Expr,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let ends = match length {
            Expr::Zero(_) => Ends::AtZero,
            _ => Ends::AtLength,
        };
        let mut length = self.length(length, around);
        if let Some(left) = &mut self.total_left {
            length = length.min(*left);
            *left -= length;
        }
        let size = self.reader.model.layout(element).size.max(1) as usize;
        if length == 0 {
            return Ok(shown(Text::new(), size, false));
        }
        let limit = self.limits.string.min(self.text_left);
        // One more than may be shown, to know whether there is one.
        let wanted = length.min(limit as u64 + 1) as usize;
        let mut bytes = self.text_bytes(source, wanted, size, ends)?;
        let units = bytes.chunks_exact(size);
        let count = units.len();
        let is_zero = |unit: &[u8]| unit.iter().all(|byte| *byte == 0);
        let zero = units
            .clone()
            .position(is_zero)
            .filter(|_| ends == Ends::AtZero);
        let end = zero.unwrap_or(count);
        let ended = zero.is_some() || end as u64 == length;
        let fits = end.min(limit);
        self.text_left -= fits;
        bytes.truncate(fits * size);
        Ok(shown(bytes, size, !ended || fits < end))
    }

    /// The name of a type, which a program has mangled.
    pub(super) fn type_name(
        &mut self,
        ty: &Type,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Value {
        let string = std::mem::replace(&mut self.limits.string, LONGEST_NAME);
        let value = self.value(ty, None, source, around);
        self.limits.string = string;
        let Value::Bytes { bytes, cut: false } = &value else {
            return value;
        };
        match type_name(&String::from_utf8_lossy(bytes)) {
            Some(name) => Value::Name(printable(&name).into()),
            None => value,
        }
    }

    /// So many elements, or fewer where memory ends or a zero is met.
    fn text_bytes(
        &self,
        source: Source<'_>,
        wanted: usize,
        size: usize,
        ends: Ends,
    ) -> Result<Text, Absent> {
        match source {
            Source::Bytes(bytes) => Ok(bytes[..bytes.len().min(wanted * size)].into()),
            Source::Memory(at) if ends == Ends::AtZero && size == 1 => {
                let text = self.reader.memory.read_c_string(at, wanted);
                let (mut bytes, ended) = text.map_err(|_| Absent(Value::Unreadable(at)))?;
                bytes.extend(ended.then_some(0));
                Ok(bytes)
            }
            Source::Memory(at) => self.stretch(at, wanted * size),
            Source::Lost => Err(Absent(Value::Elided)),
        }
    }

    fn stretch(&self, at: Addr, wanted: usize) -> Result<Text, Absent> {
        let mut bytes = Text::from_elem(0, wanted);
        let read = self.reader.memory.read(at, &mut bytes);
        bytes.truncate(read.map_err(|_| Absent(Value::Unreadable(at)))?);
        Ok(bytes)
    }
}

fn shown(bytes: Text, size: usize, cut: bool) -> Value {
    if size == 1 {
        return Value::Bytes { bytes, cut };
    }
    let units = bytes.chunks_exact(size).map(|unit| {
        let mut word = [0; 4];
        let low = unit.len().min(word.len());
        word[..low].copy_from_slice(&unit[..low]);
        u32::from_le_bytes(word)
    });
    let text = match size {
        // UTF-16, in which what is beyond 16 bits has two.
        2 => char::decode_utf16(units.map(|unit| unit as u16))
            .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
        _ => units
            .map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    };
    Value::Wide { text, cut }
}
