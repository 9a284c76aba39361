//! Rules, conditions and parameters: what webhooks and admission policies match by.

use crate::Value;
use crate::cel::{Env, Type, admission};
use crate::field::Error;
use crate::table::{age, cells};
use crate::validation::{Node, names};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
pub const FAILURE: [&str; 2] = ["Fail", "Ignore"];
pub const MATCH: [&str; 2] = ["Equivalent", "Exact"];
pub const REINVOCATION: [&str; 2] = ["IfNeeded", "Never"];

/// A wildcard stands alone.
fn alone(list: &Node<'_>, what: &str) {
    if list.len() > 1 && list.texts().contains(&"*") {
        list.invalid(format!("if '*' is present, must not specify other {what}"));
    }
}

/// A RuleWithOperations.
pub fn rule(rule: &Node<'_>) {
    let operations = rule.get("operations");
    operations.required();
    alone(&operations, "operations");
    for operation in operations.items() {
        operation.one_of_even_empty(&OPERATIONS);
    }
    rule.get("apiGroups").required();
    alone(&rule.get("apiGroups"), "API groups");
    let versions = rule.get("apiVersions");
    versions.required();
    alone(&versions, "API versions");
    for version in versions.items() {
        version.required();
    }
    resources(&rule.get("resources"));
    rule.get("scope").one_of_set(&["*", "Cluster", "Namespaced"]);
}

fn resources(resources: &Node<'_>) {
    resources.required();
    let (mut whole, mut parts): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut all, mut single, mut plain) = (false, false, false);
    for resource in resources.items() {
        let text = resource.text();
        if text.is_empty() {
            resource.missing("");
            continue;
        }
        all |= text == "*/*";
        single |= text == "*";
        let Some((name, part)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if whole.contains(&name) {
            resource.invalid(format!("if '{name}/*' is present, must not specify {text}"));
        }
        if parts.contains(&part) {
            resource.invalid(format!("if '*/{part}' is present, must not specify {text}"));
        }
        if part == "*" {
            whole.push(name);
        }
        if name == "*" {
            parts.push(part);
        }
    }
    if resources.len() > 1 && all {
        resources.invalid("if '*/*' is present, must not specify other resources");
    }
    if single && plain {
        resources.invalid("if '*' is present, must not specify other resources without subresources");
    }
}

/// The MatchResources of a policy or a binding.
pub fn match_resources(resources: &Node<'_>) {
    if !resources.has() {
        return;
    }
    resources.get("matchPolicy").set("").one_of_set(&MATCH);
    for field in ["namespaceSelector", "objectSelector"] {
        resources.get(field).set("").label_selector();
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for named in resources.get(field).items() {
            let names = named.get("resourceNames").items();
            for (at, name) in names.iter().enumerate() {
                name.is_even_empty(names::path_segment);
                if names[..at].iter().any(|other| other.text() == name.text()) {
                    name.duplicate();
                }
            }
            rule(&named);
        }
    }
}

/// What a binding of either kind of policies has; gives its spec.
pub fn binding<'a>(binding: &Node<'a>) -> Node<'a> {
    let spec = binding.get("spec");
    spec.get("policyName").required().is(names::dns_subdomain);
    param_ref(&spec.get("paramRef"));
    match_resources(&spec.get("matchResources"));
    spec
}

/// An expression that gives one of these; none: whatever it gives.
pub fn expression(node: &Node<'_>, env: &Env, gives: &[&str]) {
    let text = node.text().trim();
    if text.is_empty() {
        return;
    }
    // Upstream shows the text as it is run, without what surrounds it.
    let wrong = |why: String| node.error(Error::invalid(node.path().clone(), text, why));
    match env.compile(text) {
        Err(issues) => wrong(format!("compilation failed: {issues}")),
        Ok(program) => {
            let got = match program.output() {
                Type::Null => "null_type".to_string(),
                other => other.to_string(),
            };
            match gives {
                [] => {}
                _ if gives.contains(&got.as_str()) => {}
                // A struct of an open type is dynamic here.
                [one] | [one, "dyn"] => wrong(format!("must evaluate to {one} but got {got}")),
                many => wrong(format!("must evaluate to one of [{}] but got {got}", many.join(" "))),
            }
        }
    }
}

/// matchConditions.
pub fn match_conditions(conditions: &Node<'_>, env: &Env) {
    conditions.at_most_items(64);
    let items = conditions.items();
    for (at, condition) in items.iter().enumerate() {
        let (expression, name) = (condition.get("expression"), condition.get("name"));
        if expression.text().trim().is_empty() {
            expression.missing("");
        } else {
            self::expression(&expression, env, &["bool"]);
        }
        name.required().is(names::qualified_name);
        if !name.text().is_empty() && items[..at].iter().any(|other| other.get("name").text() == name.text())
        {
            name.duplicate();
        }
    }
}

