//! The arguments of one call: those that the prototype names, and those that a format among them
//! tells of.

use super::formats::{Formats, Formatted};
use crate::abi::convention::Cursor;
use crate::abi::location::Entry;
use crate::abi::va_list::VaList;
use crate::abi::{Argument, Place, convention};
use crate::base::memory::Text;
use crate::base::regs::View;
use crate::plan::capture::Capture;
use crate::proto::Prototype;
use crate::proto::types::{Expr, Format, Language, Lens, Type, Varargs};
use crate::value::read::Reader;
use crate::value::{Limits, Value};
use smallvec::SmallVec;
use std::sync::Arc;

/// How much of a format is read to find its conversions.
const MAX_FORMAT: usize = 4096;
/// So many arguments of a list are shown.
const MAX_LIST: usize = 64;

/// A call's arguments as they were at its entry: taken out of registers and stack slots, not yet typed.
#[derive(Default)]
pub(super) struct Arguments {
    places: Vec<Place>,
    /// What a format tells of; its arguments stand behind the named ones.
    formatted: Option<Arc<Formatted>>,
    /// What a format tells of and the function reads, when that is shown at the return: it is read at the call.
    read: Vec<Value>,
    /// The call has failed: nothing was stored.
    pub(super) has_failed: bool,
}

/// Arguments with their types.
type Typed<'t> = SmallVec<[Argument<'t>; 8]>;

impl Arguments {
    /// Takes the arguments of a call at the function's first instruction.
    pub(super) fn take(
        &mut self,
        prototype: &Prototype,
        capture: &Capture,
        view: &View<'_>,
        formats: &mut Formats,
    ) {
        let entry = Entry::new(view);
        let locations = capture.locations.iter();
        self.places.clear();
        self.places
            .extend(locations.map(|location| entry.fetch(*location)));
        self.formatted = None;
        self.read.clear();
        self.has_failed = false;
        if let Some((index, format)) = capture.format {
            let named = self.places.len();
            let formatted = match format.language {
                Language::List => {
                    let first = self.places.get(index).map_or(0, Place::low);
                    let ty = prototype.params[index].ty.clone();
                    Arc::new(list(ty, first, capture.behind, &entry))
                }
                language => {
                    let text = self.format_text(prototype, index, view);
                    formats.get(language, &text, named)
                }
            };
            self.add_formatted(&formatted.types, (index, format), capture, &entry, view);
            self.formatted = Some(formatted);
        }
    }

