//! The CustomResourceDefinitions of Flux, with upstream's fields, and without its texts. The beta version is served for
//! repositories that still use it, with the same fields.

use api::Value;

pub(super) fn repository() -> Vec<Value> {
    vec![with_beta(include_str!("gitrepositories.json"))]
}

pub(super) fn kustomization() -> Vec<Value> {
    vec![with_beta(include_str!("kustomizations.json"))]
}

fn with_beta(text: &str) -> Value {
    let mut definition: Value = serde_json::from_str(text).expect("because a test reads it");
    let versions = definition.at_mut(&["spec", "versions"]).and_then(Value::as_array_mut);
    let versions = versions.expect("because a test reads it");
    let mut beta = versions[0].clone();
    beta.set(&["name"], "v1beta2");
    beta.set(&["storage"], false);
    beta.set(&["deprecated"], true);
    beta.set(&["deprecationWarning"], "this version is deprecated; use v1");
    versions.push(beta);
    definition
}
