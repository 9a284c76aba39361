//! StatefulSet: what may change after its creation is little.

use super::workload;
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::core::persistent_volume_claim;
use crate::kinds::edit::{default, default_pointer, each, has, inside, int, same};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};

pub const KIND: Builtin =
    Builtin { group: "apps", plural: "statefulsets", storage: "v1", rules: || Box::new(StatefulSet) };

struct StatefulSet;

const MAY_CHANGE: [&str; 8] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "serviceName",
];

impl Rules for StatefulSet {
    fn default(&self, version: &str, value: &mut Value) {
        workload::default_template(value);
        let spec = value.make(&["spec"]);
        default(spec, "podManagementPolicy", "OrderedReady");
        let strategy = spec.make(&["updateStrategy"]);
        if strategy.is_null() {
            *strategy = Value::object();
        }
        if strategy.str_at(&["type"]).is_empty() {
            strategy.set(&["type"], "RollingUpdate");
            default_pointer(strategy, "rollingUpdate", Value::object());
        }
        if strategy.str_at(&["type"]) == "RollingUpdate" {
            inside(strategy, &["rollingUpdate"], |rolling| default_pointer(rolling, "partition", 0i64));
        }
        let policy = spec.make(&["persistentVolumeClaimRetentionPolicy"]);
        default(policy, "whenDeleted", "Retain");
        default(policy, "whenScaled", "Retain");
        default_pointer(spec, "replicas", 1i64);
        default_pointer(spec, "revisionHistoryLimit", 10i64);
        each(spec, &["volumeClaimTemplates"], |claim| {
            default(claim, "kind", "PersistentVolumeClaim");
            default(claim, "apiVersion", "v1");
            persistent_volume_claim::defaults(version, claim);
        });
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        workload::mirror_service_account(new);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let (path, empty) = (Path::new("spec"), Value::object());
        let spec = new.get("spec").unwrap_or(&empty);
        let policy = spec.str_at(&["podManagementPolicy"]);
        check::required_one_of(
            policy,
            path.child("podManagementPolicy"),
            &["OrderedReady", "Parallel"],
            errors,
        );
        let strategy = path.child("updateStrategy");
        match spec.str_at(&["updateStrategy", "type"]) {
            "" => errors.push(Error::required(strategy, "")),
            "OnDelete" if has(spec, &["updateStrategy", "rollingUpdate"]) => {
                let rolling = spec.at(&["updateStrategy", "rollingUpdate"]).cloned().unwrap_or_default();
                let text = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(Error::invalid(strategy.child("rollingUpdate"), rolling, text));
            }
            "OnDelete" | "RollingUpdate" => {}
            _ => {
                let value = spec.get("updateStrategy").cloned().unwrap_or_default();
                let text = "must be 'RollingUpdate' or 'OnDelete'";
                errors.push(Error::invalid(strategy, value, text));
            }
        }
        for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
            check::nonnegative(spec, &path, field, errors);
        }
        workload::selector_and_template(new, errors);
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        let mut kept = new.get("spec").cloned().unwrap_or_default();
        let empty = Value::object();
        let old = old.get("spec").unwrap_or(&empty);
        for field in MAY_CHANGE {
            keep(&mut kept, old, field);
        }
        if !same(Some(&kept), Some(old)) {
            let text = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                        'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                        'minReadySeconds' are forbidden";
            errors.push(Error::forbidden(Path::new("spec"), text));
        }
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        let below = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        workload::status_counts(new, &below, &["collisionCount"], errors);
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
        let ready = int(value, &["status", "readyReplicas"]);
        let ready = format!("{ready}/{}", int(value, &["spec", "replicas"]));
        Some(vec![cells::name(value), ready.into(), age(value, now), names, images])
    }
}
