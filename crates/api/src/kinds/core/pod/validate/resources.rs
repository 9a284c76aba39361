//! Requests and limits of containers and pods.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{entries, list as items};
use crate::pod::{container_totals, quantity, resources};
use crate::quantity::Quantity;
use crate::validation::check::{self, Errors};
use crate::validation::names;

/// Resource names without a domain that a container may ask for.
fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// May requests differ from limits.
pub fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

pub fn is_integer(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || !is_native(name)
}

/// Each name and each amount of a list of resources.
pub fn list(list: Option<&Value>, path: &Path, errors: &mut Errors) {
    for (name, value) in entries(list.unwrap_or(&Value::Null), &[]) {
        let path = path.key(name);
        resource_name(name, &path, errors);
        amount(name, value, &path, errors);
    }
}

fn resource_name(name: &str, path: &Path, errors: &mut Errors) {
    known_name(name, path, errors);
    if !name.contains('/') {
        if !is_standard_for_containers(name) {
            let text = "must be a standard resource for containers";
            errors.push(Error::invalid(path.clone(), name, text));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(Error::invalid(path.clone(), name, "doesn't follow extended resource name standard"));
    }
}

/// A name with a domain that a quota can count.
fn is_extended(name: &str) -> bool {
    !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// A resource of a container, as the text at `path`.
pub fn container_resource_name(name: &Value, path: &Path, errors: &mut Errors) {
    resource_name(name.as_str().unwrap_or_default(), path, errors);
}

/// A name that is qualified, or that Kubernetes knows.
pub fn known_name(name: &str, path: &Path, errors: &mut Errors) {
    let wrong = names::qualified_name(name);
    let good = wrong.is_empty();
    errors.extend(wrong.into_iter().map(|text| Error::invalid(path.clone(), name, text)));
    if good && !name.contains('/') && !is_standard(name) {
        let text = "must be a standard resource type or fully qualified";
        errors.push(Error::invalid(path.clone(), name, text));
    }
}

fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage")
        || is_counted(name)
        || is_total(name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Objects that a quota counts.
fn is_counted(name: &str) -> bool {
    !name.contains('/') && is_integer(name)
}

/// `requests.cpu` and its like.
fn is_total(name: &str) -> bool {
    name.strip_prefix("requests.")
        .is_some_and(|rest| matches!(rest, "cpu" | "memory" | "storage" | "ephemeral-storage"))
        || name
            .strip_prefix("limits.")
            .is_some_and(|rest| matches!(rest, "cpu" | "memory" | "ephemeral-storage"))
}

/// A name without a domain that a ResourceQuota knows.
pub fn is_quota_name(name: &str) -> bool {
    name != "storage" && is_standard(name)
}

fn amount(name: &str, value: &Value, path: &Path, errors: &mut Errors) {
    let quantity = quantity(value);
    if quantity.sign() < 0 {
        let text = "must be greater than or equal to 0";
        errors.push(Error::invalid(path.clone(), quantity.to_string(), text));
    }
    if is_integer(name) && quantity.milli_value() % 1000 != 0 {
        errors.push(Error::invalid(path.clone(), quantity.to_string(), "must be an integer"));
    }
    if let Some(page) = name.strip_prefix("hugepages-").and_then(|size| size.parse::<Quantity>().ok())
        && (page.value() == 0 || quantity.value() % page.value() != 0)
    {
        let text = format!("{quantity} is not positive integer multiple of {name}");
        errors.push(Error::invalid(path.clone(), quantity.to_string(), text));
    }
}

/// `resources` of a container.
pub fn container(spec: &Value, container: &Value, path: &Path, errors: &mut Errors) {
    let Some(body) = container.get("resources") else { return };
    requirements(body, resource_name, path, errors);
    claims(spec, body, &path.child("claims"), errors);
}

type CheckName = fn(&str, &Path, &mut Errors);

fn requirements(body: &Value, resource_name: CheckName, path: &Path, errors: &mut Errors) {
    for (name, value) in entries(body, &["limits"]) {
        let path = path.child("limits").key(name);
        resource_name(name, &path, errors);
        amount(name, value, &path, errors);
    }
    let limits = resources(body.get("limits"));
    for (name, value) in entries(body, &["requests"]) {
        let request = quantity(value);
        let at = path.child("requests");
        resource_name(name, &at.key(name), errors);
        amount(name, value, &at.key(name), errors);
        match limits.get(name) {
            Some(limit) if request != *limit && !is_overcommit_allowed(name) => {
                let text = format!("must be equal to {name} limit of {limit}");
                errors.push(Error::invalid(at, request.to_string(), text));
            }
            Some(limit) if request > *limit => {
                let text = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(Error::invalid(at, request.to_string(), text));
            }
            None if !is_overcommit_allowed(name) => {
                let text = "Limit must be set for non overcommitable resources";
                errors.push(Error::required(path.child("limits"), text));
            }
            _ => {}
        }
    }
    let names = || entries(body, &["limits"]).chain(entries(body, &["requests"])).map(|(name, _)| name);
    if names().any(|name| name.starts_with("hugepages-"))
        && !names().any(|name| matches!(name, "cpu" | "memory"))
    {
        errors.push(Error::forbidden(path.clone(), "HugePages require cpu or memory"));
    }
}

fn claims(spec: &Value, body: &Value, path: &Path, errors: &mut Errors) {
    let known: Vec<&str> =
        items(spec, &["resourceClaims"]).iter().map(|claim| claim.str_at(&["name"])).collect();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (at, claim) in items(body, &["claims"]).iter().enumerate() {
        let path = path.index(at);
        let (name, request) = (claim.str_at(&["name"]), claim.str_at(&["request"]));
        if name.is_empty() {
            errors.push(Error::required(path, ""));
            continue;
        }
        // A claim without a request means all of them.
        if seen.contains(&(name, "")) {
            errors.push(Error::duplicate(path.clone(), name));
        } else {
            if !request.is_empty() {
                check::format(request, &path.child("request"), names::dns_label, errors);
            }
            if seen.contains(&(name, request)) {
                errors.push(Error::duplicate(path.clone(), format!("{name}/{request}")));
            } else if request.is_empty() {
                let of_claim = seen.iter().filter(|(other, _)| *other == name);
                errors.extend(of_claim.map(|_| Error::duplicate(path.clone(), name)));
            }
            seen.push((name, request));
        }
        if !known.contains(&name) {
            let mut error = Error::not_found(path, name);
            let mut sorted = known.clone();
            sorted.sort_unstable();
            error.detail = match sorted.is_empty() {
                true => "must be one of the names in pod.spec.resourceClaims which is empty".into(),
                false => {
                    format!("must be one of the names in pod.spec.resourceClaims: {}", sorted.join(", "))
                }
            };
            errors.push(error);
        }
    }
}

fn pod_resource_name(name: &str, path: &Path, errors: &mut Errors) {
    let before = errors.len();
    known_name(name, path, errors);
    if errors.len() == before && !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
        errors.push(Error::not_supported(path.clone(), name, &["cpu", "hugepages-", "memory"]));
    }
}

/// `spec.resources` (KEP-2837).
pub fn pod_level(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(body) = spec.get("resources").filter(|body| !body.is_null()) else { return };
    let path = path.child("resources");
    if !items(body, &["claims"]).is_empty() {
        let text = "claims may not be set for Resources at pod-level";
        errors.push(Error::forbidden(path.child("claims"), text));
    }
    requirements(body, pod_resource_name, &path, errors);
    claims(spec, body, &path.child("claims"), errors);
    let asked = resources(body.get("requests"));
    for (name, sum) in container_totals(spec, "requests") {
        if let Some(request) = asked.get(&name).filter(|request| sum > **request) {
            let text = format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.push(Error::invalid(path.child("requests").key(&name), request.to_string(), text));
        }
    }
    let most = resources(body.get("limits"));
    for (at, container) in items(spec, &["containers"]).iter().enumerate() {
        for (name, limit) in resources(container.at(&["resources", "limits"])) {
            if let Some(pod) = most.get(&name).filter(|pod| limit > **pod) {
                let path = path.child("containers").index(at).key(&name).child("limits");
                let text = format!("must be less than or equal to pod limits of {pod}");
                errors.push(Error::invalid(path, limit.to_string(), text));
            }
        }
    }
}
