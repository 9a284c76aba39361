//! The status of an `Application`, with Argo CD's fields. It has no status subresource, as upstream's.

use std::collections::BTreeSet;

use api::{Map, Value};
use jiff::Timestamp;

use super::spec::{HYDRATE, REFRESH};
use crate::app::{App, FaultKind, ObjectState, Refresh, ResultKind, State, SyncPhase, SyncState};
use crate::frontends::{difference, same};
use crate::health::{Health, Status};
use crate::plan::{Kept, Standing};
use crate::step::Phase;

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
    for field in ["sync", "health", "resources", "conditions", "summary", "sourceType", "sourceTypes"] {
        new.remove(&[field]);
    }
    let sources = Sources::of(object, state);
    let revision = state.artifact.as_ref().map(|artifact| artifact.revision.as_str()).unwrap_or_default();
    let sync = match (state.compared, state.synced) {
        (false, _) => "Unknown",
        (true, true) => "Synced",
        (true, false) => "OutOfSync",
    };
    let destination = object.at(&["spec", "destination"]).cloned().unwrap_or_default();
    let compared = map([
        ("source", sources.one.clone()),
        ("sources", sources.all.clone()),
        ("destination", destination),
    ]);
    let single = if sources.all.is_null() { revision } else { "" };
    new.set(
        &["sync"],
        map([
            ("status", sync.into()),
            ("revision", single.into()),
            ("revisions", sources.revisions.clone()),
            ("comparedTo", compared),
        ]),
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
        if sources.all.is_null() {
            new.set(&["sourceType"], artifact.kind.as_str());
        } else {
            new.set(
                &["sourceTypes"],
                artifact.kinds.iter().map(|kind| Value::from(kind.as_str())).collect::<Vec<_>>(),
            );
        }
    }
    if !state.images.is_empty() {
        let images: BTreeSet<&String> = state.images.iter().collect();
        new.set(
            &["summary", "images"],
            Value::Array(images.into_iter().map(|one| one.as_str().into()).collect()),
        );
    }
    if let Some(sync) = &state.sync {
        operation(&mut new, &old, object, app, sync, &sources);
    }
    let mut patch = Map::new();
    if app.refresh != Refresh::No {
        let mut annotations = Value::Object(Map::from_iter([(REFRESH, Value::Null)]));
        if !object.str_at(&["metadata", "annotations", HYDRATE]).is_empty() {
            annotations.set(&[HYDRATE], Value::Null);
        }
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

/// One source, or several with their revisions, as the status shows them.
struct Sources {
    one: Value,
    all: Value,
    revisions: Value,
}

impl Sources {
    fn of(object: &Value, state: &State) -> Sources {
        let all = object.at(&["spec", "sources"]).cloned().unwrap_or_default();
        if all.as_array().unwrap_or_default().is_empty() {
            let one = object.at(&["spec", "source"]).cloned().unwrap_or_default();
            return Sources { one, all: Value::Null, revisions: Value::Null };
        }
        let revisions =
            state.artifact.as_ref().map(|artifact| texts(&artifact.revisions)).unwrap_or_default();
        Sources { one: Value::Null, all, revisions }
    }
}

fn texts(all: &[String]) -> Value {
    if all.is_empty() {
        Value::Null
    } else {
        Value::Array(all.iter().map(|one| one.as_str().into()).collect())
    }
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
            FaultKind::Spec | FaultKind::Expression => "InvalidSpecError",
            FaultKind::Offline | FaultKind::Compare | FaultKind::Artifact | FaultKind::Unsigned(_) => {
                "ComparisonError"
            }
            FaultKind::Sync | FaultKind::Health | FaultKind::Dependency | FaultKind::Wait => "SyncError",
            FaultKind::Held => "SyncHeldWarning",
            FaultKind::Warning => "RepeatedResourceWarning",
            FaultKind::Odd => "InvalidSpecWarning",
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

fn operation(new: &mut Value, old: &Value, object: &Value, app: &App, sync: &SyncState, sources: &Sources) {
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
            (
                "syncPhase",
                match result.phase {
                    Phase::Before => "PreSync",
                    Phase::Sync => "Sync",
                    Phase::After => "PostSync",
                    Phase::Failed => "SyncFail",
                    Phase::Gone => "PostDelete",
                }
                .into(),
            ),
            ("hookPhase", if result.hook { phase.into() } else { Value::Null }),
        ])
    });
    let results: Vec<Value> = results.collect();
    let result = map([
        ("revision", if sources.all.is_null() { sync.revision.as_str() } else { "" }.into()),
        ("revisions", if sources.all.is_null() { Value::Null } else { texts(&sync.revisions) }),
        ("source", sources.one.clone()),
        ("sources", sources.all.clone()),
        ("resources", if results.is_empty() { Value::Null } else { Value::Array(results) }),
    ]);
    let prune = if prune { Value::Bool(true) } else { Value::Null };
    let dry = sync.by_hand.as_ref().is_some_and(|by| by.dry_run);
    let asked = map([
        ("revision", sync.revision.as_str().into()),
        ("prune", prune),
        ("dryRun", if dry { Value::Bool(true) } else { Value::Null }),
    ]);
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
    if sync.phase == SyncPhase::Succeeded && !dry && sync.by_hand.as_ref().is_none_or(|by| by.only.is_empty())
    {
        history(new, old, object, sync, sources, by);
    }
}

/// One entry a revision that was synced; healing the same one adds none.
fn history(new: &mut Value, old: &Value, object: &Value, sync: &SyncState, sources: &Sources, by: Value) {
    let mut all = old.get("history").and_then(Value::as_array).unwrap_or_default().to_vec();
    let last = all.last();
    if last.is_some_and(|last| {
        let was = |field: &str| last.get(field).cloned().unwrap_or_default();
        if sources.all.is_null() {
            last.str_at(&["revision"]) == sync.revision && same(&was("source"), &sources.one)
        } else {
            same(&was("revisions"), &texts(&sync.revisions)) && same(&was("sources"), &sources.all)
        }
    }) {
        return;
    }
    let id = last.and_then(|last| last.get("id")).and_then(Value::as_int).map_or(0, |id| id + 1);
    all.push(map([
        ("id", Value::Int(id)),
        ("revision", if sources.all.is_null() { sync.revision.as_str() } else { "" }.into()),
        ("revisions", if sources.all.is_null() { Value::Null } else { texts(&sync.revisions) }),
        ("deployStartedAt", time(sync.started)),
        ("deployedAt", sync.finished.map(time).unwrap_or_default()),
        ("source", sources.one.clone()),
        ("sources", sources.all.clone()),
        ("initiatedBy", by),
    ]));
    let limit = object.at(&["spec", "revisionHistoryLimit"]).and_then(Value::as_int);
    let limit = limit.map_or(HISTORY, |limit| usize::try_from(limit).unwrap_or(0));
    let surplus = all.len().saturating_sub(limit);
    all.drain(..surplus);
    new.set(&["history"], Value::Array(all));
}
