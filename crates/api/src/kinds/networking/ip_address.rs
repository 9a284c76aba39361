//! IPAddress: a Service's address, taken. The object is named by the address.

use crate::Value;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::names;

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ipaddresses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            name: names::canonical_ip,
            check: |address| {
                let parent = address.at(&["spec", "parentRef"]);
                if !parent.has() {
                    return parent.missing("");
                }
                parent.get("group").is(names::dns_subdomain);
                parent.get("resource").path_segment();
                parent.get("name").path_segment();
                parent.get("namespace").is(names::path_segment);
            },
            update: |address, old| {
                address.at(&["spec", "parentRef"]).immutable(&old.at(&["spec", "parentRef"]));
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn row(address: &Value, now: i64) -> Vec<Value> {
    let of = |field: &str| address.str_at(&["spec", "parentRef", field]);
    let resource = match of("group") {
        "" => of("resource").to_string(),
        group => format!("{}.{group}", of("resource")),
    };
    let parent = match of("namespace") {
        "" => format!("{resource}/{}", of("name")),
        namespace => format!("{resource}/{namespace}/{}", of("name")),
    };
    vec![cells::name(address), parent.into(), age(address, now)]
}
