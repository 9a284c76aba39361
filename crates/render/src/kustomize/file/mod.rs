//! A kustomization file, decoded: known fields only, deprecated spellings folded into today's.

mod edits;
mod entries;

use std::collections::BTreeMap;

use api::{Map, Value};
use serde::Deserialize;

use crate::tree::Tree;
use crate::{Error, yaml};
pub use edits::{Edits, ImageEdit, PatchTarget};
pub(super) use entries::*;

type Texts = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    api_version: String,
    kind: String,
    metadata: Option<serde_json::Value>,
    name_prefix: Option<String>,
    name_suffix: Option<String>,
    namespace: Option<String>,
    common_labels: Option<Texts>,
    labels: Option<Vec<Label>>,
    common_annotations: Option<Texts>,
    patches_strategic_merge: Option<Vec<String>>,
    #[serde(rename = "patchesJson6902")]
    patches_json6902: Option<Vec<Patch>>,
    patches: Option<Vec<Patch>>,
    images: Option<Vec<Image>>,
    image_tags: Option<Vec<Image>>,
    replacements: Option<Vec<ReplacementEntry>>,
    replicas: Option<Vec<Replica>>,
    sort_options: Option<SortOptions>,
    resources: Option<Vec<String>>,
    components: Option<Vec<String>>,
    bases: Option<Vec<String>>,
    config_map_generator: Option<Vec<Generator>>,
    secret_generator: Option<Vec<Generator>>,
    generator_options: Option<GeneratorOptions>,
    vars: Option<Vec<Variable>>,
    crds: Option<Vec<String>>,
    configurations: Option<Vec<String>>,
    generators: Option<Vec<String>>,
    transformers: Option<Vec<String>>,
    validators: Option<Vec<String>>,
    openapi: Option<Texts>,
    build_metadata: Option<Vec<String>>,
    helm_globals: Option<HelmGlobals>,
    helm_charts: Option<Vec<HelmChart>>,
    helm_chart_inflation_generator: Option<Vec<LegacyChart>>,
}

/// A kustomization file and where it lies.
#[derive(Debug, Default)]
pub(super) struct Kustomization {
    /// The directory.
    pub at: String,
    /// Files outside the directory may be named too.
    pub unrestricted: bool,
    /// The file, for messages.
    pub file: String,
    pub is_component: bool,
    pub name_prefix: String,
    pub name_suffix: String,
    pub namespace: String,
    pub common_labels: Texts,
    pub has_common_labels: bool,
    pub labels: Vec<Label>,
    pub common_annotations: Texts,
    pub patches_strategic_merge: Vec<String>,
    pub patches_json6902: Vec<Patch>,
    pub patches: Vec<Patch>,
    pub images: Vec<Image>,
    pub replacements: Vec<ReplacementEntry>,
    pub replicas: Vec<Replica>,
    pub sort: Option<SortOptions>,
    pub resources: Vec<String>,
    pub components: Vec<String>,
    pub config_maps: Vec<Generator>,
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
}

