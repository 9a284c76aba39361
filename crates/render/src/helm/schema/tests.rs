//! Answers of upstream's own library (`oracle/`).

use super::*;

fn check(schema: &str, values: &str, expected: &str) {
    let Value::Map(values) = yaml::from_yaml(values).unwrap() else { panic!("values are a map") };
    let got = one(schema.as_bytes(), &values).err().unwrap_or_default();
    assert_eq!(got, expected, "of {schema}");
}

#[test]
fn a_schema_is_checked_itself() {
    check(
        r#"{"properties": {"x": {"type": "strin"}}}"#,
        "x: 1",
        "\"file:///values.schema.json#\" is not valid against metaschema: jsonschema validation failed with 'https://json-schema.org/draft/2020-12/schema#'\n- at '': 'allOf' failed\n  - at '/properties/x': 'allOf' failed\n    - at '/properties/x/type': 'anyOf' failed\n      - at '/properties/x/type': value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'\n      - at '/properties/x/type': got string, want array",
    );
}

#[test]
fn references_are_followed_before_values_are_looked_at() {
    check(
        r##"{"properties": {"x": {"$ref": "#/$defs/none"}}}"##,
        "y: 1",
        "json-pointer in \"file:///values.schema.json#/$defs/none\" not found",
    );
    check(
        r##"{"properties": {"x": {"$ref": "#none"}}}"##,
        "y: 1",
        "anchor in \"file:///values.schema.json#none\" not found in schema \"file:///values.schema.json\"",
    );
    check(
        r##"{"properties": {"x": {"$ref": "other.json"}}}"##,
        "y: 1",
        "failing loading \"file:///other.json\": open /other.json: no such file or directory",
    );
}

#[test]
fn cycles_end() {
    check(
        r##"{"$ref": "#"}"##,
        "y: 1",
        "- at '': both /$ref and  resolve to \"file:///values.schema.json#\" causing reference cycle\n",
    );
}
