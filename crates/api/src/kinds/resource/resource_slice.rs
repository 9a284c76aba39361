//! ResourceSlice: devices that a driver offers, or counters that they share.

use super::device::{device, shared_counters};
use super::devices::{few, once_by_name};
use crate::Value;
use crate::field::Error;
use crate::kinds::core::persistent_volume::driver_name;
use crate::kinds::core::pod::node_selector;
use crate::kinds::edit::{default_pointer, each, entries, flag, has, inside, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceslices",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            row: Some(row),
            created: |slice| disabled(slice, None),
            updated: |slice, old| disabled(slice, Some(old)),
            check: |slice| spec(&slice.get("spec"), None),
            update_alone: true,
            update: |slice, old| spec(&slice.get("spec"), Some(&old.get("spec"))),
            default_moments: |now, slice| {
                each(slice, &["spec", "devices"], |device| {
                    each(device, &["taints"], |taint| default_pointer(taint, "timeAdded", now));
                });
            },
            to_storage: |version, value| {
                if version == "v1beta1" {
                    inside(value, &["spec"], to_storage);
                }
            },
            from_storage: |version, value| {
                if version == "v1beta1" {
                    inside(value, &["spec"], from_storage);
                }
            },
            ..Strategy::new()
        })
    },
};

fn row(slice: &Value, now: i64) -> Vec<Value> {
    let text = |path: &[&str]| slice.str_at(path).into();
    vec![
        cells::name(slice),
        text(&["spec", "nodeName"]),
        text(&["spec", "driver"]),
        text(&["spec", "pool", "name"]),
        age(slice, now),
    ]
}

/// Off by default upstream (DRANodeAllocatableResources, DRAListTypeAttributes); what an old slice has stays.
fn disabled(slice: &mut Value, old: Option<&Value>) {
    const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];
    let devices = old.map(|old| list(old, &["spec", "devices"])).unwrap_or_default();
    let mapped = devices.iter().any(|device| has(device, &["nodeAllocatableResourceMappings"]));
    let listed = devices.iter().any(|device| {
        entries(device, &["attributes"]).any(|(_, value)| LISTS.iter().any(|field| has(value, &[field])))
    });
    each(slice, &["spec", "devices"], |device| {
        if !mapped {
            device.remove(&["nodeAllocatableResourceMappings"]);
        }
        if let Some(Value::Object(attributes)) = device.get_mut("attributes").filter(|_| !listed) {
            for (_, value) in attributes.iter_mut() {
                for field in LISTS {
                    value.remove(&[field]);
                }
            }
        }
    });
}

/// A spec from v1beta1, which has all of a device but its name below `basic`, and no pointers in the spec.
fn to_storage(spec: &mut Value) {
    if spec.str_at(&["nodeName"]).is_empty() {
        spec.remove(&["nodeName"]);
    }
    if !flag(spec, &["allNodes"]) {
        spec.remove(&["allNodes"]);
    }
    each(spec, &["devices"], |device| {
        let Some(Value::Object(basic)) = device.remove(&["basic"]) else { return };
        for (field, value) in basic.iter() {
            device.set(&[field.as_str()], value.clone());
        }
    });
}

/// A spec for v1beta1.
fn from_storage(spec: &mut Value) {
    each(spec, &["devices"], |device| {
        let name = device.remove(&["name"]).unwrap_or_default();
        let basic = std::mem::replace(device, Value::object());
        device.set(&["name"], name);
        device.set(&["basic"], basic);
    });
}

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
        let known = old.map(|old| old.get("devices").items()).unwrap_or_default();
        for item in &items {
            let name = item.get("name").text();
            device(item, known.iter().find(|known| known.get("name").text() == name), each.flag());
        }
        once_by_name(&items);
    }
    shared_counters(&spec.get("sharedCounters"));
}

/// The ways to say which nodes can reach something, those that are set.
pub fn places(node: &Node<'_>, empty: &str) -> Vec<&'static str> {
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
    let (count, generation) = (pool.get("resourceSliceCount"), pool.get("generation"));
    pool_name(&pool.get("name"));
    count.positive();
    if generation.int() < 0 {
        generation.invalid("must be greater than or equal to zero");
    }
}

/// Subdomains, joined by slashes.
pub fn pool_name(name: &Node<'_>) {
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
}
