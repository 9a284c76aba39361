//! Containers: names, images, ports, environment, mounts, probes, hooks, restart rules.

use std::collections::BTreeSet;

use super::{Scope, resources, security, volume};
use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{flag, has, int, list};
use crate::pod::is_sidecar;
use crate::validation::check::{self, Errors};
use crate::validation::names;

pub fn containers(scope: &Scope<'_>, path: &Path, errors: &mut Errors) {
    let containers = list(scope.spec, &["containers"]);
    if containers.is_empty() {
        return errors.push(Error::required(path.clone(), ""));
    }
    let mut seen = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        let path = path.index(at);
        common(scope, container, &path, errors);
        let name = container.str_at(&["name"]);
        if !seen.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        lifecycle_and_probes(scope, container, &path, errors);
        restart_policy(container, &path, errors);
    }
    for (at, container) in containers.iter().enumerate() {
        host_ports(container, &path.index(at), &mut ports, errors);
    }
}

pub fn init_containers(scope: &Scope<'_>, path: &Path, errors: &mut Errors) {
    let mut seen: BTreeSet<&str> =
        list(scope.spec, &["containers"]).iter().map(|container| container.str_at(&["name"])).collect();
    for (at, container) in list(scope.spec, &["initContainers"]).iter().enumerate() {
        let path = path.index(at);
        common(scope, container, &path, errors);
        match has(container, &["restartPolicy"]) {
            true => restart_policy(container, &path, errors),
            false if list(container, &["restartPolicyRules"]).is_empty() => {}
            false => {
                let text = "must specify restartPolicy when restart rules are used";
                errors.push(Error::required(path.child("restartPolicy"), text));
            }
        }
        let name = container.str_at(&["name"]);
        if !seen.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        host_ports(container, &path, &mut BTreeSet::new(), errors);
        if is_sidecar(container) {
            lifecycle_and_probes(scope, container, &path, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if has(container, &[field]) {
                let text = "may not be set for init containers without restartPolicy=Always";
                errors.push(Error::forbidden(path.child(field), text));
            }
        }
        for (at, policy) in list(container, &["resizePolicy"]).iter().enumerate() {
            if policy.str_at(&["restartPolicy"]) == "RestartContainer" {
                let path = path.child("resizePolicy").index(at).child("restartPolicy");
                let text = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(Error::invalid(path, "RestartContainer", text));
            }
        }
    }
}

/// Fields that an ephemeral container may not set (upstream's allow list, turned round).
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

pub fn ephemeral_containers(scope: &Scope<'_>, path: &Path, errors: &mut Errors) {
    let others = list(scope.spec, &["containers"]).iter().chain(list(scope.spec, &["initContainers"]));
    let others: BTreeSet<&str> = others.map(|container| container.str_at(&["name"])).collect();
    let mut seen = BTreeSet::new();
    for (at, container) in list(scope.spec, &["ephemeralContainers"]).iter().enumerate() {
        let path = path.index(at);
        common(scope, container, &path, errors);
        let name = container.str_at(&["name"]);
        if others.contains(name) || !seen.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        let target = container.str_at(&["targetContainerName"]);
        if !target.is_empty() && !others.contains(target) {
            errors.push(Error::not_found(path.child("targetContainerName"), target));
        }
        for field in NOT_EPHEMERAL {
            let set = container.get(field).is_some_and(|value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => field != "resources" || !map.is_empty(),
                _ => true,
            });
            if set {
                errors.push(Error::forbidden(path.child(field), "cannot be set for an Ephemeral Container"));
            }
        }
        for (at, mount) in list(container, &["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.str_at(&[field]).is_empty() {
                    let path = path.child("volumeMounts").index(at).child(field);
                    errors.push(Error::forbidden(path, "cannot be set for an Ephemeral Container"));
                }
            }
        }
    }
}

