//! Whether an `openAPIV3Schema` may stand in a CRD: only supported keywords, and structural (KEP-1002) with upstream's
//! texts. Looks at the tree as the client sent it, so that paths and values are the client's.
//!
//! Not checked: whether defaults are pruned fixed points (that they satisfy the schema is).

use crate::field::{Error, Path};
use crate::{Map, Value};

/// Where in a schema a node stands, for what it may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// All that is wrong with a schema; `path` is `spec.versions[0].schema.openAPIV3Schema`.
pub fn check(path: &Path, schema: &Value) -> Vec<Error> {
    let mut errors = structural(path, schema);
    keywords(path, schema, Place { root: true, in_metadata: false, no_defaults: None }, &mut errors);
    if errors.is_empty() {
        let parsed = super::Schema::parse(schema);
        defaults(path, &parsed, &mut errors);
        super::cel::check(path, &parsed, &mut errors);
    }
    errors
}

/// Only whether the schema is structural; sorted, as upstream gives it.
pub(super) fn structural(path: &Path, schema: &Value) -> Vec<Error> {
    let mut errors = Vec::new();
    node(path, schema, Level::Root, &mut errors);
    complete(path, schema, &mut errors);
    errors.sort_by_key(ToString::to_string);
    errors
}

fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema.get(name).and_then(Value::as_str).unwrap_or_default()
}
fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}
fn map<'a>(schema: &'a Value, name: &str) -> Option<&'a Map> {
    schema.get(name).and_then(Value::as_map).filter(|map| !map.is_empty())
}
fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).unwrap_or_default()
}
fn set<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get(name).filter(|value| !value.is_null())
}

#[derive(Clone, Copy)]
struct Place {
    root: bool,
    in_metadata: bool,
    no_defaults: Option<&'static str>,
}

/// Keywords that CRDs do not support, and extensions that contradict each other.
fn keywords(path: &Path, schema: &Value, place: Place, errors: &mut Vec<Error>) {
    if !matches!(schema, Value::Object(_)) {
        return;
    }
    let kind = text(schema, "type");
    if !matches!(kind, "" | "array" | "boolean" | "integer" | "number" | "object" | "string" | "null") {
        let known = ["array", "boolean", "integer", "number", "object", "string"];
        errors.push(Error::not_supported(path.child("type"), kind, &known));
    }
    if let (Some(_), Some(reason)) = (set(schema, "default"), place.no_defaults) {
        errors.push(Error::forbidden(path.child("default"), format!("must not be set {reason}")));
    }
    let unsupported = [
        ("id", !text(schema, "id").is_empty()),
        ("additionalItems", set(schema, "additionalItems").is_some()),
        ("patternProperties", map(schema, "patternProperties").is_some()),
        ("definitions", map(schema, "definitions").is_some()),
        ("dependencies", set(schema, "dependencies").is_some()),
        ("$ref", set(schema, "$ref").is_some()),
    ];
    for (name, _) in unsupported.iter().filter(|(_, used)| *used) {
        errors.push(Error::forbidden(path.child(name), format!("{name} is not supported")));
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(Error::forbidden(path.child("type"), detail));
    }
    if matches!(schema.get("items"), Some(Value::Array(_))) {
        errors.push(Error::forbidden(path.child("items"), "items must be a schema object and not an array"));
    }
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    if place.in_metadata && embedded {
        let path = path.child("x-kubernetes-embedded-resource");
        errors.push(Error::forbidden(path, "must not be used inside of resource meta"));
    }
    if flag(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(Error::forbidden(path.child("uniqueItems"), detail));
    }
    let inside = Place { root: false, ..place };
    if let Some(additional) = set(schema, "additionalProperties") {
        if map(schema, "properties").is_some() && *additional != Value::Bool(true) {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(Error::forbidden(path.child("additionalProperties"), detail));
        }
        let no_defaults = match place.in_metadata {
            true => Some("inside additionalProperties applying to object metadata"),
            false => place.no_defaults,
        };
        keywords(&path.child("additionalProperties"), additional, Place { no_defaults, ..inside }, errors);
    }
    for (name, property) in map(schema, "properties").into_iter().flat_map(Map::iter) {
        let mut below = inside;
        if (place.root || embedded) && is_meta(name) {
            below.in_metadata = true;
            if place.root {
                below.no_defaults = Some(match name.as_str() {
                    "metadata" => "in top-level metadata",
                    "kind" => "in top-level kind",
                    _ => "in top-level apiVersion",
                });
            }
        }
        keywords(&path.child("properties").key(name), property, below, errors);
    }
    for (name, nested) in ["allOf", "oneOf", "anyOf"].map(|name| (name, list(schema, name))) {
        for (at, nested) in nested.iter().enumerate() {
            keywords(&path.child(name).index(at), nested, inside, errors);
        }
    }
    for name in ["not", "items"] {
        if let Some(nested) = set(schema, name) {
            keywords(&path.child(name), nested, inside, errors);
        }
    }
    lists_and_maps(path, schema, kind, errors);
    expressions(path, schema, errors);
}

fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`.
fn lists_and_maps(path: &Path, schema: &Value, kind: &str, errors: &mut Vec<Error>) {
    const LIST: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    const MAP: &str = "x-kubernetes-map-type";
    let at_type = |detail: &str| {
        let path = path.child("type");
        if kind.is_empty() { Error::required(path, detail) } else { Error::invalid(path, kind, detail) }
    };
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(Error::invalid(path, false, "must be true or undefined"));
    }
    if let Some(map_type) = set(schema, MAP) {
        if kind != "object" {
            errors.push(at_type("must be object if x-kubernetes-map-type is specified"));
        }
        if !matches!(map_type.as_str(), Some("atomic" | "granular")) {
            errors.push(Error::not_supported(path.child(MAP), map_type.clone(), &["atomic", "granular"]));
        }
    }
    let items = set(schema, "items");
    let list_type = set(schema, LIST);
    let keys = list(schema, KEYS);
    if let Some(list_type) = list_type {
        if kind != "array" {
            errors.push(at_type("must be array if x-kubernetes-list-type is specified"));
        } else if let (Some("set"), Some(items)) = (list_type.as_str(), items) {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let wrong = match text(items, "type") {
                "array" => set(items, LIST).filter(|of| of.as_str() != Some("atomic")).map(|_| LIST),
                "object" if text(items, MAP) != "atomic" => Some(MAP),
                _ => None,
            };
            if let Some(name) = wrong {
                let value = set(items, LIST).cloned().unwrap_or_default();
                errors.push(Error::invalid(path.child("items").child(name), value, detail));
            }
        }
        if !matches!(list_type.as_str(), Some("atomic" | "set" | "map")) {
            errors.push(Error::not_supported(path.child(LIST), list_type.clone(), &["atomic", "set", "map"]));
        }
    }
    let is_map = list_type.and_then(Value::as_str) == Some("map");
    if !keys.is_empty() && !is_map {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            None => Error::required(path.child(LIST), detail),
            Some(other) => Error::invalid(path.child(LIST), other.clone(), detail),
        });
    }
    if !is_map {
        return;
    }
    if keys.is_empty() {
        errors.push(Error::required(path.child(KEYS), "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        errors.push(Error::required(
            path.child("items"),
            "must have a schema if x-kubernetes-list-type is map",
        ));
        return;
    };
    let items_path = path.child("items");
    if text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(items_path.child("type"), text(items, "type"), detail));
        return;
    }
    let required = list(items, "required");
    for (at, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let invalid = |detail: &str| Error::invalid(path.child(KEYS), Value::Array(keys.to_vec()), detail);
        match items.at(&["properties", name]) {
            None => errors.push(invalid("entries must all be names of item properties")),
            Some(property) => {
                let property_path = items_path.child("properties").key(name);
                if matches!(text(property, "type"), "array" | "object") {
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    errors.push(Error::invalid(property_path.child("type"), text(items, "type"), detail));
                }
                if set(property, "default").is_none() && !required.contains(key) {
                    let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                                  required property";
                    errors.push(Error::required(property_path.child("default"), detail));
                }
                if flag(property, "nullable") {
                    let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                    errors.push(Error::forbidden(property_path.child("nullable"), detail));
                }
            }
        }
        if keys[..at].contains(key) {
            errors.push(invalid("must not contain duplicate entries"));
        }
    }
    if flag(items, "nullable") {
        errors.push(Error::forbidden(
            items_path.child("nullable"),
            "cannot be nullable when x-kubernetes-list-type is map",
        ));
    }
}

/// The form of `x-kubernetes-validations`.
fn expressions(path: &Path, schema: &Value, errors: &mut Vec<Error>) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    for (at, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(at);
        let (expression, message) = (text(rule, "rule").trim(), text(rule, "message"));
        if expression.is_empty() {
            errors.push(Error::required(path.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(Error::invalid(path.child("message"), message, "must be non-empty if specified"));
        } else if message.trim().contains('\n') {
            errors.push(Error::invalid(path.child("message"), message, "must not contain line breaks"));
        } else if expression.contains('\n') && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(Error::required(path.child("message"), detail));
        }
        let dynamic = text(rule, "messageExpression");
        if !dynamic.is_empty() && dynamic.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(Error::required(path.child("messageExpression"), detail));
        }
        if let Some(reason) = set(rule, "reason")
            && !REASONS.contains(&reason.as_str().unwrap_or_default())
        {
            errors.push(Error::not_supported(path.child("reason"), reason.clone(), &REASONS));
        }
    }
}

/// Whether a node's type is stated, and its extensions agree.
fn node(path: &Path, schema: &Value, level: Level, errors: &mut Vec<Error>) {
    let kind = text(schema, "type");
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let int_or_string = flag(schema, "x-kubernetes-int-or-string");
    let items = set(schema, "items");
    if kind == "array" && items.is_none() {
        errors.push(Error::required(path.child("items"), "must be specified"));
    }
    if let Some(items) = items {
        node(&path.child("items"), items, Level::Item, errors);
    }
    for (name, property) in map(schema, "properties").into_iter().flat_map(Map::iter) {
        // Metadata at the root is implied: it may only restrict names.
        if level == Level::Root && name == "metadata" {
            root_metadata(&path.child("properties").key(name), property, errors);
            continue;
        }
        node(&path.child("properties").key(name), property, Level::Field, errors);
    }
    if let Some(additional) = set(schema, "additionalProperties") {
        if level == Level::Root {
            errors.push(Error::forbidden(path.child("additionalProperties"), "must not be used at the root"));
        }
        if embedded {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(Error::forbidden(path.child("additionalProperties"), detail));
        }
        if matches!(additional, Value::Object(_)) {
            node(&path.child("additionalProperties"), additional, Level::Field, errors);
        }
    }
    if int_or_string && preserve {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(Error::invalid(path, true, "must be false if x-kubernetes-int-or-string is true"));
    }
    if int_or_string && embedded {
        let path = path.child("x-kubernetes-embedded-resource");
        errors.push(Error::invalid(path, true, "must be false if x-kubernetes-int-or-string is true"));
    }
    nested_values(path, schema, errors);
    if embedded && kind != "object" {
        let (path, detail) = (path.child("type"), "must be object if x-kubernetes-embedded-resource is true");
        errors.push(if kind.is_empty() {
            Error::required(path, detail)
        } else {
            Error::invalid(path, kind, detail)
        });
    } else if kind.is_empty() && !int_or_string && !preserve {
        let place = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(Error::required(path.child("type"), format!("must not be empty {place}")));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(Error::invalid(path.child("type"), kind, "must be object at the root"));
    }
    if level == Level::Root || embedded {
        for name in ["kind", "apiVersion"] {
            if let Some(property) = schema.at(&["properties", name])
                && text(property, "type") != "string"
            {
                let path = path.child("properties").key(name).child("type");
                errors.push(Error::invalid(path, text(property, "type"), "must be string"));
            }
        }
    }
    if embedded && !preserve && map(schema, "properties").is_none() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(path.child("properties"), detail));
    }
}

fn root_metadata(path: &Path, schema: &Value, errors: &mut Vec<Error>) {
    let kind = text(schema, "type");
    if kind != "object" {
        errors.push(Error::invalid(path.child("type"), kind, "must be object"));
    }
    let known = |key: &str| matches!(key, "type" | "properties" | "description" | "default");
    let extra = schema.as_map().is_some_and(|map| map.keys().any(|key| !known(key)));
    let names = map(schema, "properties")
        .is_none_or(|map| map.keys().all(|key| matches!(key.as_str(), "name" | "generateName")));
    if extra || !names {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(Error::forbidden(path.clone(), detail));
    }
    for (name, property) in map(schema, "properties").into_iter().flat_map(Map::iter) {
        node(&path.child("properties").key(name), property, Level::Field, errors);
    }
}

/// `[{type: integer}, {type: string}]`, the one place where a nested type is allowed.
fn is_int_or_string(any_of: &[Value]) -> bool {
    any_of.len() == 2
        && any_of
            .iter()
            .zip(["integer", "string"])
            .all(|(one, kind)| one.as_map().is_some_and(|map| map.len() == 1) && text(one, "type") == kind)
}

/// What stands under allOf, anyOf, oneOf and not: values only, no types.
fn nested_values(path: &Path, schema: &Value, errors: &mut Vec<Error>) {
    for name in ["anyOf", "allOf", "oneOf"] {
        let alternatives = list(schema, name);
        if name == "anyOf" && is_int_or_string(alternatives) {
            continue;
        }
        for (at, one) in alternatives.iter().enumerate() {
            nested_value(&path.child(name).index(at), one, errors);
        }
    }
    if let Some(not) = set(schema, "not") {
        nested_value(&path.child("not"), not, errors);
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(problem) = regex::Regex::new(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {problem}");
        errors.push(Error::invalid(path.child("pattern"), pattern, detail));
    }
}

fn nested_value(path: &Path, schema: &Value, errors: &mut Vec<Error>) {
    nested_values(path, schema, errors);
    if let Some(items) = set(schema, "items") {
        nested_value(&path.child("items"), items, errors);
    }
    for (name, property) in map(schema, "properties").into_iter().flat_map(Map::iter) {
        nested_value(&path.child("properties").key(name), property, errors);
        if name == "metadata" {
            let path = path.child("properties").key(name);
            errors.push(Error::forbidden(path, "must not be specified in a nested context"));
        }
    }
    let forbidden = [
        ("type", !text(schema, "type").is_empty(), "must be empty to be structural"),
        (
            "additionalProperties",
            set(schema, "additionalProperties").is_some(),
            "must be undefined to be structural",
        ),
        ("default", set(schema, "default").is_some(), "must be undefined to be structural"),
        ("title", !text(schema, "title").is_empty(), "must be empty to be structural"),
        ("description", !text(schema, "description").is_empty(), "must be empty to be structural"),
        ("nullable", flag(schema, "nullable"), "must be false to be structural"),
        (
            "x-kubernetes-preserve-unknown-fields",
            flag(schema, "x-kubernetes-preserve-unknown-fields"),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-embedded-resource",
            flag(schema, "x-kubernetes-embedded-resource"),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-int-or-string",
            flag(schema, "x-kubernetes-int-or-string"),
            "must be false to be structural",
        ),
        (
            "x-kubernetes-list-map-keys",
            !list(schema, "x-kubernetes-list-map-keys").is_empty(),
            "must be empty to be structural",
        ),
        (
            "x-kubernetes-list-type",
            set(schema, "x-kubernetes-list-type").is_some(),
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-map-type",
            set(schema, "x-kubernetes-map-type").is_some(),
            "must be undefined to be structural",
        ),
        (
            "x-kubernetes-validations",
            !list(schema, "x-kubernetes-validations").is_empty(),
            "must be empty to be structural",
        ),
    ];
    for (name, _, detail) in forbidden.iter().filter(|(_, there, _)| *there) {
        errors.push(Error::forbidden(path.child(name), *detail));
    }
}

/// Whatever a nested schema constrains must be specified outside of it too.
fn complete(path: &Path, schema: &Value, errors: &mut Vec<Error>) {
    let nested = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .flat_map(|name| list(schema, name).iter().enumerate().map(move |(at, one)| (name, Some(at), one)));
    for (name, at, one) in nested.chain(set(schema, "not").map(|not| ("not", None, not))) {
        let inner = match at {
            Some(at) => path.child(name).index(at),
            None => path.child(name),
        };
        skeleton(&inner, path, one, schema, errors);
    }
    for (name, property) in map(schema, "properties").into_iter().flat_map(Map::iter) {
        complete(&path.child("properties").key(name), property, errors);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner @ Value::Object(_)) = schema.get(name) {
            complete(&path.child(name), inner, errors);
        }
    }
}

fn skeleton(inner: &Path, path: &Path, nested: &Value, schema: &Value, errors: &mut Vec<Error>) {
    for (name, property) in map(nested, "properties").into_iter().flat_map(Map::iter) {
        let here = path.child("properties").key(name);
        match schema.at(&["properties", name]) {
            Some(outside) => skeleton(&inner.child("properties").key(name), &here, property, outside, errors),
            None => {
                let detail = format!("because it is defined in {}", inner.child("properties").key(name));
                errors.push(Error::required(here, detail));
            }
        }
    }
    if let Some(items) = set(nested, "items") {
        match set(schema, "items") {
            Some(outside) => skeleton(&inner.child("items"), &path.child("items"), items, outside, errors),
            None => {
                let detail = format!("because it is defined in {}", inner.child("items"));
                errors.push(Error::required(path.child("items"), detail));
            }
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (at, one) in list(nested, name).iter().enumerate() {
            skeleton(&inner.child(name).index(at), path, one, schema, errors);
        }
    }
    if let Some(not) = set(nested, "not") {
        skeleton(&inner.child("not"), path, not, schema, errors);
    }
}

/// Defaults must satisfy the schema that they stand in.
fn defaults(path: &Path, schema: &super::Schema, errors: &mut Vec<Error>) {
    if let Some(default) = &schema.default {
        if default.is_null() && !schema.nullable {
            let detail = "must be nullable to have null as default";
            errors.push(Error::invalid(path.child("default"), Value::Null, detail));
        } else {
            errors.extend(super::validate::validate_at(&path.child("default"), default, schema));
        }
    }
    for (name, property) in &schema.properties {
        defaults(&path.child("properties").key(name), property, errors);
    }
    if let Some(items) = &schema.items {
        defaults(&path.child("items"), items, errors);
    }
    if let super::Additional::Schema(inner) = &schema.additional {
        defaults(&path.child("additionalProperties"), inner, errors);
    }
}
