//! TaintNodesByCondition: a new node takes no pods until it was seen to be ready.

use super::Plugin;
use api::Value;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "TaintNodesByCondition",
    default: true,
    handles: |request| request.creates("", "nodes"),
    mutate: Some(|_, value| {
        create(value);
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: None,
};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

fn create(node: &mut Value) {
    let taints = node.make(&["spec", "taints"]);
    if taints.as_array().is_none() {
        *taints = Vec::new().into();
    }
    let Some(taints) = taints.as_array_mut() else { return };
    let there =
        |taint: &Value| taint.str_at(&["key"]) == NOT_READY && taint.str_at(&["effect"]) == "NoSchedule";
    if !taints.iter().any(there) {
        let mut taint = Value::object();
        taint.set(&["key"], NOT_READY);
        taint.set(&["effect"], "NoSchedule");
        taints.push(taint);
    }
}
