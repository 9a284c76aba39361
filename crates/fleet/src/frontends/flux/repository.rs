//! `GitRepository`: which commit a repository is at.

use std::time::Duration;

use api::{Map, Value};
use jiff::Timestamp;

use super::conditions::{self, Condition};
use super::{FINALIZER, REQUESTED};
use crate::app::{App, Deletion, Fault, FaultKind, Refresh, Secrets, State};
use crate::frontends::argocd::read::duration;
use crate::frontends::{Context, is_given};
use crate::policy::Policy;
use crate::source::{Recipe, Render, Source};

/// Fields that ask for what is not done; a source that silently lacks them would be another one.
const REFUSED: [(&str, &str); 5] = [
    ("verify", "signatures are not verified"),
    ("include", "other repositories' files are not put in; use one repository"),
    ("recurseSubmodules", "submodules are not fetched"),
    ("sparseCheckout", "the tree is always read in place; take it out"),
    ("serviceAccountName", "clouds' workload identities are not used; use secretRef"),
];

pub(super) fn read(object: &Value, _: &Context<'_>) -> Result<App, Fault> {
    let mut app = named(object);
    app.deletion = deletion(object, None);
    if app.deletion.is_some() {
        return Ok(app);
    }
    let spec = object.get("spec").cloned().unwrap_or_default();
    for (field, why) in REFUSED {
        if spec.get(field).is_some_and(|value| is_given(Some(value)) && *value != Value::Bool(false)) {
            return Err(Fault::spec(format!("spec.{field}: {why}")));
        }
    }
    if !["", "generic"].contains(&spec.str_at(&["provider"])) {
        return Err(Fault::spec(format!(
            "spec.provider: {} is not supported; use generic with a secretRef",
            spec.str_at(&["provider"])
        )));
    }
    app.recipe = Recipe {
        sources: vec![source(object).map_err(Fault::spec)?],
        name: app.name.clone(),
        namespace: app.namespace.clone(),
        ..Recipe::default()
    };
    let interval = duration(spec.str_at(&["interval"])).unwrap_or(Duration::from_secs(300));
    app.policy = Policy {
        interval,
        // A fleet does not ask all at once.
        jitter: interval / 20,
        timeout: duration(spec.str_at(&["timeout"])).unwrap_or(Duration::from_secs(60)),
        ..Policy::default()
    };
    app.secrets = secrets(object);
    Ok(app)
}

