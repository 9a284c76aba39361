//! What an `Application` asks for, and what annotations on its objects say.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Value;
use render::{directory, kustomize};

use crate::app::{App, Deletion, Fault, FaultKind, Operation};
use crate::cluster::Metadata;
use crate::frontends::Settings;
use crate::mask::Mask;
use crate::policy::{Policy, Retry};
use crate::source::{Render, Source};
use crate::step::{Hook, Phase, Place};

pub(super) const TRACKING: &str = "argocd.argoproj.io/tracking-id";
pub(super) const REFRESH: &str = "argocd.argoproj.io/refresh";
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// Reads an Application; a fault is shown as `InvalidSpecError`.
pub(super) fn read(object: &Value, settings: &Settings) -> Result<App, Fault> {
    let fault = |text: String| Fault { kind: FaultKind::Spec, text };
    let namespace = object.str_at(&["metadata", "namespace"]).to_string();
    let name = object.str_at(&["metadata", "name"]).to_string();
    let deletion = deletion(object);
    let sources = object.at(&["spec", "sources"]).and_then(Value::as_array).unwrap_or_default();
    let spec = match sources {
        [] => object.at(&["spec", "source"]),
        [one] => Some(one),
        _ => return Err(fault("spec.sources: several sources are not supported yet; use one".into())),
    };
    // An object that goes away must be let go even if its spec is wrong.
    let source = match spec.map(source) {
        Some(Ok(source)) => source,
        Some(Err(text)) if deletion.is_none() => return Err(fault(text)),
        None if deletion.is_none() => {
            return Err(fault("spec.source is required: repoURL, path and targetRevision".into()));
        }
        _ => Source::default(),
    };
    if deletion.is_none() {
        destination(object).map_err(fault)?;
    }
    let annotations = object.at(&["metadata", "annotations"]);
    let refresh = annotations.and_then(|all| all.get(REFRESH)).is_some();
    let instance =
        if namespace == settings.argocd_namespace { name.clone() } else { format!("{namespace}_{name}") };
    Ok(App {
        uid: object.str_at(&["metadata", "uid"]).into(),
        instance,
        destination: object.str_at(&["spec", "destination", "namespace"]).into(),
        policy: policy(object),
        masks: masks(object),
        refresh,
        operation: object.get("operation").and_then(operation),
        deletion,
        source,
        namespace,
        name,
    })
}

fn destination(object: &Value) -> Result<(), String> {
    let server = object.str_at(&["spec", "destination", "server"]).trim_end_matches('/');
    let name = object.str_at(&["spec", "destination", "name"]);
    match (server, name) {
        ("https://kubernetes.default.svc", "") | ("", "in-cluster") => Ok(()),
        ("", "") => {
            Err("spec.destination: give server: https://kubernetes.default.svc or name: in-cluster".into())
        }
        (server, name) => Err(format!(
            "spec.destination: {} is another cluster; a site keeps only itself in step: use server: https://kubernetes.default.svc there",
            if server.is_empty() { name } else { server }
        )),
    }
}

fn deletion(object: &Value) -> Option<Deletion> {
    object.at(&["metadata", "deletionTimestamp"])?;
    let all = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
    let ours: Vec<String> = all
        .iter()
        .filter_map(Value::as_str)
        .filter(|name| name.starts_with(FINALIZER))
        .map(Into::into)
        .collect();
    let cascade = match ours.first() {
        None => None,
        Some(name) if name.ends_with("/background") => Some("Background"),
        Some(_) => Some("Foreground"),
    };
    Some(Deletion { finalizers: ours, cascade })
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_map);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
    map.into_iter().flat_map(|map| map.iter()).map(|(key, value)| (key.to_string(), text(value))).collect()
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_str)
}

