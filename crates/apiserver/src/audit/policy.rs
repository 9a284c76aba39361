//! An audit Policy (audit.k8s.io/v1): which requests are noted, how much of them, and at which stages
//! (k8s.io/apiserver/pkg/audit/policy, pkg/apis/audit/validation). The first rule that fits decides; none: nothing is noted.

use api::Value;

use crate::Identity;
use crate::authz::Attributes;

/// How much of a request is noted; each level holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When of a request an event is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    RequestReceived,
    /// The headers of an answer that streams are sent.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

pub(super) const LEVELS: [(&str, Level); 4] = [
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::RequestResponse),
];

const STAGES: [(&str, Stage); 4] = [
    ("RequestReceived", Stage::RequestReceived),
    ("ResponseStarted", Stage::ResponseStarted),
    ("ResponseComplete", Stage::ResponseComplete),
    ("Panic", Stage::Panic),
];

impl Level {
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }
}

impl Stage {
    pub fn name(self) -> &'static str {
        STAGES.iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is no Policy of audit.k8s.io/v1")]
    Kind,
    #[error("{0}: {1}")]
    Field(String, String),
}

/// What is noted of one request.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub level: Level,
    pub omitted: Vec<Stage>,
    pub omit_managed_fields: bool,
}

struct Resources {
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
}

struct Rule {
    note: Note,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    namespaces: Vec<String>,
    resources: Vec<Resources>,
    urls: Vec<String>,
}

/// See the module.
pub(crate) struct Policy(Vec<Rule>);

fn texts(value: &Value, name: &str) -> Vec<String> {
    list(value, name).iter().filter_map(Value::as_str).map(String::from).collect()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).unwrap_or_default()
}

fn stages(value: &Value, path: &str) -> Result<Vec<Stage>, Error> {
    texts(value, "omitStages")
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let known = STAGES.iter().find(|(name, _)| name == text);
            known.map(|(_, stage)| *stage).ok_or_else(|| {
                let why = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic";
                Error::Field(format!("{path}omitStages[{at}]"), format!("Invalid value: {text:?}: {why}"))
            })
        })
        .collect()
}

impl Policy {
    pub fn parse(document: &Value) -> Result<Policy, Error> {
        if document.str_at(&["kind"]) != "Policy" || document.str_at(&["apiVersion"]) != "audit.k8s.io/v1" {
            return Err(Error::Kind);
        }
        let everywhere = stages(document, "")?;
        let managed = document.get("omitManagedFields").and_then(Value::as_bool).unwrap_or(false);
        let rules = list(document, "rules");
        if rules.is_empty() {
            return Err(Error::Field("rules".into(), "a policy without rules notes nothing".into()));
        }
        let all = rules.iter().enumerate().map(|(at, rule)| Rule::parse(rule, at, &everywhere, managed));
        all.collect::<Result<_, _>>().map(Policy)
    }

    /// What is noted of a request; `identity` is `None` of one that is refused for who asks.
    pub fn note(&self, identity: Option<&Identity>, asked: &Attributes<'_>) -> Option<Note> {
        let rule = self.0.iter().find(|rule| rule.fits(identity, asked))?;
        (rule.note.level != Level::None).then(|| rule.note.clone())
    }
}

impl Rule {
    fn parse(rule: &Value, at: usize, everywhere: &[Stage], managed: bool) -> Result<Rule, Error> {
        let path = format!("rules[{at}].");
        let wrong = |field: &str, why: String| Error::Field(format!("{path}{field}"), why);
        let level = rule.str_at(&["level"]);
        let level =
            LEVELS.iter().find(|(name, _)| *name == level).map(|(_, level)| *level).ok_or_else(|| {
                let supported = "\"Metadata\", \"None\", \"Request\", \"RequestResponse\"";
                wrong("level", format!("Unsupported value: {level:?}: supported values: {supported}"))
            })?;
        let mut omitted = stages(rule, &path)?;
        omitted.extend(everywhere);
        let mut resources = Vec::new();
        for row in list(rule, "resources") {
            let row = Resources {
                group: row.str_at(&["group"]).into(),
                resources: texts(row, "resources"),
                names: texts(row, "resourceNames"),
            };
            if !row.names.is_empty() && row.resources.is_empty() {
                let why = "using resourceNames requires at least one resource";
                return Err(wrong("resources.resourceNames", why.into()));
            }
            resources.push(row);
        }
        let urls = texts(rule, "nonResourceURLs");
        for url in urls.iter().filter(|url| *url != "*") {
            if !url.starts_with('/') {
                let why = "non-resource URL rules must begin with a '/' character";
                return Err(wrong("nonResourceURLs", format!("Invalid value: {url:?}: {why}")));
            }
            if url[..url.len() - 1].contains('*') {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                return Err(wrong("nonResourceURLs", format!("Invalid value: {url:?}: {why}")));
            }
        }
        let namespaces = texts(rule, "namespaces");
        if !urls.is_empty() && (!resources.is_empty() || !namespaces.is_empty()) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            return Err(wrong("nonResourceURLs", why.into()));
        }
        let omit_managed_fields = rule.get("omitManagedFields").and_then(Value::as_bool).unwrap_or(managed);
        Ok(Rule {
            note: Note { level, omitted, omit_managed_fields },
            users: texts(rule, "users"),
            groups: texts(rule, "userGroups"),
            verbs: texts(rule, "verbs"),
            namespaces,
            resources,
            urls,
        })
    }

    fn fits(&self, identity: Option<&Identity>, asked: &Attributes<'_>) -> bool {
        let has = |list: &[String], text: &str| list.is_empty() || list.iter().any(|own| own == text);
        let user = match identity {
            Some(identity) => {
                has(&self.users, &identity.name)
                    && (self.groups.is_empty() || self.groups.iter().any(|group| identity.is_in(group)))
            }
            None => self.users.is_empty() && self.groups.is_empty(),
        };
        if !user || !has(&self.verbs, asked.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return asked.is_resource
                && has(&self.namespaces, asked.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|row| row.fits(asked)));
        }
        if !self.urls.is_empty() {
            let fits = |spec: &String| {
                spec == "*"
                    || spec == asked.path
                    || spec.strip_suffix('*').is_some_and(|start| asked.path.starts_with(start))
            };
            return !asked.is_resource && self.urls.iter().any(fits);
        }
        true
    }
}

