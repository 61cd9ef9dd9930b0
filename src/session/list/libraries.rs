//! The libraries that a program asks for, where the dynamic linker would find them (ld.so(8)). Its cache is not read.

use super::{Found, read};
use crate::elf::{Class, Image};
use crate::sys::file;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where a dynamic linker looks for libraries when nothing else is said.
const DIRECTORIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/lib32",
    "/usr/lib32",
];

/// A program and the libraries that it asks for, as far as they are where they say, where the environment says, or in the
/// usual places.
pub(super) fn with_libraries(program: &Path) -> Vec<Found> {
    let own = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let users: Vec<PathBuf> = std::env::split_paths(&own).collect();
    let mut found: Vec<Found> = Vec::new();
    let mut known = HashSet::new();
    let mut wanted = vec![(program.to_owned(), true)];
    while let Some((path, is_main)) = wanted.pop() {
        let Ok(file) = file::open(&path) else {
            continue;
        };
        let found_here = Found {
            file,
            path,
            is_main,
        };
        if let Some((_, _, image)) = read(&found_here) {
            let directories = directories(&image, &found_here.path, &users);
            for name in &image.needed {
                if !known.insert(name.clone()) {
                    continue;
                }
                let mut places = directories.iter().map(|directory| directory.join(name));
                let place = places.find(|place| is_for(place, image.class));
                wanted.extend(place.map(|place| (place, false)));
            }
            found.push(found_here);
        }
    }
    found
}

/// Where the libraries that a file asks for are looked for, in this order.
fn directories(image: &Image, path: &Path, users: &[PathBuf]) -> Vec<PathBuf> {
    // The older of the two counts where it stands alone.
    let before = image.rpath.as_ref().filter(|_| image.runpath.is_none());
    let mut all = expanded(before, path);
    all.extend_from_slice(users);
    all.extend(expanded(image.runpath.as_ref(), path));
    all.extend(DIRECTORIES.map(PathBuf::from));
    all
}

/// Directories with the names in them that stand for others.
fn expanded(list: Option<&String>, path: &Path) -> Vec<PathBuf> {
    let Some(list) = list else {
        return Vec::new();
    };
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let origin = real.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let names = [
        ("ORIGIN", &*origin),
        ("LIB", "lib/x86_64-linux-gnu"),
        ("PLATFORM", "x86_64"),
    ];
    let expand = |directory: &str| {
        let whole = names
            .iter()
            .fold(directory.to_owned(), |text, (name, meant)| {
                let text = text.replace(&format!("${{{name}}}"), meant);
                text.replace(&format!("${name}"), meant)
            });
        PathBuf::from(whole)
    };
    let named = list.split(':').filter(|directory| !directory.is_empty());
    named.map(expand).collect()
}

fn is_for(path: &Path, class: Class) -> bool {
    let image = file::open(path).ok().and_then(|file| file::map(&file).ok());
    image.is_some_and(|bytes| Image::parse(&bytes).is_ok_and(|image| image.class == class))
}
