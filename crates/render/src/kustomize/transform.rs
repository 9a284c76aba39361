//! The transformers of one kustomization, in upstream's order.

use api::Value;

use super::fields::{self, Create};
use super::file::{FieldSpec, Kustomization, Label, Replica};
use super::resource::Resource;
use super::{images, patch, replacement};
use crate::Error;
use crate::tree::Tree;

type Fault = Result<(), String>;

/// Changes what was accumulated as the kustomization says.
pub(super) fn run(tree: &Tree, this: &Kustomization, all: &mut Vec<Resource>) -> Result<(), Error> {
    let at = |field: &'static str| move |text: String| Error::field(&this.file, field, text);
    patch::strategic(tree, this, all)?;
    patch::apply(tree, this, "patches", &this.patches, all)?;
    if !this.namespace.is_empty() {
        namespace(&this.namespace, all).map_err(at("namespace"))?;
    }
    if !this.name_prefix.is_empty() {
        affix(all, &this.name_prefix, "");
    }
    if !this.name_suffix.is_empty() {
        affix(all, "", &this.name_suffix);
    }
    for label in &this.labels {
        set_label(label, all).map_err(at("labels"))?;
    }
    let common: Vec<FieldSpec> = fields::defaults("commonLabels").cloned().collect();
    set_texts(this.common_labels.iter(), &common, all).map_err(at("commonLabels"))?;
    let annotations: Vec<FieldSpec> = fields::defaults("commonAnnotations").cloned().collect();
    set_texts(this.common_annotations.iter(), &annotations, all).map_err(at("commonAnnotations"))?;
    patch::apply(tree, this, "patchesJson6902", &this.patches_json6902, all)?;
    for replica in &this.replicas {
        replicas(replica, all).map_err(at("replicas"))?;
    }
    for image in &this.images {
        images::apply(image, all).map_err(at("images"))?;
    }
    replacement::run(tree, this, all)
}

fn set_label(label: &Label, all: &mut [Resource]) -> Fault {
    let mut specs = label.fields.clone();
    let mut add = |more: &FieldSpec| {
        if !specs.contains(more) {
            specs.push(more.clone());
        }
    };
    if label.include_selectors {
        fields::defaults("commonLabels").for_each(&mut add);
    } else {
        if label.include_templates {
            fields::defaults("templateLabels").for_each(&mut add);
        }
        add(&FieldSpec { path: "metadata/labels".into(), create: true, ..FieldSpec::default() });
    }
    set_texts(label.pairs.iter(), &specs, all)
}

fn set_texts<'a>(
    texts: impl Iterator<Item = (&'a String, &'a String)>,
    specs: &[FieldSpec],
    all: &mut [Resource],
) -> Fault {
    let texts: Vec<_> = texts.collect();
    if texts.is_empty() {
        return Ok(());
    }
    for resource in all {
        for spec in specs {
            spec.apply(&mut resource.value, Create::Map, &mut |value| match value {
                Value::Object(map) => {
                    for (key, text) in &texts {
                        map.insert(key.as_str(), text.as_str());
                    }
                    Ok(())
                }
                _ => Err("expected a map".into()),
            })?;
        }
    }
    Ok(())
}

fn namespace(name: &str, all: &mut [Resource]) -> Fault {
    let specs: Vec<&FieldSpec> = fields::defaults("namespace").collect();
    for resource in all.iter_mut() {
        resource.store_previous();
        if !resource.is_cluster_scoped() {
            resource.value.set(&["metadata", "namespace"], name);
        }
        if ["RoleBinding", "ClusterRoleBinding"].contains(&resource.kind()) {
            let subjects = resource.value.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                if subject.str_at(&["name"]) == "default" {
                    subject.set(&["namespace"], name);
                }
            }
        }
        let v1 = resource.value.str_at(&["apiVersion"]) == "v1";
        for spec in specs.iter().filter(|spec| v1 || spec.path != "metadata/name") {
            spec.apply(&mut resource.value, Create::Scalar, &mut |value| {
                *value = Value::String(name.into());
                Ok(())
            })?;
        }
    }
    for (at, resource) in all.iter().enumerate() {
        let id = resource.id();
        if all[..at].iter().any(|other| other.id() == id) {
            return Err(format!("namespace transformation produces ID conflict: {id}"));
        }
    }
    Ok(())
}

fn affix(all: &mut [Resource], prefix: &str, suffix: &str) {
    for resource in all.iter_mut() {
        let id = resource.original_id();
        let skipped = id.kind == "CustomResourceDefinition"
            || id.kind == "Namespace"
            || (id.kind == "APIService" && id.group == "apiregistration.k8s.io");
        if skipped {
            continue;
        }
        if !prefix.is_empty() {
            resource.prefixes.push(prefix.into());
        }
        if !suffix.is_empty() {
            resource.suffixes.push(suffix.into());
        }
        resource.store_previous();
        let name = format!("{prefix}{}{suffix}", resource.name());
        resource.set_name(&name);
    }
}

fn replicas(replica: &Replica, all: &mut [Resource]) -> Fault {
    let mut found = false;
    for spec in fields::defaults("replicas") {
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
    Err(format!(
        "resource with name {} does not match a config with the kinds Deployment, ReplicationController, ReplicaSet, StatefulSet",
        replica.name
    ))
}
