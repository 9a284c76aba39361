//! RBAC: roles and bindings as small tables that follow the watch caches, so that a request is judged in microseconds.
//!
//! Allow only; the order of rules does not matter. An aggregated ClusterRole is judged by the rules of the roles that it
//! selects, whether or not somebody has written them into it yet.

use std::collections::HashMap;

use api::selector::Labels;
use api::{Key, Object, Resource, Value};
use client::Update;
use parking_lot::RwLock;

use super::Attributes;
use crate::Identity;

pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// See the module.
#[derive(Default)]
pub(crate) struct Rbac(RwLock<Tables>);

#[derive(Default)]
struct Tables {
    /// By `<namespace>/<name>`; a ClusterRole's namespace is empty.
    roles: HashMap<String, Role>,
    bindings: HashMap<Key, Binding>,
    /// `u:<user>` or `g:<group>`.
    by_subject: HashMap<String, Vec<Key>>,
}

struct Role {
    rules: Vec<Rule>,
    aggregates: Vec<Labels>,
    labels: Box<[(smol_str::SmolStr, smol_str::SmolStr)]>,
}

struct Binding {
    namespace: String,
    /// A key of [`Tables::roles`].
    role: String,
    subjects: Vec<String>,
    /// `ClusterRoleBinding "x"`, for the reason.
    text: String,
}

/// One PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub urls: Vec<String>,
}

impl Rule {
    pub fn of(value: &Value) -> Rule {
        let list = |name: &str| {
            let items = value.get(name).and_then(Value::as_array).unwrap_or_default();
            items.iter().filter_map(Value::as_str).map(String::from).collect()
        };
        Rule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    pub fn value(&self) -> Value {
        let mut value = Value::object();
        for (field, list) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !list.is_empty() {
                value.set(&[field], list.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>());
            }
        }
        value
    }

    /// k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac, `RuleAllows`.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        let has = |list: &[String], text: &str| list.iter().any(|own| own == "*" || own == text);
        if !has(&self.verbs, attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self.urls.iter().any(|url| match url.strip_suffix('*') {
                Some(head) => attributes.path.starts_with(head),
                None => url == attributes.path,
            });
        }
        has(&self.groups, attributes.group)
            && self.resources.iter().any(|resource| names(resource, attributes))
            && (self.names.is_empty() || self.names.iter().any(|name| name == attributes.name))
    }
}

/// `pods`, `pods/log`, `*/scale`, `*`.
fn names(resource: &str, attributes: &Attributes<'_>) -> bool {
    if resource == "*" {
        return true;
    }
    match (resource.split_once('/'), attributes.subresource) {
        (None, "") => resource == attributes.resource,
        (Some((head, tail)), subresource) if !subresource.is_empty() => {
            tail == subresource && (head == "*" || head == attributes.resource)
        }
        _ => false,
    }
}

impl Rbac {
    /// Follows the caches; called for every change before it is visible.
    pub fn observe(&self, resource: &Resource, update: &Update) {
        if resource.group != GROUP {
            return;
        }
        let (object, gone) = match update {
            Update::Put(object) => (object, false),
            Update::Delete(object) => (object, true),
        };
        let mut tables = self.0.write();
        match resource.plural.as_str() {
            "roles" | "clusterroles" => {
                let name = role_key(object.namespace(), object.name());
                match gone {
                    true => drop(tables.roles.remove(&name)),
                    false => drop(tables.roles.insert(name, Role::of(object))),
                }
            }
            "rolebindings" | "clusterrolebindings" => {
                tables.unbind(&object.key);
                if !gone {
                    tables.bind(object);
                }
            }
            _ => {}
        }
    }

