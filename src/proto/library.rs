//! Prototypes by library and symbol: which files there are, and which one wins.
//!
//! Layers, the first that knows a symbol decides: files and directories of `-F`; the user's and the
//! administrator's (`$XDG_CONFIG_HOME/ltrace`, `~/.ltrace`, `~/.ltrace.conf`, `$XDG_CONFIG_DIRS`);
//! those shipped with the program; what another ltrace left on the system (`/usr/share/ltrace`,
//! `/etc/ltrace.conf`). In a layer, the file of the symbol's library comes before those that are good
//! for every library.

mod shipped;

use self::shipped::Shipped;
use super::complaint::{Complaint, Severity};
use super::parse::{self, Imports, Parsed};
use super::shipped::FILES;
use super::types::Type;
use super::{Prototype, header};
use crate::base::message;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file is read.
const MAX_FILE: u64 = 16 << 20;
/// Whose file has the prototypes of system calls.
const SYSTEM_CALLS: [&str; 1] = ["syscalls"];
/// How deep files may import each other.
const MAX_IMPORTS: usize = 16;

/// All prototypes that are known.
#[derive(Clone, Debug)]
pub struct Library {
    user: Vec<Layer>,
    shipped: Shipped,
    system: Layer,
}

/// Files of one origin.
#[derive(Clone, Debug, Default)]
struct Layer {
    /// By the file's name without `.conf`.
    by_soname: HashMap<String, Arc<Parsed>>,
    /// Good for every library, the first wins.
    everywhere: Vec<Arc<Parsed>>,
}

/// Where prototype files are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The arguments of `-F`: files and directories with `:` between them.
    pub options: Vec<String>,
    /// `$HOME`
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, when it is set.
    pub config_home: Option<PathBuf>,
    /// `$XDG_CONFIG_DIRS`
    pub config_dirs: Vec<PathBuf>,
}

/// A file or directory of `-F` that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read prototypes from {}: {error}", path.display(), error = message(error))]
pub struct Missing {
    /// As the user named it.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl Sources {
    /// The places that this process's environment names.
    pub fn from_environment(options: Vec<String>) -> Sources {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let config_dirs = path("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
        Sources {
            options,
            home: path("HOME").map(PathBuf::from),
            config_home: path("XDG_CONFIG_HOME").map(PathBuf::from),
            config_dirs: std::env::split_paths(&config_dirs).collect(),
        }
    }

    fn home_files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let home = self.home.as_deref();
        let config_home = self.config_home.clone();
        let config_home = config_home.or_else(|| home.map(|home| home.join(".config")));
        let mut directories: Vec<PathBuf> =
            config_home.iter().map(|dir| dir.join("ltrace")).collect();
        directories.extend(home.map(|home| home.join(".ltrace")));
        directories.extend(self.config_dirs.iter().map(|dir| dir.join("ltrace")));
        let files = home.map(|home| home.join(".ltrace.conf"));
        (directories, files.into_iter().collect())
    }
}

impl Library {
    /// What comes with the program.
    pub fn shipped() -> Library {
        Library {
            user: Vec::new(),
            shipped: Shipped::new(),
            system: Layer::default(),
        }
    }

    /// Adds the files of all other layers. What is wrong in them is told; only what the user asked
    /// for by name must be there.
    pub fn load(&mut self, sources: &Sources) -> Result<Vec<Complaint>, Missing> {
        let (option_dirs, option_files) = split_options(&sources.options)?;
        let (home_dirs, home_files) = sources.home_files();
        let system_dirs = vec![PathBuf::from("/usr/share/ltrace")];
        let all_dirs = [&option_dirs[..], &home_dirs, &system_dirs].concat();
        let mut loader = Loader::new(all_dirs);

        let mut options = Layer::default();
        for file in &option_files {
            let parsed = loader.file(file).map_err(|error| Missing {
                path: file.clone(),
                error,
            })?;
            options.everywhere.push(parsed);
        }
        options.add_directories(&option_dirs, &mut loader);
        let mut home = Layer::default();
        home.add_directories(&home_dirs, &mut loader);
        home.add_files(&home_files, &mut loader);
        let mut system = Layer::default();
        system.add_directories(&system_dirs, &mut loader);
        system.add_files(&[PathBuf::from("/etc/ltrace.conf")], &mut loader);

        self.user = vec![options, home];
        self.system = system;
        Ok(loader.complaints)
    }

    /// The same by files that are meant for these libraries, or come from the user: others may have a function of that
    /// name, too.
    pub fn lookup_own(&self, symbol: &str, sonames: &[&str]) -> Option<Arc<Prototype>> {
        let mut user = self.user.iter();
        user.find_map(|layer| layer.find(symbol, sonames).cloned())
            .or_else(|| self.shipped.find_own(symbol, sonames))
    }

