//! ReplicaSet.

use super::workload;
use crate::Value;
use crate::field::Path;
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, int, same};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::meta;

pub const KIND: Builtin =
    Builtin { group: "apps", plural: "replicasets", storage: "v1", rules: || Box::new(ReplicaSet) };

struct ReplicaSet;

impl Rules for ReplicaSet {
    fn pod_spec(&self) -> &'static [&'static str] {
        &["spec", "template", "spec"]
    }
    fn default(&self, _: &str, value: &mut Value) {
        workload::default_template(value);
        default_pointer(value.make(&["spec"]), "replicas", 1i64);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        workload::mirror_service_account(new);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let (path, empty) = (Path::new("spec"), Value::object());
        let spec = new.get("spec").unwrap_or(&empty);
        check::nonnegative(spec, &path, "replicas", errors);
        check::nonnegative(spec, &path, "minReadySeconds", errors);
        workload::selector_and_template(new, errors);
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        let (now, before) = (new.at(&["spec", "selector"]), old.at(&["spec", "selector"]));
        if !same(now, before) {
            meta::immutable(now, before, Path::new("spec").child("selector"), errors);
        }
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        let below = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        workload::status_counts(new, &below, &["terminatingReplicas"], errors);
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        workload::template_warnings(new, old)
    }
    fn has_status(&self) -> bool {
        true
    }
    fn has_generation(&self) -> bool {
        true
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let [names, images] = cells::containers(value.at(&["spec", "template"]).unwrap_or(&Value::Null));
        Some(vec![
            cells::name(value),
            Value::Int(int(value, &["spec", "replicas"])),
            Value::Int(int(value, &["status", "replicas"])),
            Value::Int(int(value, &["status", "readyReplicas"])),
            age(value, now),
            names,
            images,
            cells::selector(value.at(&["spec", "selector"])).into(),
        ])
    }
}
