//! `GitRepository`: which commit a repository is at.

use std::time::Duration;

use api::{Map, Value};
use jiff::Timestamp;

use super::conditions::{self, Condition};
use super::{FINALIZER, REPOSITORY, REQUESTED};
use crate::app::{App, Deletion, Fault, FaultKind, Patience, Refresh, Secrets, State};
use crate::frontends::argocd::read::{duration, strings};
use crate::frontends::{Context, is_given};
use crate::git::verify::{Tag, Unsigned, Verify};
use crate::policy::Policy;
use crate::source::{Mount, Recipe, Render, Source};

/// Fields that ask for what is not done; a source that silently lacks them would be another one.
const REFUSED: [(&str, &str); 1] =
    [("serviceAccountName", "clouds' workload identities are not used; use secretRef")];

pub(super) fn read(object: &Value, context: &Context<'_>) -> Result<App, Fault> {
    let mut app = named(object);
    app.deletion = deletion(object, None, Patience::Asked);
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
    let own = source(object).map_err(Fault::spec)?;
    let included = included(object, context, |_, found| {
        let artifact = found.at(&["status", "artifact"]).filter(|artifact| !artifact.is_null())?;
        Some((artifact.clone(), artifact.str_at(&["revision"]).to_string()))
    })?;
    app.recipe = Recipe {
        sources: std::iter::once(own).chain(included.sources).collect(),
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
    app.secrets = Secrets { more: included.secrets, ..secrets(object) };
    app.included = included.artifacts;
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

pub(super) fn deletion(
    object: &Value,
    cascade: Option<&'static str>,
    patience: Patience,
) -> Option<Deletion> {
    object.at(&["metadata", "deletionTimestamp"])?;
    let all = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
    let ours = all.iter().filter_map(Value::as_str).filter(|name| *name == FINALIZER).map(Into::into);
    Some(Deletion { finalizers: ours.collect(), cascade, patience })
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
        submodules: object.at(&["spec", "recurseSubmodules"]).and_then(Value::as_bool).unwrap_or_default(),
        sparse: strings(object.at(&["spec", "sparseCheckout"])).map(Into::into).collect(),
        verify: verification(object)?,
        ..Source::default()
    })
}

/// What other repositories' objects give to a tree.
#[derive(Default)]
pub(super) struct Included {
    pub sources: Vec<Source>,
    pub secrets: Vec<Secrets>,
    pub artifacts: Vec<Value>,
}

/// The sources that `spec.include` names; `at` gives what one has, and its revision, from its place in the list and its object.
pub(super) fn included(
    object: &Value,
    context: &Context<'_>,
    at: impl Fn(usize, &Value) -> Option<(Value, String)>,
) -> Result<Included, Fault> {
    let fault = |text: String| Fault { kind: FaultKind::Dependency, text };
    let mut all = Included::default();
    let list = object.at(&["spec", "include"]).and_then(Value::as_array).unwrap_or_default();
    for (index, one) in list.iter().enumerate() {
        if !context.is_known(REPOSITORY) {
            return Err(Fault { kind: FaultKind::Wait, text: "sources are not known yet".into() });
        }
        let name = one.str_at(&["repository", "name"]);
        let found = context.get(REPOSITORY, object.str_at(&["metadata", "namespace"]), name);
        let found = found.ok_or_else(|| {
            fault(format!(
                "could not get resource for include '{name}': gitrepositories.source.toolkit.fluxcd.io \"{name}\" not found"
            ))
        })?;
        let no_artifact = || fault(format!("no artifact available for include '{name}'"));
        let (artifact, revision) = at(index, &found).ok_or_else(no_artifact)?;
        let (_, commit) = revision.rsplit_once("sha1:").ok_or_else(no_artifact)?;
        let path = |text: &str| {
            let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
            let parts: Vec<&str> = parts.collect();
            if parts.contains(&"..") {
                return Err(Fault::spec(format!("spec.include: the path {text} leads out of the source")));
            }
            Ok(parts.join("/"))
        };
        let to = if one.str_at(&["toPath"]).is_empty() { name } else { one.str_at(&["toPath"]) };
        let mount = Mount { from: path(one.str_at(&["fromPath"]))?, to: path(to)? };
        let source = source(&found).map_err(Fault::spec)?;
        all.sources.push(Source {
            revision: commit.into(),
            verify: Verify::default(),
            mount: Some(mount),
            ..source
        });
        all.secrets.push(secrets(&found));
        all.artifacts.push(artifact);
    }
    Ok(all)
}

