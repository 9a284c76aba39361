//! What a sync would do, found out without the engine: the sources are looked at and rendered here, every object is
//! applied as a dry run, and the differences are what the API server says they are. Nothing is changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use api::Value;
use jiff::Timestamp;

use super::{Fault, Row, lines};
use crate::artifact::Store;
use crate::child::{self, Answer};
use crate::cluster::{Apply, Cluster, Metadata};
use crate::engine::index::{Index, masked};
use crate::frontends::{self, Context, FrontEnd, Settings};
use crate::inventory::{Id, Inventory, Owned};
use crate::known::Known;
use crate::mask;
use crate::plan::{self, Live, Order, Standing};
use crate::policy::Policy;
use crate::source::{Limits, Request};
use crate::step::Phase;
use crate::wish;

/// One object that would change.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: Id,
    pub phase: Phase,
    pub wave: i32,
    /// `create`, `change`, `run` (a hook) or `prune`.
    pub what: &'static str,
    /// In the unified form of `diff`.
    pub difference: String,
    /// Why it cannot be done.
    pub fault: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    pub revisions: Vec<String>,
    /// In the order in which they would be done.
    pub changes: Vec<Change>,
    /// Objects in step.
    pub same: usize,
    /// Objects that Git no longer has and that would stay, each with the reason.
    pub kept: Vec<(Id, &'static str)>,
    /// What is odd, and does not stop anything.
    pub warnings: Vec<String>,
}

/// Looks; `directory` is for clones and manifests and may be removed afterwards. `prune`: also where the policy does not.
pub async fn preview(
    cluster: &Cluster,
    row: &Row,
    command: &child::Command,
    directory: &Path,
    prune: bool,
    now: Timestamp,
) -> Result<Preview, Fault> {
    let front = row.front;
    let refused = |text: String| Fault::Refused { name: row.name().into(), text };
    let known = known(cluster, front).await?;
    let settings = Settings::default();
    let context = Context::new(&settings, &known, now);
    let mut app = (front.read)(&row.object, &context).map_err(|fault| refused(fault.text))?;
    wish::heed(&row.object, &mut app, now).map_err(|fault| refused(fault.text))?;
    if app.suspended {
        return Err(refused("it is suspended; `skiff fleet resume` lets it follow again".into()));
    }
    let inputs = (front.inputs)(cluster, &settings, &app).await.map_err(refused)?;
    let mut recipe = app.recipe.clone();
    if let Some(variables) = &mut recipe.finish.substitute {
        let own = std::mem::replace(variables, inputs.variables.clone());
        variables.extend(own);
    }
    let store = Store::new(directory.join("application"));
    let request = Request {
        fetches: recipe.fetches(&inputs, &directory.join("sources"), None),
        recipe,
        manifests: store.incoming(),
        limits: Limits::default(),
        now: u64::try_from(now.as_second()).unwrap_or_default(),
    };
    let made = |error: std::io::Error| refused(format!("cannot make {}: {error}", directory.display()));
    std::fs::create_dir_all(directory.join("application")).map_err(made)?;
    std::fs::create_dir_all(directory.join("sources")).map_err(made)?;
    let (answer, _) = child::run(command, &request).await;
    let answer = answer.map_err(|error| refused(base::chain(&error).to_string()))?;
    let artifact = match answer {
        Answer::Artifact(artifact) => artifact,
        Answer::Unavailable(text)
        | Answer::Absent(text)
        | Answer::Unrenderable { text, .. }
        | Answer::Unsigned { text, .. } => {
            return Err(refused(text));
        }
        Answer::Unchanged(_) => return Err(refused("the source gave nothing".into())),
    };
    let broken = |error: crate::artifact::Error| refused(base::chain(&error).to_string());
    store.accept(&artifact).map_err(broken)?;
    let index =
        Index::make(cluster, front, &app, &store, &artifact, &Inventory::default()).await.map_err(broken)?;
    let writer = cluster.acting_as(app.user.as_deref());

    let mut result = Preview { revisions: artifact.revisions.clone(), ..Preview::default() };
    result.warnings.extend(app.warnings.iter().map(|fault| fault.text.clone()));
    let mut inventory = Inventory::default();
    let mut live = BTreeMap::new();
    let mut found: BTreeMap<Id, Change> = BTreeMap::new();
    for wanted in &index.wanted {
        let mut change = Change {
            id: wanted.id.clone(),
            phase: wanted.place.phase,
            wave: wanted.place.wave,
            what: if wanted.place.hook.is_some() { "run" } else { "change" },
            difference: String::new(),
            fault: wanted.denied.clone(),
        };
        if wanted.place.hook.is_some() || wanted.place.skip {
            found.insert(wanted.id.clone(), change);
            continue;
        }
        let mut manifest = store.read(&artifact, wanted.offset).map_err(broken)?;
        masked(&mut manifest);
        index.prepare(front, &app, &mut manifest);
        let kind = match cluster.kind(manifest.str_at(&["apiVersion"]), &wanted.id.kind).await {
            Ok(kind) => kind,
            Err(error) => {
                change.what = "create";
                change.fault = Some(error.text());
                found.insert(wanted.id.clone(), change);
                continue;
            }
        };
        let id = &wanted.id;
        let now_there = writer.get(&kind, &id.namespace, &id.name).await?;
        if let Some(object) = &now_there {
            mask::apply(&app.masks, id, &mut manifest, object, &wanted.masked, now);
        }
        let how = Apply { dry_run: true, strict: app.policy.validate };
        let then = match writer.apply(&kind, &manifest, how).await {
            Ok(then) => Some(then),
            // Its namespace may come with the same sync.
            Err(error) if error.code() == Some(404) && now_there.is_none() => Some(manifest),
            Err(error) => {
                change.fault.get_or_insert(error.text());
                None
            }
        };
        let text = |object: Option<&Value>| object.map(printed).unwrap_or_default();
        let (before, after) = (text(now_there.as_ref()), text(then.as_ref()));
        if then.is_some() {
            change.difference = lines::unified(&before, &after);
        }
        let mut owned = Owned { version: wanted.version.clone(), ..Owned::default() };
        if let Some(object) = &now_there {
            let seen = seen(front, &app.instance, &Metadata::of(object));
            owned.uid = seen.uid.clone();
            owned.fields = seen.fields.clone();
            live.insert(id.clone(), seen);
        } else {
            change.what = "create";
        }
        if change.fault.is_none() && change.difference.is_empty() {
            owned.hash = wanted.hash.clone();
        }
        inventory.objects.insert(id.clone(), owned);
        found.insert(id.clone(), change);
    }
    for (id, version) in (front.listed)(&row.object) {
        if inventory.objects.contains_key(&id) {
            continue;
        }
        let Ok(kind) = cluster.kind(&id.api_version(&version), &id.kind).await else { continue };
        let Some(object) = writer.get(&kind, &id.namespace, &id.name).await? else { continue };
        let seen = seen(front, &app.instance, &Metadata::of(&object));
        let place = (front.place)(&object);
        let owned = Owned {
            version: version.into(),
            uid: seen.uid.clone(),
            keep: place.keep,
            wave: place.wave,
            ..Owned::default()
        };
        inventory.objects.insert(id.clone(), owned);
        live.insert(id, seen);
    }
    let policy =
        Policy { automated: true, heal: true, prune: app.policy.prune || prune, ..app.policy.clone() };
    let order = Order { sync: true, prune, only_out_of_sync: true, only: None };
    let plan = plan::plan(&index.wanted, &inventory, &live, &policy, order, artifact.deliberate_empty);
    result.same = plan.standing.values().filter(|one| **one == Standing::InSync).count();
    for step in &plan.steps {
        for at in &step.apply {
            result.changes.extend(found.remove(&index.wanted[*at].id));
        }
    }
    for id in &plan.prune {
        let what = "prune";
        let change = Change {
            id: id.clone(),
            phase: Phase::Sync,
            wave: 0,
            what,
            difference: String::new(),
            fault: None,
        };
        result.changes.push(change);
    }
    result.kept = plan
        .kept
        .iter()
        .map(|(id, why)| {
            let why = match why {
                plan::Kept::PruneOff if plan.refused_empty => "the source holds no objects at all",
                plan::Kept::PruneOff if plan.refused_shrink.is_some() => {
                    "more would go than its shrink threshold allows"
                }
                plan::Kept::PruneOff => "pruning is off",
                plan::Kept::AskedToStay => "it asks to stay",
                plan::Kept::NotOurs => "it is not this application's any more",
            };
            (id.clone(), why)
        })
        .collect();
    Ok(result)
}

