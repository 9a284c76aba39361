//! What is asked of rules before a CRD is taken: that they compile, and cannot cost too much at the worst.

use smol_str::SmolStr;

use crate::Value;
use crate::cel::Type;
use crate::field::{Error, Path};
use crate::schema::ListType;
use crate::structural::{Additional, Schema};

use super::REQUEST;
use super::compile::{compile_rule, environment};
use super::size::{min_size, size_at};

/// The most that one expression may cost at the worst.
const EXPRESSION_LIMIT: u64 = 10_000_000;
/// The most that all expressions of a version may.
const SCHEMA_LIMIT: u64 = 100_000_000;

/// Whether the rules of a schema that is otherwise right may stand in a CRD: they compile, and cannot cost too much.
pub fn check(path: &Path, schema: &Schema, errors: &mut Vec<Error>) {
    let mut check = Check { total: 0, costly: Vec::new(), errors };
    check.node(path, schema, true, Some(1), None);
    let (total, mut costly) = (check.total, check.costly);
    if total > SCHEMA_LIMIT {
        costly.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, _) in costly.into_iter().take(4).filter(|(_, cost)| *cost > SCHEMA_LIMIT / 100) {
            let text =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(Error::forbidden(path, text));
        }
        let text = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(Error::forbidden(path.clone(), too_costly(text, total, SCHEMA_LIMIT)));
    }
}

struct Check<'c> {
    total: u64,
    costly: Vec<(Path, u64)>,
    errors: &'c mut Vec<Error>,
}

impl Check<'_> {
    /// `times`: how often the node can be there; `None`: as often as it fits. `apart`: where elements lose their identity.
    fn node(&mut self, path: &Path, schema: &Schema, root: bool, times: Option<u64>, apart: Option<&Path>) {
        for (key, property) in &schema.properties {
            self.node(&path.child("properties").key(key), property, property.embedded, times, apart);
        }
        let rules = schema.rules.as_ref();
        let many = |stated: Option<i64>| match (times, stated) {
            (Some(times), Some(most)) => Some(times.saturating_mul(most.max(0) as u64)),
            _ => None,
        };
        if let Additional::Schema(inner) = &schema.additional {
            let times = many(rules.and_then(|rules| rules.max_properties));
            self.node(&path.child("additionalProperties"), inner, inner.embedded, times, apart);
        }
        if let Some(items) = schema.items.as_deref() {
            let times = many(rules.and_then(|rules| rules.max_items));
            let own = path.child("items");
            let apart = apart.or((schema.list_type != Some(ListType::Map)).then_some(&own));
            self.node(&own, items, items.embedded, times, apart);
        }
        let expressions = rules.map(|rules| rules.expressions.as_slice()).unwrap_or_default();
        for (at, value) in expressions.iter().enumerate() {
            if value.str_at(&["rule"]).trim().is_empty() {
                continue;
            }
            let place = path.child("x-kubernetes-validations").index(at);
            self.rule(&place, schema, root, times, apart, value);
        }
    }

    fn rule(
        &mut self,
        place: &Path,
        schema: &Schema,
        root: bool,
        times: Option<u64>,
        apart: Option<&Path>,
        value: &Value,
    ) {
        let rule = compile_rule(schema, root, value);
        let sizes = |path: &[SmolStr]| match path.first().map(SmolStr::as_str) {
            Some("self" | "oldSelf") => size_at(schema, path),
            _ => None,
        };
        let times = times.unwrap_or(REQUEST / (min_size(schema) + 1));
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => {
                return self.errors.push(Error::invalid(place.child("rule"), value.clone(), why.clone()));
            }
        };
        self.cost(
            &place.child("rule"),
            "estimated rule cost",
            program.max_cost(&sizes).saturating_mul(times),
        );
        let dynamic = value.str_at(&["messageExpression"]);
        if !dynamic.trim().is_empty() {
            let compiled = environment(schema, root, rule.optional_old).map(|env| env.compile(dynamic));
            let wrong = match compiled {
                Some(Ok(program)) if *program.output() == Type::String => {
                    let inner = place.child("messageExpression");
                    self.cost(&inner, "estimated messageExpression cost", program.max_cost(&sizes));
                    None
                }
                Some(Ok(_)) => Some("messageExpression must evaluate to a string".into()),
                Some(Err(issues)) => Some(format!("messageExpression compilation failed: {issues}")),
                None => None,
            };
            if let Some(wrong) = wrong {
                self.errors.push(Error::invalid(place.child("messageExpression"), value.clone(), wrong));
            }
        }
        if program.uses("oldSelf") {
            if let Some(apart) = apart {
                let text = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
                );
                self.errors.push(Error::invalid(place.child("rule"), rule.text.as_str(), text));
            }
        } else if let Some(optional) = value.get("optionalOldSelf").filter(|optional| !optional.is_null()) {
            let text = "may not be set if oldSelf is not used in rule";
            self.errors.push(Error::invalid(place.child("optionalOldSelf"), optional.clone(), text));
        }
        let field = value.str_at(&["fieldPath"]);
        if !field.is_empty() && rule.field.is_none() {
            let text = format!("fieldPath must be a valid path: does not refer to a valid field: {field}");
            self.errors.push(Error::invalid(place.child("fieldPath"), field, text));
        }
    }

    fn cost(&mut self, place: &Path, what: &str, cost: u64) {
        if cost > EXPRESSION_LIMIT {
            self.errors.push(Error::forbidden(place.clone(), too_costly(what, cost, EXPRESSION_LIMIT)));
        }
        self.total = self.total.saturating_add(cost);
        self.costly.push((place.clone(), cost));
    }
}

fn too_costly(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_string(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}
