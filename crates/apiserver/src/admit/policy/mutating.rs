//! Running MutatingAdmissionPolicies (policy/mutating): each mutation sees what the ones before made.

use api::Value;
use api::cel::Val;

use super::{Policy, params};
use crate::admit::expression::{self, BUDGET, Facts, Scope};
use crate::admit::webhook::matching::Fit;
use crate::admit::webhook::versions;
use crate::admit::{Form, Request};
use crate::status::Result;

pub(super) fn mutate(request: &Request<'_>, value: &mut Value) -> Result<()> {
    // There is nothing to change.
    if value.is_null() || request.form != Form::Own {
        return Ok(());
    }
    let second = request.rounds.lock().second;
    for (policy, bindings) in request.call.inner.admission.policies.mutating.all().iter() {
        if second && !policy.reinvoke {
            continue;
        }
        let Some(constraints) = &policy.constraints else { continue };
        let refused = |value: &Value, binding: Option<&str>, why: String| {
            let with = binding.map(|name| format!(" with binding '{name}'")).unwrap_or_default();
            let text = format!("policy '{}'{with} denied request: {why}", policy.name);
            request.forbidden(Some(value), &text).recoded(422, "Invalid").caused("", text, "")
        };
        let fit = match constraints.fit(request, Some(value)) {
            Ok(Some(fit)) => fit,
            Ok(None) => continue,
            Err(_) if policy.ignore => continue,
            Err(status) => {
                let why = format!("failed to configure policy: {}", status.message());
                return Err(refused(value, None, why));
            }
        };
        for binding in bindings {
            let bound = match &binding.constraints {
                Some(constraints) => constraints.binds(request, Some(value))?,
                None => true,
            };
            if !bound {
                continue;
            }
            let all = match params::of(request, policy, binding) {
                Ok(all) => all,
                Err(_) if policy.ignore => continue,
                Err(why) => {
                    let why = format!("failed to configure binding: {why}");
                    return Err(refused(value, Some(&binding.name), why));
                }
            };
            for params in &all {
                match run(request, policy, &fit, params.as_ref(), value) {
                    Ok(Some(new)) => {
                        let changed = new != *value;
                        *value = new;
                        if changed {
                            request.rounds.lock().wanted = true;
                        }
                    }
                    Ok(None) => {}
                    Err(_) if policy.ignore => {}
                    Err(why) => return Err(refused(value, Some(&binding.name), why)),
                }
            }
        }
    }
    Ok(())
}

/// The object after all mutations; `None`: the policy's conditions do not hold.
fn run(
    request: &Request<'_>,
    policy: &Policy,
    fit: &Fit,
    params: Option<&Value>,
    value: &Value,
) -> std::result::Result<Option<Value>, String> {
    let mut current = value.clone();
    for (at, mutation) in policy.mutations.iter().enumerate() {
        let facts = Facts::of(request, fit, Some(&current)).map_err(|status| status.message().to_string())?;
        let scope = Scope::new(&facts, params, &policy.variables);
        if at == 0 && !expression::conditions(&policy.conditions, &scope)? {
            return Ok(None);
        }
        let mut budget = BUDGET;
        let made = mutation.expression.run(&scope, &mut budget)?;
        let patched = match mutation.json {
            true => json_patch(facts.object(), &made)?,
            false => apply(fit, facts.object(), &made)?,
        };
        current = versions::take(request, fit, patched).map_err(|status| status.message().to_string())?;
    }
    Ok(Some(current))
}

fn json_patch(object: &Value, made: &Val<'_>) -> std::result::Result<Value, String> {
    let bad = || "type error: JSONPatch expression must return a list of JSONPatch".to_string();
    let mut operations = Vec::new();
    for item in made.items().ok_or_else(bad)? {
        operations.push(item.to_value().ok_or_else(bad)?);
    }
    api::patch::json_patch(object.clone(), &operations.into()).map_err(|error| format!("JSON Patch: {error}"))
}

fn apply(fit: &Fit, object: &Value, made: &Val<'_>) -> std::result::Result<Value, String> {
    let Val::Struct(name, _) = made else {
        return Err(format!(
            "unsupported return type from ApplyConfiguration expression: {}",
            made.type_name()
        ));
    };
    if name != "Object" {
        return Err(format!("type mismatch: unexpected type name {name:?}, expected \"Object\""));
    }
    names_match(made, "Object").map_err(|why| format!("type mismatch: {why}"))?;
    let mut configuration = made.to_value().ok_or("invalid return type")?;
    for field in ["apiVersion", "kind"] {
        configuration.set(&[field], object.str_at(&[field]));
    }
    let version = fit.row.version(&fit.version).ok_or("unknown version")?;
    api::apply::merge(object, &configuration, crate::custom::schema_of(version))
        .map_err(|why| format!("error applying patch: {why}"))
}

/// A field `spec` holds an `Object.spec`.
fn names_match(value: &Val<'_>, path: &str) -> std::result::Result<(), String> {
    match value {
        Val::Struct(name, fields) => {
            if name != path {
                return Err(format!(
                    "unexpected type name {name:?}, expected {path:?}, which matches field name path from root Object type"
                ));
            }
            for (field, inner) in fields.iter() {
                names_match(inner, &format!("{path}.{field}"))?;
            }
            Ok(())
        }
        Val::List(items) => items.iter().try_for_each(|item| names_match(item, path)),
        _ => Ok(()),
    }
}
