//! The status of an `Application`, with Argo CD's fields. It has no status subresource, as upstream's.

use std::collections::BTreeSet;

use api::{Map, Value};
use jiff::Timestamp;

use super::spec::REFRESH;
use crate::app::{App, FaultKind, ObjectState, ResultKind, State, SyncPhase, SyncState};
use crate::health::{Health, Status};
use crate::plan::{Kept, Standing};

/// Syncs that `status.history` keeps if the spec does not say.
const HISTORY: usize = 10;

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(
        fields.into_iter().filter(|(_, value)| !value.is_null() && value.as_str() != Some("")).collect(),
    )
}

fn time(at: Timestamp) -> Value {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    Value::String(whole.to_string().into())
}

/// See [`crate::frontends::FrontEnd::show`].
pub(super) fn show(app: &App, object: &Value, state: &State, now: Timestamp) -> Option<Value> {
    let old = object.get("status").cloned().unwrap_or_else(Value::object);
    let mut new = old.clone();
    for field in ["sync", "health", "resources", "conditions", "summary", "sourceType"] {
        new.remove(&[field]);
    }
    let spec_source = object.at(&["spec", "source"]).cloned().unwrap_or_default();
    let revision = state.artifact.as_ref().map(|artifact| artifact.revision.as_str()).unwrap_or_default();
    let sync = match (state.compared, state.synced) {
        (false, _) => "Unknown",
        (true, true) => "Synced",
        (true, false) => "OutOfSync",
    };
    let destination = object.at(&["spec", "destination"]).cloned().unwrap_or_default();
    let compared = map([("source", spec_source.clone()), ("destination", destination)]);
    new.set(
        &["sync"],
        map([("status", sync.into()), ("revision", revision.into()), ("comparedTo", compared)]),
    );

    let health = overall(state);
    let before = old.str_at(&["health", "status"]);
    let since = if before == health {
        old.at(&["health", "lastTransitionTime"]).cloned().unwrap_or_else(|| time(now))
    } else {
        time(now)
    };
    new.set(&["health"], map([("status", health.into()), ("lastTransitionTime", since)]));
    let resources: Vec<Value> = state.objects.iter().map(resource).collect();
    if !resources.is_empty() {
        new.set(&["resources"], Value::Array(resources));
    }
    let conditions = conditions(&old, state, now);
    if !conditions.is_empty() {
        new.set(&["conditions"], Value::Array(conditions));
    }
    if let Some(artifact) = &state.artifact {
        new.set(&["sourceType"], artifact.kind.as_str());
    }
    if !state.images.is_empty() {
        let images: BTreeSet<&String> = state.images.iter().collect();
        new.set(
            &["summary", "images"],
            Value::Array(images.into_iter().map(|one| one.as_str().into()).collect()),
        );
    }
    if let Some(sync) = &state.sync {
        operation(&mut new, &old, object, app, sync, &spec_source);
    }
    let mut patch = Map::new();
    if app.refresh {
        let annotations = Value::Object(Map::from_iter([(REFRESH, Value::Null)]));
        patch.insert("metadata", map([("annotations", annotations)]));
        new.set(&["reconciledAt"], time(now));
    }
    if app.operation.is_some() && state.sync.as_ref().is_some_and(|sync| sync.by_hand == app.operation) {
        patch.insert("operation", Value::Null);
    }
    if !same(&old, &new) {
        new.set(&["reconciledAt"], time(now));
        patch.insert("status", difference(&old, &new));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Equal, whatever the order of fields: a server gives them back in its own.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

/// The merge patch from one map to another.
fn difference(old: &Value, new: &Value) -> Value {
    let (Some(old_map), Some(new_map)) = (old.as_map(), new.as_map()) else { return new.clone() };
    let mut patch = Map::new();
    for (key, _) in old_map.iter().filter(|(key, _)| !new_map.contains_key(key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new_map.iter() {
        match old_map.get(key) {
            Some(before) if same(before, value) => {}
            Some(before) => {
                patch.insert(key.clone(), difference(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

fn object_health(object: &ObjectState) -> Option<Health> {
    match object.standing {
        Some(Standing::Missing) => Some(Health { status: Status::Missing, message: String::new() }),
        _ => object.health.clone(),
    }
}

fn overall(state: &State) -> &'static str {
    if state.artifact.is_none() {
        return "Unknown";
    }
    let worst = state
        .objects
        .iter()
        .filter(|object| object.standing.is_some())
        .filter_map(object_health)
        .map(|health| health.status)
        .max();
    match worst.unwrap_or(Status::Healthy) {
        Status::Healthy => "Healthy",
        Status::Suspended => "Suspended",
        Status::Progressing => "Progressing",
        Status::Missing => "Missing",
        Status::Degraded => "Degraded",
        Status::Unknown => "Unknown",
    }
}

fn resource(object: &ObjectState) -> Value {
    let synced = object.standing == Some(Standing::InSync);
    let health = object_health(object).map(|health| {
        map([("status", health.status.to_string().into()), ("message", health.message.into())])
    });
    let wave = if object.wave == 0 { Value::Null } else { Value::Int(object.wave.into()) };
    let prune = object.kept == Some(Kept::PruneOff) && !object.keep;
    map([
        ("group", object.id.group.as_str().into()),
        ("version", object.version.as_str().into()),
        ("kind", object.id.kind.as_str().into()),
        ("namespace", object.id.namespace.as_str().into()),
        ("name", object.id.name.as_str().into()),
        ("status", if synced { "Synced" } else { "OutOfSync" }.into()),
        ("health", health.unwrap_or_default()),
        ("requiresPruning", if prune { Value::Bool(true) } else { Value::Null }),
        ("syncWave", wave),
    ])
}

fn conditions(old: &Value, state: &State, now: Timestamp) -> Vec<Value> {
    let before = old.get("conditions").and_then(Value::as_array).unwrap_or_default();
    let faults = state.faults.iter().map(|fault| {
        let kind = match fault.kind {
            FaultKind::Spec => "InvalidSpecError",
            FaultKind::Offline | FaultKind::Compare => "ComparisonError",
            FaultKind::Sync => "SyncError",
            FaultKind::Warning => "OrphanedResourceWarning",
        };
        let same =
            before.iter().find(|one| one.str_at(&["type"]) == kind && one.str_at(&["message"]) == fault.text);
        match same {
            Some(same) => same.clone(),
            None => map([
                ("type", kind.into()),
                ("message", fault.text.as_str().into()),
                ("lastTransitionTime", time(now)),
            ]),
        }
    });
    faults.collect()
}

fn operation(new: &mut Value, old: &Value, object: &Value, app: &App, sync: &SyncState, source: &Value) {
    let by = match &sync.by_hand {
        Some(by) => map([("username", by.initiated_by.as_str().into())]),
        None => map([("automated", true.into())]),
    };
    let prune = sync.by_hand.as_ref().map_or(app.policy.prune, |by| by.prune);
    let phase = match sync.phase {
        SyncPhase::Running => "Running",
        SyncPhase::Succeeded => "Succeeded",
        SyncPhase::Failed => "Failed",
    };
    let results = sync.results.iter().map(|result| {
        let status = match result.outcome {
            ResultKind::Synced => "Synced",
            ResultKind::Failed => "SyncFailed",
            ResultKind::Pruned => "Pruned",
            ResultKind::Kept => "PruneSkipped",
        };
        map([
            ("group", result.id.group.as_str().into()),
            ("version", result.version.as_str().into()),
            ("kind", result.id.kind.as_str().into()),
            ("namespace", result.id.namespace.as_str().into()),
            ("name", result.id.name.as_str().into()),
            ("status", status.into()),
            ("message", result.message.as_str().into()),
            ("syncPhase", "Sync".into()),
            ("hookPhase", if result.hook { phase.into() } else { Value::Null }),
        ])
    });
    let results: Vec<Value> = results.collect();
    let result = map([
        ("revision", sync.revision.as_str().into()),
        ("source", source.clone()),
        ("resources", if results.is_empty() { Value::Null } else { Value::Array(results) }),
    ]);
    let prune = if prune { Value::Bool(true) } else { Value::Null };
    let asked = map([("revision", sync.revision.as_str().into()), ("prune", prune)]);
    let state = map([
        ("operation", map([("sync", asked), ("initiatedBy", by.clone())])),
        ("phase", phase.into()),
        ("message", sync.message.as_str().into()),
        ("startedAt", time(sync.started)),
        ("finishedAt", sync.finished.map(time).unwrap_or_default()),
        ("syncResult", result),
        ("retryCount", if sync.retries > 0 { Value::Int(sync.retries.into()) } else { Value::Null }),
    ]);
    new.set(&["operationState"], state);
    if sync.phase == SyncPhase::Succeeded {
        history(new, old, object, sync, source, by);
    }
}

/// One entry a revision that was synced; healing the same one adds none.
fn history(new: &mut Value, old: &Value, object: &Value, sync: &SyncState, source: &Value, by: Value) {
    let mut all = old.get("history").and_then(Value::as_array).unwrap_or_default().to_vec();
    let last = all.last();
    if last.is_some_and(|last| {
        last.str_at(&["revision"]) == sync.revision
            && last.get("source").is_some_and(|last| same(last, source))
    }) {
        return;
    }
    let id = last.and_then(|last| last.get("id")).and_then(Value::as_int).map_or(0, |id| id + 1);
    all.push(map([
        ("id", Value::Int(id)),
        ("revision", sync.revision.as_str().into()),
        ("deployStartedAt", time(sync.started)),
        ("deployedAt", sync.finished.map(time).unwrap_or_default()),
        ("source", source.clone()),
        ("initiatedBy", by),
    ]));
    let limit = object.at(&["spec", "revisionHistoryLimit"]).and_then(Value::as_int);
    let limit = limit.map_or(HISTORY, |limit| usize::try_from(limit).unwrap_or(0));
    let surplus = all.len().saturating_sub(limit);
    all.drain(..surplus);
    new.set(&["history"], Value::Array(all));
}
