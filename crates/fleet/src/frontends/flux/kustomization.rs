//! What a `Kustomization` asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Value;
use api::cel::{Env, Type, Val, Vars};
use render::kustomize::{Edits, ImageEdit, PatchTarget};

use super::{KUSTOMIZATION, REPOSITORY, conditions, repository};
use crate::app::{App, Fault, FaultKind, Patience, Secrets, VariableSource};
use crate::frontends::argocd::read::{duration, strings, texts};
use crate::frontends::{Context, is_given};
use crate::git::verify::Verify;
use crate::health::custom::{self, Checks};
use crate::inventory::Id;
use crate::mask::Mask;
use crate::policy::{Policy, Retry};
use crate::source::{Finish, Recipe, Render, Source};

const REFUSED: [(&str, &str); 2] = [
    ("kubeConfig", "another cluster; a site keeps only itself in step"),
    ("decryption", "encrypted files are not read; keep secrets out of Git, or use substituteFrom"),
];
/// Upstream's beginning of what an expression that is wrong is told by.
const TERMINAL: &str = "Reconciliation failed terminally due to configuration error";

pub(super) fn read(object: &Value, context: &Context<'_>) -> Result<App, Fault> {
    let mut app = repository::named(object);
    let spec = object.get("spec").cloned().unwrap_or_default();
    let flag = |name: &str| spec.get(name).and_then(Value::as_bool).unwrap_or_default();
    app.user = user(object);
    let policy_ = policy(&spec);
    let (cascade, patience) = match spec.str_at(&["deletionPolicy"]) {
        _ if app.suspended => (None, Patience::Asked),
        "" | "MirrorPrune" => (flag("prune").then_some("Background"), Patience::Asked),
        "Orphan" => (None, Patience::Asked),
        "WaitForTermination" => (Some("Background"), Patience::Until(policy_.timeout)),
        _ => (Some("Background"), Patience::Asked),
    };
    app.deletion = repository::deletion(object, cascade, patience);
    if app.deletion.is_some() || app.suspended {
        return Ok(app);
    }
    for (field, why) in REFUSED {
        if spec.get(field).is_some_and(|value| is_given(Some(value)) && *value != Value::Bool(false)) {
            return Err(Fault::spec(format!("spec.{field}: {why}")));
        }
    }
    let checks = Checks::read(spec.get("healthCheckExprs").unwrap_or(&Value::Null));
    app.checks = checks.map_err(|text| expression(format!("{TERMINAL}: {text}")))?;
    if !(context.is_known(REPOSITORY) && context.is_known(KUSTOMIZATION)) {
        return Err(Fault { kind: FaultKind::Wait, text: "sources are not known yet".into() });
    }
    let Fetched { source, revision, secrets, included } = source(object, context)?;
    dependencies(object, &revision, context)?;
    app.shown_revision = Some(revision);
    app.secrets = Secrets { variables: variables(&spec)?, ..secrets };
    app.policy = policy_;
    app.masks = masks(&spec)?;
    app.destination = spec.str_at(&["targetNamespace"]).into();
    let path = spec.str_at(&["path"]).trim_start_matches("./").trim_start_matches('/');
    app.recipe = Recipe {
        sources: std::iter::once(Source {
            path: if path.is_empty() { ".".into() } else { path.into() },
            render: Render::KustomizeAny(Box::new(edits(&spec))),
            ..source
        })
        .chain(included)
        .collect(),
        finish: finish(&spec),
        name: app.name.clone(),
        namespace: app.namespace.clone(),
        ..Recipe::default()
    };
    if !flag("wait") {
        health_checks(&spec, &mut app);
    }
    Ok(app)
}

fn expression(text: String) -> Fault {
    Fault { kind: FaultKind::Expression, text }
}

fn user(object: &Value) -> Option<String> {
    let account = object.str_at(&["spec", "serviceAccountName"]);
    let namespace = object.str_at(&["metadata", "namespace"]);
    (!account.is_empty()).then(|| format!("system:serviceaccount:{namespace}:{account}"))
}

/// A repository's source at the commit that its object has.
struct Fetched {
    source: Source,
    /// The revision's whole text.
    revision: String,
    secrets: Secrets,
    /// What is put into its tree.
    included: Vec<Source>,
}

