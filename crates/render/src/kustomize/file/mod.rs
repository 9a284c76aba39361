//! A kustomization file, decoded: known fields only, deprecated spellings folded into today's.

mod edits;
mod entries;
mod fault;

use std::collections::BTreeMap;

use api::{Map, Value};
use serde::Deserialize;

use crate::Error;
use crate::tree::Tree;
pub use edits::{Edits, ImageEdit, PatchTarget};
pub(super) use entries::*;

type Texts = BTreeMap<String, String>;

/// A kustomization file and where it lies.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Kustomization {
    /// The directory.
    #[serde(skip)]
    pub at: String,
    /// Files outside the directory may be named too.
    #[serde(skip)]
    pub unrestricted: bool,
    /// The file, for messages.
    #[serde(skip)]
    pub file: String,
    #[serde(skip)]
    pub is_component: bool,
    api_version: String,
    kind: String,
    #[serde(rename = "metadata")]
    _metadata: Option<serde_json::Value>,
    pub name_prefix: String,
    pub name_suffix: String,
    pub namespace: String,
    pub common_labels: Texts,
    pub labels: Vec<Label>,
    pub common_annotations: Texts,
    pub patches_strategic_merge: Vec<String>,
    #[serde(rename = "patchesJson6902")]
    pub patches_json6902: Vec<Patch>,
    pub patches: Vec<Patch>,
    pub images: Vec<Image>,
    image_tags: Vec<Image>,
    pub replacements: Vec<ReplacementEntry>,
    pub replicas: Vec<Replica>,
    #[serde(rename = "sortOptions")]
    pub sort: Option<SortOptions>,
    pub resources: Vec<String>,
    pub components: Vec<String>,
    bases: Vec<String>,
    #[serde(rename = "configMapGenerator")]
    pub config_maps: Vec<Generator>,
    #[serde(rename = "secretGenerator")]
    pub secrets: Vec<Generator>,
    pub generator_options: GeneratorOptions,
    pub vars: Vec<Variable>,
    pub crds: Vec<String>,
    pub configurations: Vec<String>,
    pub generators: Vec<String>,
    pub transformers: Vec<String>,
    pub validators: Vec<String>,
    pub openapi: Texts,
    pub build_metadata: Vec<String>,
    pub helm_globals: HelmGlobals,
    pub helm_charts: Vec<HelmChart>,
    helm_chart_inflation_generator: Vec<LegacyChart>,
}

/// Decodes a part of a file; unset fields may be null, as in Go.
pub(super) fn decode<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    decode_at(value).map_err(|(field, text)| if field.is_empty() { text } else { format!("{field}: {text}") })
}

/// The same; an error has the field that it is about, if that is known.
fn decode_at<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T, (String, String)> {
    drop_nulls(&mut value);
    let json = value.to_json();
    serde_json::from_slice(&json)
        .map_err(|error| (fault::field(&json, error.line(), error.column()), fault::text(&error)))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.iter_mut().for_each(|(_, value)| drop_nulls(value));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Every field of a kustomization, at any depth.
const FIELDS: &str = "apiVersion kind metadata namePrefix nameSuffix namespace commonLabels labels commonAnnotations \
    patchesStrategicMerge patchesJson6902 patches images imageTags replacements replicas sortOptions resources components \
    bases configMapGenerator secretGenerator generatorOptions vars crds configurations generators transformers validators \
    openapi buildMetadata helmGlobals helmCharts helmChartInflationGenerator name objref fieldref group version fieldPath \
    chartHome configHome repo releaseName additionalValuesFiles valuesFile valuesInline valuesMerge includeCRDs skipHooks \
    apiVersions kubeVersion nameTemplate skipTests debug devel chartName chartVersion chartRepoUrl values valuesLocal \
    pairs includeSelectors includeTemplates fields path create patch target options allowNameChange allowKindChange \
    annotationSelector labelSelector newName tagSuffix newTag digest count order legacySortOptions orderFirst orderLast \
    behavior files literals envs env type annotations disableNameSuffixHash immutable source sourceValue targets select \
    reject fieldPaths delimiter index encoding";

/// Go's decoder takes a field in any case; what is below these is the user's own.
fn folded(map: Map) -> Map {
    const FREE: [&str; 8] = [
        "commonLabels",
        "commonAnnotations",
        "pairs",
        "valuesInline",
        "valuesLocal",
        "openapi",
        "metadata",
        "annotations",
    ];
    let mut out = Map::with_capacity(map.len());
    for (key, value) in map {
        let known = FIELDS.split_ascii_whitespace().find(|field| field.eq_ignore_ascii_case(&key));
        let exact = FIELDS.split_ascii_whitespace().any(|field| field == key);
        let key = if exact { key } else { known.map_or(key, Into::into) };
        let value = match value {
            Value::Object(below) if !FREE.contains(&key.as_str()) => Value::Object(folded(below)),
            Value::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| match item {
                        Value::Object(below) => Value::Object(folded(below)),
                        other => other,
                    })
                    .collect(),
            ),
            other => other,
        };
        out.insert(key, value);
    }
    out
}