    /// All of them as they were passed.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.places.iter().map(Place::low)
    }

    /// How many of the arguments are shown at entry. Where no parameter waits for the return, what printf
    /// takes does not either.
    fn count_at_entry(&self, prototype: &Prototype, capture: &Capture) -> usize {
        match capture.at_entry == prototype.params.len() && is_passed(capture) {
            true => self.places.len(),
            false => capture.at_entry,
        }
    }

    /// Something of the call is shown only when it returns, or tells how its result is shown.
    pub(super) fn shown_at_return(&self, prototype: &Prototype, capture: &Capture) -> bool {
        capture.result_by_arguments || self.count_at_entry(prototype, capture) < self.places.len()
    }

    /// Adds the values that are shown at entry.
    pub(super) fn at_entry(
        &mut self,
        prototype: &Prototype,
        capture: &Capture,
        view: &View<'_>,
        limits: Limits,
        values: &mut Vec<Value>,
    ) {
        let mut read = std::mem::take(&mut self.read);
        let typed = self.typed(prototype);
        let reader = reader(view, limits, &typed, None);
        let count = self.count_at_entry(prototype, capture);
        for argument in typed.iter().take(count) {
            reader.add(argument, values);
        }
        let named = prototype.params.len();
        if is_passed(capture) && count < named {
            let formatted = typed.iter().skip(named);
            read.extend(formatted.map(|argument| reader.read(argument)));
        }
        drop(typed);
        self.read = read;
    }

    /// Adds the other values, once there is a result; gives that.
    pub(super) fn at_return(
        &mut self,
        prototype: &Prototype,
        capture: &Capture,
        result: &Argument<'_>,
        view: &View<'_>,
        limits: Limits,
        values: &mut Vec<Value>,
    ) -> Value {
        let address = Type::addr();
        let hidden = Type::addr().shown(Lens::Hide);
        let mut read = std::mem::take(&mut self.read);
        let mut typed = self.typed(prototype);
        self.forget_unstored(&mut typed[prototype.params.len()..], &address, result, view);
        if self.has_failed || reader(view, limits, &[], None).has_failed(result) {
            forget_filled(&mut typed, prototype, &address, &hidden);
        }
        let reader = reader(view, limits, &typed, Some(result));
        let shown = self.count_at_entry(prototype, capture)..typed.len() - read.len();
        let shown = typed.get(shown).unwrap_or_default();
        values.extend(shown.iter().map(|argument| reader.read(argument)));
        values.append(&mut read);
        let result = reader.read(result);
        drop(typed);
        self.read = read;
        result
    }

    #[inline]
    fn typed<'t>(&'t self, prototype: &'t Prototype) -> Typed<'t> {
        let named = prototype.params.iter().map(|param| &param.ty);
        let others = self.formatted.iter().flat_map(|formatted| &formatted.types);
        let places = self.places.iter().copied();
        let mut typed = Typed::new();
        for (ty, place) in named.chain(others).zip(places) {
            typed.push(Argument { ty, place });
        }
        typed
    }

    /// Adds what the format tells of, from where it is.
    fn add_formatted(
        &mut self,
        types: &[Type],
        (index, format): (usize, Format),
        capture: &Capture,
        entry: &Entry<'_>,
        view: &View<'_>,
    ) {
        match format.arguments {
            Varargs::Passed => {
                let mut cursor = capture.behind;
                let places = types.iter().map(|ty| entry.fetch(cursor.next(ty)));
                self.places.extend(places);
            }
            Varargs::List => {
                let list = self.places.get(index + 1);
                let list = list.and_then(|at| VaList::of(view.regs.machine(), view.memory, at));
                if let Some(mut list) = list {
                    self.places.extend(types.iter().map(|ty| list.next(ty)));
                }
            }
        }
    }

    /// The text of a format, a wide one with its letters taken for bytes.
    fn format_text(&self, prototype: &Prototype, index: usize, view: &View<'_>) -> Text {
        let limits = Limits {
            string: MAX_FORMAT,
            ..Limits::default()
        };
        let mut text = Text::new();
        let word = self.places.get(index).map_or(0, Place::low);
        let ty = &prototype.params[index].ty;
        if reader(view, limits, &[], None)
            .text(ty, word, &mut text)
            .is_some()
        {
            return text;
        }
        let typed = self.typed(prototype);
        let reader = reader(view, limits, &typed, None);
        match typed.get(index).map(|argument| reader.read(argument)) {
            Some(Value::Bytes { bytes, .. }) => bytes,
            Some(Value::Wide { text, .. }) => {
                let byte = |c| u8::try_from(u32::from(c)).unwrap_or(b'?');
                text.chars().map(byte).collect()
            }
            _ => Text::new(),
        }
    }

    /// scanf's result tells how many conversions were stored: behind the others there is nothing.
    fn forget_unstored<'t>(
        &self,
        stored: &mut [Argument<'t>],
        address: &'t Type,
        result: &Argument<'_>,
        view: &View<'_>,
    ) {
        let counted = self.formatted.as_ref().and_then(|f| f.counted.as_ref());
        let Some(counted) = counted else {
            return;
        };
        let reader = reader(view, Limits::default(), &[], None);
        let mut left = reader.number(result).unwrap_or_default();
        for (argument, counted) in stored.iter_mut().zip(counted) {
            if left < i64::from(*counted) {
                argument.ty = address;
            }
            left -= i64::from(*counted);
        }
    }
}

/// Whether a format tells of arguments that the function reads.
fn is_passed(capture: &Capture) -> bool {
    matches!(capture.format, Some((_, format)) if format.language != Language::Scanf)
}

/// What a call should have filled has any contents when it has failed. Text may be a name that it was given.
fn forget_filled<'t>(
    typed: &mut [Argument<'t>],
    prototype: &'t Prototype,
    address: &'t Type,
    hidden: &'t Type,
) {
    for (argument, param) in typed.iter_mut().zip(&prototype.params) {
        match &param.ty {
            Type::Shown(Lens::Switch(switch), _) if switch.subject == Expr::Result => {
                argument.ty = switch.ty(-1).unwrap_or(address);
            }
            // It was shown at the call already.
            Type::Shown(Lens::Again(_), _) => argument.ty = hidden,
            ty if param.at_return && !ty.is_text() => {
                if let Type::Pointer(_) = ty.unshown() {
                    argument.ty = address;
                }
            }
            _ => {}
        }
    }
}

/// As many arguments as there are before a null one, if the first of all is not null.
fn list(ty: Type, first: u64, mut cursor: Cursor, entry: &Entry<'_>) -> Formatted {
    let ty = match ty {
        Type::Shown(Lens::Format(_), ty) => Type::clone(&ty),
        ty => ty,
    };
    let mut passed = || entry.fetch(cursor.next(&ty)).low() != 0;
    let most = if first == 0 { 0 } else { MAX_LIST };
    let count = (0..most).take_while(|_| passed()).count();
    Formatted {
        types: vec![ty; count],
        counted: None,
    }
}

/// Reads values of a call with these arguments.
pub(super) fn reader<'r>(
    view: &View<'r>,
    limits: Limits,
    arguments: &'r [Argument<'r>],
    result: Option<&'r Argument<'r>>,
) -> Reader<'r> {
    Reader {
        memory: view.memory,
        model: convention::model(view.regs.machine()),
        limits,
        arguments,
        result,
        errno: view.errno,
        thread_pointer: view.regs.thread_pointer(),
        process: view.process,
    }
}
