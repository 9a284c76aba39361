//! Validation of a PodSpec, in a Pod and in every template.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{entries, flag, has, int, list};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};

pub mod container;
pub mod resources;
pub mod scheduling;
pub mod security;
pub mod volume;
mod windows;

pub use scheduling::node_selector;
pub use volume::HOST_PATH_TYPES;

/// What a pod's containers are checked against.
pub struct Scope<'a> {
    pub spec: &'a Value,
    /// Names of good volumes, with their sources.
    pub volumes: Vec<(&'a str, &'a Value)>,
    pub grace: Option<i64>,
}

/// A new Pod, its metadata aside.
pub fn create(pod: &Value, errors: &mut Errors) {
    pod_and_spec(pod, errors);
    let path = Path::new("spec");
    if !list(pod, &["spec", "ephemeralContainers"]).is_empty() {
        errors.push(Error::forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !pod.str_at(&["spec", "nodeName"]).is_empty() && !list(pod, &["spec", "schedulingGates"]).is_empty() {
        let text = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden(path.child("nodeName"), text));
    }
}

/// What holds for a Pod at any time.
pub fn pod_and_spec(pod: &Value, errors: &mut Errors) {
    annotations(pod, &Path::new("metadata").child("annotations"), pod.str_at(&["spec", "nodeName"]), errors);
    let path = Path::new("spec");
    let Some(body) = pod.get("spec") else {
        errors.push(Error::required(path.child("containers"), ""));
        return;
    };
    spec(body, &path, Some(pod.str_at(&["metadata", "name"])), true, errors);
    if body.str_at(&["serviceAccountName"]).is_empty() {
        for (at, volume) in list(body, &["volumes"]).iter().enumerate() {
            for (source, projection) in list(volume, &["projected", "sources"]).iter().enumerate() {
                if has(projection, &["serviceAccountToken"]) {
                    let path =
                        path.child("volumes").index(at).child("projected").child("sources").index(source);
                    let text = "must not be specified when serviceAccountName is not set";
                    errors.push(Error::forbidden(path.child("serviceAccountToken"), text));
                }
            }
        }
    }
    for field in ["containers", "initContainers"] {
        for (at, container) in list(body, &[field]).iter().enumerate() {
            let image = container.str_at(&["image"]);
            if image != image.trim() {
                let text = "must not have leading or trailing whitespace";
                errors.push(Error::invalid(path.child(field).index(at).child("image"), image, text));
            }
        }
    }
}

/// A PodTemplateSpec.
pub fn template(template: &Value, path: &Path, errors: &mut Errors) {
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    meta::validate_labels(metadata.get("labels"), &path.child("labels"), errors);
    meta::validate_annotations(metadata.get("annotations"), &path.child("annotations"), errors);
    annotations(template, &path.child("annotations"), template.str_at(&["spec", "nodeName"]), errors);
    let path = path.child("spec");
    let empty = Value::object();
    let body = template.get("spec").unwrap_or(&empty);
    spec(body, &path, None, false, errors);
    if !list(body, &["ephemeralContainers"]).is_empty() {
        let text = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(path.child("ephemeralContainers"), text));
    }
}

fn annotations(object: &Value, path: &Path, node: &str, errors: &mut Errors) {
    for (key, value) in entries(object, &["metadata", "annotations"]) {
        let value = value.as_str().unwrap_or_default();
        match key {
            "kubernetes.io/config.mirror" if node.is_empty() => {
                let text = "must set spec.nodeName if mirror pod annotation is set";
                errors.push(Error::invalid(path.key(key), value, text));
            }
            "controller.kubernetes.io/pod-deletion-cost" if !is_deletion_cost(value) => {
                errors.push(Error::invalid(path.key(key), value, "must be a 32bit integer"));
            }
            _ => {}
        }
    }
}

fn is_deletion_cost(text: &str) -> bool {
    let odd = text.starts_with('+') || (text.len() > 1 && text.starts_with('0'));
    !odd && text.parse::<i32>().is_ok()
}