/// The driving objects of the same owner, and what they refer to.
async fn known(cluster: &Cluster, front: &FrontEnd) -> Result<Known, Fault> {
    let known = Known::default();
    let own = frontends::ALL.iter().filter(|other| other.name == front.name);
    let kinds =
        own.flat_map(|one| [(one.api_version, one.kind)].into_iter().chain(one.references.iter().copied()));
    for (api_version, name) in kinds {
        let kind = cluster.kind(api_version, name).await?;
        let (objects, _) = cluster.list_all(&kind).await?;
        let objects: Vec<Arc<Value>> = objects.into_iter().map(Arc::new).collect();
        known.replace(name, &objects);
    }
    Ok(known)
}

fn seen(front: &FrontEnd, instance: &str, meta: &Metadata) -> Live {
    let mark = (front.marked_by)(meta);
    Live {
        uid: meta.uid.clone(),
        fields: meta.our_fields(),
        marked: mark.as_deref() == Some(instance),
        marked_by_other: mark.filter(|mark| mark != instance).map(Into::into),
        owned: meta.owner_references.iter().any(|owner| owner.controller),
        deleting: meta.deletion_timestamp.is_some(),
        left_alone: (front.left_alone)(meta),
    }
}

/// An object as YAML, without what only servers write, and with Secrets' values hidden.
fn printed(object: &Value) -> String {
    let mut object = object.clone();
    for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"] {
        object.remove(&["metadata", field]);
    }
    object.remove(&["status"]);
    if object.str_at(&["kind"]) == "Secret" {
        for field in ["data", "stringData"] {
            for (_, value) in
                object.get_mut(field).and_then(Value::as_map_mut).into_iter().flat_map(|map| map.iter_mut())
            {
                *value = format!("(hidden, {})", crate::hash::short(&value.to_json())).into();
            }
        }
    }
    let mut text = String::new();
    render::yaml::emit(&object, &mut text);
    text
}
