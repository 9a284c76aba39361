//! A typed view of a [`Cache`]: objects are decoded when asked for, without managedFields, and never kept.
//!
//! For reading only (D3): a typed value that is written back loses the fields that its type does not know. Write with
//! [`crate::Writer`], by patch or apply.

use std::marker::PhantomData;
use std::sync::Arc;

use api::{Key, Object, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;

use crate::Cache;
use crate::cache::Closed;
use crate::cache::Subscription;

/// See the module. Cheap to clone.
pub struct Informer<K> {
    cache: Arc<Cache>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Informer<K> {
        Informer { cache: self.cache.clone(), kind: PhantomData }
    }
}

impl<K: DeserializeOwned> Informer<K> {
    pub fn new(cache: Arc<Cache>) -> Informer<K> {
        Informer { cache, kind: PhantomData }
    }

    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The cache had its first fill.
    pub fn has_synced(&self) -> bool {
        self.cache.synced()
    }

    /// `namespace` is empty for cluster-scoped kinds.
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        decode(&self.cache.get(namespace, name)?)
    }

    pub fn get_key(&self, key: &Key) -> Option<K> {
        decode(&self.cache.get_key(key)?)
    }

    /// The objects of one namespace, or all if it is empty.
    pub fn list(&self, namespace: &str) -> Vec<K> {
        self.cache.snapshot().range(namespace, None).filter_map(decode).collect()
    }

    /// The objects of one namespace (all if empty) whose header passes, which is cheaper than decoding them.
    pub fn list_where(&self, namespace: &str, passes: impl Fn(&Object) -> bool) -> Vec<K> {
        let snapshot = self.cache.snapshot();
        snapshot.range(namespace, None).filter(|object| passes(object)).filter_map(decode).collect()
    }

    pub fn by_owner(&self, uid: &str) -> Vec<K> {
        self.cache.by_owner(&Uid(uid.into())).iter().filter_map(decode).collect()
    }

    /// Objects whose selectable field is `value`, as `spec.nodeName`.
    pub fn by_field(&self, label: &str, value: &str) -> Vec<K> {
        self.cache.by_field(label, value).iter().filter_map(decode).collect()
    }

    /// The keys that there are, and those that change from then on.
    pub fn subscribe(&self) -> Keys {
        let (snapshot, live) = self.cache.watch();
        Keys {
            first: snapshot.iter().map(|object| object.key.clone()).collect(),
            live,
            cache: self.cache.clone(),
        }
    }
}

/// Keys that may have changed; level-triggered, so a key says only "look again".
pub struct Keys {
    first: Vec<Key>,
    live: Subscription,
    cache: Arc<Cache>,
}

impl Keys {
    /// At least one key; waits. After falling behind it starts anew with every key that there is; keys deleted in
    /// between are not told, so compare with what you hold. [`Closed`]: the resource is no longer served.
    pub async fn next(&mut self) -> Result<Vec<Key>, Closed> {
        loop {
            if !self.first.is_empty() {
                return Ok(std::mem::take(&mut self.first));
            }
            match self.live.next().await {
                Ok(events) => {
                    return Ok(events.iter().map(|event| event.change.object().key.clone()).collect());
                }
                Err(closed) if self.cache.is_closed() => return Err(closed),
                Err(_) => {
                    let (snapshot, live) = self.cache.watch();
                    self.live = live;
                    self.first = snapshot.iter().map(|object| object.key.clone()).collect();
                }
            }
        }
    }
}

/// Decodes an object for reading, without its managedFields. What does not fit the type is logged and skipped: one bad
/// object must not stop a role.
pub fn decode<K: DeserializeOwned>(object: &Arc<Object>) -> Option<K> {
    decoded(object)
        .map_err(|error| tracing::error!(key = %object.key, %error, "an object does not fit its type"))
        .ok()
}

pub(crate) fn decoded<K: DeserializeOwned>(object: &Object) -> Result<K, serde_json::Error> {
    let (start, end) = (object.managed_fields.start as usize, object.managed_fields.end as usize);
    if start == end {
        return lenient(&object.json);
    }
    let mut json = Vec::with_capacity(object.json.len() - (end - start));
    json.extend_from_slice(&object.json[..start]);
    json.extend_from_slice(&object.json[end..]);
    lenient(&json)
}

/// Go clients write `null` for a time that is not set, also where the type says that it must be; it reads as a null time
/// there. Here such an object is decoded once more with the epoch in those places.
fn lenient<K: DeserializeOwned>(json: &[u8]) -> Result<K, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| {
        let mut value: serde_json::Value = serde_json::from_slice(json)?;
        if !set_times(&mut value) {
            return Err(error);
        }
        serde_json::from_value(value)
    })
}

/// Sets every time that is null; whether there was one. Kubernetes names times `…Time` or `…Timestamp`.
fn set_times(value: &mut serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(fields) => fields.iter_mut().fold(false, |found, (name, field)| {
            if field.is_null() && (name.ends_with("Time") || name.ends_with("Timestamp")) {
                *field = "1970-01-01T00:00:00Z".into();
                return true;
            }
            set_times(field) || found
        }),
        serde_json::Value::Array(items) => {
            // Every item is looked at: the first found must not end it.
            items.iter_mut().map(set_times).filter(|found| *found).count() > 0
        }
        _ => false,
    }
}

/// What every object has, decoded without the rest of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub creation_timestamp: Option<Time>,
    pub deletion_timestamp: Option<String>,
    pub deletion_grace_period_seconds: Option<i64>,
    pub finalizers: Vec<String>,
    pub owner_references: Vec<OwnerReference>,
    pub labels: std::collections::BTreeMap<String, String>,
    pub annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    pub api_version: SmolStr,
    pub kind: SmolStr,
    pub name: SmolStr,
    pub uid: SmolStr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl OwnerReference {
    /// The group of `apiVersion`: `""` for `v1`.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// The metadata of any object, for code that treats all kinds alike.
pub fn meta(object: &Arc<Object>) -> Meta {
    #[derive(Default, Deserialize)]
    struct Only {
        #[serde(default)]
        metadata: Meta,
    }
    decode::<Only>(object).unwrap_or_default().metadata
}

/// The owner that controls an object; reads the JSON only if the header says that there is one.
pub fn controller(object: &Arc<Object>) -> Option<OwnerReference> {
    object
        .owners
        .iter()
        .any(|owner| owner.controller)
        .then(|| meta(object))?
        .owner_references
        .into_iter()
        .find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn managed_fields_are_cut_before_decoding() {
        let json =
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","managedFields":[{"manager":7}]}}"#;
        let start = json.find(r#","managedFields"#).unwrap() as u32;
        let mut object = Object::clone(&crate::cache::tests::object("ns", "a", 1));
        object.json = json.into();
        assert!(decode::<Pod>(&Arc::new(object.clone())).is_none(), "7 is no manager");
        object.managed_fields = start..json.len() as u32 - 2;
        let pod: Pod = decode(&Arc::new(object)).unwrap();
        assert_eq!(pod.metadata.name.as_deref(), Some("a"));
    }
}
