//! Addresses by the names of what begins there: functions that are passed as callbacks, and the streams of the C and C++
//! libraries. Anything else that is pointed to has its address as before.

use super::Sink;
use super::around::Around;
use super::demangle::Names;
use super::places::Places;
use crate::base::Pid;
use crate::base::addr::{Addr, Vaddr};
use crate::event::{Event, Kind};
use crate::plan::ModuleName;
use crate::stack::{Bytes, Symbols, streams};
use crate::value::Value;
use rustc_hash::FxHashMap;
use std::io;
use std::sync::Arc;

/// The files that a module's names are in.
pub type Open = Box<dyn FnMut(Pid, &ModuleName) -> Vec<Bytes>>;

/// So deep structures are looked into.
const DEEPEST: usize = 8;

/// Hands on events with addresses named.
pub struct Named<S> {
    inner: S,
    places: Places,
    known: Known,
}

/// What begins where in the files that were asked for.
struct Known {
    open: Open,
    names: Names,
    files: Vec<File>,
    /// Which of the files a module is.
    by_name: FxHashMap<Arc<ModuleName>, usize>,
    /// The same by its place in memory, which it keeps: nothing is hashed but that.
    by_place: FxHashMap<*const ModuleName, (usize, Arc<ModuleName>)>,
    /// What was found in a file.
    found: FxHashMap<(usize, Vaddr), Arc<str>>,
}

/// So many modules are known by their place, of all processes.
const PLACES: usize = 4096;

/// The names of one file.
struct File {
    functions: Symbols,
    streams: Vec<(Vaddr, Arc<str>)>,
}

impl<S: Sink> Named<S> {
    /// Hands them on to `inner`. Names are spelled so.
    pub fn new(open: Open, names: Names, inner: S) -> Named<S> {
        Named {
            inner,
            places: Places::default(),
            known: Known {
                open,
                names,
                files: Vec::new(),
                by_name: FxHashMap::default(),
                by_place: FxHashMap::default(),
                found: FxHashMap::default(),
            },
        }
    }

    /// The event with names; `None` when there are none in it.
    fn named(&mut self, event: &Event) -> Option<Event> {
        let (Kind::Call { args, .. } | Kind::Return { out_args: args, .. }) = &event.kind else {
            return None;
        };
        let result = match &event.kind {
            Kind::Return { result, .. } => Some(result),
            _ => None,
        };
        let mut all = args.iter().chain(result);
        if event.kind.is_bookkeeping() || !all.any(|value| self.has_name(event.pid, value, 0)) {
            return None;
        }
        let mut event = event.clone();
        if let Kind::Call { args, .. } | Kind::Return { out_args: args, .. } = &mut event.kind {
            args.iter_mut()
                .for_each(|value| self.replace(event.pid, value, 0));
        }
        if let Kind::Return { result, .. } = &mut event.kind {
            self.replace(event.pid, result, 0);
        }
        Some(event)
    }

    fn has_name(&mut self, pid: Pid, value: &Value, depth: usize) -> bool {
        match value {
            Value::Pointer(at) => self.name(pid, *at).is_some(),
            Value::Guess(word) => self.name(pid, Addr(*word)).is_some(),
            Value::Leads { .. } => true,
            value if depth < DEEPEST => {
                let mut parts = parts(value).iter();
                parts.any(|part| self.has_name(pid, part, depth + 1))
            }
            _ => false,
        }
    }

    fn replace(&mut self, pid: Pid, value: &mut Value, depth: usize) {
        let at = match value {
            Value::Pointer(at) => *at,
            Value::Guess(word) => Addr(*word),
            Value::Leads { to, name, .. } => {
                *name = self.name_around(pid, *to).map(Into::into);
                return;
            }
            value => {
                if depth < DEEPEST {
                    let parts = parts_mut(value).iter_mut();
                    parts.for_each(|part| self.replace(pid, part, depth + 1));
                }
                return;
            }
        };
        if let Some(name) = self.name(pid, at) {
            *value = Value::Name(name);
        }
    }

