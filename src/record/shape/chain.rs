//! What lies behind two pointers, of which the first one leads to the second: where strtol's number ends, the name of a type.

use super::memory::{Extent, Walk, When};
use super::{Refused, Source};
use crate::abi::sysv;
use crate::proto::types::{Lens, Type};

/// A pointer, or an address, is so long.
const WORD: u64 = 8;

impl Walk<'_> {
    /// How much is read behind a pointer to something that ends with a pointer, and how much behind that one; nothing where
    /// it is otherwise.
    pub(super) fn ends_with_pointer(&self, ty: &Type) -> Result<Option<(u64, Extent)>, Refused> {
        match ty {
            Type::Shown(
                Lens::Hide | Lens::Unknown | Lens::Switch(_) | Lens::Nodes(_) | Lens::Blocks(_),
                _,
            ) => Ok(None),
            Type::Shown(_, ty) => self.ends_with_pointer(ty),
            Type::Pointer(to) => self.last_pointer(to),
            _ => Ok(None),
        }
    }

    fn last_pointer(&self, ty: &Type) -> Result<Option<(u64, Extent)>, Refused> {
        if let Type::Shown(lens, inner) = ty
            && !matches!(**inner, Type::Pointer(_))
            && !matches!(lens, Lens::Hide | Lens::Switch(_))
        {
            return self.last_pointer(inner);
        }
        if let Type::Struct(s) = ty {
            let mut members = sysv::MODEL.offsets(s).collect::<Vec<_>>();
            let Some((offset, last)) = members.pop() else {
                return Ok(None);
            };
            for (_, member) in members {
                self.flat(member)?;
            }
            let behind = self.by_value(last, None)?;
            return Ok(behind.map(|behind| (offset.saturating_add(WORD), behind)));
        }
        Ok(self.by_value(ty, None)?.map(|behind| (WORD, behind)))
    }

    /// Adds what a pointer leads to, so many bytes, and what their last word leads to.
    pub(super) fn add_chain(
        &mut self,
        when: When,
        source: Source,
        bytes: u64,
        behind: Extent,
    ) -> Result<(), Refused> {
        let first = self.blob(when, source, Extent::of(bytes))?;
        let second = self.blob(when, Source::Before, behind)?;
        self.blobs(when).extend([first, second]);
        Ok(())
    }
}
