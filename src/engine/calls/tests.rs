//! A program's stacks as they really are, against what the open calls make of its events.

use super::{Calls, Frames, Landing, OpenCall, Position};
use crate::base::addr::{Addr, Vaddr};
use crate::base::machine::Machine;
use crate::engine::stacks::Stack;
use crate::event::CallId;
use crate::plan::{Kind, ModuleName, Returns, Tracepoint};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Words by address; what was never written reads as zero.
#[derive(Default)]
struct Words(HashMap<u64, u64>);

impl Frames for Words {
    fn return_address(&self, frame: u64) -> Option<Addr> {
        Some(Addr(self.0.get(&frame).copied().unwrap_or(0)))
    }
}

fn point(name: &str) -> Arc<Tracepoint> {
    let module = ModuleName {
        name: "program".into(),
        path: "/program".into(),
        is_main: true,
    };
    Arc::new(Tracepoint {
        module: Arc::new(module),
        symbol: name.into(),
        kind: Kind::Entry { entry: Vaddr(0) },
        prototype: None,
        capture: Default::default(),
        returns: Returns::Once,
        stack: crate::plan::Stack::Unwanted,
    })
}

/// A frame of the program.
struct Frame {
    word: u64,
    return_address: u64,
    /// The traced calls that return with it, the tail-called ones last.
    ids: Vec<u64>,
}

/// One of the stacks: they grow down from `top`.
struct Strand {
    top: u64,
    stack: Stack,
    frames: Vec<Frame>,
}

/// What a program may do next.
#[derive(Clone, Debug)]
enum Step {
    Call {
        function: u8,
        locals: u8,
    },
    /// A traced function calls another one in its stead.
    TailCall {
        function: u8,
    },
    Return,
    /// To a frame further up.
    Longjmp {
        levels: u8,
    },
    /// To the own stack or a coroutine.
    Switch {
        to: u8,
    },
    /// A handler begins on the alternate stack.
    Signal,
    /// It ends, by siglongjmp when there are frames left.
    HandlerEnds {
        levels: u8,
    },
}

/// The program, its memory, and the books that are kept on it.
struct World {
    strands: Vec<Strand>,
    current: usize,
    /// Where the handler that runs was called.
    interrupted: Option<usize>,
    memory: Words,
    points: Vec<Arc<Tracepoint>>,
    calls: Calls,
    next: u64,
    ended: BTreeSet<u64>,
}

/// The alternate stack; the others are the own one and three coroutines, side by side in one mapping.
const SIGNAL: usize = 4;
const LOCALS: u64 = 16;

impl World {
    fn new() -> World {
        let strand = |(top, stack)| Strand {
            top,
            stack,
            frames: Vec::new(),
        };
        let elsewhere = Stack::Elsewhere;
        let tops = [
            (0x7fff_f000, Stack::Own),
            (0x1000_8000, elsewhere),
            (0x1000_4000, elsewhere),
            (0x1000_0000, elsewhere),
            (0x5000_0000, Stack::Signal),
        ];
        World {
            strands: tops.map(strand).into(),
            current: 0,
            interrupted: None,
            memory: Words::default(),
            points: (0..4).map(|n| point(&format!("f{n}"))).collect(),
            calls: Calls::default(),
            next: 0,
            ended: BTreeSet::new(),
        }
    }

