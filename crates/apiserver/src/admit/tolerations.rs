//! DefaultTolerationSeconds: a pod outlives its node's silence by five minutes, unless it says otherwise.

use super::Plugin;
use api::Value;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "DefaultTolerationSeconds",
    default: true,
    handles: |request| request.creates("", "pods") || request.updates("", "pods"),
    mutate: Some(|_, value| {
        add(value);
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: None,
};

const SECONDS: i64 = 300;

fn add(pod: &mut Value) {
    let there = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).unwrap_or_default();
    let covers = |key: &str| {
        there.iter().any(|toleration| {
            let own = toleration.str_at(&["key"]);
            (own == key || own.is_empty()) && matches!(toleration.str_at(&["effect"]), "NoExecute" | "")
        })
    };
    let missing: Vec<&str> = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
        .into_iter()
        .filter(|key| !covers(key))
        .collect();
    if missing.is_empty() {
        return;
    }
    let mut all = there.to_vec();
    for key in missing {
        let mut toleration = Value::object();
        toleration.set(&["key"], key);
        toleration.set(&["operator"], "Exists");
        toleration.set(&["effect"], "NoExecute");
        toleration.set(&["tolerationSeconds"], SECONDS);
        all.push(toleration);
    }
    pod.set(&["spec", "tolerations"], all);
}
