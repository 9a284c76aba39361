//! scheduling.k8s.io Workload: templates of PodGroups, which never change.
//!
//! Not here: the fields whose features upstream has off, see [`super::pod_group`].

use super::pod_group::{drop_disabled, immutable, long_name, policy, short_name};
use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;
use crate::table::{age, cells};
use crate::validation::{Node, names};

/// Upstream's WorkloadMaxPodGroupTemplates.
const MOST: usize = 8;

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "workloads",
    storage: "v1alpha2",
    rules: || {
        Box::new(Strategy {
            row: Some(|workload, now| vec![cells::name(workload), age(workload, now)]),
            disabled: |workload| {
                let templates = workload.at_mut(&["spec", "podGroupTemplates"]);
                for template in templates.and_then(crate::Value::as_array_mut).into_iter().flatten() {
                    drop_disabled(template, &[]);
                    template.remove(&["disruptionMode"]);
                }
            },
            created_check: |workload| {
                let spec = workload.get("spec");
                controller(&spec.get("controllerRef"));
                templates(&spec.get("podGroupTemplates"));
            },
            update: |workload, old| {
                let (spec, old) = (workload.get("spec"), old.get("spec"));
                immutable(&spec.get("controllerRef"), &old.get("controllerRef"));
                let templates = spec.get("podGroupTemplates");
                if !immutable(&templates, &old.get("podGroupTemplates")) {
                    templates.at_most_items(MOST).required();
                }
            },
            ..Strategy::new()
        })
    },
};

fn controller(reference: &Node<'_>) {
    if !reference.has() {
        return;
    }
    reference.get("apiGroup").is(long_name);
    for field in ["kind", "name"] {
        reference.get(field).required().is(names::path_segment);
    }
}

fn templates(templates: &Node<'_>) {
    let before = templates.count();
    templates.at_most_items(MOST).required();
    if templates.count() > before {
        return;
    }
    let items = templates.items();
    for (at, template) in items.iter().enumerate() {
        let name = |node: &Node<'_>| node.get("name").text().to_string();
        if items[..at].iter().any(|other| name(other) == name(template)) {
            template.error(Error::duplicate(template.path().clone(), template.value().clone()));
        }
    }
    for template in &items {
        template.get("name").required().is(short_name);
        policy(&template.get("schedulingPolicy"));
    }
}
