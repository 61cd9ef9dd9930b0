//! The arguments of one call: those that the prototype names, and those that a format among them
//! tells of.

use crate::abi::{Argument, Place, convention};
use crate::base::regs::View;
use crate::proto::scan::Stored;
use crate::proto::types::{Format, Language, Type, Varargs};
use crate::proto::{Prototype, format, scan};
use crate::value::read::Reader;
use crate::value::{Limits, Value};

/// How much of a format is read to find its conversions.
const MAX_FORMAT: usize = 4096;

/// A call's arguments, taken out of registers and stack slots at entry.
pub(super) struct Arguments {
    list: Vec<Argument>,
    /// How many of them are shown at entry.
    at_entry: usize,
    /// From here on they are what scanf stored, each with whether the result counts it.
    stored: Option<(usize, Vec<bool>)>,
}

impl Arguments {
    /// The arguments of a call at the function's first instruction.
    pub(super) fn of_call(prototype: &Prototype, view: &View<'_>) -> Arguments {
        let mut cursor = convention::Arguments::new(*view, &prototype.result);
        let params = prototype.params.iter();
        let list = params
            .map(|param| Argument {
                ty: param.ty.clone(),
                place: cursor.next(&param.ty),
            })
            .collect();
        let mut arguments = Arguments {
            list,
            at_entry: prototype.shown_at_entry(),
            stored: None,
        };
        let formats = prototype.params.iter().enumerate();
        let mut found = formats.filter_map(|(i, param)| Some((i, param.ty.format()?)));
        if let Some((index, format)) = found.next() {
            arguments.add_formatted(index, format, cursor, view);
        }
        arguments
    }

    /// Something of the call is shown only when it returns.
    pub(super) fn shown_at_return(&self) -> bool {
        self.at_entry < self.list.len()
    }

    /// The values that are shown at entry.
    pub(super) fn at_entry(&self, view: &View<'_>, limits: Limits) -> Vec<Value> {
        let reader = Reader {
            memory: view.memory,
            model: convention::model(view.regs.machine()),
            limits,
            arguments: &self.list,
            result: None,
        };
        let shown = self.list.iter().take(self.at_entry);
        shown.map(|argument| reader.read(argument)).collect()
    }

    /// The other values, once there is a result.
    pub(super) fn at_return(
        mut self,
        result: &Argument,
        view: &View<'_>,
        limits: Limits,
    ) -> Vec<Value> {
        self.forget_unstored(result, view);
        let reader = Reader {
            memory: view.memory,
            model: convention::model(view.regs.machine()),
            limits,
            arguments: &self.list,
            result: Some(result),
        };
        let shown = self.list.iter().skip(self.at_entry);
        shown.map(|argument| reader.read(argument)).collect()
    }

    /// Adds what the format at this index tells of, from where it is.
    fn add_formatted(
        &mut self,
        index: usize,
        format: Format,
        mut cursor: convention::Arguments<'_>,
        view: &View<'_>,
    ) {
        let named = self.list.len();
        let text = self.format_text(index, view);
        let types = match format.language {
            Language::Printf => format::arguments(&text, named + 1),
            Language::Scanf => self.note_stored(scan::arguments(&text)),
        };
        match format.arguments {
            Varargs::Passed => self.add(types, |ty| cursor.next(ty)),
            Varargs::List => {
                if let Some(mut list) = self.va_list(index + 1, view) {
                    self.add(types, |ty| list.next(ty));
                }
            }
        }
        // Where no parameter waits for the return, what printf takes does not either.
        if self.at_entry == named && format.language == Language::Printf {
            self.at_entry = self.list.len();
        }
    }

    fn add(&mut self, types: Vec<Type>, mut next: impl FnMut(&Type) -> Place) {
        self.list.extend(types.into_iter().map(|ty| {
            let place = next(&ty);
            Argument { ty, place }
        }));
    }

    fn note_stored(&mut self, stored: Vec<Stored>) -> Vec<Type> {
        let counted = stored.iter().map(|stored| stored.counted).collect();
        self.stored = Some((self.list.len(), counted));
        stored.into_iter().map(|stored| stored.ty).collect()
    }

    /// The text of a format, a wide one with its letters taken for bytes.
    fn format_text(&self, index: usize, view: &View<'_>) -> Vec<u8> {
        let reader = Reader {
            memory: view.memory,
            model: convention::model(view.regs.machine()),
            limits: Limits {
                string: MAX_FORMAT,
                ..Limits::default()
            },
            arguments: &self.list,
            result: None,
        };
        match self.list.get(index).map(|argument| reader.read(argument)) {
            Some(Value::Bytes { bytes, .. }) => bytes,
            Some(Value::Wide { text, .. }) => {
                let byte = |c| u8::try_from(u32::from(c)).unwrap_or(b'?');
                text.chars().map(byte).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The `va_list` that an argument is.
    fn va_list<'e>(&self, index: usize, view: &View<'e>) -> Option<convention::Arguments<'e>> {
        let list = &self.list.get(index)?.place;
        convention::Arguments::listed(view.regs.machine(), view.memory, list)
    }

    /// scanf's result tells how many conversions were stored: behind the others there is nothing.
    fn forget_unstored(&mut self, result: &Argument, view: &View<'_>) {
        let Some((first, counted)) = self.stored.take() else {
            return;
        };
        let reader = Reader {
            memory: view.memory,
            model: convention::model(view.regs.machine()),
            limits: Limits::default(),
            arguments: &[],
            result: None,
        };
        let mut left = reader.number(result).unwrap_or_default();
        for (argument, counted) in self.list.iter_mut().skip(first).zip(counted) {
            if left < i64::from(counted) {
                argument.ty = Type::addr();
            }
            left -= i64::from(counted);
        }
    }
}
