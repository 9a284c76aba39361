//! The FlowSchemas and PriorityLevelConfigurations that every cluster has: facts of
//! k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go.

use serde_json::{Value, json};

/// Objects with this annotation follow a newer server's defaults.
pub(crate) const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

const EVERYBODY: &[&str] = &["system:unauthenticated", "system:authenticated"];

/// Names and specifications.
pub(crate) fn priority_levels() -> Vec<(&'static str, Value)> {
    let queued = |shares: u32, lendable: u32, queues: u32, hand: u32| {
        json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}},
        }})
    };
    vec![
        (
            "exempt",
            json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
        ),
        (
            "catch-all",
            json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            }}),
        ),
        ("system", queued(30, 33, 64, 6)),
        ("node-high", queued(40, 25, 64, 6)),
        ("leader-election", queued(10, 0, 16, 4)),
        ("workload-high", queued(40, 50, 128, 6)),
        ("workload-low", queued(100, 90, 128, 6)),
        ("global-default", queued(20, 50, 128, 6)),
    ]
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

fn system_accounts() -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}})
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

/// Everything that `subjects` ask.
fn all_of(subjects: Vec<Value>) -> Value {
    json!([{
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }])
}

/// Names and specifications.
pub(crate) fn flow_schemas() -> Vec<(&'static str, Value)> {
    let schema = |name: &'static str, level: &str, precedence: u32, by: &str, rules: Value| {
        let mut spec = json!({
            "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": rules,
        });
        if !by.is_empty() {
            spec["distinguisherMethod"] = json!({"type": by});
        }
        (name, spec)
    };
    let probes = json!([{
        "subjects": groups(EVERYBODY),
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    }]);
    let mut electing = users(&["system:kube-controller-manager", "system:kube-scheduler"]);
    electing.push(system_accounts());
    let elections = json!([{
        "subjects": electing,
        "resourceRules": [resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)],
    }]);
    let heartbeats = json!([{
        "subjects": groups(&["system:nodes"]),
        "resourceRules": [
            resources(&["*"], "", &["nodes", "nodes/status"], true),
            resources(&["*"], "coordination.k8s.io", &["leases"], false),
        ],
    }]);
    let managers = users(&["system:kube-controller-manager"]);
    let schedulers = users(&["system:kube-scheduler"]);
    vec![
        schema("exempt", "exempt", 1, "", all_of(groups(&["system:masters"]))),
        schema("probes", "exempt", 2, "", probes),
        schema("system-leader-election", "leader-election", 100, "ByUser", elections),
        schema("system-node-high", "node-high", 400, "ByUser", heartbeats),
        schema("system-nodes", "system", 500, "ByUser", all_of(groups(&["system:nodes"]))),
        schema("kube-controller-manager", "workload-high", 800, "ByNamespace", all_of(managers)),
        schema("kube-scheduler", "workload-high", 800, "ByNamespace", all_of(schedulers)),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            "ByNamespace",
            all_of(vec![system_accounts()]),
        ),
        schema(
            "service-accounts",
            "workload-low",
            9000,
            "ByUser",
            all_of(groups(&["system:serviceaccounts"])),
        ),
        schema("global-default", "global-default", 9900, "ByUser", all_of(groups(EVERYBODY))),
        schema("catch-all", "catch-all", 10_000, "ByUser", all_of(groups(EVERYBODY))),
    ]
}
