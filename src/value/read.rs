//! Reads values: from a type, a place and the target's memory. Whatever the target holds, depth and
//! size of a value stay within limits.

mod collections;
mod control;
mod endpoint;
mod jump;
mod lengths;
mod locale;
mod nodes;
mod number;
mod source;
mod text;

use super::{Limits, Value};
use crate::abi::{Argument, Place};
use crate::base::addr::Addr;
use crate::base::memory::{Memory, Text};
use crate::base::regs::Process;
use crate::proto::layout::Model;
use crate::proto::types::{Expr, Failure, Lens, Struct, Type, When};
use source::{Absent, Source};

/// How deep values may nest.
const MAX_DEPTH: usize = 48;
/// How many values one may hold, and how many bytes of text, if the limits do not ask for more.
const MAX_PARTS: usize = 512;
const MAX_TEXT: usize = 16 << 10;
/// How many values one may hold that consists of what a compiler says of a structure, which the user did not choose to see.
const MAX_TOLD_PARTS: usize = 48;
/// So many structures of other kinds are shown around one whose kind a compiler tells.
const MAX_KINDS: usize = 2;
/// What any limit is cut to.
const MAX_LIMIT: usize = 1 << 20;
/// How much of a structure or array is fetched at once.
const MAX_BLOCK: u64 = 4096;

/// Reads the values of one call.
pub struct Reader<'r> {
    /// The target's memory.
    pub memory: &'r dyn Memory,
    /// How values are laid out in it.
    pub model: Model,
    /// How much to read.
    pub limits: Limits,
    /// The call's arguments: lengths may be told by any of them.
    pub arguments: &'r [Argument<'r>],
    /// The call's result, once there is one.
    pub result: Option<&'r Argument<'r>>,
    /// Where the thread's errno is, once the call has returned.
    pub errno: Option<Addr>,
    /// Where its control block is.
    pub thread_pointer: u64,
    /// Its process.
    pub process: &'r dyn Process,
}

/// A number, or an address that nothing is shown behind: small enough for registers, where a [`Value`] is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Plain {
    Signed(i64),
    Unsigned(u64),
    Pointer(Addr),
    Void,
}

impl Plain {
    /// Makes the value where it belongs: to move one costs more than all else.
    #[inline]
    pub fn put(self, value: &mut Value) {
        match self {
            Plain::Signed(number) => *value = Value::Signed(number),
            Plain::Unsigned(number) => *value = Value::Unsigned(number),
            Plain::Pointer(at) => *value = Value::Pointer(at),
            Plain::Void => *value = Value::Void,
        }
    }

    /// It as a number, signed ones in two's complement.
    #[inline]
    pub fn number(self) -> Option<u64> {
        match self {
            Plain::Signed(number) => Some(number as u64),
            Plain::Unsigned(number) => Some(number),
            Plain::Pointer(at) => Some(at.0),
            Plain::Void => None,
        }
    }

    /// Adds the value.
    #[inline]
    pub fn add_to(self, values: &mut Vec<Value>) {
        values.push(Value::Void);
        if let Some(value) = values.last_mut() {
            self.put(value);
        }
    }
}

/// A structure that is being read, and those around it.
struct Around<'a> {
    structure: &'a Struct,
    source: Source<'a>,
    /// It is not shown itself, but what it holds.
    is_around_contents: bool,
    outer: Option<&'a Around<'a>>,
}

/// One value on its way.
struct Reading<'r> {
    reader: &'r Reader<'r>,
    limits: Limits,
    depth: usize,
    parts_left: usize,
    text_left: usize,
    /// What is left of all texts together, where that is told.
    total_left: Option<u64>,
    /// So many bytes of the next structure count.
    filled: Option<u64>,
}

