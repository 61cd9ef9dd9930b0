//! Numbers that decide how another value is read: lengths, conditions, and which type is meant.

use super::{Argument, Around, Reading, Source};
use crate::base::addr::Addr;
use crate::proto::types::{Condition, Expr, Type};

impl Reading<'_> {
    /// How many elements a length means; `u64::MAX` when nothing but a zero ends them.
    pub(super) fn length(&self, length: &Expr, around: Option<&Around<'_>>) -> u64 {
        match length {
            Expr::Number(n) => *n,
            // A negative size is none, as `-1` is as a size_t and as a printf precision.
            Expr::Argument(n) => {
                let argument = n.checked_sub(1).and_then(|n| self.reader.arguments.get(n));
                let number = argument.and_then(|argument| self.reader.number(argument));
                number.map_or(0, |n| u64::try_from(n).unwrap_or(u64::MAX))
            }
            // A negative result is a failure: nothing was stored.
            Expr::Result => {
                let result = self.reader.result;
                let number = result.and_then(|result| self.reader.number(result));
                u64::try_from(number.unwrap_or_default()).unwrap_or_default()
            }
            Expr::Member(n) => {
                let number = around.and_then(|around| self.member(*n, around));
                u64::try_from(number.unwrap_or_default()).unwrap_or_default()
            }
            Expr::MemberOutside(n) => {
                let outside = around.and_then(|around| around.outer);
                let number = outside.and_then(|around| self.member(*n, around));
                u64::try_from(number.unwrap_or_default()).unwrap_or_default()
            }
            // Only an array in memory has an end.
            Expr::UpTo(_) => 0,
            Expr::Zero(None) => u64::MAX,
            Expr::Zero(Some(limit)) => match **limit {
                // `zero(zero)` is not in the language; this keeps the recursion to one step.
                Expr::Zero(_) => u64::MAX,
                ref limit => self.length(limit, around),
            },
        }
    }

    /// The number by which a type is chosen; of a pointer to something else than a number, the address.
    pub(super) fn subject(&self, subject: &Expr, around: Option<&Around<'_>>) -> Option<i64> {
        let number = |argument: &Argument<'_>| {
            let source = Source::of(&argument.place);
            self.reader.choice_at(argument.ty, source)
        };
        match subject {
            Expr::Argument(n) => self
                .reader
                .arguments
                .get(n.checked_sub(1)?)
                .and_then(number),
            Expr::Result => self.reader.result.and_then(number),
            Expr::Member(n) => self
                .at_member(*n, around?)
                .and_then(|(ty, source)| self.reader.choice_at(ty, source)),
            _ => None,
        }
    }

    /// How many elements of this size are between an address and that which a member of the structure around holds.
    pub(super) fn elements_up_to(
        &self,
        member: usize,
        around: Option<&Around<'_>>,
        at: Addr,
        size: u64,
    ) -> u64 {
        let end = around.and_then(|around| self.member(member, around));
        let span = end.map_or(0, |end| (end as u64).saturating_sub(at.0));
        span.checked_div(size).unwrap_or(0)
    }

    pub(super) fn holds(&self, condition: Condition) -> bool {
        let number = self.subject(&Expr::Argument(condition.argument), None);
        number.is_some_and(|number| number as u64 & condition.mask != 0)
    }

    pub(super) fn member(&self, number: usize, around: &Around<'_>) -> Option<i64> {
        let (ty, source) = self.at_member(number, around)?;
        self.reader.number_at(ty, source)
    }

    fn at_member<'s>(&self, number: usize, around: &Around<'s>) -> Option<(&'s Type, Source<'s>)> {
        let mut members = self.reader.model.offsets(around.structure);
        let (offset, ty) = members.nth(number.checked_sub(1)?)?;
        Some((ty, around.source.at(offset)))
    }
}
