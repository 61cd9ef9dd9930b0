//! The view: the last report of each process, drawn in place on a terminal, and keys.

mod draw;
mod keys;
mod paint;
mod rows;
mod trend;

#[cfg(test)]
mod tests;

pub use paint::Colours;
pub use trend::Glyphs;

use crate::base::Pid;
use crate::base::time::Timestamp;
use crate::leak::options::Sort;
use crate::leak::report::model::Report;
use crate::leak::report::text::Frames;
use draw::{Page, Picture};
use keys::Key;
use rows::Row;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;
use trend::Trend;

/// The terminal, as the view sees it. Once dropped it is as it was.
pub trait Screen {
    /// Columns and rows.
    fn size(&self) -> (usize, usize);

    /// What was typed since this was asked last.
    fn typed(&mut self) -> Vec<u8>;

    /// Shows this, unless the terminal is busy or left to others.
    fn show(&mut self, text: &str) -> io::Result<()>;

    /// Leaves the terminal to others, until [`Screen::again`].
    fn hide(&mut self);

    /// The terminal is ours again.
    fn again(&mut self);

    /// Puts everything back as it was, for good.
    fn leave(&mut self);
}

/// How a view looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Its colours.
    pub colours: Colours,
    /// Its lines.
    pub glyphs: Glyphs,
    /// Which frames are shown.
    pub frames: Frames,
}

/// What keys ask of the leak sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Another order of sites.
    Sort,
    /// A mark.
    Mark,
    /// A check of this process, now.
    Check(Pid),
    /// A snapshot.
    Snapshot,
    /// The end.
    Quit,
}

/// The view.
pub struct View {
    screen: Box<dyn Screen>,
    look: Look,
    tabs: BTreeMap<Pid, Tab>,
    /// The process that is shown.
    current: Option<Pid>,
    page: Page,
    note: String,
    drawn: Option<(Timestamp, (usize, usize))>,
    /// Something is to be seen that was not drawn yet.
    is_new: bool,
}

/// What is known of one process.
#[derive(Default)]
struct Tab {
    report: Report,
    made: Timestamp,
    rows: Vec<Row>,
    trends: HashMap<String, Trend>,
    total: Trend,
    chosen: usize,
}

/// How often it is drawn without a reason.
const REFRESH: Duration = Duration::from_secs(1);

impl View {
    /// One that shows nothing yet.
    pub fn new(screen: Box<dyn Screen>, look: Look) -> View {
        View {
            screen,
            look,
            tabs: BTreeMap::new(),
            current: None,
            page: Page::default(),
            note: String::new(),
            drawn: None,
            is_new: true,
        }
    }

    /// There is a new report.
    pub fn take(&mut self, report: Report, now: Timestamp) {
        let pid = Pid(report.process.pid);
        self.current.get_or_insert(pid);
        self.tabs
            .entry(pid)
            .or_default()
            .take(report, now, self.look.frames);
        self.is_new = true;
    }

    /// A process is no more to be seen.
    pub fn gone(&mut self, pid: Pid) {
        self.tabs.remove(&pid);
        if self.current == Some(pid) {
            self.current = self.tabs.keys().next().copied();
        }
        self.is_new = true;
    }

    /// Says something in the last line.
    pub fn say(&mut self, note: String) {
        self.note = note;
        self.is_new = true;
    }

    /// Shows a bar in the last line, until the next picture.
    pub fn bar(&mut self, bar: &str) {
        let (columns, rows) = self.screen.size();
        let bar: String = bar.chars().take(columns).collect();
        // One that cannot be shown is left out.
        let _ = self.screen.show(&format!("\x1b[{rows};1H{bar}\x1b[K"));
    }

    /// There is to be a new picture.
    pub fn refresh(&mut self) {
        self.is_new = true;
    }

    /// The terminal is left to others for now.
    pub fn hide(&mut self) {
        self.screen.hide();
    }

    /// The terminal is ours again.
    pub fn again(&mut self) {
        self.screen.again();
        self.is_new = true;
    }

