//! Which memory is shown of a call: a walk over the types of its parameters. More may be copied than will be shown,
//! never less; so lengths that only the call knows do not matter, only how much is shown at most.

use super::super::layout::MOST_RECORD;
use super::{Blob, Caps, Ends, Failure, MOST_KEPT, Refused, Shape, Source};
use crate::abi::location::Location;
use crate::abi::sysv;
use crate::plan::capture::Capture;
use crate::proto::Prototype;
use crate::proto::types::{self, Expr, Lens, MAX_BIT_BYTES, Type};

/// The longest address of a socket, `sizeof(struct sockaddr_un)`.
const ENDPOINT: u64 = 110;

/// How much is read behind a pointer.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) ends: Ends,
}

impl Extent {
    /// So many bytes.
    pub(super) fn of(bytes: u64) -> Extent {
        Extent {
            bytes,
            ends: Ends::AtLength,
        }
    }

    /// As much as either needs.
    fn and(self, other: Extent) -> Extent {
        Extent {
            bytes: self.bytes.max(other.bytes),
            ends: match (self.ends, other.ends) {
                (Ends::AtZero, Ends::AtZero) => Ends::AtZero,
                _ => Ends::AtLength,
            },
        }
    }
}

/// Collects what is copied.
pub(super) struct Walk<'p> {
    pub(super) prototype: &'p Prototype,
    pub(super) capture: &'p Capture,
    pub(super) caps: Caps,
    pub(super) at_entry: Vec<Blob>,
    kept: Vec<Source>,
    at_return: Vec<Blob>,
}

/// When something is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Entry,
    Return,
}

