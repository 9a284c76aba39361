//! Node: anyone who may write its status may write its labels too.

use std::collections::BTreeSet;

use super::pod::validate::resources::is_integer;
use super::pod::validate::scheduling;
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep};
use crate::kinds::Builtin;
use crate::kinds::edit::{entries, flag, has, list, same};
use crate::pod::{condition, quantity};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::names;

pub const KIND: Builtin = Builtin { group: "", plural: "nodes", storage: "v1", rules: || Box::new(Node) };

struct Node;

fn resources(node: &Value, errors: &mut Errors) {
    for field in ["capacity", "allocatable"] {
        for (name, value) in entries(node, &["status", field]) {
            let quantity = quantity(value);
            if quantity.sign() < 0 {
                let path = Path::new("status").child(field).child(name);
                let text = "must be greater than or equal to 0";
                errors.push(Error::invalid(path, quantity.to_string(), text));
            }
            if is_integer(name) && quantity.milli_value() % 1000 != 0 {
                let path = Path::new("status").child(field).child(name);
                errors.push(Error::invalid(path, quantity.to_string(), "must be an integer"));
            }
        }
    }
}

/// What the kubelet says that it can do: names in order.
fn features(node: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("declaredFeatures");
    let mut before: Option<&str> = None;
    for (at, name) in list(node, &["status", "declaredFeatures"]).iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        match before {
            Some(before) if before == name => errors.push(Error::duplicate(path.index(at), name)),
            Some(before) if before > name => {
                errors.push(Error::invalid(path.index(at), name, "list must be sorted alphabetically"));
            }
            _ => {}
        }
        before = Some(name);
        let good = |(at, part): (usize, &str)| {
            let first = part.bytes().next();
            first.is_some_and(|byte| byte.is_ascii_uppercase() || at > 0 && byte.is_ascii_lowercase())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let why = if name.len() > 253 {
            "must be no more than 253 characters"
        } else if !name.split('/').enumerate().all(good) {
            "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or \
             MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
        } else {
            continue;
        };
        let text = format!("invalid feature name {}: {why}", crate::text::quote(name));
        errors.push(Error::invalid(path.index(at), name, text));
    }
}

/// Asked of new nodes only.
fn swap(node: &Value, errors: &mut Errors) {
    let swap = ["status", "nodeInfo", "swap", "capacity"];
    if let Some(capacity) = node.at(&swap).and_then(Value::as_int).filter(|capacity| *capacity <= 0) {
        let path = Path::new("metadata").child("nodeSwapStatus").child("capacity");
        errors.push(Error::invalid(path, capacity, "must be greater than zero"));
    }
}

fn update(new: &Value, old: &Value, errors: &mut Errors) {
    resources(new, errors);
    features(new, errors);
    let mut seen = BTreeSet::new();
    for (at, address) in list(new, &["status", "addresses"]).iter().enumerate() {
        if !seen.insert((address.str_at(&["type"]), address.str_at(&["address"]))) {
            errors.push(Error::duplicate(Path::new("status").child("addresses").index(at), address.clone()));
        }
    }
    let path = Path::new("spec");
    if !list(old, &["spec", "podCIDRs"]).is_empty()
        && !same(old.at(&["spec", "podCIDRs"]), new.at(&["spec", "podCIDRs"]))
    {
        let text = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(Error::forbidden(path.child("podCIDRs"), text));
    }
    if new.str_at(&["spec", "externalID"]) != old.str_at(&["spec", "externalID"]) {
        errors.push(Error::forbidden(path.child("externalID"), "may not be updated"));
    }
    let id = old.str_at(&["spec", "providerID"]);
    if !id.is_empty() && id != new.str_at(&["spec", "providerID"]) {
        let text = "node updates may not change providerID except from \"\" to valid";
        errors.push(Error::forbidden(path.child("providerID"), text));
    }
    scheduling::taints(list(new, &["spec", "taints"]), &Path::new("metadata").child("taints"), errors);
}

/// `podCIDR` and the first of `podCIDRs` are one field; upstream's conversion fills in either.
fn pod_cidrs(node: &mut Value) {
    let one = node.str_at(&["spec", "podCIDR"]).to_string();
    let first =
        list(node, &["spec", "podCIDRs"]).first().and_then(Value::as_str).unwrap_or_default().to_string();
    if one.is_empty() && !first.is_empty() {
        node.set(&["spec", "podCIDR"], first);
    } else if !one.is_empty() && first != one {
        node.set(&["spec", "podCIDRs"], vec![Value::from(one)]);
    }
}

