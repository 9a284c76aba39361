//! Defaults of a Pod and of every pod template (upstream's pkg/apis/core/v1/defaults.go).

use crate::Value;
use crate::kinds::edit::{default, default_pointer, each, flag, has, inside, int, is_unset};
use crate::pod;
use crate::quantity::Quantity;

/// Of a PodTemplateSpec: what its pods' spec gets wherever it is embedded.
pub fn template(template: &mut Value) {
    inside(template, &["spec"], spec);
}

/// Of a PodSpec, in a Pod or a template.
pub fn spec(spec: &mut Value) {
    default(spec, "restartPolicy", "Always");
    default_pointer(spec, "terminationGracePeriodSeconds", 30i64);
    default(spec, "dnsPolicy", "ClusterFirst");
    mirror_service_account(spec);
    default_pointer(spec, "securityContext", Value::object());
    default(spec, "schedulerName", "default-scheduler");
    round(spec.get_mut("overhead"));
    each(spec, &["volumes"], volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, &[list], container);
    }
    inside(spec, &["resources"], |resources| {
        round(resources.get_mut("limits"));
        round(resources.get_mut("requests"));
    });
}

/// `serviceAccount` is an old name of `serviceAccountName`; upstream's conversion writes both.
pub fn mirror_service_account(spec: &mut Value) {
    if is_unset(spec.get("serviceAccountName")) {
        let old = spec.str_at(&["serviceAccount"]).to_string();
        if !old.is_empty() {
            spec.set(&["serviceAccountName"], old);
        }
    } else {
        let name = spec.str_at(&["serviceAccountName"]).to_string();
        spec.set(&["serviceAccount"], name);
    }
}

/// `podIP` and the first of `podIPs` are one field: where they differ, old kubelets' `podIP` counts.
pub fn addresses(pod: &mut Value) {
    let Some(status) = pod.get_mut("status") else { return };
    let one = status.str_at(&["podIP"]).to_string();
    let all = status.get("podIPs").and_then(Value::as_array).unwrap_or_default();
    let first = all.first().map(|first| first.str_at(&["ip"]).to_string());
    match first {
        Some(first) if one.is_empty() => status.set(&["podIP"], first),
        first if !one.is_empty() && first.as_ref() != Some(&one) => {
            let mut only = Value::object();
            only.set(&["ip"], one);
            status.set(&["podIPs"], vec![only]);
        }
        _ => {}
    }
}

/// Of a Pod, after [`spec`].
pub fn pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    // A pod's alone: in a template it stays what it is.
    if int(spec, &["terminationGracePeriodSeconds"]) < 0 {
        spec.set(&["terminationGracePeriodSeconds"], 1);
    }
    for list in ["containers", "initContainers"] {
        each(spec, &[list], |container| {
            inside(container, &["resources"], requests_from_limits);
        });
    }
    if has(spec, &["resources"]) {
        pod_level_resources(spec);
    }
    default_pointer(spec, "enableServiceLinks", true);
    if flag(spec, &["hostNetwork"]) {
        for list in ["containers", "initContainers"] {
            each(spec, &[list], |container| {
                each(container, &["ports"], |port| {
                    let number = int(port, &["containerPort"]);
                    default(port, "hostPort", number);
                });
            });
        }
    }
}

fn requests_from_limits(resources: &mut Value) {
    let Some(limits) = resources.get("limits").and_then(Value::as_map).cloned() else { return };
    for (name, limit) in limits {
        if !has(resources, &["requests", &name]) {
            resources.set(&["requests", &name], limit);
        }
    }
}

/// KEP-2837: requests of the pod follow its containers' requests, then its own limits.
fn pod_level_resources(spec: &mut Value) {
    let supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    let some = |spec: &Value, field: &str| {
        spec.at(&["resources", field]).and_then(Value::as_map).is_some_and(|map| !map.is_empty())
    };
    if !some(spec, "limits") && !some(spec, "requests") {
        return;
    }
    for (name, limit) in pod::container_totals(spec, "limits") {
        let set = has(spec, &["resources", "requests", &name]) || has(spec, &["resources", "limits", &name]);
        if name.starts_with("hugepages-") && !set {
            spec.set(&["resources", "limits", &name], limit.to_string());
        }
    }
    if !some(spec, "limits") {
        return;
    }
    for (name, request) in pod::container_totals(spec, "requests") {
        if matches!(name.as_str(), "cpu" | "memory") && !has(spec, &["resources", "requests", &name]) {
            spec.set(&["resources", "requests", &name], request.to_string());
        }
    }
    let limits = spec.at(&["resources", "limits"]).and_then(Value::as_map).cloned().unwrap_or_default();
    for (name, limit) in limits {
        if supported(&name) && !has(spec, &["resources", "requests", &name]) {
            spec.set(&["resources", "requests", &name], limit);
        }
    }
}

