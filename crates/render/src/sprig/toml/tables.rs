//! The tables of a TOML text while it is read: which were written, which only follow from a longer name, and what may be said again.

use std::collections::HashSet;

use super::quoted;
use crate::go::{List, Map, MapType, Value, value::ListType};

/// A name of several parts.
pub(super) type Key = Vec<String>;

pub(super) fn shown(key: &[String]) -> String {
    let part = |name: &String| {
        if !name.is_empty() && name.chars().all(super::cursor::is_bare) { name.clone() } else { quoted(name) }
    };
    key.iter().map(part).collect::<Vec<_>>().join(".")
}

pub(super) struct Tables {
    pub root: Map,
    /// The table that assignments go to.
    pub context: Key,
    /// Tables that nobody wrote; they may be written once.
    implicit: HashSet<String>,
    /// What was given an array as its value.
    arrays: HashSet<String>,
}

impl Tables {
    pub fn new() -> Tables {
        Tables {
            root: Map::new(MapType::Any),
            context: Vec::new(),
            implicit: HashSet::new(),
            arrays: HashSet::new(),
        }
    }

    /// The key of a name in the table that assignments go to.
    fn below(&self, name: &str) -> Key {
        self.context.iter().cloned().chain([name.to_string()]).collect()
    }

    pub fn mark(&mut self, name: &str, array: bool) {
        // The library takes an empty name for the table itself, and for the name at the top.
        let key = match (name.is_empty(), self.context.is_empty()) {
            (true, false) => shown(&self.context),
            _ => shown(&self.below(name)),
        };
        if array {
            self.arrays.insert(key);
        } else {
            self.arrays.remove(&key);
        }
    }

    pub fn imply(&mut self, key: &[String]) {
        self.implicit.insert(shown(key));
    }

    pub fn enter_implied(&mut self, key: &[String]) -> Result<(), String> {
        self.imply(key);
        self.enter(key, false)
    }

    /// Makes a table the one that assignments go to; with `several`, a new one in an array of tables.
    pub fn enter(&mut self, key: &[String], several: bool) -> Result<(), String> {
        let (last, above) = key.split_last().ok_or("a table without a name")?;
        let mut here = self.root.clone();
        for (at, name) in above.iter().enumerate() {
            if here.get(name.as_bytes()).is_none() {
                self.imply(&above[..=at]);
                here.put(name.as_str(), Value::Map(Map::new(MapType::Any)));
            }
            here = inside(&here, name)
                .ok_or_else(|| format!("Key '{}' was already created as a hash.", shown(&above[..=at])))?;
        }
        self.context = above.to_vec();
        if several {
            let mut all = match here.get(last.as_bytes()) {
                None => Vec::new(),
                Some(Value::List(List { ty: ListType::Maps, items })) => {
                    items.map_or(Vec::new(), |all| all.to_vec())
                }
                Some(_) => {
                    let key = shown(key);
                    return Err(format!("Key '{key}' was already created and cannot be used as an array."));
                }
            };
            all.push(Value::Map(Map::new(MapType::Any)));
            here.put(last.as_str(), Value::List(List::new(ListType::Maps, all)));
        } else {
            self.set(last, Value::Map(Map::new(MapType::Any)))?;
        }
        self.context.push(last.clone());
        Ok(())
    }

    /// Sets a name in the table that assignments go to.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), String> {
        let mut here = self.root.clone();
        for (at, part) in self.context.iter().enumerate() {
            here = inside(&here, part)
                .ok_or_else(|| format!("Key '{}' has already been defined.", shown(&self.context[..=at])))?;
        }
        if here.get(name.as_bytes()).is_some() {
            let key = shown(&self.below(name));
            if !self.implicit.remove(&key) {
                return Err(format!("Key '{key}' has already been defined."));
            }
            // What was implied is a table already; only an array of tables is replaced by what was written.
            if !self.arrays.contains(&key) {
                return Ok(());
            }
        }
        here.put(name, value);
        Ok(())
    }
}

/// The table at a name; of an array of tables the last.
fn inside(map: &Map, name: &str) -> Option<Map> {
    match map.get(name.as_bytes())? {
        Value::Map(map) => Some(map),
        Value::List(List { ty: ListType::Maps, items }) => match items?.last()? {
            Value::Map(map) => Some(map.clone()),
            _ => None,
        },
        _ => None,
    }
}