/// Decodes a part of a file; unset fields may be null, as in Go.
pub(super) fn decode<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T, String> {
    drop_nulls(&mut value);
    serde_json::from_slice(&value.to_json()).map_err(|error| without_place(&error))
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
        let mut documents = yaml::parse_lenient(text, yaml::Dialect::V2).map_err(Error::yaml(file))?;
        let document = if documents.is_empty() { Value::Null } else { documents.swap_remove(0) };
        let map = match document {
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
        let fields: Fields = decode(Value::Object(map))
            .map_err(|text| Error::field(file, ".", format!("invalid Kustomization: {text}")))?;
        if is_empty {
            return Err(Error::field(file, ".", "kustomization.yaml is empty"));
        }
        Kustomization::check(at, file, fields)
    }

    fn check(at: &str, file: &str, fields: Fields) -> Result<Kustomization, Error> {
        let is_component = match fields.kind.as_str() {
            "" | "Kustomization" => false,
            "Component" => true,
            _ => return Err(Error::field(file, "kind", "kind should be Kustomization or Component")),
        };
        let version =
            if is_component { "kustomize.config.k8s.io/v1alpha1" } else { "kustomize.config.k8s.io/v1beta1" };
        if !fields.api_version.is_empty() && fields.api_version != version {
            let kind = if is_component { "Component" } else { "Kustomization" };
            return Err(Error::field(
                file,
                "apiVersion",
                format!("apiVersion for {kind} should be {version}"),
            ));
        }
        let mut resources = fields.resources.unwrap_or_default();
        resources.extend(fields.bases.unwrap_or_default());
        let mut images = fields.images.unwrap_or_default();
        images.extend(fields.image_tags.unwrap_or_default());
        let mut helm_globals = fields.helm_globals.unwrap_or_default();
        let mut helm_charts = fields.helm_charts.unwrap_or_default();
        for old in fields.helm_chart_inflation_generator.unwrap_or_default() {
            if helm_globals.chart_home.is_empty() {
                helm_globals.chart_home.clone_from(&old.chart_home);
            }
            helm_charts.push(HelmChart {
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
        let generators = |list: Option<Vec<Generator>>| {
            let mut list = list.unwrap_or_default();
            for generator in &mut list {
                let env = std::mem::take(&mut generator.env);
                if !env.is_empty() {
                    generator.envs.push(env);
                }
            }
            list
        };
        Ok(Kustomization {
            at: at.into(),
            unrestricted: false,
            file: file.into(),
            is_component,
            name_prefix: fields.name_prefix.unwrap_or_default(),
            name_suffix: fields.name_suffix.unwrap_or_default(),
            namespace: fields.namespace.unwrap_or_default(),
            has_common_labels: fields.common_labels.as_ref().is_some_and(|labels| !labels.is_empty()),
            common_labels: fields.common_labels.unwrap_or_default(),
            labels: fields.labels.unwrap_or_default(),
            common_annotations: fields.common_annotations.unwrap_or_default(),
            patches_strategic_merge: fields.patches_strategic_merge.unwrap_or_default(),
            patches_json6902: fields.patches_json6902.unwrap_or_default(),
            patches: fields.patches.unwrap_or_default(),
            images,
            replacements: fields.replacements.unwrap_or_default(),
            replicas: fields.replicas.unwrap_or_default(),
            sort: fields.sort_options,
            resources,
            components: fields.components.unwrap_or_default(),
            config_maps: generators(fields.config_map_generator),
            secrets: generators(fields.secret_generator),
            generator_options: fields.generator_options.unwrap_or_default(),
            vars: fields.vars.unwrap_or_default(),
            crds: fields.crds.unwrap_or_default(),
            configurations: fields.configurations.unwrap_or_default(),
            generators: fields.generators.unwrap_or_default(),
            transformers: fields.transformers.unwrap_or_default(),
            validators: fields.validators.unwrap_or_default(),
            openapi: fields.openapi.unwrap_or_default(),
            build_metadata: fields.build_metadata.unwrap_or_default(),
            helm_globals,
            helm_charts,
        })
    }

    /// A file that this kustomization names. As upstream, it must lie in or below the kustomization's directory.
    pub(super) fn load(&self, tree: &Tree, path: &str, field: &str) -> Result<String, Error> {
        let bytes = self.load_bytes(tree, path, field)?;
        String::from_utf8(bytes)
            .map_err(|_| Error::field(&self.file, field, format!("{path} is not UTF-8 text")))
    }

    pub(super) fn load_bytes(&self, tree: &Tree, path: &str, field: &str) -> Result<Vec<u8>, Error> {
        let clean = tree.resolve(&self.at, path)?;
        let inside = self.unrestricted || self.at.is_empty() || clean.starts_with(&format!("{}/", self.at));
        if !inside {
            let text = format!(
                "{path} is not in or below {}; move the file there, or make its directory a base",
                self.at
            );
            return Err(Error::field(&self.file, field, text));
        }
        match tree.entry("", &clean)? {
            None => Err(Error::field(&self.file, field, format!("{path}: no such file in the source"))),
            Some(_) => Ok(tree.read("", &clean)?),
        }
    }

    /// See [`Edits`].
    pub(super) fn edit(&mut self, edits: &Edits) {
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
            self.has_common_labels = !self.common_labels.is_empty();
        }
        self.common_annotations.extend(edits.common_annotations.clone());
        self.components.extend(edits.components.iter().cloned());
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

/// serde's text without the line and column of the intermediate JSON, which would mislead.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_string())
}
