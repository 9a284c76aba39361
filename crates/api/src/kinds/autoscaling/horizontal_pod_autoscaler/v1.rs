//! autoscaling/v1's form: one CPU target of its own, everything else as JSON in annotations, in the words of v1's metric types
//! (`behavior` in the names of Go's internal struct, which is what upstream has always written).

use crate::Value;
use crate::kinds::edit::has;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ALL: [&str; 6] = [
    METRICS,
    CURRENT,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("because this text is JSON")
}

/// A metric on the CPU of all containers, as `Utilization` of `percent`.
pub fn cpu(percent: i64) -> Value {
    let mut metric = json(r#"{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization"}}}"#);
    metric.set(&["resource", "target", "averageUtilization"], percent);
    metric
}

fn is_cpu(metric: &Value) -> bool {
    metric.str_at(&["type"]) == "Resource" && metric.str_at(&["resource", "name"]) == "cpu"
}

fn utilization(metric: &Value) -> Option<&Value> {
    let target = metric.at(&["resource", "target", "averageUtilization"]);
    target.filter(|percent| is_cpu(metric) && !percent.is_null())
}

/// How a source of each type is called in v1: its field, then pairs of v2's path and v1's field. What is marked as needed is
/// written as zero where v2 has none.
type Names = &'static [(&'static [&'static str], &'static str, bool)];
const SOURCES: [(&str, Names, Names); 5] = [
    (
        "object",
        &[
            (&["describedObject"], "target", false),
            (&["metric", "name"], "metricName", false),
            (&["target", "value"], "targetValue", true),
            (&["metric", "selector"], "selector", false),
            (&["target", "averageValue"], "averageValue", false),
        ],
        &[
            (&["describedObject"], "target", false),
            (&["metric", "name"], "metricName", false),
            (&["current", "value"], "currentValue", true),
            (&["metric", "selector"], "selector", false),
            (&["current", "averageValue"], "averageValue", false),
        ],
    ),
    (
        "pods",
        &[
            (&["metric", "name"], "metricName", false),
            (&["target", "averageValue"], "targetAverageValue", true),
            (&["metric", "selector"], "selector", false),
        ],
        &[
            (&["metric", "name"], "metricName", false),
            (&["current", "averageValue"], "currentAverageValue", true),
            (&["metric", "selector"], "selector", false),
        ],
    ),
    (
        "resource",
        &[
            (&["name"], "name", false),
            (&["target", "averageUtilization"], "targetAverageUtilization", false),
            (&["target", "averageValue"], "targetAverageValue", false),
        ],
        &[
            (&["name"], "name", false),
            (&["current", "averageUtilization"], "currentAverageUtilization", false),
            (&["current", "averageValue"], "currentAverageValue", true),
        ],
    ),
    (
        "containerResource",
        &[
            (&["name"], "name", false),
            (&["target", "averageUtilization"], "targetAverageUtilization", false),
            (&["target", "averageValue"], "targetAverageValue", false),
            (&["container"], "container", false),
        ],
        &[
            (&["name"], "name", false),
            (&["current", "averageUtilization"], "currentAverageUtilization", false),
            (&["current", "averageValue"], "currentAverageValue", true),
            (&["container"], "container", false),
        ],
    ),
    (
        "external",
        &[
            (&["metric", "name"], "metricName", false),
            (&["metric", "selector"], "metricSelector", false),
            (&["target", "value"], "targetValue", false),
            (&["target", "averageValue"], "targetAverageValue", false),
        ],
        &[
            (&["metric", "name"], "metricName", false),
            (&["metric", "selector"], "metricSelector", false),
            (&["current", "value"], "currentValue", true),
            (&["current", "averageValue"], "currentAverageValue", false),
        ],
    ),
];

/// A metric of v2 in v1's words.
fn metric_to_v1(metric: &Value, current: bool) -> Value {
    let mut old = Value::object();
    old.set(&["type"], metric.str_at(&["type"]));
    for (source, targets, currents) in SOURCES {
        let Some(from) = metric.get(source).filter(|from| !from.is_null()) else { continue };
        let mut to = Value::object();
        for (path, name, needed) in if current { currents } else { targets } {
            match from.at(path).filter(|value| !value.is_null()) {
                Some(value) => to.set(&[name], value.clone()),
                None if *needed => to.set(&[name], "0"),
                None => {}
            }
        }
        old.set(&[source], to);
    }
    old
}

