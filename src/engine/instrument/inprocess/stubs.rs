//! The stubs: which function's calls the records of which number are about, and how they are led there.

use super::patches::Unpatched;
use super::{Function, Patched, Recorder};
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::engine::instrument::int3::breakpoint::Purpose;
use crate::plan::Tracepoint;
use crate::record::{Shape, Shared, Target};
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::Stopped;
use crate::sys::remote::Remote;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// What the records of one number are about.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) point: Arc<Tracepoint>,
    /// The stub.
    pub(super) stub: u64,
    /// The function's first instruction, where the jump to the stub is.
    pub(super) entry: Option<Addr>,
    /// It is an import that is seen at its function, whose jump is there.
    pub(super) callee: Option<(u64, Callee)>,
}

/// An import whose calls are seen at the imported function.
#[derive(Clone, Debug)]
pub struct Callee {
    /// The import.
    pub point: Arc<Tracepoint>,
    /// Where the importing module lies.
    pub caller: Range<u64>,
    /// The import's slot.
    pub slot: Addr,
}

impl Recorder {
    /// The stub of a tracepoint whose function's address is in this slot.
    ///
    /// # Errors
    /// Why its calls cannot be recorded.
    pub fn stub(&mut self, point: &Arc<Tracepoint>, slot: Addr) -> Result<u64, String> {
        let key = Arc::as_ptr(point);
        if let Some(stub) = self.patched.stubs.get(&key) {
            return Ok(*stub);
        }
        let stub = self.add(point, Target::Slot(slot.0), None)?;
        self.patched.stubs.insert(key, stub);
        Ok(stub)
    }

    fn add(
        &mut self,
        point: &Arc<Tracepoint>,
        target: Target,
        callee: Option<(u64, Callee)>,
    ) -> Result<u64, String> {
        let shared = Shared(self.memory.words());
        let Patched {
            code,
            caps,
            points,
            shapes,
            ..
        } = &mut self.patched;
        let shape = Shape::asking(point, *caps).map_err(|why| why.to_string())?;
        let shape = shapes
            .entry(shape)
            .or_insert_with_key(|shape| Arc::new(shape.clone()));
        let caller = callee.as_ref().map(|(_, callee)| &callee.caller);
        let made = code.add(shape, target, caller, shared);
        let stub = made.map_err(|why| why.to_string())?;
        points.resize(stub.number as usize + 1, None);
        points[stub.number as usize] = Some(Recorded {
            point: point.clone(),
            stub: stub.entry,
            entry: None,
            callee,
        });
        Ok(stub.entry)
    }

    /// Puts other tracepoints in the place of those at these addresses of ours, as soon as [`Recorder::write`] is called:
    /// it is known by now how their calls are typed. Where something else is taken of them, their stub leads to
    /// another; no task has come to it, as there was no function to be called.
    pub fn replace(&mut self, by: &HashMap<*const Tracepoint, Arc<Tracepoint>>) {
        for number in 1..self.patched.points.len() {
            let Some(Some(recorded)) = self.patched.points.get_mut(number) else {
                continue;
            };
            let Some(other) = by.get(&Arc::as_ptr(&recorded.point)) else {
                continue;
            };
            let old = std::mem::replace(&mut recorded.point, other.clone());
            if let Some((_, callee)) = &mut recorded.callee {
                callee.point = other.clone();
            }
            let (stub, entry, callee) = (recorded.stub, recorded.entry, recorded.callee.clone());
            if let Some(known) = self.patched.stubs.remove(&Arc::as_ptr(&old)) {
                self.patched.stubs.insert(Arc::as_ptr(other), known);
            }
            let Patched { code, caps, .. } = &self.patched;
            let shape = Shape::asking(other, *caps);
            let is_same = |shape: Shape| code.shapes().get(number).is_some_and(|s| **s == shape);
            if shape.map_or(true, is_same) {
                continue;
            }
            let Some(target) = code.target(number as u32, callee.is_some(), self.shared()) else {
                continue;
            };
            // Left as it is, it shows fewer of its arguments.
            if let Ok(new) = self.add(other, target, callee) {
                self.patched.code.redirect(stub, new);
                if let Some(Some(recorded)) = self.patched.points.last_mut() {
                    recorded.entry = entry;
                }
            }
        }
        for callees in self.patched.callees.values_mut() {
            for callee in callees {
                if let Some(other) = by.get(&Arc::as_ptr(&callee.point)) {
                    callee.point = other.clone();
                }
            }
        }
    }

