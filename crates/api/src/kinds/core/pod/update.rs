//! What an update of a Pod may change, of its spec, its status, and through `ephemeralcontainers` and `resize`.

use std::fmt::Write;

use super::validate;
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::only_status;
use crate::kinds::edit::{entries, has, int, list, same};
use crate::pod::{is_sidecar, qos_class};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};

const MAY_CHANGE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                          `spec.tolerations` (only additions to existing tolerations),\
                          `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    validate::pod_and_spec(new, errors);
    mirror_annotation(new, old, errors);
    let path = Path::new("spec");
    let empty = Value::object();
    let (new_spec, old_spec) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
    for field in ["containers", "initContainers"] {
        let containers = list(new_spec, &[field]);
        if containers.len() != list(old_spec, &[field]).len() {
            return errors
                .push(Error::forbidden(path.child(field), "pod updates may not add or remove containers"));
        }
    }
    if !deadline(new_spec, old_spec, &path, errors) {
        return;
    }
    tolerations(new_spec, old_spec, &path.child("tolerations"), errors);
    gates(new_spec, old_spec, &path.child("schedulingGates"), errors);
    if same(Some(new_spec), Some(old_spec)) {
        return;
    }
    let mut munged = new_spec.clone();
    for field in ["containers", "initContainers"] {
        let old_containers = list(old_spec, &[field]).to_vec();
        let containers = munged.get_mut(field).and_then(Value::as_array_mut);
        for (container, old) in containers.into_iter().flatten().zip(old_containers) {
            container.set(&["image"], old.str_at(&["image"]));
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        crate::kind::keep(&mut munged, old_spec, field);
    }
    let grace = |spec: &Value| int(spec, &["terminationGracePeriodSeconds"]);
    if grace(old_spec) < 0 && grace(&munged) == 1 {
        crate::kind::keep(&mut munged, old_spec, "terminationGracePeriodSeconds");
    }
    if !list(old_spec, &["schedulingGates"]).is_empty() {
        gated(&mut munged, old_spec, &path, errors);
    }
    if !same(Some(&munged), Some(old_spec)) {
        let text = format!(
            "pod updates may not change fields other than {MAY_CHANGE}\n{}",
            difference(old_spec, &munged)
        );
        errors.push(Error::forbidden(path, text));
    }
}

/// A pod that waits behind gates may have its node selector and affinity narrowed.
fn gated(munged: &mut Value, old: &Value, path: &Path, errors: &mut Errors) {
    if !same(munged.get("nodeSelector"), old.get("nodeSelector")) {
        for (key, value) in entries(old, &["nodeSelector"]) {
            if munged.at(&["nodeSelector", key]) != Some(value) {
                let text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
                let now = munged.get("nodeSelector").cloned().unwrap_or_default();
                errors.push(Error::invalid(path.child("nodeSelector"), now, text));
                break;
            }
        }
        crate::kind::keep(munged, old, "nodeSelector");
    }
    let (now, before) = (munged.at(&["affinity", "nodeAffinity"]), old.at(&["affinity", "nodeAffinity"]));
    if !same(now, before) {
        // Preferences may change; required terms only where there were none.
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let had = before.and_then(|affinity| affinity.get(required)).filter(|terms| !terms.is_null());
        if had.is_some() && !same(had, now.and_then(|affinity| affinity.get(required))) {
            let path = path.child("affinity").child("nodeAffinity").child(required);
            let now = munged.at(&["affinity", "nodeAffinity", required]).cloned().unwrap_or_default();
            errors.push(Error::invalid(path, now, meta::IMMUTABLE));
        }
        match before.cloned() {
            Some(before) => munged.set(&["affinity", "nodeAffinity"], before),
            None => drop(munged.remove(&["affinity", "nodeAffinity"])),
        }
    }
}

fn deadline(new: &Value, old: &Value, path: &Path, errors: &mut Errors) -> bool {
    let path = path.child("activeDeadlineSeconds");
    let of = |spec: &Value| spec.get("activeDeadlineSeconds").and_then(Value::as_int);
    match (of(new), of(old)) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            errors.push(Error::invalid(path, new, names::range(0, i64::from(i32::MAX))));
            false
        }
        (Some(new), Some(old)) if old < new => {
            errors.push(Error::invalid(path, new, "must be less than or equal to previous value"));
            false
        }
        (None, Some(_)) => {
            let text = "must not update from a positive integer to nil value";
            errors.push(Error::invalid(path, Value::Null, text));
            true
        }
        _ => true,
    }
}

fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let bare = |toleration: &Value| {
        let mut copy = toleration.clone();
        copy.remove(&["tolerationSeconds"]);
        copy
    };
    for had in list(old, &["tolerations"]) {
        if !list(new, &["tolerations"]).iter().any(|now| same(Some(&bare(now)), Some(&bare(had)))) {
            let text = "existing toleration can not be modified except its tolerationSeconds";
            return errors.push(Error::forbidden(path.clone(), text));
        }
    }
}

fn gates(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let had = list(old, &["schedulingGates"]);
    for (at, gate) in list(new, &["schedulingGates"]).iter().enumerate() {
        let name = gate.str_at(&["name"]);
        if !had.iter().any(|old| old.str_at(&["name"]) == name) {
            let text = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(Error::forbidden(path.index(at).child("name"), text));
        }
    }
}

fn mirror_annotation(new: &Value, old: &Value, errors: &mut Errors) {
    let of = |pod: &Value| pod.at(&["metadata", "annotations", MIRROR]).cloned();
    let text = match (of(old), of(new)) {
        (Some(old), new) if new.as_ref() != Some(&old) => "may not remove or update mirror pod annotation",
        (None, Some(_)) => "may not add mirror pod annotation",
        _ => return,
    };
    errors.push(Error::forbidden(Path::new("metadata").child("annotations").key(MIRROR), text));
}

/// What changed, a line each; upstream shows a structural difference whose form it does not promise.
pub(in crate::kinds) fn difference(old: &Value, new: &Value) -> String {
    fn walk(path: &str, old: &Value, new: &Value, out: &mut String) {
        if same(Some(old), Some(new)) {
            return;
        }
        let empty = Value::Null;
        match (old, new) {
            (Value::Object(a), Value::Object(b)) => {
                let extra = b.keys().filter(|key| !a.contains_key(key));
                for key in a.keys().chain(extra) {
                    let (a, b) = (a.get(key).unwrap_or(&empty), b.get(key).unwrap_or(&empty));
                    walk(&format!("{path}.{key}"), a, b, out);
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                for at in 0..a.len().max(b.len()) {
                    let (a, b) = (a.get(at).unwrap_or(&empty), b.get(at).unwrap_or(&empty));
                    walk(&format!("{path}[{at}]"), a, b, out);
                }
            }
            _ => {
                let _ = writeln!(out, "- {path}: {old}\n+ {path}: {new}");
            }
        }
    }
    let mut out = String::new();
    walk("spec", old, new, &mut out);
    out
}

pub(super) fn validate_status(new: &Value, old: &Value, errors: &mut Errors) {
    mirror_annotation(new, old, errors);
    let path = Path::new("status");
    for (at, condition) in list(new, &["status", "conditions"]).iter().enumerate() {
        let path = path.child("conditions").index(at);
        if int(condition, &["observedGeneration"]) < 0 {
            let generation = int(condition, &["observedGeneration"]);
            let text = "must be a non-negative integer";
            errors.push(Error::invalid(path.child("observedGeneration"), generation, text));
        }
        let kind = condition.str_at(&["type"]);
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            check::format(kind, &path.child("Type"), names::qualified_name, errors);
        }
    }
    let (now, before) = (new.at(&["status", "qosClass"]), old.at(&["status", "qosClass"]));
    meta::immutable(now, before, path.child("qosClass"), errors);
    let node = new.str_at(&["status", "nominatedNodeName"]);
    if !node.is_empty() && node != old.str_at(&["status", "nominatedNodeName"]) {
        check::format(node, &path.child("nominatedNodeName"), names::dns_subdomain, errors);
    }
    for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        transitions(new, old, field, &path.child(field), errors);
    }
    super::claims::validate(new, errors);
    let ips = list(new, &["status", "podIPs"]);
    for (at, ip) in ips.iter().enumerate() {
        check::format(ip.str_at(&["ip"]), &path.child("podIPs").index(at), names::ip, errors);
    }
    if ips.len() > 2 {
        let text = "may specify no more than one IP for each IP family";
        errors.push(Error::invalid(path.child("podIPs"), ips.to_vec(), text));
    }
    users(new, &path, errors);
    super::claims::health(new, errors);
    super::claims::none_of_ephemeral(new, errors);
}

/// As whom containers run.
fn users(pod: &Value, path: &Path, errors: &mut Errors) {
    let windows = pod.str_at(&["spec", "os", "name"]) == "windows";
    for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for (at, status) in list(pod, &["status", field]).iter().enumerate() {
            let Some(linux) = status.at(&["user", "linux"]).filter(|linux| !linux.is_null()) else {
                continue;
            };
            let path = path.child(field).index(at).child("user").child("linux");
            if windows {
                errors.push(Error::forbidden(path, "cannot be set for a windows pod"));
                continue;
            }
            let mut number = |path: Path, number: i64| {
                if !(0..=i64::from(i32::MAX)).contains(&number) {
                    errors.push(Error::invalid(path, number, names::range(0, i64::from(i32::MAX))));
                }
            };
            number(path.child("uid"), int(linux, &["uid"]));
            number(path.child("gid"), int(linux, &["gid"]));
            for (at, group) in list(linux, &["supplementalGroups"]).iter().enumerate() {
                number(path.child("supplementalGroups").index(at), group.as_int().unwrap_or_default());
            }
        }
    }
}

/// A container that ended for good does not run again.
fn transitions(new: &Value, old: &Value, field: &str, path: &Path, errors: &mut Errors) {
    for (at, before) in list(old, &["status", field]).iter().enumerate() {
        let name = before.str_at(&["name"]);
        let Some(exit) = before.at(&["state", "terminated"]).filter(|state| !state.is_null()) else {
            continue;
        };
        let now = list(new, &["status", field]).iter().find(|status| status.str_at(&["name"]) == name);
        if now.is_none_or(|now| has(now, &["state", "terminated"])) {
            continue;
        }
        let may_run = match field {
            "ephemeralContainerStatuses" => false,
            _ => may_restart(old, name, int(exit, &["exitCode"])),
        };
        if !may_run {
            let text = "may not be transitioned to non-terminated state";
            errors.push(Error::forbidden(path.index(at).child("state"), text));
        }
    }
}

fn may_restart(pod: &Value, name: &str, exit: i64) -> bool {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let mut all = list(spec, &["containers"]).iter().chain(list(spec, &["initContainers"]));
    let Some(container) = all.find(|container| container.str_at(&["name"]) == name) else { return false };
    if is_sidecar(container) {
        return true;
    }
    for rule in list(container, &["restartPolicyRules"]) {
        let codes = list(rule, &["exitCodes", "values"]).contains(&Value::Int(exit));
        let matches = match rule.str_at(&["exitCodes", "operator"]) {
            "In" => codes,
            _ => !codes,
        };
        if matches {
            return true;
        }
    }
    let own = container.str_at(&["restartPolicy"]);
    let policy = if own.is_empty() { spec.str_at(&["restartPolicy"]) } else { own };
    match policy {
        "Never" => false,
        "OnFailure" => exit != 0,
        _ => true,
    }
}

pub(super) fn validate_ephemeral(new: &Value, old: &Value, errors: &mut Errors) {
    validate::pod_and_spec(new, errors);
    mirror_annotation(new, old, errors);
    if has(old, &["metadata", "annotations", MIRROR]) {
        errors.push(Error::forbidden(Path::new("[]"), "static pods do not support ephemeral containers"));
    }
    let path = Path::new("spec").child("ephemeralContainers");
    for container in list(old, &["spec", "ephemeralContainers"]) {
        let name = container.str_at(&["name"]);
        let now =
            list(new, &["spec", "ephemeralContainers"]).iter().find(|now| now.str_at(&["name"]) == name);
        match now {
            None => {
                let text = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(Error::forbidden(path.clone(), text));
            }
            Some(now) if !same(Some(now), Some(container)) => {
                let text = format!("existing ephemeral containers {name:?} may not be changed\n");
                errors.push(Error::forbidden(path.clone(), text));
            }
            Some(_) => {}
        }
    }
}

/// Drops everything but resources and resize policies of containers, and the resources of the pod. Containers that were added,
/// removed, renamed or moved stay as they were asked for, so that validation finds them.
pub(super) fn only_resize(new: &mut Value, old: &Value) {
    let spec = new.get("spec").cloned().unwrap_or_default();
    let named = |object: &Value, field: &str| -> Vec<String> {
        list(object, &[field]).iter().map(|one| one.str_at(&["name"]).to_owned()).collect()
    };
    let old_spec = old.get("spec").unwrap_or(&Value::Null);
    let lengths = |field: &str| list(&spec, &[field]).len() == list(old_spec, &[field]).len();
    if !lengths("containers") || !lengths("initContainers") {
        return;
    }
    only_status(new, old);
    crate::kind::keep(new, old, "status");
    if let Some(kept) = new.get_mut("spec") {
        crate::kind::keep(kept, &spec, "resources");
    }
    for field in ["containers", "initContainers"] {
        let asked = list(&spec, &[field]).to_vec();
        if named(&spec, field) != named(old_spec, field) {
            new.set(&["spec", field], asked);
            continue;
        }
        let Some(kept) = new.at_mut(&["spec", field]).and_then(Value::as_array_mut) else { continue };
        for (container, asked) in kept.iter_mut().zip(&asked) {
            for part in ["resources", "resizePolicy"] {
                crate::kind::keep(container, asked, part);
            }
        }
    }
}

/// The node is known to resize, or nothing runs yet that could tell (KEP-1287's version skew).
fn node_resizes(pod: &Value) -> bool {
    let statuses = list(pod, &["status", "containerStatuses"]);
    let running = statuses.iter().find(|status| has(status, &["state", "running"]));
    running.is_none_or(|status| has(status, &["resources"]))
}

/// Resources as they would be with the processor and memory of before.
fn but_for_size(resources: &Value, old: &Value) -> Value {
    let mut munged = Value::object();
    for part in ["limits", "requests"] {
        if !has(resources, &[part]) && !has(old, &[part]) {
            continue;
        }
        let mut kept = resources.get(part).cloned().unwrap_or_else(Value::object);
        for name in ["cpu", "memory"] {
            match old.at(&[part, name]) {
                Some(quantity) => kept.set(&[name], quantity.clone()),
                None => drop(kept.remove(&[name])),
            }
        }
        // Nothing but size was added where there was nothing: a map of none is none.
        let nothing = kept.as_map().is_some_and(|map| map.is_empty());
        if !nothing || has(old, &[part]) {
            munged.set(&[part], kept);
        }
    }
    munged
}

/// A quantity that was there is gone.
fn taken_away(now: &Value, before: &Value, part: &str) -> bool {
    entries(before, &[part]).any(|(name, _)| !has(now, &[part, name]))
}

pub(super) fn validate_resize(new: &Value, old: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let nothing = Value::Null;
    let of = |pod: &'_ Value| pod.get("spec").cloned().unwrap_or_default();
    let (new_spec, old_spec) = (of(new), of(old));
    let before = errors.len();
    validate::pod_and_spec(new, errors);
    if has(old, &["metadata", "annotations", MIRROR]) {
        errors.truncate(before);
        return errors.push(Error::forbidden(Path::new("[]"), "static pods cannot be resized"));
    }
    if old.str_at(&["spec", "os", "name"]) == "windows" {
        errors.truncate(before);
        return errors.push(Error::forbidden(Path::new("[]"), "windows pods cannot be resized"));
    }
    let class = match old.str_at(&["status", "qosClass"]) {
        "" => qos_class(&old_spec),
        known => known,
    };
    if qos_class(&new_spec) != class {
        let text = "Pod QOS Class may not change as a result of resizing";
        errors.push(Error::invalid(spec.clone(), new.str_at(&["status", "qosClass"]), text));
    }
    if !node_resizes(old) {
        errors.push(Error::forbidden(spec.clone(), "Pod running on node without support for resize"));
    }
    let mut munged = new_spec.clone();
    resized_pod(&new_spec, &old_spec, &mut munged, errors);
    if !has_same_containers(&new_spec, &old_spec, errors) {
        return;
    }
    for field in ["initContainers", "containers"] {
        for (at, (now, was)) in list(&new_spec, &[field]).iter().zip(list(&old_spec, &[field])).enumerate() {
            let (now, was) =
                (now.get("resources").unwrap_or(&nothing), was.get("resources").unwrap_or(&nothing));
            for part in ["requests", "limits"].into_iter().filter(|part| taken_away(now, was, part)) {
                let path = spec.child(field).index(at).child("resources").child(part);
                errors.push(Error::forbidden(path, format!("resource {part} cannot be removed")));
            }
        }
    }
    for field in ["containers", "initContainers"] {
        let olds = list(&old_spec, &[field]);
        let Some(all) = munged.get_mut(field).and_then(Value::as_array_mut) else { continue };
        for (at, (container, was)) in all.iter_mut().zip(olds).enumerate() {
            let restarts = list(container, &["resizePolicy"])
                .iter()
                .any(|policy| policy.str_at(&["restartPolicy"]) == "RestartContainer");
            let changed = !same(Some(container), Some(was));
            let old_resources = was.get("resources").unwrap_or(&nothing);
            let kept = but_for_size(container.get("resources").unwrap_or(&nothing), old_resources);
            container.set(&["resources"], kept);
            let other = !same(Some(container), Some(was));
            if field == "containers" {
                if other {
                    errors.push(Error::forbidden(spec.clone(), "only cpu and memory resources are mutable"));
                }
                continue;
            }
            let path = spec.child(field).index(at);
            if other {
                let text = "only cpu and memory resources for init or sidecar containers are mutable";
                errors.push(Error::forbidden(path.clone(), text));
            }
            if changed && !is_sidecar(container) && restarts {
                let text =
                    "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                errors.push(Error::forbidden(path, text));
            }
        }
    }
    if errors.len() == before && !same(Some(&munged), Some(&old_spec)) {
        errors.push(Error::forbidden(spec, "only cpu and memory resources are mutable"));
    }
}

/// The pod's own resources; `munged` gets those of before.
fn resized_pod(new: &Value, old: &Value, munged: &mut Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let set = |spec: &Value| {
        ["requests", "limits"].iter().any(|part| entries(spec, &["resources", part]).next().is_some())
    };
    if !set(new) && !set(old) {
        return;
    }
    let path = spec.child("resources");
    let (now, was) = (new.get("resources"), old.get("resources"));
    if let Some(was) = was {
        let Some(now) = now else {
            return errors.push(Error::forbidden(path, "pod-level resources cannot be removed"));
        };
        for part in ["requests", "limits"].into_iter().filter(|part| taken_away(now, was, part)) {
            let text = format!("pod-level resource {part} cannot be removed");
            errors.push(Error::forbidden(path.child(part), text));
        }
        let kept = but_for_size(now, was);
        let other = !same(Some(&kept), Some(was));
        munged.set(&["resources"], kept);
        if other {
            let text = "only cpu and memory resources are mutable at pod-level";
            errors.push(Error::forbidden(spec, text));
        }
    }
}

fn has_same_containers(new: &Value, old: &Value, errors: &mut Errors) -> bool {
    let before = errors.len();
    for field in ["containers", "initContainers"] {
        let (now, was) = (list(new, &[field]), list(old, &[field]));
        let path = Path::new("spec").child(field);
        if now.len() != was.len() {
            errors.push(Error::forbidden(path, format!("{field} may not be added or removed on resize")));
            continue;
        }
        for (at, (now, was)) in now.iter().zip(was).enumerate() {
            if now.str_at(&["name"]) != was.str_at(&["name"]) {
                let text = format!("{field} may not be renamed or reordered on resize");
                errors.push(Error::forbidden(path.index(at).child("name"), text));
            }
        }
    }
    errors.len() == before
}