    /// The name of what an address is in, and how far: `main+0x42`.
    fn name_around(&mut self, pid: Pid, at: Addr) -> Option<String> {
        let (module, vaddr) = self.places.at(pid, at)?;
        self.known.name_around(pid, module, vaddr)
    }

    /// The name of what begins at an address.
    fn name(&mut self, pid: Pid, at: Addr) -> Option<Arc<str>> {
        let (module, vaddr) = self.places.at(pid, at)?;
        self.known.name(pid, module, vaddr)
    }
}

impl Known {
    fn name(&mut self, pid: Pid, module: &Arc<ModuleName>, at: Vaddr) -> Option<Arc<str>> {
        let index = self.file(pid, module);
        if let Some(name) = self.found.get(&(index, at)) {
            return Some(name.clone());
        }
        let file = self.files.get(index)?;
        if let Some((_, name)) = file.streams.iter().find(|(vaddr, _)| *vaddr == at) {
            return Some(name.clone());
        }
        let (symbol, offset) = file.functions.find(at)?;
        let symbol = without_version(symbol)?;
        if offset != 0 {
            return None;
        }
        let name = self.names.of(&Arc::from(symbol));
        self.found.insert((index, at), name.clone());
        Some(name)
    }

    fn name_around(&mut self, pid: Pid, module: &Arc<ModuleName>, at: Vaddr) -> Option<String> {
        let index = self.file(pid, module);
        let (symbol, offset) = self.files.get(index)?.functions.find(at)?;
        let name = self.names.of(&Arc::from(without_version(symbol)?));
        Some(format!("{name}+{offset:#x}"))
    }

    /// Which of the files a module is; it is read when it is asked for first.
    fn file(&mut self, pid: Pid, module: &Arc<ModuleName>) -> usize {
        if let Some((index, _)) = self.by_place.get(&Arc::as_ptr(module)) {
            return *index;
        }
        let index = match self.by_name.get(module) {
            Some(index) => *index,
            None => {
                let files = (self.open)(pid, module);
                self.files.push(File::read(&files));
                self.by_name.insert(module.clone(), self.files.len() - 1);
                self.files.len() - 1
            }
        };
        if self.by_place.len() >= PLACES {
            self.by_place.clear();
        }
        let kept = (index, module.clone());
        self.by_place.insert(Arc::as_ptr(module), kept);
        index
    }
}

impl File {
    fn read(files: &[Bytes]) -> File {
        let bytes: Vec<&[u8]> = files.iter().map(|file| &**file).collect();
        File {
            functions: Symbols::read(&bytes),
            streams: bytes.first().map(|file| streams(file)).unwrap_or_default(),
        }
    }
}

/// Behind a symbol its version may stand.
fn without_version(symbol: &str) -> Option<&str> {
    symbol.split('@').next().filter(|name| !name.is_empty())
}

/// The values that one consists of.
fn parts(value: &Value) -> &[Value] {
    match value {
        Value::Struct(values)
        | Value::Members { values, .. }
        | Value::Array { items: values, .. } => values,
        Value::Again(value) | Value::Failed(value, _) | Value::Case(_, value) => {
            std::slice::from_ref(value)
        }
        _ => &[],
    }
}

fn parts_mut(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Struct(values)
        | Value::Members { values, .. }
        | Value::Array { items: values, .. } => values,
        Value::Again(value) | Value::Failed(value, _) | Value::Case(_, value) => {
            std::slice::from_mut(value)
        }
        _ => &mut [],
    }
}

impl<S: Sink> Around for Named<S> {
    fn inner(&self) -> &dyn Sink {
        &self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Sink {
        &mut self.inner
    }

    fn pass(&mut self, event: &Event) -> io::Result<()> {
        self.places.event(event);
        match self.named(event) {
            Some(named) => self.inner.event(&named),
            None => self.inner.event(event),
        }
    }

    fn pass_complete(&mut self, call: &Event, returned: &Event) -> io::Result<()> {
        let (named_call, named_return) = (self.named(call), self.named(returned));
        let call = named_call.as_ref().unwrap_or(call);
        self.inner
            .complete(call, named_return.as_ref().unwrap_or(returned))
    }
}
