//! What an `Application` asks for.

use api::Value;
use render::{directory, kustomize};

use super::options::policy;
use super::project::{self, CLUSTER, SERVER};
use super::read::{strings, texts};
use crate::app::{App, Deletion, Fault, Operation, Patience, Refresh};
use crate::frontends::{Context, Settings, is_given};
use crate::git::verify::Verify;
use crate::helm::{Helm, Parameter};
use crate::inventory::Id;
use crate::jq::Expressions;
use crate::mask::Mask;
use crate::source::{Recipe, Render, Source};

pub(crate) const TRACKING: &str = "argocd.argoproj.io/tracking-id";
pub(crate) const REFRESH: &str = "argocd.argoproj.io/refresh";
/// What Argo CD's command line sets beside a refresh; there is nothing to hydrate.
pub(super) const HYDRATE: &str = "argocd.argoproj.io/hydrate";
/// Upstream's way to leave an application alone.
pub(crate) const SKIP: &str = "argocd.argoproj.io/skip-reconcile";
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// The application's name in tracking ids: with its namespace, unless that is Argo CD's own.
pub(super) fn instance(object: &Value, settings: &Settings) -> String {
    let (namespace, name) = (object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]));
    if namespace == settings.argocd_namespace { name.into() } else { format!("{namespace}_{name}") }
}

/// Reads an Application; a fault is shown as `InvalidSpecError`.
pub(super) fn read(object: &Value, context: &Context<'_>) -> Result<App, Fault> {
    let namespace = object.str_at(&["metadata", "namespace"]).to_string();
    let name = object.str_at(&["metadata", "name"]).to_string();
    let annotation = |name: &str| object.str_at(&["metadata", "annotations", name]);
    let mut warnings = Vec::new();
    let mut app = App {
        uid: object.str_at(&["metadata", "uid"]).into(),
        instance: instance(object, context.settings),
        destination: object.str_at(&["spec", "destination", "namespace"]).into(),
        refresh: match annotation(REFRESH) {
            "" => Refresh::No,
            "hard" => Refresh::Hard,
            _ => Refresh::Normal,
        },
        suspended: annotation(SKIP) == "true",
        deletion: deletion(object),
        namespace,
        name,
        ..App::default()
    };
    // An object that goes away must be let go even if its spec is wrong.
    if app.deletion.is_some() {
        app.recipe = recipe(object.get("spec"), object).unwrap_or_default();
        return Ok(app);
    }
    app.recipe = recipe(object.get("spec"), object).map_err(Fault::spec)?;
    destination(object).map_err(Fault::spec)?;
    let judged = project::judge(object, &app.recipe, context)?;
    require(&mut app.recipe, &judged.verify);
    app.permits = Some(judged.permits);
    app.policy = policy(object, &mut warnings);
    app.policy.automated &= judged.automatic;
    app.again = judged.windows.then_some(std::time::Duration::from_secs(60));
    app.masks = masks(object);
    app.operation = object.get("operation").and_then(|asked| operation(asked, object));
    if let Some(operation) = &mut app.operation {
        if !judged.by_hand {
            operation.refused = Some("Sync operation blocked by sync window".into());
        }
        if let Some(recipe) = &mut operation.recipe {
            match project::judge(object, recipe, context) {
                Ok(judged) => require(recipe, &judged.verify),
                Err(fault) => operation.refused = Some(fault.text),
            }
        }
    }
    app.warnings = warnings;
    Ok(app)
}

/// Sets what must be signed, of each source.
fn require(recipe: &mut Recipe, rules: &[Verify]) {
    for (source, rules) in recipe.sources.iter_mut().zip(rules) {
        source.verify = rules.clone();
    }
}