impl Resources {
    fn fits(&self, asked: &Attributes<'_>) -> bool {
        if self.group != asked.group && self.group != "*" {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.names.is_empty() && !self.names.iter().any(|name| name == asked.name) {
            return false;
        }
        let sub = asked.subresource;
        self.resources.iter().any(|own| match own.split_once('/') {
            None => own == "*" || own == asked.resource && sub.is_empty(),
            Some((resource, "*")) => resource == asked.resource,
            Some(("*", own)) => !sub.is_empty() && own == sub,
            Some((resource, own)) => resource == asked.resource && own == sub,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(rules: serde_json::Value) -> Result<Policy, Error> {
        let document = json!({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "omitStages": ["RequestReceived"], "rules": rules});
        Policy::parse(&api::json::parse(document.to_string().as_bytes()).unwrap())
    }

    fn asked<'a>(verb: &'a str, group: &'a str, resource: &'a str, namespace: &'a str) -> Attributes<'a> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            version: "v1",
            verb,
            group,
            resource,
            subresource,
            namespace,
            name: "one",
            path: "/x",
            ..Attributes::default()
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let check = |rule: serde_json::Value, yes: &[Attributes<'_>], no: &[Attributes<'_>]| {
            let mut rule = rule;
            rule["level"] = json!("Request");
            let policy = policy(json!([rule, {"level": "None"}])).unwrap();
            let jane = Identity::new("jane", &["dev"]);
            let level = |asked: &Attributes<'_>| policy.note(Some(&jane), asked).map(|note| note.level);
            for asked in yes {
                assert_eq!(level(asked), Some(Level::Request), "{rule} {asked:?}");
            }
            for asked in no {
                assert_eq!(level(asked), None, "{rule} {asked:?}");
            }
        };
        let pods = asked("get", "", "pods", "default");
        let logs = asked("get", "", "pods/log", "default");
        let deployments = asked("update", "apps", "deployments", "web");
        let path = Attributes { is_resource: false, path: "/healthz/etcd", ..asked("get", "", "", "") };
        check(json!({}), &[pods, logs, deployments, path], &[]);
        check(json!({"users": ["jane"]}), &[pods], &[]);
        check(json!({"users": ["joe"]}), &[], &[pods]);
        check(json!({"userGroups": ["x", "dev"]}), &[pods], &[]);
        check(json!({"verbs": ["get"]}), &[pods, path], &[deployments]);
        check(json!({"namespaces": ["default"]}), &[pods, logs], &[deployments, path]);
        check(json!({"resources": [{"resources": ["pods"]}]}), &[pods], &[logs, deployments]);
        check(json!({"resources": [{"resources": ["pods/*"]}]}), &[pods, logs], &[deployments]);
        check(json!({"resources": [{"resources": ["*/log"]}]}), &[logs], &[pods]);
        check(json!({"resources": [{"resources": ["*"]}]}), &[pods, logs], &[deployments]);
        check(json!({"resources": [{"group": "*"}]}), &[pods, logs, deployments], &[path]);
        check(
            json!({"resources": [{"group": "apps", "resources": ["deployments"], "resourceNames": ["one"]}]}),
            &[deployments],
            &[pods],
        );
        check(json!({"resources": [{"resources": ["pods"], "resourceNames": ["two"]}]}), &[], &[pods]);
        check(json!({"nonResourceURLs": ["/healthz*"]}), &[path], &[pods]);
        let anyone = policy(json!([{"level": "Metadata"}])).unwrap();
        assert_eq!(anyone.note(None, &pods).unwrap().omitted, [Stage::RequestReceived]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |rule: serde_json::Value, expected: &str| {
            let why = policy(json!([rule])).err().unwrap().to_string();
            assert!(why.starts_with(expected), "{why}");
        };
        check(json!({}), "rules[0].level: Unsupported value");
        check(
            json!({"level": "Metadata", "omitStages": ["Never"]}),
            "rules[0].omitStages[0]: Invalid value: \"Never\"",
        );
        check(json!({"level": "Metadata", "nonResourceURLs": ["x"]}), "rules[0].nonResourceURLs");
        check(json!({"level": "Metadata", "nonResourceURLs": ["/*/x"]}), "rules[0].nonResourceURLs");
        check(
            json!({"level": "Metadata", "nonResourceURLs": ["/x"], "namespaces": ["a"]}),
            "rules[0].nonResourceURLs",
        );
        check(
            json!({"level": "Metadata", "resources": [{"resourceNames": ["x"]}]}),
            "rules[0].resources.resourceNames",
        );
    }
}