fn source(object: &Value, context: &Context<'_>) -> Result<Fetched, Fault> {
    let artifact = |text: String| Fault { kind: FaultKind::Artifact, text };
    let kind = object.str_at(&["spec", "sourceRef", "kind"]);
    if kind != REPOSITORY {
        return Err(Fault::spec(format!("spec.sourceRef: {kind} is not supported; use {REPOSITORY}")));
    }
    let namespace = match object.str_at(&["spec", "sourceRef", "namespace"]) {
        "" => object.str_at(&["metadata", "namespace"]),
        namespace => namespace,
    };
    let name = object.str_at(&["spec", "sourceRef", "name"]);
    let found = context
        .get(REPOSITORY, namespace, name)
        .ok_or_else(|| artifact(format!("gitrepositories.source.toolkit.fluxcd.io \"{name}\" not found")))?;
    let revision = found.str_at(&["status", "artifact", "revision"]);
    let Some((_, commit)) = revision.rsplit_once("sha1:") else {
        return Err(artifact("Source artifact not found, retrying in 30s".into()));
    };
    let source = repository::source(&found).map_err(artifact)?;
    // What the repository's object has was verified when it was fetched.
    let source = Source { revision: commit.into(), verify: Verify::default(), ..source };
    let included = repository::included(&found, context, |at, _| {
        let all = found.at(&["status", "includedArtifacts"])?.as_array()?;
        let artifact = all.get(at)?;
        Some((artifact.clone(), artifact.str_at(&["revision"]).to_string()))
    })?;
    let secrets = Secrets { keys: None, more: included.secrets, ..repository::secrets(&found) };
    Ok(Fetched { source, revision: revision.into(), secrets, included: included.sources })
}

/// Others must be ready, and at the same commit where they come from the same source.
fn dependencies(object: &Value, revision: &str, context: &Context<'_>) -> Result<(), Fault> {
    let fault = |text: String| Fault { kind: FaultKind::Dependency, text };
    let own = object.str_at(&["metadata", "namespace"]);
    let source_of = |one: &Value| {
        let namespace = match one.str_at(&["spec", "sourceRef", "namespace"]) {
            "" => one.str_at(&["metadata", "namespace"]),
            namespace => namespace,
        };
        (namespace.to_string(), one.str_at(&["spec", "sourceRef", "name"]).to_string())
    };
    for entry in object.at(&["spec", "dependsOn"]).and_then(Value::as_array).unwrap_or_default() {
        let namespace = match entry.str_at(&["namespace"]) {
            "" => own,
            namespace => namespace,
        };
        let name = entry.str_at(&["name"]);
        let found = context.get(KUSTOMIZATION, namespace, name).ok_or_else(|| {
            fault(format!(
                "dependency '{namespace}/{name}' not found: kustomizations.kustomize.toolkit.fluxcd.io \"{name}\" not found"
            ))
        })?;
        if is_given(entry.get("readyExpr")) {
            if !ready_by(entry.str_at(&["readyExpr"]), object, &found)? {
                return Err(fault(format!(
                    "dependency '{namespace}/{name}' is not ready according to readyExpr eval"
                )));
            }
            // It stands in place of the rules below.
            continue;
        }
        let generation = |path: &[&str]| found.at(path).and_then(Value::as_int);
        let observed =
            generation(&["metadata", "generation"]) == generation(&["status", "observedGeneration"]);
        let ready = conditions::find(&found, "Ready").is_some_and(|one| one.str_at(&["status"]) == "True");
        if !observed || !ready {
            return Err(fault(format!("dependency '{namespace}/{name}' is not ready")));
        }
        if source_of(&found) == source_of(object)
            && found.str_at(&["status", "lastAppliedRevision"]) != revision
        {
            return Err(fault(format!("dependency '{namespace}/{name}' revision is not up to date")));
        }
    }
    Ok(())
}

/// Whether a dependency is ready by its dependent's own expression over both, `self` and `dep`.
fn ready_by(text: &str, object: &Value, dependency: &Value) -> Result<bool, Fault> {
    let tree = || Type::map(Type::String, Type::Dyn);
    let fault = |why: String| {
        let name = dependency.str_at(&["metadata", "name"]);
        expression(format!("{TERMINAL}: failed to evaluate dependency {name}: {why}"))
    };
    let program = Env::new().with("self", tree()).with("dep", tree()).compile(text);
    let program =
        program.map_err(|issues| fault(format!("failed to parse the CEL expression '{text}': {issues}")))?;
    if !matches!(program.output(), Type::Bool) {
        return Err(fault(format!(
            "CEL expression output type mismatch: expected bool, got {}",
            program.output()
        )));
    }
    let known = [("self", Val::of(object, None)), ("dep", Val::of(dependency, None))];
    custom::holds(&program, text, &Vars(&known)).map_err(|text| Fault { kind: FaultKind::Dependency, text })
}

