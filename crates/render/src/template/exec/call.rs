//! Calls: arguments made fit for the types of a function's parameters.

use super::eval::Way;
use super::*;

impl<'t> State<'t, '_, '_> {
    pub(super) fn call(
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
        // Texts cost what they are long, both those that are given and the one that is made.
        let length = |slot: &Slot| match &slot.value {
            Some(Value::Str(text)) => text.len() as u64 / 16,
            _ => 0,
        };
        self.frame
            .exec
            .step(1 + values.iter().map(length).sum::<u64>())
            .or_else(|error| self.fault(error))?;
        let done = if function.builtin && name == "call" {
            crate::template::builtin::call(args.first().map(ToString::to_string), values)
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
        let made = crate::go::walk::taken().and_then(|bytes| self.frame.exec.hold(bytes));
        let done = made.and(done).and_then(|slot| self.frame.exec.step(length(&slot)).map(|()| slot));
        match done {
            Ok(value) => Ok(value),
            Err(error) => {
                self.at = Some(at);
                self.fault(format!("error calling {name}: {error}"))
            }
        }
    }

    /// `validateType`.
    pub(super) fn fit(&self, slot: Slot, ty: Ty) -> Done<Slot> {
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

    pub(super) fn arg(&mut self, dot: &Slot, ty: Ty, node: &'t Node) -> Done<Slot> {
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
                self.field_chain(dot, dot.clone(), Way::bare(node, names))?
            }
            Kind::Variable(names) => self.variable(dot, Way::bare(node, names))?,
            Kind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Kind::Identifier(name, function) => self.identifier(dot, node, name, function)?,
            Kind::Chain(inner, names) => self.chain(dot, inner, Way::bare(node, names))?,
            _ => return self.literal(ty, node),
        };
        self.fit(value, ty)
    }

    pub(super) fn literal(&mut self, ty: Ty, node: &'t Node) -> Done<Slot> {
        if let Kind::Number(number) = &node.kind
            && let Some(value) = ty.number(number)
        {
            return Ok(Slot::of(value));
        }
        let value = match (ty, &node.kind) {
            (Ty::Any | Ty::Reflect, Kind::Bool(flag)) | (Ty::Bool, Kind::Bool(flag)) => Value::Bool(*flag),
            (Ty::Any | Ty::Reflect, Kind::Number(number)) => return self.constant(number),
            (Ty::Any | Ty::Reflect | Ty::Str, Kind::String(literal)) => Value::Str(literal.text.clone()),
            (Ty::Any | Ty::Reflect, _) => {
                return self.fault(format!("can't handle assignment of {node} to empty interface argument"));
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
