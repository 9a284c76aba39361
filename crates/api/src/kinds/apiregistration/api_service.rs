//! APIService: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, inside};
use crate::pod::condition;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "apiregistration.k8s.io",
    plural: "apiservices",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            defaults,
            row: Some(row),
            ..FactsOnly::new()
        })
    },
};

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec", "service"], |service| default_pointer(service, "port", 443i64));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let service = match value.at(&["spec", "service"]).filter(|service| !service.is_null()) {
        None => "Local".into(),
        Some(service) => format!("{}/{}", service.str_at(&["namespace"]), service.str_at(&["name"])),
    };
    let available = match condition(value, "Available") {
        None => "Unknown".into(),
        Some(found) if found.str_at(&["status"]) == "True" => "True".into(),
        Some(found) => format!("{} ({})", found.str_at(&["status"]), found.str_at(&["reason"])),
    };
    vec![cells::name(value), service.into(), available.into(), age(value, now)]
}