fn common(scope: &Scope<'_>, container: &Value, path: &Path, errors: &mut Errors) {
    check::required_format(container.str_at(&["name"]), &path.child("name"), names::dns_label, errors);
    check::required(container, path, "image", errors);
    check::required_one_of(
        container.str_at(&["terminationMessagePolicy"]),
        path.child("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
        errors,
    );
    ports(list(container, &["ports"]), &path.child("ports"), errors);
    env(list(container, &["env"]), &path.child("env"), errors);
    env_from(list(container, &["envFrom"]), &path.child("envFrom"), errors);
    volume::mounts(scope, container, &path.child("volumeMounts"), errors);
    volume::devices(scope, container, &path.child("volumeDevices"), errors);
    check::required_one_of(
        container.str_at(&["imagePullPolicy"]),
        path.child("imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        errors,
    );
    resources::container(scope.spec, container, &path.child("resources"), errors);
    resize_policy(scope, list(container, &["resizePolicy"]), &path.child("resizePolicy"), errors);
    let host_users = scope.spec.get("hostUsers").and_then(Value::as_bool).unwrap_or(true);
    security::container(container.get("securityContext"), host_users, &path.child("securityContext"), errors);
}

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

fn ports(ports: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = path.index(at);
        let name = port.str_at(&["name"]);
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !seen.insert(name) {
                errors.push(Error::duplicate(path.child("name"), name));
            }
            for reason in wrong {
                errors.push(Error::invalid(path.child("name"), name, reason));
            }
        }
        let number = int(port, &["containerPort"]);
        if number == 0 {
            errors.push(Error::required(path.child("containerPort"), ""));
        } else {
            check::port(Some(&Value::Int(number)), &path.child("containerPort"), errors);
        }
        let host = int(port, &["hostPort"]);
        if host != 0 {
            check::port(Some(&Value::Int(host)), &path.child("hostPort"), errors);
        }
        check::required_one_of(port.str_at(&["protocol"]), path.child("protocol"), &PROTOCOLS, errors);
    }
}

fn host_ports(container: &Value, path: &Path, seen: &mut BTreeSet<String>, errors: &mut Errors) {
    for (at, port) in list(container, &["ports"]).iter().enumerate() {
        let host = int(port, &["hostPort"]);
        let text = format!("{}/{}/{host}", port.str_at(&["protocol"]), port.str_at(&["hostIP"]));
        if host != 0 && !seen.insert(text.clone()) {
            errors.push(Error::duplicate(path.child("ports").index(at).child("hostPort"), text));
        }
    }
}

