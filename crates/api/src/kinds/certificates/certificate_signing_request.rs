//! CertificateSigningRequest: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::pod::condition;
use crate::table::{age, cells, duration};

pub const KIND: Builtin = Builtin {
    group: "certificates.k8s.io",
    plural: "certificatesigningrequests",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, row: Some(row), ..FactsOnly::new() }),
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let has = |kind: &str| condition(value, kind).is_some();
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        _ => "Pending",
    }
    .to_string();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !value.str_at(&["status", "certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let seconds = value.at(&["spec", "expirationSeconds"]).and_then(Value::as_int);
    vec![
        cells::name(value),
        age(value, now),
        cells::or(value.str_at(&["spec", "signerName"]), "<none>"),
        value.str_at(&["spec", "username"]).into(),
        seconds.map_or("<none>".into(), duration::human).into(),
        state.into(),
    ]
}
