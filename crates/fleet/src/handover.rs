//! Taking over from the owner's own controller, and handing back to it. Neither restarts a pod: only metadata changes, the
//! record of whose the fields are. What Git has is compared afterwards, by whoever has the objects then.
//!
//! An object that drives us says by [`HANDED_BACK`] that it is not ours; the engine answers there that it let go, and
//! only then are fields moved.

use std::time::Duration;

use api::{Map, Value};
use tokio::time::Instant;

use crate::adopt;
use crate::app::App;
use crate::cluster::{Cluster, Error, MANAGER, Metadata};
use crate::frontends::argocd::spec::TRACKING;
use crate::frontends::{self, FrontEnd, Settings};
use crate::inventory::Id;
use crate::neighbours::{Neighbours, Standing};

/// On a driving object: it was handed back to its owner's controller. `asked`, then `done` when the engine let it go.
pub const HANDED_BACK: &str = "skiff-fleet/handed-back";
const ASKED: &str = "asked";
const DONE: &str = "done";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Between two looks whether the engine let go.
const LOOK: Duration = Duration::from_millis(200);
/// Others write the same objects all the time: how often a patch of whose the fields are is made anew.
const TRIES: usize = 5;

/// Why it was not begun, or did not end.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no front end {0}; argocd and flux are known")]
    Unknown(String),
    #[error(
        "{sign} is to run, or was live a moment ago, and follows the same objects; scale it down first: kubectl -n {namespace} scale {kind} {name} --replicas=0"
    )]
    Live { sign: String, namespace: String, kind: String, name: String },
    #[error("whether {owner}'s own controller is live cannot be told: {text}")]
    Blind { owner: &'static str, text: String },
    #[error(transparent)]
    Cluster(#[from] Error),
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `Kind namespace/name` of the object that drives.
    pub by: String,
    pub id: Id,
    pub what: What,
}

/// See [`Told`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Its fields have another owner now.
    Moved,
    /// There was nothing to move.
    Already,
    /// It is listed and not there.
    Gone,
    /// It bears another's mark or none.
    NotMarked,
    /// A controller made it of another object.
    Child,
    Failed(String),
}

pub(crate) fn is_handed_back(object: &Value) -> bool {
    !object.str_at(&["metadata", "annotations", HANDED_BACK]).is_empty()
}

/// The patch by which the engine says that it let go; `None`: it said so.
pub(crate) fn acknowledged(object: &Value) -> Option<Value> {
    (object.str_at(&["metadata", "annotations", HANDED_BACK]) == ASKED).then(|| annotation(DONE))
}

fn annotation(value: impl Into<Value>) -> Value {
    let mut patch = Value::object();
    patch.set(&["metadata", "annotations", HANDED_BACK], value);
    patch
}

fn fronts(owner: &str) -> Result<Vec<&'static FrontEnd>, Fault> {
    let all: Vec<_> = frontends::ALL.iter().copied().filter(|front| front.name == owner).collect();
    if all.is_empty() { Err(Fault::Unknown(owner.into())) } else { Ok(all) }
}

/// Makes ours what an owner's controller made, if that controller is scaled down; a Lease that is still held is given
/// time to run out.
pub async fn take_over(cluster: &Cluster, owner: &str, settings: &Settings) -> Result<Vec<Told>, Fault> {
    let fronts = fronts(owner)?;
    let owner = fronts[0].name;
    let neighbours = Neighbours::new(cluster, owner);
    let free = async {
        let mut standing = neighbours.changes(None).await;
        loop {
            match &standing {
                Standing::Free => return Ok(()),
                Standing::Unknown(text) => return Err(Fault::Blind { owner, text: text.clone() }),
                Standing::Taken(sign) if sign.kind != "Lease" => {
                    return Err(Fault::Live {
                        sign: sign.to_string(),
                        namespace: sign.namespace.clone(),
                        kind: sign.kind.to_lowercase(),
                        name: sign.name.clone(),
                    });
                }
                Standing::Taken(sign) => {
                    let waited = tokio::time::timeout(PATIENCE, neighbours.changes(Some(&standing))).await;
                    let controller = sign.name.trim_end_matches("-leader-election");
                    standing = waited.map_err(|_| Fault::Live {
                        sign: sign.to_string(),
                        namespace: sign.namespace.clone(),
                        kind: "deployment".into(),
                        name: controller.into(),
                    })?;
                }
            }
        }
    };
    tokio::select! {
        free = free => free?,
        () = neighbours.follow() => {}
    }
    let mut told = Vec::new();
    for front in fronts {
        for object in driving(cluster, front).await? {
            told.extend(all(cluster, front, &object, settings, Direction::Ours).await);
            if is_handed_back(&object) {
                patch(cluster, front, &object, &annotation(Value::Null)).await?;
            }
        }
    }
    Ok(told)
}

