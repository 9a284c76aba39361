//! What expressions compute with. Objects and lists of the API stay where they are and are read as they are needed, by their
//! schema where they have one: strings of some formats are times or bytes, and lists that are sets or maps compare as such.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use smol_str::SmolStr;

use super::authz::Authz;
use super::library::format::Format;
use super::library::net::Cidr;
use super::library::semver::Semver;
use super::library::url::Url;
use super::parse::unescape;
use crate::Value;
use crate::quantity::Quantity;
use crate::schema::ListType;
use crate::structural::{Additional, NodeType, Schema};

/// See the module.
#[derive(Clone, Debug)]
pub enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(SmolStr),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    /// Nanoseconds since the epoch.
    Timestamp(i128),
    /// An array or object of the API.
    Tree(&'a Value, Option<&'a Schema>),
    List(Arc<Vec<Val<'a>>>),
    Map(Arc<Vec<(Val<'a>, Val<'a>)>>),
    /// What a struct literal makes: its type and fields.
    Struct(SmolStr, Arc<Vec<(SmolStr, Val<'a>)>>),
    Optional(Option<Arc<Val<'a>>>),
    Type(SmolStr),
    Quantity(Arc<Quantity>),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(Cidr),
    Semver(Arc<Semver>),
    Format(&'static Format),
    Authz(Arc<Authz>),
}

impl<'a> Val<'a> {
    /// A value of the API.
    pub fn of(value: &'a Value, schema: Option<&'a Schema>) -> Val<'a> {
        match value {
            Value::Null => Val::Null,
            Value::Bool(flag) => Val::Bool(*flag),
            Value::Int(number) => match schema.map(|schema| schema.node) {
                Some(NodeType::Number) => Val::Double(*number as f64),
                _ => Val::Int(*number),
            },
            Value::Float(number) => Val::Double(*number),
            Value::String(text) => of_text(text, schema),
            Value::Array(_) | Value::Object(_) => Val::Tree(value, schema),
        }
    }

    pub fn text(text: impl Into<SmolStr>) -> Val<'static> {
        Val::String(text.into())
    }
    pub fn list(items: Vec<Val<'a>>) -> Val<'a> {
        Val::List(Arc::new(items))
    }
    pub fn some(value: Val<'a>) -> Val<'a> {
        Val::Optional(Some(Arc::new(value)))
    }
    pub fn maybe(value: Option<Val<'a>>) -> Val<'a> {
        Val::Optional(value.map(Arc::new))
    }

    /// The elements, if it is a list.
    pub fn items(&self) -> Option<Vec<Val<'a>>> {
        match self {
            Val::List(items) => Some(items.to_vec()),
            Val::Tree(Value::Array(items), schema) => {
                let of = schema.and_then(|schema| schema.items.as_deref());
                Some(items.iter().map(|item| Val::of(item, of)).collect())
            }
            _ => None,
        }
    }

    /// Keys and values, if it is a map; fields of an object come by their escaped names.
    pub fn entries(&self) -> Option<Vec<(Val<'a>, Val<'a>)>> {
        match self {
            Val::Map(entries) => Some(entries.to_vec()),
            Val::Tree(Value::Object(map), schema) => Some(
                map.iter()
                    .map(|(key, value)| {
                        (Val::String(key.clone()), Val::of(value, schema.and_then(|own| child(own, key))))
                    })
                    .collect(),
            ),
            _ => None,
        }
    }

    /// The field or entry of this name; `None`: there is none.
    pub fn field(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Val::Tree(Value::Object(map), schema) => {
                // Names of declared properties are escaped in expressions.
                let declared = schema.is_some_and(|schema| !schema.properties.is_empty() || schema.embedded);
                let name = if declared { unescape(name) } else { name.into() };
                let value = map.get(&name)?;
                Some(Val::of(value, schema.and_then(|schema| child(schema, &name))))
            }
            Val::Map(entries) => {
                let found = entries.iter().find(|(key, _)| matches!(key, Val::String(own) if own == name));
                found.map(|(_, value)| value.clone())
            }
            Val::Struct(_, fields) => {
                fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// Something with fields.
    pub fn has_fields(&self) -> bool {
        matches!(self, Val::Tree(Value::Object(_), _) | Val::Map(_) | Val::Struct(..))
    }

    /// The name of its type, as `type()` gives it.
    pub fn type_name(&self) -> SmolStr {
        SmolStr::new_static(match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::String(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Timestamp(_) => "google.protobuf.Timestamp",
            Val::Tree(Value::Array(_), _) | Val::List(_) => "list",
            Val::Tree(..) | Val::Map(_) => "map",
            Val::Struct(name, _) => return name.clone(),
            Val::Optional(_) => "optional_type",
            Val::Type(_) => "type",
            Val::Quantity(_) => "kubernetes.Quantity",
            Val::Url(_) => "kubernetes.URL",
            Val::Ip(_) => "net.IP",
            Val::Cidr(_) => "net.CIDR",
            Val::Semver(_) => "kubernetes.Semver",
            Val::Format(_) => "kubernetes.NamedFormat",
            Val::Authz(authz) => authz.type_name(),
        })
    }

    /// Characters, bytes or elements; 1 for everything else.
    pub fn size(&self) -> u64 {
        (match self {
            Val::String(text) => text.chars().count(),
            Val::Bytes(bytes) => bytes.len(),
            Val::List(items) => items.len(),
            Val::Map(entries) => entries.len(),
            Val::Tree(Value::Array(items), _) => items.len(),
            Val::Tree(Value::Object(map), _) => map.len(),
            Val::Ip(IpAddr::V4(_)) => 4,
            Val::Ip(IpAddr::V6(_)) => 16,
            Val::Cidr(cidr) => cidr.prefix.div_ceil(8) as usize,
            _ => 1,
        }) as u64
    }

    /// CEL's `==`: numbers by value, lists of sets and maps without their order.
    pub fn equals(&self, other: &Val<'a>) -> bool {
        match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(one), Val::Bool(other)) => one == other,
            (Val::String(one), Val::String(other)) => one == other,
            (Val::Bytes(one), Val::Bytes(other)) => one == other,
            (Val::Duration(one), Val::Duration(other)) => one == other,
            (Val::Timestamp(one), Val::Timestamp(other)) => one == other,
            (Val::Type(one), Val::Type(other)) => one == other,
            (Val::Optional(one), Val::Optional(other)) => match (one, other) {
                (Some(one), Some(other)) => one.equals(other),
                (one, other) => one.is_none() == other.is_none(),
            },
            (Val::Quantity(one), Val::Quantity(other)) => **one == **other,
            (Val::Url(one), Val::Url(other)) => one.text == other.text,
            (Val::Ip(one), Val::Ip(other)) => one == other,
            (Val::Cidr(one), Val::Cidr(other)) => one == other,
            (Val::Semver(one), Val::Semver(other)) => one.compare(other) == Ordering::Equal,
            (Val::Format(one), Val::Format(other)) => one.name == other.name,
            (Val::Struct(name, fields), Val::Struct(other_name, others)) => {
                name == other_name
                    && fields.len() == others.len()
                    && fields.iter().all(|(key, value)| {
                        others.iter().any(|(other, own)| key == other && value.equals(own))
                    })
            }
            (Val::Int(_) | Val::Uint(_) | Val::Double(_), Val::Int(_) | Val::Uint(_) | Val::Double(_)) => {
                self.number_order(other) == Some(Ordering::Equal)
            }
            _ => self.collections_equal(other),
        }
    }

    fn collections_equal(&self, other: &Val<'a>) -> bool {
        if let (Some(one), Some(two)) = (self.items(), other.items()) {
            if one.len() != two.len() {
                return false;
            }
            return match self.list_type().or(other.list_type()) {
                Some(ListType::Set) => one.iter().all(|item| two.iter().any(|own| item.equals(own))),
                Some(ListType::Map) => {
                    let keys = self.map_keys().or_else(|| other.map_keys()).unwrap_or_default();
                    one.iter()
                        .all(|item| two.iter().any(|own| same_keys(item, own, keys) && item.equals(own)))
                }
                _ => one.iter().zip(&two).all(|(item, own)| item.equals(own)),
            };
        }
        if let (Some(one), Some(two)) = (self.entries(), other.entries()) {
            return one.len() == two.len()
                && one.iter().all(|(key, value)| {
                    two.iter().any(|(other, own)| key.equals(other) && value.equals(own))
                });
        }
        false
    }

    pub(super) fn list_type(&self) -> Option<ListType> {
        match self {
            Val::Tree(_, Some(schema)) => schema.list_type,
            _ => None,
        }
    }

    pub(super) fn map_keys(&self) -> Option<&'a [SmolStr]> {
        match self {
            Val::Tree(_, Some(schema)) if !schema.list_map_keys.is_empty() => Some(&schema.list_map_keys),
            _ => None,
        }
    }

    pub(super) fn number_order(&self, other: &Val<'a>) -> Option<Ordering> {
        match (self, other) {
            (Val::Int(one), Val::Int(other)) => Some(one.cmp(other)),
            (Val::Uint(one), Val::Uint(other)) => Some(one.cmp(other)),
            (Val::Double(one), Val::Double(other)) => one.partial_cmp(other),
            (Val::Int(one), Val::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
            (Val::Uint(one), Val::Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
            (Val::Int(one), Val::Double(other)) => (*one as f64).partial_cmp(other),
            (Val::Double(one), Val::Int(other)) => one.partial_cmp(&(*other as f64)),
            (Val::Uint(one), Val::Double(other)) => (*one as f64).partial_cmp(other),
            (Val::Double(one), Val::Uint(other)) => one.partial_cmp(&(*other as f64)),
            _ => None,
        }
    }

    /// The order of `<`, for what has one.
    pub fn order(&self, other: &Val<'a>) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(one), Val::Bool(other)) => Some(one.cmp(other)),
            (Val::String(one), Val::String(other)) => Some(one.as_str().cmp(other.as_str())),
            (Val::Bytes(one), Val::Bytes(other)) => Some(one.cmp(other)),
            (Val::Duration(one), Val::Duration(other)) => Some(one.cmp(other)),
            (Val::Timestamp(one), Val::Timestamp(other)) => Some(one.cmp(other)),
            _ => self.number_order(other),
        }
    }

    /// The value as one of the API: what MutatingAdmissionPolicies make. `None`: it has no such form.
    pub fn to_value(&self) -> Option<Value> {
        Some(match self {
            Val::Null => Value::Null,
            Val::Bool(flag) => Value::Bool(*flag),
            Val::Int(number) => Value::Int(*number),
            Val::Uint(number) => i64::try_from(*number).map_or(Value::Float(*number as f64), Value::Int),
            Val::Double(number) => Value::Float(*number),
            Val::String(text) => Value::String(text.clone()),
            Val::Tree(value, _) => (*value).clone(),
            Val::List(items) => Value::Array(items.iter().map(Val::to_value).collect::<Option<Vec<_>>>()?),
            Val::Map(entries) => {
                let mut map = crate::Map::new();
                for (key, value) in entries.iter() {
                    let Val::String(key) = key else { return None };
                    map.insert(key.clone(), value.to_value()?);
                }
                Value::Object(map)
            }
            Val::Struct(_, fields) => {
                let mut map = crate::Map::new();
                for (key, value) in fields.iter() {
                    map.insert(unescape(key), value.to_value()?);
                }
                Value::Object(map)
            }
            Val::Optional(Some(inner)) => inner.to_value()?,
            Val::Quantity(quantity) => Value::from(quantity.to_string()),
            Val::Ip(ip) => Value::from(ip.to_string()),
            Val::Duration(nanos) => Value::from(crate::time::duration::format(*nanos)),
            Val::Timestamp(nanos) => Value::from(super::library::time::format(*nanos)),
            _ => return None,
        })
    }
}

pub(super) fn same_keys<'a>(one: &Val<'a>, other: &Val<'a>, keys: &[SmolStr]) -> bool {
    keys.iter().all(|key| match (one.field(key), other.field(key)) {
        (Some(one), Some(other)) => one.equals(&other),
        (one, other) => one.is_none() == other.is_none(),
    })
}

/// The schema of a field.
fn child<'a>(schema: &'a Schema, name: &str) -> Option<&'a Schema> {
    if let Some(property) = schema.property(name) {
        return Some(property);
    }
    match &schema.additional {
        Additional::Schema(inner) => Some(inner),
        _ => None,
    }
}

fn of_text<'a>(text: &SmolStr, schema: Option<&'a Schema>) -> Val<'a> {
    let plain = || Val::String(text.clone());
    let Some(schema) = schema.filter(|schema| schema.node == NodeType::String) else { return plain() };
    match schema.rules.as_ref().map(|rules| rules.format.as_str()).unwrap_or_default() {
        "byte" => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
            bytes.map_or_else(|_| plain(), |bytes| Val::Bytes(bytes.into()))
        }
        "duration" => crate::time::duration::parse(text).map_or_else(|_| plain(), Val::Duration),
        "date-time" => super::library::time::parse(text).map_or_else(plain, Val::Timestamp),
        "date" => {
            super::library::time::parse(&format!("{text}T00:00:00Z")).map_or_else(plain, Val::Timestamp)
        }
        _ => plain(),
    }
}
