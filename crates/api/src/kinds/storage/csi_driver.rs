//! CSIDriver: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, flag, has, list};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csidrivers",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            generation: true,
            unconditional_update: false,
            defaults,
            row: Some(row),
            ..FactsOnly::new()
        })
    },
};

fn defaults(_: &str, value: &mut Value) {
    let spec = value.make(&["spec"]);
    default_pointer(spec, "attachRequired", true);
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish"] {
        default_pointer(spec, field, false);
    }
    default_pointer(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if list(spec, &["volumeLifecycleModes"]).is_empty() {
        spec.set(&["volumeLifecycleModes"], vec![Value::from("Persistent")]);
    }
    default_pointer(spec, "seLinuxMount", false);
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let of = |field: &str| flag(value, &["spec", field]).into();
    let join = |field: &str, name: &[&str]| {
        let items = list(value, &["spec", field]).iter();
        items.filter_map(|item| item.at(name)?.as_str()).collect::<Vec<_>>().join(",")
    };
    let audiences = match has(value, &["spec", "tokenRequests"]) {
        true => join("tokenRequests", &["audience"]),
        false => "<unset>".into(),
    };
    vec![
        cells::name(value),
        of("attachRequired"),
        of("podInfoOnMount"),
        of("storageCapacity"),
        audiences.into(),
        of("requiresRepublish"),
        cells::or(&join("volumeLifecycleModes", &[]), "<none>"),
        age(value, now),
    ]
}
