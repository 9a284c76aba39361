//! CEL in admission: what match conditions and policies may name, and how they are run
//! (k8s.io/apiserver/pkg/admission/plugin/cel).

use std::cell::RefCell;
use std::collections::HashMap;

use api::Value;
use api::cel::authz::{Authz, Decision, Question, ResourceCheck, Subject};
use api::cel::{CALL_LIMIT, Env, Failure, OVER, Program, Resolve, Val};
use smol_str::SmolStr;

use super::webhook::matching::Fit;
use super::{Operation, Request, webhook};
use crate::authz::{self, Attributes};
use crate::identity::Identity;

/// What all expressions of one policy may cost for one request (celconfig.RuntimeCELCostBudget).
pub(super) const BUDGET: u64 = 10_000_000;
/// Of match conditions (RuntimeCELCostBudgetMatchConditions).
pub(super) const CONDITIONS: u64 = BUDGET / 4;

pub(super) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A named expression, or why it is none.
pub(crate) struct Expression {
    pub name: String,
    pub text: String,
    pub program: Result<Program, String>,
}

impl Expression {
    pub fn of(env: &Env, name: &str, text: &str) -> Expression {
        let program = env.compile(text.trim()).map_err(|issues| format!("compilation failed: {issues}"));
        Expression { name: name.into(), text: text.trim().into(), program }
    }

    /// The expressions of a list of `{name, expression}`.
    pub fn all(env: &Env, list: Option<&Value>) -> Vec<Expression> {
        let items = list.and_then(Value::as_array).unwrap_or_default();
        items
            .iter()
            .map(|item| Expression::of(env, item.str_at(&["name"]), item.str_at(&["expression"])))
            .collect()
    }

    /// Runs it; `budget` is what is left, and shrinks.
    pub(super) fn run<'a>(&self, scope: &Scope<'a, '_>, budget: &mut u64) -> Result<Val<'a>, String> {
        let program = self.program.as_ref().map_err(|why| format!("compilation error: {why}"))?;
        let (result, cost) = program.run(scope, CALL_LIMIT);
        if cost > *budget {
            *budget = 0;
            return Err(OUT_OF_BUDGET.into());
        }
        *budget -= cost;
        result.map_err(|why| {
            let why =
                if why == OVER { "operation cancelled: actual cost limit exceeded".into() } else { why };
            format!("expression '{}' resulted in error: {why}", self.text)
        })
    }
}

/// The values of one request, owned, in the version that was asked for.
pub(super) struct Facts<'r> {
    request: &'r Request<'r>,
    object: Value,
    old: Value,
    asked: Value,
    namespace: Value,
}

impl<'r> Facts<'r> {
    pub fn of(
        request: &'r Request<'r>,
        fit: &Fit,
        value: Option<&Value>,
    ) -> crate::status::Result<Facts<'r>> {
        let object = match value {
            Some(value) if request.operation != Operation::Delete => {
                webhook::versions::show(request, fit, value)?
            }
            _ => Value::Null,
        };
        let old = match request.old {
            Some(old) => webhook::versions::show(request, fit, old)?,
            None => Value::Null,
        };
        let mut asked = webhook::admission_request(request, fit, value, "");
        asked.set(&["dryRun"], request.dry_run());
        asked.set(&["options"], request.options_value());
        let name = if request.is("", "namespaces") { "" } else { request.namespace() };
        let namespace = match name {
            "" => Value::Null,
            name => request
                .call
                .inner
                .peek("", "namespaces", "", name)
                .map_or(Value::Null, |namespace| namespace.value()),
        };
        Ok(Facts { request, object, old, asked, namespace })
    }

    pub fn object(&self) -> &Value {
        &self.object
    }
}

/// What expressions are run with: the facts, the parameters of a binding, and the policy's variables, each found once.
pub(super) struct Scope<'a, 'f> {
    pub facts: &'a Facts<'f>,
    pub params: Option<&'a Value>,
    pub variables: &'a [Expression],
    memo: RefCell<HashMap<SmolStr, Result<Val<'a>, Failure>>>,
}