fn roles(node: &Value) -> Value {
    let mut roles = BTreeSet::new();
    for (key, value) in entries(node, &["metadata", "labels"]) {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => drop(roles.insert(role)),
            _ if key == "kubernetes.io/role" => roles.extend(value.as_str().filter(|role| !role.is_empty())),
            _ => {}
        }
    }
    cells::or(&roles.into_iter().collect::<Vec<_>>().join(","), "<none>")
}

impl Rules for Node {
    fn default(&self, _: &str, value: &mut Value) {
        pod_cidrs(value);
        if has(value, &["status", "capacity"]) && !has(value, &["status", "allocatable"]) {
            let capacity = value.at(&["status", "capacity"]).cloned().unwrap_or_default();
            value.set(&["status", "allocatable"], capacity);
        }
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["spec", "configSource"]);
        new.remove(&["status", "config"]);
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        crate::kind::keep_all_but(new, old, &["metadata", "status"]);
        if !has(old, &["status", "config"]) {
            new.remove(&["status", "config"]);
        }
    }
    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        let mut texts = Vec::new();
        if has(new, &["spec", "configSource"]) {
            texts.push("spec.configSource: the feature is removed".to_string());
        }
        if !new.str_at(&["spec", "externalID"]).is_empty() {
            texts.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
        }
        texts
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        if !has(old, &["spec", "configSource"]) {
            new.remove(&["spec", "configSource"]);
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        scheduling::taints(list(new, &["spec", "taints"]), &Path::new("metadata").child("taints"), errors);
        resources(new, errors);
        swap(new, errors);
        features(new, errors);
        let path = Path::new("spec").child("podCIDRs");
        let cidrs = list(new, &["spec", "podCIDRs"]);
        for (at, cidr) in cidrs.iter().enumerate() {
            check::format(cidr.as_str().unwrap_or_default(), &path.index(at), names::cidr, errors);
        }
        let version6 = |cidr: &Value| cidr.as_str().is_some_and(|text| text.contains(':'));
        let sixes = cidrs.iter().filter(|cidr| version6(cidr)).count();
        let bad = |cidr: &Value| names::parse_cidr(cidr.as_str().unwrap_or_default()).is_none();
        if let Some(at) = cidrs.iter().position(bad).filter(|_| cidrs.len() > 1) {
            let shown = cidrs[at].as_str().unwrap_or_default();
            let text = format!(
                "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{at}]: <nil> (invalid CIDR address: {shown})"
            );
            errors.push(Error::internal(path.clone(), text));
        }
        if cidrs.len() > 1 && (cidrs.len() > 2 || sixes != 1) {
            let text = "may specify no more than one CIDR for each IP family";
            errors.push(Error::invalid(path, cidrs.to_vec(), text));
        }
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        update(new, old, errors);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        update(new, old, errors);
    }
    fn has_status(&self) -> bool {
        true
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let mut status = match condition(value, "Ready").map(|ready| ready.str_at(&["status"])) {
            Some("True") => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        }
        .to_string();
        if flag(value, &["spec", "unschedulable"]) {
            status.push_str(",SchedulingDisabled");
        }
        let address = |kind: &str| {
            let addresses = list(value, &["status", "addresses"]);
            let found = addresses.iter().find(|address| address.str_at(&["type"]) == kind);
            cells::or(found.map(|address| address.str_at(&["address"])).unwrap_or_default(), "<none>")
        };
        let info = |field: &str| value.str_at(&["status", "nodeInfo", field]);
        let mut kernel =
            if info("kernelVersion").is_empty() { "<unknown>" } else { info("kernelVersion") }.to_string();
        if !info("architecture").is_empty() {
            kernel.push_str(&format!(" ({})", info("architecture")));
        }
        Some(vec![
            cells::name(value),
            status.into(),
            roles(value),
            age(value, now),
            info("kubeletVersion").into(),
            address("InternalIP"),
            address("ExternalIP"),
            cells::or(info("osImage"), "<unknown>"),
            kernel.into(),
            cells::or(info("containerRuntimeVersion"), "<unknown>"),
        ])
    }
}
