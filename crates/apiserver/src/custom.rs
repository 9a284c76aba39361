//! Custom resources: rows of the table made of CustomResourceDefinitions at run time, served by the same code as all others.
//!
//! One task follows the definitions: it writes their status, swaps the table, makes and closes caches, and empties what a
//! deleted definition leaves. Conversion between versions is `conversion`'s.

use std::collections::HashMap;
use std::sync::Arc;

use api::kind::Version;
use api::kinds::custom;
use api::schema::Schema;
use api::{Kind, Kinds, Object, Resource, Value, structural};

use crate::codec::Strictness;
use crate::engine::Target;
use crate::engine::delete::Options;
use crate::engine::update::Part;
use crate::server::Inner;
use crate::status::{Result, Status};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The schema of a kind's version.
pub(crate) fn schema_of(version: &Version) -> Schema<'_> {
    match &version.structural {
        Some(schema) => Schema::Resource(schema),
        None if version.type_name.is_empty() => Schema::Free,
        None => crate::manage::built_in(version.type_name),
    }
}

/// Takes fields away that a custom resource's schema does not know.
pub(crate) fn prune(
    target: &Target,
    value: &mut Value,
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if !target.kind.custom {
        return Ok(());
    }
    let Some(schema) = &target.version().structural else { return Ok(()) };
    let cannot = |error: &dyn std::fmt::Display| {
        let (kind, version) = (&target.kind.kind, &target.version().name);
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {error}"))
    };
    let strict = structural::prune(value, schema).map_err(|error| cannot(&error))?;
    match strictness {
        Strictness::Ignore => {}
        Strictness::Warn => warnings.extend(strict),
        Strictness::Strict if strict.is_empty() => {}
        Strictness::Strict => return Err(cannot(&format!("strict decoding error: {}", strict.join(", ")))),
    }
    Ok(())
}

/// CustomResourceDefinitions themselves.
pub(crate) fn is_definition(target: &Target) -> bool {
    target.storage.resource.group == GROUP && target.storage.resource.plural == PLURAL
}

/// What a definition gets when it is deleted: its instances go first.
pub(crate) fn deleting(target: &Target, value: &mut Value, now: &str) {
    if !is_definition(target) {
        return;
    }
    let list =
        |value: &Value, path: &[&str]| value.at(path).and_then(Value::as_array).unwrap_or_default().to_vec();
    let mut finalizers = list(value, &["metadata", "finalizers"]);
    if !finalizers.iter().any(|name| name.as_str() == Some(CLEANUP)) {
        finalizers.push(CLEANUP.into());
        value.set(&["metadata", "finalizers"], finalizers);
    }
    let mut conditions = list(value, &["status", "conditions"]);
    conditions.retain(|condition| condition.str_at(&["type"]) != "Terminating");
    let mut condition = Value::object();
    for (field, text) in [
        ("type", "Terminating"),
        ("status", "True"),
        ("lastTransitionTime", now),
        ("reason", "InstanceDeletionPending"),
        ("message", "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"),
    ] {
        condition.set(&[field], text);
    }
    conditions.push(condition);
    value.set(&["status", "conditions"], conditions);
}

/// What is served of the definitions, by resource.
#[derive(Default)]
struct Served(HashMap<Resource, Row>);

struct Row {
    /// The definition's `spec` and accepted names, as they were when the row was made.
    made_of: Value,
    kind: Arc<Kind>,
}

/// Serves what is defined, then follows the definitions.
pub(crate) async fn start(inner: &Arc<Inner>, built_in: Kinds) {
    let Some(cache) = inner.caches.named(GROUP, PLURAL) else { return };
    let mut served = Served::default();
    let (snapshot, mut subscription) = cache.watch();
    let all: Vec<Arc<Object>> = snapshot.iter().cloned().collect();
    drop(snapshot);
    served.bring_up(inner, &built_in, &all).await;
    let own = inner.clone();
    inner.tasks.spawn("custom-resources", async move {
        while subscription.next().await.is_ok() {
            let all: Vec<Arc<Object>> = cache.snapshot().iter().cloned().collect();
            served.bring_up(&own, &built_in, &all).await;
        }
    });
}

