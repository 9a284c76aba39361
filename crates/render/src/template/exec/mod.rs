//! Walks a tree over data. The order in which nodes are marked is Go's, because errors name the node that was marked last.
//! `eval` finds values, `call` gives them to functions.

mod call;
mod eval;

use std::rc::Rc;

use super::node::{At, Branch, Command, Kind, Node, Number, Pipe, Tree};
use super::slot::{Body, Function, Slot, Ty};
use super::{Exec, Set, method};
use crate::go::value::{ListType, MapType};
use crate::go::{Value, print, quote, walk};

/// What a function can reach: the execution and the templates around its call.
pub struct Frame<'e, 'w> {
    pub exec: &'e Exec<'w>,
    pub set: &'e Rc<Set>,
}

/// Executes a template; the error is `template: …: executing …`.
pub fn execute(exec: &Exec<'_>, set: &Rc<Set>, tree: &Tree, data: Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let dot = Slot::of(data);
    let mut state =
        State { frame: Frame { exec, set }, tree, at: None, vars: vec![("$", dot.clone())], out: &mut out };
    exec.depth().or_else(|error| state.fault(error))?;
    state.list(&dot, &tree.root)?;
    Ok(out)
}

struct State<'t, 'e, 'w> {
    frame: Frame<'e, 'w>,
    tree: &'t Tree,
    at: Option<At<'t>>,
    vars: Vec<(&'t str, Slot)>,
    out: &'t mut Vec<u8>,
}

/// Why a list ended before its end.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Done<T> = Result<T, String>;

impl<'t> State<'t, '_, '_> {
    fn fault<T>(&self, text: impl std::fmt::Display) -> Done<T> {
        let name = &self.tree.name;
        Err(match &self.at {
            None => format!("template: {name}: {text}"),
            Some(at) => format!(
                "template: {}: executing {} at <{at}>: {text}",
                self.tree.source.location(at.pos()),
                quote::quote(name.as_bytes()),
            ),
        })
    }

    fn mark(&mut self, node: &'t Node) {
        self.at = Some(At::Node(node));
    }

    fn set_var(&mut self, name: &str, value: Slot) -> Done<()> {
        match self.vars.iter_mut().rev().find(|(own, _)| *own == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => self.fault(format!("undefined variable: {name}")),
        }
    }