fn destination(object: &Value) -> Result<(), String> {
    let server = object.str_at(&["spec", "destination", "server"]).trim_end_matches('/');
    let name = object.str_at(&["spec", "destination", "name"]);
    match (server, name) {
        (SERVER, "") | ("", CLUSTER) => Ok(()),
        ("", "") => Err(format!("spec.destination: give server: {SERVER} or name: {CLUSTER}")),
        (server, name) => Err(format!(
            "spec.destination: {} is another cluster; a site keeps only itself in step: use server: {SERVER} there",
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
    Some(Deletion { finalizers: ours, cascade, patience: Patience::Gone })
}

/// As Argo CD compares addresses: without `.git` at the end and without regard to case.
pub(super) fn normal_url(url: &str) -> String {
    let url = url.trim().trim_end_matches('/').to_ascii_lowercase();
    url.strip_suffix(".git").map(Into::into).unwrap_or(url)
}

/// The sources of a spec, or of an operation that has its own.
fn recipe(spec: Option<&Value>, object: &Value) -> Result<Recipe, String> {
    if is_given(spec.and_then(|spec| spec.get("sourceHydrator"))) {
        return Err(
            "spec.sourceHydrator: nothing is written to Git here; give the hydrated branch as spec.source"
                .into(),
        );
    }
    let several = spec.and_then(|spec| spec.get("sources")).and_then(Value::as_array).unwrap_or_default();
    let one = spec.and_then(|spec| spec.get("source")).filter(|one| !one.is_null());
    let mut sources = Vec::new();
    match (several, one) {
        ([], None) => return Err("spec.source is required: repoURL, path and targetRevision".into()),
        ([], Some(one)) => sources.push(source(one, "spec.source")?),
        (all, _) => {
            for (at, one) in all.iter().enumerate() {
                sources.push(source(one, &format!("spec.sources[{at}]"))?);
            }
        }
    }
    if sources.iter().all(|source| source.render == Render::Nothing) {
        return Err("spec.sources: no source has a path".into());
    }
    let expressions = object.at(&["spec", "ignoreDifferences"]).and_then(Value::as_array).unwrap_or_default();
    let masks = expressions.iter().map(|entry| Expressions {
        group: entry.str_at(&["group"]).into(),
        kind: entry.str_at(&["kind"]).into(),
        name: entry.str_at(&["name"]).into(),
        namespace: entry.str_at(&["namespace"]).into(),
        expressions: strings(entry.get("jqPathExpressions")).map(Into::into).collect(),
    });
    Ok(Recipe {
        sources,
        masks: masks.filter(|one| !one.expressions.is_empty()).collect(),
        namespace: object.str_at(&["spec", "destination", "namespace"]).into(),
        name: object.str_at(&["metadata", "name"]).into(),
        ..Recipe::default()
    })
}

fn source(spec: &Value, field: &str) -> Result<Source, String> {
    let url = spec.str_at(&["repoURL"]);
    if url.is_empty() {
        return Err(format!("{field}.repoURL is required"));
    }
    for (name, instead) in [
        ("chart", "charts of a chart repository are not supported; commit the chart and give its path"),
        ("plugin", "plugins run code and are not supported; use Kustomize or plain manifests"),
        ("tagPrefix", "tags are compared whole; give targetRevision the tag"),
    ] {
        if is_given(spec.get(name)) {
            return Err(format!("{field}.{name}: {instead}"));
        }
    }
    let (path, name) = (spec.str_at(&["path"]), spec.str_at(&["ref"]));
    if path.is_empty() && name.is_empty() {
        return Err(format!("{field}.path is required; use . for the root of the repository"));
    }
    crate::git::parse_url(url).map_err(|error| format!("{field}.repoURL: {error}"))?;
    let render = match () {
        () if path.is_empty() => Render::Nothing,
        () if is_given(spec.get("helm")) => {
            Render::Helm(Box::new(helm(&spec.get("helm").cloned().unwrap_or_default(), field)?))
        }
        () if is_given(spec.get("kustomize")) => {
            Render::Kustomize(Box::new(edits(&spec.get("kustomize").cloned().unwrap_or_default(), field)?))
        }
        () if is_given(spec.get("directory")) => {
            if is_given(spec.at(&["directory", "jsonnet"])) {
                return Err(format!(
                    "{field}.directory.jsonnet: Jsonnet is not supported; commit what it prints"
                ));
            }
            if spec.at(&["directory", "disableExtensionFilter"]).and_then(Value::as_bool) == Some(true) {
                return Err(format!(
                    "{field}.directory.disableExtensionFilter is not supported; name files .yaml, .yml or .json"
                ));
            }
            Render::Directory(directory::Options {
                recurse: spec.at(&["directory", "recurse"]).and_then(Value::as_bool).unwrap_or_default(),
                include: spec.str_at(&["directory", "include"]).into(),
                exclude: spec.str_at(&["directory", "exclude"]).into(),
            })
        }
        () => Render::Detect,
    };
    Ok(Source {
        url: url.into(),
        revision: revision(spec.str_at(&["targetRevision"])),
        path: path.into(),
        render,
        name: name.into(),
        // As upstream, unless its operator turns that off.
        submodules: true,
        ..Source::default()
    })
}

/// What of `helm` is read; `version` and `passCredentials` have no effect: one version is built in, and nothing is fetched.
const HELM: [&str; 16] = [
    "releaseName",
    "namespace",
    "valueFiles",
    "ignoreMissingValueFiles",
    "values",
    "valuesObject",
    "parameters",
    "fileParameters",
    "skipCrds",
    "skipTests",
    "skipSchemaValidation",
    "kubeVersion",
    "apiVersions",
    "version",
    "passCredentials",
    "skipHooks",
];

fn helm(spec: &Value, field: &str) -> Result<Helm, String> {
    let field = format!("{field}.helm");
    let unknown =
        spec.as_map().into_iter().flat_map(|map| map.keys()).find(|key| !HELM.contains(&key.as_str()));
    if let Some(key) = unknown {
        return Err(format!("{field}.{key} is not supported"));
    }
    let text = |name: &str| spec.str_at(&[name]).to_string();
    let flag = |name: &str| spec.get(name).and_then(Value::as_bool).unwrap_or_default();
    let list = |name: &str| spec.get(name).and_then(Value::as_array).unwrap_or_default();
    let texts = |name: &str| strings(spec.get(name)).map(Into::into).collect();
    let mut values = text("values");
    if let Some(object) = spec.get("valuesObject").filter(|object| is_given(Some(object))) {
        // The tree wins over the text, as upstream.
        values.clear();
        render::yaml::emit(object, &mut values);
    }
    let parameter = |one: &Value| Parameter {
        name: one.str_at(&["name"]).into(),
        value: one.str_at(&["value"]).into(),
        text: one.get("forceString").and_then(Value::as_bool).unwrap_or_default(),
    };
    let file = |one: &Value| (one.str_at(&["name"]).to_string(), one.str_at(&["path"]).to_string());
    Ok(Helm {
        release: text("releaseName"),
        namespace: text("namespace"),
        value_files: texts("valueFiles"),
        ignore_missing: flag("ignoreMissingValueFiles"),
        values,
        parameters: list("parameters").iter().map(parameter).collect(),
        file_parameters: list("fileParameters").iter().map(file).collect(),
        skip_crds: flag("skipCrds"),
        skip_hooks: flag("skipHooks"),
        skip_tests: flag("skipTests"),
        skip_schema: flag("skipSchemaValidation"),
        kube_version: text("kubeVersion"),
        api_versions: texts("apiVersions"),
    })
}

/// A range of versions (`1.2.*`, `^1`, `>=1.0 <2`) means the highest tag in it; anything else is a name.
fn revision(text: &str) -> String {
    let looks_like_range = text.contains(['*', '^', '~', '<', '>', '=', '|'])
        || text.split('.').any(|part| part == "x" || part == "X");
    if looks_like_range { format!("semver:{text}") } else { text.into() }
}

/// What of `kustomize` is done; everything else is refused by name.
const KUSTOMIZE: [&str; 12] = [
    "namePrefix",
    "nameSuffix",
    "namespace",
    "images",
    "replicas",
    "commonLabels",
    "labelWithoutSelector",
    "labelIncludeTemplates",
    "commonAnnotations",
    "components",
    "ignoreMissingComponents",
    "patches",
];
/// Without effect here: labels and annotations are always set, and versions are the cluster's own.
const KUSTOMIZE_MOOT: [&str; 5] =
    ["forceCommonLabels", "forceCommonAnnotations", "version", "kubeVersion", "apiVersions"];

fn edits(spec: &Value, field: &str) -> Result<kustomize::Edits, String> {
    let field = format!("{field}.kustomize");
    let unknown = spec.as_map().into_iter().flat_map(|map| map.iter()).find(|(key, value)| {
        is_given(Some(value)) && !KUSTOMIZE.contains(&key.as_str()) && !KUSTOMIZE_MOOT.contains(&key.as_str())
    });
    if let Some((key, value)) = unknown
        && *value != Value::Bool(false)
    {
        return Err(format!("{field}.{key} is not supported"));
    }
    let flag = |name: &str| spec.get(name).and_then(Value::as_bool).unwrap_or_default();
    let mut images = Vec::new();
    for text in strings(spec.get("images")) {
        let edit = kustomize::ImageEdit::parse(text);
        images.push(edit.ok_or_else(|| format!("{field}.images: {text:?} is not name=newName:tag"))?);
    }
    let mut replicas = Vec::new();
    for entry in spec.get("replicas").and_then(Value::as_array).unwrap_or_default() {
        let count = match entry.get("count") {
            Some(Value::Int(count)) => Some(*count),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let count = count.ok_or_else(|| format!("{field}.replicas: count must be a number"))?;
        replicas.push((entry.str_at(&["name"]).to_string(), count));
    }
    let patches = spec.get("patches").and_then(Value::as_array).unwrap_or_default();
    if let Some(patch) = patches.iter().find(|patch| !patch.str_at(&["path"]).is_empty()) {
        let path = patch.str_at(&["path"]);
        return Err(format!(
            "{field}.patches: path {path} is not supported here; list it in the kustomization"
        ));
    }
    if patches.iter().any(|patch| is_given(patch.get("options"))) {
        return Err(format!(
            "{field}.patches: options is not supported; list the patch in the kustomization"
        ));
    }
    let patch = |patch: &Value| {
        let target = patch.get("target").map(|target| kustomize::PatchTarget::new(texts(Some(target))));
        (patch.str_at(&["patch"]).to_string(), target)
    };
    Ok(kustomize::Edits {
        name_prefix: spec.str_at(&["namePrefix"]).into(),
        name_suffix: spec.str_at(&["nameSuffix"]).into(),
        namespace: spec.str_at(&["namespace"]).into(),
        images,
        replicas,
        common_labels: texts(spec.get("commonLabels")),
        labels_without_selector: flag("labelWithoutSelector"),
        label_include_templates: flag("labelIncludeTemplates"),
        common_annotations: texts(spec.get("commonAnnotations")),
        components: strings(spec.get("components")).map(Into::into).collect(),
        ignore_missing_components: flag("ignoreMissingComponents"),
        build_metadata: Vec::new(),
        patches: patches.iter().map(patch).collect(),
    })
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

fn operation(value: &Value, object: &Value) -> Option<Operation> {
    let sync = value.get("sync")?;
    let flag = |path: &[&str]| sync.at(path).and_then(Value::as_bool).unwrap_or_default();
    let revision = sync.str_at(&["revision"]);
    let mut revisions: Vec<String> = strings(sync.get("revisions")).map(Into::into).collect();
    if revisions.is_empty() && !revision.is_empty() {
        revisions.push(revision.into());
    }
    let only = sync.get("resources").and_then(Value::as_array).unwrap_or_default().iter().map(|one| {
        Id::new(
            one.str_at(&["group"]),
            one.str_at(&["kind"]),
            one.str_at(&["namespace"]),
            one.str_at(&["name"]),
        )
    });
    let options: Vec<&str> = strings(sync.get("syncOptions")).map(str::trim).collect();
    let mut refused = is_given(sync.get("manifests"))
        .then(|| "operation.sync.manifests: manifests come from the source only".to_string());
    let own = is_given(sync.get("source")) || is_given(sync.get("sources"));
    let recipe = own.then(|| recipe(Some(sync), object)).and_then(|read| match read {
        Ok(recipe) => Some(recipe),
        Err(text) => {
            refused = Some(text.replacen("spec.", "operation.sync.", 1));
            None
        }
    });
    Some(Operation {
        revisions,
        recipe,
        prune: flag(&["prune"]),
        dry_run: flag(&["dryRun"]),
        force: flag(&["syncStrategy", "apply", "force"])
            || flag(&["syncStrategy", "hook", "force"])
            || options.contains(&"Force=true"),
        replace: options.contains(&"Replace=true"),
        apply_out_of_sync_only: options.contains(&"ApplyOutOfSyncOnly=true"),
        only: only.collect(),
        initiated_by: value.str_at(&["initiatedBy", "username"]).into(),
        refused,
    })
}