    /// The reason if somebody allows it; else what could not be found.
    pub fn decide(&self, identity: &Identity, attributes: &Attributes<'_>) -> Result<String, String> {
        let tables = self.0.read();
        let mut missing = Vec::new();
        for binding in tables.bindings_of(identity) {
            if !binding.namespace.is_empty() && binding.namespace != attributes.namespace {
                continue;
            }
            if !tables.roles.contains_key(&binding.role) {
                missing.push(binding.role.trim_start_matches('/').to_string());
                continue;
            }
            if tables.any_rule(&binding.role, &mut |rule| rule.allows(attributes)) {
                return Ok(format!("RBAC: allowed by {} to {}", binding.text, describe(identity, binding)));
            }
        }
        match missing.is_empty() {
            true => Err(String::new()),
            false => {
                let texts: Vec<String> = missing
                    .iter()
                    .map(|name| format!("clusterrole.rbac.authorization.k8s.io {name:?} not found"))
                    .collect();
                Err(match texts.as_slice() {
                    [one] => format!("RBAC: {one}"),
                    many => format!("RBAC: [{}]", many.join(", ")),
                })
            }
        }
    }

    /// A ClusterRole by itself, bound or not.
    pub fn cluster_role_allows(&self, name: &str, attributes: &Attributes<'_>) -> bool {
        self.0.read().any_rule(&role_key("", name), &mut |rule| rule.allows(attributes))
    }

    /// Every rule that holds for `identity` in `namespace` (and everywhere).
    pub fn rules(&self, identity: &Identity, namespace: &str) -> Vec<Rule> {
        let tables = self.0.read();
        let mut all = Vec::new();
        for binding in tables.bindings_of(identity) {
            if binding.namespace.is_empty() || binding.namespace == namespace {
                tables.any_rule(&binding.role, &mut |rule| {
                    all.push(rule.clone());
                    false
                });
            }
        }
        all
    }

    /// The rules of a role; `None` if there is no such role.
    pub fn rules_of(&self, namespace: &str, name: &str) -> Option<Vec<Rule>> {
        let tables = self.0.read();
        let key = role_key(namespace, name);
        tables.roles.contains_key(&key).then(|| {
            let mut all = Vec::new();
            tables.any_rule(&key, &mut |rule| {
                all.push(rule.clone());
                false
            });
            all
        })
    }
}

fn describe(identity: &Identity, binding: &Binding) -> String {
    let user = format!("u:{}", identity.name);
    match binding.subjects.iter().find(|subject| **subject == user) {
        Some(_) => format!("User {:?}", identity.name),
        None => {
            let group = identity.groups.iter().find(|group| binding.subjects.contains(&format!("g:{group}")));
            format!("Group {:?}", group.map(String::as_str).unwrap_or_default())
        }
    }
}

fn role_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Role {
    fn of(object: &Object) -> Role {
        let value = object.value();
        let list = |value: &Value, path: &[&str]| -> Vec<Value> {
            value.at(path).and_then(Value::as_array).unwrap_or_default().to_vec()
        };
        Role {
            rules: list(&value, &["rules"]).iter().map(Rule::of).collect(),
            aggregates: list(&value, &["aggregationRule", "clusterRoleSelectors"])
                .iter()
                .filter_map(|selector| Labels::from_object(selector).ok())
                .collect(),
            labels: object.labels.clone(),
        }
    }
}

