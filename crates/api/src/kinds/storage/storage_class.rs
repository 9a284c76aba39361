//! StorageClass: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, flag};
use crate::table::age;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "storageclasses",
    storage: "v1",
    rules: || Box::new(FactsOnly { defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    default_pointer(value, "reclaimPolicy", "Delete");
    default_pointer(value, "volumeBindingMode", "Immediate");
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let mut name = value.str_at(&["metadata", "name"]).to_string();
    let marked = |key: &str| value.str_at(&["metadata", "annotations", key]) == "true";
    if marked("storageclass.kubernetes.io/is-default-class")
        || marked("storageclass.beta.kubernetes.io/is-default-class")
    {
        name.push_str(" (default)");
    }
    vec![
        name.into(),
        value.str_at(&["provisioner"]).into(),
        value.str_at(&["reclaimPolicy"]).into(),
        value.str_at(&["volumeBindingMode"]).into(),
        flag(value, &["allowVolumeExpansion"]).into(),
        age(value, now),
    ]
}
