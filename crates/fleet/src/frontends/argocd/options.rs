//! `syncPolicy` and its options.

use std::time::Duration;

use api::Value;

use super::read::{duration, strings, texts};
use crate::app::Fault;
use crate::policy::{Metadata, Policy, Retry};

/// Reads the policy; options that nobody knows are told as warnings, those that cannot be done as faults.
pub(super) fn policy(object: &Value, warnings: &mut Vec<Fault>) -> Policy {
    let sync = |field: &str| object.at(&["spec", "syncPolicy", "automated", field]).and_then(Value::as_bool);
    let automated = object.at(&["spec", "syncPolicy", "automated"]).is_some_and(|value| !value.is_null())
        && sync("enabled") != Some(false);
    let mut policy = Policy {
        automated,
        prune: sync("prune").unwrap_or_default(),
        heal: sync("selfHeal").unwrap_or_default(),
        empty: sync("allowEmpty").unwrap_or_default(),
        retry: retry(object.at(&["spec", "syncPolicy", "retry"])),
        interval: Duration::from_secs(180),
        jitter: Duration::from_secs(60),
        ..Policy::default()
    };
    for option in strings(object.at(&["spec", "syncPolicy", "syncOptions"])) {
        if let Err(text) = set(&mut policy, option.trim()) {
            warnings.push(Fault::warning(format!("spec.syncPolicy.syncOptions: {text}")));
        }
    }
    let metadata = object.at(&["spec", "syncPolicy", "managedNamespaceMetadata"]);
    if let Some(metadata) = metadata.filter(|value| !value.is_null()) {
        policy.namespace_metadata = Some(Metadata {
            labels: texts(metadata.get("labels")),
            annotations: texts(metadata.get("annotations")),
        });
    }
    policy
}

fn set(policy: &mut Policy, option: &str) -> Result<(), String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let flag = match value {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match (name, flag) {
        ("CreateNamespace", Some(on)) => policy.create_namespace = on,
        ("ApplyOutOfSyncOnly", Some(on)) => policy.only_out_of_sync = on,
        ("Validate", Some(on)) => policy.validate = on,
        ("PruneLast", Some(on)) => policy.prune_last = on,
        ("FailOnSharedResource", Some(on)) => policy.fail_on_shared = on,
        ("Replace", Some(on)) => policy.replace = on,
        ("Force", Some(on)) => policy.force = on,
        ("SkipDryRunOnMissingResource", Some(on)) => policy.skip_unknown_kind = on,
        // What these ask for is what is always done: server-side apply, and masked fields are left alone.
        ("ServerSideApply" | "RespectIgnoreDifferences" | "ClientSideApplyMigration", Some(true)) => {}
        ("ServerSideApply" | "ClientSideApplyMigration", Some(false)) => {
            return Err(format!("{option} has no effect: objects are always applied server-side"));
        }
        ("RespectIgnoreDifferences", Some(false)) => {}
        // Upstream reads these of single objects only.
        ("Prune" | "Delete", _) => {
            return Err(format!(
                "{option} has no effect on an Application; give it to objects as argocd.argoproj.io/sync-options"
            ));
        }
        ("PrunePropagationPolicy", _) => {
            policy.propagation = match value {
                "foreground" => "Foreground",
                "background" => "Background",
                "orphan" => "Orphan",
                _ => return Err(format!("{option}: use foreground, background or orphan")),
            }
        }
        _ => return Err(format!("{option} is not known and has no effect")),
    }
    Ok(())
}

fn retry(value: Option<&Value>) -> Retry {
    let mut retry = Retry::default();
    let Some(value) = value.filter(|value| !value.is_null()) else { return retry };
    retry.limit = match value.get("limit").and_then(Value::as_int) {
        Some(limit) if limit >= 0 => u32::try_from(limit).ok(),
        _ => None,
    };
    let duration = |field: &str| duration(value.str_at(&["backoff", field]));
    retry.first = duration("duration").unwrap_or(retry.first);
    retry.most = duration("maxDuration").unwrap_or(retry.most);
    if let Some(factor) = value.at(&["backoff", "factor"]).and_then(Value::as_int) {
        retry.factor = u32::try_from(factor).unwrap_or(retry.factor);
    }
    retry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_set_what_they_say_and_unknown_ones_are_told() {
        let object = serde_json::from_str(
            r#"{"spec":{"syncPolicy":{"automated":{},"syncOptions":["Validate=false","PrunePropagationPolicy=background","Frce=true",
            "ServerSideApply=false","Replace=true","PruneLast=false"],"managedNamespaceMetadata":{"labels":{"a":"b"}}}}}"#,
        )
        .unwrap();
        let mut warnings = Vec::new();
        let policy = policy(&object, &mut warnings);
        assert!(policy.automated && !policy.validate && policy.replace && !policy.prune_last);
        assert_eq!(policy.propagation, "Background");
        assert_eq!(policy.namespace_metadata.unwrap().labels["a"], "b");
        let told: Vec<&str> = warnings.iter().map(|fault| fault.text.as_str()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("Frce=true is not known") && told[1].contains("always applied server-side"));
    }
}
