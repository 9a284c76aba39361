//! Rendered files cut into manifests, hooks told apart, both in the order of installation.

use super::metadata::{Decoder, json_kind};
use crate::go::path;
use crate::goyaml;

/// One document of a rendered file.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The template that made it: `CHART/templates/NAME`.
    pub path: String,
    pub kind: String,
    pub text: String,
}

/// A document with a `helm.sh/hook` annotation.
#[derive(Clone, Debug)]
pub struct Hook {
    pub path: String,
    pub name: String,
    pub kind: String,
    pub text: String,
    /// `pre-install`, `post-upgrade`, `test`, …
    pub events: Vec<String>,
    pub weight: i64,
    /// `before-hook-creation`, `hook-succeeded`, `hook-failed`.
    pub delete_policies: Vec<String>,
}

impl Hook {
    pub fn is_test(&self) -> bool {
        self.events.iter().any(|event| event == "test")
    }
}

const EVENTS: [&str; 9] = [
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

/// Kinds in the order in which they are installed; those that are not here come last, by name.
pub const INSTALL: [&str; 36] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// Cuts a text at lines of `---`, and trims what is between.
pub fn split(text: &str) -> Vec<String> {
    // `(?:^|\s*\n)---\s*`, of which each finds the first.
    const BLANK: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];
    let mut rest = text.trim_matches(crate::go::text::is_space);
    let mut parts = Vec::new();
    rest = rest.strip_prefix("---").map_or(rest, |behind| behind.trim_start_matches(BLANK));
    while let Some(at) = rest.find("\n---") {
        parts.push(rest[..at].trim_end_matches(BLANK));
        rest = rest[at + 4..].trim_start_matches(BLANK);
    }
    parts.push(rest);
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.map(|part| part.trim_matches(crate::go::text::is_space).to_string()).collect()
}

/// The manifests and hooks of rendered files, which are in the order of their paths.
pub(super) fn sort(
    files: impl IntoIterator<Item = (String, String)>,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Manifest>, Vec<Hook>), String> {
    let (mut manifests, mut hooks) = (Vec::new(), Vec::new());
    for (file, text) in files {
        if path::base(&file).starts_with('_') || text.trim_matches(crate::go::text::is_space).is_empty() {
            continue;
        }
        // What was rendered goes before its parts are looked into, so that there is one copy.
        let parts = split(&text);
        drop(text);
        for text in parts {
            one(&file, text, &mut manifests, &mut hooks, warnings)
                .map_err(|error| format!("YAML parse error on {file}: {error}"))?;
        }
    }
    by_kind(&mut manifests, |one| &one.kind);
    by_kind(&mut hooks, |one| &one.kind);
    Ok((manifests, hooks))
}

/// Sorts into the order of installation; those of one kind stay in theirs.
pub(super) fn by_kind<T>(all: &mut [T], kind: impl Fn(&T) -> &str) {
    all.sort_by(|a, b| rank(kind(a)).cmp(&rank(kind(b))));
}

fn rank(kind: &str) -> (usize, &str) {
    match INSTALL.iter().position(|known| *known == kind) {
        Some(at) => (at, ""),
        None => (INSTALL.len(), kind),
    }
}

fn one(
    file: &str,
    text: String,
    manifests: &mut Vec<Manifest>,
    hooks: &mut Vec<Hook>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let document = goyaml::head(&text, &["apiVersion", "kind", "metadata"])?;
    let empty = api::Map::new();
    let map = match &document {
        api::Value::Null => &empty,
        api::Value::Object(map) => map,
        other => {
            return Err(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type releaseutil.SimpleHead",
                json_kind(other)
            ));
        }
    };
    let decoding = |error: String| format!("error unmarshaling JSON: while decoding JSON: {error}");
    let head = Decoder { name: "SimpleHead", map };
    head.text("apiVersion").map_err(decoding)?;
    let kind = head.text("kind").map_err(decoding)?;
    let metadata = "struct { Name string \"json:\\\"name\\\"\"; Annotations map[string]string \"json:\\\"annotations\\\"\" }";
    let inner = head.object("metadata", metadata).map_err(decoding)?;
    let inner = Decoder { name: "SimpleHead", map: inner.unwrap_or(&empty) };
    let name = inner.text("name").map_err(|error| decoding(error.replace("SimpleHead.", ".metadata.")))?;
    let annotations = inner
        .map_of_texts("annotations")
        .map_err(|error| decoding(error.replace("SimpleHead.", ".metadata.")))?
        .unwrap_or_default();
    let annotation =
        |key: &str| annotations.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let Some(types) = annotation("helm.sh/hook") else {
        manifests.push(Manifest { path: file.into(), kind, text });
        return Ok(());
    };
    let words =
        |text: &str| -> Vec<String> { text.split(',').map(|word| word.trim().to_lowercase()).collect() };
    let mut events = Vec::new();
    for event in words(types) {
        match event.as_str() {
            // What Helm 2 called a test.
            "test-success" => events.push("test".into()),
            known if EVENTS.contains(&known) => events.push(event),
            _ => {
                let shown = crate::go::quote::quote(types.as_bytes());
                warnings.push(format!("info: skipping unknown hook: {shown}"));
                return Ok(());
            }
        }
    }
    hooks.push(Hook {
        path: file.into(),
        name,
        kind,
        text,
        events,
        weight: annotation("helm.sh/hook-weight")
            .and_then(|text| crate::go::float::parse_int(text, 10))
            .unwrap_or(0),
        delete_policies: annotation("helm.sh/hook-delete-policy").map(words).unwrap_or_default(),
    });
    Ok(())
}
