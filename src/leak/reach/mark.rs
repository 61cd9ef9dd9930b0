//! Follows pointers from the roots: what is reached, what only a pointer to its inside reaches, and by
//! whom it is held.

use crate::leak::reach::index::Node;
use crate::leak::reach::scan::{Place, Pointer, Pointers};

/// How a block was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Not at all.
    Never,
    /// Only by way of a pointer to the inside of a block.
    Inside,
    /// By pointers to starts.
    Start,
}

/// What holds a block: what led to it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nothing.
    None,
    /// Another block.
    Block(Node),
    /// A place outside of all blocks.
    Root(Place),
}

/// What following all pointers found.
pub struct Marks {
    reached: Vec<Reached>,
    holders: Vec<u32>,
    places: Vec<Place>,
}

const NO_HOLDER: u32 = u32::MAX;
/// The holder is a place outside.
const OUTSIDE: u32 = 1 << 31;

impl Marks {
    /// Follows all pointers. Data comes before stacks, so that a lasting holder is told and not a
    /// passing one.
    pub fn new(pointers: &Pointers, blocks: usize) -> Marks {
        let mut marks = Marks {
            reached: vec![Reached::Never; blocks],
            holders: vec![NO_HOLDER; blocks],
            places: Vec::new(),
        };
        let mut queue = Vec::new();
        for (reached, starts_only) in [(Reached::Start, true), (Reached::Inside, false)] {
            let mut at = 0;
            let roots = pointers
                .roots
                .iter()
                .filter(|root| root.pointer.is_start || !starts_only);
            let mut roots = roots.peekable();
            // Data first, and all it leads to.
            while let Some(root) = roots.next() {
                marks.root(root.place, root.pointer, reached, &mut queue);
                let is_last_data = matches!(root.place, Place::Data(_) | Place::Itself)
                    && roots.peek().is_none_or(|next| {
                        matches!(next.place, Place::Stack(..) | Place::Register(_))
                    });
                if is_last_data {
                    marks.follow(pointers, &mut queue, &mut at, reached);
                }
            }
            if !starts_only {
                marks.insides(pointers, &mut queue);
            }
            marks.follow(pointers, &mut queue, &mut at, reached);
            queue.clear();
        }
        marks
    }

    /// How a block was reached.
    pub fn reached(&self, node: Node) -> Reached {
        self.reached
            .get(node as usize)
            .copied()
            .unwrap_or(Reached::Never)
    }

    /// Who holds it.
    pub fn holder(&self, node: Node) -> Holder {
        match self
            .holders
            .get(node as usize)
            .copied()
            .unwrap_or(NO_HOLDER)
        {
            NO_HOLDER => Holder::None,
            system if system & OUTSIDE != 0 => {
                let place = self.places.get((system & !OUTSIDE) as usize);
                place.map_or(Holder::None, |place| Holder::Root(*place))
            }
            block => Holder::Block(block),
        }
    }

    fn root(&mut self, place: Place, pointer: Pointer, reached: Reached, queue: &mut Vec<Node>) {
        let holder = OUTSIDE | self.places.len() as u32;
        if self.mark(pointer.to, reached, holder, queue) {
            self.places.push(place);
        }
    }

    fn mark(&mut self, node: Node, reached: Reached, holder: u32, queue: &mut Vec<Node>) -> bool {
        match self.reached.get_mut(node as usize) {
            Some(mark @ Reached::Never) => *mark = reached,
            _ => return false,
        }
        if let Some(known) = self.holders.get_mut(node as usize) {
            *known = holder;
        }
        queue.push(node);
        true
    }

    /// What the blocks that were reached point into.
    fn insides(&mut self, pointers: &Pointers, queue: &mut Vec<Node>) {
        for node in 0..self.reached.len() as Node {
            if self.reached(node) == Reached::Start {
                for pointer in pointers.of(node).filter(|pointer| !pointer.is_start) {
                    self.mark(pointer.to, Reached::Inside, node, queue);
                }
            }
        }
    }

    fn follow(
        &mut self,
        pointers: &Pointers,
        queue: &mut Vec<Node>,
        at: &mut usize,
        reached: Reached,
    ) {
        while let Some(&node) = queue.get(*at) {
            *at += 1;
            for pointer in pointers.of(node) {
                if pointer.is_start || reached == Reached::Inside {
                    self.mark(pointer.to, reached, node, queue);
                }
            }
        }
    }
}