/// A metric of v1 in v2's words.
fn metric_to_v2(metric: &Value, current: bool) -> Value {
    let mut new = Value::object();
    new.set(&["type"], metric.str_at(&["type"]));
    for (source, targets, currents) in SOURCES {
        let Some(from) = metric.get(source).filter(|from| !from.is_null()) else { continue };
        let mut to = Value::object();
        for (path, name, needed) in if current { currents } else { targets } {
            match from.get(name).filter(|value| !value.is_null()) {
                Some(value) => to.set(path, value.clone()),
                None if *needed => to.set(path, "0"),
                None => {}
            }
        }
        if source != "resource" && source != "containerResource" && !has(&to, &["metric", "name"]) {
            to.set(&["metric", "name"], "");
        }
        if !current {
            let average = has(&to, &["target", "averageValue"]);
            let kind = match source {
                "object" if average => "AverageValue",
                "external" if !has(&to, &["target", "value"]) => "AverageValue",
                "object" | "external" => "Value",
                "pods" => "AverageValue",
                _ if has(&to, &["target", "averageUtilization"]) => "Utilization",
                _ => "AverageValue",
            };
            // v1 cannot leave the value of an object out, so that 0 beside an average is none.
            if source == "object" && average && to.str_at(&["target", "value"]) == "0" {
                to.remove(&["target", "value"]);
            }
            to.set(&["target", "type"], kind);
        }
        new.set(&[source], to);
    }
    new
}

/// Fields of `behavior`, as v2 and as Go's struct call them, in the struct's order.
const RULES: [(&str, &str); 4] = [
    ("stabilizationWindowSeconds", "StabilizationWindowSeconds"),
    ("selectPolicy", "SelectPolicy"),
    ("policies", "Policies"),
    ("tolerance", "Tolerance"),
];
const POLICY: [(&str, &str); 3] = [("type", "Type"), ("value", "Value"), ("periodSeconds", "PeriodSeconds")];
const WAYS: [(&str, &str); 2] = [("scaleUp", "ScaleUp"), ("scaleDown", "ScaleDown")];

fn behavior_to_go(behavior: &Value) -> Value {
    let mut out = Value::object();
    for (way, name) in WAYS {
        let Some(rules) = behavior.get(way).filter(|rules| !rules.is_null()) else {
            out.set(&[name], Value::Null);
            continue;
        };
        for (field, go) in RULES {
            let value = match (field, rules.get(field)) {
                ("policies", Some(Value::Array(policies))) => {
                    let plain = |policy: &Value| -> Value {
                        let of = |(field, go): &(&'static str, &'static str)| {
                            let zero = if *field == "type" { "".into() } else { Value::Int(0) };
                            (*go, policy.get(field).cloned().unwrap_or(zero))
                        };
                        Value::Object(POLICY.iter().map(of).collect())
                    };
                    Value::Array(policies.iter().map(plain).collect())
                }
                (_, value) => value.cloned().unwrap_or_default(),
            };
            out.set(&[name, go], value);
        }
    }
    out
}

/// Go matches names in any case.
fn get_folded<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = value.as_map().into_iter().flat_map(|map| map.iter());
    fields
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

fn behavior_from_go(text: &str) -> Option<Value> {
    let go: Value = serde_json::from_str(text).ok()?;
    let mut out = Value::object();
    for (way, name) in WAYS {
        let Some(rules) = get_folded(&go, name) else { continue };
        out.set(&[way], Value::object());
        for (field, go) in RULES {
            let Some(value) = get_folded(rules, go) else { continue };
            let value = match (field, value) {
                ("policies", Value::Array(policies)) => {
                    let plain = |policy: &Value| -> Value {
                        let of = |(field, go): &(&'static str, &str)| {
                            let zero = if *field == "type" { "".into() } else { Value::Int(0) };
                            (*field, get_folded(policy, go).cloned().unwrap_or(zero))
                        };
                        Value::Object(POLICY.iter().map(of).collect())
                    };
                    Value::Array(policies.iter().map(plain).collect())
                }
                (_, value) => value.clone(),
            };
            out.set(&[way, field], value);
        }
    }
    out.as_map().is_some_and(|map| !map.is_empty()).then_some(out)
}

fn annotation(value: &Value, key: &str) -> Option<String> {
    value.at(&["metadata", "annotations", key]).and_then(Value::as_str).map(String::from)
}

