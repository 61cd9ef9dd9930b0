//! Puts what cannot be reached into groups: a leader, or a cycle of them, that no other lost block points to,
//! and everything that only it keeps.

use crate::leak::reach::index::{Block, Node};
use crate::leak::reach::mark::{Marks, Reached};
use crate::leak::reach::scan::{Pointer, Pointers};
use std::collections::{HashMap, HashSet, VecDeque};

/// Lost blocks that hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The block without pointers to it; of a cycle the one with the lowest address.
    pub leader: Node,
    /// The blocks of the cycle, in its order, if it is one. What a block says of itself makes none.
    pub cycle: Vec<Node>,
    /// The blocks of the cycle that are not on its shortest way round, but as much leaders.
    pub others: Vec<Node>,
    /// What hangs on them.
    pub members: Vec<Node>,
}

const UNSEEN: u32 = u32::MAX;

/// All groups, by their leader's address. What hangs together is found by all pointers; within that, those
/// to starts decide who leads: a map's nodes all point into their map, but they do not own it. What was
/// handed out before the attach is told nowhere, and so leads nothing: those whom it keeps lead themselves.
pub fn groups(pointers: &Pointers, marks: &Marks, all: &[Block]) -> Vec<Group> {
    let blocks = all.len();
    let (lost, is_lost) = told(pointers, marks, all);
    let is_lost = |node: Node| is_lost.get(node as usize).is_some_and(|is_lost| *is_lost);
    let whole = Components::new(pointers, &lost, blocks, &|_, pointer| is_lost(pointer.to));
    let owns = |from: Node, pointer: Pointer| {
        pointer.is_start && is_lost(pointer.to) && whole.of(from) == whole.of(pointer.to)
    };
    let parts = Components::new(pointers, &lost, blocks, &owns);
    let is_led = whole.led(pointers, &lost, &|_, pointer| is_lost(pointer.to));
    let is_owned = parts.led(pointers, &lost, &owns);
    let leads = |node: &Node| {
        !is_led.get(whole.of(*node) as usize).is_some_and(|led| *led)
            && !is_owned
                .get(parts.of(*node) as usize)
                .is_some_and(|owned| *owned)
    };
    let mut taken = vec![false; blocks];
    let mut groups: Vec<Group> = Vec::new();
    let mut of_component = vec![UNSEEN; whole.count as usize];
    for &node in lost.iter().filter(|node| leads(node)) {
        if let Some(is_taken) = taken.get_mut(node as usize) {
            *is_taken = true;
        }
        let Some(own) = of_component.get_mut(whole.of(node) as usize) else {
            continue;
        };
        match groups.get_mut(*own as usize) {
            Some(group) => group.others.push(node),
            None => {
                *own = groups.len() as u32;
                groups.push(Group {
                    leader: node,
                    cycle: Vec::new(),
                    others: Vec::new(),
                    members: Vec::new(),
                });
            }
        }
    }
    for group in &mut groups {
        group.members = members(group, pointers, &whole, &mut taken);
        group.cycle = cycle(group, pointers);
        let in_cycle: HashSet<Node> = group.cycle.iter().copied().collect();
        group.others.retain(|node| !in_cycle.contains(node));
    }
    groups
}

/// The lost blocks that some group is to have, in order and by their numbers: those of known sites, and all
/// they lead to.
fn told(pointers: &Pointers, marks: &Marks, all: &[Block]) -> (Vec<Node>, Vec<bool>) {
    let is_known = |(node, block): (Node, &Block)| {
        (block.site.is_some() && marks.reached(node) == Reached::Never).then_some(node)
    };
    let mut queue: Vec<Node> = (0..).zip(all).filter_map(is_known).collect();
    let mut is_told = vec![false; all.len()];
    for &node in &queue {
        if let Some(is_told) = is_told.get_mut(node as usize) {
            *is_told = true;
        }
    }
    let mut at = 0;
    while let Some(&node) = queue.get(at) {
        at += 1;
        for pointer in pointers.of(node) {
            if marks.reached(pointer.to) == Reached::Never
                && let Some(is_told @ false) = is_told.get_mut(pointer.to as usize)
            {
                *is_told = true;
                queue.push(pointer.to);
            }
        }
    }
    queue.sort_unstable();
    (queue, is_told)
}

/// Which pointers count.
type Counts<'c> = dyn Fn(Node, Pointer) -> bool + 'c;