fn env(variables: &[Value], path: &Path, errors: &mut Errors) {
    for (at, variable) in variables.iter().enumerate() {
        let path = path.index(at);
        check::required_format(variable.str_at(&["name"]), &path.child("name"), names::env_name, errors);
        let Some(source) = variable.get("valueFrom").filter(|source| !source.is_null()) else { continue };
        env_source(source, !variable.str_at(&["value"]).is_empty(), &path.child("valueFrom"), errors);
    }
}

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn env_source(source: &Value, has_value: bool, path: &Path, errors: &mut Errors) {
    let mut sources = 0;
    let mut each = |field: &str, check: &mut dyn FnMut(&Value, Path)| {
        if let Some(value) = source.get(field).filter(|value| !value.is_null()) {
            sources += 1;
            check(value, path.child(field));
        }
    };
    each("fieldRef", &mut |value, path| field_ref(value, &ENV_FIELDS, &path, errors));
    each("resourceFieldRef", &mut |value, path| resource_ref(value, false, &path, errors));
    for field in ["configMapKeyRef", "secretKeyRef"] {
        each(field, &mut |value, path| {
            check::format(value.str_at(&["name"]), &path.child("name"), names::dns_subdomain, errors);
            check::required_format(value.str_at(&["key"]), &path.child("key"), names::config_key, errors);
        });
    }
    each("fileKeyRef", &mut |value, path| {
        check::required_format(value.str_at(&["key"]), &path.child("key"), names::env_name, errors);
        check::required_format(
            value.str_at(&["volumeName"]),
            &path.child("volumeName"),
            names::dns_label,
            errors,
        );
        if !check::required(value, &path, "path", errors).is_empty() {
            volume::no_backsteps(value.str_at(&["path"]), &path.child("path"), errors);
        }
    });
    let text = match sources {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if has_value => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(Error::invalid(path.clone(), "", text));
}

/// A reference to a field of the pod (downward API).
pub fn field_ref(selector: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in ["apiVersion", "fieldPath"] {
        if selector.str_at(&[field]).is_empty() {
            return errors.push(Error::required(path.child(field), ""));
        }
    }
    let field = selector.str_at(&["fieldPath"]);
    let known = |field: &str| {
        matches!(
            field,
            "metadata.annotations"
                | "metadata.labels"
                | "metadata.name"
                | "metadata.namespace"
                | "metadata.uid"
                | "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.serviceAccountName"
                | "spec.schedulerName"
                | "status.phase"
                | "status.hostIP"
                | "status.hostIPs"
                | "status.podIP"
                | "status.podIPs"
                | "spec.host"
        )
    };
    let subscript = field.strip_suffix("']").and_then(|text| text.split_once("['"));
    let bad = |text: String| {
        Error::invalid(path.child("fieldPath"), field, format!("error converting fieldPath: {text}"))
    };
    if selector.str_at(&["apiVersion"]) != "v1" {
        return errors.push(bad(format!("unsupported pod version: {}", selector.str_at(&["apiVersion"]))));
    }
    match subscript {
        Some(("metadata.annotations", key)) => {
            check::format(&key.to_lowercase(), path, names::qualified_name, errors);
        }
        Some(("metadata.labels", key)) => check::format(key, path, names::qualified_name, errors),
        Some(_) => errors.push(bad(format!("field label does not support subscript: {field}"))),
        None if !known(field) => errors.push(bad(format!("field label not supported: {field}"))),
        None if !fields.contains(&field) => {
            errors.push(Error::not_supported(path.child("fieldPath"), field, fields));
        }
        None => {}
    }
}

const RESOURCE_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// A reference to a container's request or limit (downward API).
pub fn resource_ref(selector: &Value, in_volume: bool, path: &Path, errors: &mut Errors) {
    let resource = selector.str_at(&["resource"]);
    let huge = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if in_volume && selector.str_at(&["containerName"]).is_empty() {
        errors.push(Error::required(path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(Error::required(path.child("resource"), ""));
    } else if !RESOURCE_FIELDS.contains(&resource) && !huge {
        errors.push(Error::not_supported(path.child("resource"), resource, &RESOURCE_FIELDS));
    }
    let divisor = selector.str_at(&["divisor"]);
    if divisor.is_empty() || divisor == "0" {
        return;
    }
    let text = match resource {
        "limits.cpu" | "requests.cpu" if !["1m", "1"].contains(&divisor) => {
            "only divisor's values 1m and 1 are supported with the cpu resource".into()
        }
        "limits.cpu" | "requests.cpu" => return,
        _ if BYTE_DIVISORS.contains(&divisor) => return,
        _ => {
            let what = match resource {
                "limits.memory" | "requests.memory" => "memory",
                _ if huge => "hugepages",
                "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
                _ => return,
            };
            format!(
                "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the \
                 {what} resource"
            )
        }
    };
    errors.push(Error::invalid(path.child("divisor"), resource, text));
}

fn env_from(sources: &[Value], path: &Path, errors: &mut Errors) {
    for (at, source) in sources.iter().enumerate() {
        let inner = path.index(at);
        let prefix = source.str_at(&["prefix"]);
        if !prefix.is_empty() {
            check::format(prefix, &inner.child("prefix"), names::env_name, errors);
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            let Some(reference) = source.get(field).filter(|value| !value.is_null()) else { continue };
            count += 1;
            let path = inner.child(field).child("name");
            check::required_format(reference.str_at(&["name"]), &path, names::dns_subdomain, errors);
        }
        let text = match count {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        errors.push(Error::invalid(path.clone(), "", text));
    }
}

fn lifecycle_and_probes(scope: &Scope<'_>, container: &Value, path: &Path, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container.at(&["lifecycle", hook]).filter(|handler| !handler.is_null()) {
            let path = path.child("lifecycle").child(hook);
            self::handler(handler, &["exec", "httpGet", "tcpSocket", "sleep"], scope.grace, &path, errors);
        }
    }
    if has(container, &["lifecycle", "stopSignal"]) && !has(scope.spec, &["os"]) {
        let path = path.child("lifecycle").child("stopSignal");
        errors.push(Error::forbidden(path, "may not be set for containers with empty `spec.os.name`"));
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get(name).filter(|probe| !probe.is_null()) else { continue };
        let path = path.child(name);
        handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], scope.grace, &path, errors);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            check::nonnegative(probe, &path, field, errors);
        }
        let grace = probe.get("terminationGracePeriodSeconds").and_then(Value::as_int);
        if let Some(grace) = grace.filter(|grace| *grace <= 0) {
            errors.push(Error::invalid(
                path.child("terminationGracePeriodSeconds"),
                grace,
                "must be greater than 0",
            ));
        }
        if name == "readinessProbe" {
            if let Some(grace) = grace {
                let text = "must not be set for readinessProbes";
                errors.push(Error::invalid(path.child("terminationGracePeriodSeconds"), grace, text));
            }
        } else if int(probe, &["successThreshold"]) != 1 {
            let threshold = int(probe, &["successThreshold"]);
            errors.push(Error::invalid(path.child("successThreshold"), threshold, "must be 1"));
        }
    }
}

