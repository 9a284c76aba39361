//! Conditions as Flux writes them.

use api::{Map, Value};
use jiff::Timestamp;

/// Reasons that events may carry, as `&'static str`.
const REASONS: [&str; 20] = [
    "Held",
    "InvalidCommitSignature",
    "InvalidTagSignature",
    "InvalidVerificationMode",
    "InvalidGitObject",
    "NotFound",
    "NoArtifact",
    "InvalidCELExpression",
    "ReconciliationSucceeded",
    "ReconciliationFailed",
    "BuildFailed",
    "ArtifactFailed",
    "HealthCheckFailed",
    "DependencyNotReady",
    "PruneFailed",
    "Succeeded",
    "GitOperationFailed",
    "InvalidConfiguration",
    "UnsupportedFeature",
    "Progressing",
];

pub(super) fn known(reason: &str) -> &'static str {
    REASONS.iter().find(|known| **known == reason).copied().unwrap_or("ReconciliationFailed")
}

pub(super) fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = object.at(&["status", "conditions"]).and_then(Value::as_array)?;
    all.iter().find(|one| one.str_at(&["type"]) == kind)
}

/// One condition that should be there.
pub(super) struct Condition {
    pub kind: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

impl Condition {
    pub fn new(
        kind: &'static str,
        status: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Condition {
        Condition { kind, status, reason, message: message.into() }
    }
}

/// Upstream's bound.
const LONGEST: usize = 20_000;

/// The list for the status: what is as it was keeps its time.
pub(super) fn list(object: &Value, wanted: &[Condition], now: Timestamp) -> Value {
    let generation = object.at(&["metadata", "generation"]).cloned().unwrap_or_default();
    let all = wanted.iter().map(|one| {
        let before = find(object, one.kind);
        let since = before
            .filter(|before| before.str_at(&["status"]) == one.status)
            .map(|before| before.str_at(&["lastTransitionTime"]).to_string())
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| time(now));
        let message: String = one.message.chars().take(LONGEST).collect();
        Value::Object(Map::from_iter([
            ("type", Value::from(one.kind)),
            ("status", one.status.into()),
            ("observedGeneration", generation.clone()),
            ("lastTransitionTime", since.as_str().into()),
            ("reason", one.reason.into()),
            ("message", message.into()),
        ]))
    });
    Value::Array(all.collect())
}

pub(super) fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// The merge patch that turns the old status into the new one; `None`: nothing differs.
pub(super) fn patch(object: &Value, new: Value) -> Option<Value> {
    let old = object.get("status").cloned().unwrap_or_else(Value::object);
    if crate::frontends::same(&old, &new) {
        return None;
    }
    let mut patch = Value::object();
    patch.set(&["status"], crate::frontends::difference(&old, &new));
    Some(patch)
}