    fn list(&mut self, dot: &Slot, nodes: &'t [Node]) -> Done<Flow> {
        for node in nodes {
            match self.walk(dot, node)? {
                Flow::On => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    fn write(&mut self, bytes: &[u8]) -> Done<()> {
        self.frame.exec.wrote(bytes.len()).or_else(|error| self.fault(error))?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn walk(&mut self, dot: &Slot, node: &'t Node) -> Done<Flow> {
        self.mark(node);
        self.frame.exec.step(1).or_else(|error| self.fault(error))?;
        match &node.kind {
            Kind::Text(text) => self.write(text.bytes())?,
            Kind::Action(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.decl.is_empty() {
                    self.mark(node);
                    self.print(value)?;
                }
            }
            Kind::If(branch) => return self.branch(dot, branch, false),
            Kind::With(branch) => return self.branch(dot, branch, true),
            Kind::Range(branch) => return self.range(dot, node, branch),
            Kind::Template(name, pipe) => self.template(dot, node, name, pipe.as_deref())?,
            Kind::Break => return Ok(Flow::Break),
            Kind::Continue => return Ok(Flow::Continue),
            _ => return self.fault(format!("unknown node: {node}")),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: Slot) -> Done<()> {
        match value.value {
            None => self.write(b"<no value>"),
            Some(Value::Str(text)) => self.write(text.bytes()),
            Some(Value::Struct(object)) => match method::stringer(&object) {
                Some(text) => self.write(text.as_bytes()),
                None => {
                    // A pointer is followed before it is printed.
                    let mut out = Vec::new();
                    print::print(&Value::Struct(object.clone()), &mut out);
                    let skip = usize::from(object.pointer);
                    self.write(&out[skip..])
                }
            },
            Some(value) => {
                let mut out = Vec::new();
                print::print(&value, &mut out);
                walk::taken().or_else(|error| self.fault(error))?;
                self.write(&out)
            }
        }
    }

    fn branch(&mut self, dot: &Slot, branch: &'t Branch, with: bool) -> Done<Flow> {
        let vars = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.truth() {
            self.list(if with { &value } else { dot }, &branch.list)?
        } else if let Some(otherwise) = &branch.otherwise {
            self.list(dot, otherwise)?
        } else {
            Flow::On
        };
        self.vars.truncate(vars);
        Ok(flow)
    }

    fn range(&mut self, dot: &Slot, node: &'t Node, branch: &'t Branch) -> Done<Flow> {
        self.mark(node);
        let outer = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let mark = self.vars.len();
        let decl = &branch.pipe.decl;
        let done = |state: &mut Self, flow: Done<Flow>| {
            state.vars.truncate(outer);
            flow.map(|flow| if flow == Flow::Continue { Flow::On } else { flow })
        };
        let mut ran = false;
        let mut each = |state: &mut Self, index: Slot, element: Slot| -> Done<bool> {
            ran = true;
            state.frame.exec.step(1).or_else(|error| state.fault(error))?;
            if let Some(first) = decl.first() {
                let name = variable(first);
                if !branch.pipe.assign {
                    let top = state.vars.len() - 1;
                    state.vars[top].1 = element.clone();
                } else if decl.len() > 1 {
                    state.set_var(name, index.clone())?;
                } else {
                    state.set_var(name, element.clone())?;
                }
            }
            if let Some(second) = decl.get(1) {
                if branch.pipe.assign {
                    state.set_var(variable(second), element.clone())?;
                } else {
                    let next = state.vars.len() - 2;
                    state.vars[next].1 = index;
                }
            }
            let flow = state.list(&element, &branch.list)?;
            state.vars.truncate(mark);
            Ok(flow != Flow::Break)
        };
        match &value.value {
            None | Some(Value::Nil) => {}
            Some(Value::Int(_) | Value::Int64(_) | Value::Sized(..)) => {
                if decl.len() > 1 {
                    let shown = print::display(&value.clone().into_value());
                    return self.fault(format!("can't use {shown} to iterate over more than one variable"));
                }
                let count = value.value.as_ref().and_then(Value::as_int).unwrap_or(0);
                for number in 0..count {
                    let element = match &value.value {
                        Some(Value::Int64(_)) => Value::Int64(number),
                        Some(Value::Sized(kind, _)) => Value::Sized(*kind, number),
                        _ => Value::Int(number),
                    };
                    if !each(self, Slot::INVALID, Slot::of(element))? {
                        return done(self, Ok(Flow::On));
                    }
                }
            }
            Some(Value::Map(map)) => {
                let any = matches!(map.ty(), MapType::Any | MapType::Values);
                for (key, value) in map.entries() {
                    let element = if any { Slot::interface(value) } else { Slot::of(value) };
                    if !each(self, Slot::of(Value::Str(key)), element)? {
                        return done(self, Ok(Flow::On));
                    }
                }
            }
            Some(list @ (Value::List(_) | Value::Bytes(_))) => {
                let any = matches!(list, Value::List(list) if list.ty == ListType::Any);
                for (at, value) in list.elements().unwrap_or_default().iter().enumerate() {
                    let value = value.clone();
                    let element = if any { Slot::interface(value) } else { Slot::of(value) };
                    if !each(self, Slot::of(Value::Int(at as i64)), element)? {
                        return done(self, Ok(Flow::On));
                    }
                }
            }
            Some(other) => {
                let shown = print::display(other);
                return self.fault(format!("range can't iterate over {shown}"));
            }
        }
        if ran {
            return done(self, Ok(Flow::On));
        }
        let flow = match &branch.otherwise {
            Some(otherwise) => self.list(dot, otherwise),
            None => Ok(Flow::On),
        };
        self.vars.truncate(outer);
        flow
    }

    fn template(&mut self, dot: &Slot, node: &'t Node, name: &str, pipe: Option<&'t Pipe>) -> Done<()> {
        self.mark(node);
        let Some(tree) = self.frame.set.find(name) else {
            return self.fault(format!("template {} not defined", quote::quote(name.as_bytes())));
        };
        self.frame.exec.depth().or_else(|error| self.fault(error))?;
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Slot::INVALID,
        };
        let mut state = State {
            frame: Frame { exec: self.frame.exec, set: self.frame.set },
            tree: &tree,
            at: None,
            vars: vec![("$", dot.clone())],
            out: &mut *self.out,
        };
        state.list(&dot, &tree.root).map(drop)
    }
}

fn variable(node: &Node) -> &str {
    match &node.kind {
        Kind::Variable(names) => &names[0],
        _ => "",
    }
}
