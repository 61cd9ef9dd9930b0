//! What the user does not want to hear of: LeakSanitizer's `leak:` lines and memcheck's `.supp` files.

use crate::leak::report::model::{Line, Report, Verdict};
use crate::stack::names::spoken;
use regex::Regex;
use std::fmt::Write as _;
use std::sync::Arc;

/// All suppressions.
#[derive(Clone, Debug, Default)]
pub struct Suppressions {
    /// Any frame that fits is enough.
    any: Vec<Pattern>,
    /// memcheck's.
    stacks: Vec<Stack>,
}

/// A suppression of a `.supp` file.
#[derive(Clone, Debug, Default)]
struct Stack {
    /// The verdicts that it is for; all if there are none.
    kinds: Vec<Verdict>,
    /// The innermost frames must fit, in this order.
    frames: Vec<Frame>,
}

/// A frame of a `.supp` file.
#[derive(Clone, Debug)]
enum Frame {
    /// `...`: any number of frames.
    Any,
    /// `fun:`
    Function(Pattern),
    /// `obj:`
    Object(Pattern),
    /// `src:`
    Source(Pattern),
}

/// A pattern as its file writes it.
#[derive(Clone, Debug)]
struct Pattern(Regex);

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {message}")]
pub struct Complaint {
    name: String,
    line: usize,
    column: usize,
    message: &'static str,
}

impl Suppressions {
    /// Adds those of a file. `name` is for complaints.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Complaint> {
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            let said = line.trim();
            let complaint = |column, message| Complaint {
                name: name.to_owned(),
                line: number,
                column,
                message,
            };
            match said {
                "" => {}
                _ if said.starts_with('#') => {}
                "{" => {
                    let stack = memcheck(name, number, &mut lines)?;
                    self.stacks.extend(stack);
                }
                _ => match said.split_once(':') {
                    Some(("leak", pattern)) if !pattern.is_empty() => {
                        self.any.push(Pattern::substring(pattern))
                    }
                    // LeakSanitizer's other kinds are about other tools.
                    Some(("leak", _)) => {
                        return Err(complaint(
                            line.len() + 1,
                            "a pattern is missing after `leak:'",
                        ));
                    }
                    _ => {
                        return Err(complaint(
                            1,
                            "this is neither a `leak:' line nor the `{' of a suppression",
                        ));
                    }
                },
            }
        }
        Ok(())
    }

    /// Whether this stack is not to be told.
    pub fn cover(&self, stack: &[Arc<Line>], verdict: Verdict) -> bool {
        let fits_any = |pattern: &Pattern| stack.iter().any(|line| pattern.fits(line));
        let is_for = |kinds: &[Verdict]| {
            kinds.is_empty() || verdict == Verdict::Unchecked || kinds.contains(&verdict)
        };
        let covers = |known: &Stack| is_for(&known.kinds) && fits(&known.frames, stack);
        self.any.iter().any(fits_any) || self.stacks.iter().any(covers)
    }
}

/// A suppression of memcheck's, up to its `}`; nothing of one for another tool or another kind of error.
/// (Valgrind manual 2.5: a name, `Tool:Kind`, for leaks an optional `match-leak-kinds:`, and frames.)
fn memcheck<'t>(
    name: &str,
    first: usize,
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
) -> Result<Option<Stack>, Complaint> {
    let mut stack = Stack::default();
    let mut heads = 0;
    let mut is_leak = false;
    for (number, line) in lines {
        let said = line.trim();
        let complaint = |message| Complaint {
            name: name.to_owned(),
            line: number,
            column: line.len() - line.trim_start().len() + 1,
            message,
        };
        match (heads, said) {
            (_, "") => continue,
            (_, "}") if heads < 2 => return Err(complaint("the suppression ends before its kind")),
            (_, "}") => return Ok((is_leak && !stack.frames.is_empty()).then_some(stack)),
            (0, _) => heads = 1,
            (1, _) => {
                heads = 2;
                is_leak = said.split_once(':').is_some_and(|(tools, kind)| {
                    tools
                        .split(',')
                        .any(|tool| tool == "Memcheck" || tool == "memcheck")
                        && kind == "Leak"
                });
            }
            (_, "...") => stack.frames.push(Frame::Any),
            _ => match said.split_once(':') {
                Some(("match-leak-kinds", kinds)) => {
                    stack.kinds = leak_kinds(kinds)
                        .ok_or_else(|| complaint("a kind is none of those of memcheck"))?
                }
                // memcheck writes symbols as they are: `_Znwm`.
                Some(("fun", pattern)) => stack
                    .frames
                    .push(Frame::Function(Pattern::glob(&spoken(pattern)))),
                Some(("obj", pattern)) => stack.frames.push(Frame::Object(Pattern::glob(pattern))),
                Some(("src", pattern)) => stack.frames.push(Frame::Source(Pattern::glob(pattern))),
                _ if !is_leak => {}
                _ => return Err(complaint("a frame is `fun:', `obj:', `src:' or `...'")),
            },
        }
    }
    Err(Complaint {
        name: name.to_owned(),
        line: first,
        column: 1,
        message: "this `{' has no `}'",
    })
}

