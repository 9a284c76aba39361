//! Running ValidatingAdmissionPolicies (policy/validating/dispatcher.go, validator.go).

use api::Value;
use api::cel::Val;

use super::parsed::Validation;
use super::{Binding, Policy, params};
use crate::admit::Request;
use crate::admit::expression::{self, BUDGET, Facts, OUT_OF_BUDGET, Scope};
use crate::status::{Result, Status};

/// Characters of an audit annotation's value.
const LONGEST: usize = 10 * 1024;
/// Bytes of a message that an expression made.
const MESSAGE: usize = 5 * 1024;

/// Why a request does not pass.
struct Denial {
    binding: Option<String>,
    message: String,
    reason: String,
}

/// What one expression said, for each that said no.
struct Failed {
    place: usize,
    message: String,
    reason: String,
}

pub(super) fn validate(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    for (policy, bindings) in request.call.inner.admission.policies.validating.all().iter() {
        let Some(constraints) = &policy.constraints else { continue };
        let fit = match constraints.fit(request, value) {
            Ok(Some(fit)) => fit,
            Ok(None) => continue,
            Err(_) if policy.ignore => continue,
            Err(status) => {
                let message = format!("failed to configure policy: {}", status.message());
                return Err(deny(
                    request,
                    value,
                    policy,
                    Denial { binding: None, message, reason: String::new() },
                ));
            }
        };
        let facts = Facts::of(request, &fit, value)?;
        let mut notes: Vec<(String, Vec<String>)> = Vec::new();
        let mut denial = None;
        for binding in bindings {
            match bound(request, value, policy, binding, &facts, &mut notes) {
                Ok(()) => {}
                Err(found) => denial = denial.or(Some(found)),
            }
        }
        for (key, values) in notes {
            request.call.annotate(format!("{}/{key}", policy.name), values.join(", "));
        }
        if let Some(denial) = denial {
            return Err(deny(request, value, policy, denial));
        }
    }
    Ok(())
}

fn bound(
    request: &Request<'_>,
    value: Option<&Value>,
    policy: &Policy,
    binding: &Binding,
    facts: &Facts<'_>,
    notes: &mut Vec<(String, Vec<String>)>,
) -> std::result::Result<(), Denial> {
    let configured = |why: String| match policy.ignore {
        true => Ok(()),
        false => Err(Denial {
            binding: Some(binding.name.clone()),
            message: format!("failed to configure binding: {why}"),
            reason: String::new(),
        }),
    };
    match binding.constraints.as_ref().map(|constraints| constraints.binds(request, value)) {
        None | Some(Ok(true)) => {}
        Some(Ok(false)) => return Ok(()),
        Some(Err(status)) => return configured(status.message().into()),
    }
    let all = match params::of(request, policy, binding) {
        Ok(all) => all,
        Err(why) => return configured(why),
    };
    for params in &all {
        let scope = Scope::new(facts, params.as_ref(), &policy.variables);
        match expression::conditions(&policy.conditions, &scope) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) if policy.ignore => continue,
            Err(why) => {
                act(request, policy, binding, Failed { place: 0, message: why, reason: String::new() })?
            }
        }
        let mut budget = BUDGET;
        for (place, validation) in policy.validations.iter().enumerate() {
            let Some((message, reason)) = judged(policy, validation, &scope, &mut budget) else { continue };
            act(request, policy, binding, Failed { place, message, reason })?;
        }
        let mut budget = BUDGET;
        for note in &policy.annotations {
            let text = match note.run(&scope, &mut budget) {
                Ok(Val::String(text)) => text.trim().to_string(),
                Ok(Val::Null) => continue,
                Err(_) if policy.ignore => continue,
                Ok(other) => {
                    let message = format!(
                        "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                        note.text,
                        other.type_name()
                    );
                    return Err(Denial {
                        binding: Some(binding.name.clone()),
                        message,
                        reason: String::new(),
                    });
                }
                Err(message) => {
                    return Err(Denial {
                        binding: Some(binding.name.clone()),
                        message,
                        reason: String::new(),
                    });
                }
            };
            if text.is_empty() {
                continue;
            }
            let text: String = text.chars().take(LONGEST).collect();
            match notes.iter_mut().find(|(key, _)| *key == note.name) {
                Some((_, values)) if values.contains(&text) => {}
                Some((_, values)) => values.push(text),
                None => notes.push((note.name.clone(), vec![text])),
            }
        }
    }
    Ok(())
}

/// Message and reason of a validation that does not hold.
fn judged(
    policy: &Policy,
    validation: &Validation,
    scope: &Scope<'_, '_>,
    budget: &mut u64,
) -> Option<(String, String)> {
    match validation.expression.run(scope, budget) {
        Ok(Val::Bool(true)) => None,
        Err(_) if policy.ignore => None,
        Err(why) => Some((why, String::new())),
        Ok(_) => {
            let dynamic = validation.dynamic.as_ref().map(|dynamic| dynamic.run(scope, budget));
            let message = match dynamic {
                Some(Err(why)) if why == OUT_OF_BUDGET => {
                    return (!policy.ignore)
                        .then(|| (format!("failed messageExpression: {why}"), String::new()));
                }
                Some(Ok(Val::String(text))) => {
                    let text = text.trim();
                    let fit = !text.is_empty() && text.len() <= MESSAGE && !text.contains('\n');
                    fit.then(|| text.to_string())
                }
                _ => None,
            };
            let message = message.unwrap_or_else(|| match validation.message.as_str() {
                "" => format!("failed expression: {}", validation.expression.text),
                message => message.into(),
            });
            let reason = if validation.reason.is_empty() { "Invalid" } else { &validation.reason };
            Some((message, reason.into()))
        }
    }
}

/// What the binding wants done about a failure.
fn act(
    request: &Request<'_>,
    policy: &Policy,
    binding: &Binding,
    failed: Failed,
) -> std::result::Result<(), Denial> {
    let mut denied = false;
    for action in &binding.actions {
        match action.as_str() {
            "Deny" => denied = true,
            "Warn" => request.call.warn([format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                policy.name, binding.name, failed.message
            )]),
            _ => {
                let mut note = Value::object();
                note.set(&["message"], failed.message.as_str());
                note.set(&["policy"], policy.name.as_str());
                note.set(&["binding"], binding.name.as_str());
                note.set(&["expressionIndex"], failed.place as i64);
                let actions: Vec<Value> = binding.actions.iter().map(|own| own.as_str().into()).collect();
                note.set(&["validationActions"], actions);
                let text = Value::from(vec![note]).to_string();
                request.call.annotate("validation.policy.admission.k8s.io/validation_failure".into(), text);
            }
        }
    }
    match denied {
        true => Err(Denial {
            binding: Some(binding.name.clone()),
            message: failed.message,
            reason: failed.reason,
        }),
        false => Ok(()),
    }
}

fn deny(request: &Request<'_>, value: Option<&Value>, policy: &Policy, denial: Denial) -> Status {
    let message = match &denial.binding {
        Some(binding) => format!(
            "ValidatingAdmissionPolicy '{}' with binding '{binding}' denied request: {}",
            policy.name, denial.message
        ),
        None => format!("ValidatingAdmissionPolicy '{}' denied request: {}", policy.name, denial.message),
    };
    let reason = if denial.reason.is_empty() { "Invalid".to_string() } else { denial.reason };
    let code = match reason.as_str() {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    request.forbidden(value, &message).recoded(code, reason).caused("", message, "")
}
