//! Ingress: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::list;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ingresses",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, generation: true, row: Some(row), ..FactsOnly::new() }),
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let rules = list(value, &["spec", "rules"]);
    let hosts: Vec<&str> =
        rules.iter().map(|rule| rule.str_at(&["host"])).filter(|host| !host.is_empty()).collect();
    let hosts = match hosts.len() {
        0 => "*".into(),
        total if total > 3 => format!("{} + {} more...", hosts[..3].join(","), rules.len() - 3),
        _ => hosts.join(","),
    };
    let mut addresses: Vec<&str> = list(value, &["status", "loadBalancer", "ingress"])
        .iter()
        .map(
            |one| {
                if one.str_at(&["ip"]).is_empty() { one.str_at(&["hostname"]) } else { one.str_at(&["ip"]) }
            },
        )
        .filter(|text| !text.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let ports = if list(value, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        cells::name(value),
        cells::or(value.str_at(&["spec", "ingressClassName"]), "<none>"),
        hosts.into(),
        addresses.join(",").into(),
        ports.into(),
        age(value, now),
    ]
}
