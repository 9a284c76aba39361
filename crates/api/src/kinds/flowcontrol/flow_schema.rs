//! FlowSchema: which requests go to which priority level.

use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{default, int};
use crate::kinds::{Builtin, Strategy};
use crate::pod::condition;
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "flowcontrol.apiserver.k8s.io",
    plural: "flowschemas",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            defaults,
            check: |schema| {
                spec(&schema.get("spec"), schema.at(&["metadata", "name"]).text());
                conditions(&schema.at(&["status", "conditions"]));
            },
            check_status: |schema, _| conditions(&schema.at(&["status", "conditions"])),
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// Kind of a subject, its field, and what to call it.
const SUBJECTS: [(&str, &str); 3] =
    [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

/// Also of PriorityLevelConfigurations.
pub fn conditions(conditions: &Node<'_>) {
    let items = conditions.items();
    for (at, condition) in items.iter().enumerate() {
        let kind = condition.get("type");
        if items[..at].iter().any(|other| other.get("type").text() == kind.text()) {
            kind.error(Error::duplicate(kind.path().clone(), kind.text()));
        }
        kind.required();
    }
}

fn spec(spec: &Node<'_>, name: &str) {
    let precedence = spec.get("matchingPrecedence");
    if precedence.int() <= 0 {
        precedence.invalid("must be a positive value");
    }
    if precedence.int() > 10_000 {
        precedence.invalid("must not be greater than 10000");
    }
    if precedence.int() == 1 && name != "exempt" {
        precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = spec.get("distinguisherMethod");
    if method.has() && !matches!(method.get("type").text(), "ByNamespace" | "ByUser") {
        let path = method.path().child("type");
        method.error(Error::not_supported(path, method.value().clone(), &["ByNamespace", "ByUser"]));
    }
    let level = spec.at(&["priorityLevelConfiguration", "name"]);
    level.required_for("must reference a priority level").is(names::dns_subdomain);
    for rule in spec.get("rules").items() {
        let subjects = rule.get("subjects");
        subjects.required_for("subjects must contain at least one value");
        subjects.items().iter().for_each(subject);
        let (resources, others) = (rule.get("resourceRules"), rule.get("nonResourceRules"));
        if resources.is_empty() && others.is_empty() {
            rule.missing("at least one of resourceRules and nonResourceRules has to be non-empty");
        }
        resources.items().iter().for_each(resource_rule);
        others.items().iter().for_each(other_rule);
    }
}

fn subject(subject: &Node<'_>) {
    let kind = subject.get("kind").text();
    let Some((_, own)) = SUBJECTS.iter().find(|(known, _)| *known == kind) else {
        subject.get("kind").one_of_even_empty(&["Group", "ServiceAccount", "User"]);
        return;
    };
    let node = subject.get(own);
    if !node.has() {
        node.missing(format!("{own} is required when subject kind is '{kind}'"));
    } else if *own == "serviceAccount" {
        let (name, namespace) = (node.get("name"), node.get("namespace"));
        name.required();
        if name.text() != "*" {
            name.is(names::dns_subdomain);
        }
        namespace.required_for("must specify namespace for service account").is(names::dns_label);
    } else {
        node.get("name").required();
    }
    for (known, field) in SUBJECTS.iter().filter(|(known, _)| *known != kind) {
        if subject.get(field).has() {
            subject.get(field).forbidden(format!("{field} is forbidden when subject kind is not '{known}'"));
        }
    }
}

fn verbs(verbs: &Node<'_>) {
    let texts = verbs.texts();
    if texts.is_empty() {
        verbs.missing("verbs must contain at least one value");
    } else if texts.contains(&"*") {
        if texts.len() > 1 {
            verbs.invalid("if '*' is present, must not specify other verbs");
        }
    } else if texts.iter().any(|verb| !VERBS.contains(verb)) {
        verbs.error(Error::not_supported(verbs.path().clone(), verbs.value().clone(), &VERBS));
    }
}

fn some_or_all(list: &Node<'_>, missing: &str, others: &str) {
    list.required_for(missing);
    if list.len() > 1 && list.texts().contains(&"*") {
        list.invalid(format!("if '*' is present, must not specify other {others}"));
    }
}

fn resource_rule(rule: &Node<'_>) {
    verbs(&rule.get("verbs"));
    some_or_all(&rule.get("apiGroups"), "resource rules must supply at least one api group", "api groups");
    some_or_all(&rule.get("resources"), "resource rules must supply at least one resource", "resources");
    let namespaces = rule.get("namespaces");
    if namespaces.is_empty() && !rule.get("clusterScope").flag() {
        namespaces.missing("resource rules that are not cluster scoped must supply at least one namespace");
    } else if namespaces.texts().contains(&"*") {
        if namespaces.len() > 1 {
            namespaces.invalid("if '*' is present, must not specify other namespaces");
        }
    } else {
        for namespace in namespaces.items() {
            for text in names::dns_label(namespace.text()) {
                namespace
                    .invalid(format!("each member of this list must be '*' or a DNS-1123 label; {text}"));
            }
        }
    }
}

fn other_rule(rule: &Node<'_>) {
    verbs(&rule.get("verbs"));
    let urls = rule.get("nonResourceURLs");
    some_or_all(&urls, "nonResourceURLs must contain at least one value", "non-resource URLs");
    if !urls.texts().contains(&"*") {
        urls.items().iter().for_each(url);
    }
}

fn url(url: &Node<'_>) {
    let text = url.text();
    let why = if text.is_empty() {
        "must not be empty"
    } else if text == "/" {
        return;
    } else if !text.starts_with('/') {
        "must start with slash"
    } else if text.contains(' ') {
        "must not contain white-space"
    } else if text.contains("//") {
        "must not contain double slash"
    } else if text.trim_end_matches("/*").contains('*') {
        "wildcard can only do suffix matching"
    } else {
        return;
    };
    url.error(Error::invalid(url.path().clone(), text, why));
}

fn defaults(_: &str, value: &mut Value) {
    default(value.make(&["spec"]), "matchingPrecedence", 1000i64);
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let dangling = condition(value, "Dangling").map(|found| found.str_at(&["status"])).unwrap_or("?");
    vec![
        cells::name(value),
        value.str_at(&["spec", "priorityLevelConfiguration", "name"]).into(),
        Value::Int(int(value, &["spec", "matchingPrecedence"])),
        cells::or(value.str_at(&["spec", "distinguisherMethod", "type"]), "<none>"),
        age(value, now),
        dangling.into(),
    ]
}
