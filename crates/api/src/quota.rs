//! ResourceQuota: what an object uses, which quotas it counts for, and what does not fit
//! (k8s.io/kubernetes/pkg/quota/v1). Pure; admission and the controller add up with it.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::pod;
use crate::quantity::{Format, Quantity};
use crate::selector::{Labels, Operator, Requirement};
use crate::{Resource, Value};

/// Quantities by resource name, sorted.
pub type Amounts = BTreeMap<SmolStr, Quantity>;

/// What is a quota's own under a field of it.
pub fn amounts(map: Option<&Value>) -> Amounts {
    let fields = map.and_then(Value::as_map).into_iter().flat_map(|map| map.iter());
    fields.map(|(name, value)| (name.clone(), pod::quantity(value))).collect()
}

/// [`Amounts`] as an object has them.
pub fn to_value(amounts: &Amounts) -> Value {
    let fields = amounts.iter().map(|(name, amount)| (name.clone(), Value::from(amount.to_string())));
    Value::Object(fields.collect())
}

/// `used: a=1,b=2`, as upstream shows amounts.
pub fn show(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        sum.entry(name.clone()).or_default().add(amount);
    }
}

pub fn subtract(sum: &mut Amounts, less: &Amounts) {
    for (name, amount) in less {
        sum.entry(name.clone()).or_default().sub(amount);
    }
}

/// Those of the names that are in `names`.
pub fn mask(amounts: &Amounts, names: &BTreeSet<SmolStr>) -> Amounts {
    amounts
        .iter()
        .filter(|(name, _)| names.contains(*name))
        .map(|(name, own)| (name.clone(), own.clone()))
        .collect()
}

fn one() -> Quantity {
    Quantity::from_int(1, Format::DecimalSI)
}

/// `count/deployments.apps`.
fn count_name(resource: &Resource) -> SmolStr {
    SmolStr::from(format!("count/{resource}"))
}

/// Where a name of a quota is counted; `None`: nowhere that is known.
pub fn counted(name: &str) -> Option<Resource> {
    if let Some(rest) = name.strip_prefix("count/") {
        let (plural, group) = rest.split_once('.').unwrap_or((rest, ""));
        return Some(Resource::new(group, plural));
    }
    Some(match name {
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" | "services" => {
            Resource::new("", name)
        }
        "services.loadbalancers" | "services.nodeports" => Resource::new("", "services"),
        "persistentvolumeclaims" | "requests.storage" => Resource::new("", "persistentvolumeclaims"),
        name if name.contains(".storageclass.storage.k8s.io/") => Resource::new("", "persistentvolumeclaims"),
        name if of_pods(name) => Resource::new("", "pods"),
        _ => return None,
    })
}

/// Names that pods use.
fn of_pods(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "count/pods"
            | "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
    ) || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || name.strip_prefix("requests.").is_some_and(is_extended)
}

/// A resource that is none of Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// The names of a quota that objects of `resource` count for.
pub fn relevant(resource: &Resource, names: impl Iterator<Item = SmolStr>) -> BTreeSet<SmolStr> {
    names.filter(|name| counted(name).is_some_and(|own| own == *resource)).collect()
}

/// What an object of `resource` uses; `now` in seconds since the epoch.
pub fn usage(resource: &Resource, object: &Value, now: i64) -> Amounts {
    let mut all = Amounts::new();
    all.insert(count_name(resource), one());
    if !resource.group.is_empty() {
        return all;
    }
    match resource.plural.as_str() {
        "pods" => pod_usage(object, now, &mut all),
        "services" => service_usage(object, &mut all),
        "persistentvolumeclaims" => claim_usage(object, &mut all),
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => {
            all.insert(resource.plural.clone(), one());
        }
        _ => {}
    }
    all
}

fn pod_usage(object: &Value, now: i64, all: &mut Amounts) {
    let metadata = |field: &str| object.at(&["metadata", field]);
    let end =
        metadata("deletionTimestamp").and_then(Value::as_str).and_then(|time| crate::time::parse(time).ok());
    let grace = metadata("deletionGracePeriodSeconds").and_then(Value::as_int).unwrap_or(0);
    let overdue = end.is_some_and(|end| now > end.seconds + grace);
    if pod::is_terminal(object) || overdue {
        return;
    }
    let empty = Value::object();
    let spec = object.get("spec").unwrap_or(&empty);
    helper(&pod::requests(spec), &pod::limits(spec), all);
}

