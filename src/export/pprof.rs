//! Profiles as pprof and the stores of continuous profiling read them: a gzipped `Profile` message.
//! Source: github.com/google/pprof, proto/profile.proto (its field numbers stand here) and doc/README.md.

use super::protobuf::Message;
use super::{Frame, Profile, Sample};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::io::{self, Write};

/// Writes the profile.
pub fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(encode(profile).bytes())?;
    gzip.finish()?;
    Ok(())
}

fn encode(profile: &Profile) -> Message {
    let mut tables = Tables::new();
    tables.add_modules(profile);
    let mut message = Message::default();
    for kind in &profile.kinds {
        let mut value_type = Message::default();
        value_type.int(1, tables.string(&kind.name));
        value_type.int(2, tables.string(&kind.unit));
        message.message(1, &value_type);
    }
    for sample in &profile.samples {
        let sample = tables.sample(sample, profile.kinds.len());
        message.message(2, &sample);
    }
    let comments: Vec<_> = profile.comments.iter().map(|c| tables.string(c)).collect();
    let shown = profile.kinds.last().map(|kind| tables.string(&kind.name));
    tables.write(&mut message);
    if let Some(time) = profile.time {
        message.int(9, nanoseconds(time.0));
    }
    if let Some(duration) = profile.duration {
        message.int(10, nanoseconds(duration));
    }
    message.packed(13, comments.into_iter().map(|index| index as u64));
    message.int(14, shown.unwrap_or(0));
    message
}

fn nanoseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What samples share, each with an id: its place in its list, from 1 on.
#[derive(Default)]
struct Tables<'a> {
    strings: Table<&'a str>,
    modules: Table<(&'a str, Option<&'a str>)>,
    /// What is known of each module's code.
    known: Vec<Known>,
    functions: Table<(&'a str, &'a str)>,
    locations: Table<Location>,
}

/// How far the code of a module was looked up.
#[derive(Clone, Copy, Default)]
struct Known {
    functions: bool,
    files: bool,
    lines: bool,
    inlined: bool,
}

/// A place in the code: the functions inlined there, innermost first, and the one that they are in.
#[derive(PartialEq, Eq, Hash)]
struct Location {
    module: u64,
    address: u64,
    lines: Vec<Line>,
}

#[derive(PartialEq, Eq, Hash)]
struct Line {
    function: u64,
    line: u32,
}

/// Things in the order in which they were first seen.
struct Table<T> {
    ids: HashMap<T, u64>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            ids: HashMap::new(),
        }
    }
}

impl<T: std::hash::Hash + Eq> Table<T> {
    /// Its id: 1 for the first.
    fn id(&mut self, thing: T) -> u64 {
        let next = self.ids.len() as u64 + 1;
        *self.ids.entry(thing).or_insert(next)
    }