/// Quantities finer than a thousandth are rounded up (upstream issue 18538).
pub fn round(list: Option<&mut Value>) {
    for (_, value) in list.and_then(Value::as_map_mut).into_iter().flat_map(|map| map.iter_mut()) {
        let Some(quantity) = value.as_str().and_then(|text| text.parse::<Quantity>().ok()) else { continue };
        let milli = quantity.milli_value();
        let rounded = Quantity::from_milli(milli, quantity.format());
        if milli < i64::MAX && rounded != quantity {
            *value = rounded.to_string().into();
        }
    }
}

fn container(container: &mut Value) {
    each(container, &["env"], |variable| {
        inside(variable, &["valueFrom", "fieldRef"], field_ref);
    });
    inside(container, &["resources"], |resources| {
        round(resources.get_mut("limits"));
        round(resources.get_mut("requests"));
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        inside(container, &[name], probe);
    }
    for name in ["postStart", "preStop"] {
        inside(container, &["lifecycle", name, "httpGet"], http_get);
    }
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    let policy = pull_policy(container.str_at(&["image"]));
    default(container, "imagePullPolicy", policy);
}

/// `Always` for an image with the tag `latest` or none, unless it has a digest.
pub fn pull_policy(image: &str) -> &'static str {
    // A name that is too long is no reference either.
    if image.is_empty() || image.len() > 255 || image.chars().any(|letter| letter.is_whitespace()) {
        return "IfNotPresent";
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    // A name with upper-case letters is no reference; upstream's parser then gives no tag.
    let path = name.split_once(':').map_or(name, |(path, _)| path);
    let is_repository = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_domain = name.split_once('/').is_some_and(|(domain, _)| {
        domain.contains(['.', ':']) || domain == "localhost" || !is_repository(domain)
    });
    let repository = if has_domain { name.split_once('/').map_or("", |(_, rest)| rest) } else { path };
    if !is_repository(repository.split(':').next().unwrap_or(repository)) {
        return "IfNotPresent";
    }
    match last.split_once(':') {
        Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
        None if digest.is_some() => "IfNotPresent",
        None => "Always",
    }
}

fn probe(probe: &mut Value) {
    inside(probe, &["httpGet"], http_get);
    default(probe, "timeoutSeconds", 1i64);
    default(probe, "periodSeconds", 10i64);
    default(probe, "successThreshold", 1i64);
    default(probe, "failureThreshold", 3i64);
}

fn http_get(action: &mut Value) {
    default(action, "path", "/");
    default(action, "scheme", "HTTP");
}

fn field_ref(selector: &mut Value) {
    default(selector, "apiVersion", "v1");
}

/// 0644
const MODE: i64 = 420;

fn volume(volume: &mut Value) {
    let sourced =
        volume.as_map().is_some_and(|map| map.iter().any(|(key, value)| key != "name" && !value.is_null()));
    if !sourced {
        volume.set(&["emptyDir"], Value::object());
    }
    inside(volume, &["image"], |image| {
        let policy = pull_policy(image.str_at(&["reference"]));
        default(image, "pullPolicy", policy);
    });
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        inside(volume, &[source], |source| default_pointer(source, "defaultMode", MODE));
    }
    let downward = |source: &mut Value| {
        each(source, &["items"], |item| inside(item, &["fieldRef"], field_ref));
    };
    inside(volume, &["downwardAPI"], downward);
    each(volume, &["projected", "sources"], |source| {
        inside(source, &["downwardAPI"], downward);
        inside(source, &["serviceAccountToken"], |token| {
            default_pointer(token, "expirationSeconds", 3600i64)
        });
    });
    inside(volume, &["hostPath"], |source| default_pointer(source, "type", ""));
    inside(volume, &["ephemeral", "volumeClaimTemplate", "spec"], |claim| {
        default_pointer(claim, "volumeMode", "Filesystem");
        inside(claim, &["resources"], |resources| {
            round(resources.get_mut("limits"));
            round(resources.get_mut("requests"));
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("localhost:5000/nginx", "Always"),
            ("localhost:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", "IfNotPresent"),
            ("Nginx", "IfNotPresent"),
            ("", "IfNotPresent"),
        ];
        for (image, expected) in cases {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }
}