fn helper(requests: &pod::Resources, limits: &pod::Resources, all: &mut Amounts) {
    all.insert("pods".into(), one());
    for (name, amount) in requests {
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                all.insert(name.clone(), amount.clone());
                all.insert(format!("requests.{name}").into(), amount.clone());
            }
            other if other.starts_with("hugepages-") => {
                all.insert(name.clone(), amount.clone());
                all.insert(format!("requests.{name}").into(), amount.clone());
            }
            other if is_extended(other) => {
                all.insert(format!("requests.{name}").into(), amount.clone());
            }
            _ => {}
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            all.insert(format!("limits.{name}").into(), amount.clone());
        }
    }
}

fn service_usage(object: &Value, all: &mut Amounts) {
    let number = |count: usize| Quantity::from_int(count as i64, Format::DecimalSI);
    let ports = object.at(&["spec", "ports"]).and_then(Value::as_array).unwrap_or_default();
    let (mut nodes, mut balancers) = (0, 0);
    match object.str_at(&["spec", "type"]) {
        "NodePort" => nodes = ports.len(),
        "LoadBalancer" => {
            balancers = 1;
            let allocates = object.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool);
            let own = |port: &&Value| port.get("nodePort").and_then(Value::as_int).unwrap_or(0) != 0;
            nodes = if allocates == Some(false) { ports.iter().filter(own).count() } else { ports.len() };
        }
        _ => {}
    }
    all.insert("services".into(), one());
    all.insert("services.loadbalancers".into(), number(balancers));
    all.insert("services.nodeports".into(), number(nodes));
}

fn claim_usage(object: &Value, all: &mut Amounts) {
    let annotated = object.str_at(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    let class = if annotated.is_empty() { object.str_at(&["spec", "storageClassName"]) } else { annotated };
    let of_class = |name: &str| SmolStr::from(format!("{class}.storageclass.storage.k8s.io/{name}"));
    all.insert("persistentvolumeclaims".into(), one());
    if !class.is_empty() {
        all.insert(of_class("persistentvolumeclaims"), one());
    }
    if let Some(storage) = object.at(&["spec", "resources", "requests", "storage"]) {
        let amount = pod::quantity(storage);
        if !class.is_empty() {
            all.insert(of_class("requests.storage"), amount.clone());
        }
        all.insert("requests.storage".into(), amount);
    }
}

/// The object counts for the quota: it uses something that is limited, and all scopes are its own.
pub fn matches(quota: &Value, resource: &Resource, object: &Value) -> bool {
    let hard = amounts(quota.at(&["status", "hard"]).or_else(|| quota.at(&["spec", "hard"])));
    !relevant(resource, hard.into_keys()).is_empty() && in_scopes(quota, resource, object)
}

/// The object is in all scopes of the quota.
pub fn in_scopes(quota: &Value, resource: &Resource, object: &Value) -> bool {
    let list = |path: &[&str]| quota.at(path).and_then(Value::as_array).unwrap_or_default();
    let plain = list(&["spec", "scopes"])
        .iter()
        .filter_map(Value::as_str)
        .all(|name| in_scope(name, "Exists", &[], resource, object));
    plain
        && list(&["spec", "scopeSelector", "matchExpressions"]).iter().all(|own| {
            let values = own.get("values").and_then(Value::as_array).unwrap_or_default();
            let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            in_scope(own.str_at(&["scopeName"]), own.str_at(&["operator"]), &values, resource, object)
        })
}

fn in_scope(name: &str, operator: &str, values: &[&str], resource: &Resource, object: &Value) -> bool {
    let empty = Value::object();
    let spec = object.get("spec").unwrap_or(&empty);
    if resource.plural == "persistentvolumeclaims" {
        let class = spec.str_at(&["volumeAttributesClassName"]);
        return name == "VolumeAttributesClass" && selects(class, operator, values);
    }
    if resource.plural != "pods" || !resource.group.is_empty() {
        return false;
    }
    let ends = spec.get("activeDeadlineSeconds").and_then(Value::as_int).is_some_and(|seconds| seconds >= 0);
    let best_effort = pod::qos_class(spec) == "BestEffort";
    match name {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => selects(spec.str_at(&["priorityClassName"]), operator, values),
        "CrossNamespacePodAffinity" => crosses(spec),
        _ => false,
    }
}

fn selects(class: &str, operator: &str, values: &[&str]) -> bool {
    let operator = match operator {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => Operator::Exists,
    };
    let values = values.iter().map(SmolStr::new).collect();
    let Ok(requirement) = Requirement::new("class", operator, values) else { return false };
    let labels: Vec<(SmolStr, SmolStr)> =
        if class.is_empty() { Vec::new() } else { vec![("class".into(), class.into())] };
    Labels::new(vec![requirement]).matches(&labels)
}

/// The pod's affinity looks into other namespaces.
fn crosses(spec: &Value) -> bool {
    let other = |term: &Value| {
        let named = term.get("namespaces").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        named || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list =
            |field: &str| spec.at(&["affinity", kind, field]).and_then(Value::as_array).unwrap_or_default();
        list("requiredDuringSchedulingIgnoredDuringExecution").iter().any(other)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .filter_map(|term| term.get("podAffinityTerm"))
                .any(other)
    })
}

