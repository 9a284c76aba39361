//! DaemonSet.

use super::workload;
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::edit::{default, default_pointer, int, same};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::meta;

pub const KIND: Builtin =
    Builtin { group: "apps", plural: "daemonsets", storage: "v1", rules: || Box::new(DaemonSet) };

struct DaemonSet;

/// What became of `spec.templateGeneration` in apps/v1: upstream keeps it as an annotation.
const GENERATION: &str = "deprecated.daemonset.template.generation";

impl Rules for DaemonSet {
    fn default(&self, _: &str, value: &mut Value) {
        workload::default_template(value);
        let spec = value.make(&["spec"]);
        let strategy = spec.make(&["updateStrategy"]);
        if strategy.is_null() {
            *strategy = Value::object();
        }
        default(strategy, "type", "RollingUpdate");
        if strategy.str_at(&["type"]) == "RollingUpdate" {
            let rolling = strategy.make(&["rollingUpdate"]);
            default_pointer(rolling, "maxUnavailable", 1i64);
            default_pointer(rolling, "maxSurge", 0i64);
        }
        default_pointer(spec, "revisionHistoryLimit", 10i64);
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        new.set(&["metadata", "annotations", GENERATION], "1");
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        workload::mirror_service_account(new);
        let was: i64 = old.str_at(&["metadata", "annotations", GENERATION]).parse().unwrap_or(1);
        let same = same(new.at(&["spec", "template"]), old.at(&["spec", "template"]));
        let now = if same { was } else { was + 1 };
        new.set(&["metadata", "annotations", GENERATION], now.to_string());
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let (path, empty) = (Path::new("spec"), Value::object());
        let spec = new.get("spec").unwrap_or(&empty);
        workload::selector_and_template(new, errors);
        for field in ["minReadySeconds", "revisionHistoryLimit"] {
            check::nonnegative(spec, &path, field, errors);
        }
        let kind = spec.str_at(&["updateStrategy", "type"]);
        let path = path.child("updateStrategy");
        if !matches!(kind, "OnDelete" | "RollingUpdate") {
            let strategy = spec.get("updateStrategy").cloned().unwrap_or_default();
            errors.push(Error::not_supported(path.clone(), strategy, &["OnDelete", "RollingUpdate"]));
        }
        let rolling = spec.at(&["updateStrategy", "rollingUpdate"]);
        for field in ["maxUnavailable", "maxSurge"] {
            if let Some(value) = rolling.and_then(|rolling| rolling.get(field)) {
                let path = path.child("rollingUpdate").child(field);
                check::int_or_percent(value, &path, errors);
                check::at_most_all(value, &path, errors);
            }
        }
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        let (now, before) = (new.at(&["spec", "selector"]), old.at(&["spec", "selector"]));
        if !same(now, before) {
            meta::immutable(now, before, Path::new("spec").child("selector"), errors);
        }
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
        let template = value.at(&["spec", "template"]).unwrap_or(&Value::Null);
        let [names, images] = cells::containers(template);
        let status = |field: &str| Value::Int(int(value, &["status", field]));
        Some(vec![
            cells::name(value),
            status("desiredNumberScheduled"),
            status("currentNumberScheduled"),
            status("numberReady"),
            status("updatedNumberScheduled"),
            status("numberAvailable"),
            cells::labels(template.at(&["spec", "nodeSelector"])).into(),
            age(value, now),
            names,
            images,
            cells::selector(value.at(&["spec", "selector"])).into(),
        ])
    }
}
