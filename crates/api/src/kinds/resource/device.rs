//! A device of a ResourceSlice: attributes, capacity and who may share it, counters, taints, the nodes that reach it, and
//! what must be true before it is bound.

use std::cmp::Ordering;

use super::devices::{few, once_by, once_by_name, qualified_key};
use super::resource_slice::places;
use crate::Value;
use crate::field::Error;
use crate::validation::{Node, names};

pub const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
/// Binding conditions, and binding failure conditions.
const CONDITIONS: usize = 4;

/// `old`: the device of this name in the slice that is there. `selects`: each device says which nodes reach it.
pub fn device(device: &Node<'_>, old: Option<&Node<'_>>, selects: bool) {
    device.get("name").is_even_empty(names::dns_label);
    let (attributes, capacity) = (device.get("attributes"), device.get("capacity"));
    let total = attributes.len() + capacity.len();
    if total > 32 {
        let text = "the total number of attributes and capacities must not exceed 32";
        device.error(Error::invalid(device.path().clone(), total as i64, text));
    }
    for (key, value) in attributes.entries() {
        qualified_key(&attributes, key);
        attribute(&value);
    }
    let shared = device.get("allowMultipleAllocations").flag();
    for (key, value) in capacity.entries() {
        qualified_key(&capacity, key);
        let policy = value.get("requestPolicy");
        match shared {
            true if policy.has() => request_policy(&value.get("value"), &policy),
            false if policy.has() => policy.forbidden("allowMultipleAllocations must be true"),
            _ => {}
        }
    }
    let taints = device.get("taints");
    if !old.is_some_and(|old| taints.is_same(&old.get("taints"))) && few(&taints, 16) {
        taints.items().iter().for_each(|item| taint(item, None));
    }
    let consumed = device.get("consumesCounters");
    if few(&consumed, 2) {
        let items = consumed.items();
        for item in &items {
            item.get("counterSet").required().is(names::dns_label);
            counters(&item.get("counters"));
        }
        once_by(&items, "counterSet");
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
    binding(device);
}

/// Counters that the devices of a pool share.
pub fn shared_counters(sets: &Node<'_>) {
    if few(sets, 8) {
        let items = sets.items();
        for set in &items {
            set.get("name").required().is(names::dns_label);
            counters(&set.get("counters"));
        }
        once_by_name(&items);
    }
}

fn counters(counters: &Node<'_>) {
    counters.required();
    if few(counters, 32) {
        for (key, _) in counters.entries() {
            counters.beside(&Value::from(key)).is_even_empty(names::dns_label);
        }
    }
}

/// A DeviceTaint; an effect that was there before is taken as it is.
pub fn taint(taint: &Node<'_>, old: Option<&Node<'_>>) {
    taint.get("key").label_key();
    taint.get("value").is(names::label_value);
    let effect = taint.get("effect");
    if old.is_none_or(|old| old.get("effect").text() != effect.text()) {
        effect.required_one_of(&EFFECTS);
    }
}

/// `bindingConditions` and `bindingFailureConditions` of a device or of an allocation.
pub fn binding(at: &Node<'_>) {
    let (wanted, failing) = (at.get("bindingConditions"), at.get("bindingFailureConditions"));
    for list in [&wanted, &failing] {
        if few(list, CONDITIONS) {
            for item in list.items() {
                item.label_key();
            }
        }
    }
    wanted.distinct("");
    let known = wanted.texts();
    let items = failing.items();
    for (at, item) in items.iter().enumerate() {
        if items[..at].iter().any(|other| other.text() == item.text()) {
            item.duplicate();
        }
        if known.contains(&item.text()) {
            item.invalid("bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    let needs = |list: &Node<'_>, other: &Node<'_>, text: &str| {
        if list.is_empty() && !other.is_empty() {
            list.invalid(text);
        }
    };
    needs(&wanted, &failing, "bindingConditions are required to use bindingFailureConditions");
    needs(&failing, &wanted, "bindingFailureConditions are required to use bindingConditions");
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
        0 => attribute.error(Error::invalid(
            attribute.path().clone(),
            "",
            "exactly one value must be specified",
        )),
        1 => {}
        _ => attribute.invalid("exactly one value must be specified"),
    }
}

/// What may be asked of a capacity that several share.
fn request_policy(capacity: &Node<'_>, policy: &Node<'_>) {
    let (values, range, default) =
        (policy.get("validValues"), policy.get("validRange"), policy.get("default"));
    match (!values.is_empty(), range.has()) {
        (true, true) => policy.forbidden(
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
        ),
        (true, false) if !default.has() => default.missing("required when validValues is defined"),
        (true, false) => valid_values(capacity, &default, &values),
        (false, true) if !default.has() => default.missing("required when validRange is defined"),
        (false, true) => valid_range(capacity, &default, &range),
        (false, false) => {}
    }
}

fn valid_values(capacity: &Node<'_>, default: &Node<'_>, values: &Node<'_>) {
    let items = values.items();
    for pair in items.windows(2) {
        if pair[0].compare(&pair[1]) == Ordering::Greater {
            pair[1].invalid("values must be sorted in ascending order");
        }
    }
    let mut found = false;
    if few(values, 10) {
        for item in &items {
            if item.compare(capacity) == Ordering::Greater {
                item.invalid(format!("option is larger than capacity value: {}", capacity.quantity()));
            }
            found |= item.compare(default) == Ordering::Equal;
        }
        for (at, item) in items.iter().enumerate() {
            let whole = |node: &Node<'_>| node.quantity().value();
            if items[..at].iter().any(|other| whole(other) == whole(item)) {
                item.error(Error::duplicate(item.path().clone(), whole(item).to_string()));
            }
        }
    }
    if !found {
        let text = "default value is not valid according to the requestPolicy";
        values.error(Error::invalid(values.path().clone(), default.text(), text));
    }
}

fn valid_range(capacity: &Node<'_>, default: &Node<'_>, range: &Node<'_>) {
    let (min, max, step) = (range.get("min"), range.get("max"), range.get("step"));
    if !min.has() {
        return min.missing("required when validRange is defined");
    }
    let wrong = |at: &Node<'_>, shown: &Node<'_>, text: String| {
        at.error(Error::invalid(at.path().clone(), shown.text(), text));
    };
    if min.compare(capacity) == Ordering::Greater {
        wrong(&min, &min, format!("min is larger than capacity value: {}", capacity.text()));
    }
    if default.compare(&min) == Ordering::Less {
        wrong(&min, default, format!("default is less than min: {}", min.text()));
    }
    if max.has() {
        if min.compare(&max) == Ordering::Greater {
            wrong(&max, &min, format!("min is larger than max: {}", max.text()));
        }
        if max.compare(capacity) == Ordering::Greater {
            wrong(&max, &max, format!("max is larger than capacity value: {}", capacity.text()));
        }
        if default.compare(&max) == Ordering::Greater {
            wrong(&max, default, format!("default is more than max: {}", max.text()));
        }
    }
    if step.has() {
        let mut added = min.quantity();
        added.add(&step.quantity());
        if added.partial_cmp(&capacity.quantity()) == Some(Ordering::Greater) {
            let text = format!("one step {added} is larger than capacity value: {}", capacity.text());
            wrong(&step, &step, text);
        }
        for value in [Some(default), Some(&max).filter(|max| max.has())].into_iter().flatten() {
            let (from, by) = (min.quantity().value(), step.quantity().value());
            // A step of nothing would divide by it; upstream's server panics.
            if by == 0 || (value.quantity().value() - from) % by != 0 {
                let text = format!(
                    "value is not a multiple of a given step ({}) from ({})",
                    step.text(),
                    min.text()
                );
                wrong(&step, value, text);
            }
        }
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
