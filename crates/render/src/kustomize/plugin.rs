//! Transformers, validators and generators with files of their own: the built-in ones (`apiVersion: builtin`).
//!
//! Programs, containers and Go plugins are refused: they are code.

use api::{Map, Value};
use serde::Deserialize;
use std::collections::BTreeMap;

use super::file::{
    FieldSpec, Generator, GeneratorOptions, HelmChart, HelmGlobals, Image, Patch, PatchOptions,
    ReplacementEntry, Replica, Selector,
};
use super::resource::{Id, Resource};
use super::transform::{self, Affix, Namespace};
use super::{Layer, generate, images, patch, replacement};
use crate::Error;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Texts {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    field_specs: Vec<FieldSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NamespaceConfig {
    metadata: Metadata,
    field_specs: Vec<FieldSpec>,
    unset_only: bool,
    set_role_binding_subjects: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AffixConfig {
    prefix: String,
    suffix: String,
    field_specs: Option<Vec<FieldSpec>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PatchConfig {
    path: String,
    patch: String,
    json_op: String,
    paths: Vec<String>,
    patches: String,
    target: Option<Selector>,
    options: PatchOptions,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Counted {
    replica: Replica,
    image_tag: Image,
    field_specs: Vec<FieldSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Replacements {
    replacements: Vec<ReplacementEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Policy {
    cloud: String,
    kubernetes_service: Metadata,
    service_account: ServiceAccount,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceAccount {
    name: String,
    project_id: String,
}

/// Why a configuration object cannot be used.
fn refused(config: &Resource) -> Option<String> {
    let id = config.id();
    if id.group.is_empty() && id.version == "builtin" {
        return None;
    }
    Some(format!(
        "external plugins disabled; unable to load external plugin '{}'; programs and containers are not run while rendering",
        id.kind
    ))
}

/// Runs the transformer that `config` describes.
pub(super) fn transform(
    layer: &Layer<'_>,
    config: &Resource,
    field: &str,
    all: &mut Vec<Resource>,
) -> Result<(), Error> {
    let file = &layer.this.file;
    let fault = |text: String| Error::field(file, format!("{field} {}", Id::of(&config.value)), text);
    if let Some(text) = refused(config) {
        return Err(fault(text));
    }
    let value = config.value.clone();
    match config.kind() {
        "LabelTransformer" | "AnnotationsTransformer" => {
            let read: Texts = decode(value).map_err(fault)?;
            let texts = if config.kind() == "LabelTransformer" { &read.labels } else { &read.annotations };
            transform::set_texts(texts, &read.field_specs, all).map_err(fault)
        }
        "NamespaceTransformer" => {
            let read: NamespaceConfig = decode(value).map_err(fault)?;
            let namespace = Namespace {
                name: &read.metadata.namespace,
                unset_only: read.unset_only,
                subjects: &read.set_role_binding_subjects,
            };
            if read.metadata.namespace.is_empty() {
                return Ok(());
            }
            namespace.run(&read.field_specs, all).map_err(fault)
        }
        kind @ ("PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer") => {
            let read: AffixConfig = decode(value).map_err(fault)?;
            let specs =
                read.field_specs.ok_or_else(|| fault("fieldSpecs is not expected to be nil".into()))?;
            if kind != "SuffixTransformer" {
                transform::affix(all, &read.prefix, Affix::Prefix, &specs).map_err(fault)?;
            }
            if kind != "PrefixTransformer" {
                transform::affix(all, &read.suffix, Affix::Suffix, &specs).map_err(fault)?;
            }
            Ok(())
        }
        "ReplicaCountTransformer" => {
            let read: Counted = decode(value).map_err(fault)?;
            transform::replicas(&read.replica, &read.field_specs, all).map_err(fault)
        }
        "ImageTagTransformer" => {
            let read: Counted = decode(value).map_err(fault)?;
            images::apply(&read.image_tag, &read.field_specs, all).map_err(fault)
        }
        "PatchTransformer" => {
            let read: PatchConfig = decode(value).map_err(fault)?;
            let one =
                Patch { path: read.path, patch: read.patch, target: read.target, options: read.options };
            patch::prepare_one(layer, &one, field)?.apply(layer, all).map_err(fault)
        }
        "PatchJson6902Transformer" => {
            let read: PatchConfig = decode(value).map_err(fault)?;
            let one = Patch { path: read.path, patch: read.json_op, target: read.target, ..Patch::default() };
            patch::json(layer, &one, field, all)
        }
        "PatchStrategicMergeTransformer" => {
            let read: PatchConfig = decode(value).map_err(fault)?;
            patch::strategic(layer, &read.paths, &read.patches, field, all)
        }
        "ReplacementTransformer" => {
            let read: Replacements = decode(value).map_err(fault)?;
            replacement::run(layer, &read.replacements, field, all)
        }
        "ValueAddTransformer" => {
            let mut read: transform::ValueAdd = decode(value).map_err(fault)?;
            read.value = read.value.trim().to_string();
            if read.value.is_empty() {
                read.value = layer.this.at.rsplit('/').next().unwrap_or_default().into();
            }
            if !read.target_file_path.is_empty() {
                let text = layer.load(&read.target_file_path, field)?;
                let document = super::first_document(&text, &read.target_file_path)?;
                if !document.is_null() {
                    let more: transform::ValueAdd = decode(document).map_err(fault)?;
                    read.targets.extend(more.targets);
                }
            }
            read.run(all).map_err(fault)
        }
        "HashTransformer" => {
            generate::add_hashes(all);
            Ok(())
        }
        kind => Err(fault(format!("unable to load builtin {kind}.builtin.[noGrp]"))),
    }
}

/// What the generator that `config` describes makes.
pub(super) fn generate(layer: &Layer<'_>, config: &Resource, field: &str) -> Result<Vec<Resource>, Error> {
    let file = &layer.this.file;
    let fault = |text: String| Error::field(file, format!("{field} {}", Id::of(&config.value)), text);
    if let Some(text) = refused(config) {
        return Err(fault(text));
    }
    let mut value = config.value.clone();
    match config.kind() {
        kind @ ("ConfigMapGenerator" | "SecretGenerator") => {
            let (name, namespace) = (config.name(), config.namespace());
            if let Some(map) = value.as_map_mut() {
                let known =
                    ["name", "namespace", "behavior", "files", "literals", "envs", "env", "type", "options"];
                map.retain(|key, _| known.contains(&key.as_str()));
            }
            let mut read: Generator = decode(value).map_err(fault)?;
            if read.name.is_empty() {
                read.name = name;
            }
            if read.namespace.is_empty() {
                read.namespace = namespace;
            }
            let none = GeneratorOptions::default();
            Ok(vec![generate::one(layer, kind.trim_end_matches("Generator"), &read, &none, field)?])
        }
        "IAMPolicyGenerator" => {
            let read: Policy = decode(value).map_err(fault)?;
            if read.cloud != "gke" {
                return Err(fault(format!("cloud provider {} not supported yet", read.cloud)));
            }
            let account = &read.service_account;
            let address = format!("{}@{}.iam.gserviceaccount.com", account.name, account.project_id);
            let mut made = Value::object();
            made.set(&["apiVersion"], "v1");
            made.set(&["kind"], "ServiceAccount");
            made.set(&["metadata", "annotations", "iam.gke.io/gcp-service-account"], address);
            made.set(&["metadata", "name"], read.kubernetes_service.name);
            if !read.kubernetes_service.namespace.is_empty() {
                made.set(&["metadata", "namespace"], read.kubernetes_service.namespace);
            }
            Ok(vec![Resource::new(made)])
        }
        "HelmChartInflationGenerator" => {
            for field in ["apiVersion", "kind", "metadata"] {
                value.remove(&[field]);
            }
            let mut globals = HelmGlobals::default();
            for (name, place) in
                [("chartHome", &mut globals.chart_home), ("configHome", &mut globals.config_home)]
            {
                if let Some(Value::String(text)) = value.remove(&[name]) {
                    *place = text.to_string();
                }
            }
            let chart: HelmChart = decode(value).map_err(fault)?;
            super::chart::inflate(layer, &globals, &chart, field)
        }
        kind => Err(fault(format!("unable to load builtin {kind}.builtin.[noGrp]"))),
    }
}

/// Unlike a kustomization, a configuration object may hold fields that nobody knows.
fn decode<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T, String> {
    const SELECTOR: &[&str] =
        &["group", "version", "kind", "name", "namespace", "annotationSelector", "labelSelector"];
    const KNOWN: [(&str, &[&str]); 6] = [
        ("fieldSpecs", &["group", "version", "kind", "path", "create"]),
        ("replica", &["name", "count"]),
        ("imageTag", &["name", "newName", "tagSuffix", "newTag", "digest"]),
        ("target", SELECTOR),
        ("selector", SELECTOR),
        (
            "options",
            &[
                "labels",
                "annotations",
                "disableNameSuffixHash",
                "immutable",
                "allowNameChange",
                "allowKindChange",
            ],
        ),
    ];
    const TOP: &[&str] = &[
        "metadata",
        "labels",
        "annotations",
        "fieldSpecs",
        "path",
        "patch",
        "jsonOp",
        "paths",
        "patches",
        "target",
        "options",
        "prefix",
        "suffix",
        "replica",
        "imageTag",
        "unsetOnly",
        "setRoleBindingSubjects",
    ];
    fn keep(value: &mut Value, known: &[&str]) {
        match value {
            Value::Object(map) => *map = named(std::mem::take(map), known, false),
            Value::Array(items) => items.iter_mut().for_each(|item| keep(item, known)),
            _ => {}
        }
    }
    if let Value::Object(map) = &mut value {
        *map = named(std::mem::take(map), TOP, true);
    }
    for (field, known) in KNOWN {
        if let Some(below) = value.get_mut(field) {
            keep(below, known);
        }
    }
    // The decoder knows that texts are wanted here, and makes them of whatever scalar is written.
    for field in ["labels", "annotations"] {
        for (_, one) in value.get_mut(field).and_then(Value::as_map_mut).into_iter().flat_map(Map::iter_mut) {
            if let (false, Some(text)) = (one.is_null(), super::scalar::text(one)) {
                *one = text.into();
            }
        }
    }
    super::file::decode(value)
}

/// Go's decoder takes a field in any case. `rest` keeps those that are not known.
fn named(map: Map, known: &[&str], rest: bool) -> Map {
    let mut out = Map::with_capacity(map.len());
    for (key, value) in map {
        match known.iter().find(|name| name.eq_ignore_ascii_case(&key)) {
            Some(name) => drop(out.insert(*name, value)),
            None if rest => drop(out.insert(key, value)),
            None => {}
        }
    }
    out
}
