//! A Go value of the types that reach a template: basic kinds, slices, maps that are shared and mutable, structs with a type name.
//!
//! Invariant: the type that `%T` prints follows from the value alone. Slices are not written through (nothing in Helm does, but
//! `sortAlpha` of a list that is already `[]string`, which sorts a copy here).

use std::borrow::{Borrow, Cow};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::time::Time;
use super::walk;

/// A Go string: bytes, usually but not always UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str(Rc<[u8]>);

impl Str {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The text, with U+FFFD for what is not UTF-8, as Go's `range` over a string sees it.
    pub fn text(&self) -> Cow<'_, str> {
        super::text::decode(&self.0)
    }
}

impl std::fmt::Debug for Str {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}
impl Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}
impl From<&str> for Str {
    fn from(text: &str) -> Str {
        Str(text.as_bytes().into())
    }
}
impl From<String> for Str {
    fn from(text: String) -> Str {
        Str(text.into_bytes().into())
    }
}
impl From<Vec<u8>> for Str {
    fn from(bytes: Vec<u8>) -> Str {
        Str(bytes.into())
    }
}
impl From<&[u8]> for Str {
    fn from(bytes: &[u8]) -> Str {
        Str(bytes.into())
    }
}
impl From<Cow<'_, str>> for Str {
    fn from(text: Cow<'_, str>) -> Str {
        Str(text.as_bytes().into())
    }
}

/// Integer types besides `int` and `int64`, and named ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sized {
    Uint8,
    Uint32,
    Uint64,
    Duration,
    Month,
    Weekday,
}

/// The type of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    Any,
    Strings,
    Ints,
    /// `[][]interface {}`
    Lists,
    /// `[]map[string]interface {}`
    Maps,
    /// `chartutil.VersionSet`
    Versions,
    /// A slice of pointers to a struct, by its full name.
    Pointers(&'static str),
}

/// A slice; `items` is none if it is nil.
#[derive(Clone, Debug)]
pub struct List {
    pub ty: ListType,
    pub items: Option<Rc<Items>>,
}

/// The elements of a slice that is there.
#[derive(Debug)]
pub struct Items(Vec<Value>);

impl std::ops::Deref for Items {
    type Target = [Value];
    fn deref(&self) -> &[Value] {
        &self.0
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        let_go(std::mem::take(&mut self.0));
    }
}

thread_local! {
    /// What is let go of next, and whether somebody does that now.
    static WAITING: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
    static LETTING_GO: Cell<bool> = const { Cell::new(false) };
}

/// Drops values one after another: those that lie a million deep in one another would need a stack as deep.
fn let_go(values: impl IntoIterator<Item = Value>) {
    let nested = values.into_iter().filter(|value| matches!(value, Value::List(_) | Value::Map(_)));
    // The others are dropped here, where nobody has borrowed what waits.
    let nested: Vec<Value> = nested.collect();
    if nested.is_empty() {
        return;
    }
    // Where the thread ends, the list may be gone already: then they are dropped as they come.
    let waits = WAITING.try_with(|waiting| waiting.borrow_mut().extend(nested)).is_ok();
    if !waits || LETTING_GO.replace(true) {
        return;
    }
    while let Some(value) = WAITING.with(|waiting| waiting.borrow_mut().pop()) {
        drop(value);
    }
    LETTING_GO.set(false);
}

impl List {
    pub fn new(ty: ListType, items: Vec<Value>) -> List {
        walk::made(items.len());
        List { ty, items: Some(Rc::new(Items(items))) }
    }
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.as_slice().iter()
    }
    pub fn as_slice(&self) -> &[Value] {
        self.items.as_deref().map_or(&[], |items| &**items)
    }
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The type of a map; its keys are strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    Any,
    /// `chartutil.Values`
    Values,
    /// `map[string]string`
    Strings,
    /// `engine.files`
    Files,
}

/// A map, shared by everyone who holds it, under whatever type.
#[derive(Clone, Debug)]
pub struct Map {
    ty: MapType,
    object: Rc<MapObject>,
}

#[derive(Debug)]
struct MapObject {
    nil: bool,
    fields: RefCell<BTreeMap<Str, Value>>,
}

impl Drop for MapObject {
    fn drop(&mut self) {
        let_go(std::mem::take(self.fields.get_mut()).into_values());
    }
}

