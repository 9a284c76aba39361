//! `x-kubernetes-validations`: CEL rules of a schema, compiled once in the schema's shape, judged before a CRD is taken and
//! run over every object (k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel).
//!
//! A rule that names `oldSelf` is a transition rule: it runs only where there is an old value that this one came from. What
//! did not change is not judged again (KEP-4008). All rules of one object share a budget.
//!
//! Long because compiling a schema's rules and judging by them walk the same shape, and are read side by side.

use smol_str::SmolStr;

use super::{Additional, NodeType, Schema};
use crate::Value;
use crate::cel::{CALL_LIMIT, Env, Failure, OVER, Program, Resolve, Type, Val, escape};
use crate::field::{Error, Path, Reason};
use crate::schema::ListType;

/// What all rules of one object may cost together (celconfig.RuntimeCELCostBudget).
const BUDGET: i64 = 10_000_000;
/// The most that one expression may cost at the worst.
const EXPRESSION_LIMIT: u64 = 10_000_000;
/// The most that all expressions of a version may.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// Bytes of the largest request.
const REQUEST: u64 = 3 * 1024 * 1024;

/// The rules of a schema and of what is below it.
#[derive(Debug, Default)]
pub struct Compiled {
    rules: Vec<Rule>,
    properties: Vec<(SmolStr, Compiled)>,
    additional: Option<Box<Compiled>>,
    items: Option<Box<Compiled>>,
}

#[derive(Debug)]
struct Rule {
    text: SmolStr,
    message: SmolStr,
    reason: SmolStr,
    field: Option<String>,
    optional_old: bool,
    program: Result<Program, String>,
    message_program: Option<Program>,
}

impl Rule {
    fn uses_old(&self) -> bool {
        self.program.as_ref().is_ok_and(|program| program.uses("oldSelf"))
    }
    /// What names the rule in errors.
    fn name(&self) -> &str {
        if self.message.is_empty() { self.text.trim() } else { self.message.trim() }
    }
    fn detail(&self) -> String {
        match self.message.is_empty() {
            true => format!("failed rule: {}", self.text.trim()),
            false => self.message.trim().into(),
        }
    }
}

/// The CEL type of a schema; `None`: what has no type cannot be named by rules.
fn declared(schema: &Schema, root: bool, name: &str) -> Option<Type> {
    if schema.int_or_string {
        return Some(Type::Dyn);
    }
    let format = schema.rules.as_ref().map(|rules| rules.format.as_str()).unwrap_or_default();
    match schema.node {
        NodeType::Any => None,
        NodeType::Boolean => Some(Type::Bool),
        NodeType::Number => Some(Type::Double),
        NodeType::Integer => Some(Type::Int),
        NodeType::String => Some(match format {
            "byte" => Type::Bytes,
            "duration" => Type::Duration,
            "date" | "date-time" => Type::Timestamp,
            _ => Type::String,
        }),
        NodeType::Array => {
            let items = schema.items.as_deref()?;
            Some(Type::list(declared(items, items.embedded, &format!("{name}.@idx"))?))
        }
        NodeType::Object => {
            if let Additional::Schema(inner) = &schema.additional {
                return Some(Type::map(
                    Type::String,
                    declared(inner, inner.embedded, &format!("{name}.@elem"))?,
                ));
            }
            let mut fields: Vec<(SmolStr, Type)> = schema
                .properties
                .iter()
                .filter_map(|(key, property)| {
                    let escaped = escape(key);
                    let inner = declared(property, property.embedded, &format!("{name}.{escaped}"))?;
                    Some((escaped.into(), inner))
                })
                .collect();
            if root {
                fields.push(("apiVersion".into(), Type::String));
                fields.push(("kind".into(), Type::String));
                let metadata = [("name".into(), Type::String), ("generateName".into(), Type::String)];
                fields.push(("metadata".into(), Type::object(&format!("{name}.metadata"), metadata)));
            }
            Some(Type::object(name, fields))
        }
    }
}

/// Bytes of the smallest value.
fn min_size(schema: &Schema) -> u64 {
    if schema.int_or_string {
        return 1;
    }
    let rules = schema.rules.as_ref();
    match schema.node {
        NodeType::Boolean => 4,
        NodeType::Number | NodeType::Integer | NodeType::Any => 1,
        NodeType::Array => 2,
        NodeType::String => match rules.map(|rules| rules.format.as_str()).unwrap_or_default() {
            "duration" => 3,
            "date" => 12,
            "date-time" => 21,
            _ => 2,
        },
        NodeType::Object => {
            let required = |key: &SmolStr| rules.is_some_and(|rules| rules.required.contains(key));
            let fields = schema
                .properties
                .iter()
                .filter(|(key, property)| required(key) && property.default.is_none());
            2 + fields.map(|(key, property)| key.len() as u64 + min_size(property) + 4).sum::<u64>()
        }
    }
}

