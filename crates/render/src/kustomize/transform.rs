//! The transformers: what each does to the objects, with the parameters that a kustomization or a file of its own gives.
//! The order of a kustomization's own is upstream's.

use std::collections::BTreeMap;

use api::{Map, Value};
use serde::Deserialize;

use super::config::{self, Config};
use super::fields::Create;
use super::file::{FieldSpec, Label, Replica};
use super::resource::Resource;
use super::scalar::{restyled, text};
use super::{Layer, images, patch, replacement};
use crate::Error;

type Fault = Result<(), String>;

/// Changes what was accumulated as the kustomization says. `done` is told of each transformer that ran.
pub(super) fn run(
    layer: &Layer<'_>,
    config: &Config,
    all: &mut Vec<Resource>,
    done: &mut dyn FnMut(&str, &mut Vec<Resource>),
) -> Result<(), Error> {
    let this = layer.this;
    let at = |field: &'static str| move |text: String| Error::field(&this.file, field, text);
    if !this.patches_strategic_merge.is_empty() {
        patch::strategic(layer, &this.patches_strategic_merge, "", "patchesStrategicMerge", all)?;
        done("PatchStrategicMergeTransformer", all);
    }
    let patches = patch::prepare(layer, "patches", &this.patches)?;
    for (index, prepared) in patches.iter().enumerate() {
        prepared
            .apply(layer, all)
            .map_err(|text| Error::field(&this.file, format!("patches[{index}]"), text))?;
        done("PatchTransformer", all);
    }
    if !this.namespace.is_empty() {
        let namespace = Namespace { name: &this.namespace, unset_only: false, subjects: "" };
        namespace.run(&config.namespace, all).map_err(at("namespace"))?;
        done("NamespaceTransformer", all);
    }
    if !this.name_prefix.is_empty() {
        affix(all, &this.name_prefix, Affix::Prefix, &config.name_prefix).map_err(at("namePrefix"))?;
        done("PrefixTransformer", all);
    }
    if !this.name_suffix.is_empty() {
        affix(all, &this.name_suffix, Affix::Suffix, &config.name_suffix).map_err(at("nameSuffix"))?;
        done("SuffixTransformer", all);
    }
    for label in &this.labels {
        let specs = label_specs(label, config).map_err(at("labels"))?;
        set_texts(&label.pairs, &specs, all).map_err(at("labels"))?;
        done("LabelTransformer", all);
    }
    if !this.labels.is_empty() || !this.common_labels.is_empty() {
        set_texts(&this.common_labels, &config.common_labels, all).map_err(at("commonLabels"))?;
        done("LabelTransformer", all);
    }
    if !this.common_annotations.is_empty() {
        set_texts(&this.common_annotations, &config.common_annotations, all)
            .map_err(at("commonAnnotations"))?;
        done("AnnotationsTransformer", all);
    }
    for (index, one) in this.patches_json6902.iter().enumerate() {
        let field = format!("patchesJson6902[{index}]");
        patch::json(layer, one, &field, all)?;
        done("PatchJson6902Transformer", all);
    }
    for replica in &this.replicas {
        replicas(replica, &config.replicas, all).map_err(at("replicas"))?;
        done("ReplicaCountTransformer", all);
    }
    for image in &this.images {
        images::apply(image, &config.images, all).map_err(at("images"))?;
        done("ImageTagTransformer", all);
    }
    if !this.replacements.is_empty() {
        replacement::run(layer, &this.replacements, "replacements", all)?;
        done("ReplacementTransformer", all);
    }
    Ok(())
}

fn label_specs(label: &Label, config: &Config) -> Result<Vec<FieldSpec>, String> {
    let mut specs = label.fields.clone();
    config::merge_all(&mut specs, config.labels.clone())?;
    if label.include_selectors {
        config::merge_all(&mut specs, config.common_labels.clone())?;
    } else {
        if label.include_templates {
            config::merge_all(&mut specs, config.template_labels.clone())?;
        }
        let metadata = FieldSpec { path: "metadata/labels".into(), create: true, ..FieldSpec::default() };
        config::merge_one(&mut specs, metadata)?;
    }
    Ok(specs)
}