impl Reader<'_> {
    /// The value of an argument or of the result.
    pub fn read(&self, argument: &Argument<'_>) -> Value {
        if let Place::Bytes(_) = &argument.place
            && let Some(plain) = self.plain(argument.ty, argument.place.low())
        {
            let mut value = Value::Void;
            plain.put(&mut value);
            return value;
        }
        let limits = Limits {
            string: self.limits.string.min(MAX_LIMIT),
            array: self.limits.array.min(MAX_LIMIT),
        };
        let mut reading = Reading {
            reader: self,
            limits,
            depth: 0,
            parts_left: MAX_PARTS.max(limits.array.saturating_mul(2)),
            text_left: MAX_TEXT.max(limits.string.saturating_mul(4)),
            total_left: None,
            filled: None,
        };
        reading.value(argument.ty, None, Source::of(&argument.place), None)
    }

    /// What most arguments and results are, of a word: `None` when it is something else, or may tell of a failure.
    #[inline]
    pub fn plain(&self, ty: &Type, word: u64) -> Option<Plain> {
        match ty {
            Type::Integer(integer) => {
                let number = self.number_of(word, *integer);
                Some(match integer.signed {
                    true => Plain::Signed(number.extended()),
                    false => Plain::Unsigned(number.unsigned()),
                })
            }
            Type::Pointer(to) if self.model == Model::Lp64 && !to.is_complete() => {
                Some(Plain::Pointer(Addr(word)))
            }
            Type::Void => Some(Plain::Void),
            Type::Shown(Lens::Errno, inner) => match self.plain(inner, word)? {
                Plain::Pointer(Addr(0 | u64::MAX)) | Plain::Signed(-1) => None,
                value @ (Plain::Pointer(_) | Plain::Signed(_)) => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    /// Adds the value of an argument or of the result.
    #[inline]
    pub fn add(&self, argument: &Argument<'_>, values: &mut Vec<Value>) {
        let is_added = matches!(argument.place, Place::Bytes(_))
            && self.add_simple(argument.ty, argument.place.low(), values);
        if !is_added {
            values.push(self.read(argument));
        }
    }

    /// Adds a [plain](Reader::plain) value or a [text](Reader::text). `false`: it is something else, and nothing was added.
    #[inline]
    pub fn add_simple(&self, ty: &Type, word: u64, values: &mut Vec<Value>) -> bool {
        if let Some(plain) = self.plain(ty, word) {
            plain.add_to(values);
            return true;
        }
        values.push(Value::Bytes {
            bytes: Text::new(),
            cut: false,
        });
        if let Some(Value::Bytes { bytes, cut }) = values.last_mut()
            && let Some(ended) = self.text(ty, word, bytes)
        {
            *cut = !ended;
            return true;
        }
        values.pop();
        false
    }

    /// Adds the bytes of the text behind a pointer, of one-byte characters that nothing but a zero ends, as most texts
    /// are, to an empty one; says whether it ends there. `None`: it is something else, or cannot be read.
    pub fn text(&self, ty: &Type, word: u64, text: &mut Text) -> Option<bool> {
        if word == 0 || self.model != Model::Lp64 || !text::is_plain(ty) {
            return None;
        }
        let limit = self.limits.string.min(MAX_LIMIT);
        self.memory.read_c_string_into(Addr(word), limit, text).ok()
    }

    /// The call has failed, by what its result means.
    pub fn has_failed(&self, result: &Argument<'_>) -> bool {
        match result.ty {
            Type::Shown(Lens::Errno, _) => self.failing(result.ty, Source::of(&result.place)),
            Type::Shown(Lens::Error, _) => self.number(result).is_some_and(|number| number != 0),
            _ => false,
        }
    }

    /// The number that an argument or the result is, or points to.
    pub fn number(&self, argument: &Argument<'_>) -> Option<i64> {
        self.number_at(argument.ty, Source::of(&argument.place))
    }

    fn number_at(&self, ty: &Type, source: Source<'_>) -> Option<i64> {
        match ty.unshown() {
            Type::Integer(integer) | Type::Character(integer) => {
                let number = self.integer(source, *integer).ok()?;
                Some(number.extended())
            }
            Type::Pointer(to) if matches!(to.unshown(), Type::Integer(_)) => {
                let at = self.uint(source, self.model.pointer()).ok()?;
                self.number_at(to, Source::Memory(Addr(at)))
            }
            Type::Part(part) => Some(self.part(source, *part).ok()?.extended()),
            _ => None,
        }
    }

    /// The number by which a type is chosen: also a pointer's address, where that points to none.
    fn choice_at(&self, ty: &Type, source: Source<'_>) -> Option<i64> {
        let address = || {
            let is_pointer = matches!(ty.unshown(), Type::Pointer(_));
            let size = self.model.pointer();
            let word = self.uint(source, size).ok().filter(|_| is_pointer)?;
            Some(if size == 4 {
                i64::from(word as i32)
            } else {
                word as i64
            })
        };
        self.number_at(ty, source).or_else(address)
    }

    /// A result is one by which a function tells of a failure.
    fn failing(&self, ty: &Type, source: Source<'_>) -> bool {
        let size = self.model.layout(ty).size;
        match (ty.failure(), self.uint(source, size)) {
            (Some(failure), Ok(0)) => failure != Failure::MinusOne,
            (Some(Failure::Null), _) => false,
            (Some(_), Ok(word)) => word == u64::MAX >> (64 - 8 * size),
            _ => false,
        }
    }

    /// What errno says when a result means that the call has failed.
    fn error(&self, ty: &Type, source: Source<'_>) -> Option<i32> {
        let errno = self.errno.filter(|_| self.failing(ty, source))?;
        let number = self.uint(Source::Memory(errno), 4).ok()?;
        Some(number as i32).filter(|number| *number != 0)
    }
}

impl Reading<'_> {
    fn value(
        &mut self,
        ty: &Type,
        lens: Option<&Lens>,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Value {
        match ty {
            Type::Shown(Lens::Hide, _) => return Value::Hidden,
            Type::Shown(Lens::Unknown, _) => return Value::Unknown,
            Type::Shown(Lens::If(condition), ty) => {
                return if self.holds(*condition) {
                    self.value(ty, lens, source, around)
                } else {
                    Value::Hidden
                };
            }
            Type::Shown(Lens::When(when), ty) => return self.case(when, ty, source, around),
            Type::Shown(Lens::Errno, inner) => {
                let value = self.value(inner, lens, source, around);
                return match self.reader.error(ty, source) {
                    Some(error) => Value::Failed(Box::new(value), error),
                    None => value,
                };
            }
            Type::Shown(Lens::Format(_), ty) => return self.value(ty, None, source, around),
            Type::Shown(Lens::Switch(switch), _) => {
                let subject = self.subject(&switch.subject, around);
                return match subject.and_then(|subject| switch.ty(subject)) {
                    Some(ty) => self.value(ty, None, source, around),
                    None => Value::Hidden,
                };
            }
            Type::Shown(Lens::Again(_), ty) => {
                return match self.value(ty, lens, source, around) {
                    // There was nothing to be filled, or it is the same in another way.
                    Value::Pointer(_) | Value::Hidden => Value::Hidden,
                    value => Value::Again(Box::new(value)),
                };
            }
            Type::Shown(Lens::Lp64(other), ty) => {
                let address = Type::addr();
                let ty = match (self.reader.model, other) {
                    (Model::Lp64, _) => ty,
                    (Model::Ilp32, Some(other)) => other,
                    (Model::Ilp32, None) => &address,
                };
                return self.value(ty, lens, source, around);
            }
            Type::Shown(Lens::TypeName, ty) => return self.type_name(ty, source, around),
            Type::Shown(Lens::Total(total), ty) => {
                let outer = self.total_left;
                self.total_left = Some(self.length(total, around));
                let value = self.value(ty, lens, source, around);
                self.total_left = outer;
                return value;
            }
            Type::Shown(Lens::Filled(length), ty) => {
                let filled = self.length(length, around);
                let address = Type::addr();
                let is_pointer = matches!(ty.unshown(), Type::Pointer(_));
                let ty = if filled == 0 && is_pointer {
                    &address
                } else {
                    ty
                };
                let outer = self.filled.replace(filled);
                let value = self.value(ty, lens, source, around);
                self.filled = outer;
                return value;
            }
            Type::Shown(lens, ty) => return self.value(ty, Some(lens), source, around),
            Type::Void => return Value::Void,
            _ => {}
        }
        if self.parts_left == 0 || self.depth == MAX_DEPTH {
            return Value::Elided;
        }
        self.parts_left -= 1;
        self.depth += 1;
        let value = self.unshown(ty, lens, source, around);
        self.depth -= 1;
        value.unwrap_or_else(|Absent(value)| value)
    }

    fn unshown(
        &mut self,
        ty: &Type,
        lens: Option<&Lens>,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        match (ty, lens) {
            (Type::Void | Type::Shown(..), _) => Ok(Value::Void),
            (Type::Pointer(to), Some(Lens::Nodes(nodes))) => self.nodes(*nodes, to, source, around),
            (Type::Pointer(to), Some(Lens::Blocks(blocks))) => {
                self.blocks(*blocks, to, source, around)
            }
            (Type::Pointer(_), Some(Lens::Locale)) => {
                let at = self.reader.uint(source, self.reader.model.pointer())?;
                Ok(self.reader.locale(Addr(at)))
            }
            (Type::Pointer(_), Some(Lens::Jump)) => {
                let at = self.reader.uint(source, self.reader.model.pointer())?;
                Ok(self.reader.jump(Addr(at)))
            }
            (Type::Pointer(to), _) => self.pointer(to, lens, source, around),
            (_, Some(Lens::Bits)) => self.bits(ty, source, around),
            (_, Some(Lens::Set(names))) => self.set(ty, names, source, around),
            (Type::Integer(integer), Some(Lens::Thread)) => {
                let pointer = self.reader.integer(source, *integer)?.unsigned();
                let thread = self.reader.process.thread(pointer);
                Ok(thread.map_or(Value::Hex(pointer), |tid| Value::Thread(tid.0, None)))
            }
            (Type::Integer(integer), _) => {
                Ok(self.reader.integer(source, *integer)?.as_integer(lens))
            }
            (Type::Character(integer), _) => {
                Ok(self.reader.integer(source, *integer)?.as_character(lens))
            }
            (Type::Part(part), _) => Ok(self.reader.part(source, *part)?.as_integer(lens)),
            (Type::Real(real), _) => number::real(self.reader, *real, source, lens),
            (Type::Array(element, length), Some(Lens::Text)) if text::is_text(element) => {
                self.text(element, length, source, around)
            }
            (Type::Array(_, length), Some(Lens::Control)) => self.control(length, source, around),
            (Type::Array(element, length), _) => self.array(element, length, lens, source, around),
            (Type::Struct(s), _) => self.structure(s, lens, source, around),
        }
    }

    fn pointer(
        &mut self,
        to: &Type,
        lens: Option<&Lens>,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let size = self.reader.model.pointer();
        let at = Addr(self.reader.uint(source, size)?);
        if let Some(Lens::Enum(names)) = lens
            && let Some(name) = number::name_of(names, at.0, 64 - 8 * size as u32)
        {
            return Ok(name);
        }
        if at == Addr(0) && is_contents(to, around) {
            return Ok(nothing(lens));
        }
        if at == Addr(0) || !to.is_complete() {
            return Ok(match lens {
                Some(Lens::Guess) => Value::guess(at.0, self.reader.model),
                _ => Value::Pointer(at),
            });
        }
        if let Type::Struct(s) = to.unshown()
            && let Some(levels) = levels_up(s, at, around)
        {
            return Ok(Value::Recurse(levels));
        }
        if leads_far(to, around) {
            return Ok(Value::Pointer(at));
        }
        Ok(self.value(to, lens, Source::Memory(at), around))
    }

    fn structure(
        &mut self,
        s: &Struct,
        lens: Option<&Lens>,
        source: Source<'_>,
        outer: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let same = outers(outer).filter(|around| std::ptr::eq(around.structure, s));
        if same.count() >= self.limits.array {
            return Ok(Value::Elided);
        }
        if s.laid().is_some() && s.is_announced() {
            self.parts_left = self.parts_left.min(MAX_TOLD_PARTS);
        }
        let filled = self.filled.take().unwrap_or(u64::MAX);
        let model = self.reader.model;
        let ends = model.offsets(s);
        let ends = ends.map(|(offset, member)| offset.saturating_add(model.layout(member).size));
        let size = ends.max().unwrap_or(0);
        let block = self.block(source, size)?;
        let around = Around {
            structure: s,
            source,
            is_around_contents: lens == Some(&Lens::Contents),
            outer,
        };
        let mut values = Vec::new();
        // What the structure is shown as says nothing of its members.
        let of_all =
            |lens: &&Lens| matches!(lens, Lens::Contents | Lens::Duration | Lens::Wide { .. });
        let inner = lens.filter(|lens| !of_all(lens));
        for (offset, member) in model.offsets(s) {
            let size = model.layout(member).size;
            if offset.saturating_add(size) > filled {
                break;
            }
            if self.parts_left == 0 {
                values.push(Value::Elided);
                break;
            }
            let source = block.part(source, offset, size);
            values.push(self.value(member, inner, source, Some(&around)));
        }
        if lens == Some(&Lens::Contents)
            && let Some(shown) = values.iter_mut().find(|value| **value != Value::Hidden)
        {
            return Ok(std::mem::replace(shown, Value::Hidden));
        }
        if lens == Some(&Lens::Duration)
            && let [Value::Unsigned(seconds), Value::Unsigned(nanoseconds)] = values[..]
            && let Some(text) = number::duration(seconds, nanoseconds)
        {
            return Ok(Value::Name(text.into()));
        }
        if let Some(Lens::Wide { signed }) = lens
            && let [Value::Unsigned(low), Value::Unsigned(high)] = values[..]
        {
            return Ok(number::wide(low, high, *signed));
        }
        if lens == Some(&Lens::Endpoint) {
            values.extend(self.endpoint(source, filled));
            return Ok(Value::Struct(values));
        }
        Ok(match s.names() {
            Some(names) => Value::Members {
                names: names.clone(),
                values,
            },
            None => Value::Struct(values),
        })
    }

    fn array(
        &mut self,
        element: &Type,
        length: &Expr,
        lens: Option<&Lens>,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Result<Value, Absent> {
        let size = self.reader.model.layout(element).size;
        let count = match (length, source) {
            (Expr::UpTo(member), Source::Memory(at)) => {
                self.elements_up_to(*member, around, at, size)
            }
            (length, _) => self.length(length, around),
        };
        let until_zero = matches!(length, Expr::Zero(_));
        let shown = count.min(self.limits.array as u64);
        let block = self.block(source, size.saturating_mul(shown))?;
        let mut items = Vec::new();
        for i in 0..=shown {
            let part = block.part(source, i.saturating_mul(size), size);
            if i == count || (until_zero && self.is_zero(part, size)) {
                return Ok(Value::Array { items, cut: false });
            }
            if i < shown && self.parts_left > 0 {
                items.push(self.value(element, lens, part, around));
            }
        }
        Ok(Value::Array { items, cut: true })
    }

    /// A member that another one tells of.
    fn case(
        &mut self,
        when: &When,
        ty: &Type,
        source: Source<'_>,
        around: Option<&Around<'_>>,
    ) -> Value {
        let told = match when.member {
            0 => Some(0),
            member => around.and_then(|around| self.member(member, around)),
        };
        if !told.is_some_and(|told| when.holds(told as u64)) {
            return Value::Hidden;
        }
        // A case by itself holds nothing.
        let value = match ty.is_complete() {
            true => self.value(ty, None, source, around),
            false => Value::Struct(Vec::new()),
        };
        match &when.name {
            Some(name) => Value::Case(name.clone(), Box::new(value)),
            None => value,
        }
    }
}

/// A pointer of a structure that a compiler told leads to one of another kind, and there are some of those around it.
fn leads_far(to: &Type, around: Option<&Around<'_>>) -> bool {
    let Type::Struct(s) = to.unshown() else {
        return false;
    };
    let is_other =
        |around: &&Around<'_>| !std::ptr::eq(around.structure, &**s) && !around.is_around_contents;
    let others = outers(around).filter(is_other);
    s.laid().is_some() && others.count() >= MAX_KINDS
}

/// What a pointer leads to is all that is shown of a structure, which also tells how much of it there is.
fn is_contents(to: &Type, around: Option<&Around<'_>>) -> bool {
    let is_told = matches!(to, Type::Array(_, Expr::Member(_) | Expr::UpTo(_)));
    is_told && around.is_some_and(|around| around.is_around_contents)
}

/// Text or elements of which there are none.
fn nothing(lens: Option<&Lens>) -> Value {
    match lens {
        Some(Lens::Text) => Value::Bytes {
            bytes: Text::new(),
            cut: false,
        },
        _ => Value::Array {
            items: Vec::new(),
            cut: false,
        },
    }
}

fn outers<'a>(around: Option<&'a Around<'a>>) -> impl Iterator<Item = &'a Around<'a>> {
    std::iter::successors(around, |around| around.outer)
}

/// How many structures out this very structure is that a pointer leads to.
fn levels_up(s: &Struct, at: Addr, around: Option<&Around<'_>>) -> Option<u32> {
    let is_it = |around: &Around<'_>| {
        std::ptr::eq(around.structure, s)
            && matches!(around.source, Source::Memory(addr) if addr == at)
    };
    let levels = outers(around).position(is_it)?;
    u32::try_from(levels).ok()
}
