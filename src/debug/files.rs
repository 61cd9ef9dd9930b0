//! How functions are typed by debug information, where no prototype is meant for them.

use super::{Bytes, Functions, Module, below_roots};
use crate::base::Pid;
use crate::base::addr::Vaddr;
use crate::proto::Prototype;
use crate::proto::library::Library;
use crate::proto::types::{Integer, Lens, Type, Width};
use crate::sys::root::Root;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The files that processes have loaded, with their functions as far as anybody has asked for one.
pub struct Files<K> {
    files: HashMap<K, File>,
    /// How the user wants types to be shown, by their names.
    typedefs: Arc<HashMap<String, Type>>,
}

enum File {
    Unread(Box<Module>),
    Read(Option<Box<Functions>>),
}

impl<K: Eq + Hash> Files<K> {
    /// None yet. The user's types are those of this library.
    pub fn new(library: &Library) -> Files<K> {
        Files {
            files: HashMap::new(),
            typedefs: Arc::new(library.typedefs()),
        }
    }

    /// Keeps a file for when it is asked for.
    pub fn add(&mut self, key: K, name: &str, path: String, file: Bytes) {
        let module = Module {
            name: name.to_owned(),
            path,
            build_id: None,
            root: None,
            file,
        };
        let unread = || File::Unread(Box::new(module));
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
        if let File::Unread(module) = file {
            let module = Module {
                root: Root::elsewhere(pid),
                ..(**module).clone()
            };
            let typedefs = self.typedefs.clone();
            let named = move |name: &str| typedefs.get(name).cloned().or_else(|| usual(name));
            let functions = Functions::of(module, below_roots, Box::new(named));
            *file = File::Read(functions.map(Box::new));
        }
        match file {
            File::Read(Some(functions)) => functions.prototype(at, symbol),
            _ => None,
        }
    }
}

/// Types of the C library that mean more than they are made of, or less.
fn usual(name: &str) -> Option<Type> {
    match name {
        "FILE" | "_IO_FILE" | "DIR" | "__dirstream" | "__locale_struct" => Some(Type::Void),
        "__va_list_tag" => Some(Type::Void),
        "uintptr_t" | "Elf64_Addr" | "Elf32_Addr" => {
            Some(Type::Integer(Integer::unsigned(Width::Long)).shown(Lens::Hex))
        }
        "mode_t" => Some(Type::Integer(Integer::UINT).shown(Lens::Octal)),
        _ => None,
    }
}