    /// The types that the user's files name.
    pub fn typedefs(&self) -> HashMap<String, Type> {
        let layers = self.user.iter().rev();
        let files = layers.flat_map(|layer| layer.by_soname.values().chain(&layer.everywhere));
        let types = files.flat_map(|parsed| parsed.typedefs.clone());
        types.collect()
    }

    /// A type of a file that came with the program.
    pub fn shipped_type(&self, file: &str, name: &str) -> Option<Type> {
        self.shipped.type_of(file, name)
    }

    /// How a symbol is typed that is found in one of these libraries (or programs, by their base
    /// names). `libc.so.6` is served by `libc.so.6.conf`, else `libc.so.conf`. Some shipped files
    /// serve every library in the end.
    pub fn lookup(&self, symbol: &str, sonames: &[&str]) -> Option<Arc<Prototype>> {
        let mut user = self.user.iter();
        user.find_map(|layer| layer.find(symbol, sonames).cloned())
            .or_else(|| self.shipped.find(symbol, sonames))
            .or_else(|| self.system.find(symbol, sonames).cloned())
    }
}

impl Library {
    /// All prototypes of a function, and the files that they are in: the user's, those that come with the program, the
    /// system's.
    pub fn all(&self, symbol: &str) -> Vec<(Arc<Prototype>, String)> {
        let of_layer = |layer: &Layer| {
            let files = layer.everywhere.iter().chain(layer.by_soname.values());
            let found = files.filter_map(|parsed| {
                let prototype = parsed.functions.get(symbol)?;
                Some((prototype.clone(), parsed.origin.clone()))
            });
            found.collect::<Vec<_>>()
        };
        let shipped = FILES.iter().filter_map(|(name, _)| {
            let prototype = self.shipped.function(name, symbol)?;
            Some((prototype, format!("{name}.conf, which comes with ltrace")))
        });
        let mut all: Vec<_> = self.user.iter().flat_map(of_layer).collect();
        all.extend(shipped);
        all.extend(of_layer(&self.system));
        // Libraries import each other's.
        let mut known: Vec<String> = Vec::new();
        all.retain(|(prototype, _)| {
            let text = prototype.to_string();
            let is_new = !known.contains(&text);
            known.push(text);
            is_new
        });
        all
    }

    /// How a system call is typed: by `syscalls.conf`, else as the function of its name. `SYS_NAME`, as older files
    /// have it, comes before both.
    pub fn system_call(&self, name: &str) -> Option<Arc<Prototype>> {
        let old = format!("SYS_{name}");
        let of = |layer: &Layer| {
            let found = layer.find(&old, &SYSTEM_CALLS);
            found.or_else(|| layer.find(name, &SYSTEM_CALLS)).cloned()
        };
        let shipped = || self.shipped.find(name, &SYSTEM_CALLS);
        let user = self.user.iter().find_map(of);
        user.or_else(shipped).or_else(|| of(&self.system))
    }
}

impl Layer {
    fn add_directories(&mut self, directories: &[PathBuf], loader: &mut Loader) {
        for file in directories.iter().flat_map(|dir| conf_files(dir)) {
            let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            if !self.by_soname.contains_key(stem)
                && let Ok(parsed) = loader.file(&file)
            {
                self.by_soname.insert(stem.to_owned(), parsed);
            }
        }
    }

    fn add_files(&mut self, files: &[PathBuf], loader: &mut Loader) {
        let parsed = files.iter().filter_map(|file| loader.file(file).ok());
        self.everywhere.extend(parsed);
    }

    fn find(&self, symbol: &str, sonames: &[&str]) -> Option<&Arc<Prototype>> {
        let mut files = sonames.iter().flat_map(|soname| snipped(soname));
        files
            .find_map(|name| self.by_soname.get(&*name)?.functions.get(symbol))
            .or_else(|| {
                let mut files = self.everywhere.iter();
                files.find_map(|parsed| parsed.functions.get(symbol))
            })
    }
}

/// `libc.so.6`, `libc.so`: the name, and what is left when version suffixes are snipped off; at last also what stands
/// before a version within it, `libbfd.so` of `libbfd-2.40-system.so`. One that has no soname is asked for by the path
/// that it was linked by.
fn snipped(soname: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let name = soname.rsplit('/').next();
    let names = std::iter::successors(name, |name| {
        let versioned = name.contains(".so.");
        versioned.then(|| name.rsplit_once('.').map(|(rest, _)| rest))?
    });
    let bare = name.and_then(without_version).map(Cow::Owned);
    names.map(Cow::Borrowed).chain(bare)
}