/// What both kinds have.
pub(super) fn named(object: &Value) -> App {
    let text = |path: &[&str]| object.str_at(path).to_string();
    let (namespace, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
    let asked = object.str_at(&["metadata", "annotations", REQUESTED]);
    let handled = object.str_at(&["status", "lastHandledReconcileAt"]);
    App {
        instance: format!("{namespace}/{name}"),
        uid: text(&["metadata", "uid"]),
        refresh: if asked == handled { Refresh::No } else { Refresh::Normal },
        suspended: object.at(&["spec", "suspend"]).and_then(Value::as_bool).unwrap_or_default(),
        finalizer: Some(FINALIZER),
        namespace,
        name,
        ..App::default()
    }
}

pub(super) fn deletion(object: &Value, cascade: Option<&'static str>) -> Option<Deletion> {
    object.at(&["metadata", "deletionTimestamp"])?;
    let all = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
    let ours = all.iter().filter_map(Value::as_str).filter(|name| *name == FINALIZER).map(Into::into);
    Some(Deletion { finalizers: ours.collect(), cascade })
}

/// The repository as a source without manifests.
pub(super) fn source(object: &Value) -> Result<Source, String> {
    let url = object.str_at(&["spec", "url"]);
    crate::git::parse_url(url).map_err(|error| format!("spec.url: {error}"))?;
    let ignore = object.at(&["spec", "ignore"]).and_then(Value::as_str).unwrap_or_default();
    Ok(Source {
        url: url.into(),
        revision: revision(object),
        path: ".".into(),
        render: Render::Nothing,
        // Kustomizations of other repositories at the same address never take its commit away.
        clone: format!(
            "{}/{}",
            object.str_at(&["metadata", "namespace"]),
            object.str_at(&["metadata", "name"])
        ),
        ignore: Some(ignore.into()),
        ..Source::default()
    })
}

/// Upstream's order: commit, name, semver, tag, branch; without any the branch master.
fn revision(object: &Value) -> String {
    let field = |name: &str| object.str_at(&["spec", "ref", name]);
    for (name, prefix) in [
        ("commit", ""),
        ("name", ""),
        ("semver", "semver:"),
        ("tag", "refs/tags/"),
        ("branch", "refs/heads/"),
    ] {
        if !field(name).is_empty() {
            return format!("{prefix}{}", field(name));
        }
    }
    "refs/heads/master".into()
}

pub(super) fn secrets(object: &Value) -> Secrets {
    let name = |field: &str| {
        Some(object.str_at(&["spec", field, "name"]).to_string()).filter(|name| !name.is_empty())
    };
    Secrets {
        namespace: object.str_at(&["metadata", "namespace"]).into(),
        credentials: name("secretRef"),
        proxy: name("proxySecretRef"),
        ..Secrets::default()
    }
}

/// `main@sha1:…`, as Flux writes a revision.
fn shown(object: &Value, state: &State) -> Option<String> {
    let artifact = state.artifact.as_ref()?;
    let branch = object.str_at(&["spec", "ref", "branch"]);
    let by_commit = !object.str_at(&["spec", "ref", "commit"]).is_empty();
    let found = artifact.names.first().map(String::as_str).unwrap_or_default();
    let name = match () {
        () if by_commit => branch,
        () if !object.str_at(&["spec", "ref", "name"]).is_empty() => found,
        () => found.strip_prefix("refs/heads/").or_else(|| found.strip_prefix("refs/tags/")).unwrap_or(found),
    };
    Some(match name {
        "" => format!("sha1:{}", artifact.revision),
        name => format!("{name}@sha1:{}", artifact.revision),
    })
}

/// The status with upstream's conditions.
pub(super) fn show(app: &App, object: &Value, state: &State, now: Timestamp) -> Option<Value> {
    let mut new = object.get("status").cloned().unwrap_or_else(Value::object);
    let revision = shown(object, state);
    let mut all = Vec::new();
    let fault = state.faults.iter().find(|fault| fault.kind != FaultKind::Odd);
    let message = revision.as_ref().map(|revision| format!("stored artifact for revision '{revision}'"));
    match (fault, &message) {
        (Some(fault), _) => {
            let reason = match fault.kind {
                FaultKind::Spec => "InvalidConfiguration",
                _ => "GitOperationFailed",
            };
            let text = match fault.kind {
                FaultKind::Spec => fault.text.clone(),
                _ => format!("failed to checkout and determine revision: {}", fault.text),
            };
            all.push(Condition::new("Ready", "False", reason, text.clone()));
            all.push(Condition::new("FetchFailed", "True", reason, text.clone()));
            if fault.kind == FaultKind::Spec {
                all.push(Condition::new("Stalled", "True", reason, text));
            }
        }
        (None, Some(message)) => all.push(Condition::new("Ready", "True", "Succeeded", message.clone())),
        (None, None) => {
            all.push(Condition::new("Ready", "Unknown", "Progressing", "reconciliation in progress"));
            all.push(Condition::new("Reconciling", "True", "Progressing", "reconciliation in progress"));
        }
    }
    if let Some(message) = message {
        all.push(Condition::new("ArtifactInStorage", "True", "Succeeded", message));
    }
    new.set(&["conditions"], conditions::list(object, &all, now));
    new.set(&["observedGeneration"], object.at(&["metadata", "generation"]).cloned().unwrap_or_default());
    let asked = object.str_at(&["metadata", "annotations", REQUESTED]);
    if !asked.is_empty() {
        new.set(&["lastHandledReconcileAt"], asked);
    }
    if let (Some(revision), Some(artifact)) = (revision, &state.artifact)
        && new.str_at(&["artifact", "revision"]) != revision
    {
        let path = format!("gitrepository/{}/{}/{}.tar.gz", app.namespace, app.name, artifact.revision);
        let made = Value::Object(Map::from_iter([
            ("digest", Value::from(artifact.digest.as_str())),
            ("lastUpdateTime", conditions::time(now).into()),
            ("path", path.as_str().into()),
            ("revision", revision.as_str().into()),
            // Nothing is served over HTTP: Kustomizations render from the clone itself.
            ("url", format!("skiff:///{path}").into()),
        ]));
        new.set(&["artifact"], made);
    }
    conditions::patch(object, new)
}