/// A Lease that nobody renews runs out within a minute, whatever its owner's settings.
const PATIENCE: Duration = Duration::from_secs(90);

/// Gives an owner's controller back what is ours; waits up to `patience` for an engine to let go. `false`: none answered.
pub async fn hand_back(
    cluster: &Cluster,
    owner: &str,
    settings: &Settings,
    patience: Duration,
) -> Result<(Vec<Told>, bool), Fault> {
    let fronts = fronts(owner)?;
    let mut answered = true;
    for front in &fronts {
        for object in driving(cluster, front).await? {
            if !is_handed_back(&object) {
                patch(cluster, front, &object, &annotation(ASKED)).await?;
            }
        }
    }
    let end = Instant::now() + patience;
    for front in &fronts {
        loop {
            let waiting = driving(cluster, front).await?.iter().any(|object| acknowledged(object).is_some());
            if !waiting {
                break;
            }
            if Instant::now() >= end {
                answered = false;
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    let mut told = Vec::new();
    for front in fronts {
        for object in driving(cluster, front).await? {
            told.extend(all(cluster, front, &object, settings, Direction::Theirs).await);
        }
    }
    Ok((told, answered))
}

fn shown(front: &FrontEnd, object: &Value) -> String {
    let text = |field: &str| object.str_at(&["metadata", field]).to_string();
    format!("{} {}/{}", front.kind, text("namespace"), text("name"))
}

async fn driving(cluster: &Cluster, front: &FrontEnd) -> Result<Vec<Value>, Error> {
    match cluster.kind(front.api_version, front.kind).await {
        Ok(kind) => Ok(cluster.list_all(&kind).await?.0),
        // Nobody uses it here.
        Err(Error::Kind { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn patch(cluster: &Cluster, front: &FrontEnd, object: &Value, patch: &Value) -> Result<(), Error> {
    let kind = cluster.kind(front.api_version, front.kind).await?;
    let text = |field: &str| object.str_at(&["metadata", field]).to_string();
    cluster.merge_patch(&kind, &text("namespace"), &text("name"), patch).await.map(drop)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ours,
    Theirs,
}

/// One object that goes over.
struct Move<'a> {
    cluster: &'a Cluster,
    front: &'a FrontEnd,
    driving: &'a Value,
    settings: &'a Settings,
    id: &'a Id,
    version: &'a str,
    direction: Direction,
}

impl Move<'_> {
    async fn make(&self) -> What {
        for _ in 0..TRIES {
            match once(self).await {
                Ok(what) => return what,
                // Somebody wrote in between.
                Err(error) if matches!(error.code(), Some(409 | 422)) => {}
                Err(error) => return What::Failed(error.text()),
            }
        }
        What::Failed("others write it all the time; ask again".into())
    }
}

/// Moves everything that the owner's objects list.
async fn all(
    cluster: &Cluster,
    front: &FrontEnd,
    driving: &Value,
    settings: &Settings,
    direction: Direction,
) -> Vec<Told> {
    let mut told = Vec::new();
    for (id, version) in (front.listed)(driving) {
        let what =
            Move { cluster, front, driving, settings, id: &id, version: &version, direction }.make().await;
        told.push(Told { by: shown(front, driving), id, what });
    }
    told
}

async fn once(wanted: &Move<'_>) -> Result<What, Error> {
    let Move { cluster, front, driving, settings, id, version, direction } = *wanted;
    let kind = match cluster.kind(&id.api_version(version), &id.kind).await {
        Ok(kind) => kind,
        Err(Error::Kind { .. }) => return Ok(What::Gone),
        Err(error) => return Err(error),
    };
    let Some(live) = cluster.get(&kind, &id.namespace, &id.name).await? else { return Ok(What::Gone) };
    let meta = Metadata::of(&live);
    if meta.owner_references.iter().any(|owner| owner.controller) {
        return Ok(What::Child);
    }
    let app = App {
        namespace: driving.str_at(&["metadata", "namespace"]).into(),
        name: driving.str_at(&["metadata", "name"]).into(),
        instance: (front.instance)(driving, settings),
        destination: driving.str_at(&["spec", "destination", "namespace"]).into(),
        ..App::default()
    };
    let marked = (front.marked_by)(&meta);
    // Argo CD's older way: a label alone says whose an object is. Our mark is put beside it.
    let labelled = front.name == "argocd"
        && !meta.annotations.contains_key(TRACKING)
        && meta.labels.get("app.kubernetes.io/instance") == Some(&app.instance);
    if marked.as_ref() != Some(&app.instance) && !labelled {
        return Ok(What::NotMarked);
    }
    let patch_as = |manager: &'static str, patch: Value| {
        let (cluster, kind) = (cluster.clone(), kind.clone());
        async move { cluster.patch_as(manager, &kind, &id.namespace, &id.name, &patch).await }
    };
    if direction == Direction::Theirs {
        let Some(patch) = theirs(front, driving, &live) else { return Ok(What::Already) };
        patch_as(front.manager, patch).await?;
        return Ok(What::Moved);
    }
    // As Argo CD itself would do it: what it owns then becomes ours.
    let live = if labelled { patch_as(front.manager, mark(front, &app, live)).await? } else { live };
    let Some(patch) = adopt::take_over(&live) else { return Ok(What::Already) };
    patch_as(MANAGER, patch).await?;
    Ok(What::Moved)
}

/// The merge patch that puts our mark on an object.
fn mark(front: &FrontEnd, app: &App, mut object: Value) -> Value {
    (front.mark)(app, &mut object);
    let mut patch = Value::object();
    patch.set(&["metadata", "annotations", TRACKING], object.str_at(&["metadata", "annotations", TRACKING]));
    patch.set(&["metadata", "resourceVersion"], object.str_at(&["metadata", "resourceVersion"]));
    patch
}

fn operation(op: &str, path: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([("op", Value::from(op)), ("path", Value::from(path)), ("value", value)]))
}

/// Fails if somebody wrote since `live` was read.
fn unchanged(live: &Value) -> Value {
    let revision = live.at(&["metadata", "resourceVersion"]).cloned().unwrap_or_default();
    operation("replace", "/metadata/resourceVersion", revision)
}

/// The patch that makes our fields the owner's controller's, in the way in which that applies; `None`: none are ours.
fn theirs(front: &FrontEnd, driving: &Value, live: &Value) -> Option<Value> {
    let entries = live.at(&["metadata", "managedFields"])?.as_array()?;
    let is_ours =
        |entry: &Value| entry.str_at(&["manager"]) == MANAGER && entry.str_at(&["subresource"]).is_empty();
    let own = entries.iter().find(|entry| is_ours(entry))?;
    let options = driving.at(&["spec", "syncPolicy", "syncOptions"]).and_then(Value::as_array);
    let server_side = front.name != "argocd"
        || options.unwrap_or_default().iter().any(|one| one.as_str() == Some("ServerSideApply=true"));
    let mut given = own.clone();
    given.set(&["manager"], front.manager);
    given.set(&["operation"], if server_side { "Apply" } else { "Update" });
    let mut all: Vec<Value> = entries.iter().filter(|entry| !is_ours(entry)).cloned().collect();
    all.push(given);
    let mut patch = vec![operation("replace", "/metadata/managedFields", Value::Array(all)), unchanged(live)];
    if !server_side {
        // Who applies on the client's side takes away what its last note has and Git has not.
        let mut note = extract(live, own.get("fieldsV1")?);
        for field in ["apiVersion", "kind"] {
            note.set(&[field], live.str_at(&[field]));
        }
        for field in ["name", "namespace"] {
            if let Some(text) = live.at(&["metadata", field]) {
                note.set(&["metadata", field], text.clone());
            }
        }
        note.remove(&["metadata", "annotations", LAST_APPLIED]);
        let mut annotations = live.at(&["metadata", "annotations"]).cloned().unwrap_or_else(Value::object);
        annotations.set(&[LAST_APPLIED], format!("{note}\n"));
        patch.push(operation("add", "/metadata/annotations", annotations));
    }
    Some(Value::Array(patch))
}

/// The part of a value that a fieldsV1 set names.
fn extract(value: &Value, fields: &Value) -> Value {
    // `.` alone: the item itself, with nothing in it.
    let Some(set) = fields.as_map().filter(|set| !set.is_empty()) else { return value.clone() };
    if let Some(items) = value.as_array() {
        let picked = set.iter().filter_map(|(key, below)| {
            if let Some(text) = key.strip_prefix("v:") {
                let wanted: Value = serde_json::from_str(text).ok()?;
                return items.contains(&wanted).then_some(wanted);
            }
            let keys: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            let keys = keys.as_map()?;
            let item = items.iter().find(|item| keys.iter().all(|(key, is)| item.get(key) == Some(is)))?;
            let mut part = extract(item, below);
            for (key, is) in keys.iter() {
                part.set(&[key.as_str()], is.clone());
            }
            Some(part)
        });
        return Value::Array(picked.collect());
    }
    let mut part = Value::object();
    for (key, below) in set.iter() {
        if let Some(name) = key.strip_prefix("f:")
            && let Some(field) = value.get(name)
        {
            part.set(&[name], extract(field, below));
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_a_set_names_is_taken_out() {
        let value = parse(
            r#"{"a":{"x":1,"y":2},"list":[{"name":"c","image":"i","more":1},{"name":"d"}],"set":["p","q"],"whole":{"z":[1]}}"#,
        );
        let fields = parse(
            r#"{"f:a":{".":{},"f:x":{}},"f:list":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}},"f:set":{"v:\"q\"":{}},"f:whole":{},"f:gone":{}}"#,
        );
        assert_eq!(
            extract(&value, &fields).to_string(),
            r#"{"a":{"x":1},"list":[{"image":"i","name":"c"}],"set":["q"],"whole":{"z":[1]}}"#
        );
    }

    #[test]
    fn each_owner_gets_fields_back_as_it_applies() {
        let live = parse(
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"n","resourceVersion":"7","managedFields":[
            {"manager":"skiff-fleet","operation":"Apply","fieldsV1":{"f:data":{"f:k":{}}}},
            {"manager":"other","operation":"Update","fieldsV1":{"f:data":{"f:o":{}}}}]},"data":{"k":"v","o":"x"}}"#,
        );
        let client = theirs(&frontends::argocd::FRONT_END, &Value::Null, &live).unwrap().to_string();
        assert!(client.contains(r#""manager":"argocd-controller","operation":"Update""#), "{client}");
        assert!(
            client.contains(r#"{\"data\":{\"k\":\"v\"},\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}}"#),
            "{client}"
        );
        let server = parse(r#"{"spec":{"syncPolicy":{"syncOptions":["ServerSideApply=true"]}}}"#);
        let server = theirs(&frontends::argocd::FRONT_END, &server, &live).unwrap().to_string();
        assert!(server.contains(r#""operation":"Apply""#) && !server.contains("last-applied"), "{server}");
        let flux = theirs(&frontends::flux::APPLIER, &Value::Null, &live).unwrap().to_string();
        assert!(flux.contains(r#""manager":"kustomize-controller","operation":"Apply""#), "{flux}");
        let done = parse(r#"{"metadata":{"managedFields":[{"manager":"kustomize-controller"}]}}"#);
        assert_eq!(theirs(&frontends::flux::APPLIER, &Value::Null, &done), None);
    }
}
