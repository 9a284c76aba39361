//! What annotations on an application's objects say: waves, hooks and options, Argo CD's own and Helm's.

use api::Value;

use super::spec::TRACKING;
use crate::app::App;
use crate::cluster::Metadata;
use crate::step::{Hook, Phase, Place};

/// Helm's hooks as Argo CD takes them; the others (tests, rollbacks) are never run.
const HELM: [(&str, Option<Phase>); 6] = [
    ("crd-install", Some(Phase::Before)),
    ("pre-install", Some(Phase::Before)),
    ("pre-upgrade", Some(Phase::Before)),
    ("post-install", Some(Phase::After)),
    ("post-upgrade", Some(Phase::After)),
    ("post-delete", Some(Phase::Gone)),
];

/// Hooks, waves and options of one object.
pub(super) fn place(manifest: &Value) -> Place {
    let annotation =
        |name: &str| manifest.at(&["metadata", "annotations", name]).and_then(Value::as_str).map(str::trim);
    let own = |name: &str| annotation(&format!("argocd.argoproj.io/{name}"));
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let mut place = Place {
        wave: number(own("sync-wave")).or_else(|| number(annotation("helm.sh/hook-weight"))).unwrap_or(0),
        ..Place::default()
    };
    for option in own("sync-options").unwrap_or_default().split(',').map(str::trim) {
        match option {
            "Prune=false" | "Prune=confirm" => place.keep = true,
            "Delete=false" | "Delete=confirm" => place.survives = true,
            "Replace=true" => place.replace = true,
            "Force=true" => place.force = true,
            "Validate=false" => place.no_validation = true,
            "SkipDryRunOnMissingResource=true" => place.skip_unknown_kind = true,
            _ => {}
        }
    }
    if annotation("helm.sh/resource-policy") == Some("keep") {
        place.keep = true;
        place.survives = true;
    }
    place.no_health = own("ignore-healthcheck") == Some("true");
    match (own("hook"), annotation("helm.sh/hook")) {
        (Some(hooks), _) => argo_hook(&mut place, hooks, own("hook-delete-policy")),
        (None, Some(hooks)) => helm_hook(&mut place, hooks, annotation("helm.sh/hook-delete-policy")),
        (None, None) => {}
    }
    place
}

fn argo_hook(place: &mut Place, hooks: &str, policies: Option<&str>) {
    let policies: Vec<&str> = policies.unwrap_or_default().split(',').map(str::trim).collect();
    let has = |name: &str| policies.contains(&name);
    let hook = Hook {
        before_creation: has("BeforeHookCreation") || !(has("HookSucceeded") || has("HookFailed")),
        on_success: has("HookSucceeded"),
        on_failure: has("HookFailed"),
    };
    for name in hooks.split(',').map(str::trim) {
        match name {
            "PreSync" => (place.phase, place.hook) = (Phase::Before, Some(hook)),
            "Sync" => (place.phase, place.hook) = (Phase::Sync, Some(hook)),
            "PostSync" => (place.phase, place.hook) = (Phase::After, Some(hook)),
            "SyncFail" => (place.phase, place.hook) = (Phase::Failed, Some(hook)),
            "PostDelete" => (place.phase, place.hook) = (Phase::Gone, Some(hook)),
            // What runs before a deletion would keep a box from letting go; it is left out.
            "Skip" | "PreDelete" => place.skip = true,
            _ => {}
        }
    }
}

fn helm_hook(place: &mut Place, hooks: &str, policies: Option<&str>) {
    let has = |name: &str| policies.unwrap_or_default().split(',').any(|policy| policy.trim() == name);
    let hook = Hook {
        before_creation: has("before-hook-creation") || !(has("hook-succeeded") || has("hook-failed")),
        on_success: has("hook-succeeded"),
        on_failure: has("hook-failed"),
    };
    let phase = hooks.split(',').find_map(|name| HELM.iter().find(|(known, _)| *known == name.trim())?.1);
    match phase {
        // A definition that a chart installs first is an object like any other, only early.
        Some(Phase::Before) if hooks.trim() == "crd-install" => place.phase = Phase::Before,
        Some(phase) => (place.phase, place.hook) = (phase, Some(hook)),
        None => place.skip = true,
    }
}

/// `app:group/Kind:namespace/name`.
pub(super) fn mark(app: &App, manifest: &mut Value) {
    let (group, _) = manifest.str_at(&["apiVersion"]).split_once('/').unwrap_or(("", ""));
    let namespace = match manifest.str_at(&["metadata", "namespace"]) {
        "" => &app.destination,
        namespace => namespace,
    };
    let (kind, name) = (manifest.str_at(&["kind"]), manifest.str_at(&["metadata", "name"]));
    let id = format!("{}:{group}/{kind}:{namespace}/{name}", app.instance);
    manifest.set(&["metadata", "annotations", TRACKING], id);
}

/// The application in the tracking id. A copy of an object (its id names another one) is not its application's.
pub(super) fn marked_by(meta: &Metadata) -> Option<String> {
    let id = meta.annotations.get(TRACKING)?;
    let mut parts = id.splitn(3, ':');
    let (instance, _, object) = (parts.next()?, parts.next()?, parts.next()?);
    let name = object.rsplit_once('/').map_or(object, |(_, name)| name);
    (name == meta.name).then(|| instance.to_string())
}