fn parsed(value: &Value, key: &str) -> Option<Vec<Value>> {
    match serde_json::from_str(&annotation(value, key)?).ok()? {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn drop_annotations(value: &mut Value) {
    let Some(annotations) = value.at_mut(&["metadata", "annotations"]).and_then(Value::as_map_mut) else {
        return;
    };
    let before = annotations.len();
    annotations.retain(|key, _| !ALL.contains(&key.as_str()));
    if annotations.is_empty() && before > 0 {
        value.remove(&["metadata", "annotations"]);
    }
}

pub fn to_storage(value: &mut Value) {
    let percent = value.remove(&["spec", "targetCPUUtilizationPercentage"]).and_then(|of| of.as_int());
    let mut metrics: Vec<Value> =
        parsed(value, METRICS).unwrap_or_default().iter().map(|metric| metric_to_v2(metric, false)).collect();
    metrics.extend(percent.map(cpu));
    if metrics.is_empty() {
        metrics.push(cpu(80));
    }
    value.set(&["spec", "metrics"], metrics);
    if let Some(behavior) = annotation(value, BEHAVIOR).and_then(|text| behavior_from_go(&text)) {
        value.set(&["spec", "behavior"], behavior);
    }
    let current = value.remove(&["status", "currentCPUUtilizationPercentage"]).and_then(|of| of.as_int());
    if let Some(metrics) = parsed(value, CURRENT) {
        let metrics: Vec<Value> = metrics.iter().map(|metric| metric_to_v2(metric, true)).collect();
        value.set(&["status", "currentMetrics"], metrics);
    } else if let Some(percent) = current {
        let mut metric = json(r#"{"type":"Resource","resource":{"name":"cpu","current":{}}}"#);
        metric.set(&["resource", "current", "averageUtilization"], percent);
        value.set(&["status", "currentMetrics"], vec![metric]);
    }
    if let Some(conditions) = parsed(value, CONDITIONS) {
        value.set(&["status", "conditions"], conditions);
    }
    drop_annotations(value);
}

pub fn from_storage(value: &mut Value) {
    drop_annotations(value);
    let metrics = value.remove(&["spec", "metrics"]).unwrap_or_default();
    let metrics = metrics.as_array().unwrap_or_default();
    if let Some(percent) = metrics.iter().find_map(utilization) {
        value.set(&["spec", "targetCPUUtilizationPercentage"], percent.clone());
    }
    let others: Vec<Value> = metrics
        .iter()
        .filter(|metric| utilization(metric).is_none())
        .map(|metric| metric_to_v1(metric, false))
        .collect();
    if !others.is_empty() {
        value.set(&["metadata", "annotations", METRICS], Value::from(others).to_string());
    }
    let current = value.remove(&["status", "currentMetrics"]).unwrap_or_default();
    let current = current.as_array().unwrap_or_default();
    if !current.is_empty() {
        let old: Vec<Value> = current.iter().map(|metric| metric_to_v1(metric, true)).collect();
        value.set(&["metadata", "annotations", CURRENT], Value::from(old).to_string());
        let percents = current.iter().filter(|metric| is_cpu(metric));
        let percent = percents
            .filter_map(|metric| metric.at(&["resource", "current", "averageUtilization"]))
            .next_back();
        if let Some(percent) = percent.filter(|percent| !percent.is_null()) {
            value.set(&["status", "currentCPUUtilizationPercentage"], percent.clone());
        }
    }
    if let Some(behavior) = value.remove(&["spec", "behavior"]).filter(|behavior| !behavior.is_null()) {
        value.set(&["metadata", "annotations", BEHAVIOR], behavior_to_go(&behavior).to_string());
    }
    let conditions = value.remove(&["status", "conditions"]).unwrap_or_default();
    if conditions.as_array().is_some_and(|list| !list.is_empty()) {
        value.set(&["metadata", "annotations", CONDITIONS], conditions.to_string());
    }
    if let Some(annotations) = value.at_mut(&["metadata", "annotations"]).and_then(Value::as_map_mut) {
        annotations.sort_by_name();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_there_and_back() {
        let text = r#"{"metadata":{"name":"a"},"spec":{"maxReplicas":5,"metrics":[{"type":"Pods","pods":{"metric":{"name":"packets"},"target":{"averageValue":"1k","type":"AverageValue"}}},{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}],"behavior":{"scaleUp":{"stabilizationWindowSeconds":5,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15}]}}}}"#;
        let stored: Value = serde_json::from_str(text).unwrap();
        let mut value = stored.clone();
        from_storage(&mut value);
        assert_eq!(
            value.to_string(),
            r#"{"metadata":{"name":"a","annotations":{"autoscaling.alpha.kubernetes.io/behavior":"{\"ScaleUp\":{\"StabilizationWindowSeconds\":5,\"SelectPolicy\":\"Max\",\"Policies\":[{\"Type\":\"Pods\",\"Value\":4,\"PeriodSeconds\":15}],\"Tolerance\":null},\"ScaleDown\":null}","autoscaling.alpha.kubernetes.io/metrics":"[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"packets\",\"targetAverageValue\":\"1k\"}}]"}},"spec":{"maxReplicas":5,"targetCPUUtilizationPercentage":50}}"#
        );
        to_storage(&mut value);
        assert!(crate::kinds::edit::same(Some(&value), Some(&stored)), "{value}");
    }
}
