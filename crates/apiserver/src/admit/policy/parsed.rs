//! A policy and a binding, parsed once.

use api::Value;
use api::cel::admission;

use crate::admit::expression::Expression;
use crate::admit::webhook::matching::{Constraints, Rule};

/// See the module.
pub(crate) struct Policy {
    pub name: String,
    /// A failure lets the request through.
    pub ignore: bool,
    pub constraints: Option<Constraints>,
    pub conditions: Vec<Expression>,
    pub variables: Vec<Expression>,
    pub validations: Vec<Validation>,
    /// Key and value.
    pub annotations: Vec<Expression>,
    pub mutations: Vec<Mutation>,
    /// Another plugin's changes call for a second run.
    pub reinvoke: bool,
    /// `apiVersion` and `kind` of the parameters.
    pub params: Option<(String, String)>,
}

pub(crate) struct Validation {
    pub expression: Expression,
    pub message: String,
    pub dynamic: Option<Expression>,
    pub reason: String,
}

pub(crate) struct Mutation {
    /// A list of JSON patch operations, and not a configuration to apply.
    pub json: bool,
    pub expression: Expression,
}

/// See the module.
pub(crate) struct Binding {
    pub name: String,
    pub policy: String,
    /// `None`: whatever the policy matches.
    pub constraints: Option<Constraints>,
    pub params: Option<Value>,
    pub actions: Vec<String>,
}

/// A list at a path.
fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    value.at(path).and_then(Value::as_array).unwrap_or_default()
}

fn constraints(of: Option<&Value>) -> Option<Constraints> {
    let of = of.filter(|of| !of.is_null())?;
    Some(Constraints {
        rules: list(of, &["resourceRules"]).iter().map(Rule::of).collect(),
        excluded: list(of, &["excludeResourceRules"]).iter().map(Rule::of).collect(),
        equivalent: of.str_at(&["matchPolicy"]) != "Exact",
        namespaces: Constraints::selector(of.get("namespaceSelector")),
        objects: Constraints::selector(of.get("objectSelector")),
    })
}

impl Policy {
    pub fn of(policy: &Value) -> Policy {
        let spec = policy.get("spec").cloned().unwrap_or_default();
        let params = spec
            .get("paramKind")
            .filter(|kind| !kind.is_null())
            .map(|kind| (kind.str_at(&["apiVersion"]).to_string(), kind.str_at(&["kind"]).to_string()));
        let envs = admission::Policy::of(&spec);
        let (env, mutating) = (&envs.expressions, &envs.mutations);
        let conditions = Expression::all(&envs.conditions, spec.get("matchConditions"));
        let variables = list(&spec, &["variables"]).iter().zip(&envs.variables);
        let variables = variables
            .map(|(variable, env)| {
                Expression::of(env, variable.str_at(&["name"]), variable.str_at(&["expression"]))
            })
            .collect();
        Policy {
            name: policy.str_at(&["metadata", "name"]).into(),
            ignore: spec.str_at(&["failurePolicy"]) == "Ignore",
            constraints: constraints(spec.get("matchConstraints")),
            conditions,
            validations: list(&spec, &["validations"])
                .iter()
                .map(|validation| Validation {
                    expression: Expression::of(env, "", validation.str_at(&["expression"])),
                    message: validation.str_at(&["message"]).trim().into(),
                    dynamic: Some(validation.str_at(&["messageExpression"]))
                        .filter(|text| !text.is_empty())
                        .map(|text| Expression::of(env, "", text)),
                    reason: validation.str_at(&["reason"]).into(),
                })
                .collect(),
            annotations: list(&spec, &["auditAnnotations"])
                .iter()
                .map(|note| Expression::of(env, note.str_at(&["key"]), note.str_at(&["valueExpression"])))
                .collect(),
            mutations: list(&spec, &["mutations"])
                .iter()
                .map(|mutation| {
                    let json = mutation.str_at(&["patchType"]) == "JSONPatch";
                    let place = if json { "jsonPatch" } else { "applyConfiguration" };
                    Mutation {
                        json,
                        expression: Expression::of(mutating, "", mutation.str_at(&[place, "expression"])),
                    }
                })
                .collect(),
            reinvoke: spec.str_at(&["reinvocationPolicy"]) == "IfNeeded",
            params,
            variables,
        }
    }
}

impl Binding {
    pub fn of(binding: &Value) -> Binding {
        Binding {
            name: binding.str_at(&["metadata", "name"]).into(),
            policy: binding.str_at(&["spec", "policyName"]).into(),
            constraints: constraints(binding.at(&["spec", "matchResources"])),
            params: binding.at(&["spec", "paramRef"]).filter(|params| !params.is_null()).cloned(),
            actions: list(binding, &["spec", "validationActions"])
                .iter()
                .filter_map(Value::as_str)
                .map(String::from)
                .collect(),
        }
    }
}