/// What the leaders lead to, and no leader before them.
fn members(
    group: &Group,
    pointers: &Pointers,
    components: &Components,
    taken: &mut [bool],
) -> Vec<Node> {
    let mut queue: Vec<Node> = std::iter::once(group.leader)
        .chain(group.others.iter().copied())
        .collect();
    let leaders = queue.len();
    let mut at = 0;
    while let Some(&node) = queue.get(at) {
        at += 1;
        for pointer in pointers
            .of(node)
            .filter(|pointer| components.of(pointer.to) != UNSEEN)
        {
            if let Some(is_taken @ false) = taken.get_mut(pointer.to as usize) {
                *is_taken = true;
                queue.push(pointer.to);
            }
        }
    }
    queue.split_off(leaders)
}

/// The shortest way from the leader back to it.
fn cycle(group: &Group, pointers: &Pointers) -> Vec<Node> {
    let is_leader = |node: Node| node == group.leader || group.others.binary_search(&node).is_ok();
    let mut before = HashMap::new();
    let mut queue = VecDeque::from([group.leader]);
    while let Some(node) = queue.pop_front() {
        for pointer in pointers.of(node).filter(|pointer| is_leader(pointer.to)) {
            if pointer.to == node {
                continue;
            }
            if pointer.to == group.leader {
                let mut way = vec![node];
                let mut last = node;
                while let Some(&previous) = before.get(&last) {
                    way.push(previous);
                    last = previous;
                }
                way.reverse();
                return way;
            }
            before.entry(pointer.to).or_insert_with(|| {
                queue.push_back(pointer.to);
                node
            });
        }
    }
    Vec::new()
}

/// Strongly connected components of the lost blocks (Tarjan, without recursion).
struct Components {
    of: Vec<u32>,
    count: u32,
}

impl Components {
    fn of(&self, node: Node) -> u32 {
        self.of.get(node as usize).copied().unwrap_or(UNSEEN)
    }

    fn new(pointers: &Pointers, lost: &[Node], blocks: usize, counts: &Counts<'_>) -> Components {
        let mut found = Components {
            of: vec![UNSEEN; blocks],
            count: 0,
        };
        let mut search = Search {
            order: vec![UNSEEN; blocks],
            low: vec![UNSEEN; blocks],
            next: 0,
            stack: Vec::new(),
        };
        for &start in lost {
            if search.number(start) == UNSEEN {
                search.from(start, pointers, counts, &mut found);
            }
        }
        found
    }

    /// Which components another one points to.
    fn led(&self, pointers: &Pointers, lost: &[Node], counts: &Counts<'_>) -> Vec<bool> {
        let mut is_led = vec![false; self.count as usize];
        for &node in lost {
            let own = self.of(node);
            for pointer in pointers.of(node).filter(|&pointer| counts(node, pointer)) {
                let other = self.of(pointer.to);
                if other != own
                    && let Some(is_led) = is_led.get_mut(other as usize)
                {
                    *is_led = true;
                }
            }
        }
        is_led
    }
}

struct Search {
    order: Vec<u32>,
    low: Vec<u32>,
    next: u32,
    stack: Vec<Node>,
}

impl Search {
    fn number(&self, node: Node) -> u32 {
        self.order.get(node as usize).copied().unwrap_or(0)
    }

    fn enter(&mut self, node: Node) {
        for numbers in [&mut self.order, &mut self.low] {
            if let Some(number) = numbers.get_mut(node as usize) {
                *number = self.next;
            }
        }
        self.next += 1;
        self.stack.push(node);
    }

    fn lower(&mut self, node: Node, to: u32) {
        if let Some(low) = self.low.get_mut(node as usize) {
            *low = (*low).min(to);
        }
    }

    fn from(
        &mut self,
        start: Node,
        pointers: &Pointers,
        counts: &Counts<'_>,
        found: &mut Components,
    ) {
        self.enter(start);
        let mut path = vec![(start, pointers.of(start))];
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            match rest.next() {
                Some(pointer) if !counts(node, pointer) => {}
                Some(pointer) if self.number(pointer.to) == UNSEEN => {
                    self.enter(pointer.to);
                    path.push((pointer.to, pointers.of(pointer.to)));
                }
                // It is on the stack as long as it belongs to no component.
                Some(pointer) if found.of(pointer.to) == UNSEEN => {
                    let number = self.number(pointer.to);
                    self.lower(node, number);
                }
                Some(_) => {}
                None => {
                    path.pop();
                    let low = self.low.get(node as usize).copied().unwrap_or(0);
                    if let Some((parent, _)) = path.last() {
                        self.lower(*parent, low);
                    }
                    if low == self.number(node) {
                        self.complete(node, found);
                    }
                }
            }
        }
    }

    fn complete(&mut self, root: Node, found: &mut Components) {
        while let Some(node) = self.stack.pop() {
            if let Some(component) = found.of.get_mut(node as usize) {
                *component = found.count;
            }
            if node == root {
                break;
            }
        }
        found.count += 1;
    }
}
