//! StatefulSet: what may change after its creation is little.

use super::workload;
use crate::Value;
use crate::kind::{Context, Rules, keep, name_by};
use crate::kinds::Builtin;
use crate::kinds::core::persistent_volume_claim;
use crate::kinds::core::pod::validate;
use crate::kinds::edit::{default, default_pointer, each, inside, int, list, same};
use crate::selector::Labels;
use crate::table::{age, cells};
use crate::validation::check::Errors;
use crate::validation::node::{inspect, inspect_both};
use crate::validation::{Node, names};

pub const KIND: Builtin =
    Builtin { group: "apps", plural: "statefulsets", storage: "v1", rules: || Box::new(StatefulSet) };

struct StatefulSet;

const MAY_CHANGE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const FORBIDDEN: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                         'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                         'minReadySeconds' are forbidden";

/// `strict`: also what cannot change any more.
fn check_spec(spec: &Node<'_>, template: bool, strict: bool) {
    let policy = spec.get("podManagementPolicy");
    match policy.text() {
        "" => policy.missing(""),
        "OrderedReady" | "Parallel" => {}
        _ => policy.invalid("must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "" => strategy.missing(""),
        "OnDelete" if rolling.has() => rolling.invalid("only allowed for updateStrategy 'RollingUpdate'"),
        "OnDelete" => {}
        "RollingUpdate" => {
            rolling.get("partition").nonnegative();
        }
        _ => strategy.invalid("must be 'RollingUpdate' or 'OnDelete'"),
    }
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    if retention.has() {
        for field in ["whenDeleted", "whenScaled"] {
            retention.get(field).one_of_even_empty(&["Retain", "Delete"]);
        }
    }
    if strict {
        for claim in spec.get("volumeClaimTemplates").items() {
            persistent_volume_claim::spec(&claim.get("spec"));
        }
    }
    spec.get("replicas").nonnegative();
    spec.get("minReadySeconds").nonnegative();
    let start = spec.at(&["ordinals", "start"]);
    start.nonnegative();
    if strict {
        spec.get("serviceName").is(names::dns_label);
    }
    check_template(spec, template);
}

/// Off by default upstream (MaxUnavailableStatefulSet).
fn drop_disabled(new: &mut Value) {
    new.remove(&["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"]);
}

fn check_template(spec: &Node<'_>, whole: bool) {
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    if !selector.has() {
        selector.missing("");
    } else {
        selector.label_selector();
        if selector.get("matchLabels").len() + selector.get("matchExpressions").len() == 0 {
            selector.invalid("empty selector is invalid for statefulset");
        }
    }
    let labels = template.at(&["metadata", "labels"]);
    match Labels::from_object(selector.value()) {
        Err(_) => selector.invalid(""),
        Ok(found) => {
            // No selector matches nothing.
            if !selector.has() || !found.is_empty() && !found.matches_value(Some(labels.value())) {
                labels.invalid("`selector` does not match template `labels`");
            }
            if whole {
                // The controller sets these; the claims' volumes take the place of others of their name.
                let mut body = template.value().clone();
                body.remove(&["spec", "hostname"]);
                body.remove(&["spec", "subdomain"]);
                volumes_of_claims(spec, &mut body);
                template.by(|_, path, errors| validate::template(&body, path, errors));
            }
            labels.named(template.path().child("labels")).labels();
            template
                .at(&["metadata", "annotations"])
                .named(template.path().child("annotations"))
                .annotations();
        }
    }
    workload::always(&template, "StatefulSet");
}

fn volumes_of_claims(spec: &Node<'_>, template: &mut Value) {
    let claims = spec.get("volumeClaimTemplates").items();
    if claims.is_empty() {
        return;
    }
    let names: Vec<&str> = claims.iter().map(|claim| claim.at(&["metadata", "name"]).text()).collect();
    let mut volumes: Vec<Value> = Vec::new();
    for name in &names {
        let mut volume = Value::object();
        volume.set(&["name"], *name);
        volume.set(&["persistentVolumeClaim", "claimName"], *name);
        if !volumes.contains(&volume) {
            volumes.push(volume);
        }
    }
    let own = list(template, &["spec", "volumes"]).iter();
    volumes.extend(own.filter(|volume| !names.contains(&volume.str_at(&["name"]))).cloned());
    template.set(&["spec", "volumes"], volumes);
}

fn check_status(object: &Node<'_>, old: &Node<'_>) {
    let status = object.get("status");
    let below = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    for field in ["replicas"].iter().chain(&below).chain(&["observedGeneration", "collisionCount"]) {
        status.get(field).nonnegative();
    }
    for field in below {
        if status.get(field).int() > status.get("replicas").int() {
            status.get(field).invalid("cannot be greater than status.replicas");
        }
    }
    if status.get("availableReplicas").int() > status.get("readyReplicas").int() {
        status.get("availableReplicas").invalid("cannot be greater than status.readyReplicas");
    }
    workload::collisions(object, old);
}

impl Rules for StatefulSet {
    fn pod_spec(&self) -> &'static [&'static str] {
        &["spec", "template", "spec"]
    }
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
            // What a claim in another object is called is no part of it.
            claim.set(&["kind"], "PersistentVolumeClaim");
            claim.set(&["apiVersion"], "v1");
            persistent_volume_claim::defaults(version, claim);
        });
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        drop_disabled(new);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        drop_disabled(new);
        workload::mirror_service_account(new);
    }
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        name_by(names::dns_label, name, prefix)
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        inspect(new, errors, |object| check_spec(&object.get("spec"), true, true));
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        let mut had = Errors::new();
        inspect(old, &mut had, |old| check_spec(&old.get("spec"), true, false));
        inspect_both(new, old, errors, |object, old| {
            check_spec(&object.get("spec"), had.is_empty(), false);
            let mut kept = object.get("spec").value().clone();
            let was = old.get("spec");
            for field in MAY_CHANGE {
                keep(&mut kept, was.value(), field);
            }
            if !same(Some(&kept), Some(was.value())) {
                object.get("spec").forbidden(FORBIDDEN);
            }
        });
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, check_status);
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut texts = workload::template_warnings(new, old);
        if int(new, &["spec", "revisionHistoryLimit"]) < 0 {
            let text = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
            texts.push(text.into());
        }
        texts
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