    /// Has the calls of a function recorded at its beginning, as soon as [`Recorder::write`] is called: all of them,
    /// or those that are an import's. Every task that may be in it must stand still. `code`: the memory without int3s
    /// of ours.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn detour(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        (memory, code): (&ProcessMemory, &dyn Memory),
        function: Function,
        (point, callee): (&Arc<Tracepoint>, Option<Callee>),
    ) -> Result<(), String> {
        if self.patched.patches.is_full() {
            return Err("there is no more room for patches".to_owned());
        }
        if callee
            .as_ref()
            .is_some_and(|callee| self.is_seen_in_plt(function.entry, callee))
        {
            return Ok(());
        }
        let Patched {
            detours, patches, ..
        } = &mut self.patched;
        let program = Unpatched {
            memory: code,
            patches,
        };
        let place = detours.place(stopped, remote, (memory, &program), function)?;
        if !place.is_led && self.patched.patches.is_near(place.at) {
            return Err("another instruction there is led to a stub".to_owned());
        }
        let stub = self.add(
            point,
            Target::Code(place.head),
            callee.clone().map(|callee| (place.at, callee)),
        )?;
        if let Some(Some(recorded)) = self.patched.points.last_mut() {
            recorded.entry = Some(function.entry);
        }
        self.patched.detours.lead(place.at, stub);
        match callee {
            Some(callee) => {
                let callees = &mut self.patched.callees;
                callees.entry(place.at).or_default().push(callee);
            }
            None => {
                self.patched.functions.insert(function.entry.0);
                self.note_operator(point, function.entry.0);
            }
        }
        match place.is_led {
            true => Ok(()),
            false => {
                let patches = &mut self.patched.patches;
                patches.add_jump(memory, place.at, place.slot)
            }
        }
    }

    /// Whether all calls of the function that begins there are seen.
    pub fn sees(&self, entry: Addr) -> bool {
        self.patched.functions.contains(&entry.0)
    }

    /// What is to be called in the place of the `_dl_find_object` whose address is in this slot, so that unwinders find
    /// their way through our code. `None`: it is in its place.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn object_finder(&mut self, slot: Addr) -> Result<Option<u64>, String> {
        if !self.patched.unwinders.insert(slot.0) {
            return Ok(None);
        }
        let shared = Shared(self.memory.words());
        let made = self.patched.code.add_find_object(slot.0, shared);
        // It has a number like tracepoints.
        self.patched.points.push(None);
        made.map(Some).map_err(|why| why.to_string())
    }

    /// Leads the instruction at this address, which uses the slot of an import, to a stub, as soon as
    /// [`Recorder::write`] is called.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn lead(
        &mut self,
        stopped: &Stopped,
        remote: &Remote,
        memory: &ProcessMemory,
        (at, slot): (Addr, Addr),
        stub: u64,
    ) -> Result<(), String> {
        if self.patched.patches.is_full() {
            return Err("there is no more room for patches".to_owned());
        }
        let target = self
            .patched
            .islands
            .towards(stopped, remote, memory, at, stub)?;
        self.patched.patches.add(memory, at, slot, target)?;
        if self.patched.patches.is_jump(at.0) {
            self.patched.jumps.insert(at.0, stub);
        }
        Ok(())
    }

    /// Whether calls of an imported function come to an instruction that leads to the stub of an import of the same name: in
    /// a program at fixed addresses the function's address may be that of the program's own PLT entry. They are seen there.
    fn is_seen_in_plt(&self, function: Addr, callee: &Callee) -> bool {
        let Some(stub) = self.patched.jumps.get(&function.0) else {
            return false;
        };
        let mut recorded = self.patched.points.iter().flatten();
        let recorded = recorded.find(|recorded| recorded.stub == *stub);
        recorded.is_some_and(|recorded| recorded.point.symbol == callee.point.symbol)
    }

    /// The stubs, and what is called by way of them.
    pub fn stubs(&self) -> Vec<(Addr, Purpose)> {
        let purpose = |recorded: &Recorded| match recorded.callee.clone() {
            None => Purpose::Entry(recorded.point.clone()),
            Some((_, callee)) => Purpose::Callee {
                point: callee.point,
                caller: callee.caller,
                slot: callee.slot,
            },
        };
        let recorded = self.patched.points.iter().flatten();
        // Of all calls samples cannot be told.
        let recorded = recorded.filter(|recorded| recorded.point.sample().is_none());
        recorded
            .map(|recorded| (Addr(recorded.stub), purpose(recorded)))
            .collect()
    }

    /// Where the function begins, or the caller goes on, of a call that has come to the stub at this address.
    pub fn seen_at(&self, stub: Addr, return_address: Addr) -> Option<Addr> {
        if !self.patched.layout.code().contains(&stub.0) {
            return None;
        }
        let mut recorded = self.patched.points.iter().flatten();
        let recorded = recorded.find(|recorded| recorded.stub == stub.0)?;
        Some(recorded.entry.unwrap_or(return_address))
    }
}
