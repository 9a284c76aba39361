//! OpenAPI v2 in gnostic's protobuf (OpenAPIv2.proto of github.com/google/gnostic-models), which client-go's discovery, and so
//! the validation of Helm and of older kubectls, asks for.
//!
//! Invariant: a message says what the JSON document says. What may be anything is YAML on the wire; ours is JSON, which is YAML
//! too. A property that the proto has no field for and that is no extension (`x-…`) is left out, where gnostic refuses the whole
//! document. Not here: tags and security definitions, which neither our documents nor aggregated servers' paths have.

use smol_str::SmolStr;

use crate::protobuf::wire::Writer;
use crate::{Map, Value};

/// A property's name, its tag and what it holds; those of a message stand by their tags.
type Field = (&'static str, u32, Holds);

/// What a property is on the wire.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Flag,
    Integer,
    Double,
    Any,
    One(&'static &'static [Field]),
    /// A list; what is no list is one of its elements.
    Many(&'static Holds),
    /// In the tag 1 of a message.
    In(&'static Holds),
    /// Pairs of a name and a value, in this tag of a message.
    Named(u32, &'static Holds),
    /// The value, or a reference to it.
    Or(&'static Holds),
    Additional,
    Parameter,
}
use Holds::{Additional, Any, Double, Flag, In, Integer, Many, Named, One, Or, Parameter, Text};

/// In place of a name: all properties that begin so.
const EXTENSION: &str = "x-";

static DOCUMENT: &[Field] = &[
    ("swagger", 1, Text),
    ("info", 2, One(&INFO)),
    ("host", 3, Text),
    ("basePath", 4, Text),
    ("schemes", 5, Many(&Text)),
    ("consumes", 6, Many(&Text)),
    ("produces", 7, Many(&Text)),
    ("paths", 8, Named(2, &One(&PATH))),
    ("definitions", 9, Named(1, &One(&SCHEMA))),
    ("parameters", 10, Named(1, &Parameter)),
    ("responses", 11, Named(1, &One(&RESPONSE))),
    ("externalDocs", 15, One(&EXTERNAL)),
    (EXTENSION, 16, Any),
];

static INFO: &[Field] = &[
    ("title", 1, Text),
    ("version", 2, Text),
    ("description", 3, Text),
    ("termsOfService", 4, Text),
    (EXTENSION, 7, Any),
];

static EXTERNAL: &[Field] = &[("description", 1, Text), ("url", 2, Text), (EXTENSION, 3, Any)];

static PATH: &[Field] = &[
    ("$ref", 1, Text),
    ("get", 2, One(&OPERATION)),
    ("put", 3, One(&OPERATION)),
    ("post", 4, One(&OPERATION)),
    ("delete", 5, One(&OPERATION)),
    ("options", 6, One(&OPERATION)),
    ("head", 7, One(&OPERATION)),
    ("patch", 8, One(&OPERATION)),
    ("parameters", 9, Many(&Or(&Parameter))),
    (EXTENSION, 10, Any),
];

static OPERATION: &[Field] = &[
    ("tags", 1, Many(&Text)),
    ("summary", 2, Text),
    ("description", 3, Text),
    ("externalDocs", 4, One(&EXTERNAL)),
    ("operationId", 5, Text),
    ("produces", 6, Many(&Text)),
    ("consumes", 7, Many(&Text)),
    ("parameters", 8, Many(&Or(&Parameter))),
    ("responses", 9, Named(1, &Or(&One(&RESPONSE)))),
    ("schemes", 10, Many(&Text)),
    ("deprecated", 11, Flag),
    (EXTENSION, 13, Any),
];

static RESPONSE: &[Field] = &[
    ("description", 1, Text),
    ("schema", 2, In(&One(&SCHEMA))),
    ("headers", 3, Named(1, &One(&HEADER))),
    ("examples", 4, Named(1, &Any)),
    (EXTENSION, 5, Any),
];

static BODY: &[Field] = &[
    ("description", 1, Text),
    ("name", 2, Text),
    ("in", 3, Text),
    ("required", 4, Flag),
    ("schema", 5, One(&SCHEMA)),
    (EXTENSION, 6, Any),
];

/// A parameter in a header or a path.
static SHORT: &[Field] = &[
    ("required", 1, Flag),
    ("in", 2, Text),
    ("description", 3, Text),
    ("name", 4, Text),
    ("type", 5, Text),
    ("format", 6, Text),
    ("items", 7, One(&ITEMS)),
    ("collectionFormat", 8, Text),
    ("default", 9, Any),
    ("maximum", 10, Double),
    ("exclusiveMaximum", 11, Flag),
    ("minimum", 12, Double),
    ("exclusiveMinimum", 13, Flag),
    ("maxLength", 14, Integer),
    ("minLength", 15, Integer),
    ("pattern", 16, Text),
    ("maxItems", 17, Integer),
    ("minItems", 18, Integer),
    ("uniqueItems", 19, Flag),
    ("enum", 20, Many(&Any)),
    ("multipleOf", 21, Double),
    (EXTENSION, 22, Any),
];

/// A parameter in a query or a form.
static LONG: &[Field] = &[
    ("required", 1, Flag),
    ("in", 2, Text),
    ("description", 3, Text),
    ("name", 4, Text),
    ("allowEmptyValue", 5, Flag),
    ("type", 6, Text),
    ("format", 7, Text),
    ("items", 8, One(&ITEMS)),
    ("collectionFormat", 9, Text),
    ("default", 10, Any),
    ("maximum", 11, Double),
    ("exclusiveMaximum", 12, Flag),
    ("minimum", 13, Double),
    ("exclusiveMinimum", 14, Flag),
    ("maxLength", 15, Integer),
    ("minLength", 16, Integer),
    ("pattern", 17, Text),
    ("maxItems", 18, Integer),
    ("minItems", 19, Integer),
    ("uniqueItems", 20, Flag),
    ("enum", 21, Many(&Any)),
    ("multipleOf", 22, Double),
    (EXTENSION, 23, Any),
];

static HEADER: &[Field] = &[
    ("type", 1, Text),
    ("format", 2, Text),
    ("items", 3, One(&ITEMS)),
    ("collectionFormat", 4, Text),
    ("default", 5, Any),
    ("pattern", 12, Text),
    ("enum", 16, Many(&Any)),
    ("description", 18, Text),
    (EXTENSION, 19, Any),
];

/// What a list in a parameter holds.
static ITEMS: &[Field] = &[
    ("type", 1, Text),
    ("format", 2, Text),
    ("items", 3, One(&ITEMS)),
    ("collectionFormat", 4, Text),
    ("default", 5, Any),
    ("pattern", 12, Text),
    ("enum", 16, Many(&Any)),
    (EXTENSION, 18, Any),
];

static SCHEMA: &[Field] = &[
    ("$ref", 1, Text),
    ("format", 2, Text),
    ("title", 3, Text),
    ("description", 4, Text),
    ("default", 5, Any),
    ("multipleOf", 6, Double),
    ("maximum", 7, Double),
    ("exclusiveMaximum", 8, Flag),
    ("minimum", 9, Double),
    ("exclusiveMinimum", 10, Flag),
    ("maxLength", 11, Integer),
    ("minLength", 12, Integer),
    ("pattern", 13, Text),
    ("maxItems", 14, Integer),
    ("minItems", 15, Integer),
    ("uniqueItems", 16, Flag),
    ("maxProperties", 17, Integer),
    ("minProperties", 18, Integer),
    ("required", 19, Many(&Text)),
    ("enum", 20, Many(&Any)),
    ("additionalProperties", 21, Additional),
    ("type", 22, In(&Many(&Text))),
    ("items", 23, In(&Many(&One(&SCHEMA)))),
    ("allOf", 24, Many(&One(&SCHEMA))),
    ("properties", 25, Named(1, &One(&SCHEMA))),
    ("discriminator", 26, Text),
    ("readOnly", 27, Flag),
    ("externalDocs", 29, One(&EXTERNAL)),
    ("example", 30, Any),
    (EXTENSION, 31, Any),
];

/// The message of a document that [`super::v2`] made, with what others added to it.
pub fn v2(document: &Value) -> Vec<u8> {
    let mut out = Writer::default();
    message(DOCUMENT, document, &mut out);
    out.finish()
}

/// From the last field to the first, as [`Writer`] wants it.
fn message(fields: &'static [Field], value: &Value, out: &mut Writer) {
    let empty = Map::new();
    let map = value.as_map().unwrap_or(&empty);
    for (name, tag, holds) in fields.iter().rev() {
        if *name == EXTENSION {
            let extensions: Vec<_> = map.iter().filter(|(name, _)| name.starts_with(EXTENSION)).collect();
            pairs(&extensions, *tag, holds, out);
        } else if let Some(value) = map.get(name).filter(|value| !value.is_null()) {
            field(*holds, *tag, value, out);
        }
    }
}

fn field(holds: Holds, tag: u32, value: &Value, out: &mut Writer) {
    let flag = || value.as_bool().unwrap_or_default();
    match holds {
        Text => out.bytes_field(tag, value.as_str().unwrap_or_default().as_bytes()),
        Flag if flag() => out.varint_field(tag, 1),
        // What a field that is not there means.
        Flag => {}
        Integer => out.varint_field(tag, value.as_int().unwrap_or_default() as u64),
        Double => {
            let number = match value {
                Value::Int(number) => *number as f64,
                Value::Float(number) => *number,
                _ => 0.0,
            };
            out.double_field(tag, number);
        }
        Any => out.nested(tag, |out| out.bytes_field(2, &value.to_json())),
        One(fields) => out.nested(tag, |out| message(fields, value, out)),
        Many(one) => match value.as_array() {
            Some(values) => values.iter().rev().for_each(|value| field(*one, tag, value, out)),
            None => field(*one, tag, value, out),
        },
        In(inner) => out.nested(tag, |out| field(*inner, 1, value, out)),
        Named(at, one) => out.nested(tag, |out| {
            let all: Vec<_> = value.as_map().into_iter().flat_map(Map::iter).collect();
            pairs(&all, at, one, out);
        }),
        Or(one) => out.nested(tag, |out| match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => out.nested(2, |out| out.bytes_field(1, reference.as_bytes())),
            None => field(*one, 1, value, out),
        }),
        Additional => out.nested(tag, |out| match value.as_bool() {
            Some(flag) => out.varint_field(2, u64::from(flag)),
            None => field(One(&SCHEMA), 1, value, out),
        }),
        Parameter => out.nested(tag, |out| {
            let (at, fields) = match value.str_at(&["in"]) {
                "body" => return field(One(&BODY), 1, value, out),
                "header" => (1, &SHORT),
                "formData" => (2, &LONG),
                "path" => (4, &SHORT),
                _ => (3, &LONG),
            };
            out.nested(2, |out| field(One(fields), at, value, out));
        }),
    }
}

fn pairs(all: &[(&SmolStr, &Value)], tag: u32, holds: &'static Holds, out: &mut Writer) {
    for (name, value) in all.iter().rev() {
        out.nested(tag, |out| {
            field(*holds, 2, value, out);
            out.bytes_field(1, name.as_bytes());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    /// What gnostic's `ParseDocument` and `proto.Marshal` give, but for values that may be anything: theirs are other YAML.
    fn check(document: &str, expected: &str) {
        let document = json::parse(document.as_bytes()).unwrap();
        let hex: String = v2(&document).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn paths_are_as_gnostic_writes_them() {
        check(
            r#"{"swagger":"2.0","info":{"version":"1","title":"k"},"security":[],"paths":{"/":{
                "parameters":[{"in":"body","name":"b","schema":{"$ref":"T"}},{"in":"path","name":"n","type":"string","required":true}],
                "get":{"parameters":[{"in":"query","name":"q","type":"string","uniqueItems":true}],
                    "responses":{"200":{"description":"OK","schema":{"$ref":"S"}}}}}}}"#,
            "0a03322e3012060a016b120131426d126b0a012f12661235421b0a1912171a15120571756572792201713206737472696e67a001014a16\
             0a140a03323030120d0a0b0a024f4b12050a030a01534a120a100a0e1201621a04626f64792a030a01544a190a17121522130801120470\
             61746822016e2a06737472696e67",
        );
    }

    #[test]
    fn schemas_are_as_gnostic_writes_them() {
        check(
            r#"{"definitions":{"A":{"type":"array","items":{"$ref":"B"},"additionalProperties":false,"minimum":1,"default":{},"x-k":1}}}"#,
            "4a3a0a380a014112332a0412027b7d49000000000000f03faa01021000b201070a056172726179ba01050a030a0142fa010a0a03782d6b1203120131",
        );
    }
}
