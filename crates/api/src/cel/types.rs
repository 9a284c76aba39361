//! CEL's types, and the texts that declare functions with them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

/// A type. Sizes are no part of it.
#[derive(Clone, Debug)]
pub enum Type {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Object(Arc<ObjectType>),
    /// `kubernetes.Quantity`, `net.IP`, …
    Opaque(&'static str),
    Optional(Arc<Type>),
    /// The type of types.
    Type,
    /// Not known yet: found by unification.
    Var(usize),
}

/// An object with fields that are known.
#[derive(Debug, Default)]
pub struct ObjectType {
    pub name: SmolStr,
    /// By their escaped names.
    pub fields: BTreeMap<SmolStr, Type>,
}

impl Type {
    pub fn list(of: Type) -> Type {
        Type::List(Arc::new(of))
    }
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }
    pub fn optional(of: Type) -> Type {
        Type::Optional(Arc::new(of))
    }
    pub fn object(name: &str, fields: impl IntoIterator<Item = (SmolStr, Type)>) -> Type {
        Type::Object(Arc::new(ObjectType { name: name.into(), fields: fields.into_iter().collect() }))
    }
    /// A value that costs the same whatever it is.
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Int
                | Type::Uint
                | Type::Double
                | Type::Duration
                | Type::Timestamp
                | Type::Null
        )
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        use Type as T;
        match (self, other) {
            (T::List(one), T::List(other)) | (T::Optional(one), T::Optional(other)) => one == other,
            (T::Map(key, value), T::Map(other_key, other_value)) => key == other_key && value == other_value,
            (T::Object(one), T::Object(other)) => Arc::ptr_eq(one, other) || one.name == other.name,
            (T::Opaque(one), T::Opaque(other)) => one == other,
            (T::Var(one), T::Var(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Type::Dyn | Type::Var(_) => "dyn",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Type => "type",
            Type::Opaque(name) => name,
            Type::Object(object) => &object.name,
            Type::List(of) => return write!(out, "list({of})"),
            Type::Map(key, value) => return write!(out, "map({key}, {value})"),
            Type::Optional(of) => return write!(out, "optional_type({of})"),
        };
        out.write_str(text)
    }
}

/// A declared overload: what it takes (the receiver first) and gives. `A`, `B` are type parameters.
#[derive(Clone, Debug)]
pub struct Overload {
    pub member: bool,
    pub params: Vec<Type>,
    pub result: Type,
}

/// `string.startsWith(string) bool`, `sets.contains(list<A>, list<A>) bool`: name and overload.
pub(super) fn declare(text: &str) -> (String, Overload) {
    let (head, rest) = text.split_once('(').expect("because a declaration has parameters");
    let (args, result) = rest.rsplit_once(')').expect("because a declaration has a result");
    // A member: `@receiver:name`.
    let member = head.strip_prefix('@').and_then(|member| member.split_once(':'));
    let (receiver, name) = member.map_or((None, head), |(receiver, name)| (Some(receiver), name));
    let mut params: Vec<Type> = receiver.map(read).into_iter().collect();
    params.extend(split(args).into_iter().map(read));
    let overload = Overload { member: receiver.is_some(), params, result: read(result.trim()) };
    (name.to_string(), overload)
}

/// Parts at the commas outside of angle brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

fn read(text: &str) -> Type {
    if let Some((name, inner)) = text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        let inner = split(inner);
        return match name {
            "list" => Type::list(read(inner[0])),
            "map" => Type::map(read(inner[0]), read(inner[1])),
            _ => Type::optional(read(inner[0])),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Type,
        "A" => Type::Var(0),
        "B" => Type::Var(1),
        "Quantity" => Type::Opaque("kubernetes.Quantity"),
        "URL" => Type::Opaque("kubernetes.URL"),
        "IP" => Type::Opaque("net.IP"),
        "CIDR" => Type::Opaque("net.CIDR"),
        "Semver" => Type::Opaque("kubernetes.Semver"),
        "Format" => Type::Opaque("kubernetes.NamedFormat"),
        "Authorizer" => Type::Opaque("kubernetes.authorization.Authorizer"),
        "PathCheck" => Type::Opaque("kubernetes.authorization.PathCheck"),
        "GroupCheck" => Type::Opaque("kubernetes.authorization.GroupCheck"),
        "ResourceCheck" => Type::Opaque("kubernetes.authorization.ResourceCheck"),
        "Decision" => Type::Opaque("kubernetes.authorization.Decision"),
        other => unreachable!("because {other} is in no declaration"),
    }
}
