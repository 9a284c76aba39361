//! From two statuses to the strategic merge patch that makes the second of the first.
//!
//! Only fields that differ are sent, so that what others write into a pod's status (conditions, resize) survives. Pure.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

use crate::pod::spec;

/// Lists that merge by a key, with that key (`facts/schema.tsv`: patch strategy merge).
const MERGED: [(&str, &str); 4] =
    [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip"), ("resourceClaimStatuses", "name")];

/// `None` if nothing differs.
pub fn patch(pod: &Pod, wanted: &PodStatus) -> Option<Value> {
    let known = tree(pod.status.as_ref());
    let wanted = tree(Some(wanted));
    let mut status = Map::new();
    for (field, value) in &wanted {
        if known.get(field) == Some(value) {
            continue;
        }
        let merged = MERGED.iter().find(|(name, _)| name == field);
        let value = match (merged, known.get(field), value) {
            (Some((_, key)), Some(Value::Array(old)), Value::Array(new)) => {
                Value::Array(merge(old, new, key))
            }
            _ => value.clone(),
        };
        status.insert(field.clone(), value);
    }
    for field in known.keys().filter(|field| !wanted.contains_key(*field)) {
        status.insert(field.clone(), Value::Null);
    }
    // The uid makes the server refuse the patch if another pod took the name.
    (!status.is_empty()).then(|| json!({"metadata": {"uid": spec::uid(pod)}, "status": status}))
}

/// Whether two statuses say the same, with empty and absent fields taken as one.
pub fn same(one: &PodStatus, other: &PodStatus) -> bool {
    one == other || tree(Some(one)) == tree(Some(other))
}

fn merge(old: &[Value], new: &[Value], key: &str) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    for item in new.iter().filter(|item| !old.contains(item)) {
        let mut item = item.clone();
        // An item merges with the one of its key: what it has no more must be taken out by name.
        if let (Some(Value::Object(before)), Value::Object(fields)) =
            (old.iter().find(|other| other.get(key) == item.get(key)), &mut item)
        {
            for gone in before.keys().filter(|field| !fields.contains_key(*field)).collect::<Vec<_>>() {
                fields.insert(gone.clone(), Value::Null);
            }
        }
        items.push(item);
    }
    for gone in old.iter().filter(|item| !new.iter().any(|other| other.get(key) == item.get(key))) {
        items.push(json!({"$patch": "delete", key: gone.get(key)}));
    }
    items
}

fn tree(status: Option<&PodStatus>) -> Map<String, Value> {
    match status.map(serde_json::to_value) {
        Some(Ok(Value::Object(mut fields))) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !empty(value));
            fields
        }
        _ => Map::new(),
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !empty(value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_what_differs() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "status": {"phase": "Pending", "reason": "x",
            "podIPs": [{"ip": "1.1.1.1"}],
            "conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True", "reason": "r"}],
            "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "lastState": {}}]}}))
        .unwrap();
        let wanted: PodStatus = serde_json::from_value(json!({"phase": "Running", "podIPs": [{"ip": "2.2.2.2"}],
            "conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "False"}],
            "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0}]}))
        .unwrap();
        assert_eq!(
            patch(&pod, &wanted).unwrap(),
            json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "reason": null,
                "podIPs": [{"ip": "2.2.2.2"}, {"$patch": "delete", "ip": "1.1.1.1"}],
                "conditions": [{"type": "B", "status": "False", "reason": null}]}})
        );
        assert_eq!(patch(&pod, &pod.status.clone().unwrap()), None);
    }
}
