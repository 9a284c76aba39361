//! What stands for `reflect.Value` in an execution, and functions with the types of their parameters.

use std::collections::HashMap;

use super::Frame;
use super::node::Number;
use crate::go::{Value, value};

/// A value with what its place tells: nothing at all (Go's zero `reflect.Value`), or something whose static type is an interface.
#[derive(Clone, Debug)]
pub struct Slot {
    pub value: Option<Value>,
    /// Only such a slot can hold a nil that is valid.
    pub interface: bool,
}

impl Slot {
    pub const INVALID: Slot = Slot { value: None, interface: false };

    /// As `reflect.ValueOf` makes it.
    pub fn of(value: Value) -> Slot {
        match value {
            Value::Nil => Slot::INVALID,
            value => Slot { value: Some(value), interface: false },
        }
    }

    /// An element of a map or slice of interfaces.
    pub fn interface(value: Value) -> Slot {
        Slot { value: Some(value), interface: true }
    }

    /// What an interface holds.
    pub fn elem(self) -> Slot {
        match self.value {
            Some(value) if self.interface => Slot::of(value),
            value => Slot { value, interface: false },
        }
    }

    pub fn is_valid(&self) -> bool {
        self.value.is_some()
    }

    pub fn into_value(self) -> Value {
        self.value.unwrap_or(Value::Nil)
    }

    /// A nil pointer, interface, map or slice.
    pub fn is_nil(&self) -> bool {
        self.value.as_ref().is_none_or(Value::is_nil)
    }

    pub fn type_name(&self) -> String {
        match &self.value {
            Some(_) if self.interface => "interface {}".into(),
            Some(value) => value.type_name().into_owned(),
            None => "<nil>".into(),
        }
    }

    pub fn truth(&self) -> bool {
        self.value.as_ref().is_some_and(Value::truth)
    }
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ty {
    Any,
    /// `reflect.Value`: builtins take slots as they are.
    Reflect,
    Str,
    Int,
    Int64,
    Uint32,
    Uint64,
    Float,
    Bool,
    Map,
    Values,
    List,
    Time,
    Duration,
    Month,
    Weekday,
    Certificate,
    Version,
}

impl Ty {
    pub fn name(self) -> &'static str {
        match self {
            Ty::Any => "interface {}",
            Ty::Reflect => "reflect.Value",
            Ty::Str => "string",
            Ty::Int => "int",
            Ty::Int64 => "int64",
            Ty::Uint32 => "uint32",
            Ty::Uint64 => "uint64",
            Ty::Float => "float64",
            Ty::Bool => "bool",
            Ty::Map => "map[string]interface {}",
            Ty::Values => "chartutil.Values",
            Ty::List => "[]interface {}",
            Ty::Time => "time.Time",
            Ty::Duration => "time.Duration",
            Ty::Month => "time.Month",
            Ty::Weekday => "time.Weekday",
            Ty::Certificate => "sprig.certificate",
            Ty::Version => "*semver.Version",
        }
    }

    pub fn can_be_nil(self) -> bool {
        matches!(self, Ty::Any | Ty::Reflect | Ty::Map | Ty::Values | Ty::List | Ty::Version)
    }

    /// What a constant number becomes.
    pub fn number(self, number: &Number) -> Option<Value> {
        let sized = |kind, value| Some(Value::Sized(kind, value));
        match self {
            Ty::Float => number.float.map(Value::Float),
            Ty::Int => number.int.map(Value::Int),
            Ty::Int64 => number.int.map(Value::Int64),
            Ty::Duration => sized(value::Sized::Duration, number.int?),
            Ty::Uint32 => sized(value::Sized::Uint32, i64::from(number.uint? as u32)),
            Ty::Uint64 => sized(value::Sized::Uint64, number.uint? as i64),
            _ => None,
        }
    }

    /// What nil becomes.
    pub fn zero(self) -> Slot {
        match self {
            Ty::Map => Slot::of(Value::Map(value::Map::nil(value::MapType::Any))),
            Ty::Values => Slot::of(Value::Map(value::Map::nil(value::MapType::Values))),
            Ty::List => Slot::of(Value::nil_list()),
            Ty::Any => Slot::interface(Value::Nil),
            _ => Slot::INVALID,
        }
    }

    /// `Type.AssignableTo`, for a value that is in no interface.
    pub fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Ty::Any | Ty::Reflect, _) => true,
            (Ty::Map | Ty::Values, Value::Map(map)) => {
                matches!(map.ty(), value::MapType::Any)
                    || map.ty() == value::MapType::Values && matches!(self, Ty::Map | Ty::Values)
            }
            (Ty::List, Value::List(list)) => list.ty == value::ListType::Any,
            (_, value) => value.type_name() == self.name(),
        }
    }
}

/// What a function does: with values, or, for Go's builtins, with slots.
pub enum Body {
    Values(fn(&Frame<'_, '_>, &[Value]) -> Result<Value, String>),
    Slots(fn(&Frame<'_, '_>, Vec<Slot>) -> Result<Slot, String>),
}

/// A function with the types of its parameters; the last may be variadic.
pub struct Function {
    pub params: Vec<Ty>,
    pub variadic: bool,
    pub body: Body,
    /// `and`, `or` and `call` are handled where calls are.
    pub builtin: bool,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("params", &self.params).finish_non_exhaustive()
    }
}

/// Functions by name.
pub type Functions = HashMap<&'static str, Function>;

fn signature(types: &str) -> (Vec<Ty>, bool) {
    let params = types
        .trim_end_matches('*')
        .bytes()
        .map(|letter| match letter {
            b'a' => Ty::Any,
            b'r' => Ty::Reflect,
            b's' => Ty::Str,
            b'i' => Ty::Int,
            b'l' => Ty::Int64,
            b'u' => Ty::Uint32,
            b'U' => Ty::Uint64,
            b'f' => Ty::Float,
            b'b' => Ty::Bool,
            b'm' => Ty::Map,
            b'V' => Ty::Values,
            b'L' => Ty::List,
            b't' => Ty::Time,
            b'd' => Ty::Duration,
            b'M' => Ty::Month,
            b'W' => Ty::Weekday,
            b'c' => Ty::Certificate,
            _ => Ty::Version,
        })
        .collect();
    (params, types.ends_with('*'))
}

/// A function by the letters of its parameters: `s`tring, `i`nt, `a`ny, `m`ap, …; `*` at the end makes the last variadic.
pub fn function(types: &str, body: fn(&Frame<'_, '_>, &[Value]) -> Result<Value, String>) -> Function {
    let (params, variadic) = signature(types);
    Function { params, variadic, body: Body::Values(body), builtin: false }
}

/// One of Go's own.
pub fn builtin(types: &str, body: fn(&Frame<'_, '_>, Vec<Slot>) -> Result<Slot, String>) -> Function {
    let (params, variadic) = signature(types);
    Function { params, variadic, body: Body::Slots(body), builtin: true }
}
