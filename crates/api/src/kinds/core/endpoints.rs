//! Endpoints: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default, each, int, list};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "endpoints",
    storage: "v1",
    rules: || Box::new(FactsOnly { create_on_update: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    each(value, &["subsets"], |subset| {
        each(subset, &["ports"], |port| default(port, "protocol", "TCP"));
    });
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let mut shown: Vec<String> = Vec::new();
    for subset in list(value, &["subsets"]) {
        let addresses = || list(subset, &["addresses"]).iter().map(|address| address.str_at(&["ip"]));
        let ports = list(subset, &["ports"]);
        if ports.is_empty() {
            shown.extend(addresses().map(String::from));
        }
        for port in ports {
            let number = int(port, &["port"]);
            shown.extend(addresses().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{number}"),
                false => format!("{ip}:{number}"),
            }));
        }
    }
    let text = match shown.len() {
        0 if list(value, &["subsets"]).is_empty() => "<none>".into(),
        total if total > 3 => format!("{} + {} more...", shown[..3].join(","), total - 3),
        _ => shown.join(","),
    };
    vec![cells::name(value), text.into(), age(value, now)]
}