/// memcheck's names of verdicts (Valgrind manual 4.3, `--show-leak-kinds`).
fn leak_kinds(text: &str) -> Option<Vec<Verdict>> {
    let mut kinds = Vec::new();
    for name in text.split(',').map(str::trim) {
        match name {
            "definite" => kinds.push(Verdict::Lost),
            "indirect" => kinds.push(Verdict::Indirect),
            "possible" => kinds.push(Verdict::Possible),
            "reachable" => kinds.push(Verdict::Reachable),
            "all" => return Some(Vec::new()),
            _ => return None,
        }
    }
    Some(kinds)
}

/// Frames against a stack, from its innermost call on; what follows the last one does not matter.
fn fits(frames: &[Frame], stack: &[Arc<Line>]) -> bool {
    // The places in the stack where the frames so far may have ended.
    let mut ends: Vec<bool> = vec![false; stack.len() + 1];
    if let Some(first) = ends.first_mut() {
        *first = true;
    }
    for frame in frames {
        let mut next = vec![false; ends.len()];
        match frame {
            Frame::Any => {
                let from = ends.iter().position(|end| *end).unwrap_or(ends.len());
                next.iter_mut().skip(from).for_each(|end| *end = true);
            }
            _ => {
                for (at, line) in stack.iter().enumerate().filter(|(at, _)| ends[*at]) {
                    next[at + 1] = frame.fits(line);
                }
            }
        }
        ends = next;
    }
    ends.contains(&true)
}

impl Frame {
    fn fits(&self, line: &Line) -> bool {
        match self {
            Frame::Any => true,
            // glibc's own name of malloc, where its debug information tells it.
            Frame::Function(pattern) => {
                let plain = line.function.strip_prefix("__libc_");
                pattern.0.is_match(&line.function)
                    || plain.is_some_and(|plain| pattern.0.is_match(plain))
            }
            Frame::Object(pattern) => {
                pattern.0.is_match(&line.module) || pattern.0.is_match(&format!("/{}", line.module))
            }
            Frame::Source(pattern) => {
                let name = line
                    .file
                    .as_deref()
                    .map(|file| file.rsplit('/').next().unwrap_or(file));
                name.is_some_and(|name| match line.line {
                    Some(number) => {
                        pattern.0.is_match(&format!("{name}:{number}")) || pattern.0.is_match(name)
                    }
                    None => pattern.0.is_match(name),
                })
            }
        }
    }
}

impl Pattern {
    /// LeakSanitizer's: part of a name, `*` for anything, `^` and `$` for its ends.
    fn substring(text: &str) -> Pattern {
        let (begin, text) = text
            .strip_prefix('^')
            .map_or(("", text), |text| ("^", text));
        let (end, text) = text
            .strip_suffix('$')
            .map_or(("", text), |text| ("$", text));
        Pattern::of(format!("{begin}{}{end}", stars(text)))
    }

    /// memcheck's: the whole name, `*` for anything, `?` for any character.
    fn glob(text: &str) -> Pattern {
        Pattern::of(format!("^{}$", stars(text).replace(r"\?", ".")))
    }

    /// What is escaped is always a good expression, though it may be a very long one.
    fn of(text: String) -> Pattern {
        let never = || Regex::new("$a").unwrap_or_else(|_| unreachable!("a good expression"));
        Pattern(Regex::new(&text).unwrap_or_else(|_| never()))
    }

    fn fits(&self, line: &Line) -> bool {
        self.0.is_match(&line.function)
            || self.0.is_match(&line.module)
            || line.file.as_ref().is_some_and(|file| self.0.is_match(file))
    }
}

fn stars(text: &str) -> String {
    regex::escape(text).replace(r"\*", ".*")
}