fn source(spec: &Value) -> Result<Source, String> {
    let url = spec.str_at(&["repoURL"]);
    if url.is_empty() {
        return Err("spec.source.repoURL is required".into());
    }
    for (field, instead) in
        [("chart", "Helm charts are not supported yet"), ("plugin", "plugins run code and are not supported")]
    {
        if spec.get(field).is_some_and(|value| !value.is_null()) {
            return Err(format!("spec.source.{field}: {instead}; use Kustomize or plain manifests"));
        }
    }
    if spec.get("helm").and_then(Value::as_map).is_some_and(|map| !map.is_empty()) {
        return Err(
            "spec.source.helm: Helm charts are not supported yet; use Kustomize or plain manifests".into()
        );
    }
    let path = spec.str_at(&["path"]);
    if path.is_empty() {
        return Err("spec.source.path is required; use . for the root of the repository".into());
    }
    crate::git::parse_url(url).map_err(|error| format!("spec.source.repoURL: {error}"))?;
    let render = match (
        spec.get("kustomize").and_then(Value::as_map),
        spec.get("directory").and_then(Value::as_map),
    ) {
        (Some(map), _) if !map.is_empty() => Render::Kustomize(Box::new(edits(spec)?)),
        (_, Some(map)) if !map.is_empty() => {
            if map.get("jsonnet").and_then(Value::as_map).is_some_and(|jsonnet| !jsonnet.is_empty()) {
                return Err(
                    "spec.source.directory.jsonnet: Jsonnet is not supported; commit what it prints".into()
                );
            }
            Render::Directory(directory::Options {
                recurse: spec.at(&["directory", "recurse"]).and_then(Value::as_bool).unwrap_or_default(),
                include: spec.str_at(&["directory", "include"]).into(),
                exclude: spec.str_at(&["directory", "exclude"]).into(),
            })
        }
        _ => Render::Detect,
    };
    Ok(Source {
        url: url.into(),
        revision: spec.str_at(&["targetRevision"]).into(),
        path: path.into(),
        render,
    })
}

fn edits(spec: &Value) -> Result<kustomize::Edits, String> {
    let at = |field: &str| spec.at(&["kustomize", field]);
    let flag = |field: &str| at(field).and_then(Value::as_bool).unwrap_or_default();
    let mut images = Vec::new();
    for text in strings(at("images")) {
        let edit = kustomize::ImageEdit::parse(text);
        images.push(
            edit.ok_or_else(|| format!("spec.source.kustomize.images: {text:?} is not name=newName:tag"))?,
        );
    }
    let mut replicas = Vec::new();
    for entry in at("replicas").and_then(Value::as_array).unwrap_or_default() {
        let count = match entry.get("count") {
            Some(Value::Int(count)) => Some(*count),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let count = count.ok_or("spec.source.kustomize.replicas: count must be a number")?;
        replicas.push((entry.str_at(&["name"]).to_string(), count));
    }
    let patches = at("patches").and_then(Value::as_array).unwrap_or_default();
    if let Some(patch) = patches.iter().find(|patch| !patch.str_at(&["path"]).is_empty()) {
        let path = patch.str_at(&["path"]);
        return Err(format!(
            "spec.source.kustomize.patches: path {path} is not supported here; list it in the kustomization"
        ));
    }
    Ok(kustomize::Edits {
        name_prefix: spec.str_at(&["kustomize", "namePrefix"]).into(),
        name_suffix: spec.str_at(&["kustomize", "nameSuffix"]).into(),
        namespace: spec.str_at(&["kustomize", "namespace"]).into(),
        images,
        replicas,
        common_labels: texts(at("commonLabels")),
        labels_without_selector: flag("labelWithoutSelector"),
        label_include_templates: flag("labelIncludeTemplates"),
        common_annotations: texts(at("commonAnnotations")),
        components: strings(at("components")).map(Into::into).collect(),
        patches: patches
            .iter()
            .map(|patch| {
                let target =
                    patch.get("target").map(|target| kustomize::PatchTarget::new(texts(Some(target))));
                (patch.str_at(&["patch"]).to_string(), target)
            })
            .collect(),
    })
}

fn policy(object: &Value) -> Policy {
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
        match option {
            "CreateNamespace=true" => policy.create_namespace = true,
            "ApplyOutOfSyncOnly=true" => policy.only_out_of_sync = true,
            "Validate=false" => policy.validate = false,
            "PruneLast=true" => policy.prune_last = true,
            "FailOnSharedResource=true" => policy.fail_on_shared = true,
            "Replace=true" => policy.replace = true,
            // Prune=false here is upstream's option of single objects; server-side apply is what is always done.
            _ => {}
        }
    }
    policy
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

/// Go's durations: `1h30m`, `5s`; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = 0.0;
    let mut number = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if char.is_ascii_digit() || char == '.' {
            number.push(char);
            rest = &rest[1..];
            continue;
        }
        let (unit, length) = match () {
            () if rest.starts_with("ms") => (0.001, 2),
            () if rest.starts_with('h') => (3600.0, 1),
            () if rest.starts_with('m') => (60.0, 1),
            () if rest.starts_with('s') => (1.0, 1),
            () => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        number.clear();
        rest = &rest[length..];
    }
    (number.is_empty() && !text.is_empty()).then(|| Duration::from_secs_f64(total))
}

