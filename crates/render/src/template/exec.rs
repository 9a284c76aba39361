//! Walks a tree over data. The order in which nodes are marked is Go's, because errors name the node that was marked last.
//!
//! Long because every kind of node is walked here, as in Go's exec.go.

use std::rc::Rc;

use super::node::{At, Branch, Command, Kind, Node, Number, Pipe, Tree};
use super::slot::{Body, Function, Slot, Ty};
use super::{Exec, Set, method};
use crate::go::value::{ListType, MapType};
use crate::go::{Value, print, quote};

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
            Kind::Template(name, pipe) => self.template(dot, node, name, pipe.as_ref())?,
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

    fn pipeline(&mut self, dot: &Slot, pipe: &'t Pipe) -> Done<Slot> {
        self.at = Some(At::Pipe(pipe));
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.elem());
        }
        let value = value.unwrap_or(Slot::INVALID);
        for node in &pipe.decl {
            let name = variable(node);
            if pipe.assign {
                self.set_var(name, value.clone())?;
            } else {
                self.vars.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn not_a_function(&self, args: &[Node], last: &Option<Slot>) -> Done<()> {
        if args.len() > 1 || last.is_some() {
            return self.fault(format!("can't give argument to non-function {}", args[0]));
        }
        Ok(())
    }

    fn command(&mut self, dot: &Slot, command: &'t Command, last: Option<Slot>) -> Done<Slot> {
        let first = &command.args[0];
        match &first.kind {
            Kind::Field(names) => {
                self.mark(first);
                return self.field_chain(dot, dot.clone(), first, names, &command.args, last);
            }
            Kind::Chain(inner, names) => return self.chain(dot, first, inner, names, &command.args, last),
            Kind::Identifier(name) => {
                self.mark(first);
                return self.function(dot, name, At::Command(command), &command.args, last);
            }
            Kind::Pipe(pipe) => {
                self.not_a_function(&command.args, &last)?;
                return self.pipeline(dot, pipe);
            }
            Kind::Variable(names) => return self.variable(dot, first, names, &command.args, last),
            _ => {}
        }
        self.mark(first);
        self.not_a_function(&command.args, &last)?;
        match &first.kind {
            Kind::Bool(flag) => Ok(Slot::of(Value::Bool(*flag))),
            Kind::Dot => Ok(dot.clone()),
            Kind::Nil => self.fault("nil is not a command"),
            Kind::Number(number) => self.constant(number),
            Kind::String(_, text) => Ok(Slot::of(Value::Str(text.clone()))),
            _ => self.fault(format!("can't evaluate command {}", quote::quote(first.to_string().as_bytes()))),
        }
    }

    /// A number without a type: an `int`, or a `float64` if it is written as one.
    fn constant(&self, number: &Number) -> Done<Slot> {
        let text = &number.text;
        let lower = text.to_ascii_lowercase();
        let hex = lower.trim_start_matches(['+', '-']).starts_with("0x");
        let rune = text.starts_with('\'');
        let whole_hex = hex && !lower.contains('p');
        let written_as_float = text.contains(['.', 'e', 'E', 'p', 'P']) && !whole_hex && !rune;
        match number {
            Number { float: Some(float), .. } if written_as_float => Ok(Slot::of(Value::Float(*float))),
            Number { int: Some(int), .. } => Ok(Slot::of(Value::Int(*int))),
            Number { uint: Some(_), .. } => self.fault(format!("{text} overflows int")),
            _ => Ok(Slot::INVALID),
        }
    }

    fn chain(
        &mut self,
        dot: &Slot,
        node: &'t Node,
        inner: &'t Node,
        names: &'t [String],
        args: &'t [Node],
        last: Option<Slot>,
    ) -> Done<Slot> {
        self.mark(node);
        if matches!(inner.kind, Kind::Nil) {
            return self.fault(format!("indirection through explicit nil in {node}"));
        }
        let receiver = self.operand(dot, inner)?;
        self.field_chain(dot, receiver, node, names, args, last)
    }

    /// An operand without a wanted type.
    fn operand(&mut self, dot: &Slot, node: &'t Node) -> Done<Slot> {
        self.mark(node);
        match &node.kind {
            Kind::Pipe(pipe) => self.pipeline(dot, pipe),
            Kind::Identifier(name) => self.identifier(dot, node, name),
            _ => self.arg(dot, Ty::Any, node),
        }
    }

    fn variable(
        &mut self,
        dot: &Slot,
        node: &'t Node,
        names: &'t [String],
        args: &'t [Node],
        last: Option<Slot>,
    ) -> Done<Slot> {
        self.mark(node);
        let Some((_, value)) = self.vars.iter().rev().find(|(name, _)| *name == names[0]) else {
            return self.fault(format!("undefined variable: {}", names[0]));
        };
        let value = value.clone();
        if names.len() == 1 {
            self.not_a_function(args, &last)?;
            return Ok(value);
        }
        self.field_chain(dot, value, node, &names[1..], args, last)
    }

    fn field_chain(
        &mut self,
        dot: &Slot,
        mut receiver: Slot,
        node: &'t Node,
        names: &'t [String],
        args: &'t [Node],
        last: Option<Slot>,
    ) -> Done<Slot> {
        let (end, before) = names.split_last().expect("because a field has a name");
        for name in before {
            receiver = self.field(dot, name, node, &[], None, receiver)?;
        }
        self.field(dot, end, node, args, last, receiver)
    }

    fn field(
        &mut self,
        dot: &Slot,
        name: &str,
        node: &'t Node,
        args: &'t [Node],
        last: Option<Slot>,
        receiver: Slot,
    ) -> Done<Slot> {
        let Some(value) = &receiver.value else { return Ok(Slot::INVALID) };
        if matches!(value, Value::Nil) {
            return self.fault(format!("nil pointer evaluating interface {{}}.{name}"));
        }
        if let Some(function) = method::find(value, name) {
            let value = value.clone();
            return self.call(dot, function, Some(value), At::Node(node), name, args, last);
        }
        let has_args = args.len() > 1 || last.is_some();
        match value {
            Value::Struct(object) => {
                if let Some(field) = object.field(name) {
                    if has_args {
                        return self.fault(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(Slot::of(field));
                }
            }
            Value::Map(map) => {
                if has_args {
                    return self.fault(format!("{name} is not a method but has arguments"));
                }
                let any = matches!(map.ty(), MapType::Any | MapType::Values);
                return Ok(match map.get(name.as_bytes()) {
                    Some(value) if any => Slot::interface(value),
                    Some(value) => Slot::of(value),
                    None if !self.frame.exec.missing_is_zero => Slot::INVALID,
                    None => method::zero_of(map.ty()),
                });
            }
            Value::Version(_)
                if matches!(name, "major" | "minor" | "patch" | "pre" | "metadata" | "original") =>
            {
                let shown = receiver.type_name();
                return self.fault(format!("{name} is an unexported field of struct type {shown}"));
            }
            _ => {}
        }
        self.fault(format!("can't evaluate field {name} in type {}", receiver.type_name()))
    }

    fn identifier(&mut self, dot: &Slot, node: &'t Node, name: &str) -> Done<Slot> {
        self.mark(node);
        self.function(dot, name, At::Node(node), &[], None)
    }

    fn function(
        &mut self,
        dot: &Slot,
        name: &str,
        at: At<'t>,
        args: &'t [Node],
        last: Option<Slot>,
    ) -> Done<Slot> {
        let functions = self.frame.exec.functions;
        let Some(function) = functions.get(name) else {
            return self.fault(format!("{} is not a defined function", quote::quote(name.as_bytes())));
        };
        self.call(dot, function, None, at, name, args, last)
    }

    fn call(
        &mut self,
        dot: &Slot,
        function: &Function,
        receiver: Option<Value>,
        at: At<'t>,
        name: &str,
        args: &'t [Node],
        last: Option<Slot>,
    ) -> Done<Slot> {
        let args = args.get(1..).unwrap_or_default();
        let count = args.len() + usize::from(last.is_some());
        let params = &function.params;
        let fixed = params.len() - usize::from(function.variadic);
        if function.variadic && count < fixed {
            return self
                .fault(format!("wrong number of args for {name}: want at least {fixed} got {}", args.len()));
        }
        if !function.variadic && count != fixed {
            return self.fault(format!("wrong number of args for {name}: want {fixed} got {count}"));
        }
        if function.builtin && (name == "and" || name == "or") {
            let mut value = Slot::INVALID;
            for arg in args {
                value = self.arg(dot, Ty::Reflect, arg)?;
                if value.truth() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let ty = |at: usize| params.get(at).or(params.last()).copied().unwrap_or(Ty::Any);
        let mut values = Vec::with_capacity(count);
        for (at, arg) in args.iter().enumerate() {
            let value = self.arg(dot, ty(at), arg)?;
            values.push(value);
        }
        if let Some(last) = last {
            let value = self.fit(last, ty(count - 1))?;
            values.push(value);
        }
        self.frame.exec.step(1).or_else(|error| self.fault(error))?;
        let done = if function.builtin && name == "call" {
            super::builtin::call(args.first().map(ToString::to_string), values)
        } else {
            match &function.body {
                Body::Slots(body) => body(&self.frame, values),
                Body::Values(body) => {
                    let receiver = receiver.into_iter();
                    let values: Vec<Value> =
                        receiver.chain(values.into_iter().map(Slot::into_value)).collect();
                    body(&self.frame, &values).map(|value| match value {
                        Value::Nil => Slot::interface(value),
                        value => Slot::of(value),
                    })
                }
            }
        };
        match done {
            Ok(value) => Ok(value),
            Err(error) => {
                self.at = Some(at);
                self.fault(format!("error calling {name}: {error}"))
            }
        }
    }

    /// `validateType`.
    fn fit(&self, slot: Slot, ty: Ty) -> Done<Slot> {
        let Some(value) = &slot.value else {
            if ty.can_be_nil() {
                return Ok(ty.zero());
            }
            return self.fault(format!("invalid value; expected {}", ty.name()));
        };
        if matches!(ty, Ty::Any | Ty::Reflect) {
            return Ok(slot);
        }
        if matches!(value, Value::Nil) {
            return self.fault(format!("wrong type for value; expected {}; got interface {{}}", ty.name()));
        }
        if ty.takes(value) {
            return Ok(slot.elem());
        }
        self.fault(format!("wrong type for value; expected {}; got {}", ty.name(), value.type_name()))
    }

    fn arg(&mut self, dot: &Slot, ty: Ty, node: &'t Node) -> Done<Slot> {
        self.mark(node);
        let value = match &node.kind {
            Kind::Dot => dot.clone(),
            Kind::Nil => {
                if ty.can_be_nil() {
                    return Ok(ty.zero());
                }
                return self.fault(format!("cannot assign nil to {}", ty.name()));
            }
            Kind::Field(names) => {
                self.mark(node);
                self.field_chain(dot, dot.clone(), node, names, &[], None)?
            }
            Kind::Variable(names) => self.variable(dot, node, names, &[], None)?,
            Kind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Kind::Identifier(name) => self.identifier(dot, node, name)?,
            Kind::Chain(inner, names) => self.chain(dot, node, inner, names, &[], None)?,
            _ => return self.literal(ty, node),
        };
        self.fit(value, ty)
    }

    fn literal(&mut self, ty: Ty, node: &'t Node) -> Done<Slot> {
        let value = match (ty, &node.kind) {
            (Ty::Any | Ty::Reflect, Kind::Bool(flag)) | (Ty::Bool, Kind::Bool(flag)) => Value::Bool(*flag),
            (Ty::Any | Ty::Reflect, Kind::Number(number)) => return self.constant(number),
            (Ty::Any | Ty::Reflect | Ty::Str, Kind::String(_, text)) => Value::Str(text.clone()),
            (Ty::Any | Ty::Reflect, _) => {
                return self.fault(format!("can't handle assignment of {node} to empty interface argument"));
            }
            (Ty::Float, Kind::Number(Number { float: Some(float), .. })) => Value::Float(*float),
            (Ty::Int, Kind::Number(Number { int: Some(int), .. })) => Value::Int(*int),
            (Ty::Int64, Kind::Number(Number { int: Some(int), .. })) => Value::Int64(*int),
            (Ty::Duration, Kind::Number(Number { int: Some(int), .. })) => {
                Value::Sized(crate::go::value::Sized::Duration, *int)
            }
            (Ty::Uint32, Kind::Number(Number { uint: Some(uint), .. })) => {
                Value::Sized(crate::go::value::Sized::Uint32, i64::from(*uint as u32))
            }
            (Ty::Uint64, Kind::Number(Number { uint: Some(uint), .. })) => {
                Value::Sized(crate::go::value::Sized::Uint64, *uint as i64)
            }
            (ty, _) => {
                let wanted = match ty {
                    Ty::Bool => "bool",
                    Ty::Str => "string",
                    Ty::Float => "float",
                    Ty::Int | Ty::Int64 | Ty::Duration | Ty::Month | Ty::Weekday => "integer",
                    Ty::Uint32 | Ty::Uint64 => "unsigned integer",
                    _ => return self.fault(format!("can't handle {node} for arg of type {}", ty.name())),
                };
                return self.fault(format!("expected {wanted}; found {node}"));
            }
        };
        Ok(Slot::of(value))
    }
}

fn variable(node: &Node) -> &str {
    match &node.kind {
        Kind::Variable(names) => &names[0],
        _ => "",
    }
}