impl Served {
    /// Level-triggered: makes what is served agree with the definitions.
    async fn bring_up(&mut self, inner: &Arc<Inner>, built_in: &Kinds, all: &[Arc<Object>]) {
        let values: Vec<Value> = all.iter().map(|object| object.value()).collect();
        let mut wanted: HashMap<Resource, Row> = HashMap::new();
        let mut names: HashMap<&str, custom::Names> = HashMap::new();
        for definition in &values {
            names.entry(definition.str_at(&["spec", "group"])).or_default().add(definition);
        }
        for definition in &values {
            let name = definition.str_at(&["metadata", "name"]);
            if definition.at(&["metadata", "deletionTimestamp"]).is_some() {
                self.empty(inner, definition);
            } else {
                let group = &names[definition.str_at(&["spec", "group"])];
                if let Some(status) = custom::status(definition, group, &inner.now()) {
                    write_status(inner, name, status).await;
                    // The write comes back as an event: what follows from it is done then.
                    if !is_established(definition) {
                        continue;
                    }
                }
            }
            if !is_established(definition) {
                continue;
            }
            let mut made_of = definition.get("spec").cloned().unwrap_or_default();
            made_of.set(
                &["acceptedNames"],
                definition.at(&["status", "acceptedNames"]).cloned().unwrap_or_default(),
            );
            let resource = Resource::new(
                definition.str_at(&["spec", "group"]),
                definition.str_at(&["spec", "names", "plural"]),
            );
            // To make a kind of a definition is the most of the work.
            if let Some(same) = self.0.get(&resource).filter(|row| row.made_of == made_of) {
                wanted.insert(resource, Row { made_of, kind: same.kind.clone() });
                continue;
            }
            match custom::kind_from_crd(definition) {
                Ok(mut kind) => {
                    kind.converter = crate::conversion::Webhook::of(inner, definition);
                    let kind = Arc::new(kind);
                    wanted.insert(kind.resource.clone(), Row { made_of, kind });
                }
                Err(errors) => {
                    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
                    tracing::warn!(name, errors = text.join("; "), "a definition cannot be served");
                }
            }
        }
        let gone: Vec<Resource> =
            self.0.keys().filter(|resource| !wanted.contains_key(resource)).cloned().collect();
        let mut changed = !gone.is_empty();
        for resource in &gone {
            self.0.remove(resource);
        }
        let mut new = Vec::new();
        for (resource, row) in wanted {
            match self.0.get(&resource) {
                Some(old) if old.made_of == row.made_of => {}
                Some(old) => {
                    changed = true;
                    if needs_new_cache(&old.kind, &row.kind) {
                        new.push(row.kind.clone());
                    }
                    self.0.insert(resource, row);
                }
                None => {
                    changed = true;
                    new.push(row.kind.clone());
                    self.0.insert(resource, row);
                }
            }
        }
        if !changed {
            return;
        }
        // The cache is there before anybody can ask for it, and the path is gone before the cache.
        for kind in new {
            inner.filler.add(kind).await;
        }
        let mut rows: Vec<Arc<Kind>> = self.0.values().map(|row| row.kind.clone()).collect();
        rows.sort_by(|one, other| one.resource.cmp(&other.resource));
        inner.kinds.store(Arc::new(built_in.with(rows)));
        for resource in gone {
            inner.filler.remove(resource).await;
        }
    }

    /// Deletes the instances of a definition that is being deleted, then lets it go.
    fn empty(&self, inner: &Arc<Inner>, definition: &Value) {
        let name = definition.str_at(&["metadata", "name"]).to_string();
        let finalizers =
            definition.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
        if !finalizers.iter().any(|name| name.as_str() == Some(CLEANUP)) {
            return;
        }
        let resource = Resource::new(
            definition.str_at(&["spec", "group"]),
            definition.str_at(&["spec", "names", "plural"]),
        );
        let kind = self.0.get(&resource).map(|row| row.kind.clone());
        let inner = inner.clone();
        let tasks = inner.tasks.clone();
        tasks.spawn("empty-definition", async move {
            if let Some(kind) = kind
                && let Err(status) = delete_all(&inner, &kind).await
            {
                tracing::warn!(
                    name,
                    message = status.message(),
                    "cannot delete the instances of a definition"
                );
                return;
            }
            let make = |old: &Value| {
                let mut new = old.clone();
                let list = old.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
                let left: Vec<Value> =
                    list.iter().filter(|name| name.as_str() != Some(CLEANUP)).cloned().collect();
                new.set(&["metadata", "finalizers"], left);
                Ok(new)
            };
            match inner.change((GROUP, "v1", PLURAL, "", &name), Part::Main, &make).await {
                Err(status) if status.reason() != "NotFound" => {
                    tracing::warn!(name, message = status.message(), "cannot let a definition go");
                }
                _ => {}
            }
        });
    }
}

fn is_established(definition: &Value) -> bool {
    api::pod::condition(definition, "Established")
        .is_some_and(|condition| condition.str_at(&["status"]) == "True")
}

/// What the cache knows of its kind differs. Watches of it end, as upstream's do.
fn needs_new_cache(old: &Kind, new: &Kind) -> bool {
    let fields = |kind: &Kind| kind.fields.iter().map(|field| field.label.clone()).collect::<Vec<_>>();
    // Its defaults are filled in when an object is read from the store.
    old.storage().name != new.storage().name
        || old.storage().schema != new.storage().schema
        || old.kind != new.kind
        || old.namespaced != new.namespaced
        || fields(old) != fields(new)
        || old.converter.is_some() != new.converter.is_some()
}

async fn write_status(inner: &Arc<Inner>, name: &str, status: Value) {
    let make = |old: &Value| {
        let mut new = old.clone();
        new.remove(&["metadata", "resourceVersion"]);
        new.set(&["status"], status.clone());
        Ok(new)
    };
    if let Err(status) = inner.change((GROUP, "v1", PLURAL, "", name), Part::Status, &make).await {
        tracing::warn!(name, message = status.message(), "cannot write a definition's status");
    }
}

/// Deletes every object of a kind and returns once there is none.
async fn delete_all(inner: &Arc<Inner>, kind: &Kind) -> Result<()> {
    let Some(cache) = inner.caches.get(&kind.resource) else { return Ok(()) };
    let options = Options { admitted: true, ..Options::default() };
    loop {
        let (snapshot, mut subscription) = cache.watch();
        if snapshot.is_empty() {
            return Ok(());
        }
        let version = &kind.storage().name;
        for object in snapshot.iter() {
            let place = (
                kind.resource.group.as_str(),
                version.as_str(),
                kind.resource.plural.as_str(),
                object.namespace(),
                object.name(),
            );
            let call = inner.own_call(place, "delete")?;
            match call.delete_one(object.name(), object.namespace(), &options).await {
                Err(status) if status.reason() != "NotFound" => return Err(status),
                _ => {}
            }
        }
        drop(snapshot);
        if cache.is_empty() {
            return Ok(());
        }
        // Somebody's finalizer holds the rest.
        if subscription.next().await.is_err() {
            return Ok(());
        }
    }
}