    /// Leaves the terminal for good.
    pub fn leave(&mut self) {
        self.screen.leave();
    }

    /// Draws, when there is something new, the terminal has another size, or some time has passed.
    pub fn draw(&mut self, now: Timestamp, sort: Sort) -> io::Result<()> {
        let size = self.screen.size();
        let is_due = self
            .drawn
            .is_none_or(|(when, before)| before != size || now.since(when) >= REFRESH);
        if !self.is_new && !is_due {
            return Ok(());
        }
        self.is_new = false;
        self.drawn = Some((now, size));
        let none = Tab::default();
        let tab = self.current.and_then(|pid| self.tabs.get(&pid));
        let at = self.tabs.keys().position(|pid| Some(*pid) == self.current);
        let report = tab.map(|tab| &tab.report);
        let tab = tab.unwrap_or(&none);
        let picture = Picture {
            report,
            rows: &tab.rows,
            trends: &tab.trends,
            total: &tab.total,
            chosen: tab.chosen,
            page: self.page,
            sort,
            age: now.since(tab.made).as_secs_f64(),
            process: (at.unwrap_or(0), self.tabs.len()),
            note: &self.note,
            glyphs: self.look.glyphs,
        };
        let lines = draw::picture(&picture, size.0, size.1);
        self.screen.show(&paint::paint(&lines, self.look.colours))
    }

    /// Obeys the keys that were pressed; what comes back is for others to do.
    pub fn keys(&mut self) -> Vec<Asked> {
        let typed = self.screen.typed();
        let keys = keys::keys(&typed);
        if !keys.is_empty() {
            self.note.clear();
            self.is_new = true;
        }
        keys.into_iter().filter_map(|key| self.obey(key)).collect()
    }

    fn obey(&mut self, key: Key) -> Option<Asked> {
        match key {
            Key::Quit => return Some(Asked::Quit),
            Key::Sort => return Some(Asked::Sort),
            Key::Mark => return Some(Asked::Mark),
            Key::Check => return self.current.map(Asked::Check),
            Key::Snapshot => return Some(Asked::Snapshot),
            Key::Help => {
                self.page = match self.page {
                    Page::Sites => Page::Help,
                    Page::Help => Page::Sites,
                }
            }
            Key::Back => self.page = Page::Sites,
            Key::Redraw => self.drawn = None,
            Key::NextProcess => self.next_process(),
            Key::Up | Key::Down | Key::First | Key::Last => {
                let tab = self.current.and_then(|pid| self.tabs.get_mut(&pid));
                if let Some(tab) = tab {
                    tab.go(key);
                }
            }
        }
        None
    }

    fn next_process(&mut self) {
        let later = self
            .tabs
            .keys()
            .find(|pid| Some(**pid) > self.current)
            .or_else(|| self.tabs.keys().next());
        self.current = later.copied();
    }
}

impl Tab {
    fn take(&mut self, report: Report, now: Timestamp, frames: Frames) {
        let chosen = self.rows.get(self.chosen).map(|row| row.key.clone());
        self.rows = rows::rows(&report, frames);
        // The chosen row stays chosen, wherever it is now.
        let again = chosen.and_then(|key| self.rows.iter().position(|row| row.key == key));
        self.chosen = again
            .unwrap_or(self.chosen)
            .min(self.rows.len().saturating_sub(1));
        let seconds = report.process.seconds;
        for row in &self.rows {
            let trend = self.trends.entry(row.key.clone()).or_default();
            trend.add(seconds, row.bytes.unwrap_or(row.blocks));
        }
        self.trends
            .retain(|key, _| self.rows.iter().any(|row| row.key == *key));
        self.total.add(seconds, report.heap.live.bytes);
        self.report = report;
        self.made = now;
    }

    fn go(&mut self, key: Key) {
        let last = self.rows.len().saturating_sub(1);
        self.chosen = match key {
            Key::Up => self.chosen.saturating_sub(1),
            Key::Down => self.chosen + 1,
            Key::First => 0,
            _ => last,
        }
        .min(last);
    }
}