/// A name without the version in it, which begins with a hyphen and a digit, or is digits with a dot between them.
fn without_version(name: &str) -> Option<String> {
    let stem = name.split(".so").next()?;
    let is_digit = |at: usize| stem.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let begins = |(at, c): (usize, char)| {
        let is_marked = c == '-' && is_digit(at + 1);
        let digits = stem[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        let is_number =
            digits > 0 && stem[at + digits..].starts_with('.') && is_digit(at + digits + 1);
        (is_marked || is_number).then_some(at)
    };
    let version = stem.char_indices().find_map(begins)?;
    Some(format!("{}.so", &stem[..version]))
}

/// Directories and files of the `-F` options.
fn split_options(options: &[String]) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Missing> {
    let paths = options.iter().flat_map(|option| option.split(':'));
    let mut directories = Vec::new();
    let mut files = Vec::new();
    for path in paths.filter(|path| !path.is_empty()).map(PathBuf::from) {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => directories.push(path),
            Ok(_) => files.push(path),
            Err(error) => return Err(Missing { path, error }),
        }
    }
    Ok((directories, files))
}

/// The regular files `*.conf` of a directory, by name; none when there is no such directory.
fn conf_files(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "conf") && path.is_file())
        .collect();
    files.sort();
    files
}

/// Reads each file once, and those that it imports.
struct Loader {
    directories: Vec<PathBuf>,
    read: HashMap<PathBuf, Arc<Parsed>>,
    /// Files that are being read: they may not be imported again.
    open: Vec<PathBuf>,
    complaints: Vec<Complaint>,
}

impl Loader {
    fn new(directories: Vec<PathBuf>) -> Loader {
        Loader {
            directories,
            read: HashMap::new(),
            open: Vec::new(),
            complaints: Vec::new(),
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<Arc<Parsed>> {
        if let Some(parsed) = self.read.get(path) {
            return Ok(Arc::clone(parsed));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        if !is_text(&bytes) {
            // Of a program, or what is compressed, there would be a complaint for each of its lines.
            self.complaints.push(Complaint {
                file: path.to_string_lossy().into_owned(),
                line: 1,
                column: 1,
                severity: Severity::Error,
                message: "it is not a text file".to_owned(),
            });
            bytes.clear();
        }
        Ok(self.text(path, &String::from_utf8_lossy(&bytes)))
    }

    fn text(&mut self, path: &Path, text: &str) -> Arc<Parsed> {
        self.open.push(path.to_owned());
        let is_header = path.extension().is_some_and(|e| e == "h" || e == "i");
        let (parsed, complaints) = match is_header {
            true => header::parse(&path.to_string_lossy(), text),
            false => parse::parse_with(&path.to_string_lossy(), text, self),
        };
        self.open.pop();
        let parsed = Parsed {
            origin: path.to_string_lossy().into_owned(),
            ..parsed
        };
        self.complaints.extend(complaints);
        let parsed = Arc::new(parsed);
        self.read.insert(path.to_owned(), Arc::clone(&parsed));
        parsed
    }
}

/// Whatever its encoding is, a text has hardly any controls.
fn is_text(bytes: &[u8]) -> bool {
    let is_odd = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    bytes.iter().filter(is_odd).count() <= bytes.len() / 20
}

/// Imports come from the directory of the file that asks, then from those searched, then from what is shipped.
impl Imports for Loader {
    fn import(&mut self, name: &str) -> Result<Arc<Parsed>, String> {
        let file_name = format!("{name}.conf");
        let asking = self.open.last();
        // A file may add to the one of its name that is searched or shipped.
        let beside = asking.map(|path| path.with_file_name(&file_name));
        let beside = beside.filter(|path| Some(path) != asking);
        let searched = self.directories.iter().map(|dir| dir.join(&file_name));
        let found = beside
            .into_iter()
            .chain(searched)
            .find(|path| path.is_file());
        let path = found.clone().unwrap_or_else(|| PathBuf::from(&file_name));
        if self.open.contains(&path) {
            return Err(format!("'{name}' imports itself"));
        }
        if self.open.len() >= MAX_IMPORTS {
            return Err(format!("'{name}' is imported too deep"));
        }
        if let Some(parsed) = self.read.get(&path) {
            return Ok(Arc::clone(parsed));
        }
        if found.is_some() {
            return self
                .file(&path)
                .map_err(|e| format!("'{name}': {}", message(&e)));
        }
        match FILES.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Ok(self.text(&path, text)),
            None => Err(format!("there is no '{file_name}'")),
        }
    }
}

#[cfg(test)]
mod tests;
