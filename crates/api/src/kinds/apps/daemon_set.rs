//! DaemonSet.

use super::workload;
use crate::Value;
use crate::field::Error;
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::edit::{default, default_pointer, has, int, same};
use crate::selector::Labels;
use crate::table::{age, cells};
use crate::validation::Node;
use crate::validation::check::{self, Errors};
use crate::validation::node::{inspect, inspect_both};

pub const KIND: Builtin =
    Builtin { group: "apps", plural: "daemonsets", storage: "v1", rules: || Box::new(DaemonSet) };

struct DaemonSet;

/// What became of `spec.templateGeneration` in apps/v1: upstream keeps it as an annotation.
const GENERATION: &str = "deprecated.daemonset.template.generation";

const COUNTS: [&str; 9] = [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

fn check_spec(spec: &Node<'_>) {
    let selector = spec.get("selector");
    selector.label_selector();
    let labels = spec.at(&["template", "metadata", "labels"]);
    // No selector selects nothing, an empty one everything.
    let selects = |found: Labels| selector.has() && found.matches_value(Some(labels.value()));
    if Labels::from_object(selector.value()).is_ok_and(|found| !selects(found)) {
        labels.invalid("`selector` does not match template `labels`");
    }
    if selector.has() && selector.get("matchLabels").len() + selector.get("matchExpressions").len() == 0 {
        selector.invalid("empty selector is invalid for daemonset");
    }
    workload::pods(&spec.get("template"), "DaemonSet");
    spec.get("minReadySeconds").nonnegative();
    let strategy = spec.get("updateStrategy");
    match strategy.get("type").text() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.get("rollingUpdate");
            if !rolling.has() {
                rolling.missing("");
            } else {
                rolling_update(&rolling.get("maxUnavailable"), &rolling.get("maxSurge"));
            }
        }
        _ => {
            let value = strategy.value().clone();
            strategy.error(Error::not_supported(
                strategy.path().clone(),
                value,
                &["RollingUpdate", "OnDelete"],
            ));
        }
    }
    spec.get("revisionHistoryLimit").nonnegative();
}

fn rolling_update(unavailable: &Node<'_>, surge: &Node<'_>) {
    for node in [unavailable, surge] {
        node.by(check::int_or_percent);
    }
    for node in [unavailable, surge] {
        node.by(check::at_most_all);
    }
    let some = |node: &Node<'_>| workload::bound(Some(node.value())) != 0;
    match (some(unavailable), some(surge)) {
        (true, true) => surge.invalid("may not be set when maxUnavailable is non-zero"),
        (false, false) => unavailable.missing("cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

impl Rules for DaemonSet {
    fn pod_spec(&self) -> &'static [&'static str] {
        &["spec", "template", "spec"]
    }
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
        if !has(value, &["metadata", "annotations", GENERATION]) {
            value.set(&["metadata", "annotations", GENERATION], "0");
        }
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
        inspect(new, errors, |object| check_spec(&object.get("spec")));
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, |object, old| {
            object.at(&["spec", "selector"]).immutable(&old.at(&["spec", "selector"]));
            check_spec(&object.get("spec"));
        });
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, |object, old| {
            for field in COUNTS {
                object.get("status").get(field).nonnegative();
            }
            workload::collisions(object, old);
        });
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
