//! What is known of the functions that are called most, so that it is not found out at each call.

use crate::base::Pid;
use crate::leak::kinds::{Action, Role, Shape};
use crate::leak::leak_sink::Setup;
use crate::plan::Tracepoint;
use crate::plan::spare::slot;
use std::sync::Arc;

/// One function.
pub(super) struct Known {
    point: Arc<Tracepoint>,
    /// What it has to do with any kind.
    pub(super) roles: Arc<[Arc<Role>]>,
    /// Its calls are of interest (`--context`).
    pub(super) is_context: bool,
    /// It maps memory.
    pub(super) maps: bool,
    /// The process that is known to use whose it is.
    pub(super) learned: Option<Pid>,
}

/// Some of them.
pub(super) struct KnownFunctions([Option<Known>; SLOTS]);

/// The functions that share a slot have some bits of their tracepoint's address in common.
const SLOTS: usize = 1 << BITS;
const BITS: u32 = 6;

impl Default for KnownFunctions {
    fn default() -> KnownFunctions {
        KnownFunctions([const { None }; SLOTS])
    }
}

impl KnownFunctions {
    /// The function of a tracepoint.
    pub(super) fn find(&mut self, point: &Arc<Tracepoint>, setup: &Setup) -> &mut Known {
        let slot = &mut self.0[slot(point, BITS)];
        if !slot
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(&known.point, point))
        {
            *slot = None;
        }
        slot.get_or_insert_with(|| Known::new(point, setup))
    }

    /// The process runs another program, or none any more.
    pub(super) fn forget(&mut self, pid: Pid) {
        for known in self.0.iter_mut().flatten() {
            known.learned.take_if(|learned| *learned == pid);
        }
    }
}

impl Known {
    fn new(point: &Arc<Tracepoint>, setup: &Setup) -> Known {
        let roles: Arc<[Arc<Role>]> = setup.kinds.roles(&point.symbol).into();
        let maps = |role: &Arc<Role>| {
            let shape = setup.kinds.kind(role.kind).map(|kind| kind.shape);
            shape == Some(Shape::Ranges) && role.action != Action::Release
        };
        let mut context = setup.options.context.iter();
        Known {
            point: point.clone(),
            maps: roles.iter().any(maps),
            learned: None,
            is_context: context.any(|name| **name == *point.symbol),
            roles,
        }
    }
}