/// Suppressions for all that a report tells, in memcheck's language.
pub fn generate(report: &Report) -> String {
    const FRAMES: usize = 12;
    let mut text = String::new();
    for (number, entry) in (1..).zip(&report.sites) {
        let _ = writeln!(
            text,
            "{{\n   {} {number}\n   Memcheck:Leak",
            report.process.name
        );
        let known = entry.stack.iter().take_while(|line| !line.is_cut());
        for line in known.take(FRAMES) {
            // memcheck, which may read it too, has a malloc of its own, and nothing below main.
            let name = line.function.strip_prefix("__libc_");
            let name = name.unwrap_or(&line.function);
            match name.starts_with("0x") {
                true => writeln!(text, "   obj:*{}", line.module),
                // A star in a name of its own stands for itself, too.
                false => writeln!(text, "   fun:{name}"),
            }
            .unwrap_or_default();
            if name == "main" {
                break;
            }
        }
        text.push_str("   ...\n}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::model::Entry;
    use super::*;
    use proptest::prelude::*;

    /// `function module file:line` of each frame.
    fn stack(lines: &[&str]) -> Vec<Arc<Line>> {
        let line = |text: &&str| {
            let mut words = text.split(' ');
            let mut word = || words.next().map(str::to_owned);
            let (function, module) = (word().unwrap_or_default(), word().unwrap_or_default());
            let place = word();
            let (file, number) = place
                .as_deref()
                .and_then(|place| place.split_once(':'))
                .unzip();
            Line {
                function,
                module,
                file: file.map(|file| format!("/src/{file}")),
                line: number.and_then(|number| number.parse().ok()),
                ..Line::default()
            }
        };
        lines.iter().map(line).map(Arc::new).collect()
    }

    const STACK: [&str; 4] = [
        "malloc libc.so.6",
        "make server a.c:7",
        "ns::run server b.cc:9",
        "main server b.cc:20",
    ];

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let mut suppressions = Suppressions::default();
        suppressions.add("f", text).expect("good suppressions");
        assert_eq!(
            suppressions.cover(&stack(&STACK), Verdict::Lost),
            expected,
            "{text}"
        );
    }

    #[test]
    fn leak_lines() {
        check("# a comment\n\nleak:make\n", true);
        check("leak:ak", true);
        check("leak:^ak", false);
        check("leak:^make$", true);
        check("leak:n*run", true);
        check("leak:libc.so", true);
        check("leak:a.c", true);
        check("leak:other", false);
    }

    fn supp(frames: &str) -> String {
        format!(
            "{{\n  a name\n  Memcheck:Leak\n  match-leak-kinds: definite\n  {}\n}}\n",
            frames.replace(' ', "\n  ")
        )
    }

    #[test]
    fn memchecks_stacks() {
        check(&supp("fun:malloc fun:make"), true);
        check(&supp("fun:malloc"), true);
        check(&supp("fun:make"), false);
        check(&supp("... fun:make"), true);
        check(&supp("fun:malloc ... fun:main"), true);
        check(&supp("fun:malloc fun:make fun:*::run fun:main"), true);
        check(
            &supp("fun:malloc fun:make fun:*::run fun:main fun:start"),
            false,
        );
        check(&supp("fun:mal?oc obj:*server"), true);
        check(&supp("fun:malloc obj:*libc*"), false);
        check(&supp("... src:b.cc:20"), true);
        check(&supp("... src:b.cc:21"), false);
        check("{\n  x\n  Memcheck:Cond\n  fun:malloc\n}\n", false);
        check("{\n  x\n  Helgrind:Race\n  whatever\n}\nleak:make\n", true);
    }

    #[test]
    fn mistakes_have_a_place() {
        let check = |text: &str, expected: &str| {
            let error = Suppressions::default()
                .add("my.supp", text)
                .expect_err("an error");
            assert_eq!(error.to_string(), expected);
        };
        check(
            "leak:a\nwrong\n",
            "my.supp:2:1: this is neither a `leak:' line nor the `{' of a suppression",
        );
        check("leak:", "my.supp:1:6: a pattern is missing after `leak:'");
        check("\n{\n  x\n", "my.supp:2:1: this `{' has no `}'");
        check(
            "{\n  x\n}\n",
            "my.supp:3:1: the suppression ends before its kind",
        );
        check(
            "{\n  x\n  Memcheck:Leak\n  what\n}\n",
            "my.supp:4:3: a frame is `fun:', `obj:', `src:' or `...'",
        );
    }

    #[test]
    fn what_is_generated_covers() {
        let entry = Entry {
            stack: stack(&STACK),
            ..Entry::default()
        };
        let report = Report {
            sites: vec![entry],
            ..Report::default()
        };
        check(&generate(&report), true);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(leak:|\\{\n| x\n|Memcheck:Leak\n|fun:a\n|\\.\\.\\.\n|\\}\n|[*?:^$\\[a]){0,20}|.{0,30}") {
            let mut suppressions = Suppressions::default();
            if suppressions.add("f", &text).is_ok() {
                suppressions.cover(&stack(&STACK), Verdict::Lost);
            }
        }
    }
}
