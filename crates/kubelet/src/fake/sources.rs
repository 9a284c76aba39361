//! The cluster as a map from (kind, namespace, name) to JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, Service};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::sources::{self, Changed};

type Key = (String, String, String);

#[derive(Clone)]
pub struct Sources {
    objects: Arc<Mutex<BTreeMap<Key, Value>>>,
    revision: Arc<Mutex<u64>>,
    changes: broadcast::Sender<Changed>,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources { objects: Arc::default(), revision: Arc::default(), changes: broadcast::channel(256).0 }
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Sources {
    fn key(object: &Value) -> Key {
        let part = |pointer: &str| text(object, pointer).to_owned();
        (part("/kind"), part("/metadata/namespace"), part("/metadata/name"))
    }

    /// Stores an object under a new revision and tells of it.
    pub fn put_json(&self, mut object: Value) -> Value {
        let key = Sources::key(&object);
        {
            let mut revision = self.revision.lock();
            *revision += 1;
            object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        }
        self.objects.lock().insert(key.clone(), object.clone());
        self.tell(&key);
        object
    }

    pub fn get_json(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.objects.lock().get(&(kind.into(), namespace.into(), name.into())).cloned()
    }

    pub fn remove(&self, kind: &str, namespace: &str, name: &str) {
        let key = (kind.into(), namespace.into(), name.into());
        self.objects.lock().remove(&key);
        self.tell(&key);
    }

    fn tell(&self, (kind, namespace, name): &Key) {
        let (namespace, name) = (namespace.clone(), name.clone());
        let change = match kind.as_str() {
            "Pod" => Changed::Pod { namespace, name },
            "ConfigMap" => Changed::ConfigMap { namespace, name },
            "Secret" => Changed::Secret { namespace, name },
            _ => Changed::Node,
        };
        let _nobody = self.changes.send(change);
    }

    fn get<K: DeserializeOwned>(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_json(kind, namespace, name).map(typed)
    }

    fn list<K: DeserializeOwned>(&self, kind: &str, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.objects.lock();
        let wanted = |key: &Key| key.0 == kind && (namespace.is_empty() || key.1 == namespace);
        objects.iter().filter(|(key, _)| wanted(key)).map(|(_, object)| typed(object.clone())).collect()
    }
}

fn typed<K: DeserializeOwned>(object: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(object).expect("a test's object is of its kind"))
}

impl sources::Sources for Sources {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.list("Pod", "")
    }
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.get("Pod", namespace, name)
    }
    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>> {
        self.get("ConfigMap", namespace, name)
    }
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        self.get("Secret", namespace, name)
    }
    fn services(&self, namespace: &str) -> Vec<Arc<Service>> {
        self.list("Service", namespace)
    }
    fn node(&self) -> Option<Arc<Node>> {
        self.list("Node", "").into_iter().next()
    }
    fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }
}
