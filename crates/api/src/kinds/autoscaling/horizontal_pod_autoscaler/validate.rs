//! Validation of an autoscaler's spec, in its stored version.

use crate::validation::{Node, names};

const METRICS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// Fields of a metric in the order in which upstream looks at them, with the type that wants each.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];

pub fn spec(spec: &Node<'_>, old: Option<&Node<'_>>) {
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    let was_zero = old.is_some_and(|old| old.get("minReplicas").value().as_int() == Some(0));
    // Scaling to zero is off by default (HPAScaleToZero).
    least.at_least(if was_zero { 0 } else { 1 });
    match most.int() {
        0 => most.missing("must be set and greater than 0"),
        count if count < 0 => most.invalid("must be greater than or equal to 1"),
        _ => {}
    }
    if least.has() && most.int() < least.int() {
        let path = most.path().clone();
        let text = "must be greater than or equal to `minReplicas`";
        most.error(crate::field::Error::invalid(path, most.int(), text));
    }
    let target = spec.get("scaleTargetRef");
    let unchanged = old.is_some_and(|old| {
        let old = old.get("scaleTargetRef");
        ["apiVersion", "kind"].iter().all(|field| target.get(field).text() == old.get(field).text())
    });
    let groupless = target.get("kind").text() == "ReplicationController";
    reference(
        &target,
        if unchanged {
            ApiVersion::Any
        } else if groupless {
            ApiVersion::MayBeCore
        } else {
            ApiVersion::Grouped
        },
    );
    let metrics = spec.get("metrics").items();
    for metric in &metrics {
        self::metric(metric);
    }
    let counts = |metric: &Node<'_>| matches!(metric.get("type").text(), "Object" | "External");
    if least.value().as_int() == Some(0) && !metrics.iter().any(counts) {
        let text = "must specify at least one Object or External metric to support scaling to zero replicas";
        spec.get("metrics").forbidden(text);
    }
    for way in ["scaleUp", "scaleDown"] {
        let rules = spec.get("behavior").get(way);
        if rules.has() {
            scaling_rules(&rules);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum ApiVersion {
    /// An old mistake may stay.
    Any,
    MayBeCore,
    Grouped,
}

fn segment(node: &Node<'_>, missing: &str) {
    match node.text().is_empty() {
        true => node.missing(missing),
        false => drop(node.is(names::path_segment)),
    }
}

fn reference(reference: &Node<'_>, version: ApiVersion) {
    segment(&reference.get("kind"), "");
    segment(&reference.get("name"), "");
    let api_version = reference.get("apiVersion");
    let text = api_version.text();
    let bad = match text.matches('/').count() {
        _ if version == ApiVersion::Any => None,
        0 if version == ApiVersion::Grouped => Some("apiVersion must specify API group".to_string()),
        0 => None,
        1 if text.starts_with('/') && version == ApiVersion::Grouped && text != "/" => {
            Some("apiVersion must specify API group".to_string())
        }
        1 if text == "/" && version == ApiVersion::Grouped => {
            Some("apiVersion must specify API group".to_string())
        }
        1 => None,
        _ => Some(format!("unexpected GroupVersion string: {text}")),
    };
    if let Some(bad) = bad {
        api_version.error(crate::field::Error::invalid(api_version.path().clone(), text, bad));
    }
}

fn metric(metric: &Node<'_>) {
    let kind = metric.get("type");
    if kind.text().is_empty() {
        kind.missing("must specify a metric source type");
    }
    kind.one_of_even_empty(&METRICS);
    let set: Vec<&str> =
        SOURCES.iter().map(|(field, _)| *field).filter(|field| metric.get(field).has()).collect();
    if let Some(first) = set.first() {
        source(first, &metric.get(first));
    }
    let expected = SOURCES.iter().find(|(_, wants)| *wants == kind.text()).map(|(field, _)| *field);
    match expected {
        Some(field) => drop(metric.get(field).set("must populate information for the given metric source")),
        None => drop(kind.one_of_even_empty(&METRICS)),
    }
    if set.len() != 1 {
        for field in set.iter().filter(|field| Some(**field) != expected) {
            metric.get(field).forbidden("must populate the given metric source only");
        }
    }
}

fn source(field: &str, source: &Node<'_>) {
    let target = source.get("target");
    let (value, average, percent) =
        (target.get("value"), target.get("averageValue"), target.get("averageUtilization"));
    match field {
        "object" => {
            reference(&source.get("describedObject"), ApiVersion::MayBeCore);
            segment(&source.at(&["metric", "name"]), "must specify a metric name");
            self::target(&target);
            if !value.has() && !average.has() {
                average.missing("must set either a target value or averageValue");
            }
        }
        "external" => {
            segment(&source.at(&["metric", "name"]), "must specify a metric name");
            self::target(&target);
            if !value.has() && !average.has() {
                average.missing("must set either a target value for metric or a per-pod target");
            }
            if value.has() && average.has() {
                value.forbidden("may not set both a target value for metric and a per-pod target");
            }
        }
        "pods" => {
            segment(&source.at(&["metric", "name"]), "must specify a metric name");
            self::target(&target);
            average.set("must specify a positive target averageValue");
        }
        _ => {
            let name = source.get("name");
            name.required_for("must specify a resource name");
            if field == "containerResource" {
                if !name.text().is_empty() {
                    name.by(crate::kinds::core::pod::container_resource_name);
                }
                source.get("container").required_for("must specify a container").is(names::dns_label);
            }
            self::target(&target);
            if !percent.has() && !average.has() {
                percent.missing("must set either a target raw value or a target utilization");
            }
            if percent.has() && average.has() {
                average.forbidden("may not set both a target raw value and a target utilization");
            }
        }
    }
}

fn target(target: &Node<'_>) {
    let kind = target.get("type");
    kind.required_for("must specify a metric target type");
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        kind.error(crate::field::Error::invalid(
            kind.path().clone(),
            kind.text(),
            "must be either Utilization, Value, or AverageValue",
        ));
    }
    for field in ["value", "averageValue"] {
        let amount = target.get(field);
        if amount.has() && amount.quantity().sign() != 1 {
            amount.invalid("must be positive");
        }
    }
    let percent = target.get("averageUtilization");
    if percent.has() && percent.int() < 1 {
        percent.invalid("must be greater than 0");
    }
}

fn scaling_rules(rules: &Node<'_>) {
    let window = rules.get("stabilizationWindowSeconds");
    if window.int() < 0 {
        window.invalid("must be greater than or equal to zero");
    }
    if window.int() > 3600 {
        window.invalid("must be less than or equal to 3600");
    }
    rules.get("selectPolicy").one_of_set(&["Disabled", "Max", "Min"]);
    let policies = rules.get("policies");
    policies.required_for("must specify at least one Policy");
    for policy in policies.items() {
        policy.get("type").one_of_even_empty(&["Percent", "Pods"]);
        policy.get("value").positive();
        let period = policy.get("periodSeconds");
        period.positive();
        if period.int() > 1800 {
            period.invalid("must be less than or equal to 1800");
        }
    }
    rules.get("tolerance").nonnegative_quantity();
}
