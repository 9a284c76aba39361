//! The driving objects of all front ends and what they refer to (projects, sources), as last seen. Who asked for one is
//! woken when it changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use api::Value;
use parking_lot::Mutex;

use crate::live::Bell;
use crate::packed::Packed;

/// An object of a front end's owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl Ref {
    pub fn of(kind: &str, object: &Value) -> Ref {
        Ref {
            kind: kind.into(),
            namespace: object.str_at(&["metadata", "namespace"]).into(),
            name: object.str_at(&["metadata", "name"]).into(),
        }
    }
}

struct Asking {
    bell: Arc<Bell>,
    wants: BTreeSet<Ref>,
}

#[derive(Default)]
struct State {
    objects: HashMap<Ref, Packed>,
    listed: HashSet<String>,
    asking: Vec<Asking>,
}

/// See the module.
#[derive(Default)]
pub struct Known(Mutex<State>);

impl Known {
    pub fn get(&self, wanted: &Ref) -> Option<Arc<Value>> {
        let found = self.0.lock().objects.get(wanted).cloned();
        found.map(|packed| Arc::new(packed.open()))
    }

    pub fn is_listed(&self, kind: &str) -> bool {
        self.0.lock().listed.contains(kind)
    }

    /// Takes in an object as it is now; `None`: it is gone.
    pub(crate) fn put(&self, which: Ref, object: Option<Packed>) {
        let mut state = self.0.lock();
        match object {
            Some(object) => state.objects.insert(which.clone(), object),
            None => state.objects.remove(&which),
        };
        let bells = state.asking.iter().filter(|one| one.wants.contains(&which));
        bells.for_each(|one| one.bell.notify.notify_one());
    }

    /// All objects of a kind, from a list.
    pub fn replace(&self, kind: &str, objects: &[Arc<Value>]) {
        self.take_list(
            kind,
            objects.iter().map(|object| (Ref::of(kind, object), Packed::of(object))).collect(),
        );
    }

    pub(crate) fn take_list(&self, kind: &str, now: HashMap<Ref, Packed>) {
        let gone: Vec<Ref> = {
            let state = self.0.lock();
            state.objects.keys().filter(|one| one.kind == kind && !now.contains_key(one)).cloned().collect()
        };
        gone.into_iter().for_each(|one| self.put(one, None));
        now.into_iter().for_each(|(which, object)| self.put(which, Some(object)));
        let mut state = self.0.lock();
        if state.listed.insert(kind.into()) {
            // Whoever waits for the first list.
            state.asking.iter().for_each(|one| one.bell.notify.notify_one());
        }
    }

    /// What `bell` is rung for from now on.
    pub fn ask(&self, bell: &Arc<Bell>, wants: BTreeSet<Ref>) {
        let mut state = self.0.lock();
        match state.asking.iter_mut().find(|one| Arc::ptr_eq(&one.bell, bell)) {
            Some(one) => one.wants = wants,
            None => state.asking.push(Asking { bell: bell.clone(), wants }),
        }
    }

    pub fn forget(&self, bell: &Arc<Bell>) {
        self.0.lock().asking.retain(|one| !Arc::ptr_eq(&one.bell, bell));
    }
}
