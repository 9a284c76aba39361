//! One webhook of a configuration, parsed once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::Value;

use super::matching::{Constraints, Fit, Rule};
use crate::admit::Request;
use crate::admit::expression::{self, Expression, Facts, Scope};
use crate::remote::Remote;
use crate::status::Status;

/// See the module.
pub(crate) struct Hook {
    /// Unique among all hooks: configuration, name and how many of that name came before.
    pub uid: String,
    pub name: String,
    pub configuration: String,
    pub client: Result<Remote, String>,
    pub constraints: Constraints,
    pub ignore_failure: bool,
    pub timeout: Duration,
    pub side_effects: String,
    pub review_versions: Vec<String>,
    pub reinvoke: bool,
    pub conditions: Vec<Expression>,
}

impl Hook {
    /// The hooks of a configuration, in order.
    pub fn all_of(configuration: &Value) -> Vec<Arc<Hook>> {
        let name = configuration.str_at(&["metadata", "name"]);
        let mut seen: HashMap<String, usize> = HashMap::new();
        let hooks = configuration.get("webhooks").and_then(Value::as_array).unwrap_or_default();
        hooks
            .iter()
            .map(|hook| {
                let own = hook.str_at(&["name"]).to_string();
                let count = seen.entry(own.clone()).or_default();
                let uid = format!("{name}/{own}/{count}");
                *count += 1;
                Arc::new(Hook::of(name, own, uid, hook))
            })
            .collect()
    }

    fn of(configuration: &str, name: String, uid: String, hook: &Value) -> Hook {
        let rules = hook.get("rules").and_then(Value::as_array).unwrap_or_default();
        let versions = hook.get("admissionReviewVersions").and_then(Value::as_array).unwrap_or_default();
        let seconds = hook.get("timeoutSeconds").and_then(Value::as_int).unwrap_or(10);
        let empty = Value::object();
        Hook {
            uid,
            name,
            configuration: configuration.into(),
            client: Remote::of_client_config(hook.get("clientConfig").unwrap_or(&empty)),
            constraints: Constraints {
                rules: rules.iter().map(Rule::of).collect(),
                excluded: Vec::new(),
                equivalent: hook.str_at(&["matchPolicy"]) != "Exact",
                namespaces: Constraints::selector(hook.get("namespaceSelector")),
                objects: Constraints::selector(hook.get("objectSelector")),
            },
            ignore_failure: hook.str_at(&["failurePolicy"]) == "Ignore",
            timeout: Duration::from_secs(seconds.clamp(1, 30) as u64),
            side_effects: hook.str_at(&["sideEffects"]).into(),
            review_versions: versions.iter().filter_map(Value::as_str).map(String::from).collect(),
            conditions: Expression::all(&api::cel::admission::env(), hook.get("matchConditions")),
            reinvoke: hook.str_at(&["reinvocationPolicy"]) == "IfNeeded",
        }
    }

    /// The form in which it is to be asked about a request; `None`: not at all.
    pub fn fit(&self, request: &Request<'_>, value: Option<&Value>) -> Result<Option<Fit>, Status> {
        let Some(fit) = self.constraints.fit(request, value)? else { return Ok(None) };
        if self.conditions.is_empty() {
            return Ok(Some(fit));
        }
        let facts = Facts::of(request, &fit, value)?;
        match expression::conditions(&self.conditions, &Scope::new(&facts, None, &[])) {
            Ok(true) => Ok(Some(fit)),
            Ok(false) => Ok(None),
            Err(_) if self.ignore_failure => Ok(None),
            Err(why) => Err(request.forbidden(value, why)),
        }
    }

    /// It may be called although nothing is to be written.
    pub fn is_dry(&self) -> bool {
        matches!(self.side_effects.as_str(), "None" | "NoneOnDryRun")
    }
}
