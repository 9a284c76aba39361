//! Tests of structural schemas, with samples of what upstream answers.

use super::*;
use crate::field::Path;
use crate::json;

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "spec":{"type":"object","required":["size"],"properties":{
        "size":{"type":"integer","minimum":1,"maximum":10},
        "color":{"type":"string","enum":["red","blue"],"default":"red"},
        "name":{"type":"string","maxLength":5,"pattern":"^[a-z]*$"},
        "port":{"x-kubernetes-int-or-string":true},
        "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"known":{"type":"object","properties":{"a":{"type":"string"}}}}},
        "labels":{"type":"object","additionalProperties":{"type":"string"}},
        "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["p"],"maxItems":3,
            "items":{"type":"object","required":["p"],"properties":{"p":{"type":"integer"},"proto":{"type":"string","default":"TCP"}}}},
        "tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
        "pod":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true},
        "maybe":{"type":"string","nullable":true},
        "choice":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"oneOf":[{"required":["a"]},{"required":["b"]}]}
    }}}}"#;

#[test]
fn prunes_and_defaults() {
    let schema = Schema::parse(&parse(SCHEMA));
    assert_eq!(check(&Path::new("s"), &parse(SCHEMA)), []);
    let mut value = parse(
        r#"{"apiVersion":"a/v1","kind":"K","metadata":{"uid":"u","name":"n","x":1},"extra":1,"spec":{"size":1,"zzz":{},
        "maybe":null,"name":null,"labels":{"a":"b"},"free":{"any":{"thing":1},"known":{"a":"x","b":1}},
        "ports":[{"p":1,"x":1}],"pod":{"metadata":{"uid":"u","name":"n"},"y":1}}}"#,
    );
    let strict = prune(&mut value, &schema).unwrap();
    assert_eq!(
        strict,
        [
            r#"unknown field "metadata.x""#,
            r#"unknown field "extra""#,
            r#"unknown field "spec.free.known.b""#,
            r#"unknown field "spec.ports[0].x""#,
            r#"unknown field "spec.zzz""#
        ]
    );
    default(&mut value, &schema);
    assert_eq!(
        value.to_string(),
        r#"{"apiVersion":"a/v1","kind":"K","metadata":{"name":"n","uid":"u"},"spec":{"size":1,"maybe":null,"labels":{"a":"b"},"free":{"any":{"thing":1},"known":{"a":"x"}},"ports":[{"p":1,"proto":"TCP"}],"pod":{"metadata":{"name":"n","uid":"u"},"y":1},"color":"red"}}"#
    );
}

