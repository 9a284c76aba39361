//! Pod: strategy and names here, the rest in the folder.

use crate::field;
use crate::kind::{Context, Rules, keep_all_but, name_by, only_status};
use crate::kinds::Builtin;
use crate::kinds::edit::{has, int, is_unset, list, same};
use crate::validation::names;
use crate::{Value, pod};

mod cells;
mod claims;
pub mod defaults;
pub(crate) mod disabled;
mod label_keys;
mod update;
pub mod validate;
pub mod warnings;

pub(in crate::kinds) use update::difference;
pub(in crate::kinds) use validate::resources::container_resource_name;
pub(in crate::kinds) use validate::{HOST_PATH_TYPES, node_selector};

pub const KIND: Builtin = Builtin { group: "", plural: "pods", storage: "v1", rules: || Box::new(Pod) };

struct Pod;

impl Rules for Pod {
    fn pod_spec(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn default(&self, _: &str, value: &mut Value) {
        if let Some(spec) = value.get_mut("spec") {
            defaults::spec(spec);
        }
        defaults::pod(value);
        defaults::addresses(value);
    }

    fn prepare_create(&self, context: &Context<'_>, new: &mut Value) {
        let mut status = Value::object();
        status.set(&["phase"], "Pending");
        // Upstream believes who says it.
        let class = match new.str_at(&["status", "qosClass"]) {
            "" => pod::qos_class(new.get("spec").unwrap_or(&Value::Null)).to_string(),
            given => given.to_string(),
        };
        status.set(&["qosClass"], class);
        if !list(new, &["spec", "schedulingGates"]).is_empty() {
            let mut condition = Value::object();
            condition.set(&["type"], "PodScheduled");
            condition.set(&["status"], "False");
            condition.set(&["lastProbeTime"], Value::Null);
            condition.set(&["lastTransitionTime"], context.now);
            condition.set(&["reason"], "SchedulingGated");
            condition.set(&["message"], "Scheduling is blocked due to non-empty scheduling gates");
            status.set(&["conditions"], vec![condition]);
        }
        new.set(&["status"], status);
        if let Some(spec) = new.get_mut("spec") {
            defaults::mirror_service_account(spec);
        }
        label_keys::merge(new);
    }

    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        crate::kind::keep(new, old, "status");
    }

    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &["metadata", "status"]);
        // Old kubelets garble owners; the deletion is not theirs to set.
        for field in ["ownerReferences", "deletionTimestamp"] {
            match old.at(&["metadata", field]) {
                Some(value) => new.set(&["metadata", field], value.clone()),
                None => drop(new.remove(&["metadata", field])),
            }
        }
        disabled::drop_status_fields(new, old);
        let class = old.str_at(&["status", "qosClass"]);
        if is_unset(new.at(&["status", "qosClass"])) && !class.is_empty() {
            new.set(&["status", "qosClass"], class);
        }
        keep_observed_generation(new, old);
    }

    fn prepare_subresource(&self, name: &str, context: &Context<'_>, new: &mut Value, old: &Value) {
        match name {
            "status" => self.prepare_status(context, new, old),
            "ephemeralcontainers" => {
                let containers = new.remove(&["spec", "ephemeralContainers"]);
                only_status(new, old);
                crate::kind::keep(new, old, "status");
                match containers {
                    Some(containers) => new.set(&["spec", "ephemeralContainers"], containers),
                    None => drop(new.remove(&["spec", "ephemeralContainers"])),
                }
            }
            "resize" => update::only_resize(new, old),
            _ => self.prepare_update(context, new, old),
        }
    }

    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Vec<field::Error>) {
        validate::create(new, errors);
    }

    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Vec<field::Error>) {
        update::validate(new, old, errors);
    }

    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Vec<field::Error>) {
        update::validate_status(new, old, errors);
    }

    fn validate_subresource(
        &self,
        name: &str,
        context: &Context<'_>,
        new: &Value,
        old: &Value,
        errors: &mut Vec<field::Error>,
    ) {
        match name {
            "status" => self.validate_status(context, new, old, errors),
            "ephemeralcontainers" => update::validate_ephemeral(new, old, errors),
            "resize" => update::validate_resize(new, old, errors),
            _ => self.validate_update(context, new, old, errors),
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        let mut texts = Vec::new();
        let wrong = names::dns_label(new.str_at(&["metadata", "name"]));
        if !wrong.is_empty() {
            texts.push(format!(
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
                 label is recommended: [{}]",
                wrong.join(" ")
            ));
        }
        warnings::spec(new, "", &mut texts);
        texts
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        !same(new.get("spec"), old.get("spec"))
    }

    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        name_by(names::dns_subdomain, name, prefix)
    }

    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(cells::cells(value, now))
    }

    /// As long as the pod asks for, unless it never got to a node or has ended.
    fn graceful(&self, value: &Value, asked: Option<i64>) -> Option<i64> {
        let period = asked.unwrap_or_else(|| int(value, &["spec", "terminationGracePeriodSeconds"]));
        let at_once = value.str_at(&["spec", "nodeName"]).is_empty() || pod::is_terminal(value);
        Some(match period {
            _ if at_once => 0,
            negative if negative < 0 => 1,
            period => period,
        })
    }
}

fn keep_observed_generation(new: &mut Value, old: &Value) {
    if int(new, &["status", "observedGeneration"]) == 0 && has(old, &["status", "observedGeneration"]) {
        new.set(&["status", "observedGeneration"], int(old, &["status", "observedGeneration"]));
    }
    let Some(conditions) = new.at_mut(&["status", "conditions"]).and_then(Value::as_array_mut) else {
        return;
    };
    for condition in conditions {
        if int(condition, &["observedGeneration"]) != 0 {
            continue;
        }
        let generation = pod::condition(old, condition.str_at(&["type"]))
            .map(|condition| int(condition, &["observedGeneration"]))
            .unwrap_or_default();
        if generation != 0 {
            condition.set(&["observedGeneration"], generation);
        }
    }
}
