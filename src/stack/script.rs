//! Functions that an interpreter runs: where they stand in a stack.

use super::Frame;
use std::ops::Range;
use std::sync::Arc;

/// A function of a script, at one of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScriptLine {
    /// The function's name.
    pub function: Arc<str>,
    /// The script's file, as the interpreter knows it.
    pub file: Arc<str>,
    /// The line in it, from 1; `None` for code that no line is the source of.
    pub line: Option<u32>,
}

/// What an interpreter was running when a stack was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCalls {
    /// The calls, innermost first, in runs: the evaluator runs each of them in one call of its own.
    pub runs: Vec<Vec<ScriptLine>>,
    /// Where the evaluator's code is in the process.
    pub evaluator: Arc<[Range<u64>]>,
}

/// Whose code a frame runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The evaluator's.
    Evaluator,
    /// The interpreter's, around the evaluator.
    Interpreter,
    /// Anything else's.
    Others,
}

/// A stack in which each frame of the evaluator is replaced by the run that it was busy with. What is left
/// of the runs, where the copy of the stack ended too early, comes last.
///
/// The way from one script's line to the next one's through the interpreter is left out: a line that has
/// run a few times takes another one (PEP 659), and would be two.
pub fn mix(
    frames: Vec<Frame>,
    what: impl Fn(&Frame) -> Of,
    runs: impl IntoIterator<Item = Vec<Frame>>,
) -> Vec<Frame> {
    let mut runs = runs.into_iter().peekable();
    if runs.peek().is_none() {
        return frames;
    }
    let mut mixed = Vec::with_capacity(frames.len());
    let mut is_inside = true;
    for frame in frames {
        match what(&frame) {
            Of::Evaluator => {
                is_inside = false;
                match runs.next() {
                    Some(run) => mixed.extend(run),
                    None => mixed.push(frame),
                }
            }
            Of::Interpreter if !is_inside => {}
            Of::Interpreter | Of::Others => mixed.push(frame),
        }
    }
    mixed.extend(runs.flatten());
    mixed
}

#[cfg(test)]
mod tests {
    use super::super::FrameKind;
    use super::*;
    use crate::base::addr::Vaddr;

    fn frame(vaddr: u64) -> Frame {
        Frame {
            module: None,
            vaddr: Vaddr(vaddr),
            kind: FrameKind::Return,
        }
    }

    /// Frames from 200 on are the evaluator's, those from 100 on the interpreter's; scripts are at addresses
    /// below 10.
    #[track_caller]
    fn check(frames: &[u64], runs: &[&[u64]], expected: &[u64]) {
        let all = |of: &[u64]| -> Vec<Frame> { of.iter().copied().map(frame).collect() };
        let runs = runs.iter().map(|run| all(run));
        let what = |frame: &Frame| match frame.vaddr.0 {
            200.. => Of::Evaluator,
            100.. => Of::Interpreter,
            _ => Of::Others,
        };
        let mixed = mix(all(frames), what, runs);
        assert_eq!(mixed, all(expected));
    }

    #[test]
    fn runs_stand_where_the_evaluator_stood() {
        check(&[10, 200, 20], &[&[1, 2]], &[10, 1, 2, 20]);
        check(
            &[10, 200, 20, 201, 30],
            &[&[1], &[2, 3]],
            &[10, 1, 20, 2, 3, 30],
        );
        check(&[10, 200, 20], &[&[]], &[10, 20]);
    }

    #[test]
    fn ways_through_the_interpreter() {
        check(
            &[10, 101, 200, 102, 20, 103, 201, 104, 30],
            &[&[1], &[2]],
            &[10, 101, 1, 20, 2, 30],
        );
        check(&[101, 200, 102], &[], &[101, 200, 102]);
    }

    #[test]
    fn more_of_the_one_than_of_the_other() {
        check(&[10, 200], &[&[1], &[2], &[3]], &[10, 1, 2, 3]);
        check(&[10, 200, 20, 201], &[&[1]], &[10, 1, 20, 201]);
        check(&[10], &[], &[10]);
        check(&[10], &[&[1]], &[10, 1]);
    }
}