/// Labels or annotations into the maps that the specs lead to.
pub(super) fn set_texts(
    texts: &BTreeMap<String, String>,
    specs: &[FieldSpec],
    all: &mut [Resource],
) -> Fault {
    if texts.is_empty() {
        return Ok(());
    }
    for resource in all {
        for spec in specs {
            spec.apply(&mut resource.value, Create::Map, &mut |value| match value {
                Value::Object(map) => {
                    for (key, text) in texts {
                        map.insert(key.as_str(), text.as_str());
                    }
                    Ok(())
                }
                Value::Null => Ok(()),
                _ => Err("wrong node kind: expected MappingNode".into()),
            })?;
        }
    }
    Ok(())
}

/// Sets the namespace of objects that have one, and the fields that name one.
pub(super) struct Namespace<'a> {
    pub name: &'a str,
    /// Only where none is written.
    pub unset_only: bool,
    /// Which subjects of role bindings: `defaultOnly` (also if empty), `allServiceAccounts` or `none`.
    pub subjects: &'a str,
}

impl Namespace<'_> {
    pub fn run(&self, specs: &[FieldSpec], all: &mut [Resource]) -> Fault {
        if !["", "defaultOnly", "allServiceAccounts", "none"].contains(&self.subjects) {
            return Err(format!(
                "invalid value {:?} for setRoleBindingSubjects: must be one of \"defaultOnly\", \"none\" or \"allServiceAccounts\"",
                self.subjects
            ));
        }
        // Identities that were seen, so that a conflict is found without comparing each with each.
        let mut seen = std::collections::HashMap::new();
        for resource in all.iter() {
            *seen.entry(resource.key()).or_insert(0usize) += 1;
        }
        for resource in all.iter_mut().filter(|resource| !resource.is_from_chart()) {
            if let Some(count) = seen.get_mut(&resource.key()) {
                *count -= 1;
            }
            resource.store_previous();
            self.one(specs, resource)?;
            let count = seen.entry(resource.key()).or_insert(0);
            *count += 1;
            if *count > 1 {
                return Err(format!("namespace transformation produces ID conflict: {}", resource.id()));
            }
        }
        Ok(())
    }

    pub fn one(&self, specs: &[FieldSpec], resource: &mut Resource) -> Fault {
        let set = |value: &mut Value| -> Fault {
            let is_set = !value.is_null() && text(value).is_some_and(|text| !text.is_empty());
            match value {
                Value::Object(_) | Value::Array(_) => {
                    Err("namespace field specs must target scalar nodes".into())
                }
                _ if self.unset_only && is_set => Ok(()),
                _ => {
                    *value = Value::String(self.name.into());
                    Ok(())
                }
            }
        };
        if !resource.is_cluster_scoped() {
            let spec = FieldSpec { path: "metadata/namespace".into(), create: true, ..FieldSpec::default() };
            spec.apply(&mut resource.value, Create::Scalar, &mut |value| set(value))?;
        }
        let is_binding = ["RoleBinding", "ClusterRoleBinding"].contains(&resource.kind());
        if is_binding && self.subjects != "none" {
            let subjects = resource.value.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                let chosen = if self.subjects == "allServiceAccounts" {
                    subject.str_at(&["kind"]) == "ServiceAccount"
                } else {
                    subject.str_at(&["name"]) == "default"
                };
                if chosen && let Some(map) = subject.as_map_mut() {
                    set(map.entry("namespace"))?;
                }
            }
        }
        let v1 = resource.value.str_at(&["apiVersion"]) == "v1";
        for spec in specs {
            let handled = spec.path == "metadata/namespace"
                || (spec.path == "metadata/name" && !v1)
                || (is_binding && spec.path == "subjects/namespace" && spec.kind.ends_with("RoleBinding"));
            if !handled {
                spec.apply(&mut resource.value, Create::Scalar, &mut |value| set(value))?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Affix {
    Prefix,
    Suffix,
}

/// Puts a text before or behind names (or the other fields of the specs).
pub(super) fn affix(all: &mut [Resource], text: &str, side: Affix, specs: &[FieldSpec]) -> Fault {
    for resource in all.iter_mut() {
        let id = resource.original_id();
        let skipped = id.kind == "CustomResourceDefinition"
            || id.kind == "Namespace"
            || (id.kind == "APIService" && id.group == "apiregistration.k8s.io");
        if skipped {
            continue;
        }
        for spec in specs.iter().filter(|spec| id.of_kind(&spec.group, &spec.version, &spec.kind)) {
            if spec.path == "metadata/name" && !text.is_empty() {
                match side {
                    Affix::Prefix => resource.prefixes.push(text.into()),
                    Affix::Suffix => resource.suffixes.push(text.into()),
                }
                resource.store_previous();
            }
            spec.apply(&mut resource.value, Create::Never, &mut |value| {
                let old = super::scalar::text(value).ok_or("wrong node kind: expected ScalarNode")?;
                let new = match side {
                    Affix::Prefix => format!("{text}{old}"),
                    Affix::Suffix => format!("{old}{text}"),
                };
                *value = restyled(value, &new);
                Ok(())
            })?;
        }
    }
    Ok(())
}

pub(super) fn replicas(replica: &Replica, specs: &[FieldSpec], all: &mut [Resource]) -> Fault {
    let mut found = false;
    for spec in specs {
        for resource in all.iter_mut() {
            let means = resource
                .any_id(|id| id.name == replica.name && id.of_kind(&spec.group, &spec.version, &spec.kind));
            if means {
                found = true;
                spec.apply(&mut resource.value, Create::Scalar, &mut |value| {
                    *value = Value::Int(replica.count);
                    Ok(())
                })?;
            }
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<String> = specs
        .iter()
        .map(|spec| {
            let or =
                |text: &str, none: &str| if text.is_empty() { none.to_string() } else { text.to_string() };
            format!(
                "{}.{}.{}",
                or(&spec.kind, "[noKind]"),
                or(&spec.version, "[noVer]"),
                or(&spec.group, "[noGrp]")
            )
        })
        .collect();
    Err(format!(
        "resource with name {} does not match a config with the following GVK [{}]",
        replica.name,
        kinds.join(" ")
    ))
}

/// `ValueAddTransformer`: writes one value into a field of each target, or into a place of a path in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ValueAdd {
    pub value: String,
    pub targets: Vec<ValueTarget>,
    pub target_file_path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ValueTarget {
    selector: Option<super::file::Selector>,
    field_path: String,
    file_path_position: i64,
}

impl ValueAdd {
    pub fn run(&self, all: &mut [Resource]) -> Fault {
        if self.targets.is_empty() {
            return Err("must specify at least one target".into());
        }
        for target in &self.targets {
            if target.field_path.is_empty() {
                return Err("fieldPath cannot be empty".into());
            }
            if target.file_path_position < 0 {
                return Err(format!(
                    "value of FilePathPosition ({}) cannot be negative",
                    target.file_path_position
                ));
            }
            let matcher = target.selector.as_ref().map(super::select::Matcher::new).transpose()?;
            let chosen = |one: &Resource| matcher.as_ref().is_none_or(|matcher| matcher.selects(one));
            for resource in all.iter_mut().filter(|resource| chosen(resource)) {
                if target.field_path == "metadata/namespace" {
                    Namespace { name: &self.value, unset_only: false, subjects: "" }.one(&[], resource)?;
                    continue;
                }
                let parts = super::fields::split(&target.field_path, '/');
                let path: Vec<&str> = parts.iter().map(String::as_str).collect();
                let mut place = &mut resource.value;
                for part in &path {
                    if !matches!(place, Value::Object(_) | Value::Null) {
                        return Err("wrong node kind: expected MappingNode".into());
                    }
                    if place.is_null() {
                        *place = Value::Object(Map::new());
                    }
                    place = place.as_map_mut().expect("because it was made one").entry(part);
                }
                let old = if place.is_null() { Some(String::new()) } else { text(place) };
                let old = old.ok_or("wrong node kind: expected ScalarNode")?;
                let new = match usize::try_from(target.file_path_position) {
                    Ok(position) if position > 0 => insert_part(&old, position - 1, &self.value),
                    _ => self.value.clone(),
                };
                *place = restyled(place, &new);
            }
        }
        Ok(())
    }
}

/// Puts a name into a path of files, before the name at that place (from 0; beyond the end: behind it).
fn insert_part(path: &str, position: usize, part: &str) -> String {
    if part.is_empty() {
        return path.into();
    }
    let absolute = path.starts_with('/');
    let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    names.insert(position.min(names.len()), part);
    format!("{}{}", if absolute { "/" } else { "" }, names.join("/"))
}
