//! How the lines of a trace look.

use super::Time;
use crate::base::names::Spelling;
use crate::value::render::Charset;

/// How the lines look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The column of the `=`, the first one being 1 (`-a`).
    pub align: usize,
    /// Blanks for each call that is open (`-n`).
    pub indent: usize,
    /// The time at the beginning (`-r`, `-t`).
    pub time: Time,
    /// Where calls return to, and where events happened (`-i`).
    pub addresses: bool,
    /// How long calls took (`-T`).
    pub elapsed: bool,
    /// Signals have lines (off with `-b`).
    pub signals: bool,
    /// The module that calls stands before the function (`-e`, `-l`).
    pub callers: bool,
    /// Which lines say what task they are of.
    pub task_ids: TaskIds,
    /// And how.
    pub task_id_form: TaskIdForm,
    /// Whose ends have lines.
    pub ends: Ends,
    /// So many calls that led to one are shown below it (`-w`).
    pub frames: usize,
    /// What the source calls arguments stands before them (`--arg-names`).
    pub arg_names: bool,
    /// Of texts, what stands for itself: what the locale's character set has.
    pub charset: Charset,
    /// Names as their language writes them (`-C`).
    pub demangle: Spelling,
    /// In colour.
    pub coloured: bool,
}

/// Which lines say what task they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskIds {
    /// All.
    Always,
    /// Those after a second task came to be.
    WhenSeveral,
}

/// Whose ends have lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// None (`-q`).
    Hidden,
    /// Those of processes.
    Processes,
    /// Those of threads as well, although their process goes on (`-f`).
    Threads,
}

impl Ends {
    /// Whether the end of a task has one, which may be the last of its process.
    pub(super) fn show(self, last: bool) -> bool {
        match self {
            Ends::Hidden => false,
            Ends::Processes => last,
            Ends::Threads => true,
        }
    }
}

/// How a line says what task it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskIdForm {
    /// `[pid 4711] `
    Bracketed,
    /// `4711 `
    Bare,
}

impl Default for Style {
    /// ltrace's lines when no option asks for more.
    fn default() -> Style {
        Style {
            align: 50,
            indent: 0,
            time: Time::Hidden,
            addresses: false,
            elapsed: false,
            signals: true,
            callers: false,
            task_ids: TaskIds::WhenSeveral,
            task_id_form: TaskIdForm::Bracketed,
            ends: Ends::Processes,
            frames: 0,
            arg_names: false,
            charset: Charset::Ascii,
            demangle: Spelling::AsTheyAre,
            coloured: false,
        }
    }
}