impl<'p> Walk<'p> {
    pub(super) fn new(prototype: &'p Prototype, capture: &'p Capture, caps: Caps) -> Walk<'p> {
        Walk {
            prototype,
            capture,
            caps,
            at_entry: Vec::new(),
            kept: Vec::new(),
            at_return: Vec::new(),
        }
    }

    /// What is shown at entry.
    pub(super) fn entry(&mut self) -> Result<(), Refused> {
        (0..self.capture.at_entry).try_for_each(|index| self.parameter(index, When::Entry))
    }

    /// What is shown at the return, besides.
    pub(super) fn returned(&mut self) -> Result<(), Refused> {
        let last = self.prototype.params.len();
        (self.capture.at_entry..last).try_for_each(|index| self.parameter(index, When::Return))?;
        let ty = &self.prototype.result;
        self.lengths(ty, When::Return)?;
        match sysv::results(ty).memory {
            true => {
                let extent = Extent::of(self.flat(ty)?);
                self.add(When::Return, Source::Result, extent)?;
            }
            false => self.pointer(ty, Source::Result, When::Return)?,
        }
        Ok(())
    }

    /// Why a call has failed.
    pub(super) fn failure(&mut self) {
        if let Some(failure) = failure(&self.prototype.result) {
            self.at_return.push(Blob {
                source: Source::Errno(failure),
                most: 4,
                ends: Ends::AtLength,
                by_format: false,
            });
        }
    }

    /// Adds what was found to the shape.
    pub(super) fn finish(self, shape: &mut Shape) {
        shape.at_entry = self.at_entry.into();
        shape.kept = self.kept.into();
        shape.at_return = self.at_return.into();
    }

    fn parameter(&mut self, index: usize, when: When) -> Result<(), Refused> {
        let ty = &self.prototype.params[index].ty;
        self.lengths(ty, when)?;
        let location = self.capture.locations[index];
        match (Source::of(location), location) {
            (Some(source), _) => self.pointer(ty, source, when),
            // At the return, another value may be in its place.
            (None, Location::Stack { size, .. }) if size > 16 && when == When::Return => {
                Err(Refused::Deep)
            }
            _ => self.by_value(ty, None).map(|_| ()),
        }
    }

    fn pointer(&mut self, ty: &Type, source: Source, when: When) -> Result<(), Refused> {
        match self.by_value(ty, None) {
            Ok(Some(extent)) => self.add(when, source, extent),
            Ok(None) => Ok(()),
            Err(Refused::Deep) => {
                let (bytes, behind) = self.ends_with_pointer(ty)?.ok_or(Refused::Deep)?;
                self.add_chain(when, source, bytes, behind)
            }
            Err(why) => Err(why),
        }
    }

    /// What is read behind a value that is in registers, or on the stack.
    pub(super) fn by_value(
        &self,
        ty: &Type,
        outer: Option<&Lens>,
    ) -> Result<Option<Extent>, Refused> {
        match ty {
            Type::Shown(Lens::Hide | Lens::Unknown, _) => Ok(None),
            Type::Shown(Lens::Switch(switch), _) => {
                let mut most: Option<Extent> = None;
                for ty in switch.types() {
                    let extent = self.by_value(ty, None)?;
                    most = most.into_iter().chain(extent).reduce(Extent::and);
                }
                Ok(most)
            }
            Type::Shown(Lens::Locale | Lens::Jump, _) => Err(Refused::Deep),
            Type::Shown(lens, ty) if lens.goes_around() => self.by_value(ty, outer),
            Type::Shown(lens, ty) => self.by_value(ty, Some(lens)),
            Type::Pointer(to) if to.is_complete() => {
                let extent = self.behind(to, outer)?;
                Ok((extent.bytes > 0).then_some(extent))
            }
            Type::Pointer(_) => Ok(None),
            ty => self.flat(ty).map(|_| None),
        }
    }

    /// How much is read of what a pointer leads to.
    fn behind(&self, ty: &Type, lens: Option<&Lens>) -> Result<Extent, Refused> {
        let plain = Extent::of;
        match (ty, lens) {
            (Type::Shown(Lens::Hide | Lens::Unknown, _), _) => Ok(plain(0)),
            (Type::Shown(inner, ty), lens) if inner.goes_around() => self.behind(ty, lens),
            (Type::Shown(lens, ty), _) => self.behind(ty, Some(lens)),
            (Type::Array(_, length), Some(Lens::Bits)) if !matches!(length, Expr::Number(_)) => {
                Err(Refused::Long)
            }
            (Type::Array(..), Some(Lens::Control)) => Err(Refused::Deep),
            (Type::Array(..), Some(Lens::Set(_))) => Ok(plain(MAX_BIT_BYTES)),
            (Type::Array(element, length), Some(Lens::Text)) if is_character(element) => {
                Ok(self.text(element, length))
            }
            (Type::Array(element, length), _) => {
                let size = self.flat(element)?;
                // One more is looked at, whether it is zero.
                let shown = most(length).min(self.caps.array as u64).saturating_add(1);
                Ok(plain(size.saturating_mul(shown)))
            }
            (Type::Struct(_), Some(Lens::Endpoint)) => Ok(plain(self.flat(ty)?.max(ENDPOINT))),
            (ty, _) => self.flat(ty).map(plain),
        }
    }

    fn text(&self, element: &Type, length: &Expr) -> Extent {
        let size = sysv::MODEL.layout(element).size.max(1);
        // Text that is cut is read one further than it is shown, and C's one further still.
        let shown = most(length)
            .min(self.caps.text as u64 + 1)
            .saturating_add(1);
        let is_c_text = size == 1 && matches!(length, Expr::Zero(_));
        Extent {
            bytes: size.saturating_mul(shown),
            ends: if is_c_text {
                Ends::AtZero
            } else {
                Ends::AtLength
            },
        }
    }

    /// The size of a type that leads nowhere else.
    pub(super) fn flat(&self, ty: &Type) -> Result<u64, Refused> {
        match ty {
            Type::Shown(Lens::Hide | Lens::Unknown, _) => {}
            Type::Shown(Lens::Switch(switch), _) => {
                for ty in switch.types() {
                    self.flat(ty)?;
                }
            }
            Type::Shown(_, ty) => return self.flat(ty),
            Type::Pointer(to) if to.is_complete() => return Err(Refused::Deep),
            Type::Array(element, Expr::Number(_)) => {
                self.flat(element)?;
            }
            Type::Array(..) => return Err(Refused::Deep),
            Type::Struct(s) => {
                for member in s.members().unwrap_or_default() {
                    self.flat(member)?;
                }
            }
            Type::Void
            | Type::Integer(_)
            | Type::Character(_)
            | Type::Part(_)
            | Type::Real(_)
            | Type::Pointer(_) => {}
        }
        Ok(sysv::MODEL.layout(ty).size)
    }

    /// Numbers behind pointers that tell how much of a type is shown, or whether.
    fn lengths(&mut self, ty: &Type, when: When) -> Result<(), Refused> {
        match ty {
            Type::Shown(lens, ty) => {
                match lens {
                    Lens::If(condition) => self.number(condition.argument, when)?,
                    Lens::Total(Expr::Argument(argument))
                    | Lens::Filled(Expr::Argument(argument)) => self.number(*argument, when)?,
                    Lens::Switch(switch) => {
                        if let Expr::Argument(argument) = switch.subject {
                            self.number(argument, when)?;
                        }
                        for ty in switch.types() {
                            self.lengths(ty, when)?;
                        }
                    }
                    _ => {}
                }
                self.lengths(ty, when)
            }
            Type::Pointer(ty) => self.lengths(ty, when),
            Type::Array(ty, length) => {
                let mut length = length;
                while let Expr::Zero(Some(inner)) = length {
                    length = inner;
                }
                if let Expr::Argument(argument) = length {
                    self.number(*argument, when)?;
                }
                self.lengths(ty, when)
            }
            // What is in a structure has a length that is known, or is refused.
            _ => Ok(()),
        }
    }

    /// An argument, counted from 1, whose number is needed.
    fn number(&mut self, argument: usize, when: When) -> Result<(), Refused> {
        let index = argument.wrapping_sub(1);
        let Some(param) = self.prototype.params.get(index) else {
            return Ok(());
        };
        let is_behind = match param.ty.unshown() {
            Type::Pointer(to) => matches!(to.unshown(), Type::Integer(_)),
            _ => false,
        };
        let Some(source) = Source::of(self.capture.locations[index]) else {
            return Ok(());
        };
        match is_behind {
            true => self.add(when, source, Extent::of(8)),
            false => Ok(()),
        }
    }

    fn add(&mut self, when: When, source: Source, extent: Extent) -> Result<(), Refused> {
        let blob = self.blob(when, source, extent)?;
        let blobs = self.blobs(when);
        // What leads to the next one stays as it is.
        let leads_on = |blobs: &[Blob], index: usize| {
            let next = blobs.get(index + 1);
            next.is_some_and(|next| next.source == Source::Before)
        };
        let same = (0..blobs.len()).find(|index| {
            let other = &blobs[*index];
            let is_same = other.source == blob.source && other.ends == blob.ends;
            is_same && !leads_on(blobs, *index)
        });
        match same {
            Some(index) => blobs[index].most = blobs[index].most.max(blob.most),
            None => blobs.push(blob),
        }
        Ok(())
    }

    pub(super) fn blob(
        &mut self,
        when: When,
        source: Source,
        extent: Extent,
    ) -> Result<Blob, Refused> {
        if extent.bytes > MOST_RECORD {
            return Err(Refused::Long);
        }
        let source = match when {
            When::Return => self.keep(source)?,
            When::Entry => source,
        };
        Ok(Blob {
            source,
            most: extent.bytes as u32,
            ends: extent.ends,
            by_format: false,
        })
    }

    pub(super) fn blobs(&mut self, when: When) -> &mut Vec<Blob> {
        match when {
            When::Entry => &mut self.at_entry,
            When::Return => &mut self.at_return,
        }
    }

    /// What the return finds where the call has kept it.
    fn keep(&mut self, source: Source) -> Result<Source, Refused> {
        if matches!(source, Source::Result | Source::Errno(_) | Source::Before) {
            return Ok(source);
        }
        let index = self.kept.iter().position(|kept| *kept == source);
        let index = index.unwrap_or_else(|| {
            self.kept.push(source);
            self.kept.len() - 1
        });
        match index < MOST_KEPT {
            true => Ok(Source::Kept(index as u8)),
            false => Err(Refused::Deep),
        }
    }
}

/// How a result tells that errno says why the call has failed.
fn failure(ty: &Type) -> Option<Failure> {
    match (ty.failure()?, sysv::MODEL.layout(ty).size) {
        (types::Failure::NullOrMinusOne | types::Failure::Null, _) => Some(Failure::Pointer),
        (types::Failure::MinusOne, 8) => Some(Failure::Long),
        (types::Failure::MinusOne, 4) => Some(Failure::Int),
        _ => None,
    }
}

/// As much as a length can mean.
fn most(length: &Expr) -> u64 {
    match length {
        Expr::Number(number) => *number,
        Expr::Zero(Some(limit)) => most(limit),
        _ => u64::MAX,
    }
}

/// Whether text can consist of such elements.
fn is_character(element: &Type) -> bool {
    matches!(element.unshown(), Type::Integer(_) | Type::Character(_))
}