/// A policy's paramKind.
pub fn param_kind(kind: &Node<'_>) {
    if !kind.has() {
        return;
    }
    let api_version = kind.get("apiVersion");
    let text = api_version.text();
    let invalid = |shown: &str, why: String| {
        api_version.error(Error::invalid(api_version.path().clone(), shown, why));
    };
    if text.is_empty() {
        api_version.missing("");
    } else if text != "/" && text.matches('/').count() > 1 {
        invalid(text, format!("unexpected GroupVersion string: {text}"));
    } else {
        let (group, version) = text.split_once('/').unwrap_or(("", text));
        let wrong = names::dns_subdomain(group);
        if !group.is_empty() && !wrong.is_empty() {
            invalid(group, wrong.join(","));
        }
        let wrong = names::dns_1035_label(version);
        match version.is_empty() {
            true => invalid(text, "version must be specified".into()),
            false if !wrong.is_empty() => invalid(version, wrong.join(",")),
            false => {}
        }
    }
    mixed_case_kind(&kind.get("kind"));
}

fn mixed_case_kind(kind: &Node<'_>) {
    let wrong = names::dns_1035_label(&kind.text().to_lowercase());
    match kind.text().is_empty() {
        true => kind.missing(""),
        false if !wrong.is_empty() => {
            kind.invalid(format!("may have mixed case, but should otherwise match: {}", wrong.join(",")));
        }
        false => {}
    }
}

/// A binding's paramRef.
pub fn param_ref(reference: &Node<'_>) {
    if !reference.has() {
        return;
    }
    let (name, selector) = (reference.get("name"), reference.get("selector"));
    let both = "name and selector are mutually exclusive";
    name.is(names::path_segment);
    if !name.text().is_empty() && selector.has() {
        name.forbidden(both);
    }
    if selector.has() {
        selector.label_selector();
        if !name.text().is_empty() {
            selector.forbidden(both);
        }
    } else if name.text().is_empty() {
        reference.missing("one of name or selector must be specified");
    }
    reference.get("parameterNotFoundAction").required_one_of(&["Deny", "Allow"]);
}

/// A policy's variables.
fn variables(variables: &Node<'_>, envs: &[Env]) {
    for (variable, env) in variables.items().iter().zip(envs) {
        let (name, expression) = (variable.get("name"), variable.get("expression"));
        if name.text().trim().is_empty() {
            name.missing("name is not specified");
        } else if !is_identifier(name.text()) {
            name.invalid("must be a valid CEL identifier");
        }
        if expression.text().trim().is_empty() {
            expression.missing("expression is not specified");
        } else {
            self::expression(&expression, env, &[]);
        }
    }
}

fn is_identifier(text: &str) -> bool {
    names::c_identifier(text).is_empty() && !crate::cel::is_reserved(text)
}

/// The operations of rules that change nothing that is being deleted.
pub fn no_deletes(resources: &Node<'_>) {
    let path = resources.path().child("resourceRules").child("operations");
    for rule in resources.get("resourceRules").items() {
        for operation in rule.get("operations").items() {
            operation.named(path.clone()).one_of_even_empty(&["*", "CONNECT", "CREATE", "UPDATE"]);
        }
    }
}

/// The row of a binding of either kind.
pub fn binding_row(value: &Value, now: i64) -> Vec<Value> {
    vec![cells::name(value), value.str_at(&["spec", "policyName"]).into(), param_cell(value), age(value, now)]
}

/// The cell of a binding's paramRef.
fn param_cell(binding: &Value) -> Value {
    let reference = binding.at(&["spec", "paramRef"]).filter(|reference| !reference.is_null());
    let Some(reference) = reference else { return "<unset>".into() };
    let text = |field: &str| reference.str_at(&[field]);
    match (text("name"), text("namespace")) {
        ("", _) => reference.get("selector").filter(|own| !own.is_null()).map_or("<unset>".into(), selector),
        (name, "") => format!("*/{name}").into(),
        (name, namespace) => format!("{namespace}/{name}").into(),
    }
}

/// A selector as Go's generated code prints it.
fn selector(selector: &Value) -> Value {
    let labels: String = crate::kinds::edit::entries(selector, &["matchLabels"])
        .map(|(key, value)| format!("{key}: {},", crate::text::show(value)))
        .collect();
    let expressions: String = crate::kinds::edit::list(selector, &["matchExpressions"])
        .iter()
        .map(|one| {
            let values = one.get("values").map(crate::text::show).unwrap_or_else(|| "[]".into());
            let (key, operator) = (one.str_at(&["key"]), one.str_at(&["operator"]));
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:{values},}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
    .into()
}

/// The parts that both kinds of policies have, up to their variables; gives what their other expressions may name.
pub fn policy(spec: &Node<'_>, mutating: bool) -> admission::Policy {
    let envs = admission::Policy::of(spec.value());
    spec.get("failurePolicy").set("").one_of_set(&FAILURE);
    param_kind(&spec.get("paramKind"));
    let constraints = spec.get("matchConstraints");
    constraints.set("");
    match_resources(&constraints);
    if constraints.has() {
        constraints.get("resourceRules").required();
    }
    if mutating {
        no_deletes(&constraints);
    }
    match_conditions(&spec.get("matchConditions"), &envs.conditions);
    variables(&spec.get("variables"), &envs.variables);
    envs
}