    fn position(&self, rsp: u64) -> Position<'_> {
        Position {
            rsp,
            stack: self.strands[self.current].stack,
            frames: Some(&self.memory),
        }
    }

    /// The calls that really are open, on stacks of these kinds.
    fn live(&self, wanted: impl Fn(Stack) -> bool) -> BTreeSet<u64> {
        let strands = self.strands.iter().filter(|s| wanted(s.stack));
        strands
            .flat_map(|s| s.frames.iter().flat_map(|f| f.ids.iter().copied()))
            .collect()
    }

    fn end(&mut self, id: u64) {
        assert!(self.ended.insert(id), "call {id} ended twice");
    }

    fn unwound(&mut self, calls: &[OpenCall]) {
        let live = self.live(|_| true);
        for call in calls {
            assert!(!live.contains(&call.id.0), "{call:?} is not unwound");
            self.end(call.id.0);
        }
        let ids: Vec<u64> = calls.iter().map(|call| call.id.0).collect();
        assert!(ids.is_sorted_by(|a, b| a > b), "innermost first: {ids:?}");
    }

    /// After an event at this stack pointer nothing is open that is seen to be gone.
    fn judge(&self, rsp: u64) {
        let current = self.strands[self.current].stack;
        let live = self.live(|_| true);
        for call in &self.calls.open {
            let seen = match call.stack {
                Stack::Own => current == Stack::Own && call.frame < rsp,
                Stack::Signal => current != Stack::Signal || call.frame < rsp,
                Stack::Elsewhere => false,
            };
            assert!(!seen || live.contains(&call.id.0), "{call:?} is still open");
        }
        let open: BTreeSet<u64> = self.calls.open.iter().map(|call| call.id.0).collect();
        assert!(open.is_superset(&live), "{open:?} lacks some of {live:?}");
    }

    /// A traced call is seen on its first instruction, as in `hits::arrive`.
    fn arrive(&mut self, function: u8, frame: u64, return_address: u64) -> u64 {
        let point = self.points[usize::from(function) % self.points.len()].clone();
        let mut calls = std::mem::take(&mut self.calls);
        let unwound = calls.unwound_by_call(self.position(frame), Addr(return_address));
        self.unwound(&unwound);
        let replaced = calls.replaced(frame, Addr(return_address), &point);
        self.unwound(&replaced);
        let id = self.next;
        self.next += 1;
        calls.push(OpenCall {
            pid: crate::base::Pid(1),
            id: CallId(id),
            point,
            frame,
            return_address: Addr(return_address),
            stack: self.strands[self.current].stack,
            depth: calls.depth(),
            again: false,
            at_callee: false,
            machine: Machine::Amd64,
            began: crate::base::time::Timestamp::default(),
        });
        self.calls = calls;
        id
    }

    fn call(&mut self, function: u8, locals: u8) {
        let traced = usize::from(function) < self.points.len();
        let strand = &self.strands[self.current];
        let below = strand.frames.last().map_or(strand.top, |f| f.word);
        let word = below - LOCALS - 8 * u64::from(locals % 8);
        if strand.top - word > 0x3000 {
            return;
        }
        // One call site for each function and place.
        let return_address = 0x40_0000 + u64::from(function) * 0x100 + u64::from(locals % 8);
        self.memory.0.insert(word, return_address);
        let ids = match traced {
            true => vec![self.arrive(function, word, return_address)],
            false => Vec::new(),
        };
        self.strands[self.current].frames.push(Frame {
            word,
            return_address,
            ids,
        });
        if traced {
            self.judge(word);
        }
    }

    fn tail_call(&mut self, function: u8) {
        let frames = &mut self.strands[self.current].frames;
        let Some(frame) = frames.pop_if(|frame| !frame.ids.is_empty()) else {
            return;
        };
        let already = |id: &u64| {
            let open = self.calls.open.iter().find(|call| call.id.0 == *id);
            open.is_some_and(|c| Arc::ptr_eq(&c.point, &self.points[usize::from(function % 4)]))
        };
        // The same function again would be taken for a call after a longjmp.
        if frame.ids.iter().any(already) {
            return self.strands[self.current].frames.push(frame);
        }
        let Frame {
            word,
            return_address,
            mut ids,
        } = frame;
        // Until it is seen, the frame is there as it was.
        self.strands[self.current].frames.push(Frame {
            word,
            return_address,
            ids: ids.clone(),
        });
        ids.push(self.arrive(function, word, return_address));
        if let Some(frame) = self.strands[self.current].frames.last_mut() {
            frame.ids = ids;
        }
        self.judge(word);
    }

    /// Every return address has a breakpoint, whether the call was traced or not.
    fn come_back(&mut self) {
        let Some(frame) = self.strands[self.current].frames.pop() else {
            return;
        };
        let mut calls = std::mem::take(&mut self.calls);
        let at = self.position(frame.word + 8);
        let returned = calls.returned(Addr(frame.return_address), at);
        let unwound = calls.unwound_by_return(at);
        self.calls = calls;
        let ids: Vec<u64> = returned.iter().rev().map(|call| call.id.0).collect();
        assert_eq!(ids, frame.ids, "returned");
        ids.into_iter().for_each(|id| self.end(id));
        self.unwound(&unwound);
        self.judge(frame.word + 8);
    }

    fn longjmp(&mut self, strand: usize, levels: u8) {
        let frames = &mut self.strands[strand].frames;
        let left = frames.len().saturating_sub(usize::from(levels));
        frames.truncate(left);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call { function, locals } => self.call(function, locals),
            Step::TailCall { function } => self.tail_call(function),
            Step::Return => self.come_back(),
            Step::Longjmp { levels } => self.longjmp(self.current, levels),
            Step::Switch { to } if self.interrupted.is_none() => {
                self.current = usize::from(to) % SIGNAL;
            }
            Step::Signal if self.interrupted.is_none() => {
                self.interrupted = Some(self.current);
                self.current = SIGNAL;
            }
            Step::HandlerEnds { levels } => {
                let Some(interrupted) = self.interrupted.take() else {
                    return;
                };
                if !self.strands[SIGNAL].frames.is_empty() {
                    self.longjmp(interrupted, levels);
                    self.strands[SIGNAL].frames.clear();
                }
                self.current = interrupted;
            }
            Step::Switch { .. } | Step::Signal => {}
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..8_u8, 0..8_u8).prop_map(|(function, locals)| Step::Call { function, locals }),
        2 => (0..4_u8).prop_map(|function| Step::TailCall { function }),
        8 => Just(Step::Return),
        2 => (1..6_u8).prop_map(|levels| Step::Longjmp { levels }),
        3 => (0..4_u8).prop_map(|to| Step::Switch { to }),
        1 => Just(Step::Signal),
        1 => (0..4_u8).prop_map(|levels| Step::HandlerEnds { levels }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_call_ends_once_and_no_live_one_is_given_up(
        steps in prop::collection::vec(step(), 1..200)
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        for call in world.calls.take_all() {
            world.end(call.id.0);
        }
        prop_assert_eq!(world.ended.len() as u64, world.next);
        prop_assert_eq!(world.calls.depth(), 0);
    }
}

