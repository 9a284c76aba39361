//! Nothing that a client can send makes the machinery panic, and what is written can be read again. Bytes are random, or
//! real ones with a few bytes changed; proptest prints the seed of a failure. `fuzz/` has the same as fuzz targets.

use api::apply::{self, Set, Subject};
use api::schema::{self, Schema};
use api::{Map, Revision, Value, decode, json, patch, protobuf, structural, yaml};
use proptest::prelude::*;

const POD_JSON: &[u8] = include_bytes!("../src/protobuf/fixtures/core.v1.Pod.json");
const POD_PB: &[u8] = include_bytes!("../src/protobuf/fixtures/core.v1.Pod.pb");

/// Keys that mean something somewhere, so that walks get deep.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "metadata",
        "spec",
        "name",
        "labels",
        "containers",
        "ports",
        "containerPort",
        "protocol",
        "env",
        "value",
        "template",
        "selector",
        "matchLabels",
        "managedFields",
        "fieldsV1",
        "f:spec",
        "k:{\"name\":\"a\"}",
        ".",
        "v:1",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "finalizers",
        "kind",
        "apiVersion",
        "type",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "default",
        "oneOf",
        "not",
        "enum",
        "pattern",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "op",
        "path",
        "from",
        "manager",
        "operation",
        "time",
        "fieldsType",
        "resources",
        "limits",
        "cpu",
        "",
        "a/b",
        "~",
    ])
    .prop_map(String::from)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9f64).prop_map(Value::Float),
        prop::sample::select(vec![
            "",
            "a",
            "delete",
            "replace",
            "merge",
            "object",
            "array",
            "string",
            "integer",
            "Apply",
            "Update",
            "FieldsV1",
            "v1",
            "Pod",
            "/spec/containers/0",
            "/a/-",
            "add",
            "remove",
            "test",
            "move",
            "copy",
            "map",
            "set",
            "name",
            "100m",
            "2024-01-01T00:00:00Z",
            "[",
            "aGk=",
            "true",
            "~",
            "1e3",
            "- a",
            "a: b",
            "\u{2028}<\n",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map>())),
        ]
    })
}

/// A real text with some bytes overwritten and its end cut off.
fn damaged(bytes: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let places = prop::collection::vec((0..bytes.len(), any::<u8>()), 0..6);
    (places, bytes.len() / 2..=bytes.len()).prop_map(|(places, end)| {
        let mut out = bytes.to_vec();
        for (at, byte) in places {
            out[at] = byte;
        }
        out.truncate(end);
        out
    })
}

/// Keys in order, as YAML is written.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(map) => {
            let mut map: Map = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            map.sort_by_name();
            Value::Object(map)
        }
        other => other,
    }
}

