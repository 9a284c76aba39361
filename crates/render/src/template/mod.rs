//! Go's `text/template`: text to trees, trees and data to text, with Go's error texts.
//!
//! Invariant: execution ends. Steps, output and the stack are counted, and an endless template is an error that says which bound it
//! met. Not here: other delimiters, comments in the tree, complex numbers, channels and functions as data.

pub mod builtin;
pub mod exec;
pub mod lex;
pub mod method;
pub mod node;
pub mod parse;
mod slot;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

pub use exec::{Frame, execute};
pub use node::{Source, Tree};
pub use slot::{Function, Functions, Slot, Ty, function};

use crate::go::World;

/// Templates by name; those of a `tpl` call lie over those that it was called from.
#[derive(Default)]
pub struct Set {
    parent: Option<Rc<Set>>,
    trees: RefCell<HashMap<String, Rc<Tree>>>,
}

impl Set {
    pub fn over(parent: &Rc<Set>) -> Set {
        Set { parent: Some(parent.clone()), trees: RefCell::default() }
    }

    pub fn find(&self, name: &str) -> Option<Rc<Tree>> {
        let own = self.trees.borrow().get(name).cloned();
        own.or_else(|| self.parent.as_ref()?.find(name))
    }

    /// Adds what a text defined. A template that is empty does not replace one that is not.
    pub fn add(&self, trees: Vec<Rc<Tree>>) {
        for tree in trees {
            if tree.is_empty() && self.find(&tree.name).is_some() {
                continue;
            }
            self.trees.borrow_mut().insert(tree.name.clone(), tree);
        }
    }
}

/// How much one rendering may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes that templates may write, those of `include` and `tpl` counted again.
    pub output: usize,
    /// Nodes that may be walked and functions that may be called.
    pub steps: u64,
    /// Bytes of the lists and maps that functions may make, those that are gone again counted too.
    pub memory: usize,
    /// Bytes of stack.
    pub stack: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { output: 256 << 20, steps: 200_000_000, memory: 512 << 20, stack: STACK - (8 << 20) }
    }
}

/// The stack of the thread that renders. Only what is touched takes memory.
pub const STACK: usize = 128 << 20;

/// What an execution shares with those that it starts.
pub struct Exec<'w> {
    pub world: &'w dyn World,
    pub functions: &'static Functions,
    pub bounds: Bounds,
    /// How a missing key is read: as the zero of the map's type, as Helm has it, or as no value.
    pub missing_is_zero: bool,
    /// How often each template is being included now.
    pub included: RefCell<HashMap<String, usize>>,
    pub steps: Cell<u64>,
    pub written: Cell<usize>,
    pub held: Cell<usize>,
    /// How many `tpl` are around this place.
    pub nested: Cell<usize>,
    stack: usize,
}

impl<'w> Exec<'w> {
    pub fn new(world: &'w dyn World, functions: &'static Functions, bounds: Bounds) -> Exec<'w> {
        Exec {
            world,
            functions,
            bounds,
            missing_is_zero: true,
            included: RefCell::default(),
            steps: Cell::new(0),
            written: Cell::new(0),
            held: Cell::new(0),
            nested: Cell::new(0),
            stack: stack_position(),
        }
    }

    /// Counts work; an error once it is too much.
    pub fn step(&self, count: u64) -> Result<(), String> {
        self.steps.set(self.steps.get() + count);
        if self.steps.get() > self.bounds.steps {
            return Err(format!("the templates need more than {} steps", self.bounds.steps));
        }
        Ok(())
    }

    /// Counts bytes that a template or a function makes.
    pub fn wrote(&self, bytes: usize) -> Result<(), String> {
        self.written.set(self.written.get().saturating_add(bytes));
        if self.written.get() > self.bounds.output {
            return Err(format!("the templates write more than {} bytes", self.bounds.output));
        }
        Ok(())
    }

    /// Counts bytes of lists and maps.
    pub fn hold(&self, bytes: usize) -> Result<(), String> {
        self.held.set(self.held.get().saturating_add(bytes));
        if self.held.get() > self.bounds.memory {
            return Err(format!(
                "the templates make more than {} bytes of lists and maps",
                self.bounds.memory
            ));
        }
        Ok(())
    }

    /// Go's limit is 100000 templates within templates; ours is the stack that they need.
    pub fn depth(&self) -> Result<(), String> {
        if self.stack.abs_diff(stack_position()) > self.bounds.stack {
            return Err("exceeded maximum template depth (100000)".into());
        }
        Ok(())
    }
}

/// About where the stack pointer is.
#[inline(never)]
pub(crate) fn stack_position() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here as usize)
}
