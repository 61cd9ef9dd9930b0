//! The pairs of a session, joined into kinds of resource: what shares a function that takes it back is of
//! one kind, and so is what stands in one shipped set. A kind has one table, so that its functions can be
//! mixed up with each other and that is seen.

use crate::plan::pairs::{Form, Function, Pair, Width};
use crate::stack::names::spoken;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A kind, by its place in [`Kinds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub u16);

/// Things that the same functions take back, by their place in [`Kinds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyId(pub u16);

/// Pairs that belong together: those of a shipped set, or one `--pair` with those that follow it
/// without an arrow.
#[derive(Clone, Debug)]
pub struct Set {
    /// How its kind is called: `heap`. Sets of one label make one kind where they can.
    pub label: String,
    /// Its pairs.
    pub pairs: Vec<Pair>,
}

/// One kind of resource.
#[derive(Clone, Debug)]
pub struct Kind {
    /// How it is called.
    pub label: String,
    /// What its table is like.
    pub shape: Shape,
    /// Numbers such as descriptors, or pointers.
    pub width: Width,
    /// Its functions say how many bytes they hand out.
    pub sized: bool,
}

/// The label of the pairs that the user wrote.
pub const OWN: &str = "own";

impl Kind {
    /// Its things are file descriptors, of which the kernel can be asked.
    pub fn has_descriptors(&self) -> bool {
        self.width == Width::Int && self.label != OWN
    }
}

/// How things of a kind are handed out and taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whole, and once.
    Owned,
    /// As often as they were handed out.
    Counted,
    /// In parts.
    Ranges,
}

/// What a function does to a kind.
#[derive(Debug)]
pub struct Role {
    /// Which kind.
    pub kind: KindId,
    /// What it does.
    pub action: Action,
    /// How its calls are understood.
    pub function: Function,
    /// The symbol.
    pub symbol: Arc<str>,
    /// It as well as its pair, for a reader: `sqlite3_open -> sqlite3_close`.
    pub title: Title,
}

/// What a function is called together with its pair.
#[derive(Clone, Debug)]
pub struct Title {
    /// Equal texts have one.
    pub id: TitleId,
    /// The text.
    pub text: Arc<str>,
}

/// A title, by its place in [`Kinds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TitleId(pub u16);

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hands out.
    Acquire(FamilyId),
    /// Takes back what these families may hold.
    Release,
    /// Takes back the one, hands out the other.
    Replace(FamilyId),
}

/// All kinds, and what functions have to do with them.
#[derive(Debug, Default)]
pub struct Kinds {
    kinds: Vec<Kind>,
    /// The functions that may take back what is of the family.
    families: Vec<Vec<Arc<str>>>,
    roles: FxHashMap<String, Vec<Arc<Role>>>,
    titles: Vec<Arc<str>>,
}

/// A realloc-like pair with nothing before it whose things it could replace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no pair stands before this one, so what it replaces is not known: {0}")]
pub struct NothingToReplace(String);

impl Kinds {
    /// Joins the pairs of all sets.
    pub fn new(sets: &[Set]) -> Result<Kinds, NothingToReplace> {
        let mut kinds = Kinds::default();
        for set in sets {
            // What a realloc-like pair replaces: the kind and family of the pair before it.
            let mut before = None;
            for pair in &set.pairs {
                match (pair.form, before) {
                    (Form::Replace, None) => return Err(NothingToReplace(pair.text.clone())),
                    (Form::Replace, Some((kind, family))) => {
                        kinds.add_replacing(pair, kind, family)
                    }
                    (Form::Owned | Form::Counted, _) => before = Some(kinds.add(pair, &set.label)),
                }
            }
        }
        Ok(kinds)
    }

    /// What the function has to do with any kind.
    pub fn roles(&self, symbol: &str) -> &[Arc<Role>] {
        self.roles.get(symbol).map_or(&[], Vec::as_slice)
    }

    /// A kind.
    pub fn kind(&self, id: KindId) -> Option<&Kind> {
        self.kinds.get(usize::from(id.0))
    }

    /// All kinds.
    pub fn all(&self) -> impl Iterator<Item = (KindId, &Kind)> {
        (0..).map(KindId).zip(&self.kinds)
    }

    /// Every function of every pair.
    pub fn symbols(&self) -> impl Iterator<Item = (&str, &[Arc<Role>])> {
        self.roles
            .iter()
            .map(|(name, roles)| (name.as_str(), roles.as_slice()))
    }

    /// Whether the function may take back what is of the family.
    pub fn may_release(&self, family: FamilyId, symbol: &str) -> bool {
        self.takers(family).iter().any(|taker| **taker == *symbol)
    }

