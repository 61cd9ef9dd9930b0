//! Of allocators' calls of which samples are seen: what is drawn, and which blocks are known for it. A thread stops only
//! for these, so that what is decided here holds before it goes on.

use super::Recorder;
use super::stubs::Recorded;
use crate::base::Tid;
use crate::base::addr::Addr;
use crate::base::memory::Memory;
use crate::base::regs::Regs;
use crate::plan::sample::{Key, Sample};
use crate::process::module::Module;
use crate::record::{Asked, Blocks, Shared, When, head};
use crate::sys::ticks;
use rustc_hash::FxHashMap;

/// What is known of them in one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    /// What was drawn and is live.
    blocks: Blocks,
    /// Calls of which something is seen, by thread and frame.
    open: FxHashMap<(Tid, u64), Open>,
    /// The state of the generator of random numbers.
    random: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    is_drawn: bool,
    /// What it takes back, if that is known.
    old: Option<u64>,
    /// Where it writes what it hands out, if that is not its result.
    behind: Option<u64>,
}

/// So long is a function whose symbol does not tell.
const UNKNOWN_LENGTH: u64 = 512;

impl Samples {
    /// The same for a child, whose counts are empty.
    pub(super) fn for_child(&mut self, shared: Shared<'_>) {
        self.blocks.store(shared);
        self.open.clear();
        self.random = 0;
    }

    /// How many bytes come before the next that is drawn, when one is on average in every `interval`: distributed
    /// exponentially, so that each byte is drawn or not whatever was drawn before.
    fn draw(&mut self, interval: u64) -> u64 {
        if self.random == 0 {
            self.random = ticks::now();
        }
        // SplitMix64 (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators").
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let uniform = ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-uniform.ln() * interval as f64) as u64
    }
}

impl Recorder {
    /// Draws the first byte for a thread that has just been given a ring.
    pub(super) fn draw_first(&mut self, thread_pointer: u64) {
        let points = self.patched.points.iter().flatten();
        let mut samples = points.filter_map(|recorded| recorded.point.sample());
        if let Some(interval) = samples.next().map(|sample| sample.interval) {
            self.draw(thread_pointer, interval);
        }
    }

    fn draw(&mut self, thread_pointer: u64, interval: u64) {
        if let Some(head) = self.head(thread_pointer) {
            let left = self.patched.samples.draw(interval);
            self.shared().store(head + head::LEFT, left);
        }
    }

    /// Where the head is of the ring that this thread finds.
    fn head(&self, thread_pointer: u64) -> Option<u64> {
        let mut rings = self.rings.used.iter();
        let ring = rings.find(|ring| ring.thread_pointer == thread_pointer)?;
        Some(self.patched.layout.head(ring.number))
    }

    /// Whether a call or return for which a thread has stopped is to be told. Registers tell then what was drawn.
    pub(super) fn is_told(
        &mut self,
        tid: Tid,
        asked: &mut Asked,
        modules: &[Module],
        memory: &dyn Memory,
    ) -> bool {
        let recorded = self.patched.points.get(asked.number as usize);
        let Some(sample) = recorded.and_then(|recorded| recorded.as_ref()?.point.sample().copied())
        else {
            return true;
        };
        match asked.when {
            When::Call => self.is_call_told(tid, asked, &sample, modules, memory),
            When::Return => {
                self.call_returned(tid, asked, memory);
                true
            }
        }
    }

    fn is_call_told(
        &mut self,
        tid: Tid,
        asked: &mut Asked,
        sample: &Sample,
        modules: &[Module],
        memory: &dyn Memory,
    ) -> bool {
        let return_address = memory.read_word(Addr(asked.frame)).unwrap_or(0);
        // That of a call that is seen is a trampoline's.
        let return_address = self.caller(Addr(return_address)).0;
        let is_drawn = self.is_drawn(asked, sample)
            && !self.is_inner(modules, return_address)
            && !self.is_by_tail_call(asked, return_address);
        let old = sample.old.map(|old| argument(&asked.regs, old));
        let shared = Shared(self.memory.words());
        let samples = &mut self.patched.samples;
        let old = old.filter(|old| samples.blocks.remove(shared, *old));
        if let Some(told) = sample.told {
            set_argument(&mut asked.regs, told, u64::from(is_drawn));
        }
        if sample.key.is_some() && !asked.only && (is_drawn || old.is_some()) {
            let behind = match sample.key {
                Some(Key::Behind(at)) => Some(argument(&asked.regs, at)),
                _ => None,
            };
            let open = Open {
                is_drawn,
                old,
                behind,
            };
            samples.open.insert((tid, asked.frame), open);
        }
        is_drawn || old.is_some()
    }