impl Map {
    pub fn new(ty: MapType) -> Map {
        Map::of(ty, BTreeMap::new())
    }
    pub fn of(ty: MapType, fields: BTreeMap<Str, Value>) -> Map {
        walk::made(1 + fields.len());
        Map { ty, object: Rc::new(MapObject { nil: false, fields: RefCell::new(fields) }) }
    }
    pub fn nil(ty: MapType) -> Map {
        Map { ty, object: Rc::new(MapObject { nil: true, fields: RefCell::default() }) }
    }
    pub fn any<K: Into<Str>>(fields: impl IntoIterator<Item = (K, Value)>) -> Map {
        Map::of(MapType::Any, fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
    pub fn ty(&self) -> MapType {
        self.ty
    }
    pub fn is_nil(&self) -> bool {
        self.object.nil
    }
    pub fn same(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.object, &other.object)
    }
    pub fn len(&self) -> usize {
        self.object.fields.borrow().len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        self.object.fields.borrow().get(key).cloned()
    }
    /// Sets a field; the error is Go's for a nil map.
    pub fn set(&self, key: impl Into<Str>, value: Value) -> Result<(), String> {
        if self.object.nil {
            return Err("assignment to entry in nil map".into());
        }
        self.put(key, value);
        Ok(())
    }
    /// Sets a field of a map that is known to be made.
    pub fn put(&self, key: impl Into<Str>, value: Value) {
        walk::made(1);
        // What was there is dropped when the map is free again: it may hold this map.
        let _before = self.object.fields.borrow_mut().insert(key.into(), value);
    }
    pub fn remove(&self, key: &[u8]) {
        let _before = self.object.fields.borrow_mut().remove(key);
    }
    /// The fields as they are now, by key.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        self.object.fields.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
    pub fn keys(&self) -> Vec<Str> {
        self.object.fields.borrow().keys().cloned().collect()
    }
    /// Another map with the same fields.
    pub fn copy(&self) -> Map {
        Map::of(self.ty, self.object.fields.borrow().clone())
    }
    /// Another map all of whose maps are others too.
    pub fn deep_copy(&self) -> Map {
        let fields =
            self.object.fields.borrow().iter().map(|(key, value)| (key.clone(), value.deep_copy())).collect();
        Map::of(self.ty, fields)
    }
    /// The same map under another type.
    pub fn retyped(&self, ty: MapType) -> Map {
        Map { ty, object: self.object.clone() }
    }
    /// The map at a key, if one is there.
    pub fn table(&self, key: &str) -> Option<Map> {
        match self.get(key.as_bytes()) {
            Some(Value::Map(map)) if matches!(map.ty(), MapType::Any | MapType::Values) => Some(map),
            _ => None,
        }
    }
}

/// A field of a struct: Go's name, JSON's name, left out of JSON when empty.
#[derive(Debug)]
pub struct Field {
    pub go: &'static str,
    pub json: &'static str,
    pub omit: bool,
}

#[derive(Debug)]
pub struct StructType {
    /// As `%T` prints it without a pointer's star.
    pub name: &'static str,
    pub fields: &'static [Field],
    /// The first field is embedded: its fields are reached, and written as JSON, as if they were here.
    pub embeds: bool,
}

#[derive(Debug)]
pub struct Struct {
    pub ty: &'static StructType,
    pub pointer: bool,
    pub fields: Vec<Value>,
}

impl Struct {
    /// A field by Go's name, embedded ones included.
    pub fn field(&self, name: &str) -> Option<Value> {
        if let Some(at) = self.ty.fields.iter().position(|field| field.go == name) {
            return Some(self.fields[at].clone());
        }
        match self.fields.first() {
            Some(Value::Struct(inner)) if self.ty.embeds => inner.field(name),
            _ => None,
        }
    }
}

/// See the module. A missing value is no `Value`: [`crate::template::Slot`] tells it from nil.
#[derive(Clone, Debug)]
pub enum Value {
    /// A nil interface.
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    Sized(Sized, i64),
    Float(f64),
    Str(Str),
    /// `[]uint8`
    Bytes(Str),
    List(List),
    Map(Map),
    Struct(Rc<Struct>),
    Time(Rc<Time>),
    Version(Rc<super::semver::Version>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Str(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Str(text.into())
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Bool(flag)
    }
}
impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Map(map)
    }
}

