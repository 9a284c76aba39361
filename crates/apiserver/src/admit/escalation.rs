//! Nobody grants what they do not have: roles and bindings are judged by the rights of who writes them, unless they may
//! `escalate` or `bind` (k8s.io/kubernetes/pkg/registry/rbac/*/policybased, pkg/registry/rbac/validation).

use api::Value;

use crate::authz::rbac::{GROUP, Rule};
use crate::authz::{self, Attributes};
use crate::engine::Call;
use crate::identity::MASTERS;
use crate::status::{Result, Status};

pub(super) fn check(call: &Call, new: &Value, old: Option<&Value>) -> Result<()> {
    if call.target.storage.resource.group != GROUP || call.identity.is_in(MASTERS) {
        return Ok(());
    }
    let name = new.str_at(&["metadata", "name"]);
    let namespace = new.str_at(&["metadata", "namespace"]);
    let may = |verb: &str, resource: &str, name: &str| {
        let attributes =
            Attributes { verb, group: GROUP, resource, namespace, name, ..Attributes::default() };
        authz::decide(&call.inner, &call.identity, &attributes).is_ok()
    };
    let plural = call.target.storage.resource.plural.as_str();
    let wanted = match plural {
        "roles" | "clusterroles" => {
            let rules = |value: &Value| {
                let list = value.get("rules").and_then(Value::as_array).unwrap_or_default();
                list.iter().map(Rule::of).collect::<Vec<_>>()
            };
            let same = old.is_some_and(|old| {
                rules(old) == rules(new) && old.get("aggregationRule") == new.get("aggregationRule")
            });
            if same || may("escalate", plural, name) {
                return Ok(());
            }
            if new.get("aggregationRule").is_some() {
                // Whatever is selected later would be granted too.
                let everything = |urls: bool| Rule {
                    verbs: vec!["*".into()],
                    groups: if urls { Vec::new() } else { vec!["*".into()] },
                    resources: if urls { Vec::new() } else { vec!["*".into()] },
                    names: Vec::new(),
                    urls: if urls { vec!["*".into()] } else { Vec::new() },
                };
                vec![everything(false), everything(true)]
            } else {
                rules(new)
            }
        }
        _ => {
            let kind = new.str_at(&["roleRef", "kind"]);
            let role = new.str_at(&["roleRef", "name"]);
            let same = old.is_some_and(|old| {
                old.get("subjects") == new.get("subjects") && old.get("roleRef") == new.get("roleRef")
            });
            let (of, own) = if kind == "ClusterRole" { ("clusterroles", "") } else { ("roles", namespace) };
            if same || may("bind", of, role) {
                return Ok(());
            }
            call.inner
                .rbac
                .rules_of(own, role)
                .ok_or_else(|| Status::not_found(&api::Resource::new(GROUP, of), role))?
        }
    };
    let have = call.inner.rbac.rules(&call.identity, namespace);
    let missing: Vec<Rule> =
        wanted.iter().flat_map(pieces).filter(|piece| !have.iter().any(|rule| covers(rule, piece))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = missing.iter().map(show).collect();
    let groups: Vec<String> = call.identity.groups.iter().map(|group| format!("{group:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        call.identity.name,
        groups.join(" "),
        shown.join("\n")
    );
    Err(Status::forbidden(&call.target.kind.resource, name, why))
}

/// A rule as rules of one verb and one resource or URL each.
fn pieces(rule: &Rule) -> Vec<Rule> {
    let mut all = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for verb in &rule.verbs {
        for url in &rule.urls {
            all.push(Rule { verbs: one(verb), urls: one(url), ..Rule::default() });
        }
        for group in &rule.groups {
            for resource in &rule.resources {
                let piece = Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                match rule.names.is_empty() {
                    true => all.push(piece),
                    false => {
                        all.extend(rule.names.iter().map(|name| Rule { names: one(name), ..piece.clone() }))
                    }
                }
            }
        }
    }
    all
}

/// Everything that `piece` allows, `rule` allows.
fn covers(rule: &Rule, piece: &Rule) -> bool {
    let has = |list: &[String], text: &String| list.iter().any(|own| own == "*" || own == text);
    if !has(&rule.verbs, &piece.verbs[0]) {
        return false;
    }
    if let Some(url) = piece.urls.first() {
        return rule.urls.iter().any(|own| match own.strip_suffix('*') {
            Some(head) => url.starts_with(head),
            None => own == url,
        });
    }
    let resource = &piece.resources[0];
    let named = rule.resources.iter().any(|own| {
        own == "*"
            || own == resource
            || matches!((own.strip_prefix("*/"), resource.split_once('/')), (Some(tail), Some((_, sub))) if tail == sub)
    });
    named
        && has(&rule.groups, &piece.groups[0])
        && (rule.names.is_empty() || piece.names.first().is_some_and(|name| rule.names.contains(name)))
}

/// As Go prints a PolicyRule in upstream's message.
fn show(rule: &Rule) -> String {
    let list = |name: &str, texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        (!texts.is_empty()).then(|| format!("{name}:[{}]", texts.join(", ")))
    };
    let parts = [
        list("APIGroups", &rule.groups),
        list("Resources", &rule.resources),
        list("ResourceNames", &rule.names),
        list("NonResourceURLs", &rule.urls),
        list("Verbs", &rule.verbs),
    ];
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_piece_by_piece() {
        let texts = |list: &[&str]| list.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let rule = |verbs: &[&str], resources: &[&str], names: &[&str]| Rule {
            verbs: texts(verbs),
            groups: texts(&[""]),
            resources: texts(resources),
            names: texts(names),
            urls: Vec::new(),
        };
        let wanted = rule(&["get", "list"], &["pods"], &[]);
        let all =
            |have: &[Rule]| pieces(&wanted).iter().all(|piece| have.iter().any(|own| covers(own, piece)));
        assert!(all(&[rule(&["get"], &["pods"], &[]), rule(&["list"], &["*"], &[])]));
        assert!(!all(&[rule(&["get"], &["pods"], &[])]));
        assert!(!all(&[rule(&["*"], &["pods"], &["a"])]));
        assert_eq!(show(&pieces(&wanted)[0]), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#);
    }
}
