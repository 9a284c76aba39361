//! The dynamic tree between decode and store: JSON's shapes, in the order they came in, numbers as Go keeps them.
//!
//! Invariant: an object never holds the same key twice. Field order is kept, because what is stored is written in
//! upstream's field order and a CRD's objects in their author's.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// One node of the tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    /// An integer that fits Go's `int64`.
    Int(i64),
    /// Every other number, finite.
    Float(f64),
    String(SmolStr),
    Array(Vec<Value>),
    Object(Map),
}

/// The fields of an object, in order, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Vec<(SmolStr, Value)>);

impl Map {
    pub const fn new() -> Map {
        Map(Vec::new())
    }
    pub fn with_capacity(fields: usize) -> Map {
        Map(Vec::with_capacity(fields))
    }
    /// The fields in this order; the caller knows that no key is there twice.
    pub(crate) fn from_distinct(fields: Vec<(SmolStr, Value)>) -> Map {
        Map(fields)
    }
    /// The fields as they lie, to be rebuilt by [`Map::from_distinct`].
    pub(crate) fn take_fields(&mut self) -> Vec<(SmolStr, Value)> {
        std::mem::take(&mut self.0)
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
    /// Like [`Map::get`], but looks at a place first: where a map of the same form has this key.
    pub(crate) fn get_near(&self, place: usize, key: &str) -> Option<&Value> {
        match self.0.get(place) {
            Some((name, value)) if name == key => Some(value),
            _ => self.get(key),
        }
    }
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
    /// Sets a field in its place, or at the end if it is new; gives back what was there.
    pub fn insert(&mut self, key: impl Into<SmolStr>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.get_mut(&key) {
            Some(slot) => Some(std::mem::replace(slot, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }
    /// Puts a field first (`kind`, `apiVersion`).
    pub fn insert_first(&mut self, key: impl Into<SmolStr>, value: impl Into<Value>) {
        let key = key.into();
        self.remove(&key);
        self.0.insert(0, (key, value.into()));
    }
    /// The field, made as `Null` at the end if it is missing.
    pub fn entry(&mut self, key: &str) -> &mut Value {
        let at = match self.0.iter().position(|(name, _)| name == key) {
            Some(at) => at,
            None => {
                self.0.push((key.into(), Value::Null));
                self.0.len() - 1
            }
        };
        &mut self.0[at].1
    }
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }
    pub fn retain(&mut self, mut keep: impl FnMut(&SmolStr, &mut Value) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SmolStr, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&SmolStr, &mut Value)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &SmolStr> + DoubleEndedIterator {
        self.0.iter().map(|(key, _)| key)
    }
    /// Adds a field that is known not to be there; the caller keeps the invariant.
    pub fn push_unchecked(&mut self, key: SmolStr, value: Value) {
        debug_assert!(!self.contains_key(&key), "{key} is there twice");
        self.0.push((key, value));
    }
    /// Moves the last field to a place further ahead.
    pub(crate) fn move_last_to(&mut self, place: usize) {
        if let Some(tail) = self.0.get_mut(place..) {
            tail.rotate_right(1);
        }
    }
    /// Orders the fields by name, as Go writes maps.
    pub fn sort_by_name(&mut self) {
        self.0.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    }
    /// Reorders the fields; the sort is stable.
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(&str) -> K) {
        self.0.sort_by_key(|(name, _)| key(name));
    }
}

impl IntoIterator for Map {
    type Item = (SmolStr, Value);
    type IntoIter = std::vec::IntoIter<(SmolStr, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<SmolStr>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Map {
        let mut map = Map::new();
        for (key, value) in fields {
            map.insert(key, value);
        }
        map
    }
}

impl Value {
    pub fn object() -> Value {
        Value::Object(Map::new())
    }
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }
    /// The field of an object; `None` for a missing one, and for everything that is not an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_map_mut()?.get_mut(key)
    }
    /// Follows fields downward: `value.at(&["metadata", "name"])`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, key| value.get_mut(key))
    }
    /// The string at `path`, or `""`.
    pub fn str_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }
    /// The place at `path`, with the objects on the way made; a non-object on the way is replaced by one.
    pub fn make(&mut self, path: &[&str]) -> &mut Value {
        let mut here = self;
        for key in path {
            if !matches!(here, Value::Object(_)) {
                *here = Value::object();
            }
            here = here.as_map_mut().expect("because it was just made an object").entry(key);
        }
        here
    }
    /// Sets the place at `path`.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        *self.make(path) = value.into();
    }
    /// Takes the place at `path` out.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, way) = path.split_last()?;
        self.at_mut(way)?.as_map_mut()?.remove(last)
    }
    /// Compact JSON, in field order.
    pub fn to_json(&self) -> Vec<u8> {
        crate::json::to_vec(self)
    }
}

macro_rules! from {
    ($($type:ty => $value:ident: $make:expr;)*) => {
        $(impl From<$type> for Value { fn from($value: $type) -> Value { $make } })*
    };
}
from! {
    bool => flag: Value::Bool(flag);
    i64 => number: Value::Int(number);
    i32 => number: Value::Int(number.into());
    u32 => number: Value::Int(number.into());
    &str => text: Value::String(text.into());
    String => text: Value::String(text.into());
    SmolStr => text: Value::String(text);
    Vec<Value> => items: Value::Array(items);
    Map => map: Value::Object(map);
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(&self.to_json()))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => to.serialize_unit(),
            Value::Bool(flag) => to.serialize_bool(*flag),
            Value::Int(number) => to.serialize_i64(*number),
            // Go writes a whole float64 without a fraction: 1.0 becomes 1.
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e21 => match *number as i128 {
                whole if i64::try_from(whole).is_ok() => to.serialize_i64(whole as i64),
                whole => to.serialize_i128(whole),
            },
            Value::Float(number) => to.serialize_f64(*number),
            Value::String(text) => to.serialize_str(text),
            Value::Array(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Value::Object(map) => {
                let mut fields = to.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    fields.serialize_entry(key.as_str(), value)?;
                }
                fields.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        struct Tree;
        impl<'de> Visitor<'de> for Tree {
            type Value = Value;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
                Value::deserialize(from)
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Bool(flag))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Int(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Float(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::String(text.into()))
            }
            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::String(text.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Value::Array(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
                let mut map = Map::new();
                while let Some((key, value)) = fields.next_entry::<SmolStr, Value>()? {
                    map.insert(key, value); // the last of doubled keys wins, as in Go
                }
                Ok(Value::Object(map))
            }
        }
        from.deserialize_any(Tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_numbers() {
        let text = r#"{"b":1,"a":[1.5,-3,true,null,"x"],"c":{"z":9007199254740993}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn makes_the_way_to_a_place() {
        let mut value = Value::Null;
        value.set(&["metadata", "name"], "web");
        value.set(&["metadata", "generation"], 1i64);
        assert_eq!(value.to_string(), r#"{"metadata":{"name":"web","generation":1}}"#);
        assert_eq!(value.str_at(&["metadata", "name"]), "web");
        assert_eq!(value.remove(&["metadata", "name"]), Some("web".into()));
        assert!(value.at(&["metadata", "name"]).is_none());
    }
}