impl Value {
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(List::new(ListType::Any, items))
    }
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> Value {
        Value::List(List::new(
            ListType::Strings,
            items.into_iter().map(|item| Value::Str(item.into())).collect(),
        ))
    }
    /// A nil `[]interface {}`.
    pub fn nil_list() -> Value {
        Value::List(List { ty: ListType::Any, items: None })
    }

    /// What `%T` prints.
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Sized(Sized::Uint8, _) => "uint8",
            Value::Sized(Sized::Uint32, _) => "uint32",
            Value::Sized(Sized::Uint64, _) => "uint64",
            Value::Sized(Sized::Duration, _) => "time.Duration",
            Value::Sized(Sized::Month, _) => "time.Month",
            Value::Sized(Sized::Weekday, _) => "time.Weekday",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::List(list) => match list.ty {
                ListType::Any => "[]interface {}",
                ListType::Strings => "[]string",
                ListType::Ints => "[]int",
                ListType::Lists => "[][]interface {}",
                ListType::Maps => "[]map[string]interface {}",
                ListType::Versions => "chartutil.VersionSet",
                ListType::Pointers(name) => return Cow::Owned(format!("[]*{name}")),
            },
            Value::Map(map) => match map.ty() {
                MapType::Any => "map[string]interface {}",
                MapType::Values => "chartutil.Values",
                MapType::Strings => "map[string]string",
                MapType::Files => "engine.files",
            },
            Value::Struct(object) if object.pointer => return Cow::Owned(format!("*{}", object.ty.name)),
            Value::Struct(object) => object.ty.name,
            Value::Time(_) => "time.Time",
            Value::Version(version) if version.pointer => "*semver.Version",
            Value::Version(_) => "semver.Version",
        })
    }

    /// `reflect.Kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "invalid",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Sized(Sized::Uint8, _) => "uint8",
            Value::Sized(Sized::Uint32, _) => "uint32",
            Value::Sized(Sized::Uint64, _) => "uint64",
            Value::Sized(Sized::Duration, _) => "int64",
            Value::Sized(Sized::Month | Sized::Weekday, _) => "int",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Bytes(_) | Value::List(_) => "slice",
            Value::Map(_) => "map",
            Value::Struct(object) if object.pointer => "ptr",
            Value::Version(version) if version.pointer => "ptr",
            Value::Struct(_) | Value::Time(_) | Value::Version(_) => "struct",
        }
    }

    pub fn is_nil(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::List(list) => list.items.is_none(),
            Value::Map(map) => map.is_nil(),
            _ => false,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) | Value::Int64(number) | Value::Sized(_, number) => Some(*number),
            _ => None,
        }
    }

    /// text/template's truth.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) | Value::Int64(number) | Value::Sized(_, number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) | Value::Bytes(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Struct(_) | Value::Time(_) | Value::Version(_) => true,
        }
    }

    /// The elements of a slice of any type.
    pub fn elements(&self) -> Option<Cow<'_, [Value]>> {
        match self {
            Value::List(list) => Some(Cow::Borrowed(list.as_slice())),
            Value::Bytes(bytes) => Some(Cow::Owned(
                bytes.bytes().iter().map(|byte| Value::Sized(Sized::Uint8, i64::from(*byte))).collect(),
            )),
            _ => None,
        }
    }

    pub fn deep_copy(&self) -> Value {
        let Some(_inside) = self.enter() else { return self.clone() };
        match self {
            Value::Map(map) if !map.is_nil() => Value::Map(map.deep_copy()),
            Value::List(List { ty, items: Some(items) }) => {
                Value::List(List::new(*ty, items.iter().map(Value::deep_copy).collect()))
            }
            other => other.clone(),
        }
    }

    /// Into a list or map that is walked through ([`walk`]); a value that is neither is entered for nothing.
    pub fn enter(&self) -> Option<Option<walk::Inside>> {
        match self {
            Value::List(list) => walk::enter(list.len()).map(Some),
            Value::Map(map) => walk::enter(map.len()).map(Some),
            _ => Some(None),
        }
    }

    /// `reflect.DeepEqual`.
    pub fn deep_equal(&self, other: &Value) -> bool {
        if self.type_name() != other.type_name() {
            return false;
        }
        let Some(_inside) = self.enter() else { return true };
        match (self, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b))
            | (Value::Int64(a), Value::Int64(b))
            | (Value::Sized(_, a), Value::Sized(_, b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Str(a), Value::Str(b)) | (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => {
                a.items.is_none() == b.items.is_none()
                    && a.len() == b.len()
                    && a.iter().zip(b.iter()).all(|(a, b)| a.deep_equal(b))
            }
            (Value::Map(a), Value::Map(b)) => {
                a.same(b) || {
                    let (left, right) = (a.entries(), b.entries());
                    a.is_nil() == b.is_nil()
                        && left.len() == right.len()
                        && left.iter().zip(&right).all(|((k, a), (l, b))| k == l && a.deep_equal(b))
                }
            }
            (Value::Struct(a), Value::Struct(b)) => {
                a.fields.iter().zip(&b.fields).all(|(a, b)| a.deep_equal(b))
            }
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::Version(a), Value::Version(b)) => a == b,
            _ => false,
        }
    }
}
