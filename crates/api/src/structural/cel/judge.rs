//! Compiled rules over an object and the one it came from, with a budget for all of them.

use crate::Value;
use crate::cel::{CALL_LIMIT, Failure, OVER, Resolve, Val};
use crate::field::{Error, Path, Reason};
use crate::schema::ListType;
use crate::structural::{Additional, NodeType, Schema};

use super::compile::{Compiled, Rule};

/// What all rules of one object may cost together (celconfig.RuntimeCELCostBudget).
const BUDGET: i64 = 10_000_000;

impl Compiled {
    /// What the rules say of an object. What is said of unchanged parts goes to `warnings`.
    pub fn validate(
        &self,
        value: &Value,
        old: Option<&Value>,
        schema: &Schema,
        warnings: &mut Vec<String>,
    ) -> Vec<Error> {
        let mut run = Run { budget: BUDGET, errors: Vec::new(), warnings };
        self.visit(&Path::default(), value, old, false, schema, &mut run);
        run.errors
    }

    /// `old`: what a transition is from. `unchanged`: this part, or one around it, is as it was. `Err`: nothing more is judged.
    fn visit(
        &self,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        schema: &Schema,
        run: &mut Run<'_>,
    ) -> Option<()> {
        if value.is_null() {
            return Some(());
        }
        let old = old.filter(|old| !old.is_null());
        let unchanged = old.map_or(unchanged, |old| old == value);
        for rule in &self.rules {
            run.rule(rule, path, value, old, unchanged, schema)?;
        }
        match value {
            Value::Array(items) => {
                let (Some(inner), Some(items_schema)) = (&self.items, schema.items.as_deref()) else {
                    return Some(());
                };
                let olds = old.and_then(Value::as_array).unwrap_or_default();
                for (at, item) in items.iter().enumerate() {
                    let old = (schema.list_type == Some(ListType::Map))
                        .then(|| {
                            olds.iter().find(|old| {
                                schema.list_map_keys.iter().all(|key| old.get(key) == item.get(key))
                            })
                        })
                        .flatten();
                    inner.visit(&path.index(at), item, old, unchanged, items_schema, run)?;
                }
            }
            Value::Object(map) => {
                for (key, inner) in &self.properties {
                    if let (Some(value), Some(schema)) = (map.get(key), schema.property(key)) {
                        let old = old.and_then(|old| old.get(key));
                        inner.visit(&path.child(key), value, old, unchanged, schema, run)?;
                    }
                }
                if let (Some(inner), Additional::Schema(schema)) = (&self.additional, &schema.additional) {
                    for (key, value) in map.iter() {
                        let old = old.and_then(|old| old.get(key));
                        inner.visit(&path.key(key), value, old, unchanged, schema, run)?;
                    }
                }
            }
            _ => {}
        }
        Some(())
    }
}

struct Run<'w> {
    budget: i64,
    errors: Vec<Error>,
    warnings: &'w mut Vec<String>,
}

struct Scope<'a> {
    own: Val<'a>,
    old: Option<Val<'a>>,
    optional: bool,
}

impl<'a> Resolve<'a> for Scope<'a> {
    fn variable(&self, name: &str) -> Option<Result<(Val<'a>, u64), Failure>> {
        let value = match name {
            "self" => self.own.clone(),
            "oldSelf" if self.optional => Val::maybe(self.old.clone()),
            "oldSelf" => self.old.clone()?,
            _ => return None,
        };
        Some(Ok((value, 0)))
    }
}

/// A node's type as errors show it.
fn type_name(schema: &Schema) -> &'static str {
    match schema.node {
        NodeType::Any => "",
        NodeType::Object => "object",
        NodeType::Array => "array",
        NodeType::String => "string",
        NodeType::Integer => "integer",
        NodeType::Number => "number",
        NodeType::Boolean => "boolean",
    }
}

impl Run<'_> {
    fn rule(
        &mut self,
        rule: &Rule,
        path: &Path,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        schema: &Schema,
    ) -> Option<()> {
        let kind = type_name(schema);
        if self.budget <= 0 {
            self.errors.push(out_of_budget(path, kind));
            return None;
        }
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => {
                self.errors.push(Error::invalid(path.clone(), kind, format!("rule compile error: {why}")));
                return Some(());
            }
        };
        if rule.uses_old() && old.is_none() && !rule.optional_old {
            return Some(());
        }
        let scope = Scope {
            own: Val::of(value, Some(schema)),
            old: old.map(|old| Val::of(old, Some(schema))),
            optional: rule.optional_old,
        };
        let (result, cost) = program.run(&scope, CALL_LIMIT);
        let over = matches!(&result, Err(why) if why == OVER);
        if !over && i64::try_from(cost).map_or(true, |cost| cost > self.budget) {
            self.errors.push(out_of_budget(path, kind));
            return None;
        }
        self.budget = self.budget.saturating_sub(cost as i64);
        let problem = match result {
            Ok(Val::Bool(true)) => return Some(()),
            Ok(_) => None,
            Err(why) if why.starts_with("no such overload") => Some(format!(
                "'{why}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                rule.name()
            )),
            Err(why) if why == OVER => {
                let text = format!(
                    "'{why}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    rule.name()
                );
                self.errors.push(Error::invalid(path.clone(), kind, text));
                return None;
            }
            Err(why) => Some(format!("{why} evaluating rule: {}", rule.name())),
        };
        if let Some(text) = problem {
            self.errors.push(Error::invalid(path.clone(), kind, text));
            return Some(());
        }
        let place = match &rule.field {
            Some(field) => path.child(field),
            None => path.clone(),
        };
        let detail = self.message(rule, &scope).unwrap_or_else(|| rule.detail());
        let shown = (!matches!(value, Value::Object(_) | Value::Array(_))).then(|| value.clone());
        let error = match rule.reason.as_str() {
            "FieldValueForbidden" => Error::forbidden(place, detail),
            "FieldValueRequired" => Error::required(place, detail),
            "FieldValueDuplicate" => {
                Error { path: place, reason: Reason::Duplicate, value: shown, detail: String::new() }
            }
            _ => Error { path: place, reason: Reason::Invalid, value: shown, detail },
        };
        match unchanged && !rule.uses_old() {
            true => self.warnings.push(error.to_string()),
            false => self.errors.push(error),
        }
        Some(())
    }

    /// What the rule's own expression says, if it says something fit to be shown.
    fn message(&mut self, rule: &Rule, scope: &Scope<'_>) -> Option<String> {
        let program = rule.message_program.as_ref()?;
        let limit = CALL_LIMIT.min(self.budget.max(0) as u64);
        let (result, cost) = program.run(scope, limit);
        self.budget = self.budget.saturating_sub(cost as i64);
        match result.ok()? {
            Val::String(text) => {
                let text = text.trim();
                (!text.is_empty() && !text.contains(['\n', '\r'])).then(|| text.to_string())
            }
            _ => None,
        }
    }
}

fn out_of_budget(path: &Path, kind: &str) -> Error {
    let text = "validation failed due to running out of cost budget, no further validation rules will be run";
    Error::invalid(path.clone(), kind, text)
}
