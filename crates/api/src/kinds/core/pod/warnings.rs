//! Warnings for a Pod or a template: what is taken, but does not do what its author may think.

use crate::Value;
use crate::field::Path;
use crate::kinds::edit::{entries, has, int, list};
use crate::pod::quantity;

const VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const ANNOTATIONS: [(&str, &str); 4] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "seccomp.security.alpha.kubernetes.io/pod",
        "non-functional in v1.27+; use the \"seccompProfile\" field instead",
    ),
];

/// `object` has `metadata` and `spec`; `root` is its path, empty for a Pod.
pub fn spec(object: &Value, root: &str, texts: &mut Vec<String>) {
    let root = Path::new(root);
    let path = root.child("spec");
    let empty = Value::object();
    let body = object.get("spec").unwrap_or(&empty);
    for (at, constraint) in list(body, &["topologySpreadConstraints"]).iter().enumerate() {
        if !has(constraint, &["labelSelector"]) {
            let path = path.child("topologySpreadConstraints").index(at).child("labelSelector");
            texts.push(format!("{path}: a null labelSelector results in matching no pod"));
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = path.child("affinity").child(kind);
        for (field, inner) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", &[][..]),
            ("preferredDuringSchedulingIgnoredDuringExecution", &["podAffinityTerm"]),
        ] {
            for (at, term) in list(body, &["affinity", kind, field]).iter().enumerate() {
                let path = path.child(field).index(at);
                if !has(term, &[inner, &["labelSelector"]].concat()) {
                    let path =
                        inner.iter().fold(path, |path, field| path.child(field)).child("labelSelector");
                    texts.push(format!("{path}: a null labelSelector results in matching no pod"));
                }
            }
        }
    }
    for (key, text) in ANNOTATIONS {
        if has(object, &["metadata", "annotations", key]) {
            texts.push(format!("{}: {text}", root.child("metadata").child("annotations").key(key)));
        }
    }
    for (at, volume) in list(body, &["volumes"]).iter().enumerate() {
        for (kind, text) in VOLUMES {
            if has(volume, &[kind]) {
                texts.push(format!("{}: {text}", path.child("volumes").index(at).child(kind)));
            }
        }
    }
    for volume in list(body, &["volumes"]) {
        overlapping_files(volume, texts);
    }
    doubled(list(body, &["hostAliases"]), "ip", &path.child("hostAliases"), texts);
    doubled(list(body, &["imagePullSecrets"]), "name", &path.child("imagePullSecrets"), texts);
    for (at, secret) in list(body, &["imagePullSecrets"]).iter().enumerate() {
        if secret.str_at(&["name"]).is_empty() {
            let path = path.child("imagePullSecrets").index(at).child("name");
            texts.push(format!("{path}: invalid empty name \"\""));
        }
    }
    let mut ports: Vec<(Path, &Value)> = Vec::new();
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for (at, container) in list(body, &[field]).iter().enumerate() {
            let path = path.child(field).index(at);
            fractional(container, &path, texts);
            hidden_env(list(container, &["env"]), &path.child("env"), texts);
            for (at, port) in list(container, &["ports"]).iter().enumerate() {
                ports.push((path.child("ports").index(at), port));
            }
        }
    }
    overlapping_ports(&ports, texts);
    if int(body, &["terminationGracePeriodSeconds"]) < 0 {
        let path = path.child("terminationGracePeriodSeconds");
        texts.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
}

fn doubled(items: &[Value], field: &str, path: &Path, texts: &mut Vec<String>) {
    for (at, item) in items.iter().enumerate() {
        let text = item.str_at(&[field]);
        if items[..at].iter().any(|before| before.str_at(&[field]) == text) {
            texts.push(format!("{}: duplicate {field} {text:?}", path.index(at).child(field)));
        }
    }
}

