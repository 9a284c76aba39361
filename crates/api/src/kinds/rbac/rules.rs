//! What roles and bindings share.

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules};
use crate::kinds::edit::{default, each, list, same};
use crate::table::cells;
use crate::validation::check::{self, Errors};
use crate::validation::names;

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// Who has a role; the role never changes.
pub(super) struct Binding {
    pub namespaced: bool,
}

impl Rules for Binding {
    fn default(&self, _: &str, value: &mut Value) {
        default_binding(value);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        binding(new, self.namespaced, errors);
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        same_role(new, old, errors);
    }
    fn create_on_update(&self) -> bool {
        true
    }
    fn bad_name(&self, name: &str, _: bool) -> Option<String> {
        bad_name(name)
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(binding_cells(value, now))
    }
}

pub(super) fn bad_name(name: &str) -> Option<String> {
    names::path_segment(name).into_iter().next()
}

/// The rules of a role; one in a namespace knows no URLs.
pub(super) fn rules(role: &Value, namespaced: bool, errors: &mut Errors) {
    for (at, rule) in list(role, &["rules"]).iter().enumerate() {
        let path = Path::new("rules").index(at);
        let some = |field: &str| !list(rule, &[field]).is_empty();
        if !some("verbs") {
            errors.push(Error::required(path.child("verbs"), "verbs must contain at least one value"));
        }
        if some("nonResourceURLs") {
            let urls = || list(rule, &["nonResourceURLs"]).to_vec();
            let path = path.child("nonResourceURLs");
            if namespaced {
                let text = "namespaced rules cannot apply to non-resource URLs";
                errors.push(Error::invalid(path.clone(), urls(), text));
            }
            if some("apiGroups") || some("resources") || some("resourceNames") {
                let text = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(Error::invalid(path, urls(), text));
            }
            continue;
        }
        if !some("apiGroups") {
            let text = "resource rules must supply at least one api group";
            errors.push(Error::required(path.child("apiGroups"), text));
        }
        if !some("resources") {
            let text = "resource rules must supply at least one resource";
            errors.push(Error::required(path.child("resources"), text));
        }
    }
}

fn default_binding(binding: &mut Value) {
    default(binding.make(&["roleRef"]), "apiGroup", GROUP);
    each(binding, &["subjects"], |subject| {
        if matches!(subject.str_at(&["kind"]), "User" | "Group") {
            default(subject, "apiGroup", GROUP);
        }
    });
}

fn binding(binding: &Value, namespaced: bool, errors: &mut Errors) {
    let path = Path::new("roleRef");
    let of = |field: &str| binding.str_at(&["roleRef", field]);
    check::one_of(of("apiGroup"), path.child("apiGroup"), &[GROUP], errors);
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    check::one_of(of("kind"), path.child("kind"), kinds, errors);
    check::required_format(of("name"), &path.child("name"), names::path_segment, errors);
    for (at, subject) in list(binding, &["subjects"]).iter().enumerate() {
        self::subject(subject, namespaced, &Path::new("subjects").index(at), errors);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    let name = check::required(subject, path, "name", errors);
    let group = subject.str_at(&["apiGroup"]);
    match subject.str_at(&["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                check::format(name, &path.child("name"), names::dns_subdomain, errors);
            }
            if !group.is_empty() {
                errors.push(Error::not_supported(path.child("apiGroup"), group, &[""]));
            }
            if !namespaced {
                check::required(subject, path, "namespace", errors);
            }
        }
        "User" | "Group" => check::one_of(group, path.child("apiGroup"), &[GROUP], errors),
        other => {
            errors.push(Error::not_supported(
                path.child("kind"),
                other,
                &["ServiceAccount", "User", "Group"],
            ));
        }
    }
}

fn same_role(new: &Value, old: &Value, errors: &mut Errors) {
    if !same(new.get("roleRef"), old.get("roleRef")) {
        let role = new.get("roleRef").cloned().unwrap_or_default();
        errors.push(Error::invalid(Path::new("roleRef"), role, "cannot change roleRef"));
    }
}

fn binding_cells(value: &Value, now: i64) -> Vec<Value> {
    let of = |kind: &str| -> Value {
        let subjects = list(value, &["subjects"]).iter().filter(|subject| subject.str_at(&["kind"]) == kind);
        let names: Vec<String> = subjects
            .map(|subject| match kind {
                "ServiceAccount" => {
                    format!("{}/{}", subject.str_at(&["namespace"]), subject.str_at(&["name"]))
                }
                _ => subject.str_at(&["name"]).into(),
            })
            .collect();
        names.join(", ").into()
    };
    vec![
        cells::name(value),
        format!("{}/{}", value.str_at(&["roleRef", "kind"]), value.str_at(&["roleRef", "name"])).into(),
        crate::table::age(value, now),
        of("User"),
        of("Group"),
        of("ServiceAccount"),
    ]
}

/// Name and time of creation.
pub(super) fn role_cells(value: &Value) -> Vec<Value> {
    vec![cells::name(value), value.str_at(&["metadata", "creationTimestamp"]).into()]
}