    /// Whether what is of the one family may be replaced as the other's is.
    pub fn may_replace(&self, held: FamilyId, replaced: FamilyId) -> bool {
        let theirs = self.takers(replaced);
        held == replaced || self.takers(held).iter().any(|taker| theirs.contains(taker))
    }

    fn takers(&self, family: FamilyId) -> &[Arc<str>] {
        self.families
            .get(usize::from(family.0))
            .map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, pair: &Pair, label: &str) -> (KindId, FamilyId) {
        let kind = self.kind_of(pair, label);
        let family = self.family_of(pair, kind);
        let takers = pair.releases.iter().flat_map(|release| &release.names);
        let first = takers.clone().next().map_or("", String::as_str);
        if let Some(known) = self.families.get_mut(usize::from(family.0)) {
            for taker in takers {
                if !known.iter().any(|name| **name == **taker) {
                    known.push(taker.as_str().into());
                }
            }
        }
        for name in &pair.acquire.names {
            let title = format!("{} -> {}", spoken(name), spoken(first));
            self.add_role(name, kind, Action::Acquire(family), &pair.acquire, &title);
        }
        for release in &pair.releases {
            for name in &release.names {
                let title = format!("-> {}", spoken(name));
                self.add_role(name, kind, Action::Release, release, &title);
            }
        }
        (kind, family)
    }

    fn add_replacing(&mut self, pair: &Pair, kind: KindId, family: FamilyId) {
        let first = self
            .takers(family)
            .first()
            .cloned()
            .unwrap_or_else(|| "".into());
        for name in &pair.acquire.names {
            let title = format!("{} -> {}", spoken(name), spoken(&first));
            self.add_role(name, kind, Action::Replace(family), &pair.acquire, &title);
        }
    }

    /// The kind whose things one of these functions takes back, or one of this label that is alike.
    fn kind_of(&mut self, pair: &Pair, label: &str) -> KindId {
        let shape = match pair.form {
            Form::Counted => Shape::Counted,
            _ if pair.is_of_ranges() => Shape::Ranges,
            _ => Shape::Owned,
        };
        let width = pair.key_width();
        let sized = !pair.acquire.sizes.is_empty();
        let takers = pair.releases.iter().flat_map(|release| &release.names);
        let shared = takers
            .filter_map(|name| self.roles.get(name))
            .flatten()
            .find(|role| role.action == Action::Release && self.is_like(role.kind, shape, width));
        let known = shared.map(|role| role.kind).or_else(|| {
            let same = |(id, kind): &(KindId, &Kind)| {
                kind.label == label && self.is_like(*id, shape, width)
            };
            self.all().find(same).map(|(id, _)| id)
        });
        if let Some(known) = known {
            if let Some(kind) = self.kinds.get_mut(usize::from(known.0)) {
                kind.sized |= sized;
            }
            return known;
        }
        self.kinds.push(Kind {
            label: label.to_owned(),
            shape,
            width,
            sized,
        });
        KindId((self.kinds.len() - 1) as u16)
    }

    fn is_like(&self, id: KindId, shape: Shape, width: Width) -> bool {
        self.kind(id)
            .is_some_and(|kind| kind.shape == shape && kind.width == width)
    }

    /// The family that an acquiring function of the pair already has in this kind, or a new one.
    fn family_of(&mut self, pair: &Pair, kind: KindId) -> FamilyId {
        let roles = pair
            .acquire
            .names
            .iter()
            .filter_map(|name| self.roles.get(name))
            .flatten();
        let known = roles
            .filter(|role| role.kind == kind)
            .find_map(|role| match role.action {
                Action::Acquire(family) => Some(family),
                _ => None,
            });
        known.unwrap_or_else(|| {
            self.families.push(Vec::new());
            FamilyId((self.families.len() - 1) as u16)
        })
    }

    /// Said twice, a function keeps its first signature.
    fn add_role(
        &mut self,
        name: &str,
        kind: KindId,
        action: Action,
        function: &Function,
        title: &str,
    ) {
        let title = self.title(title);
        let roles = self.roles.entry(name.to_owned()).or_default();
        if roles
            .iter()
            .any(|role| role.kind == kind && role.action == action)
        {
            return;
        }
        roles.push(Arc::new(Role {
            kind,
            action,
            function: function.clone(),
            symbol: name.into(),
            title,
        }));
    }

