//! Front ends: whose objects drive the engine. Each is one file (or folder) and one line here.

pub mod argocd;
pub mod flux;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Map, Value};
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::app::{App, Fault, State};
use crate::cluster::{Cluster, Metadata};
use crate::health::Rules;
use crate::inventory::Id;
use crate::known::{Known, Ref};
use crate::source::Inputs;
use crate::step::Place;

/// What a front end is: pure functions, and one that reads its owner's secrets.
pub struct FrontEnd {
    /// Whose it is: several kinds of one owner share it.
    pub name: &'static str,
    pub api_version: &'static str,
    pub kind: &'static str,
    /// Other kinds of the owner that [`FrontEnd::read`] asks for, as (api version, kind). They drive nothing themselves.
    pub references: &'static [(&'static str, &'static str)],
    /// The status is a subresource.
    pub status_subresource: bool,
    /// The CustomResourceDefinitions, and what must exist beside them, installed where they are missing.
    pub definitions: fn() -> Vec<Value>,
    pub read: fn(&Value, &Context<'_>) -> Result<App, Fault>,
    /// Where an object stands in the order, from its annotations.
    pub place: fn(&Value) -> Place,
    pub mark: fn(&App, &mut Value),
    pub marked_by: fn(&Metadata) -> Option<String>,
    /// Whose marks its objects bear, by the driving object alone: [`App::instance`].
    pub instance: fn(&Value, &Settings) -> String,
    /// The field manager by which its owner's controller applies.
    pub manager: &'static str,
    /// Whether a live object says that it is neither written nor pruned.
    pub left_alone: fn(&Metadata) -> bool,
    /// The patch that makes the object show the state; `None`: it does already.
    pub show: fn(&App, &Value, &State, Timestamp) -> Option<Value>,
    /// Each sync is an event of its own, and so is a source that goes and comes; else only [`FrontEnd::transitions`] are.
    pub tells_syncs: bool,
    /// What changed for people between two forms of the driving object: events' reasons and texts.
    pub transitions: fn(&Value, &Value) -> Vec<(Level, &'static str, String)>,
    /// The objects that its status lists, as (id, version): an inventory that was lost is made again of them.
    pub listed: fn(&Value) -> Vec<(Id, String)>,
    /// How it stands, in two words: in step or not, healthy or not.
    pub standing: fn(&Value) -> (String, String),
    pub inputs: for<'a> fn(&'a Cluster, &'a Settings, &'a App) -> BoxFuture<'a, Result<Inputs, String>>,
    pub rules: Rules,
    /// How an object asks to be made anew where it cannot be changed.
    pub force_hint: &'static str,
    /// The component that events come from.
    pub component: &'static str,
}

/// How an event is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Normal,
    Warning,
}

/// What the configuration says to front ends.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Argo CD's own objects lie.
    pub argocd_namespace: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { argocd_namespace: "argocd".into() }
    }
}

/// What a front end may ask while it reads its object. What it asked for is remembered: when that changes, the object
/// is read again.
pub struct Context<'a> {
    pub settings: &'a Settings,
    pub now: Timestamp,
    known: &'a Known,
    asked: RefCell<BTreeSet<Ref>>,
}

impl<'a> Context<'a> {
    pub fn new(settings: &'a Settings, known: &'a Known, now: Timestamp) -> Context<'a> {
        Context { settings, known, now, asked: RefCell::default() }
    }
    /// All objects of the kind were listed once.
    pub fn is_known(&self, kind: &str) -> bool {
        self.known.is_listed(kind)
    }
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let wanted = Ref { kind: kind.into(), namespace: namespace.into(), name: name.into() };
        let found = self.known.get(&wanted);
        self.asked.borrow_mut().insert(wanted);
        found
    }
    pub fn asked(self) -> BTreeSet<Ref> {
        self.asked.into_inner()
    }
}

/// All front ends. A kind comes after those that it asks for.
pub static ALL: &[&FrontEnd] = &[&argocd::FRONT_END, &flux::SOURCE, &flux::APPLIER];

/// Whose front ends there are: `argocd`, `flux`.
pub fn owners() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    ALL.iter().map(|front| front.name).filter(move |name| std::mem::replace(&mut last, *name) != *name)
}

/// Whether a field says anything.
pub(crate) fn is_given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// Equal, whatever the order of fields: a server gives them back in its own.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

/// The merge patch from one map to another.
pub(crate) fn difference(old: &Value, new: &Value) -> Value {
    let (Some(old_map), Some(new_map)) = (old.as_map(), new.as_map()) else { return new.clone() };
    let mut patch = Map::new();
    for (key, _) in old_map.iter().filter(|(key, _)| !new_map.contains_key(key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new_map.iter() {
        match old_map.get(key) {
            Some(before) if same(before, value) => {}
            Some(before) => {
                patch.insert(key.clone(), difference(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}