/// Elements of a list or map, or the length of a string, at the most.
fn max_elements(schema: &Schema) -> u64 {
    let rules = schema.rules.as_ref();
    let stated = |most: Option<i64>| most.map(|most| most.max(0) as u64);
    let length = || rules.and_then(|rules| stated(rules.max_length));
    if schema.int_or_string {
        return length().map_or(REQUEST - 2, |length| length * 4);
    }
    match schema.node {
        NodeType::Array => {
            let each = schema.items.as_deref().map_or(1, min_size);
            rules.and_then(|rules| stated(rules.max_items)).unwrap_or((REQUEST - 2) / (each + 1))
        }
        NodeType::Object => match &schema.additional {
            Additional::Schema(inner) => rules
                .and_then(|rules| stated(rules.max_properties))
                .unwrap_or((REQUEST - 2) / (min_size(inner) + 6)),
            _ => 0,
        },
        NodeType::String => match rules.map(|rules| rules.format.as_str()).unwrap_or_default() {
            "byte" => length().unwrap_or(REQUEST - 2),
            "duration" | "date-time" => 32,
            "date" => 12,
            _ => match (length(), rules) {
                (Some(length), _) => length * 4,
                (None, Some(rules)) if !rules.values.is_empty() => {
                    let texts = rules.values.iter().filter_map(Value::as_str);
                    texts.map(|text| text.len() as u64).max().unwrap_or(0)
                }
                _ => REQUEST - 2,
            },
        },
        _ => 0,
    }
}

/// The size of what a path of an expression leads to.
fn size_at(schema: &Schema, path: &[SmolStr]) -> Option<u64> {
    let mut here = schema;
    for step in path.get(1..)? {
        here = match step.as_str() {
            "@items" => here.items.as_deref()?,
            "@values" => match &here.additional {
                Additional::Schema(inner) => inner,
                _ => return None,
            },
            // Keys are strings of any length.
            "@keys" => return matches!(here.additional, Additional::Schema(_)).then_some(0),
            field => match &here.additional {
                Additional::Schema(inner) => inner,
                _ => here.property(&crate::cel::unescape(field))?,
            },
        };
    }
    Some(max_elements(here))
}

fn environment(schema: &Schema, root: bool, optional_old: bool) -> Option<Env> {
    let own = declared(schema, root, "selfType")?;
    let old = if optional_old { Type::optional(own.clone()) } else { own.clone() };
    Some(Env::new().with("self", own).with("oldSelf", old))
}

fn compile_rule(schema: &Schema, root: bool, rule: &Value) -> Rule {
    let text = rule.str_at(&["rule"]);
    let optional_old = rule.get("optionalOldSelf").and_then(Value::as_bool) == Some(true);
    let env = environment(schema, root, optional_old);
    let program = match &env {
        None => Err("failed to convert to declType for CEL validation rules".into()),
        Some(env) => {
            env.compile(text).map_err(|issues| format!("compilation failed: {issues}")).and_then(|program| {
                match program.output() {
                    Type::Bool => Ok(program),
                    _ => Err("cel expression must evaluate to a bool".into()),
                }
            })
        }
    };
    let dynamic = rule.str_at(&["messageExpression"]);
    Rule {
        text: text.into(),
        message: rule.str_at(&["message"]).into(),
        reason: rule.str_at(&["reason"]).into(),
        field: Some(rule.str_at(&["fieldPath"]))
            .filter(|path| !path.is_empty())
            .and_then(|path| normalized(path, schema)),
        optional_old,
        program,
        message_program: env.filter(|_| !dynamic.is_empty()).and_then(|env| env.compile(dynamic).ok()),
    }
}

/// `.spec.x`, `['a-b'].c` as the path that it is, if the schema has it.
fn normalized(text: &str, schema: &Schema) -> Option<String> {
    let mut here = Some(schema);
    let mut out = Path::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = if let Some(tail) = rest.strip_prefix("['") {
            let end = tail.find("']")?;
            (tail[..end].replace("\\'", "'"), &tail[end + 2..])
        } else {
            let tail = rest.strip_prefix('.')?;
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            (tail[..end].to_string(), &tail[end..])
        };
        let at = here?;
        let (next, keyed) = match (at.property(&name), &at.additional) {
            (Some(property), _) => (Some(property), false),
            (None, Additional::Schema(inner)) => (Some(&**inner), true),
            (None, _) => return None,
        };
        out = if keyed { out.key(&name) } else { out.child(&name) };
        here = next;
        rest = after;
    }
    Some(out.as_str().to_string())
}

impl Compiled {
    /// `None`: there is no rule in the whole schema.
    pub fn of(schema: &Schema) -> Option<Compiled> {
        Compiled::node(schema, true)
    }

    fn node(schema: &Schema, root: bool) -> Option<Compiled> {
        let expressions = schema.rules.as_ref().map(|rules| rules.expressions.as_slice()).unwrap_or_default();
        let rules = expressions
            .iter()
            .filter(|rule| !rule.str_at(&["rule"]).trim().is_empty())
            .map(|rule| compile_rule(schema, root, rule));
        let mut compiled = Compiled { rules: rules.collect(), ..Compiled::default() };
        for (key, property) in &schema.properties {
            compiled
                .properties
                .extend(Compiled::node(property, property.embedded).map(|inner| (key.clone(), inner)));
        }
        if let Additional::Schema(inner) = &schema.additional {
            compiled.additional = Compiled::node(inner, inner.embedded).map(Box::new);
        }
        compiled.items =
            schema.items.as_deref().and_then(|items| Compiled::node(items, items.embedded)).map(Box::new);
        let empty = compiled.rules.is_empty()
            && compiled.properties.is_empty()
            && compiled.additional.is_none()
            && compiled.items.is_none();
        (!empty).then_some(compiled)
    }

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

/// Whether the rules of a schema that is otherwise right may stand in a CRD: they compile, and cannot cost too much.
pub(super) fn check(path: &Path, schema: &Schema, errors: &mut Vec<Error>) {
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
