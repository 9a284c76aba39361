//! RFC 7386. Like upstream's library it also takes nulls out of objects inside the lists of a patch.

use crate::Value;

/// Merges `patch` into `document`.
pub fn merge_patch(document: Value, mut patch: Value) -> Value {
    match (document, &mut patch) {
        (Value::Object(mut document), Value::Object(fields)) => {
            for (key, value) in std::mem::take(fields) {
                if value.is_null() {
                    document.remove(&key);
                } else {
                    let before = document.get_mut(&key).map(std::mem::take).unwrap_or_default();
                    document.insert(key, merge_patch(before, value));
                }
            }
            Value::Object(document)
        }
        _ => {
            prune(&mut patch);
            patch
        }
    }
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.iter_mut().for_each(|(_, value)| prune(value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}
