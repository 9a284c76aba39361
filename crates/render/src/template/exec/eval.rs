//! What pipelines, commands, fields and variables give.

use smol_str::SmolStr;

use super::*;

/// Names to follow, as a node writes them, and what the last of them is given if it is a method.
pub(super) struct Way<'t> {
    pub node: &'t Node,
    pub names: &'t [SmolStr],
    /// Behind the node itself, which is the first.
    pub args: &'t [Node],
    /// What the pipeline gives.
    pub last: Option<Slot>,
}

impl<'t> Way<'t> {
    pub fn bare(node: &'t Node, names: &'t [SmolStr]) -> Way<'t> {
        Way { node, names, args: &[], last: None }
    }
}

impl<'t> State<'t, '_, '_> {
    pub(super) fn pipeline(&mut self, dot: &Slot, pipe: &'t Pipe) -> Done<Slot> {
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

    pub(super) fn not_a_function(&self, args: &[Node], last: &Option<Slot>) -> Done<()> {
        if args.len() > 1 || last.is_some() {
            return self.fault(format!("can't give argument to non-function {}", args[0]));
        }
        Ok(())
    }

    pub(super) fn command(&mut self, dot: &Slot, command: &'t Command, last: Option<Slot>) -> Done<Slot> {
        let first = &command.args[0];
        match &first.kind {
            Kind::Field(names) => {
                self.mark(first);
                let way = Way { node: first, names, args: &command.args, last };
                return self.field_chain(dot, dot.clone(), way);
            }
            Kind::Chain(inner, names) => {
                return self.chain(dot, inner, Way { node: first, names, args: &command.args, last });
            }
            Kind::Identifier(name, function) => {
                self.mark(first);
                return self.call(dot, function, None, At::Command(command), name, &command.args, last);
            }
            Kind::Pipe(pipe) => {
                self.not_a_function(&command.args, &last)?;
                return self.pipeline(dot, pipe);
            }
            Kind::Variable(names) => {
                return self.variable(dot, Way { node: first, names, args: &command.args, last });
            }
            _ => {}
        }
        self.mark(first);
        self.not_a_function(&command.args, &last)?;
        match &first.kind {
            Kind::Bool(flag) => Ok(Slot::of(Value::Bool(*flag))),
            Kind::Dot => Ok(dot.clone()),
            Kind::Nil => self.fault("nil is not a command"),
            Kind::Number(number) => self.constant(number),
            Kind::String(literal) => Ok(Slot::of(Value::Str(literal.text.clone()))),
            _ => self.fault(format!("can't evaluate command {}", quote::quote(first.to_string().as_bytes()))),
        }
    }

    /// A number without a type: an `int`, or a `float64` if it is written as one.
    pub(super) fn constant(&self, number: &Number) -> Done<Slot> {
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

    pub(super) fn chain(&mut self, dot: &Slot, inner: &'t Node, way: Way<'t>) -> Done<Slot> {
        self.mark(way.node);
        if matches!(inner.kind, Kind::Nil) {
            return self.fault(format!("indirection through explicit nil in {}", way.node));
        }
        let receiver = self.operand(dot, inner)?;
        self.field_chain(dot, receiver, way)
    }

    /// An operand without a wanted type.
    pub(super) fn operand(&mut self, dot: &Slot, node: &'t Node) -> Done<Slot> {
        self.mark(node);
        match &node.kind {
            Kind::Pipe(pipe) => self.pipeline(dot, pipe),
            Kind::Identifier(name, function) => self.identifier(dot, node, name, function),
            _ => self.arg(dot, Ty::Any, node),
        }
    }

    /// The first name is the variable's.
    pub(super) fn variable(&mut self, dot: &Slot, way: Way<'t>) -> Done<Slot> {
        self.mark(way.node);
        let (own, names) = way.names.split_first().expect("because a variable has a name");
        let Some((_, value)) = self.vars.iter().rev().find(|(name, _)| *name == own.as_str()) else {
            return self.fault(format!("undefined variable: {own}"));
        };
        let value = value.clone();
        if names.is_empty() {
            self.not_a_function(way.args, &way.last)?;
            return Ok(value);
        }
        self.field_chain(dot, value, Way { names, ..way })
    }

    pub(super) fn field_chain(&mut self, dot: &Slot, mut receiver: Slot, way: Way<'t>) -> Done<Slot> {
        let (end, before) = way.names.split_last().expect("because a field has a name");
        for name in before {
            receiver = self.field(dot, name, way.node, &[], None, receiver)?;
        }
        self.field(dot, end, way.node, way.args, way.last, receiver)
    }

    pub(super) fn field(
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

    pub(super) fn identifier(
        &mut self,
        dot: &Slot,
        node: &'t Node,
        name: &str,
        function: &Function,
    ) -> Done<Slot> {
        self.mark(node);
        self.call(dot, function, None, At::Node(node), name, &[], None)
    }
}