impl Tables {
    fn bindings_of<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = &'a Binding> {
        let user = std::iter::once(format!("u:{}", identity.name));
        let groups = identity.groups.iter().map(|group| format!("g:{group}"));
        user.chain(groups)
            .filter_map(|subject| self.by_subject.get(&subject))
            .flatten()
            .filter_map(|key| self.bindings.get(key))
    }

    fn any_rule(&self, role: &str, test: &mut dyn FnMut(&Rule) -> bool) -> bool {
        let Some(found) = self.roles.get(role) else { return false };
        if found.aggregates.is_empty() {
            return found.rules.iter().any(test);
        }
        let selected = |other: &Role| found.aggregates.iter().any(|labels| labels.matches(&other.labels));
        let mut seen = vec![role.to_string()];
        let others: Vec<&String> =
            self.roles.iter().filter(|(_, other)| selected(other)).map(|(name, _)| name).collect();
        // A selected role may aggregate too (admin selects edit, edit selects view): each is judged once.
        let mut queue = others;
        while let Some(name) = queue.pop() {
            if seen.contains(name) {
                continue;
            }
            seen.push(name.clone());
            let Some(other) = self.roles.get(name) else { continue };
            if other.rules.iter().any(&mut *test) {
                return true;
            }
            if !other.aggregates.is_empty() {
                let more = self
                    .roles
                    .iter()
                    .filter(|(_, role)| other.aggregates.iter().any(|labels| labels.matches(&role.labels)));
                queue.extend(more.map(|(name, _)| name));
            }
        }
        found.rules.iter().any(test)
    }

    fn unbind(&mut self, key: &Key) {
        let Some(old) = self.bindings.remove(key) else { return };
        for subject in &old.subjects {
            if let Some(keys) = self.by_subject.get_mut(subject) {
                keys.retain(|other| other != key);
                if keys.is_empty() {
                    self.by_subject.remove(subject);
                }
            }
        }
    }

    fn bind(&mut self, object: &Object) {
        let value = object.value();
        let namespace = object.namespace();
        let reference = value.get("roleRef").unwrap_or(&Value::Null);
        let of_cluster = reference.str_at(&["kind"]) == "ClusterRole";
        let role = role_key(if of_cluster { "" } else { namespace }, reference.str_at(&["name"]));
        let subjects = value.get("subjects").and_then(Value::as_array).unwrap_or_default();
        let mut named: Vec<String> = subjects
            .iter()
            .filter_map(|subject| {
                let name = subject.str_at(&["name"]);
                match subject.str_at(&["kind"]) {
                    "User" => Some(format!("u:{name}")),
                    "Group" => Some(format!("g:{name}")),
                    "ServiceAccount" => {
                        let own = subject.str_at(&["namespace"]);
                        let own = if own.is_empty() { namespace } else { own };
                        Some(format!("u:system:serviceaccount:{own}:{name}"))
                    }
                    _ => None,
                }
            })
            .collect();
        named.sort();
        named.dedup();
        for subject in &named {
            self.by_subject.entry(subject.clone()).or_default().push(object.key.clone());
        }
        let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
        let shown = match namespace {
            "" => object.name().to_string(),
            namespace => format!("{}/{namespace}", object.name()),
        };
        let role_kind = if of_cluster { "ClusterRole" } else { "Role" };
        let text = format!("{kind} {shown:?} of {role_kind} {:?}", reference.str_at(&["name"]));
        self.bindings
            .insert(object.key.clone(), Binding { namespace: namespace.into(), role, subjects: named, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(verb: &'a str, resource: &'a str, subresource: &'a str, name: &'a str) -> Attributes<'a> {
        Attributes { verb, resource, subresource, namespace: "d", name, ..Attributes::default() }
    }

    #[test]
    fn rules_allow_what_they_name() {
        let rule = |resources: &[&str], names: &[&str]| Rule {
            verbs: vec!["get".into()],
            groups: vec!["".into()],
            resources: resources.iter().map(|text| text.to_string()).collect(),
            names: names.iter().map(|text| text.to_string()).collect(),
            urls: Vec::new(),
        };
        assert!(rule(&["pods"], &[]).allows(&asked("get", "pods", "", "a")));
        assert!(!rule(&["pods"], &[]).allows(&asked("get", "pods", "log", "a")));
        assert!(!rule(&["pods"], &[]).allows(&asked("list", "pods", "", "a")));
        assert!(rule(&["*/scale"], &[]).allows(&asked("get", "pods", "scale", "a")));
        assert!(rule(&["*"], &[]).allows(&asked("get", "pods", "scale", "a")));
        assert!(rule(&["pods"], &["a"]).allows(&asked("get", "pods", "", "a")));
        assert!(!rule(&["pods"], &["b"]).allows(&asked("get", "pods", "", "a")));
    }
}