/// What a pod must state because the quota limits it, and does not.
pub fn missing(required: &BTreeSet<SmolStr>, spec: &Value) -> Option<String> {
    const STATED: [&str; 6] =
        ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
    let set = |path: &[&str]| spec.at(path).and_then(Value::as_map).is_some_and(|map| !map.is_empty());
    if set(&["resources", "requests"]) || set(&["resources", "limits"]) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).and_then(Value::as_array).unwrap_or_default() {
            let mut own = Amounts::new();
            let requests = pod::resources(container.at(&["resources", "requests"]));
            helper(&requests, &pod::resources(container.at(&["resources", "limits"])), &mut own);
            for name in STATED.iter().filter(|name| required.contains(**name) && !own.contains_key(**name)) {
                missing.entry(name).or_default().insert(container.str_at(&["name"]));
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let parts: Vec<String> = missing
        .iter()
        .map(|(name, containers)| {
            format!("{name} for: {}", containers.iter().copied().collect::<Vec<_>>().join(","))
        })
        .collect();
    Some(format!("must specify {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        crate::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn pods_use_what_they_ask_for() {
        let pods = Resource::new("", "pods");
        let pod = value(
            r#"{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"100m","memory":"1Gi","example.com/gpu":"2"},
            "limits":{"memory":"2Gi"}}}],"initContainers":[{"name":"i","resources":{"requests":{"cpu":"300m"}}}]}}"#,
        );
        assert_eq!(
            show(&usage(&pods, &pod, 0)),
            "count/pods=1,cpu=300m,limits.memory=2Gi,memory=1Gi,pods=1,requests.cpu=300m,requests.example.com/gpu=2,requests.memory=1Gi"
        );
        let mut done = pod.clone();
        done.set(&["status", "phase"], "Succeeded");
        assert_eq!(show(&usage(&pods, &done, 0)), "count/pods=1");
        let names = ["pods", "services", "count/deployments.apps", "limits.cpu"].map(SmolStr::from);
        assert_eq!(
            relevant(&pods, names.into_iter()).into_iter().collect::<Vec<_>>(),
            ["limits.cpu", "pods"]
        );
        let required: BTreeSet<SmolStr> = ["limits.cpu".into(), "cpu".into()].into();
        assert_eq!(
            missing(&required, pod.get("spec").unwrap()).unwrap(),
            "must specify cpu for: ; limits.cpu for: a,i".replace("cpu for: ; ", "")
        );
        for (scopes, expected) in [
            (r#"["BestEffort"]"#, false),
            (r#"["NotBestEffort","NotTerminating"]"#, true),
            (r#"["Terminating"]"#, false),
        ] {
            let quota = value(&format!(r#"{{"spec":{{"hard":{{"pods":"1"}},"scopes":{scopes}}}}}"#));
            assert_eq!(matches(&quota, &pods, &pod), expected, "{scopes}");
        }
    }

    #[test]
    fn services_and_claims() {
        let service = value(r#"{"spec":{"type":"LoadBalancer","ports":[{"port":80},{"port":81}]}}"#);
        assert_eq!(
            show(&usage(&Resource::new("", "services"), &service, 0)),
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"
        );
        let claim =
            value(r#"{"spec":{"storageClassName":"fast","resources":{"requests":{"storage":"1Gi"}}}}"#);
        assert_eq!(
            show(&usage(&Resource::new("", "persistentvolumeclaims"), &claim, 0)),
            "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
        );
    }
}
