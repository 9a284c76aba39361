//! A set of field paths, as a tree: each node says whether its own path is a member, and holds what is below it.
//!
//! Invariant: nodes are sorted and distinct, and none is both no member and without children.

use super::Element;
use crate::schema::{ListType, Schema, Shape};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub(super) nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) element: Element,
    pub(super) member: bool,
    pub(super) children: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    pub const fn new() -> Set {
        Set { nodes: Vec::new() }
    }

    /// A set of paths of plain field names.
    pub fn of_fields(paths: &[&[&str]]) -> Set {
        let mut set = Set::new();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::Field((*name).into())).collect();
            set.insert(&path);
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    pub(super) fn node(&self, element: &Element) -> Option<&Node> {
        self.find(element).ok().map(|at| &self.nodes[at])
    }

    /// The path is a member; the empty path never is.
    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.node(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.node(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    /// Adds a path; the empty one is ignored, for nobody owns an object as such.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = match self.find(first) {
            Ok(at) => at,
            Err(at) => {
                let node = Node { element: first.clone(), member: false, children: Set::new() };
                self.nodes.insert(at, node);
                at
            }
        };
        if rest.is_empty() {
            self.nodes[at].member = true;
        } else {
            self.nodes[at].children.insert(rest);
        }
    }

    /// Nodes in any order, an element at most once; empty ones are dropped.
    pub(super) fn from_nodes(mut nodes: Vec<Node>) -> Set {
        nodes.retain(|node| !node.is_empty());
        if !nodes.is_sorted_by(|left, right| left.element < right.element) {
            nodes.sort_unstable_by(|left, right| left.element.cmp(&right.element));
        }
        Set { nodes }
    }

    pub fn union(&self, other: &Set) -> Set {
        let mut nodes = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(left), Some(right)) => left.element.cmp(&right.element),
            };
            match order {
                std::cmp::Ordering::Less => nodes.extend(left.next().cloned()),
                std::cmp::Ordering::Greater => nodes.extend(right.next().cloned()),
                std::cmp::Ordering::Equal => {
                    if let (Some(left), Some(right)) = (left.next(), right.next()) {
                        nodes.push(Node {
                            element: left.element.clone(),
                            member: left.member || right.member,
                            children: left.children.union(&right.children),
                        });
                    }
                }
            }
        }
        Set { nodes }
    }

    /// Keeps what `with` gives for each node and its counterpart in `other`.
    fn filter(&self, other: &Set, with: impl Fn(&Node, Option<&Node>) -> Option<Node>) -> Set {
        let mut right = other.nodes.iter().peekable();
        let nodes = self.nodes.iter().filter_map(|node| {
            while right.next_if(|other| other.element < node.element).is_some() {}
            let same = right.peek().filter(|other| other.element == node.element);
            with(node, same.copied()).filter(|node| !node.is_empty())
        });
        Set { nodes: nodes.collect() }
    }

    pub fn intersection(&self, other: &Set) -> Set {
        self.filter(other, |node, other| {
            let other = other?;
            Some(Node {
                element: node.element.clone(),
                member: node.member && other.member,
                children: node.children.intersection(&other.children),
            })
        })
    }

    /// Members of this set that are no members of the other; a parent does not take its children away.
    pub fn difference(&self, other: &Set) -> Set {
        self.filter(other, |node, other| match other {
            None => Some(node.clone()),
            Some(other) => Some(Node {
                element: node.element.clone(),
                member: node.member && !other.member,
                children: node.children.difference(&other.children),
            }),
        })
    }

    /// Like [`Set::difference`], but a member of the other set takes everything below it away too.
    pub fn recursive_difference(&self, other: &Set) -> Set {
        self.filter(other, |node, other| match other {
            None => Some(node.clone()),
            Some(other) if other.member => None,
            Some(other) => Some(Node {
                element: node.element.clone(),
                member: node.member,
                children: node.children.recursive_difference(&other.children),
            }),
        })
    }

    /// Makes members of the named fields that have children: a set of `a.b.c` then owns `a` too, if `a` is a field of a
    /// struct, but not a free key of a map.
    pub(super) fn with_named_parents(&self, schema: Schema<'_>) -> Set {
        let nodes = self.nodes.iter().map(|node| {
            if node.children.is_empty() {
                return node.clone();
            }
            let named = matches!(&node.element, Element::Field(name) if schema.names(name));
            Node {
                element: node.element.clone(),
                member: node.member || named,
                children: node.children.with_named_parents(descend(schema, &node.element)),
            }
        });
        Set { nodes: nodes.collect() }
    }

    /// Where the schema has become atomic since the set was written, the parts become the whole; `None`: nothing to do.
    pub(super) fn reconciled(&self, schema: Schema<'_>) -> Option<Set> {
        let mut changed = false;
        let nodes = self.nodes.iter().map(|node| {
            if node.children.is_empty() {
                return node.clone();
            }
            let inner = descend(schema, &node.element);
            let atomic =
                matches!(inner.shape(), Shape::Object { atomic: true } | Shape::List(ListType::Atomic));
            if atomic {
                changed = true;
                return Node { element: node.element.clone(), member: true, children: Set::new() };
            }
            match node.children.reconciled(inner) {
                None => node.clone(),
                Some(children) => {
                    changed = true;
                    Node { element: node.element.clone(), member: node.member, children }
                }
            }
        });
        let set = Set { nodes: nodes.collect() };
        changed.then_some(set)
    }

    /// All members, parents before children.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, here: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        // Upstream names all members of a level before it descends.
        for node in self.nodes.iter().filter(|node| node.member) {
            here.push(node.element.clone());
            paths.push(here.clone());
            here.pop();
        }
        for node in &self.nodes {
            here.push(node.element.clone());
            node.children.collect(here, paths);
            here.pop();
        }
    }
}

/// The schema below an element of a path.
pub(super) fn descend<'a>(schema: Schema<'a>, element: &Element) -> Schema<'a> {
    match element {
        Element::Field(name) => schema.child(name).unwrap_or(Schema::Free),
        _ => schema.item(),
    }
}
