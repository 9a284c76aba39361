//! Upstream's RBAC policy (`policy.tsv`: facts of plugin/pkg/auth/authorizer/rbac/bootstrappolicy) and its reconciling: rules and
//! subjects that are missing are added, what an administrator added stays, `autoupdate: "false"` is left alone.

use std::sync::Arc;

use api::Value;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::authz::rbac::{GROUP, Rule};
use crate::engine::update::Part;
use crate::server::Inner;
use crate::status::Result;

const POLICY: &str = include_str!("policy.tsv");
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

struct Item {
    plural: &'static str,
    namespace: &'static str,
    name: &'static str,
    value: Value,
}

/// Writes in flight at once: the store commits them together.
const TOGETHER: usize = 64;

pub(super) async fn reconcile(inner: &Arc<Inner>) -> Result<()> {
    let all = stream::iter(items()).map(|item| one(inner.clone(), item)).buffer_unordered(TOGETHER);
    all.try_collect::<Vec<()>>().await.map(drop)
}

async fn one(inner: Arc<Inner>, item: Item) -> Result<()> {
    let place = (GROUP, "v1", item.plural, item.namespace, item.name);
    let there = inner.ensure(place, item.value.clone()).await?.value();
    if there.at(&["metadata", "annotations", AUTOUPDATE]).and_then(Value::as_str) == Some("false") {
        return Ok(());
    }
    let list = if item.plural.ends_with("roles") { "rules" } else { "subjects" };
    if added(&there, &item.value, list).is_some() {
        let make = |old: &Value| {
            let mut new = old.clone();
            if let Some(all) = added(old, &item.value, list) {
                new.set(&[list], all);
            }
            Ok(new)
        };
        inner.change(place, Part::Main, &make).await?;
    }
    Ok(())
}

/// The list of `there` with what it lacks of `wanted`; `None` if it lacks nothing.
fn added(there: &Value, wanted: &Value, list: &str) -> Option<Vec<Value>> {
    // The rules of an aggregated role are the aggregation's.
    if wanted.get("aggregationRule").is_some() {
        return None;
    }
    let have = there.get(list).and_then(Value::as_array).unwrap_or_default();
    let same = |one: &Value, other: &Value| match list {
        "rules" => Rule::of(one) == Rule::of(other),
        _ => ["kind", "name", "namespace"].iter().all(|field| one.str_at(&[field]) == other.str_at(&[field])),
    };
    let missing: Vec<Value> = wanted
        .get(list)
        .and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter(|item| !have.iter().any(|own| same(own, item)))
        .cloned()
        .collect();
    (!missing.is_empty()).then(|| have.iter().cloned().chain(missing).collect())
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(|item| item.replace("\"\"", "")).collect()
}

fn metadata(labels: &str) -> Value {
    let mut value = Value::object();
    value.set(&["metadata", "annotations", AUTOUPDATE], "true");
    value.set(&["metadata", "labels", "kubernetes.io/bootstrapping"], "rbac-defaults");
    for (name, text) in labels.split(',').filter_map(|label| label.split_once('=')) {
        value.set(&["metadata", "labels", name], text);
    }
    value
}

fn items() -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for line in POLICY.lines().skip(1) {
        let row: Vec<&'static str> = line.split('\t').collect();
        let (what, namespace, name) = (row[0], row[1], row[2]);
        match what {
            "role" => {
                let mut value = metadata(row[3]);
                let selectors: Vec<Value> = row[4]
                    .split(',')
                    .filter_map(|label| label.split_once('='))
                    .map(|(name, text)| {
                        let mut selector = Value::object();
                        selector.set(&["matchLabels", name], text);
                        selector
                    })
                    .collect();
                if !selectors.is_empty() {
                    value.set(&["aggregationRule", "clusterRoleSelectors"], selectors);
                }
                value.set(&["rules"], Vec::new());
                let plural = if namespace.is_empty() { "clusterroles" } else { "roles" };
                items.push(Item { plural, namespace, name, value });
            }
            "rule" => {
                let rule = Rule {
                    verbs: list(row[5]),
                    groups: list(row[6]),
                    resources: list(row[7]),
                    names: list(row[8]),
                    urls: list(row[9]),
                };
                let role = items.last_mut().expect("because a role's row comes before its rules");
                role.value
                    .make(&["rules"])
                    .as_array_mut()
                    .expect("because the role's row made it")
                    .push(rule.value());
            }
            _ => {
                let mut value = metadata(row[3]);
                let (kind, role) = row[10].split_once('/').expect("because policy.tsv says kind/name");
                value.set(&["roleRef", "apiGroup"], GROUP);
                value.set(&["roleRef", "kind"], kind);
                value.set(&["roleRef", "name"], role);
                value.set(&["subjects"], row[11].split(';').filter_map(subject).collect::<Vec<_>>());
                let plural = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
                items.push(Item { plural, namespace, name, value });
            }
        }
    }
    items
}

/// `U::name`, `G::name`, `S:namespace:name`.
fn subject(text: &str) -> Option<Value> {
    let mut parts = text.splitn(3, ':');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let mut value = Value::object();
    match kind {
        "S" => {
            value.set(&["kind"], "ServiceAccount");
            value.set(&["name"], name);
            value.set(&["namespace"], namespace);
        }
        _ => {
            value.set(&["kind"], if kind == "U" { "User" } else { "Group" });
            value.set(&["apiGroup"], GROUP);
            value.set(&["name"], name);
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_policy() {
        let items = items();
        let admin = items.iter().find(|item| item.name == "cluster-admin").unwrap();
        assert_eq!(
            admin.value.get("rules").unwrap().to_string(),
            r#"[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]},{"verbs":["*"],"nonResourceURLs":["*"]}]"#
        );
        let masters = items.iter().filter(|item| item.plural == "clusterrolebindings");
        assert!(masters.clone().any(|item| item.value.to_string().contains("system:masters")));
        assert_eq!(added(&admin.value, &admin.value, "rules"), None);
    }
}
