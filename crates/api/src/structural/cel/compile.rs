//! Rules compiled in the shape of their schema. What does not compile is kept with the reason: definitions taken by another server
//! may hold it, and each object is told.

use smol_str::SmolStr;

use crate::Value;
use crate::cel::{Env, Program, Type, escape};
use crate::field::Path;
use crate::structural::{Additional, NodeType, Schema};

/// The rules of a schema and of what is below it.
#[derive(Debug, Default)]
pub struct Compiled {
    pub(super) rules: Vec<Rule>,
    pub(super) properties: Vec<(SmolStr, Compiled)>,
    pub(super) additional: Option<Box<Compiled>>,
    pub(super) items: Option<Box<Compiled>>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub text: SmolStr,
    pub message: SmolStr,
    pub reason: SmolStr,
    pub field: Option<String>,
    pub optional_old: bool,
    pub program: Result<Program, String>,
    pub message_program: Option<Program>,
}

impl Rule {
    pub fn uses_old(&self) -> bool {
        self.program.as_ref().is_ok_and(|program| program.uses("oldSelf"))
    }
    /// What names the rule in errors.
    pub fn name(&self) -> &str {
        if self.message.is_empty() { self.text.trim() } else { self.message.trim() }
    }
    pub fn detail(&self) -> String {
        match self.message.is_empty() {
            true => format!("failed rule: {}", self.text.trim()),
            false => self.message.trim().into(),
        }
    }
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

pub(super) fn environment(schema: &Schema, root: bool, optional_old: bool) -> Option<Env> {
    let own = declared(schema, root, "selfType")?;
    let old = if optional_old { Type::optional(own.clone()) } else { own.clone() };
    Some(Env::new().with("self", own).with("oldSelf", old))
}

pub(super) fn compile_rule(schema: &Schema, root: bool, rule: &Value) -> Rule {
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
