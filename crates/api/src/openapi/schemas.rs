//! Types of the facts as schemas, in the form of either version of OpenAPI.

use std::collections::BTreeSet;

use super::{custom, descriptions};
use crate::kind::Version;
use crate::schema::{self, Field, Kind as FieldKind, ListType, Omit, Presence, Type, TypeShape};
use crate::{Kind, Map, Value};

/// Which version of OpenAPI is written, and, for version 3, whose document.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    V2,
    V3 { group: &'a str, version: &'a str },
}

impl Form<'_> {
    pub(super) fn is_v3(self) -> bool {
        matches!(self, Form::V3 { .. })
    }
    pub(super) fn reference(self, name: &str) -> Value {
        let place = if self.is_v3() { "components/schemas" } else { "definitions" };
        let mut map = Map::new();
        map.insert("$ref", format!("#/{place}/{name}"));
        Value::Object(map)
    }
}

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The schemas of a document: those asked for and all that they refer to.
pub(super) struct Schemas<'a> {
    form: Form<'a>,
    done: BTreeSet<&'static str>,
    waiting: Vec<&'static Type>,
    out: Map,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(form: Form<'a>) -> Schemas<'a> {
        Schemas { form, done: BTreeSet::new(), waiting: Vec::new(), out: Map::new() }
    }

    fn want(&mut self, name: &str) {
        let Some(of) = schema::lookup(name) else { return };
        if self.done.insert(of.name()) {
            self.waiting.push(of);
        }
    }

    pub(super) fn add_kind(&mut self, kind: &Kind, version: &Version) {
        for (verb, names) in [
            ("delete", ["DeleteOptions", "Status"]),
            ("patch", ["Patch", "Patch"]),
            ("watch", ["WatchEvent"; 2]),
        ] {
            if version.verbs.iter().any(|have| have == verb) {
                names.iter().for_each(|name| self.want(&format!("{META}.{name}")));
            }
        }
        if kind.custom {
            for name in ["ObjectMeta", "ListMeta"] {
                self.want(&format!("{META}.{name}"));
            }
            custom::add(&mut self.out, kind, version, self.form);
            return;
        }
        self.want(version.type_name);
        if !kind.list_kind.is_empty() {
            let list = schema::of_kind(&kind.resource.group, &version.name, &kind.list_kind);
            if let Some(list) = list {
                self.want(list.name());
            }
        }
        for sub in &version.subresources {
            if let Some(of) = schema::of_kind(&sub.group, &sub.version, &sub.kind)
                && !sub.kind.ends_with("Options")
            {
                self.want(of.name());
            }
        }
    }

    pub(super) fn finish(mut self) -> Map {
        while let Some(of) = self.waiting.pop() {
            let schema = self.definition(of);
            self.out.insert(of.name(), schema);
        }
        self.out
    }

    fn definition(&mut self, of: &'static Type) -> Value {
        let mut map = Map::new();
        match of.shape() {
            TypeShape::Object => {}
            other => return special(other, self.form.is_v3()),
        }
        map.insert("type", "object");
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in of.fields() {
            if field.required() {
                required.push(Value::from(field.json()));
            }
            let mut schema = self.field(field);
            let is_kind = of.gvks().next().is_some();
            if let Some(text) = descriptions::of(of.name(), field.json(), is_kind)
                && schema.get("$ref").is_none()
            {
                schema.set(&["description"], text);
            }
            properties.insert(field.json(), schema);
        }
        if !required.is_empty() {
            map.insert("required", required);
        }
        if !properties.is_empty() {
            map.insert("properties", Value::Object(properties));
        }
        if of.atomic() {
            map.insert("x-kubernetes-map-type", "atomic");
        }
        if !of.unions().is_empty()
            && let Ok(unions) = serde_json::from_str::<Value>(of.unions())
        {
            map.insert("x-kubernetes-unions", unions);
        }
        let gvks = self.gvks(of);
        if !gvks.is_empty() {
            map.insert("x-kubernetes-group-version-kind", gvks);
        }
        Value::Object(map)
    }

    fn gvks(&self, of: &Type) -> Vec<Value> {
        let gvk = |group: &str, version: &str, kind: &str| {
            [("group", group), ("kind", kind), ("version", version)].into_iter().collect::<Map>().into()
        };
        let mut gvks = Vec::new();
        for (group, version, kind) in of.gvks() {
            if (group, version) != ("*", "*") {
                gvks.push(gvk(group, version, kind));
                continue;
            }
            gvks.push(gvk("", "v1", kind));
            if let Form::V3 { group, version } = self.form
                && !group.is_empty()
            {
                gvks.push(gvk(group, version, kind));
            }
        }
        gvks
    }

    fn field(&mut self, field: &'static Field) -> Value {
        let v3 = self.form.is_v3();
        let mut map = Map::new();
        if field.is_list() {
            map.insert("type", "array");
            let items = self.element(field);
            map.insert("items", items);
            if field.list_type_stated() {
                map.insert(
                    "x-kubernetes-list-type",
                    match field.list_type() {
                        ListType::Atomic => "atomic",
                        ListType::Set => "set",
                        ListType::Map => "map",
                    },
                );
            }
            let keys: Vec<Value> = field.map_keys().map(Value::from).collect();
            if !keys.is_empty() {
                map.insert("x-kubernetes-list-map-keys", keys);
            }
        } else if field.is_map() {
            map.insert("type", "object");
            let values = self.element(field);
            map.insert("additionalProperties", values);
        } else {
            match self.scalar(field) {
                Value::Object(scalar) if scalar.contains_key("$ref") && v3 => {
                    map.insert("allOf", vec![Value::Object(scalar)]);
                }
                Value::Object(scalar) => map = scalar,
                _ => {}
            }
            if !v3 {
                // Version 2 publishes no defaults.
            } else if let Some(default) =
                field.default().and_then(|text| serde_json::from_str::<Value>(text).ok())
            {
                map.insert("default", default);
            } else if let Some(default) = implied(field) {
                map.insert("default", default);
            }
        }
        if field.atomic_map() && !field.of().is_some_and(Type::atomic) {
            map.insert("x-kubernetes-map-type", "atomic");
        }
        if !field.merge_key().is_empty() {
            map.insert("x-kubernetes-patch-merge-key", field.merge_key());
        }
        if !field.patch_strategy().is_empty() {
            map.insert("x-kubernetes-patch-strategy", field.patch_strategy());
        }
        Value::Object(map)
    }

    /// ExtraValue and its like: in JSON a bare list of texts.
    fn texts(&self) -> Value {
        let mut list = Value::object();
        list.set(&["items", "type"], "string");
        if self.form.is_v3() {
            list.set(&["items", "default"], "");
        }
        list.set(&["type"], "array");
        list
    }

    /// What a list's items or a map's values are.
    fn element(&mut self, field: &'static Field) -> Value {
        let scalar = self.scalar(field);
        let default = match field.kind() {
            _ if !self.form.is_v3() => None,
            FieldKind::Message if scalar.get("$ref").is_some() => Some(Value::object()),
            FieldKind::String => Some("".into()),
            FieldKind::Int32 | FieldKind::Int64 | FieldKind::Double => Some(Value::Int(0)),
            FieldKind::Bool => Some(false.into()),
            _ => None,
        };
        let (Value::Object(mut map), Some(default)) = (scalar.clone(), default) else { return scalar };
        if map.contains_key("$ref") {
            let mut wrapped = Map::new();
            wrapped.insert("allOf", vec![Value::Object(map)]);
            wrapped.insert("default", default);
            return Value::Object(wrapped);
        }
        map.insert("default", default);
        Value::Object(map)
    }

    fn scalar(&mut self, field: &'static Field) -> Value {
        if field.of().is_some_and(|of| field.kind() == FieldKind::Message && of.shape() == TypeShape::Array) {
            return self.texts();
        }
        let reference = match field.kind() {
            FieldKind::Message => field.of().map(Type::name),
            FieldKind::Quantity => Some("io.k8s.apimachinery.pkg.api.resource.Quantity"),
            FieldKind::IntOrString => Some("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            FieldKind::Time => Some("io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
            FieldKind::MicroTime => Some("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
            FieldKind::Duration => Some("io.k8s.apimachinery.pkg.apis.meta.v1.Duration"),
            FieldKind::RawExtension => Some("io.k8s.apimachinery.pkg.runtime.RawExtension"),
            FieldKind::FieldsV1 => Some("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"),
            FieldKind::Json => Some("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"),
            _ => None,
        };
        if let Some(name) = reference {
            self.want(name);
            return self.form.reference(name);
        }
        let mut map = Map::new();
        let kind = match field.kind() {
            FieldKind::Bool => "boolean",
            FieldKind::Int32 | FieldKind::Int64 => "integer",
            FieldKind::Double => "number",
            FieldKind::Any => return Value::object(),
            _ => "string",
        };
        map.insert("type", kind);
        if !field.format().is_empty() {
            map.insert("format", field.format());
        }
        let values: Vec<Value> = field.values().map(Value::from).collect();
        if !values.is_empty() {
            map.insert("enum", values);
        }
        Value::Object(map)
    }
}

/// The default that version 3 publishes for a field that Go always writes.
fn implied(field: &Field) -> Option<Value> {
    if field.presence() != Presence::Value {
        return None;
    }
    match field.kind() {
        FieldKind::Message if field.of().is_some_and(|of| of.shape() == TypeShape::Object) => {
            Some(Value::object())
        }
        _ if field.omit() != Omit::Never => None,
        FieldKind::String => Some("".into()),
        FieldKind::Bool => Some(false.into()),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Double => Some(Value::Int(0)),
        _ => None,
    }
}

/// Types with a JSON form of their own.
fn special(shape: TypeShape, v3: bool) -> Value {
    let text = match shape {
        TypeShape::Time | TypeShape::MicroTime => r#"{"type":"string","format":"date-time"}"#,
        TypeShape::Duration => r#"{"type":"string"}"#,
        TypeShape::Quantity if v3 => r#"{"oneOf":[{"type":"string"},{"type":"number"}]}"#,
        TypeShape::Quantity => r#"{"type":"string"}"#,
        TypeShape::IntOrString if v3 => {
            r#"{"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}"#
        }
        TypeShape::IntOrString => r#"{"type":"string","format":"int-or-string"}"#,
        TypeShape::RawExtension | TypeShape::FieldsV1 | TypeShape::Envelope => r#"{"type":"object"}"#,
        _ => "{}",
    };
    serde_json::from_str(text).expect("because these texts are JSON")
}
