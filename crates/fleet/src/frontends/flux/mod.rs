//! Flux' `GitRepository` and `Kustomization`: read, marked and shown as Flux v2 does it. A repository is fetched by its own
//! object, and its Kustomizations render the commit that it has; a repository out of reach stops none of them.
//!
//! Helm releases, other sources, decryption and other clusters are refused by name.

mod conditions;
mod definitions;
mod kustomization;
pub(crate) mod receiver;
mod repository;
mod secrets;
mod status;

use api::Value;
pub(crate) use secrets::bytes as secret_bytes;

use super::{FrontEnd, Level, Settings};
use crate::app::App;
use crate::cluster::Metadata;
use crate::health::Rules;
use crate::inventory::Id;
use crate::step::Place;

/// What Flux' controllers put on driving objects.
const FINALIZER: &str = "finalizers.fluxcd.io";
/// Whoever writes a new value here asks for a look now.
pub(crate) const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
/// Both kinds, as [`crate::frontends::Context::get`] knows them.
const REPOSITORY: &str = "GitRepository";
const KUSTOMIZATION: &str = "Kustomization";
const GROUP: &str = "kustomize.toolkit.fluxcd.io";

/// Where commits come from.
pub static SOURCE: FrontEnd = FrontEnd {
    name: "flux",
    api_version: "source.toolkit.fluxcd.io/v1",
    kind: REPOSITORY,
    references: &[],
    status_subresource: true,
    definitions: definitions::repository,
    read: repository::read,
    place: |_| Place::default(),
    mark: |_, _| {},
    marked_by: |_| None,
    instance,
    manager: "source-controller",
    left_alone: |_| false,
    tells_syncs: false,
    show: repository::show,
    transitions,
    listed: |_| Vec::new(),
    standing,
    inputs: secrets::find,
    rules: Rules::Kstatus,
    force_hint: "",
    component: "source-controller",
};

/// What is applied of them.
pub static APPLIER: FrontEnd = FrontEnd {
    name: "flux",
    api_version: "kustomize.toolkit.fluxcd.io/v1",
    kind: KUSTOMIZATION,
    references: &[],
    status_subresource: true,
    definitions: definitions::kustomization,
    read: kustomization::read,
    place,
    mark,
    marked_by,
    instance,
    manager: "kustomize-controller",
    left_alone,
    tells_syncs: false,
    show: status::show,
    transitions,
    listed: status::listed,
    standing,
    inputs: secrets::find,
    rules: Rules::Kstatus,
    force_hint: "spec.force: true, or the annotation kustomize.toolkit.fluxcd.io/force: enabled",
    component: "kustomize-controller",
};

fn instance(object: &Value, _: &Settings) -> String {
    format!("{}/{}", object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]))
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    let key = format!("{GROUP}/{name}");
    match object.str_at(&["metadata", "annotations", &key]) {
        "" => object.str_at(&["metadata", "labels", &key]),
        text => text,
    }
}

/// Options that objects carry as annotations or labels.
fn place(manifest: &Value) -> Place {
    let is = |name: &str, value: &str| annotation(manifest, name).eq_ignore_ascii_case(value);
    let keep = is("prune", "disabled");
    Place {
        leave: is("reconcile", "disabled") || is("ssa", "Ignore"),
        only_create: is("ssa", "IfNotPresent"),
        force: is("force", "enabled"),
        keep,
        survives: keep,
        ..Place::default()
    }
}

/// Whoever runs the cluster may say on the live object that it is left alone.
fn left_alone(meta: &Metadata) -> bool {
    let key = format!("{GROUP}/reconcile");
    [&meta.annotations, &meta.labels]
        .into_iter()
        .any(|all| all.get(&key).is_some_and(|text| text.eq_ignore_ascii_case("disabled")))
}

fn mark(app: &App, manifest: &mut Value) {
    for (name, text) in [("name", &app.name), ("namespace", &app.namespace)] {
        manifest.set(&["metadata", "labels", &format!("{GROUP}/{name}")], text.as_str());
    }
}

fn marked_by(meta: &Metadata) -> Option<String> {
    let label = |name: &str| meta.labels.get(&format!("{GROUP}/{name}"));
    Some(format!("{}/{}", label("namespace")?, label("name")?))
}

/// An event for each new state of readiness, with its reason.
fn transitions(old: &Value, new: &Value) -> Vec<(Level, &'static str, String)> {
    let (before, after) = (conditions::find(old, "Ready"), conditions::find(new, "Ready"));
    let Some(after) = after else { return Vec::new() };
    let same = before.is_some_and(|before| {
        ["status", "reason", "message"].iter().all(|field| before.str_at(&[field]) == after.str_at(&[field]))
    });
    let status = after.str_at(&["status"]);
    // Upstream waits for a source without a word.
    let waits = after.str_at(&["message"]).starts_with("Source artifact not found");
    if same || waits || status == "Unknown" {
        return Vec::new();
    }
    let level = if status == "True" { Level::Normal } else { Level::Warning };
    let reason = conditions::known(after.str_at(&["reason"]));
    vec![(level, reason, after.str_at(&["message"]).to_string())]
}

fn standing(object: &Value) -> (String, String) {
    let of = |kind: &str| conditions::find(object, kind).map(|one| one.str_at(&["status"]).to_string());
    let ready = of("Ready");
    let word = |status: Option<String>, yes: &str, no: &str| match status.as_deref() {
        Some("True") => yes.to_string(),
        Some("False") => no.to_string(),
        Some(_) => "Progressing".to_string(),
        None => "Unknown".to_string(),
    };
    let health = of("Healthy").or_else(|| ready.clone());
    (word(ready, "Ready", "NotReady"), word(health, "Healthy", "Degraded"))
}

/// An object's name in an inventory: `<namespace>_<name>_<group>_<kind>`, colons in names doubled underscores.
fn entry_id(id: &Id) -> String {
    format!("{}_{}_{}_{}", id.namespace, id.name.replace(':', "__"), id.group, id.kind)
}

fn parse_entry(text: &str) -> Option<Id> {
    let (namespace, rest) = text.split_once('_')?;
    let (rest, kind) = rest.rsplit_once('_')?;
    let (name, group) = rest.rsplit_once('_')?;
    Some(Id::new(group, kind, namespace, name.replace("__", ":")))
}

#[cfg(test)]
mod tests;