fn handler(handler: &Value, kinds: &[&str], grace: Option<i64>, path: &Path, errors: &mut Errors) {
    let mut found = 0;
    for kind in kinds {
        let Some(action) = handler.get(kind).filter(|action| !action.is_null()) else { continue };
        let path = path.child(kind);
        found += 1;
        if found > 1 {
            errors.push(Error::forbidden(path, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" => {
                if list(action, &["command"]).is_empty() {
                    errors.push(Error::required(path.child("command"), ""));
                }
            }
            "httpGet" => {
                check::required(action, &path, "path", errors);
                check::port(action.get("port"), &path.child("port"), errors);
                check::one_of(action.str_at(&["scheme"]), path.child("scheme"), &["HTTP", "HTTPS"], errors);
                for header in list(action, &["httpHeaders"]) {
                    check::format(
                        header.str_at(&["name"]),
                        &path.child("httpHeaders"),
                        names::http_header,
                        errors,
                    );
                }
            }
            "sleep" => {
                let seconds = int(action, &["seconds"]);
                if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
                    let text =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.push(Error::invalid(path, seconds, text));
                }
            }
            _ => check::port(action.get("port"), &path.child("port"), errors),
        }
    }
    if found == 0 {
        errors.push(Error::required(path.clone(), "must specify a handler type"));
    }
}

fn resize_policy(scope: &Scope<'_>, policies: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, policy) in policies.iter().enumerate() {
        let (resource, restart) = (policy.str_at(&["resourceName"]), policy.str_at(&["restartPolicy"]));
        if !seen.insert(resource) {
            errors.push(Error::duplicate(path.index(at), resource));
        }
        check::required_one_of(resource, path.clone(), &["cpu", "memory"], errors);
        check::required_one_of(restart, path.clone(), &["NotRequired", "RestartContainer"], errors);
        if scope.spec.str_at(&["restartPolicy"]) == "Never" && restart != "NotRequired" {
            let text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(path.clone(), restart, text));
        }
    }
}

/// Restart policy and rules of one container (KEP-5307).
fn restart_policy(container: &Value, path: &Path, errors: &mut Errors) {
    let rules = list(container, &["restartPolicyRules"]);
    match container.get("restartPolicy").and_then(Value::as_str) {
        None if rules.is_empty() => return,
        None => {
            let text = "must specify restartPolicy when restart rules are used";
            errors.push(Error::required(path.child("restartPolicy"), text));
        }
        Some(policy) => {
            check::one_of(policy, path.child("restartPolicy"), &["Always", "Never", "OnFailure"], errors);
        }
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > 20 {
        errors.push(Error::too_many(path.clone(), rules.len(), 20));
    }
    for (at, rule) in rules.iter().enumerate() {
        let path = path.index(at);
        let actions = ["Restart", "RestartAllContainers"];
        check::one_of(rule.str_at(&["action"]), path.child("action"), &actions, errors);
        if !has(rule, &["exitCodes"]) {
            errors.push(Error::required(path.child("exitCodes"), "must be specified"));
            continue;
        }
        let path = path.child("exitCodes");
        let operator = rule.str_at(&["exitCodes", "operator"]);
        check::one_of(operator, path.child("operator"), &["In", "NotIn"], errors);
        let codes = list(rule, &["exitCodes", "values"]).len();
        if codes > 255 {
            errors.push(Error::too_many(path.child("values"), codes, 255));
        }
    }
}

/// The volumes that `fileKeyRef` names are there and are emptyDirs.
pub fn file_key_volumes(spec: &Value, path: &Path, errors: &mut Errors) {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for (at, container) in list(spec, &[field]).iter().enumerate() {
            for (env, variable) in list(container, &["env"]).iter().enumerate() {
                let Some(reference) =
                    variable.at(&["valueFrom", "fileKeyRef"]).filter(|value| !value.is_null())
                else {
                    continue;
                };
                let name = reference.str_at(&["volumeName"]);
                let path = path.child(field).index(at).child("env").index(env);
                let path = path.child("valueFrom").child("fileKeyRef").child("volumeName");
                match list(spec, &["volumes"]).iter().find(|volume| volume.str_at(&["name"]) == name) {
                    None => errors.push(Error::not_found(path, name)),
                    Some(volume) if !has(volume, &["emptyDir"]) => {
                        let text = "referenced volume must be of type emptyDir";
                        errors.push(Error::invalid(path, name, text));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// The container runs with all rights.
pub(super) fn is_privileged(container: &Value) -> bool {
    flag(container, &["securityContext", "privileged"])
}