fn variables(spec: &Value) -> Result<Vec<VariableSource>, Fault> {
    let all = spec.at(&["postBuild", "substituteFrom"]).and_then(Value::as_array).unwrap_or_default();
    let from = |one: &Value| VariableSource {
        kind: one.str_at(&["kind"]).into(),
        name: one.str_at(&["name"]).into(),
        optional: one.get("optional").and_then(Value::as_bool).unwrap_or_default(),
    };
    let all: Vec<VariableSource> = all.iter().map(from).collect();
    match all.iter().find(|one| !["ConfigMap", "Secret"].contains(&one.kind.as_str())) {
        Some(one) => {
            Err(Fault::spec(format!("spec.postBuild.substituteFrom: {} is no ConfigMap or Secret", one.kind)))
        }
        None => Ok(all),
    }
}

fn policy(spec: &Value) -> Policy {
    let flag = |name: &str| spec.get(name).and_then(Value::as_bool).unwrap_or_default();
    let time = |name: &str| duration(spec.str_at(&[name]));
    let interval = time("interval").unwrap_or(Duration::from_secs(600));
    let retry = time("retryInterval").unwrap_or(interval);
    let least = Duration::from_secs(30);
    let timeout = time("timeout").unwrap_or_else(|| interval.saturating_sub(least)).max(least);
    Policy {
        automated: true,
        prune: flag("prune"),
        heal: true,
        force: flag("force"),
        wait: flag("wait"),
        timeout,
        propagation: "Background",
        retry: Retry { limit: None, first: retry, factor: 1, most: retry },
        interval,
        jitter: interval / 20,
        ..Policy::default()
    }
}

fn edits(spec: &Value) -> Edits {
    let list = |name: &str| spec.get(name).and_then(Value::as_array).unwrap_or_default();
    let image = |one: &Value| ImageEdit {
        name: one.str_at(&["name"]).into(),
        new_name: one.str_at(&["newName"]).into(),
        new_tag: one.str_at(&["newTag"]).into(),
        digest: one.str_at(&["digest"]).into(),
    };
    let patch = |one: &Value| {
        let target = one.get("target").map(|target| PatchTarget::new(texts(Some(target))));
        (one.str_at(&["patch"]).to_string(), target)
    };
    Edits {
        name_prefix: spec.str_at(&["namePrefix"]).into(),
        name_suffix: spec.str_at(&["nameSuffix"]).into(),
        namespace: spec.str_at(&["targetNamespace"]).into(),
        images: list("images").iter().map(image).collect(),
        components: strings(spec.get("components")).map(Into::into).collect(),
        ignore_missing_components: spec.get("ignoreMissingComponents").and_then(Value::as_bool) == Some(true),
        build_metadata: strings(spec.get("buildMetadata")).map(Into::into).collect(),
        patches: list("patches").iter().map(patch).collect(),
        ..Edits::default()
    }
}

fn finish(spec: &Value) -> Finish {
    let post = spec.get("postBuild").filter(|post| !post.is_null());
    Finish {
        substitute: post.map(|post| texts(post.get("substitute"))),
        always: post.is_some_and(|post| post.str_at(&["substituteStrategy"]) == "Always"),
        labels: texts(spec.at(&["commonMetadata", "labels"])),
        annotations: texts(spec.at(&["commonMetadata", "annotations"])),
    }
}

fn masks(spec: &Value) -> Result<Vec<Mask>, Fault> {
    let all = spec.get("ignore").and_then(Value::as_array).unwrap_or_default();
    let mask = |one: &Value| {
        let target: BTreeMap<String, String> = texts(one.get("target"));
        let text = |name: &str| target.get(name).cloned().unwrap_or_default();
        if ["labelSelector", "annotationSelector", "version"].iter().any(|name| !text(name).is_empty()) {
            return Err(Fault::spec(
                "spec.ignore.target: labelSelector, annotationSelector and version are not supported; use group, kind, name and namespace",
            ));
        }
        // Without a target it is for all groups; a target without a group is for the core group only.
        let group =
            if target.is_empty() || !target.contains_key("group") { "*".into() } else { text("group") };
        Ok(Mask {
            group,
            kind: text("kind"),
            name: text("name"),
            namespace: text("namespace"),
            pointers: strings(one.get("paths")).map(Into::into).collect(),
            author: "spec.ignore".into(),
            ..Mask::default()
        })
    };
    all.iter().map(mask).collect()
}

fn health_checks(spec: &Value, app: &mut App) {
    for one in spec.get("healthChecks").and_then(Value::as_array).unwrap_or_default() {
        let api_version = one.str_at(&["apiVersion"]);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        app.health_checks.push(Id::new(
            group,
            one.str_at(&["kind"]),
            one.str_at(&["namespace"]),
            one.str_at(&["name"]),
        ));
        app.health_versions.push(version.into());
    }
}
