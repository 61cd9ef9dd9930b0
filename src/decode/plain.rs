//! Calls that are told without an event: those of a resource's functions whose arguments and result are numbers.

use super::arguments::reader;
use super::{Decoder, in_registers};
use crate::base::machine::Machine;
use crate::base::regs::View;
use crate::base::time::Timestamp;
use crate::engine::hit::{Hit, What};
use crate::event::{PlainCall, PlainReturn};
use crate::plan::{Kind, Stack, Tracepoint};
use crate::value::read::Plain;

impl Decoder {
    /// The call that a hit means, with its return if that is known. `None`: it has values that are no numbers, or a
    /// stack that its thread has not walked, or the hit is of another kind.
    pub fn plain<'h>(&'h mut self, hit: &'h Hit<'_>) -> Option<PlainCall<'h>> {
        let (call, returned) = match &hit.what {
            What::Call(call) => (call, None),
            What::Complete {
                call,
                returned,
                ended,
            } => (call, Some((returned, *ended))),
            _ => return None,
        };
        let point = call.point;
        if !matches!(point.kind, Kind::Resource { .. }) || !self.plain_words(point, &call.view) {
            return None;
        }
        let returned = match returned {
            Some((view, ended)) => Some(self.plain_return(point, view, ended)?),
            None => None,
        };
        self.addresses.clear();
        if point.stack == Stack::Wanted {
            let returns = call.view.memory.returns()?;
            self.addresses.push(call.view.regs.rip);
            self.addresses.extend_from_slice(returns);
        }
        Some(PlainCall {
            pid: hit.pid,
            tid: hit.tid,
            time: hit.time,
            id: call.id,
            point,
            return_address: call.return_address,
            args: &self.words,
            stack: &self.addresses,
            returned,
        })
    }

    /// Takes the arguments. `false`: some are no numbers.
    fn plain_words(&mut self, point: &Tracepoint, view: &View<'_>) -> bool {
        self.words.clear();
        let machine = view.regs.machine();
        let Some((prototype, capture)) = point.typed(machine) else {
            return false;
        };
        let is_flat = capture.is_flat && machine == Machine::Amd64;
        let reader = reader(view, self.limits, &[], None);
        is_flat
            && in_registers(prototype, capture, view).all(|(ty, word)| {
                let plain = word.and_then(|word| reader.plain(ty, word));
                let number = plain.and_then(Plain::number);
                self.words.extend(number);
                number.is_some()
            })
    }

    fn plain_return(
        &self,
        point: &Tracepoint,
        view: &View<'_>,
        ended: Timestamp,
    ) -> Option<PlainReturn> {
        let result = self.plain_result(point, view)?;
        Some(PlainReturn {
            time: ended,
            result: result.number(),
        })
    }
}