/// Files of a volume of which one hides another, or is the other's folder.
fn overlapping_files(volume: &Value, texts: &mut Vec<String>) {
    let name = volume.str_at(&["name"]);
    let mut warn = |what: &str, files: &[(String, String)]| {
        for (at, (path, shown)) in files.iter().enumerate().filter(|(_, (path, _))| !path.is_empty()) {
            let within = |one: &str, other: &str| format!("{one}/").starts_with(&format!("{other}/"));
            let meets = |other: &str| !other.is_empty() && (within(other, path) || within(path, other));
            for (_, before) in files[..at].iter().filter(|(other, _)| meets(other)) {
                texts.push(format!("volume {name:?} ({what}): overlapping paths: {shown} with {before}"));
            }
        }
    };
    let files = |source: &Value, of: &str| -> Vec<(String, String)> {
        let path = |item: &Value| file(item.str_at(&["path"]), of);
        list(source, &["items"]).iter().map(path).collect()
    };
    for (field, kind, of) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
        if let Some(source) = volume.get(field) {
            warn(&format!("{kind} {:?}", source.str_at(&[of])), &files(source, ""));
        }
    }
    if let Some(source) = volume.get("downwardAPI") {
        warn("DownwardAPI", &files(source, ""));
    }
    let mut all = Vec::new();
    for source in list(volume, &["projected", "sources"]) {
        for (field, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
            if let Some(source) = source.get(field) {
                all.extend(files(source, &format!("{kind} {:?}", source.str_at(&["name"]))));
            }
        }
        if let Some(source) = source.get("downwardAPI") {
            all.extend(files(source, "DownwardAPI"));
        }
        if let Some(token) = source.get("serviceAccountToken").filter(|token| !token.is_null()) {
            all.push(file(token.str_at(&["path"]), "ServiceAccountToken"));
        }
    }
    warn("Projected", &all);
}

/// The path of a file, and how it is shown with what it is of.
fn file(path: &str, of: &str) -> (String, String) {
    let path = path.trim_end_matches('/');
    (path.to_string(), if of.is_empty() { format!("{path:?}") } else { format!("{path:?} ({of})") })
}

fn fractional(container: &Value, path: &Path, texts: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        for part in ["limits", "requests"] {
            for (_, value) in entries(container, &["resources", part]).filter(|(key, _)| *key == name) {
                let quantity = quantity(value);
                if quantity.milli_value() % 1000 != 0 {
                    let path = path.child("resources").child(part).key(name);
                    let text = quantity.to_string();
                    texts.push(format!(
                        "{path}: fractional byte value {text:?} is invalid, must be an integer"
                    ));
                }
            }
        }
    }
}

fn hidden_env(variables: &[Value], path: &Path, texts: &mut Vec<String>) {
    for (at, variable) in variables.iter().enumerate() {
        let name = variable.str_at(&["name"]);
        let reference = format!("$({name})");
        let value = variable.str_at(&["value"]);
        let hides = has(variable, &["valueFrom"]) || value == reference || !value.contains(&reference);
        if hides && variables[..at].iter().any(|before| before.str_at(&["name"]) == name) {
            let path = path.index(at);
            texts.push(format!(
                "{path}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
}

fn overlapping_ports(ports: &[(Path, &Value)], texts: &mut Vec<String>) {
    for (path, port) in ports {
        let text = |field: &str| port.str_at(&[field]);
        if !text("hostIP").is_empty() && int(port, &["hostPort"]) == 0 {
            // As Go prints its struct.
            texts.push(format!(
                "{path}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                text("name"),
                int(port, &["containerPort"]),
                text("protocol"),
                text("hostIP")
            ));
        }
    }
    for (at, (path, port)) in ports.iter().enumerate() {
        for (other_path, other) in &ports[..at] {
            let same = |field: &str| port.get(field) == other.get(field);
            if !same("containerPort") || !same("protocol") {
                continue;
            }
            let (host, other_host) = (int(port, &["hostPort"]), int(other, &["hostPort"]));
            let no_ip = |port: &Value| port.str_at(&["hostIP"]).is_empty();
            let how = if host == other_host && port.str_at(&["hostIP"]) == other.str_at(&["hostIP"]) {
                "duplicate"
            } else if host == 0 || other_host == 0 {
                "overlapping"
            } else if host == other_host && no_ip(port) != no_ip(other) {
                "dangerously ambiguous"
            } else {
                continue;
            };
            texts.push(format!("{path}: {how} port definition with {other_path}"));
        }
    }
    for (at, (path, port)) in ports.iter().enumerate() {
        let name = port.str_at(&["name"]);
        let first = ports[..at].iter().find(|(_, other)| other.str_at(&["name"]) == name);
        if let Some((other, _)) = first.filter(|_| !name.is_empty()) {
            texts.push(format!(
                "{path}: duplicate port name {name:?} with {other}, services and probes that select ports by name \
                 will use {other}"
            ));
        }
    }
}
