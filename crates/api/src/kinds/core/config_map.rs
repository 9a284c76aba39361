//! ConfigMap: keys, size, and the lock that `immutable` is.

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{entries, flag, has, same};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::names;

pub const KIND: Builtin =
    Builtin { group: "", plural: "configmaps", storage: "v1", rules: || Box::new(ConfigMap) };

struct ConfigMap;

/// Most bytes of a ConfigMap's or Secret's values together.
pub(super) const MOST: usize = 1024 * 1024;

/// The length of what base64 text stands for.
pub(super) fn decoded_length(text: &str) -> usize {
    text.len() / 4 * 3 - text.bytes().rev().take(2).filter(|byte| *byte == b'=').count().min(text.len())
}

/// What `immutable: true` forbids.
pub(super) fn locked(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if !flag(old, &["immutable"]) {
        return;
    }
    let text = "field is immutable when `immutable` is set";
    if !flag(new, &["immutable"]) {
        errors.push(Error::forbidden(Path::new("immutable"), text));
    }
    for field in fields {
        if !same(new.get(field), old.get(field)) {
            errors.push(Error::forbidden(Path::new(field), text));
        }
    }
}

impl Rules for ConfigMap {
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let mut size = 0;
        for (key, value) in entries(new, &["data"]) {
            let path = Path::new("data").key(key);
            check::format(key, &path, names::config_key, errors);
            if has(new, &["binaryData", key]) {
                errors.push(Error::invalid(path, key, "duplicate of key present in binaryData"));
            }
            size += value.as_str().unwrap_or_default().len();
        }
        for (key, value) in entries(new, &["binaryData"]) {
            check::format(key, &Path::new("binaryData").key(key), names::config_key, errors);
            size += decoded_length(value.as_str().unwrap_or_default());
        }
        if size > MOST {
            errors.push(Error::too_long(Path::new("[]"), MOST));
        }
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        locked(new, old, &["data", "binaryData"], errors);
        self.validate_create(context, new, errors);
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        let count = entries(value, &["data"]).count() + entries(value, &["binaryData"]).count();
        Some(vec![cells::name(value), Value::Int(count as i64), age(value, now)])
    }
}
