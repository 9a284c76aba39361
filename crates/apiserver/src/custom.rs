//! Custom resources: rows of the table made of CustomResourceDefinitions at run time, served by the same code as all others.
//!
//! One task follows the definitions: it writes their status, swaps the table, makes and closes caches, and empties what a
//! deleted definition leaves. Conversion between versions is `conversion`'s.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::kind::Version;
use api::kinds::custom;
use api::schema::Schema;
use api::{Key, Kind, Kinds, Object, Revision, Value, structural};
use futures_util::StreamExt;
use smol_str::SmolStr;

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

/// The definitions as they were looked at last, and what is served of each.
#[derive(Default)]
struct Served {
    definitions: HashMap<Key, Definition>,
    /// Groups to look at again, though nothing of them changes: a status could not be written.
    again: HashSet<SmolStr>,
}

struct Definition {
    revision: Revision,
    /// Without managedFields.
    value: Value,
    kind: Option<Arc<Kind>>,
    /// Its instances are being deleted.
    emptying: Arc<AtomicBool>,
}

impl Definition {
    fn group(&self) -> &str {
        self.value.str_at(&["spec", "group"])
    }
}

/// Status writes at once: they share the flushes of the disk.
const WRITES: usize = 64;

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
        loop {
            // An error of a cache that is open: more came than it remembers while we worked. What there is says all.
            if subscription.next().await.is_err() && cache.is_closed() {
                return;
            }
            let (snapshot, news) = cache.watch();
            subscription = news;
            let all: Vec<Arc<Object>> = snapshot.iter().cloned().collect();
            drop(snapshot);
            served.bring_up(&own, &built_in, &all).await;
        }
    });
}

impl Served {
    /// Level-triggered: makes what is served agree with the definitions. What did not change since the last time costs next to nothing,
    /// unless its group did: the names of a group are given out among all of it.
    async fn bring_up(&mut self, inner: &Arc<Inner>, built_in: &Kinds, all: &[Arc<Object>]) {
        let (mut gone, mut new, mut changed) = (Vec::new(), Vec::new(), false);
        let mut before = HashMap::new();
        let groups = self.look(all, &mut before, &mut gone);
        let mut names: HashMap<SmolStr, custom::Names> = HashMap::new();
        for definition in self.definitions.values().filter(|one| groups.contains(one.group())) {
            names.entry(definition.group().into()).or_default().add(&definition.value);
        }
        let mut statuses = Vec::new();
        // In their order, so that of two that want a name at once the same one gets it always.
        for key in all.iter().map(|object| &object.key) {
            let Some(definition) = self.definitions.get_mut(key) else { continue };
            let name = key.name();
            if definition.value.at(&["metadata", "deletionTimestamp"]).is_some() {
                empty(inner, definition);
            } else if groups.contains(definition.group()) {
                let group = names.entry(definition.group().into()).or_default();
                if let Some(status) = custom::status(&definition.value, group, &inner.now()) {
                    let mut granted = Value::object();
                    granted.set(&["metadata", "name"], name);
                    granted.set(&["status"], status.clone());
                    group.add(&granted);
                    statuses.push((SmolStr::from(definition.group()), name.to_owned(), status));
                    // The write comes back as an event: what follows from it is done then.
                    if !is_established(&definition.value) {
                        continue;
                    }
                }
            }
            if !is_established(&definition.value) {
                gone.extend(definition.kind.take());
                continue;
            }
            // To make a kind of a definition is the most of the work.
            let Some(old) = before.get(key) else { continue };
            let same = old.as_ref().is_some_and(|old| made_of(old) == made_of(&definition.value));
            if same && definition.kind.is_some() {
                continue;
            }
            match custom::kind_from_crd(&definition.value) {
                Ok(mut kind) => {
                    kind.converter = crate::conversion::Webhook::of(inner, &definition.value);
                    let kind = Arc::new(kind);
                    if definition.kind.as_ref().is_none_or(|old| needs_new_cache(old, &kind)) {
                        new.push(kind.clone());
                    }
                    definition.kind = Some(kind);
                    changed = true;
                }
                Err(errors) => {
                    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
                    tracing::warn!(name, errors = text.join("; "), "a definition cannot be served");
                    gone.extend(definition.kind.take());
                }
            }
        }
        if changed || !gone.is_empty() {
            // The cache is there before anybody can ask for it, and the path is gone before the cache.
            for kind in new {
                inner.filler.add(kind).await;
            }
            let kinds = self.definitions.values().filter_map(|definition| definition.kind.clone());
            let mut rows: Vec<Arc<Kind>> = kinds.collect();
            rows.sort_by(|one, other| one.resource.cmp(&other.resource));
            inner.kinds.store(Arc::new(built_in.with(rows)));
            for kind in gone {
                inner.filler.remove(kind.resource.clone()).await;
            }
        }
        let writes = statuses.into_iter().map(|(group, name, status)| async move {
            (!write_status(inner, &name, status).await).then_some(group)
        });
        let failed = futures_util::stream::iter(writes).buffer_unordered(WRITES);
        self.again = failed.filter_map(std::future::ready).collect().await;
    }

