//! ResourceSlice: devices that a driver offers. Counters, taints and binding conditions of devices are not judged.

use super::devices::{few, once_by_name, qualified_key};
use crate::Value;
use crate::field::Error;
use crate::kinds::core::persistent_volume::driver_name;
use crate::kinds::core::pod::node_selector;
use crate::kinds::{Builtin, Strategy};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceslices",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            check: |slice| spec(&slice.get("spec"), None),
            update_alone: true,
            update: |slice, old| spec(&slice.get("spec"), Some(&old.get("spec"))),
            ..Strategy::new()
        })
    },
};

fn spec(spec: &Node<'_>, old: Option<&Node<'_>>) {
    driver_name(&spec.get("driver"));
    pool(&spec.get("pool"));
    if let Some(old) = old {
        spec.at(&["pool", "name"]).immutable(&old.at(&["pool", "name"]));
        spec.get("driver").immutable(&old.get("driver"));
        spec.get("nodeName").immutable(&old.get("nodeName"));
    }
    let mut set = places(spec, "must be either unset or set to a non-empty string");
    let terms = spec.at(&["nodeSelector", "nodeSelectorTerms"]);
    if spec.get("nodeSelector").has() && terms.len() != 1 {
        terms.invalid("must have exactly one node selector term");
    }
    let each = spec.get("perDeviceNodeSelection");
    if each.flag() {
        set.push("`perDeviceNodeSelection`");
    } else if each.has() {
        each.invalid("must be either unset or set to true");
    }
    let one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => spec.missing(one),
        1 => {}
        _ => {
            let text = format!("{one}, but multiple fields are set");
            spec.error(Error::invalid(spec.path().clone(), format!("{{{}}}", set.join(", ")), text));
        }
    }
    if spec.get("sharedCounters").has() && spec.get("devices").has() {
        let text = "only one of `sharedCounters` or `devices` is allowed";
        spec.error(Error::invalid(spec.path().clone(), "", text));
    }
    let devices = spec.get("devices");
    let rich =
        |device: &Node<'_>| !device.get("taints").is_empty() || !device.get("consumesCounters").is_empty();
    let items = devices.items();
    if few(&devices, if items.iter().any(rich) { 64 } else { 128 }) {
        for device in &items {
            self::device(device, each.flag());
        }
        once_by_name(&items);
    }
}

/// The ways to say which nodes can reach something, those that are set.
fn places(node: &Node<'_>, empty: &str) -> Vec<&'static str> {
    let mut set = Vec::new();
    let (name, selector, all) = (node.get("nodeName"), node.get("nodeSelector"), node.get("allNodes"));
    if name.has() && name.text().is_empty() {
        name.invalid(empty);
    } else if name.has() {
        set.push("`nodeName`");
        name.is(names::dns_subdomain);
    }
    if selector.has() {
        set.push("`nodeSelector`");
        selector.by(node_selector);
    }
    if all.flag() {
        set.push("`allNodes`");
    } else if all.has() {
        all.invalid("must be either unset or set to true");
    }
    set
}

fn pool(pool: &Node<'_>) {
    let (name, count, generation) =
        (pool.get("name"), pool.get("resourceSliceCount"), pool.get("generation"));
    if name.text().is_empty() {
        name.missing("");
    } else {
        name.at_most_bytes(253);
        for part in name.text().split('/') {
            for text in names::dns_subdomain(part) {
                name.error(Error::invalid(name.path().clone(), part, text));
            }
        }
    }
    count.positive();
    if generation.int() < 0 {
        generation.invalid("must be greater than or equal to zero");
    }
}

fn device(device: &Node<'_>, selects: bool) {
    device.get("name").is_even_empty(names::dns_label);
    let (attributes, capacity) = (device.get("attributes"), device.get("capacity"));
    let total = attributes.len() + capacity.len();
    if total > 32 {
        let text = "the total number of attributes and capacities must not exceed 32";
        device.error(Error::invalid(device.path().clone(), total as i64, text));
    }
    for (key, value) in attributes.entries() {
        qualified_key(&value, key);
        attribute(&value);
    }
    for (key, value) in capacity.entries() {
        qualified_key(&value, key);
    }
    if selects {
        let one = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is \
                   set to true in the ResourceSlice spec";
        let set = places(device, "must not be empty");
        match set.len() {
            0 => device.missing(one),
            1 => {}
            _ => {
                device.error(Error::invalid(device.path().clone(), format!("{{{}}}", set.join(", ")), one));
            }
        }
    } else if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| device.get(field).has()) {
        let text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                    in the ResourceSlice spec";
        device.error(Error::invalid(device.path().clone(), Value::Null, text));
    }
}

fn attribute(attribute: &Node<'_>) {
    let set = ["bool", "int", "string", "version"].iter().filter(|field| attribute.get(field).has()).count();
    let (text, version) = (attribute.get("string"), attribute.get("version"));
    text.at_most_bytes(64);
    if version.has() {
        if !is_semver(version.text()) {
            version.invalid("must be a string compatible with semver.org spec 2.0.0");
        }
        version.at_most_bytes(64);
    }
    match set {
        0 => attribute.missing("exactly one value must be specified"),
        1 => {}
        _ => attribute.invalid("exactly one value must be specified"),
    }
}

/// `1.2.3-rc.1+build` (semver.org 2.0.0).
fn is_semver(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let released =
        |part: &str| word(part) && (number(part) || !part.bytes().all(|byte| byte.is_ascii_digit()));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(released))
        && build.is_none_or(|build| build.split('.').all(word))
}
