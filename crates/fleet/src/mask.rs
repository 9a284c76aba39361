//! Fields that are left to others: taken off before apply and compare (D13). `ignoreDifferences`, local overrides and
//! fields that an autoscaler owns are all this.

use api::Value;
use jiff::Timestamp;

use crate::inventory::Id;

/// Who leaves which fields of which objects to others, and until when. Empty texts match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    pub group: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    /// JSON pointers.
    pub pointers: Vec<String>,
    /// Fields that these managers own.
    pub managers: Vec<String>,
    /// Who asked for it, and until when.
    pub author: String,
    pub end: Option<Timestamp>,
}

impl Mask {
    fn is_for(&self, id: &Id, now: Timestamp) -> bool {
        let fits = |pattern: &str, text: &str| pattern.is_empty() || pattern == "*" || pattern == text;
        self.end.is_none_or(|end| now < end)
            && fits(&self.group, &id.group)
            && fits(&self.kind, &id.kind)
            && fits(&self.name, &id.name)
            && fits(&self.namespace, &id.namespace)
    }
}

/// Whether some field of an object is left to others, so that the live object must be read before it is applied.
pub fn concerns(masks: &[Mask], id: &Id, now: Timestamp) -> bool {
    masks.iter().any(|mask| !(mask.managers.is_empty() && mask.pointers.is_empty()) && mask.is_for(id, now))
}

/// Makes a manifest leave the masked fields to others; `noted` are pointers that the rendering found. Only for objects
/// that are there: a new one is made whole.
///
/// A field that we own already gets its live value: to leave it out would take it away. One that another manager owns
/// is left out, and so never taken back.
pub fn apply(masks: &[Mask], id: &Id, manifest: &mut Value, live: &Value, noted: &[String], now: Timestamp) {
    let here: Vec<&Mask> = masks.iter().filter(|mask| mask.is_for(id, now)).collect();
    let pointers = here.iter().flat_map(|mask| &mask.pointers).chain(noted);
    let mut paths: Vec<Vec<String>> = pointers
        .map(|pointer| {
            let parts = pointer.trim_start_matches('/').split('/');
            parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
        })
        .collect();
    // Later elements of a list first: taking one off moves those behind it.
    paths.sort_by(|a, b| by_position(b, a));
    let entries = live.at(&["metadata", "managedFields"]).and_then(Value::as_array).unwrap_or_default();
    for path in &paths {
        let ours = entries.iter().any(|entry| {
            entry.str_at(&["manager"]) == crate::cluster::MANAGER
                && entry.get("fieldsV1").is_some_and(|fields| owns(fields, path))
        });
        match value_at(live, path).filter(|_| ours) {
            Some(value) => put(manifest, path, value),
            None => take(manifest, path),
        }
    }
    for entry in entries {
        if here.iter().any(|mask| mask.managers.iter().any(|manager| manager == entry.str_at(&["manager"])))
            && let Some(fields) = entry.get("fieldsV1")
        {
            take_owned(manifest, fields);
        }
    }
}

fn by_position(a: &[String], b: &[String]) -> std::cmp::Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = match (a.parse::<usize>(), b.parse::<usize>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Whether a fieldsV1 set has something at or below a path of names. Paths through lists are never owned by name: their
/// elements have keys there.
fn owns(fields: &Value, path: &[String]) -> bool {
    match path.split_first() {
        None => true,
        Some((first, rest)) => fields.get(&format!("f:{first}")).is_some_and(|below| owns(below, rest)),
    }
}

fn value_at(value: &Value, path: &[String]) -> Option<Value> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    value.at(&path).cloned()
}

fn put(manifest: &mut Value, path: &[String], value: Value) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if manifest.at(&path).is_some() {
        manifest.set(&path, value);
    }
}

fn take(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Object(map) if rest.is_empty() => {
            map.remove(first);
        }
        Value::Object(map) => {
            if let Some(field) = map.get_mut(first) {
                take(field, rest);
            }
        }
        Value::Array(items) => {
            let Ok(at) = first.parse::<usize>() else { return };
            if at >= items.len() {
            } else if rest.is_empty() {
                items.remove(at);
            } else {
                take(&mut items[at], rest);
            }
        }
        _ => {}
    }
}

/// Takes the leaves of a fieldsV1 set off; list elements by key are looked into, not removed.
fn take_owned(value: &mut Value, fields: &Value) {
    let Some(fields) = fields.as_map() else { return };
    for (key, below) in fields.iter() {
        let leaf = below.as_map().is_none_or(|map| map.is_empty());
        if let Some(name) = key.strip_prefix("f:") {
            if let Some(map) = value.as_map_mut() {
                if leaf {
                    map.remove(name);
                } else if let Some(field) = map.get_mut(name) {
                    take_owned(field, below);
                }
            }
        } else if let Some(text) = key.strip_prefix("k:")
            && let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(text)
        {
            for item in value.as_array_mut().into_iter().flatten() {
                if keys.iter().all(|(key, wanted)| item.get(key) == Some(wanted)) {
                    take_owned(item, below);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_managers_take_fields_off() {
        let id = Id::new("apps", "Deployment", "a", "web");
        let mut manifest: Value = serde_json::from_str(
            r#"{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"c","image":"i","cpu":1}]}}}}"#,
        )
        .unwrap();
        let live: Value = serde_json::from_str(
            r#"{"metadata":{"managedFields":[{"manager":"vpa","fieldsV1":{"f:spec":{"f:template":{"f:spec":
            {"f:containers":{"k:{\"name\":\"c\"}":{"f:cpu":{}}}}}}}}]}}"#,
        )
        .unwrap();
        let masks = [
            Mask { kind: "Deployment".into(), pointers: vec!["/spec/replicas".into()], ..Mask::default() },
            Mask { managers: vec!["vpa".into()], ..Mask::default() },
            Mask { kind: "Service".into(), pointers: vec!["/spec".into()], ..Mask::default() },
        ];
        assert!(concerns(&masks, &id, Timestamp::UNIX_EPOCH));
        apply(&masks, &id, &mut manifest, &live, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(
            manifest.to_string(),
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#
        );
    }

    #[test]
    fn what_is_ours_keeps_its_live_value() {
        let id = Id::new("", "Thing", "", "");
        let mut manifest: Value =
            serde_json::from_str(r#"{"spec":{"replicas":1,"other":2,"list":[1,2,3]}}"#).unwrap();
        let live: Value = serde_json::from_str(
            r#"{"spec":{"replicas":5,"other":7},"metadata":{"managedFields":[
            {"manager":"skiff-fleet","operation":"Apply","fieldsV1":{"f:spec":{"f:replicas":{}}}}]}}"#,
        )
        .unwrap();
        let noted: Vec<String> =
            ["/spec/replicas", "/spec/other", "/spec/list/0", "/spec/list/2"].map(String::from).into();
        apply(&[], &id, &mut manifest, &live, &noted, Timestamp::UNIX_EPOCH);
        assert_eq!(manifest.to_string(), r#"{"spec":{"replicas":5,"list":[2]}}"#);
    }
}