    /// All, with their ids, in order.
    fn in_order(self) -> Vec<(u64, T)> {
        let mut all: Vec<_> = self
            .ids
            .into_iter()
            .map(|(thing, id)| (id, thing))
            .collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

impl<'a> Tables<'a> {
    fn new() -> Tables<'a> {
        let mut tables = Tables::default();
        // The first string must be the empty one.
        tables.string("");
        tables
    }

    /// Puts the program first, where readers look for it, and behind it those that samples name.
    fn add_modules(&mut self, profile: &'a Profile) {
        let frames = || profile.samples.iter().flat_map(|sample| &sample.frames);
        let own = frames().filter(|frame| frame.module == profile.program);
        for frame in own.chain(frames()) {
            self.module(frame);
        }
    }

    /// The index of a string, from 0 on.
    fn string(&mut self, text: &'a str) -> i64 {
        self.strings.id(text) as i64 - 1
    }

    /// The id of a frame's module; 0 when there is none.
    fn module(&mut self, frame: &'a Frame) -> u64 {
        let Some(path) = frame.module.as_deref() else {
            return 0;
        };
        let id = self.modules.id((path, frame.build_id.as_deref()));
        if self.known.len() < id as usize {
            self.known.push(Known::default());
        }
        if let Some(known) = self.known.get_mut(id as usize - 1) {
            known.functions |= !frame.function.is_empty();
            known.files |= frame.file.is_some();
            known.lines |= frame.line.is_some();
            known.inlined |= frame.inlined;
        }
        id
    }

    fn sample(&mut self, sample: &'a Sample, kinds: usize) -> Message {
        let mut message = Message::default();
        let mut locations = Vec::new();
        let mut rest = sample.frames.as_slice();
        while !rest.is_empty() {
            let inlined = rest.iter().take_while(|frame| frame.inlined).count();
            let (here, further) = rest.split_at(rest.len().min(inlined + 1));
            locations.push(self.location(here));
            rest = further;
        }
        message.packed(1, locations);
        // As many as there are kinds, or readers refuse all of it.
        let missing = std::iter::repeat(&0);
        let values = sample.values.iter().chain(missing).take(kinds);
        message.packed(2, values.map(|value| *value as u64));
        for (key, text) in &sample.labels {
            let mut label = Message::default();
            label.int(1, self.string(key));
            label.int(2, self.string(text));
            message.message(3, &label);
        }
        message
    }

    /// The id of the place that these frames share.
    fn location(&mut self, frames: &'a [Frame]) -> u64 {
        let outermost = frames.last();
        let location = Location {
            module: outermost.map_or(0, |frame| self.module(frame)),
            address: outermost.map_or(0, |frame| frame.address),
            lines: frames.iter().filter_map(|frame| self.line(frame)).collect(),
        };
        self.locations.id(location)
    }

    fn line(&mut self, frame: &'a Frame) -> Option<Line> {
        // Without a line, readers show the address.
        if frame.function.is_empty() && frame.file.is_none() {
            return None;
        }
        let file = frame.file.as_deref().unwrap_or("");
        self.string(&frame.function);
        self.string(file);
        Some(Line {
            function: self.functions.id((&frame.function, file)),
            line: frame.line.unwrap_or(0),
        })
    }

    /// Writes all tables into the profile, that of the strings last: the others refer to it.
    fn write(mut self, profile: &mut Message) {
        for (id, (path, build_id)) in std::mem::take(&mut self.modules).in_order() {
            let known = self.known.get(id as usize - 1).copied().unwrap_or_default();
            // Without an extent: the addresses are those of the file, not of a process (pprof,
            // internal/elfexec, GetBase).
            let mut mapping = Message::default();
            mapping.uint(1, id);
            mapping.int(5, self.string(path));
            mapping.int(6, self.string(build_id.unwrap_or("")));
            mapping.uint(7, known.functions);
            mapping.uint(8, known.files);
            mapping.uint(9, known.lines);
            mapping.uint(10, known.inlined);
            profile.message(3, &mapping);
        }
        for (id, location) in std::mem::take(&mut self.locations).in_order() {
            profile.message(4, &location.encode(id));
        }
        for (id, (name, file)) in std::mem::take(&mut self.functions).in_order() {
            let mut function = Message::default();
            function.uint(1, id);
            function.int(2, self.string(name));
            function.int(3, self.string(name));
            function.int(4, self.string(file));
            profile.message(5, &function);
        }
        for (_, text) in self.strings.in_order() {
            profile.string(6, text);
        }
    }
}

impl Location {
    fn encode(&self, id: u64) -> Message {
        let mut message = Message::default();
        message.uint(1, id);
        message.uint(2, self.module);
        message.uint(3, self.address);
        for line in &self.lines {
            let mut encoded = Message::default();
            encoded.uint(1, line.function);
            encoded.uint(2, line.line);
            message.message(4, &encoded);
        }
        message
    }
}

#[cfg(test)]
mod tests;
