//! Schemas of custom kinds: what their CRD states, with the fields that every object has.

use super::descriptions;
use super::schemas::{Form, META};
use crate::kind::Version;
use crate::{Kind, Map, Value};

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// `com.example.stable.v1.CronTab`: the group turned round, as Go's packages are named.
pub(super) fn name(kind: &Kind, version: &Version, what: &str) -> String {
    let mut parts: Vec<&str> = kind.resource.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{what}", parts.join("."), version.name)
}

pub(super) fn add(out: &mut Map, kind: &Kind, version: &Version, form: Form<'_>) {
    let mut schema = match version.schema.as_deref() {
        Some(schema) if form.is_v3() => schema.clone(),
        Some(schema) => to_v2(schema.clone()),
        None => Value::object(),
    };
    if !matches!(schema, Value::Object(_)) {
        schema = Value::object();
    }
    let loose = schema.at(&[PRESERVE]).and_then(Value::as_bool).unwrap_or_default();
    if loose && !form.is_v3() {
        // Any property named here would make kubectl's validation refuse all others.
        schema = Value::object();
        schema.set(&["type"], "object");
    } else {
        schema.set(&["type"], "object");
        type_meta(&mut schema);
        schema.set(&["properties", "metadata"], wrapped(form, "ObjectMeta"));
    }
    schema.set(&["x-kubernetes-group-version-kind"], vec![gvk(kind, version, &kind.kind)]);
    let item = name(kind, version, &kind.kind);
    let mut list = Value::object();
    list.set(&["type"], "object");
    list.set(&["required"], vec![Value::from("items")]);
    type_meta(&mut list);
    list.set(&["properties", "metadata"], wrapped(form, "ListMeta"));
    list.set(&["properties", "items", "type"], "array");
    list.set(&["properties", "items", "items"], form.reference(&item));
    list.set(&["x-kubernetes-group-version-kind"], vec![gvk(kind, version, &kind.list_kind)]);
    out.insert(item, schema);
    out.insert(name(kind, version, &kind.list_kind), list);
}

fn type_meta(schema: &mut Value) {
    let fields = [("apiVersion", descriptions::API_VERSION), ("kind", descriptions::KIND)];
    for (field, description) in fields {
        schema.set(&["properties", field, "description"], description);
        schema.set(&["properties", field, "type"], "string");
    }
}

fn wrapped(form: Form<'_>, of: &str) -> Value {
    let reference = form.reference(&format!("{META}.{of}"));
    if !form.is_v3() {
        return reference;
    }
    let mut map = Map::new();
    map.insert("description", descriptions::METADATA);
    map.insert("allOf", vec![reference]);
    Value::Object(map)
}

pub(super) fn gvk(kind: &Kind, version: &Version, what: &str) -> Value {
    let mut map = Map::new();
    map.insert("group", kind.resource.group.clone());
    map.insert("kind", what);
    map.insert("version", version.name.clone());
    Value::Object(map)
}

/// Takes away what OpenAPI 2 has no word for; what is left accepts at least as much.
fn to_v2(mut schema: Value) -> Value {
    let Value::Object(map) = &mut schema else { return schema };
    for keyword in ["oneOf", "anyOf", "allOf", "not", "default"] {
        map.remove(keyword);
    }
    let nullable = map.remove("nullable").and_then(|flag| flag.as_bool()).unwrap_or_default();
    let set = |map: &Map, name: &str| map.get(name).and_then(Value::as_bool).unwrap_or_default();
    if nullable || set(map, "x-kubernetes-int-or-string") {
        for keyword in ["type", "items", "properties"] {
            map.remove(keyword);
        }
    }
    if set(map, PRESERVE) {
        map.remove("items");
        map.remove("properties");
    }
    // kubectl reads neither an array without items nor an object that keeps what it does not know.
    let type_ = map.get("type").and_then(Value::as_str).map(str::to_owned);
    let array = type_.as_deref() == Some("array") && map.get("items").is_none();
    if array || type_.as_deref() == Some("object") && set(map, PRESERVE) {
        map.remove("type");
    }
    let is_nullable = |value: &Value| value.at(&["nullable"]).and_then(Value::as_bool).unwrap_or_default();
    let may_be_null: Vec<String> = map
        .get("properties")
        .and_then(Value::as_map)
        .into_iter()
        .flat_map(|properties| properties.iter())
        .filter(|(_, property)| is_nullable(property))
        .map(|(name, _)| name.to_string())
        .collect();
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| !may_be_null.iter().any(|nullable| Some(nullable.as_str()) == name.as_str()));
        if required.is_empty() {
            map.remove("required");
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (_, property) in properties.iter_mut() {
            *property = to_v2(std::mem::take(property));
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner @ Value::Object(_)) = map.get_mut(keyword) {
            *inner = to_v2(std::mem::take(inner));
        }
    }
    schema
}