fn masks(object: &Value) -> Vec<Mask> {
    let all = object.at(&["spec", "ignoreDifferences"]).and_then(Value::as_array).unwrap_or_default();
    all.iter()
        .map(|entry| Mask {
            group: entry.str_at(&["group"]).into(),
            kind: entry.str_at(&["kind"]).into(),
            name: entry.str_at(&["name"]).into(),
            namespace: entry.str_at(&["namespace"]).into(),
            pointers: strings(entry.get("jsonPointers")).map(Into::into).collect(),
            managers: strings(entry.get("managedFieldsManagers")).map(Into::into).collect(),
            author: "spec.ignoreDifferences".into(),
            end: None,
        })
        .collect()
}

fn operation(value: &Value) -> Option<Operation> {
    let sync = value.get("sync")?;
    let revision = sync.str_at(&["revision"]);
    Some(Operation {
        revision: (!revision.is_empty()).then(|| revision.to_string()),
        prune: sync.get("prune").and_then(Value::as_bool).unwrap_or_default(),
        dry_run: sync.get("dryRun").and_then(Value::as_bool).unwrap_or_default(),
        initiated_by: value.str_at(&["initiatedBy", "username"]).into(),
    })
}

/// Hooks, waves and options of one object.
pub(super) fn place(manifest: &Value) -> Place {
    let annotation = |name: &str| {
        manifest
            .at(&["metadata", "annotations", &format!("argocd.argoproj.io/{name}")])
            .and_then(Value::as_str)
    };
    let mut place = Place {
        wave: annotation("sync-wave").and_then(|text| text.trim().parse().ok()).unwrap_or(0),
        ..Place::default()
    };
    for option in annotation("sync-options").unwrap_or_default().split(',').map(str::trim) {
        match option {
            "Prune=false" => place.keep = true,
            "Replace=true" => place.replace = true,
            "Validate=false" => place.no_validation = true,
            "SkipDryRunOnMissingResource=true" => place.skip_unknown_kind = true,
            _ => {}
        }
    }
    let Some(hooks) = annotation("hook") else { return place };
    let policies = annotation("hook-delete-policy").unwrap_or_default();
    let has = |name: &str| policies.split(',').any(|policy| policy.trim() == name);
    let hook = Hook {
        before_creation: has("BeforeHookCreation") || policies.is_empty(),
        on_success: has("HookSucceeded"),
        on_failure: has("HookFailed"),
    };
    for name in hooks.split(',').map(str::trim) {
        match name {
            "PreSync" => (place.phase, place.hook) = (Phase::Before, Some(hook)),
            "Sync" => (place.phase, place.hook) = (Phase::Sync, Some(hook)),
            "PostSync" => (place.phase, place.hook) = (Phase::After, Some(hook)),
            // SyncFail and the deletion hooks run at times that do not exist here yet.
            "Skip" | "SyncFail" | "PreDelete" | "PostDelete" => place.skip = true,
            _ => {}
        }
    }
    place
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, seconds) in [
            ("5s", Some(5.0)),
            ("1m30s", Some(90.0)),
            ("3m", Some(180.0)),
            ("7", Some(7.0)),
            ("500ms", Some(0.5)),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(duration(text).map(|duration| duration.as_secs_f64()), seconds, "{text}");
        }
    }
}
