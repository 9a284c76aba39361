//! RFC 7386 merge patches: the smallest from one value to another, so that what did not change is not written.

use serde::Serialize;
use serde_json::{Map, Value};

/// `None`: nothing differs. Lists are replaced whole, as the RFC has it.
pub fn merge(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (key, value) in new {
                match old.get(key) {
                    Some(was) => {
                        if let Some(change) = merge(was, value) {
                            patch.insert(key.clone(), change);
                        }
                    }
                    None => drop(patch.insert(key.clone(), value.clone())),
                }
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            (!patch.is_empty()).then(|| patch.into())
        }
        _ => (old != new).then(|| new.clone()),
    }
}

/// Applies a merge patch to `value` (RFC 7386).
pub fn apply(value: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let target = value.as_object_mut().expect("because it was just made an object");
    for (key, change) in fields {
        match change {
            Value::Null => drop(target.shift_remove(key)),
            change => apply(target.entry(key.clone()).or_insert(Value::Null), change),
        }
    }
}

/// As [`merge`], for typed values.
pub fn typed<T: Serialize>(old: &T, new: &T) -> Result<Option<Value>, serde_json::Error> {
    Ok(merge(&serde_json::to_value(old)?, &serde_json::to_value(new)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_only_what_changed() {
        let old = json!({ "a": 1, "b": { "c": [1], "d": 2 }, "e": 3 });
        assert_eq!(merge(&old, &old), None);
        let new = json!({ "a": 1, "b": { "c": [1, 2], "d": 2 }, "f": 4 });
        let patch = json!({ "b": { "c": [1, 2] }, "e": null, "f": 4 });
        assert_eq!(merge(&old, &new), Some(patch.clone()));
        let mut value = old;
        apply(&mut value, &patch);
        assert_eq!(value, new);
    }
}
