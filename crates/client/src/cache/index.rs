//! Secondary keys of one cache: by owner's uid, and by the value of chosen selectable fields.
//!
//! Only keys are held; the objects stay in the tree. An empty field value is not indexed: most objects of a kind
//! share it, and nobody asks.

use std::collections::HashMap;

use api::{Key, Object, Uid};
use smol_str::SmolStr;

#[derive(Default)]
pub(super) struct Indexes {
    owners: HashMap<Uid, Vec<Key>>,
    /// Position in [`Object::fields`], and keys by value.
    fields: Vec<(usize, HashMap<SmolStr, Vec<Key>>)>,
}

fn put(keys: &mut Vec<Key>, key: &Key) {
    if let Err(place) = keys.binary_search(key) {
        keys.insert(place, key.clone());
    }
}

fn take<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Key>>, value: &K, key: &Key) {
    if let Some(keys) = map.get_mut(value) {
        if let Ok(place) = keys.binary_search(key) {
            keys.remove(place);
        }
        if keys.is_empty() {
            map.remove(value);
        }
    }
}

impl Indexes {
    pub(super) fn new(fields: impl IntoIterator<Item = usize>) -> Indexes {
        Indexes {
            owners: HashMap::new(),
            fields: fields.into_iter().map(|place| (place, HashMap::new())).collect(),
        }
    }

    pub(super) fn change(&mut self, before: Option<&Object>, after: Option<&Object>) {
        let same_owners = match (before, after) {
            (Some(before), Some(after)) => before.owners == after.owners,
            _ => false,
        };
        if !same_owners {
            for (object, owner) in before.iter().flat_map(|o| o.owners.iter().map(move |w| (o, w))) {
                take(&mut self.owners, &owner.uid, &object.key);
            }
            for (object, owner) in after.iter().flat_map(|o| o.owners.iter().map(move |w| (o, w))) {
                put(self.owners.entry(owner.uid.clone()).or_default(), &object.key);
            }
        }
        for (place, values) in &mut self.fields {
            let old = before.and_then(|object| object.fields.get(*place)).filter(|value| !value.is_empty());
            let new = after.and_then(|object| object.fields.get(*place)).filter(|value| !value.is_empty());
            if old == new {
                continue;
            }
            if let (Some(value), Some(object)) = (old, before) {
                take(values, value, &object.key);
            }
            if let (Some(value), Some(object)) = (new, after) {
                put(values.entry(value.clone()).or_default(), &object.key);
            }
        }
    }

    pub(super) fn owned(&self, uid: &Uid) -> &[Key] {
        self.owners.get(uid).map_or(&[], Vec::as_slice)
    }

    /// Every owner that some object names.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Uid> {
        self.owners.keys()
    }

    /// `None`: the field at `place` has no index.
    pub(super) fn with_field(&self, place: usize, value: &str) -> Option<&[Key]> {
        let (_, values) = self.fields.iter().find(|(other, _)| *other == place)?;
        Some(values.get(value).map_or(&[], Vec::as_slice))
    }
}
