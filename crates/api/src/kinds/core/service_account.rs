//! ServiceAccount: of the secrets it names only the names are kept.

use crate::Value;
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{each, has};
use crate::table::{age, cells};

pub const KIND: Builtin =
    Builtin { group: "", plural: "serviceaccounts", storage: "v1", rules: || Box::new(ServiceAccount) };

struct ServiceAccount;

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

fn only_names(value: &mut Value) {
    each(value, &["secrets"], |secret| {
        let name = secret.str_at(&["name"]).to_string();
        *secret = Value::object();
        secret.set(&["name"], name);
    });
}

impl Rules for ServiceAccount {
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        only_names(new);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, _: &Value) {
        only_names(new);
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let path = ["metadata", "annotations", MOUNTABLE];
        if has(new, &path) && !old.is_some_and(|old| has(old, &path)) {
            return vec![format!(
                "metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access \
                 to mounted secrets"
            )];
        }
        Vec::new()
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(vec![cells::name(value), age(value, now)])
    }
}
