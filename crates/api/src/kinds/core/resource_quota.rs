//! ResourceQuota.

use crate::Value;
use crate::field::Error;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::core::pod::validate::resources::{is_integer, is_quota_name, known_name};
use crate::kinds::edit::entries;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "resourcequotas",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            defaults,
            check: |quota| {
                spec(&quota.get("spec"));
                amounts(&quota.at(&["status", "hard"]));
                amounts(&quota.at(&["status", "used"]));
            },
            update_alone: true,
            update: |quota, old| {
                spec(&quota.get("spec"));
                let scopes = quota.at(&["spec", "scopes"]);
                let set = |node: &Node<'_>| {
                    let mut texts: Vec<String> = node.texts().into_iter().map(String::from).collect();
                    texts.sort();
                    texts.dedup();
                    texts
                };
                if set(&scopes) != set(&old.at(&["spec", "scopes"])) {
                    scopes.invalid("field is immutable");
                }
            },
            check_status: |quota, _| {
                amounts(&quota.at(&["status", "hard"]));
                amounts(&quota.at(&["status", "used"]));
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
const OF_PODS: [&str; 7] =
    ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/// Names and amounts.
fn amounts(list: &Node<'_>) {
    for (name, amount) in list.entries() {
        amount.by(|_, path, errors| {
            known_name(name, path, errors);
        });
        if !name.contains('/') && !is_quota_name(name) {
            let text = "must be a standard resource for quota";
            amount.error(Error::invalid(amount.path().clone(), name, text));
        }
        amount.nonnegative_quantity();
        if is_integer(name) && amount.quantity().milli_value() % 1000 != 0 {
            amount.invalid("must be an integer");
        }
    }
}

/// The scope can be asked of this resource.
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => OF_PODS.contains(&resource),
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn spec(spec: &Node<'_>) {
    let hard = spec.get("hard");
    amounts(&hard);
    let misfits = |scope: &str| {
        let names = hard.entries();
        names.iter().filter(|(name, _)| is_quota_name(name) && !fits(scope, name)).count()
    };
    let scopes = spec.get("scopes");
    for scope in scopes.texts() {
        if !SCOPES.contains(&scope) {
            scopes.invalid("unsupported scope");
        }
        for _ in 0..misfits(scope) {
            scopes.invalid("unsupported scope applied to resource");
        }
    }
    let conflicts = |set: &[&str]| {
        for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
            if pair.iter().all(|scope| set.contains(scope)) {
                scopes.invalid("conflicting scopes");
            }
        }
    };
    conflicts(&scopes.texts());
    let selector = spec.get("scopeSelector");
    if !selector.has() {
        return;
    }
    // Upstream's paths have no index.
    let path = selector.path().child("matchExpressions");
    let mut set = Vec::new();
    for expression in selector.get("matchExpressions").items() {
        let at = |field: &str| expression.get(field).named(path.child(field));
        let (scope, operator, values) = (at("scopeName"), at("operator"), at("values"));
        let invalid = |node: &Node<'_>, text: &str| {
            node.error(Error::invalid(node.path().clone(), node.text(), text));
        };
        if !SCOPES.contains(&scope.text()) {
            invalid(&scope, "unsupported scope");
        }
        for _ in 0..misfits(scope.text()) {
            selector.named(path.clone()).invalid("unsupported scope applied to resource");
        }
        let plain = !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass");
        if plain && SCOPES.contains(&scope.text()) && operator.text() != "Exists" {
            invalid(
                &operator,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                 ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match operator.text() {
            "In" | "NotIn" => drop(values.required_for(
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                values.invalid(
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                );
            }
            "Exists" | "DoesNotExist" => {}
            _ => invalid(&operator, "not a valid selector operator"),
        }
        set.push(scope.text());
    }
    conflicts(&set);
}

fn defaults(_: &str, value: &mut Value) {
    for path in [["spec", "hard"], ["status", "hard"], ["status", "used"]] {
        round(value.at_mut(&path));
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut hard: Vec<(&str, &Value)> = entries(value, &["status", "hard"]).collect();
    hard.sort_by_key(|(name, _)| *name);
    for (name, amount) in hard {
        let used = value.at(&["status", "used", name]).and_then(Value::as_str).unwrap_or("0");
        let texts = if name.starts_with("limits.") { &mut limits } else { &mut requests };
        texts.push(format!("{name}: {used}/{}", amount.as_str().unwrap_or("0")));
    }
    vec![cells::name(value), requests.join(", ").into(), limits.join(", ").into(), age(value, now)]
}
