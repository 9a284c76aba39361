//! FlowSchemas: which requests one matches, and what tells the flows in it apart.

use api::{Object, Value};

use crate::Identity;
use crate::http::Info;

/// One FlowSchema, as it is asked.
pub(super) struct Schema {
    pub name: String,
    pub uid: String,
    pub precedence: i64,
    pub level: String,
    by: Distinguisher,
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    None,
    User,
    Namespace,
}

struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<Resources>,
    paths: Vec<Paths>,
}

enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

struct Resources {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster_scope: bool,
}

struct Paths {
    verbs: Vec<String>,
    paths: Vec<String>,
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    list(value, field).iter().filter_map(Value::as_str).map(String::from).collect()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).unwrap_or_default()
}

impl Schema {
    pub fn of(object: &Object) -> Schema {
        let value = object.value();
        let spec = value.get("spec").cloned().unwrap_or_default();
        Schema {
            name: object.name().into(),
            uid: object.uid.0.to_string(),
            precedence: spec.get("matchingPrecedence").and_then(Value::as_int).unwrap_or(1000),
            level: spec.str_at(&["priorityLevelConfiguration", "name"]).into(),
            by: match spec.str_at(&["distinguisherMethod", "type"]) {
                "ByUser" => Distinguisher::User,
                "ByNamespace" => Distinguisher::Namespace,
                _ => Distinguisher::None,
            },
            rules: list(&spec, "rules").iter().map(Rule::of).collect(),
        }
    }

    pub fn matches(&self, identity: &Identity, info: &Info) -> bool {
        self.rules.iter().any(|rule| rule.matches(identity, info))
    }

    /// Requests of one number share their fate.
    pub fn flow(&self, identity: &Identity, info: &Info) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        self.name.hash(&mut hasher);
        match self.by {
            Distinguisher::None => {}
            Distinguisher::User => identity.name.hash(&mut hasher),
            Distinguisher::Namespace => info.namespace.hash(&mut hasher),
        }
        hasher.finish()
    }
}

impl Rule {
    fn of(value: &Value) -> Rule {
        let subject = |value: &Value| match value.str_at(&["kind"]) {
            "User" => Some(Subject::User(value.str_at(&["user", "name"]).into())),
            "Group" => Some(Subject::Group(value.str_at(&["group", "name"]).into())),
            "ServiceAccount" => Some(Subject::ServiceAccount {
                namespace: value.str_at(&["serviceAccount", "namespace"]).into(),
                name: value.str_at(&["serviceAccount", "name"]).into(),
            }),
            _ => None,
        };
        let resources = |value: &Value| Resources {
            verbs: texts(value, "verbs"),
            groups: texts(value, "apiGroups"),
            resources: texts(value, "resources"),
            namespaces: texts(value, "namespaces"),
            cluster_scope: value.get("clusterScope").and_then(Value::as_bool).unwrap_or(false),
        };
        let paths =
            |value: &Value| Paths { verbs: texts(value, "verbs"), paths: texts(value, "nonResourceURLs") };
        Rule {
            subjects: list(value, "subjects").iter().filter_map(subject).collect(),
            resources: list(value, "resourceRules").iter().map(resources).collect(),
            paths: list(value, "nonResourceRules").iter().map(paths).collect(),
        }
    }

    fn matches(&self, identity: &Identity, info: &Info) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(identity)) {
            return false;
        }
        match info.is_resource {
            true => self.resources.iter().any(|rule| rule.matches(info)),
            false => self.paths.iter().any(|rule| rule.matches(info)),
        }
    }
}

impl Subject {
    fn is(&self, identity: &Identity) -> bool {
        match self {
            Subject::User(name) => name == "*" || *name == identity.name,
            Subject::Group(name) => name == "*" || identity.is_in(name),
            Subject::ServiceAccount { namespace, name } => identity
                .name
                .strip_prefix("system:serviceaccount:")
                .and_then(|rest| rest.split_once(':'))
                .is_some_and(|(own, account)| own == namespace && (name == "*" || name == account)),
        }
    }
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|own| own == "*" || own == text)
}

impl Resources {
    fn matches(&self, info: &Info) -> bool {
        let place = match info.namespace.is_empty() {
            true => self.cluster_scope,
            false => has(&self.namespaces, &info.namespace),
        };
        let named = || match info.subresource.as_str() {
            "" => has(&self.resources, &info.resource),
            sub => self.resources.iter().any(|own| {
                own == "*"
                    || own.split_once('/').is_some_and(|(head, tail)| head == info.resource && tail == sub)
            }),
        };
        place && has(&self.verbs, info.verb) && has(&self.groups, &info.group) && named()
    }
}

impl Paths {
    fn matches(&self, info: &Info) -> bool {
        has(&self.verbs, info.verb)
            && self.paths.iter().any(|path| match path.strip_suffix('*') {
                Some(head) => info.path.starts_with(head),
                None => *path == info.path,
            })
    }
}
