//! Pure rules on Pods that several roles share: sums of requests and limits, the QoS class, readiness.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::Value;
use crate::kinds::edit::{list, same};
use crate::quantity::Quantity;

/// Amounts by resource name.
pub type Resources = BTreeMap<SmolStr, Quantity>;

/// The quantities of a `requests`, `limits`, `capacity`… map; a text that is none counts as zero.
pub fn resources(map: Option<&Value>) -> Resources {
    let entries = map.and_then(Value::as_map).into_iter().flat_map(|map| map.iter());
    entries.map(|(name, value)| (name.clone(), quantity(value))).collect()
}

/// A quantity's text or bare number.
pub fn quantity(value: &Value) -> Quantity {
    match value {
        Value::String(text) => text.parse().unwrap_or_default(),
        other => other.to_string().parse().unwrap_or_default(),
    }
}

fn add(to: &mut Resources, more: &Resources) {
    for (name, quantity) in more {
        match to.get_mut(name) {
            Some(sum) => sum.add(quantity),
            None => drop(to.insert(name.clone(), quantity.clone())),
        }
    }
}

fn raise(to: &mut Resources, other: &Resources) {
    for (name, quantity) in other {
        if to.get(name).is_none_or(|have| quantity > have) {
            to.insert(name.clone(), quantity.clone());
        }
    }
}

/// An init container that stays: a sidecar (KEP-753).
pub fn is_sidecar(container: &Value) -> bool {
    container.str_at(&["restartPolicy"]) == "Always"
}

/// What all containers together need at most at one time: the larger of the running containers with sidecars, and of
/// each init container with the sidecars started before it. `field` is `requests` or `limits`.
pub fn container_totals(spec: &Value, field: &str) -> Resources {
    let of = |container: &Value| resources(container.at(&["resources", field]));
    let mut running = Resources::new();
    for container in list(spec, &["containers"]) {
        add(&mut running, &of(container));
    }
    let (mut sidecars, mut peak) = (Resources::new(), Resources::new());
    for container in list(spec, &["initContainers"]) {
        let mut now = of(container);
        if is_sidecar(container) {
            add(&mut running, &now);
            add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut peak, &now);
    }
    raise(&mut running, &peak);
    running
}

/// What the scheduler reserves: [`container_totals`] of requests, replaced by pod-level requests where set, and overhead.
pub fn requests(spec: &Value) -> Resources {
    totals(spec, "requests")
}

/// As [`requests`], for limits.
pub fn limits(spec: &Value) -> Resources {
    totals(spec, "limits")
}

fn totals(spec: &Value, field: &str) -> Resources {
    let mut sums = container_totals(spec, field);
    for (name, quantity) in resources(spec.at(&["resources", field])) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            sums.insert(name, quantity);
        }
    }
    let overhead = resources(spec.get("overhead"));
    match field {
        "limits" => {
            for (name, quantity) in &overhead {
                if let Some(sum) = sums.get_mut(name).filter(|sum| !sum.is_zero()) {
                    sum.add(quantity);
                }
            }
        }
        _ => add(&mut sums, &overhead),
    }
    sums
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(spec: &Value) -> &'static str {
    let compute = |map: Option<&Value>| -> Resources {
        let mut resources = resources(map);
        resources.retain(|name, quantity| matches!(name.as_str(), "cpu" | "memory") && quantity.sign() > 0);
        resources
    };
    let (mut requests, mut limits) = (Resources::new(), Resources::new());
    let mut guaranteed = true;
    let mut count = |resources: &Value| {
        add(&mut requests, &compute(resources.get("requests")));
        let some = compute(resources.get("limits"));
        guaranteed &= some.len() == 2;
        add(&mut limits, &some);
    };
    match spec.get("resources") {
        Some(resources @ Value::Object(map)) if !map.is_empty() => count(resources),
        _ => {
            for container in list(spec, &["containers"]).iter().chain(list(spec, &["initContainers"])) {
                count(container.get("resources").unwrap_or(&Value::Null));
            }
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.iter().all(|(name, request)| limits.get(name) == Some(request));
    if guaranteed && equal && requests.len() == limits.len() { "Guaranteed" } else { "Burstable" }
}

/// The condition of this type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, &["status", "conditions"]).iter().find(|condition| condition.str_at(&["type"]) == kind)
}

/// The condition `Ready` is `True`.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.str_at(&["status"]) == "True")
}

/// The pod ended: `Succeeded` or `Failed`.
pub fn is_terminal(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed")
}

/// Two specs mean the same, as upstream's semantic equality has it.
pub fn same_spec(a: &Value, b: &Value) -> bool {
    same(a.get("spec"), b.get("spec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn sums_of_requests() {
        let spec = spec(
            r#"{"overhead":{"cpu":"10m"},
            "initContainers":[
              {"restartPolicy":"Always","resources":{"requests":{"cpu":"100m"}}},
              {"resources":{"requests":{"cpu":"1","memory":"1Gi"}}}],
            "containers":[{"resources":{"requests":{"cpu":"250m","memory":"64Mi"}}},{"resources":{"requests":{"cpu":"250m"}}}]}"#,
        );
        let sums = requests(&spec);
        assert_eq!(sums["cpu"].to_string(), "1110m");
        assert_eq!(sums["memory"].to_string(), "1Gi");
    }

    #[test]
    fn quality_of_service() {
        let cases = [
            (r#"{"containers":[{}]}"#, "BestEffort"),
            (r#"{"containers":[{"resources":{"requests":{"cpu":"1"}}}]}"#, "Burstable"),
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Gi"},"limits":{"cpu":"1000m","memory":"1Gi"}}}]}"#,
                "Guaranteed",
            ),
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Gi"},"limits":{"cpu":"1","memory":"1Gi"}}},{}]}"#,
                "Burstable",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(qos_class(&spec(text)), expected, "{text}");
        }
    }
}