impl<'a, 'f> Scope<'a, 'f> {
    pub fn new(
        facts: &'a Facts<'f>,
        params: Option<&'a Value>,
        variables: &'a [Expression],
    ) -> Scope<'a, 'f> {
        Scope { facts, params, variables, memo: RefCell::default() }
    }
}

impl<'a> Resolve<'a> for Scope<'a, '_> {
    fn variable(&self, name: &str) -> Option<Result<(Val<'a>, u64), Failure>> {
        let value = match name {
            "object" => Val::of(&self.facts.object, None),
            "oldObject" => Val::of(&self.facts.old, None),
            "request" => Val::of(&self.facts.asked, None),
            "namespaceObject" => Val::of(&self.facts.namespace, None),
            "params" => self.params.map_or(Val::Null, |params| Val::of(params, None)),
            "authorizer" => Val::Authz(Authz::Authorizer(Subject::Requester).into()),
            "authorizer.requestResource" => {
                let request = self.facts.request;
                let resource = &request.call.target.kind.resource;
                let check = ResourceCheck {
                    subject: Subject::Requester,
                    group: resource.group.clone(),
                    resource: resource.plural.clone(),
                    subresource: request.subresource.into(),
                    namespace: request.namespace().into(),
                    name: self.facts.asked.str_at(&["name"]).into(),
                    fields: SmolStr::default(),
                    labels: SmolStr::default(),
                };
                Val::Authz(Authz::Resource(check).into())
            }
            _ => {
                let own = name.strip_prefix("variables.")?;
                if let Some(known) = self.memo.borrow().get(own) {
                    return Some(known.clone().map(|value| (value, 0)));
                }
                let variable = self.variables.iter().find(|variable| variable.name == own)?;
                let (result, cost) = match &variable.program {
                    Ok(program) => program.run(self, CALL_LIMIT),
                    Err(why) => (Err(why.clone()), 0),
                };
                let result =
                    result.map_err(|why| format!("composited variable {own:?} fails to evaluate: {why}"));
                self.memo.borrow_mut().insert(own.into(), result.clone());
                return Some(result.map(|value| (value, cost)));
            }
        };
        Some(Ok((value, 0)))
    }

    fn authorize(&self, question: &Question<'_>) -> Decision {
        let call = self.facts.request.call;
        let (subject, attributes) = match question {
            Question::Path { subject, path, verb } => {
                (subject, Attributes { verb, path, is_resource: false, ..Attributes::default() })
            }
            Question::Resource { check, verb } => (
                &&check.subject,
                Attributes {
                    verb,
                    group: &check.group,
                    resource: &check.resource,
                    subresource: &check.subresource,
                    namespace: &check.namespace,
                    name: &check.name,
                    fields: &check.fields,
                    labels: &check.labels,
                    ..Attributes::default()
                },
            ),
        };
        let account = match subject {
            Subject::Requester => None,
            Subject::ServiceAccount(namespace, name) => Some(Identity::service_account(namespace, name)),
        };
        let identity = account.as_ref().unwrap_or(&call.identity);
        match authz::decide(&call.inner, identity, &attributes) {
            Ok(reason) => Decision { allowed: true, reason: reason.into(), error: SmolStr::default() },
            Err(reason) => Decision { allowed: false, reason: reason.into(), error: SmolStr::default() },
        }
    }
}

/// What match conditions say: `Ok(false)` where one is false, else the errors of those that failed.
pub(super) fn conditions(all: &[Expression], scope: &Scope<'_, '_>) -> Result<bool, String> {
    let mut budget = CONDITIONS;
    let mut errors = Vec::new();
    for condition in all {
        match condition.run(scope, &mut budget) {
            Ok(Val::Bool(false)) => return Ok(false),
            Ok(_) => {}
            Err(why) => errors.push(why),
        }
    }
    match errors.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}
