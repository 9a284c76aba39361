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

/// Whether a mask needs the live object, because it names managers.
pub fn needs_live(masks: &[Mask], id: &Id, now: Timestamp) -> bool {
    masks.iter().any(|mask| !mask.managers.is_empty() && mask.is_for(id, now))
}

/// Takes the masked fields off a manifest.
pub fn apply(masks: &[Mask], id: &Id, manifest: &mut Value, live: Option<&Value>, now: Timestamp) {
    for mask in masks.iter().filter(|mask| mask.is_for(id, now)) {
        for pointer in &mask.pointers {
            let path: Vec<String> = pointer
                .trim_start_matches('/')
                .split('/')
                .map(|part| part.replace("~1", "/").replace("~0", "~"))
                .collect();
            take(manifest, &path);
        }
        let entries = live.and_then(|live| live.at(&["metadata", "managedFields"])).and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            if mask.managers.iter().any(|manager| manager == entry.str_at(&["manager"]))
                && let Some(fields) = entry.get("fieldsV1")
            {
                take_owned(manifest, fields);
            }
        }
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
        let id =
            Id { group: "apps".into(), kind: "Deployment".into(), namespace: "a".into(), name: "web".into() };
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
        assert!(needs_live(&masks, &id, Timestamp::UNIX_EPOCH));
        apply(&masks, &id, &mut manifest, Some(&live), Timestamp::UNIX_EPOCH);
        assert_eq!(
            manifest.to_string(),
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#
        );
    }
}