    fn title(&mut self, text: &str) -> Title {
        let known = self.titles.iter().position(|title| **title == *text);
        let place = known.unwrap_or_else(|| {
            self.titles.push(text.into());
            self.titles.len() - 1
        });
        Title {
            id: TitleId(place as u16),
            text: self.titles[place].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::pairs;

    fn set(label: &str, specs: &[&str]) -> Set {
        let pairs = specs.iter().map(|spec| Pair::parse(spec).expect("a spec"));
        Set {
            label: label.to_owned(),
            pairs: pairs.collect(),
        }
    }

    fn shipped(name: &str) -> Set {
        let label = pairs::label(name).to_owned();
        Set {
            label,
            pairs: pairs::named(name).expect("a set"),
        }
    }

    /// `label shape: function…` for each kind, with `+` for what acquires, `-` for what releases.
    #[track_caller]
    fn check(sets: &[Set], expected: &[&str]) {
        let kinds = Kinds::new(sets).expect("kinds");
        let told = kinds.all().map(|(id, kind)| {
            let mut names: Vec<String> = Vec::new();
            for (name, roles) in kinds.symbols() {
                for role in roles.iter().filter(|role| role.kind == id) {
                    names.push(match role.action {
                        Action::Acquire(family) => format!("+{}{name}", family.0),
                        Action::Release => format!("-{name}"),
                        Action::Replace(family) => format!("={}{name}", family.0),
                    });
                }
            }
            names.sort();
            format!("{} {:?}: {}", kind.label, kind.shape, names.join(" "))
        });
        assert_eq!(told.collect::<Vec<String>>(), expected);
    }

    #[test]
    fn kinds_and_families() {
        check(
            &[
                set(
                    "heap",
                    &["malloc(size) = p -> free(p)", "realloc(old, size) = new"],
                ),
                set("my", &["MyAlloc = p -> free,MyFree(p)"]),
                set(
                    "fd",
                    &[
                        "open = fd>=0 -> close(fd) | fdopen(fd)",
                        "dup2(_, int old) = int new>=0",
                    ],
                ),
                set(
                    "socket",
                    &[
                        "socket = fd>=0 -> close(fd)",
                        "getaddrinfo(out l) -> freeaddrinfo(l)",
                    ],
                ),
                set("ref", &["ref(p) +-> unref(p)"]),
                set(
                    "file",
                    &["fopen,fdopen = p -> fclose(p)", "popen = p -> pclose(p)"],
                ),
            ],
            &[
                "heap Owned: +0malloc +1MyAlloc -MyFree -free =0realloc",
                "fd Owned: +2open +3socket -close -fdopen =2dup2",
                "socket Owned: +4getaddrinfo -freeaddrinfo",
                "ref Counted: +5ref -unref",
                "file Owned: +6fdopen +6fopen +7popen -fclose -pclose",
            ],
        );
    }

    #[test]
    fn a_function_that_is_named_twice() {
        check(
            &[
                set("a", &["socket = fd>=0 -> close(fd)"]),
                set("b", &["socket,accept = fd>=0 -> close,shut(fd)"]),
            ],
            &["a Owned: +0accept +0socket -close -shut"],
        );
    }

    #[test]
    fn who_may_release_what() {
        let kinds = Kinds::new(&[shipped("heap"), shipped("new")]).expect("kinds");
        assert_eq!(kinds.all().count(), 1, "the C++ heap is the C heap");
        let family = |symbol| match kinds.roles(symbol) {
            [role] => match role.action {
                Action::Acquire(family) | Action::Replace(family) => family,
                Action::Release => panic!("{symbol} releases"),
            },
            roles => panic!("{symbol}: {roles:?}"),
        };
        let check = |acquire, release, expected| {
            assert_eq!(
                kinds.may_release(family(acquire), release),
                expected,
                "{acquire} {release}"
            );
        };
        check("malloc", "free", true);
        check("calloc", "free", true);
        check("posix_memalign", "free", true);
        check("malloc", "_ZdlPv", false);
        check("_Znwm", "free", false);
        check("_Znwm", "_ZdlPvm", true);
        check("_Znwm", "_ZdaPv", false);
        check("_Znam", "_ZdaPvm", true);
        assert!(kinds.may_replace(family("malloc"), family("realloc")));
        assert!(!kinds.may_replace(family("_Znwm"), family("realloc")));
    }

    #[test]
    fn all_shipped_sets_together() {
        let sets: Vec<Set> = pairs::known().map(shipped).collect();
        let kinds = Kinds::new(&sets).expect("kinds");
        let labels: Vec<&str> = kinds.all().map(|(_, kind)| kind.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "heap", "fd", "file", "dir", "sqlite", "dl", "thread", "mmap", "socket"
            ]
        );
    }

    #[test]
    fn nothing_to_replace() {
        let error = Kinds::new(&[set("x", &["reopen(_, _, old) = new"])]).expect_err("an error");
        assert_eq!(
            error.to_string(),
            "no pair stands before this one, so what it replaces is not known: reopen(_, _, old) = new"
        );
    }
}