#[test]
fn a_tail_call_comes_back_past_the_calls_of_another_stack() {
    let call = |function| Step::Call {
        function,
        locals: 0,
    };
    let mut world = World::new();
    let elsewhere = std::iter::once(Step::Switch { to: 1 })
        .chain(std::iter::repeat_with(|| call(0)).take(200))
        .chain([Step::Switch { to: 0 }]);
    let steps = std::iter::once(call(1)).chain(elsewhere);
    for step in steps.chain([Step::TailCall { function: 0 }, Step::Return]) {
        world.step(step);
    }
    assert_eq!(world.ended.len(), 2);
}

#[test]
fn a_return_that_a_signal_interrupted_is_met_again_once() {
    let landing = |address, rsp, result| Landing {
        address: Addr(address),
        rsp,
        result,
    };
    let mut calls = Calls::default();
    assert!(!calls.has_landed(landing(1, 2, 0)));
    calls.lands_again(landing(1, 2, 0));
    // A longjmp to the same place brings another result.
    for other in [landing(1, 2, 7), landing(1, 3, 0), landing(2, 2, 0)] {
        assert!(!calls.has_landed(other), "{other:?}");
    }
    assert!(calls.has_landed(landing(1, 2, 0)));
    assert!(!calls.has_landed(landing(1, 2, 0)));
}