    /// Takes in what changed since the last time: `before` has what each of these was, `None` if it is new. Gives the groups of
    /// which something changed.
    fn look(
        &mut self,
        all: &[Arc<Object>],
        before: &mut HashMap<Key, Option<Value>>,
        gone: &mut Vec<Arc<Kind>>,
    ) -> HashSet<SmolStr> {
        let mut groups = std::mem::take(&mut self.again);
        let there: HashSet<&Key> = all.iter().map(|object| &object.key).collect();
        self.definitions.retain(|key, definition| {
            let stays = there.contains(key);
            if !stays {
                groups.insert(definition.group().into());
                gone.extend(definition.kind.take());
            }
            stays
        });
        for object in all {
            let known = self.definitions.get_mut(&object.key);
            if known.as_ref().is_some_and(|known| known.revision == object.revision) {
                continue;
            }
            let mut value = object.value();
            value.remove(&["metadata", "managedFields"]);
            groups.insert(value.str_at(&["spec", "group"]).into());
            let key = object.key.clone();
            match known {
                Some(known) => {
                    known.revision = object.revision;
                    before.insert(key, Some(std::mem::replace(&mut known.value, value)));
                }
                None => {
                    let (revision, emptying) = (object.revision, Arc::default());
                    self.definitions
                        .insert(key.clone(), Definition { revision, value, kind: None, emptying });
                    before.insert(key, None);
                }
            }
        }
        groups
    }
}

/// What of a definition its kind is made of.
fn made_of(definition: &Value) -> (Option<&Value>, Option<&Value>) {
    (definition.get("spec"), definition.at(&["status", "acceptedNames"]))
}

/// Deletes the instances of a definition that is being deleted, then lets it go.
fn empty(inner: &Arc<Inner>, definition: &Definition) {
    let name = definition.value.str_at(&["metadata", "name"]).to_string();
    let finalizers =
        definition.value.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
    if !finalizers.iter().any(|name| name.as_str() == Some(CLEANUP)) {
        return;
    }
    let emptying = definition.emptying.clone();
    if emptying.swap(true, Ordering::Relaxed) {
        return;
    }
    let kind = definition.kind.clone();
    let inner = inner.clone();
    let tasks = inner.tasks.clone();
    tasks.spawn("empty-definition", async move {
        if let Some(kind) = kind
            && let Err(status) = delete_all(&inner, &kind).await
        {
            tracing::warn!(name, message = status.message(), "cannot delete the instances of a definition");
            // Another look at it is another try.
            emptying.store(false, Ordering::Relaxed);
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
        emptying.store(false, Ordering::Relaxed);
    });
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

/// Whether it was written.
async fn write_status(inner: &Arc<Inner>, name: &str, status: Value) -> bool {
    let make = |old: &Value| {
        let mut new = old.clone();
        new.remove(&["metadata", "resourceVersion"]);
        new.set(&["status"], status.clone());
        Ok(new)
    };
    match inner.change((GROUP, "v1", PLURAL, "", name), Part::Status, &make).await {
        Ok(_) => true,
        Err(status) => {
            tracing::warn!(name, message = status.message(), "cannot write a definition's status");
            false
        }
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
        // Somebody's finalizer holds the rest. An error of an open cache: it fell behind, and looks anew.
        if subscription.next().await.is_err() && cache.is_closed() {
            return Ok(());
        }
    }
}
