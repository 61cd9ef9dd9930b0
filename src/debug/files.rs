//! How functions are typed by debug information, where no prototype is meant for them.

use super::system::{of_library, usual};
use super::{Bytes, Functions, Module, below_roots};
use crate::base::Pid;
use crate::base::addr::Vaddr;
use crate::elf::{Class, Section, Sections};
use crate::mangled::{self, Classes};
use crate::proto::Prototype;
use crate::proto::library::Library;
use crate::proto::types::Type;
use crate::sys::root::Root;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The files that processes have loaded, with their functions as far as one was asked for.
pub struct Files<K> {
    files: HashMap<K, File>,
    /// How the user wants types to be shown, by their names.
    typedefs: Arc<HashMap<String, Type>>,
    /// Where types of the C library are known from.
    library: Arc<Library>,
}

struct File {
    module: Module,
    /// What its debug information tells, once that was looked for.
    functions: Option<Option<Box<Functions>>>,
    /// What the file itself has, once that was looked at.
    linked: Option<Linked>,
    /// What mangled names have told.
    by_name: HashMap<(Vaddr, Box<str>), Option<Arc<Prototype>>>,
}

/// What helps to understand mangled names.
#[derive(Default)]
struct Linked {
    code: Vec<Section>,
    classes: Classes,
}

impl Linked {
    fn of(bytes: &[u8]) -> Linked {
        let mut linked = Linked::default();
        let sections = Sections::read(bytes).ok();
        let Some(sections) = sections.filter(|sections| sections.class() == Class::Elf64) else {
            return linked;
        };
        linked.code.extend(sections.code());
        for names in [".dynstr", ".strtab"] {
            let names = sections.get(names).and_then(|s| bytes.get(s.range));
            linked.classes.add(names.unwrap_or_default());
        }
        linked
    }

    /// The instructions from an address on.
    fn code<'b>(&self, bytes: &'b [u8], at: u64) -> &'b [u8] {
        let inside = |section: &Section| {
            let offset = usize::try_from(at.checked_sub(section.vaddr.0)?).ok()?;
            bytes.get(section.range.clone())?.get(offset..)
        };
        self.code.iter().find_map(inside).unwrap_or_default()
    }
}

impl<K: Eq + Hash> Files<K> {
    /// None yet. The user's types are those of this library.
    pub fn new(library: &Library) -> Files<K> {
        Files {
            files: HashMap::new(),
            typedefs: Arc::new(library.typedefs()),
            library: Arc::new(library.clone()),
        }
    }

    /// Keeps a file for when it is asked for.
    pub fn add(&mut self, key: K, name: &str, path: String, file: Bytes) {
        let unread = || File {
            module: Module {
                name: name.to_owned(),
                path,
                build_id: None,
                root: None,
                file,
            },
            functions: None,
            linked: None,
            by_name: HashMap::new(),
        };
        self.files.entry(key).or_insert_with(unread);
    }

    /// How the function of a file is typed that begins there. The process is one that has loaded the file.
    pub fn prototype(
        &mut self,
        key: &K,
        pid: Pid,
        at: Vaddr,
        symbol: &str,
    ) -> Option<Arc<Prototype>> {
        let file = self.files.get_mut(key)?;
        let functions = file.functions.get_or_insert_with(|| {
            let module = Module {
                root: Root::elsewhere(pid),
                ..file.module.clone()
            };
            let typedefs = self.typedefs.clone();
            let named = move |name: &str| typedefs.get(name).cloned().or_else(|| usual(name));
            let library = self.library.clone();
            let system = move |name: &str| of_library(&library, name);
            let functions = Functions::of(module, below_roots, Box::new(named), Box::new(system));
            functions.map(Box::new)
        });
        functions.as_mut()?.prototype(at, symbol)
    }

    /// The same by nothing but its name, where that is one of C++, and its code.
    pub fn by_name(&mut self, key: &K, at: Vaddr, symbol: &str) -> Option<Arc<Prototype>> {
        if !symbol.starts_with("_Z") {
            return None;
        }
        let file = self.files.get_mut(key)?;
        let known = file.by_name.entry((at, symbol.into()));
        let told = known.or_insert_with(|| {
            let bytes: &[u8] = &file.module.file;
            let linked = file.linked.get_or_insert_with(|| Linked::of(bytes));
            let around = mangled::Around {
                code: &|at| linked.code(bytes, at),
                classes: &linked.classes,
            };
            mangled::prototype(symbol, at.0, around).map(Arc::new)
        });
        told.clone()
    }
}
