//! What expressions of admission may name: match conditions of webhooks, and everything that an admission policy says.
//!
//! The server compiles by these to run them, validation to refuse what does not compile. Not here: how they are run.

use std::sync::LazyLock;

use smol_str::SmolStr;

use super::{Env, Type};
use crate::Value;

/// What every expression of admission may name.
pub fn env() -> Env {
    static ENV: LazyLock<Env> = LazyLock::new(|| {
        let texts = |name: &str, fields: &[&str]| {
            Type::object(name, fields.iter().map(|field| (SmolStr::new(field), Type::String)))
        };
        let kind = texts("kubernetes.GroupVersionKind", &["group", "version", "kind"]);
        let resource = texts("kubernetes.GroupVersionResource", &["group", "version", "resource"]);
        let request = Type::object(
            "kubernetes.AdmissionRequest",
            [
                ("kind".into(), kind.clone()),
                ("resource".into(), resource.clone()),
                ("subResource".into(), Type::String),
                ("requestKind".into(), kind),
                ("requestResource".into(), resource),
                ("requestSubResource".into(), Type::String),
                ("name".into(), Type::String),
                ("namespace".into(), Type::String),
                ("operation".into(), Type::String),
                ("userInfo".into(), user()),
                ("dryRun".into(), Type::Bool),
                ("options".into(), Type::Dyn),
            ],
        );
        Env::new()
            .with("object", Type::Dyn)
            .with("oldObject", Type::Dyn)
            .with("request", request)
            .with("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"))
            .with("authorizer.requestResource", Type::Opaque("kubernetes.authorization.ResourceCheck"))
    });
    ENV.clone()
}

/// `UserInfo` of authentication.k8s.io/v1; rules of an AuthenticationConfiguration see it too.
pub fn user() -> Type {
    Type::object(
        "kubernetes.UserInfo",
        [
            ("username".into(), Type::String),
            ("uid".into(), Type::String),
            ("groups".into(), Type::list(Type::String)),
            ("extra".into(), Type::map(Type::String, Type::list(Type::String))),
        ],
    )
}

/// The environments of a policy's expressions.
pub struct Policy {
    /// Of its match conditions, which stand before the variables.
    pub conditions: Env,
    /// Of each variable, that sees those before it.
    pub variables: Vec<Env>,
    /// Of validations, messages and annotations.
    pub expressions: Env,
    /// Of mutations.
    pub mutations: Env,
}

impl Policy {
    /// Of a policy's `spec`.
    pub fn of(spec: &Value) -> Policy {
        let mut conditions = env();
        if spec.get("paramKind").is_some_and(|kind| !kind.is_null()) {
            conditions = conditions.with("params", Type::Dyn);
        }
        let mut expressions = conditions.clone().with("namespaceObject", Type::Dyn);
        let rows = spec.get("variables").and_then(Value::as_array).unwrap_or_default();
        if !rows.is_empty() {
            expressions = expressions.with("variables", Type::object("kubernetes.variables", []));
        }
        let mut variables = Vec::new();
        for variable in rows {
            variables.push(expressions.clone());
            let text = variable.str_at(&["expression"]).trim();
            if text.is_empty() {
                continue;
            }
            // Of what does not compile nothing is known, and its users are not to blame.
            let of = expressions.compile(text).map_or(Type::Dyn, |program| program.output().clone());
            expressions = expressions.with(&format!("variables.{}", variable.str_at(&["name"])), of);
        }
        let operation =
            [("op", Type::String), ("path", Type::String), ("from", Type::String), ("value", Type::Dyn)];
        let operation = operation.map(|(name, of)| (name.into(), of));
        let mutations = expressions
            .clone()
            .with_open_structs("Object")
            .with_struct("JSONPatch", Type::object("JSONPatch", operation));
        Policy { conditions, variables, expressions, mutations }
    }
}