impl Kustomization {
    pub(super) fn parse(at: &str, file: &str, text: &str) -> Result<Kustomization, Error> {
        let map = match super::first_document(text, file)? {
            Value::Null => Map::new(),
            Value::Object(map) => folded(map),
            _ => return Err(Error::field(file, ".", "invalid Kustomization: must be a map of fields")),
        };
        // As upstream tells them: an empty list is something, except in the fields that are folded into others.
        let says_nothing = |(key, value): (&smol_str::SmolStr, &Value)| {
            let folded = ["bases", "imageTags", "helmChartInflationGenerator"].contains(&key.as_str());
            ["apiVersion", "kind"].contains(&key.as_str())
                || value.is_null()
                || value.as_str() == Some("")
                || (folded && value.as_array().is_some_and(<[Value]>::is_empty))
        };
        let is_empty = map.iter().all(says_nothing);
        let mut this: Kustomization = decode_at(Value::Object(map)).map_err(|(field, text)| {
            let field = if field.is_empty() { ".".into() } else { field };
            Error::field(file, field, format!("invalid Kustomization: {text}"))
        })?;
        if is_empty {
            return Err(Error::field(file, ".", "kustomization.yaml is empty"));
        }
        (this.at, this.file) = (at.into(), file.into());
        this.check_kind()?;
        this.fold();
        Ok(this)
    }

    fn check_kind(&mut self) -> Result<(), Error> {
        self.is_component = match self.kind.as_str() {
            "" | "Kustomization" => false,
            "Component" => true,
            _ => return Err(Error::field(&self.file, "kind", "kind should be Kustomization or Component")),
        };
        let (kind, version) = match self.is_component {
            true => ("Component", "kustomize.config.k8s.io/v1alpha1"),
            false => ("Kustomization", "kustomize.config.k8s.io/v1beta1"),
        };
        if !self.api_version.is_empty() && self.api_version != version {
            let text = format!("apiVersion for {kind} should be {version}");
            return Err(Error::field(&self.file, "apiVersion", text));
        }
        Ok(())
    }

    /// Moves what deprecated fields say into today's.
    fn fold(&mut self) {
        self.resources.append(&mut self.bases);
        self.images.append(&mut self.image_tags);
        for old in self.helm_chart_inflation_generator.drain(..) {
            if self.helm_globals.chart_home.is_empty() {
                self.helm_globals.chart_home = old.chart_home;
            }
            self.helm_charts.push(HelmChart {
                name: old.chart_name,
                version: old.chart_version,
                repo: old.chart_repo_url,
                values_file: old.values,
                values_inline: old.values_local,
                values_merge: old.values_merge,
                release_name: old.release_name,
                ..HelmChart::default()
            });
        }
        for generator in self.config_maps.iter_mut().chain(&mut self.secrets) {
            let env = std::mem::take(&mut generator.env);
            if !env.is_empty() {
                generator.envs.push(env);
            }
        }
    }