    /// Whether a byte is drawn of what a call asks for; draws the next one then.
    fn is_drawn(&mut self, asked: &Asked, sample: &Sample) -> bool {
        let sizes = sample.sizes.iter().flatten();
        let size = sizes
            .map(|at| argument(&asked.regs, *at))
            .reduce(u64::wrapping_mul);
        let Some(size) = size else {
            return false;
        };
        let Some(head) = self.head(asked.regs.fs_base) else {
            return false;
        };
        let is_drawn = self.shared().load(head + head::LEFT) < size;
        if is_drawn {
            self.draw(asked.regs.fs_base, sample.interval);
        }
        is_drawn
    }

    /// Whether another allocator's function, whose own calls are drawn as well, has led to this one by a tail call.
    /// Notes the call if not.
    fn is_by_tail_call(&self, asked: &Asked, return_address: u64) -> bool {
        let Some(head) = self.head(asked.regs.fs_base) else {
            return false;
        };
        let place = [
            (head::LAST_FRAME, asked.frame),
            (head::LAST_RETURN, return_address),
        ];
        let number = u64::from(asked.number);
        let shared = self.shared();
        if place
            .iter()
            .all(|(at, word)| shared.load(head + at) == *word)
        {
            return shared.load(head + head::LAST_NUMBER) != number;
        }
        for (at, word) in place.into_iter().chain([(head::LAST_NUMBER, number)]) {
            shared.store(head + at, word);
        }
        false
    }

    /// Whether a call was made by another allocator's function, whose own calls are drawn as well.
    fn is_inner(&self, modules: &[Module], return_address: u64) -> bool {
        let gives = |recorded: &&Recorded| {
            let sample = recorded.point.sample();
            sample.is_some_and(|sample| sample.key.is_some())
        };
        let mut giving = self.patched.points.iter().flatten().filter(gives);
        giving.any(|recorded| {
            recorded.entry.is_some_and(|entry| {
                let inside = return_address.wrapping_sub(entry.0);
                inside < LONGEST && inside < length(modules, entry)
            })
        })
    }

    fn call_returned(&mut self, tid: Tid, asked: &Asked, memory: &dyn Memory) {
        let shared = Shared(self.memory.words());
        let samples = &mut self.patched.samples;
        let Some(open) = samples.open.remove(&(tid, asked.frame)) else {
            return;
        };
        let result = asked.regs.rax;
        let given = match open.behind {
            None => result,
            // Its result is an error's number.
            Some(at) if result as i32 == 0 => memory.read_word(Addr(at)).unwrap_or(0),
            Some(_) => 0,
        };
        if open.is_drawn && given != 0 {
            samples.blocks.insert(shared, given);
        }
        // What could not be replaced is still there.
        if let Some(old) = open.old.filter(|_| given == 0) {
            samples.blocks.insert(shared, old);
        }
    }
}

/// The general argument registers (psABI 3.2.3).
fn argument(regs: &Regs, number: u8) -> u64 {
    match number {
        0 => regs.rdi,
        1 => regs.rsi,
        2 => regs.rdx,
        3 => regs.rcx,
        4 => regs.r8,
        _ => regs.r9,
    }
}

fn set_argument(regs: &mut Regs, number: u8, value: u64) {
    *match number {
        0 => &mut regs.rdi,
        1 => &mut regs.rsi,
        2 => &mut regs.rdx,
        3 => &mut regs.rcx,
        4 => &mut regs.r8,
        _ => &mut regs.r9,
    } = value;
}

/// The longest of these functions is not longer.
const LONGEST: u64 = 64 << 10;

/// How long the function is that begins there.
fn length(modules: &[Module], entry: Addr) -> u64 {
    let module = modules
        .iter()
        .find(|module| module.range.contains(&entry.0));
    let known = module.and_then(|module| {
        let mut exports = module.planned.image.exports.iter();
        exports.find(|symbol| symbol.size > 0 && module.bias.addr(symbol.vaddr) == entry)
    });
    known.map_or(UNKNOWN_LENGTH, |symbol| symbol.size)
}
