//! What is learned of formats: calls that print need not ask again.

use super::Recorder;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::process::module::Module;
use crate::record::shape::formats::{MOST_FORMAT, texts};
use crate::record::{Asked, When, formats};

impl Recorder {
    /// Has calls recorded with the format of the call that a thread asks about, if that is such that it will never change.
    pub(super) fn learn_format(&self, asked: &Asked, modules: &[Module], memory: &dyn Memory) {
        let number = asked.number as usize;
        let shape = self.patched.code.shapes().get(number);
        let recorded = self.patched.points.get(number).and_then(Option::as_ref);
        let (When::Call, Some(shape), Some(recorded)) = (asked.when, shape, recorded) else {
            return;
        };
        let format = shape.format(&asked.regs, memory);
        let Some(format) = format.filter(|format| is_constant(modules, *format)) else {
            return;
        };
        // What is recorded has the zero, too.
        if let Ok((text, true)) = memory.read_c_string(format, MOST_FORMAT - 1)
            && let Some(texts) = texts(&recorded.point, &text, self.patched.caps)
            && let Some(key) = shape.format_key(format)
        {
            formats::add(self.shared(), key, texts);
        }
    }
}

/// Whether what lies there is never written to.
fn is_constant(modules: &[Module], at: Addr) -> bool {
    let mut around = modules.iter();
    let around = around.find(|module| module.range.contains(&at.0));
    around.is_some_and(|module| {
        let at = module.bias.vaddr(at);
        let mut segments = module.planned.image.segments.iter();
        let segment = segments.find(|segment| segment.contains(at));
        segment.is_some_and(|segment| segment.readable && !segment.writable)
    })
}