    /// A file that this kustomization names. As upstream, it must lie in or below the kustomization's directory.
    pub(super) fn load(&self, tree: &Tree, path: &str, field: &str) -> Result<String, Error> {
        let bytes = self.load_bytes(tree, path, field)?;
        String::from_utf8(bytes)
            .map_err(|_| Error::field(&self.file, field, format!("{path} is not UTF-8 text")))
    }

    pub(super) fn load_bytes(&self, tree: &Tree, path: &str, field: &str) -> Result<Vec<u8>, Error> {
        let fault = |error: crate::tree::Error| Error::field(&self.file, field, error.to_string());
        let clean = tree.resolve(&self.at, path).map_err(fault)?;
        let inside = self.unrestricted || self.at.is_empty() || clean.starts_with(&format!("{}/", self.at));
        if !inside {
            let text = format!(
                "{path} is not in or below the kustomization's directory; move the file there, or make its directory a base"
            );
            return Err(Error::field(&self.file, field, text));
        }
        match tree.entry("", &clean).map_err(fault)? {
            None => Err(Error::field(&self.file, field, format!("{path}: no such file in the source"))),
            Some(_) => tree.read("", &clean).map_err(fault),
        }
    }

    /// See [`Edits`].
    pub(super) fn edit(&mut self, edits: &Edits, tree: &Tree) {
        if !edits.name_prefix.is_empty() {
            self.name_prefix = edits.name_prefix.clone();
        }
        if !edits.name_suffix.is_empty() {
            self.name_suffix = edits.name_suffix.clone();
        }
        if !edits.namespace.is_empty() {
            self.namespace = edits.namespace.clone();
        }
        for edit in &edits.images {
            self.images.retain(|image| image.name != edit.name);
            self.images.push(Image {
                name: edit.name.clone(),
                new_name: edit.new_name.clone(),
                new_tag: edit.new_tag.clone(),
                digest: edit.digest.clone(),
                ..Image::default()
            });
        }
        for (name, count) in &edits.replicas {
            self.replicas.retain(|replica| replica.name != *name);
            self.replicas.push(Replica { name: name.clone(), count: *count });
        }
        if edits.labels_without_selector {
            if !edits.common_labels.is_empty() {
                self.labels.push(Label {
                    pairs: edits.common_labels.clone(),
                    include_templates: edits.label_include_templates,
                    ..Label::default()
                });
            }
        } else {
            self.common_labels.extend(edits.common_labels.clone());
        }
        self.common_annotations.extend(edits.common_annotations.clone());
        let is_there = |path: &&String| {
            !edits.ignore_missing_components
                || tree
                    .resolve(&self.at, path)
                    .is_ok_and(|clean| matches!(tree.entry("", &clean), Ok(Some(_))))
        };
        let components: Vec<String> = edits.components.iter().filter(is_there).cloned().collect();
        self.components.extend(components);
        if !edits.build_metadata.is_empty() {
            self.build_metadata.clone_from(&edits.build_metadata);
        }
        for (patch, target) in &edits.patches {
            let target = target.as_ref().map(|target| Selector {
                group: target.str_at(&["group"]).into(),
                version: target.str_at(&["version"]).into(),
                kind: target.str_at(&["kind"]).into(),
                name: target.str_at(&["name"]).into(),
                namespace: target.str_at(&["namespace"]).into(),
                annotation_selector: target.str_at(&["annotationSelector"]).into(),
                label_selector: target.str_at(&["labelSelector"]).into(),
            });
            self.patches.push(Patch { patch: patch.clone(), target, ..Patch::default() });
        }
    }
}
