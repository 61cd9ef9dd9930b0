//! Which calls begin where a breakpoint was hit.

use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::engine::instrument::int3::breakpoint::{Breakpoint, Purpose};
use crate::engine::space::Space;
use crate::plan::Tracepoint;
use crate::process::callsite::CallSite;
use crate::sys;
use crate::sys::memory::Prefetched;
use std::sync::Arc;

/// A call as a breakpoint shows it.
pub(super) struct Arrival {
    pub(super) point: Arc<Tracepoint>,
    pub(super) seen: Seen,
    /// The registers as on the callee's first instruction.
    pub(super) regs: Regs,
    pub(super) return_address: Addr,
    /// Where that really is: in code of ours that goes on there, for a call that is recorded as well.
    pub(super) lands_at: Addr,
}

/// Where a call was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Where it is made, or at an entry that every call passes.
    Itself,
    /// At an imported function's first instruction, which other calls may end up at too.
    AtCallee,
}

/// The calls that begin at this breakpoint, with the memory they will be read from: stack and texts in
/// one system call.
pub(super) fn arrivals<'s>(
    space: &'s Space,
    at: Addr,
    breakpoint: &Breakpoint,
    regs: Regs,
) -> (Vec<Arrival>, Prefetched<'s>) {
    let mut hit = Hit {
        space,
        at,
        regs,
        prefetched: None,
    };
    let mut arrivals = Vec::new();
    let mut callees: Vec<(&Arc<Tracepoint>, Addr, Addr)> = Vec::new();
    let mut at_callee = None;
    let through_got = space.goes_through_got(at, breakpoint, &regs);
    for purpose in &breakpoint.purposes {
        if purpose.uses_slot() && !through_got {
            continue;
        }
        match purpose {
            Purpose::CallSite(point) => {
                arrivals.push(hit.at_call_site(point, breakpoint.slot.next));
            }
            Purpose::Entry(point) => arrivals.extend(hit.at_entry(point)),
            Purpose::Callee {
                point,
                caller,
                slot,
            } => {
                let arrival = hit.at_entry(point);
                if let Some(arrival) = arrival.filter(|a| caller.contains(&a.return_address.0)) {
                    callees.push((point, *slot, arrival.return_address));
                    at_callee = Some(arrival);
                }
            }
            _ => {}
        }
    }
    if let Some(arrival) = at_callee
        && let Some((point, return_address)) = called(space, &callees)
    {
        arrivals.push(Arrival {
            point: point.clone(),
            seen: Seen::AtCallee,
            return_address,
            ..arrival
        });
    }
    let prefetched = hit.prefetched;
    let prefetched = prefetched.unwrap_or_else(|| Prefetched::take(&space.memory, &[]));
    (arrivals, prefetched)
}

/// A task that has hit a breakpoint.
struct Hit<'s> {
    space: &'s Space,
    at: Addr,
    regs: Regs,
    /// Its memory, from the first call on that begins here.
    prefetched: Option<Prefetched<'s>>,
}

impl<'s> Hit<'s> {
    /// A call that is about to push its return address.
    fn at_call_site(&mut self, point: &Arc<Tracepoint>, return_address: Addr) -> Arrival {
        let regs = self.regs.with_call_pushed();
        self.prefetched(&regs, point);
        Arrival {
            point: point.clone(),
            seen: Seen::Itself,
            regs,
            return_address,
            lands_at: return_address,
        }
    }

    /// A call that has pushed its return address. `None` if the stack cannot be read.
    fn at_entry(&mut self, point: &Arc<Tracepoint>) -> Option<Arrival> {
        let regs = self.regs;
        let memory: &dyn Memory = self.prefetched(&regs, point);
        let lands_at = memory.read_word(Addr(regs.rsp)).map(Addr).ok()?;
        let return_address = self.space.caller(lands_at);
        Some(Arrival {
            point: point.clone(),
            seen: Seen::Itself,
            regs: at_entry(self.space, self.at, return_address, regs),
            return_address,
            lands_at,
        })
    }

    fn prefetched(&mut self, regs: &Regs, point: &Tracepoint) -> &Prefetched<'s> {
        let space = self.space;
        self.prefetched
            .get_or_insert_with(|| prefetch(space, regs, point))
    }
}

/// The registers as they are where the function begins: no unwinder knows of the stub that an int3 may stand in.
fn at_entry(space: &Space, at: Addr, return_address: Addr, regs: Regs) -> Regs {
    let recorder = space.recorder.as_ref();
    match recorder.and_then(|recorder| recorder.seen_at(at, return_address)) {
        Some(Addr(rip)) => Regs { rip, ..regs },
        None => regs,
    }
}

/// The import that a hit at its callee is a call of. Several may hold one address (memcpy and memmove,
/// open and open64): the call instruction names the slot, or any may be meant. A call through a stub was
/// seen there, so that what arrives here is that call, or what it has led to by a tail call.
pub(in crate::engine::instrument) fn called<'p>(
    space: &Space,
    callees: &[(&'p Arc<Tracepoint>, Addr, Addr)],
) -> Option<(&'p Arc<Tracepoint>, Addr)> {
    let &(point, _, return_address) = callees.first()?;
    match space.call_site(return_address) {
        CallSite::Stub => None,
        CallSite::Slot(called) => callees
            .iter()
            .find(|(_, slot, _)| *slot == called)
            .map(|(point, ..)| (*point, return_address)),
        CallSite::Local | CallSite::Computed => Some((point, return_address)),
    }
}

fn prefetch<'s>(space: &'s Space, regs: &Regs, point: &Tracepoint) -> Prefetched<'s> {
    let mut places = [Addr(regs.rsp); sys::memory::PREFETCHES];
    let mut count = 1;
    let typed = point.typed(regs.machine());
    let texts = typed.map_or(0, |(_, capture)| capture.pointers);
    for (index, register) in regs.arguments().into_iter().enumerate() {
        if texts & (1 << index) != 0 && count < places.len() {
            places[count] = Addr(register);
            count += 1;
        }
    }
    Prefetched::take(&space.memory, &places[..count])
}
