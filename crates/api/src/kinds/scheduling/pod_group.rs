//! scheduling.k8s.io PodGroup: pods that are scheduled together, made of a template of a Workload.
//!
//! Not here: the fields whose features upstream has off (topology, shared claims, disruption, priority); they are dropped, but
//! for the disruption mode, whose default upstream reads into what it stored without.

use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{has, list};
use crate::kinds::strategy::Strategy;
use crate::kinds::{Builtin, edit};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "podgroups",
    storage: "v1alpha2",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            row: Some(row),
            disabled: |group| {
                drop_disabled(group, &["spec"]);
                group.remove(&["status", "resourceClaimStatuses"]);
            },
            created: |group| group.set(&["spec", "disruptionMode"], "Pod"),
            updated: |group, _| edit::default_pointer(group.make(&["spec"]), "disruptionMode", "Pod"),
            created_check: |group| {
                let spec = group.get("spec");
                template(&spec.get("podGroupTemplateRef"));
                policy(&spec.get("schedulingPolicy"));
            },
            update: |group, old| {
                let (spec, old) = (group.get("spec"), old.get("spec"));
                for field in ["podGroupTemplateRef", "schedulingPolicy"] {
                    immutable(&spec.get(field), &old.get(field));
                }
                let mode = spec.get("disruptionMode");
                if !mode.is_same(&old.get("disruptionMode")) {
                    mode.forbidden("");
                }
            },
            check_status: |group, _| {
                group.at(&["status", "conditions"]).conditions();
            },
            ..Strategy::new()
        })
    },
};

/// What a group or a template of one loses.
pub(super) fn drop_disabled(value: &mut Value, place: &[&str]) {
    let Some(spec) = value.at_mut(place).filter(|spec| matches!(spec, Value::Object(_))) else { return };
    for field in ["schedulingConstraints", "resourceClaims", "priorityClassName", "priority"] {
        spec.remove(&[field]);
    }
}

/// Unchanged; else that, without the value.
pub(super) fn immutable(node: &Node<'_>, old: &Node<'_>) -> bool {
    let same = node.is_same(old);
    if !same {
        node.error(Error::invalid(node.path().clone(), Value::Null, "field is immutable"));
    }
    same
}

/// RFC 1123's names as validation by schema words them.
pub(super) fn short_name(text: &str) -> Vec<String> {
    in_bytes(names::dns_label(text))
}

pub(super) fn long_name(text: &str) -> Vec<String> {
    in_bytes(names::dns_subdomain(text))
}

fn in_bytes(wrong: Vec<String>) -> Vec<String> {
    let word = |why: String| match why
        .strip_prefix("must be no more than ")
        .and_then(|rest| rest.strip_suffix(" characters"))
    {
        Some(most) => format!("must be no more than {most} bytes"),
        None => why,
    };
    wrong.into_iter().map(word).collect()
}

fn template(reference: &Node<'_>) {
    if !reference.has() {
        return;
    }
    let workload = reference.get("workload");
    if !workload.has() {
        let text = "must specify one of: `workload`";
        return reference.error(Error::invalid(reference.path().clone(), "", text));
    }
    for (field, format) in
        [("workloadName", long_name as fn(&str) -> _), ("podGroupTemplateName", short_name)]
    {
        workload.get(field).required().is(format);
    }
}

/// Of a group or a template: one of two, and of a gang how many.
pub(super) fn policy(policy: &Node<'_>) {
    let (basic, gang) = (policy.get("basic"), policy.get("gang"));
    let invalid = |shown: &str, why: &str| policy.error(Error::invalid(policy.path().clone(), shown, why));
    match (basic.has(), gang.has()) {
        (true, true) => invalid("{basic, gang}", "must specify exactly one of: `basic`, `gang`"),
        (false, false) => invalid("", "must specify one of: `basic`, `gang`"),
        _ => {}
    }
    if gang.has() {
        match gang.get("minCount") {
            count if count.int() == 0 => count.missing(""),
            count => drop(count.at_least(1)),
        }
    }
}

fn row(group: &Value, now: i64) -> Vec<Value> {
    let gang = has(group, &["spec", "schedulingPolicy", "gang"]);
    let mut status = "Pending";
    let conditions = list(group, &["status", "conditions"]);
    let of = |kind: &str| conditions.iter().rev().find(|one| one.str_at(&["type"]) == kind);
    if let Some(scheduled) = of("PodGroupScheduled") {
        status = if scheduled.str_at(&["status"]) == "True" { "Scheduled" } else { "Unschedulable" };
    }
    if let Some(target) = of("DisruptionTarget") {
        status = target.str_at(&["reason"]);
    }
    let workload = match has(group, &["spec", "podGroupTemplateRef"]) {
        true => group.str_at(&["spec", "podGroupTemplateRef", "workload", "workloadName"]),
        false => "<none>",
    };
    let policy = if gang { "Gang" } else { "Basic" };
    vec![cells::name(group), policy.into(), workload.into(), status.into(), age(group, now)]
}
