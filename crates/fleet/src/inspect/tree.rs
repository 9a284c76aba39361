//! An application's objects and what controllers made of them, by owner references.

use std::collections::{BTreeMap, BTreeSet};

use api::Value;

use super::{Fault, Row};
use crate::cluster::{Cluster, Error};
use crate::health::{self, Status};
use crate::inventory::Id;

/// One object, and those that it owns.
pub struct Leaf {
    pub id: Id,
    /// `None`: it has no health, or is not there.
    pub health: Option<Status>,
    pub there: bool,
    pub message: String,
    pub below: Vec<Leaf>,
}

/// What controllers make, of which kinds; owners before the owned.
const MADE: [(&str, &str); 6] = [
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "ControllerRevision"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
];

/// The objects that an application's status lists.
pub async fn tree(cluster: &Cluster, row: &Row) -> Result<Vec<Leaf>, Fault> {
    let listed = (row.front.listed)(&row.object);
    let namespaces: BTreeSet<&str> =
        listed.iter().map(|(id, _)| id.namespace.as_str()).filter(|name| !name.is_empty()).collect();
    let mut made: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (api_version, name) in MADE {
        let kind = match cluster.kind(api_version, name).await {
            Ok(kind) => kind,
            Err(Error::Kind { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        for namespace in &namespaces {
            for mut object in cluster.list(&kind, namespace, "").await? {
                object.set(&["apiVersion"], api_version);
                object.set(&["kind"], name);
                let owner = owner(&object);
                made.entry(owner).or_default().push(object);
            }
        }
    }
    let mut leaves = Vec::with_capacity(listed.len());
    for (id, version) in listed {
        let live = match cluster.kind(&id.api_version(&version), &id.kind).await {
            Ok(kind) => cluster.get(&kind, &id.namespace, &id.name).await?,
            Err(Error::Kind { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        leaves.push(match live {
            Some(live) => leaf(row, &live, &mut made),
            None => Leaf { id, health: None, there: false, message: String::new(), below: Vec::new() },
        });
    }
    Ok(leaves)
}

fn owner(object: &Value) -> String {
    let all = object.at(&["metadata", "ownerReferences"]).and_then(Value::as_array).unwrap_or_default();
    let controller = all.iter().find(|one| one.get("controller").and_then(Value::as_bool) == Some(true));
    controller.or(all.first()).map(|one| one.str_at(&["uid"]).to_string()).unwrap_or_default()
}

fn leaf(row: &Row, live: &Value, made: &mut BTreeMap<String, Vec<Value>>) -> Leaf {
    let below = made.remove(live.str_at(&["metadata", "uid"])).unwrap_or_default();
    let api_version = live.str_at(&["apiVersion"]);
    let health = health::of(row.front.rules, live);
    Leaf {
        id: Id::new(
            api_version.split_once('/').map_or("", |(group, _)| group),
            live.str_at(&["kind"]),
            live.str_at(&["metadata", "namespace"]),
            live.str_at(&["metadata", "name"]),
        ),
        health: health.as_ref().map(|health| health.status),
        there: true,
        message: health.map(|health| health.message).unwrap_or_default(),
        below: below.iter().map(|one| leaf(row, one, made)).collect(),
    }
}