fn pod() -> &'static schema::Type {
    schema::of_kind("", "v1", "Pod").expect("because Pod has a type")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_goes_both_ways(value in value()) {
        let text = json::to_vec(&value);
        let again = json::parse(&text).unwrap();
        prop_assert_eq!(json::to_vec(&again), text);
    }

    #[test]
    fn json_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), real in damaged(POD_JSON)) {
        for bytes in [bytes, real] {
            let _ = json::duplicates(&bytes);
            if let Ok(mut value) = json::parse(&bytes) {
                let _ = decode::normalize(pod(), &mut value);
            }
            let kinds = api::kinds::builtin();
            let kind = kinds.resource("", "pods").unwrap();
            let key = "core/pods/d/a".parse().unwrap();
            if let Ok(object) = api::Object::from_stored(kind, &bytes, key, Revision(7)) {
                let _ = object.without_managed_fields().concat();
            }
        }
    }

    #[test]
    fn normal_form_is_a_fixed_point(value in value()) {
        let mut value = value;
        if decode::normalize(pod(), &mut value).is_ok() {
            decode::default_facts(pod(), &mut value);
            let mut again = value.clone();
            decode::normalize(pod(), &mut again).unwrap();
            prop_assert_eq!(&again, &value);
            if matches!(value, Value::Object(_)) {
                let body = protobuf::encode(pod(), &value);
                protobuf::decode_message(pod(), protobuf::envelope(&body).unwrap().raw).unwrap();
            }
        }
    }

    #[test]
    fn protobuf_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), real in damaged(POD_PB)) {
        let _ = protobuf::decode(&bytes);
        let _ = protobuf::decode(&real);
        let _ = protobuf::decode_message(pod(), &bytes);
    }

    #[test]
    fn yaml_goes_both_ways(value in value(), text in "\\PC{0,60}") {
        let _ = yaml::parse(&text, yaml::Dialect::V2);
        let _ = yaml::parse(&text, yaml::Dialect::V3);
        let mut out = String::new();
        yaml::emit(&value, &mut out);
        // Printed as upstream prints them, U+2028 and U+2029 end lines as in YAML 1.1; the reader here has 1.2's, where they do not.
        prop_assume!(!out.contains(['\u{2028}', '\u{2029}']));
        let read = yaml::parse(&out, yaml::Dialect::V2).unwrap_or_else(|error| panic!("{error}:\n{out}"));
        let read = read.first().cloned().unwrap_or_default();
        prop_assert_eq!(sorted(read).to_string(), sorted(value).to_string(), "{}", out);
    }

    #[test]
    fn patches_take_any_values(document in value(), patch_value in value()) {
        let _ = patch::json_patch(document.clone(), &patch_value);
        let _ = patch::json_patch(document.clone(), &Value::Array(vec![patch_value.clone()]));
        let _ = patch::merge_patch(document.clone(), patch_value.clone());
        let _ = patch::strategic_merge(document, patch_value, Schema::Type(pod()));
    }

    #[test]
    fn applying_takes_any_values(live in value(), config in value(), new in value(), force in any::<bool>()) {
        let subject = Subject {
            api_version: "v1",
            kind: "Pod",
            schema: Schema::Type(pod()),
            subresource: "",
            reset: &Set::of_fields(&[&["status"]]),
            now: "2026-01-01T00:00:00Z",
            convert: &|_, _| None,
        };
        let mut config = config;
        if let Value::Object(map) = &mut config {
            map.insert("kind", "Pod");
            map.insert("apiVersion", "v1");
        }
        let _ = apply::apply(&subject, Some(&live), &config, "m", force);
        if let Ok(first) = apply::apply(&subject, None, &config, "m", force) {
            // Applying the same again is a no-op.
            let second = apply::apply(&subject, Some(&first), &config, "m", false).unwrap();
            prop_assert_eq!(second.to_string(), first.to_string());
        }
        let mut new = new;
        apply::track_update(&subject, Some(&live), &mut new, "m");
        apply::track_update(&subject, None, &mut new, "m");
        let _ = apply::take_over(&new, &["m"], "n");
    }

    #[test]
    fn structural_schemas_take_any_values(schema in value(), value in value()) {
        let _ = structural::check(&api::field::Path::new("s"), &schema);
        let parsed = structural::Schema::parse(&schema);
        let mut value = value;
        let _ = structural::prune(&mut value, &parsed);
        structural::default(&mut value, &parsed);
        let _ = structural::validate(&value, &parsed);
    }
}

/// The deepest text that the parser takes goes through every walk on the stack of a tokio thread, unoptimised too.
#[test]
fn deep_values_fit_a_threads_stack() {
    let walk = || {
        let depth = json::MAX_DEPTH - 3;
        let deep = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let text = format!(r#"{{"kind":"K","apiVersion":"g/v1","metadata":{{"name":"n"}},"spec":{deep}}}"#);
        let value = json::parse(text.as_bytes()).expect("because it is not too deep");
        let schema = structural::Schema::parse(
            &json::parse(
                br#"{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}"#,
            )
            .expect("because it is JSON"),
        );
        let subject = Subject {
            api_version: "g/v1",
            kind: "K",
            schema: Schema::Resource(&schema),
            subresource: "",
            reset: &Set::new(),
            now: "2026-01-01T00:00:00Z",
            convert: &|_, _| None,
        };
        let first = apply::apply(&subject, None, &value, "m", false).expect("because nobody owns it");
        let mut new = first.clone();
        new.set(&["spec", "b"], 1i64);
        apply::track_update(&subject, Some(&first), &mut new, "x");
        let _ = apply::apply(&subject, Some(&new), &value, "y", true);
        let _ = patch::merge_patch(new.clone(), value.clone());
        let _ = patch::strategic_merge(new.clone(), value.clone(), Schema::Free);
        let _ = structural::prune(&mut new, &schema);
        structural::default(&mut new, &schema);
        let _ = structural::validate(&new, &schema);
        let _ = structural::check(&api::field::Path::new("s"), &value);
        let _ = structural::Schema::parse(&value);
        let mut out = String::new();
        yaml::emit(&value, &mut out);
        assert!(value == value.clone() && !json::to_vec(&new).is_empty());
    };
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(walk);
    thread.expect("because a thread can be had").join().expect("because every walk fits");
}