fn verification(object: &Value) -> Result<Verify, String> {
    let Some(verify) = object.at(&["spec", "verify"]).filter(|verify| !verify.is_null()) else {
        return Ok(Verify::default());
    };
    let (commit, tag) = match verify.str_at(&["mode"]) {
        "" | "head" | "HEAD" => (true, Tag::No),
        "Tag" => (false, Tag::Must),
        "TagAndHEAD" => (true, Tag::Must),
        mode => return Err(format!("spec.verify.mode: {mode} is not known; use HEAD, Tag or TagAndHEAD")),
    };
    if verify.str_at(&["secretRef", "name"]).is_empty() {
        return Err("spec.verify.secretRef: name the Secret with the public keys".into());
    }
    Ok(Verify { commit, tag, ..Verify::default() })
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
        keys: Some(object.str_at(&["spec", "verify", "secretRef", "name"]).to_string())
            .filter(|name| !name.is_empty()),
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

fn reason(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Spec => "InvalidConfiguration",
        FaultKind::Unsigned(Unsigned::Commit) => "InvalidCommitSignature",
        FaultKind::Unsigned(Unsigned::Tag) => "InvalidTagSignature",
        FaultKind::Unsigned(Unsigned::NoTag) => "InvalidVerificationMode",
        FaultKind::Unsigned(Unsigned::PlainTag) => "InvalidGitObject",
        FaultKind::Dependency if fault.text.starts_with("no artifact") => "NoArtifact",
        FaultKind::Dependency => "NotFound",
        _ => "GitOperationFailed",
    }
}

/// What the artifact was made by, and of.
fn observed(app: &App, object: &Value, state: &State, new: &mut Value) {
    let asked = |path: &[&str]| object.at(path).filter(|value| is_given(Some(value))).cloned();
    let mut put = |field: &str, value: Option<Value>| match value {
        Some(value) => new.set(&[field], value),
        None => drop(new.remove(&[field])),
    };
    put("observedIgnore", asked(&["spec", "ignore"]));
    put("observedInclude", asked(&["spec", "include"]));
    put("observedSparseCheckout", asked(&["spec", "sparseCheckout"]));
    put(
        "observedRecurseSubmodules",
        asked(&["spec", "recurseSubmodules"]).filter(|on| *on == Value::Bool(true)),
    );
    put("includedArtifacts", (!app.included.is_empty()).then(|| Value::Array(app.included.clone())));
    let trusted = state.artifact.as_ref().map(|artifact| artifact.trusted.as_str()).unwrap_or_default();
    let mode = match object.str_at(&["spec", "verify", "mode"]) {
        "" | "head" => "HEAD",
        mode => mode,
    };
    put("sourceVerificationMode", (!trusted.is_empty()).then(|| mode.into()));
    put("sourceVerificationFingerprint", (!trusted.is_empty()).then(|| trusted.into()));
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
            let reason = reason(fault);
            let text = match reason {
                "GitOperationFailed" => format!("failed to checkout and determine revision: {}", fault.text),
                _ => fault.text.clone(),
            };
            all.push(Condition::new("Ready", "False", reason, text.clone()));
            match fault.kind {
                FaultKind::Dependency => {
                    all.push(Condition::new("IncludeUnavailable", "True", reason, text.clone()));
                }
                FaultKind::Unsigned(_) => {
                    all.push(Condition::new("SourceVerified", "False", reason, text.clone()));
                }
                _ => all.push(Condition::new("FetchFailed", "True", reason, text.clone())),
            }
            if matches!(fault.kind, FaultKind::Spec | FaultKind::Unsigned(Unsigned::NoTag)) {
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
    let verified = state.artifact.as_ref().filter(|artifact| !artifact.signatures.is_empty());
    if let Some(artifact) = verified.filter(|_| all.iter().all(|one| one.kind != "SourceVerified")) {
        let text = format!("verified signature of\n\t- {}", artifact.signatures.join("\n\t- "));
        all.push(Condition::new("SourceVerified", "True", "Succeeded", text));
    }
    if fault.is_none() && state.artifact.is_some() {
        observed(app, object, state, &mut new);
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
