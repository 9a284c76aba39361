//! IngressClass.

use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{default_pointer, inside};
use crate::kinds::{Builtin, Strategy};
use crate::table::age;
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ingressclasses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            defaults,
            check,
            update_alone: true,
            update: |class, old| {
                let controller = class.at(&["spec", "controller"]);
                if controller.text() != old.at(&["spec", "controller"]).text() {
                    let text = crate::validation::meta::IMMUTABLE;
                    class.error(Error::invalid(controller.path().clone(), controller.text(), text));
                }
                check(class);
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn check(class: &Node<'_>) {
    let spec = class.get("spec");
    spec.get("controller").at_most_bytes(250).domain_path();
    let parameters = spec.get("parameters");
    if !parameters.has() {
        return;
    }
    let group = parameters.get("apiGroup");
    if group.has() {
        group.is_even_empty(names::dns_subdomain);
    }
    parameters.get("kind").path_segment();
    parameters.get("name").path_segment();
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    match scope.text() {
        _ if !scope.has() => scope.missing(""),
        "Namespace" if !namespace.has() => namespace.missing("`parameters.scope` is set to 'Namespace'"),
        "Namespace" => drop(namespace.is_even_empty(names::dns_label)),
        "Cluster" if namespace.has() => namespace.forbidden("`parameters.scope` is set to 'Cluster'"),
        "Cluster" => {}
        _ => drop(scope.one_of_even_empty(&["Cluster", "Namespace"])),
    }
}

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec", "parameters"], |parameters| default_pointer(parameters, "scope", "Cluster"));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let mut name = value.str_at(&["metadata", "name"]).to_string();
    if value.str_at(&["metadata", "annotations", "ingressclass.kubernetes.io/is-default-class"]) == "true" {
        name.push_str(" (default)");
    }
    let parameters = match value.at(&["spec", "parameters"]).filter(|parameters| !parameters.is_null()) {
        None => "<none>".into(),
        Some(parameters) => {
            let kind = match parameters.str_at(&["apiGroup"]) {
                "" => parameters.str_at(&["kind"]).to_string(),
                group => format!("{}.{group}", parameters.str_at(&["kind"])),
            };
            format!("{kind}/{}", parameters.str_at(&["name"]))
        }
    };
    vec![name.into(), value.str_at(&["spec", "controller"]).into(), parameters.into(), age(value, now)]
}
