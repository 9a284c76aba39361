//! First contact (D13): the fields of those who applied an object before us become ours, once, so that a field that Git
//! no longer has goes away and is not held by a manager who will never come back.

use api::{Map, Value};

use crate::cluster::MANAGER;

/// Appliers whose place we take.
const EARLIER: [&str; 12] = [
    "kubectl-client-side-apply",
    "kubectl",
    "before-first-apply",
    "helm",
    "Helm",
    "argocd-controller",
    "argocd-application-controller",
    "kustomize-controller",
    "helm-controller",
    "fleetagent",
    "kubectl-create",
    "deploy",
];

/// Where `kubectl apply` notes what it applied, as a field that is owned.
const LAST_APPLIED: &str = "f:kubectl.kubernetes.io/last-applied-configuration";

/// The JSON patch that moves their fields to us; `None`: nothing to move.
pub fn take_over(live: &Value) -> Option<Value> {
    let entries = live.at(&["metadata", "managedFields"])?.as_array()?;
    let is_ours =
        |entry: &Value| entry.str_at(&["manager"]) == MANAGER && entry.str_at(&["operation"]) == "Apply";
    let is_earlier = |entry: &Value| {
        EARLIER.contains(&entry.str_at(&["manager"])) && entry.str_at(&["subresource"]).is_empty()
    };
    let first = entries.iter().find(|entry| is_earlier(entry))?;
    let mut fields = Value::object();
    for entry in entries.iter().filter(|entry| is_earlier(entry) || is_ours(entry)) {
        if let Some(more) = entry.get("fieldsV1") {
            unite(&mut fields, more);
        }
    }
    // kubectl's own note is nobody's from now on: it stays, so that `kubectl apply` can take over again.
    disown(&mut fields, &["f:metadata", "f:annotations", LAST_APPLIED]);
    let mut merged = first.clone();
    merged.set(&["manager"], MANAGER);
    merged.set(&["operation"], "Apply");
    merged.set(&["fieldsV1"], fields);
    let mut all = vec![merged];
    all.extend(entries.iter().filter(|entry| !is_earlier(entry) && !is_ours(entry)).cloned());
    let operation = |path: &str, value: Value| {
        Value::Object(Map::from_iter([
            ("op", Value::from("replace")),
            ("path", Value::from(path)),
            ("value", value),
        ]))
    };
    let revision = live.at(&["metadata", "resourceVersion"])?.clone();
    Some(Value::Array(vec![
        operation("/metadata/managedFields", Value::Array(all)),
        // Only if nobody wrote since it was read.
        operation("/metadata/resourceVersion", revision),
    ]))
}

/// Takes a leaf off, and what holds nothing else but itself then.
fn disown(fields: &mut Value, path: &[&str]) {
    let (Some((first, rest)), Some(map)) = (path.split_first(), fields.as_map_mut()) else { return };
    let empty = match map.get_mut(first) {
        None => return,
        Some(_) if rest.is_empty() => true,
        Some(below) => {
            let held = below.as_map().is_some_and(|map| !map.is_empty());
            disown(below, rest);
            held && below.as_map().is_some_and(|map| map.iter().all(|(key, _)| key.as_str() == "."))
        }
    };
    if empty {
        map.remove(first);
    }
}

fn unite(into: &mut Value, more: &Value) {
    let Some(more) = more.as_map() else { return };
    if into.as_map().is_none() {
        *into = Value::object();
    }
    let map = into.as_map_mut().expect("because it was just made one");
    for (key, value) in more.iter() {
        match map.get_mut(key) {
            Some(old) => unite(old, value),
            None => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_appliers_fields_become_ours_once() {
        let live: Value = serde_json::from_str(
            r#"{"metadata":{"resourceVersion":"7","managedFields":[
            {"manager":"kubectl-client-side-apply","operation":"Update","fieldsV1":{"f:spec":{"f:a":{}}}},
            {"manager":"helm","operation":"Update","fieldsV1":{"f:spec":{"f:b":{}}}},
            {"manager":"kube-controller-manager","operation":"Update","subresource":"status","fieldsV1":{"f:status":{}}}]}}"#,
        )
        .unwrap();
        let patch = take_over(&live).unwrap();
        let all = patch.as_array().unwrap()[0].get("value").unwrap().as_array().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].str_at(&["manager"]), MANAGER);
        assert_eq!(all[0].get("fieldsV1").unwrap().to_string(), r#"{"f:spec":{"f:a":{},"f:b":{}}}"#);
        let mut done = live.clone();
        *done.make(&["metadata", "managedFields"]) = Value::Array(all.to_vec());
        assert_eq!(take_over(&done), None);

        // kubectl's note stays, whosever it is.
        let mut noted = live;
        let note = r#"{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}},"f:labels":{"f:a":{}}}}"#;
        *noted.make(&["metadata", "managedFields"]).as_array_mut().unwrap()[0].make(&["fieldsV1"]) =
            serde_json::from_str(note).unwrap();
        let patch = take_over(&noted).unwrap().to_string();
        assert!(patch.contains(r#"{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:b":{}}}"#), "{patch}");
    }
}