#[test]
fn validates_with_upstreams_texts() {
    let schema = Schema::parse(&parse(SCHEMA));
    for (spec, expected) in [
        (r#"{"size":1,"color":"red","port":"http","tags":["a"]}"#, vec![]),
        (r#"{}"#, vec!["spec.size: Required value"]),
        (
            r#"{"size":"x"}"#,
            vec![
                r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#,
            ],
        ),
        (
            r#"{"size":11}"#,
            vec!["spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"],
        ),
        (
            r#"{"size":0}"#,
            vec!["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"],
        ),
        (
            r#"{"size":1,"color":"green"}"#,
            vec![r#"spec.color: Unsupported value: "green": supported values: "red", "blue""#],
        ),
        (r#"{"size":1,"name":"abcdef"}"#, vec!["spec.name: Too long: may not be more than 5 bytes"]),
        (
            r#"{"size":1,"name":"A"}"#,
            vec![r#"spec.name: Invalid value: "A": spec.name in body should match '^[a-z]*$'"#],
        ),
        (
            r#"{"size":1,"port":true}"#,
            vec![
                r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
            ],
        ),
        (r#"{"size":1,"tags":["a","b","a"]}"#, vec![r#"spec.tags[2]: Duplicate value: "a""#]),
        (r#"{"size":1,"ports":[{"p":1},{"p":1}]}"#, vec![r#"spec.ports[1]: Duplicate value: {"p":1}"#]),
        (
            r#"{"size":1,"ports":[{"p":1},{"p":2},{"p":3},{"p":4}]}"#,
            vec!["spec.ports: Too many: 4: must have at most 3 items"],
        ),
        (
            r#"{"size":1,"choice":{}}"#,
            vec![
                "spec.choice.a: Required value",
                r#"<nil>: Invalid value: "": "spec.choice" must validate one and only one schema (oneOf). Found none valid"#,
            ],
        ),
        (
            r#"{"size":1,"labels":{"a":1}}"#,
            vec![
                r#"spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer""#,
            ],
        ),
    ] {
        let value = parse(&format!(r#"{{"spec":{spec}}}"#));
        let errors: Vec<String> = validate(&value, &schema).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{spec}");
        // What was wrong before is let pass.
        assert_eq!(validate_update(&value, Some(&value), &schema), []);
    }
}

#[test]
fn names_what_is_not_structural() {
    for (schema, expected) in [
        (r#"{"type":"object"}"#, vec![]),
        (r#"{}"#, vec!["s.type: Required value: must not be empty at the root"]),
        (
            r#"{"type":"object","properties":{"a":{}}}"#,
            vec!["s.properties[a].type: Required value: must not be empty for specified object fields"],
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"array"}}}"#,
            vec!["s.properties[a].items: Required value: must be specified"],
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string","anyOf":[{"type":"string"}]}}}"#,
            vec!["s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            r#"{"type":"object","oneOf":[{"properties":{"b":{"minimum":1}}}]}"#,
            vec!["s.properties[b]: Required value: because it is defined in s.oneOf[0].properties[b]"],
        ),
        (
            r#"{"type":"object","properties":{"metadata":{"type":"object","properties":{"labels":{"type":"object"}}}}}"#,
            vec![
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            r##"{"type":"object","properties":{"a":{"type":"string","$ref":"#/x","default":1}}}"##,
            vec!["s.properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string","default":1}}}"#,
            vec![
                r#"s.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer""#,
            ],
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{"k":{"type":"string"}}},"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"]}}}"#,
            vec![
                "s.properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
    ] {
        let errors: Vec<String> =
            check(&Path::new("s"), &parse(schema)).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{schema}");
    }
}

/// Runs cases whose outcome upstream (apiextensions-apiserver v0.36.3) wrote down:
/// `{schema, obj, structural, unknown, out, errors}`. A sample lies in `fixtures`; a longer file is taken from
/// `SKIFF_API_STRUCTURAL_CASES`.
#[test]
fn agrees_with_upstream() {
    let texts = |case: &Value, field: &str| -> Vec<String> {
        let items = case.get(field).and_then(Value::as_array).unwrap_or_default();
        let mut texts: Vec<String> =
            items.iter().filter_map(|text| Some(text.as_str()?.to_string())).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in crate::cases::read("SKIFF_API_STRUCTURAL_CASES", include_str!("fixtures/upstream.jsonl")) {
        count += 1;
        let source = case.get("schema").unwrap();
        let schema = Schema::parse(source);
        let mut problems = Vec::new();
        let mut compare = |what: &str, mut found: Vec<String>, expected: Vec<String>| {
            found.sort();
            found.dedup();
            if found != expected {
                problems.push(format!("{what}\nfound    {found:#?}\nexpected {expected:#?}"));
            }
        };
        let found = check::structural(&Path::new("s"), source).iter().map(ToString::to_string).collect();
        let structural = texts(&case, "structural");
        let is_structural = structural.is_empty();
        compare("structural", found, structural);
        if is_structural {
            let mut value = case.get("obj").unwrap().clone();
            let unknown =
                texts(&case, "unknown").iter().map(|path| format!("unknown field {path:?}")).collect();
            compare("unknown", prune(&mut value, &schema).unwrap(), unknown);
            default(&mut value, &schema);
            compare("out", vec![sorted(&value)], vec![sorted(case.get("out").unwrap())]);
            let found = validate(&value, &schema).iter().map(ToString::to_string).collect();
            compare("errors", found, texts(&case, "errors"));
        }
        if !problems.is_empty() {
            wrong.push(format!(
                "line {count}: {source}\n{}\n{}",
                case.get("obj").unwrap(),
                problems.join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(8)].join("\n\n"));
}

/// JSON with sorted keys, as Go writes it.
fn sorted(value: &Value) -> String {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.sort_by_name();
                map.iter_mut().for_each(|(_, value)| sort(value));
            }
            Value::Array(items) => items.iter_mut().for_each(sort),
            _ => {}
        }
    }
    let mut value = value.clone();
    sort(&mut value);
    value.to_string()
}