/// The spec. `pod` is the pod's name, `None` in a template.
pub fn spec(spec: &Value, path: &Path, pod: Option<&str>, is_pod: bool, errors: &mut Errors) {
    if !has(spec, &["terminationGracePeriodSeconds"]) {
        errors.push(Error::required(path.child("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volume::volumes(list(spec, &["volumes"]), pod, is_pod, &path.child("volumes"), errors);
    let grace = spec.get("terminationGracePeriodSeconds").and_then(Value::as_int);
    let scope = Scope { spec, volumes, grace };
    resource_claims(list(spec, &["resourceClaims"]), &path.child("resourceClaims"), errors);
    container::containers(&scope, &path.child("containers"), errors);
    container::init_containers(&scope, &path.child("initContainers"), errors);
    container::ephemeral_containers(&scope, &path.child("ephemeralContainers"), errors);
    resources::pod_level(spec, path, errors);
    host_network_ports(spec, path, is_pod, errors);
    let policies = ["Always", "OnFailure", "Never"];
    check::required_one_of(spec.str_at(&["restartPolicy"]), path.child("restartPolicy"), &policies, errors);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    check::required_one_of(spec.str_at(&["dnsPolicy"]), path.child("dnsPolicy"), &policies, errors);
    meta::validate_labels(spec.get("nodeSelector"), &path.child("nodeSelector"), errors);
    security::pod(spec, &path.child("securityContext"), errors);
    scheduling::affinity(spec.get("affinity"), &path.child("affinity"), errors);
    dns_config(spec, &path.child("dnsConfig"), errors);
    for (at, gate) in list(spec, &["readinessGates"]).iter().enumerate() {
        let path = path.child("readinessGates").index(at).child("conditionType");
        check::format(gate.str_at(&["conditionType"]), &path, names::qualified_name, errors);
    }
    scheduling::gates(list(spec, &["schedulingGates"]), &path.child("schedulingGates"), errors);
    scheduling::spread(
        list(spec, &["topologySpreadConstraints"]),
        &path.child("topologySpreadConstraints"),
        errors,
    );
    windows::host_process(spec, path, errors);
    host_users(spec, path, errors);
    hostname_override(spec, path, errors);
    for (field, format) in [
        ("serviceAccountName", names::dns_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
    ] {
        let text = spec.str_at(&[field]);
        if !text.is_empty() {
            check::format(text, &path.child(field), format, errors);
        }
    }
    check::in_range(spec, path, "activeDeadlineSeconds", 1, i64::from(i32::MAX), errors);
    scheduling::tolerations(list(spec, &["tolerations"]), &path.child("tolerations"), errors);
    for (at, alias) in list(spec, &["hostAliases"]).iter().enumerate() {
        let path = path.child("hostAliases").index(at);
        check::format(alias.str_at(&["ip"]), &path.child("ip"), names::ip, errors);
        for (at, name) in list(alias, &["hostnames"]).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            check::format(name, &path.child("hostnames").index(at), names::dns_subdomain, errors);
        }
    }
    for field in ["priorityClassName", "runtimeClassName"] {
        let name = spec.str_at(&[field]);
        if !name.is_empty() {
            check::format(name, &path.child(field), names::dns_subdomain, errors);
        }
    }
    check::optional_one_of(spec, path, "preemptionPolicy", &["PreemptLowerPriority", "Never"], errors);
    resources::list(spec.get("overhead"), &path.child("overhead").child("limits"), errors);
    if has(spec, &["os"]) {
        let (name, path) = (spec.str_at(&["os", "name"]), path.child("os"));
        let at = if name.is_empty() { path.child("name") } else { path };
        check::required_one_of(name, at, &["linux", "windows"], errors);
    }
    match spec.str_at(&["os", "name"]) {
        "linux" => windows::linux(spec, path, errors),
        "windows" => windows::windows(spec, path, errors),
        _ => {}
    }
    container::file_key_volumes(spec, path, errors);
}

/// Claims for devices (KEP-4381).
fn resource_claims(claims: &[Value], path: &Path, errors: &mut Errors) {
    for (at, claim) in claims.iter().enumerate() {
        let path = path.index(at);
        let name = claim.str_at(&["name"]);
        if name.is_empty() {
            errors.push(Error::required(path.child("name"), ""));
        } else if claims[..at].iter().any(|other| other.str_at(&["name"]) == name) {
            errors.push(Error::duplicate(path.child("name"), name));
        } else {
            check::format(name, &path.child("name"), names::dns_label, errors);
        }
        let text = match (has(claim, &["resourceClaimName"]), has(claim, &["resourceClaimTemplateName"])) {
            (true, true) => {
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            }
            (false, false) => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            _ => "",
        };
        if !text.is_empty() {
            errors.push(Error::invalid(path.clone(), claim.clone(), text));
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim.get(field).and_then(Value::as_str) {
                check::format(name, &path.child(field), names::dns_subdomain, errors);
            }
        }
    }
}

fn host_network_ports(spec: &Value, path: &Path, is_pod: bool, errors: &mut Errors) {
    if !flag(spec, &["hostNetwork"]) {
        return;
    }
    for (at, container) in list(spec, &["containers"]).iter().enumerate() {
        for (port_at, port) in list(container, &["ports"]).iter().enumerate() {
            let (host, inside) = (int(port, &["hostPort"]), int(port, &["containerPort"]));
            if (is_pod || host != 0) && host != inside {
                let path = path.child("containers").index(at).child("ports").index(port_at).child("hostPort");
                let text = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(path, host, text));
            }
        }
    }
}

fn dns_config(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = spec.get("dnsConfig").filter(|config| !config.is_null());
    let servers = config.map(|config| list(config, &["nameservers"])).unwrap_or_default();
    if spec.str_at(&["dnsPolicy"]) == "None" {
        if config.is_none() {
            let text = "must provide `dnsConfig` when `dnsPolicy` is None";
            return errors.push(Error::required(path.clone(), text));
        }
        if servers.is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.push(Error::required(path.child("nameservers"), text));
        }
    }
    let Some(config) = config else { return };
    if servers.len() > 3 {
        let path = path.child("nameservers");
        errors.push(Error::invalid(path, servers.to_vec(), "must not have more than 3 nameservers"));
    }
    for (at, server) in servers.iter().enumerate() {
        check::format(
            server.as_str().unwrap_or_default(),
            &path.child("nameservers").index(at),
            names::ip,
            errors,
        );
    }
    let searches = list(config, &["searches"]);
    let length: usize =
        searches.iter().filter_map(Value::as_str).map(|text| text.len() + 1).sum::<usize>().saturating_sub(1);
    if searches.len() > 32 {
        let text = "must not have more than 32 search paths";
        errors.push(Error::invalid(path.child("searches"), searches.to_vec(), text));
    }
    if length > 2048 {
        let text = "must not have more than 2048 characters (including spaces) in the search list";
        errors.push(Error::invalid(path.child("searches"), searches.to_vec(), text));
    }
    for (at, search) in
        searches.iter().filter_map(Value::as_str).enumerate().filter(|(_, search)| *search != ".")
    {
        let search = search.strip_suffix('.').unwrap_or(search);
        check::format(search, &path.child("searches").index(at), names::dns_search, errors);
    }
    for (at, option) in list(config, &["options"]).iter().enumerate() {
        if option.str_at(&["name"]).is_empty() {
            errors.push(Error::required(path.child("options").index(at), "must not be empty"));
        }
    }
}

fn host_users(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.get("hostUsers").and_then(Value::as_bool) != Some(false) {
        return;
    }
    // The letter case is upstream's.
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, &[field]) {
            errors.push(Error::forbidden(path.child(shown), "when `hostUsers` is false"));
        }
    }
}

fn hostname_override(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(name) = spec.get("hostnameOverride").and_then(Value::as_str) else { return };
    let path = path.child("hostnameOverride");
    if flag(spec, &["setHostnameAsFQDN"]) {
        errors.push(Error::forbidden(path.clone(), "may not be specified when setHostnameAsFQDN is true"));
    }
    if flag(spec, &["hostNetwork"]) {
        errors.push(Error::forbidden(path.clone(), "may not be specified when hostNetwork is true"));
    }
    if name.len() > 64 {
        errors.push(Error::too_long(path.clone(), 64));
    }
    check::format(name, &path, names::dns_subdomain, errors);
}
