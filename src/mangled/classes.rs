//! Which names are classes: a function's name spells classes and namespaces in the same way, but only classes have
//! constructors, virtual functions, and functions that leave their object as it is.

use std::collections::HashSet;

/// Classes, and what they are in.
#[derive(Debug, Default)]
pub struct Classes {
    /// By their mangled names.
    classes: HashSet<Box<[u8]>>,
    /// Classes or namespaces, by theirs.
    around: HashSet<Box<[u8]>>,
}

/// What a name is, by other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Class,
    Namespace,
}

impl Classes {
    /// Adds those that show in a table of symbols' names, with a NUL behind each.
    pub fn add(&mut self, names: &[u8]) {
        for class in names.split(|byte| *byte == 0).filter_map(class) {
            if self.classes.insert(class.into()) {
                let around = parts(class).map(|end| Box::from(&class[..end]));
                self.around.extend(around);
            }
        }
    }

    /// What `outer::inner` is. What holds a class, and shows nothing of a class itself, is taken for a namespace.
    pub(super) fn kind(&self, path: &str) -> Option<Kind> {
        let mut mangled = String::with_capacity(path.len() + 8);
        for (number, part) in path.split("::").enumerate() {
            match (number, part) {
                (0, "std") => mangled += "St",
                _ => mangled += &format!("{}{part}", part.len()),
            }
        }
        let mangled = mangled.as_bytes();
        if self.classes.contains(mangled) {
            return Some(Kind::Class);
        }
        self.around.contains(mangled).then_some(Kind::Namespace)
    }
}

/// The class that a symbol tells of.
fn class(symbol: &[u8]) -> Option<&[u8]> {
    let name = symbol.strip_prefix(b"_Z")?;
    // Tables of virtual functions, and what is known of a class when the program runs.
    let table = name.strip_prefix(b"TV").or(name.strip_prefix(b"TI"));
    if let Some(name) = table {
        let path = name.strip_prefix(b"N").unwrap_or(name);
        let (whole, _) = path.split_at(parts(path).last()?);
        return Some(whole);
    }
    let name = name.strip_prefix(b"N")?;
    let (path, is_const) = match name.strip_prefix(b"K") {
        Some(path) => (path, true),
        None => (name, false),
    };
    let ends: Vec<usize> = parts(path).collect();
    let end = *ends.last()?;
    let is_structor = matches!(
        path.get(end..)?,
        [b'C', b'1'..=b'5', ..] | [b'D', b'0'..=b'5', ..]
    );
    let is_operator = path.get(end).is_some_and(u8::is_ascii_lowercase);
    // Of a template, what follows its arguments is not spelt out.
    let is_whole = matches!(path.get(end), Some(b'E' | b'B'));
    match &ends[..] {
        _ if is_structor || is_const && is_operator => path.get(..end),
        [.., outer, _] if is_const && is_whole => path.get(..*outer),
        _ => None,
    }
}

/// Where the parts of a path end that are spelt out.
fn parts(path: &[u8]) -> impl Iterator<Item = usize> {
    let begin = if path.starts_with(b"St") { 2 } else { 0 };
    let next = |at: &usize| {
        let rest = path.get(*at..)?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let length: usize = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let end = at.checked_add(digits)?.checked_add(length)?;
        (end <= path.len()).then_some(end)
    };
    std::iter::successors(Some(begin), next).skip(1)
}
