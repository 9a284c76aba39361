//! Generated values.schema.json files beside values that may or may not fit, judged by Helm here and there.
//!
//! Upstream walks maps in any order, so problems are compared as a set of lines, and names within a line as a set.

use serde_json::{Value, json};

use crate::answer;
use crate::chance::Chance;
use crate::compare::{Layer, both};

const TYPES: &[&str] = &["string", "integer", "number", "boolean", "object", "array", "null"];
const DRAFTS: &[&str] = &[
    "",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];
const FORMATS: &[&str] = &[
    "ipv4",
    "ipv6",
    "hostname",
    "uri",
    "uri-reference",
    "email",
    "date",
    "time",
    "date-time",
    "uuid",
    "regex",
    "semver",
    "duration",
    "json-pointer",
    "relative-json-pointer",
    "period",
    "uri-template",
    "nosuch",
];
const TEXTS: &[&str] = &[
    "",
    "abc",
    "ABC-1",
    "10.0.0.1",
    "300.1.1.1",
    "::1",
    "a.b",
    "http://x/y",
    "/rel",
    "me@x.io",
    "@",
    "2024-02-30",
    "2024-02-29",
    "10:00:00Z",
    "2024-02-29T10:00:00Z",
    "2024-02-29T25:00:00Z",
    "1.2.3",
    "01.2.3",
    "1.2.3-a+b",
    "P1D",
    "P",
    "P1X",
    "/a/~1",
    "a/~2",
    "[a-z",
    "^x+$",
    "123e4567-e89b-12d3-a456-426614174000",
    "10s",
    "ünï",
    "2001-1-1/P1D",
];

fn leaf(chance: &mut Chance) -> Value {
    match chance.below(9) {
        0 => Value::Null,
        1 => chance.one_in(2).into(),
        2 => (chance.below(20) as i64 - 5).into(),
        3 => json!(chance.below(4000) as f64 / 8.0),
        4 => (chance.below(3) as i64 * 1_000_000).into(),
        _ => chance.pick(TEXTS).into(),
    }
}

fn value(chance: &mut Chance, level: usize) -> Value {
    match chance.below(if level < 3 { 4 } else { 2 }) {
        0 | 1 => leaf(chance),
        2 => (0..chance.below(4)).map(|_| value(chance, level + 1)).collect(),
        _ => {
            let names = ["a", "b", "c", "deep", "x-1"];
            let mut all = serde_json::Map::new();
            for _ in 0..chance.below(4) {
                all.insert(chance.pick(&names).to_string(), value(chance, level + 1));
            }
            all.into()
        }
    }
}

fn schema(chance: &mut Chance, level: usize) -> Value {
    if chance.one_in(25) {
        return chance.one_in(2).into();
    }
    let mut all = json!({});
    for _ in 0..1 + chance.below(3) {
        keyword(chance, level, &mut all);
    }
    all
}

fn schemas(chance: &mut Chance, level: usize) -> Value {
    (0..1 + chance.below(3)).map(|_| schema(chance, level + 1)).collect()
}

fn named(chance: &mut Chance, level: usize, names: &[&str]) -> Value {
    let mut all = serde_json::Map::new();
    for _ in 0..1 + chance.below(3) {
        all.insert(chance.pick(names).to_string(), schema(chance, level + 1));
    }
    all.into()
}

fn keyword(chance: &mut Chance, level: usize, all: &mut Value) {
    const NAMES: &[&str] = &["a", "b", "c", "deep", "x-1"];
    let size = |chance: &mut Chance| Value::from(chance.below(4));
    let bound = |chance: &mut Chance| json!((chance.below(40) as f64 - 10.0) / 2.0);
    // What holds schemas comes last, and not too deep.
    match chance.below(if level < 3 { 44 } else { 24 }) {
        0 | 1 => all["type"] = chance.pick(TYPES).into(),
        2 => all["type"] = json!([chance.pick(TYPES), "string"]),
        3 => all["enum"] = (0..1 + chance.below(3)).map(|_| leaf(chance)).collect(),
        4 => all["const"] = leaf(chance),
        5 => all["minLength"] = size(chance),
        6 => all["maxLength"] = size(chance),
        7 => all["pattern"] = chance.pick(&["^a", "[0-9]+$", "^[\\w-\\.]+$", "b|c", "(", "\\d{2}"]).into(),
        8 => all["minimum"] = bound(chance),
        9 => all["maximum"] = bound(chance),
        10 => all["exclusiveMinimum"] = bound(chance),
        11 => all["exclusiveMaximum"] = bound(chance),
        12 => all["multipleOf"] = json!(chance.pick(&["0.5", "2", "0.1", "3"]).parse::<f64>().unwrap()),
        13 => all["minItems"] = size(chance),
        14 => all["maxItems"] = size(chance),
        15 => all["uniqueItems"] = true.into(),
        16 => all["minProperties"] = size(chance),
        17 => all["maxProperties"] = size(chance),
        18 => all["required"] = json!([chance.pick(NAMES)]),
        19 => all["required"] = json!(["a", "nosuch"]),
        20..=22 => all["format"] = chance.pick(FORMATS).into(),
        // The schema itself is wrong.
        23 => match chance.below(12) {
            0 => all["type"] = "strin".into(),
            1 => all["minLength"] = (-1).into(),
            2 => all["required"] = "a".into(),
            3 => all["$ref"] = "#/definitions/nosuch".into(),
            4 => all["properties"] = json!([1]),
            5 => all["additionalProperties"] = "no".into(),
            6 => all["$ref"] = "other.json#/x".into(),
            7 => all["enum"] = json!({}),
            _ => all["title"] = "t".into(),
        },
        24..=29 => all["properties"] = named(chance, level, NAMES),
        30 => all["patternProperties"] = named(chance, level, &["^a", "x-", "."]),
        31 => all["additionalProperties"] = false.into(),
        32 => all["additionalProperties"] = schema(chance, level + 1),
        33 => all["propertyNames"] = schema(chance, level + 1),
        34 => all["items"] = schema(chance, level + 1),
        35 => all[chance.pick(&["items", "prefixItems"])] = schemas(chance, level),
        36 => all["additionalItems"] = false.into(),
        37 => {
            all["contains"] = schema(chance, level + 1);
            all[chance.pick(&["minContains", "maxContains", "title2"])] = size(chance);
        }
        38 => all["not"] = schema(chance, level + 1),
        39 => all[chance.pick(&["allOf", "anyOf", "oneOf"])] = schemas(chance, level),
        40 => {
            all["if"] = schema(chance, level + 1);
            all["then"] = schema(chance, level + 1);
            all["else"] = schema(chance, level + 1);
        }
        41 => {
            all["$ref"] =
                chance.pick(&["#", "#/definitions/d", "#/$defs/e", "#anchor", "#/definitions/d"]).into()
        }
        42 => {
            all[chance.pick(&["unevaluatedProperties", "unevaluatedItems"])] =
                if chance.one_in(2) { false.into() } else { schema(chance, level + 1) };
        }
        _ => match chance.below(4) {
            0 => all["dependencies"] = json!({"a": ["b"], "b": schema(chance, level + 1)}),
            1 => all["dependentRequired"] = json!({"a": ["c", "b"]}),
            2 => all["dependentSchemas"] = json!({"a": schema(chance, level + 1)}),
            _ => all["$dynamicRef"] = "#anchor".into(),
        },
    }
}

fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed ^ (number as u64).wrapping_mul(0x1000_0003));
    let chance = &mut chance;
    let mut root = schema(chance, 0);
    if root.is_boolean() {
        root = json!({});
    }
    let draft = chance.pick(DRAFTS);
    if !draft.is_empty() {
        root["$schema"] = draft.into();
    }
    root["definitions"] = json!({"d": schema(chance, 2), "f": {"$id": "#anchor", "type": "string"}});
    root["$defs"] = json!({"e": schema(chance, 2), "g": {"$anchor": "anchor", "type": "integer"}});
    let mut values = serde_json::Map::new();
    for name in ["a", "b", "c", "deep", "x-1"] {
        if chance.one_in(2) {
            values.insert(name.into(), value(chance, 0));
        }
    }
    let files = json!({
        "Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n",
        "values.yaml": Value::from(values).to_string(),
        "values.schema.json": root.to_string(),
        "templates/a.yaml": "a: 1",
    });
    json!({"id": number, "kind": "helm", "files": files, "name": "rel", "namespace": "ns"})
}

/// The lines in order, and the names within each.
fn orderless(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| match line.split_once(" propert") {
            Some((head, names)) => {
                let mut names: Vec<&str> = names.split(['\'', ',', ' ']).collect();
                names.sort_unstable();
                format!("{head} {}", names.concat())
            }
            None => line.to_string(),
        })
        .collect();
    lines.sort();
    lines
}

/// Asks for `count` schemas; true if every judgement is the same.
pub fn run(count: usize, seed: u64) -> bool {
    let layer = Layer {
        name: "schemas",
        ours: &answer::answer,
        same: &|theirs, ours| match (theirs, ours) {
            (Err(theirs), Err(ours)) => orderless(theirs) == orderless(ours),
            (theirs, ours) => theirs.is_ok() && ours.is_ok(),
        },
        tell: &|asked, theirs, ours| {
            let file = |name: &str| asked["files"][name].as_str().unwrap_or_default().to_string();
            format!("{}\n{}\n{}", file("values.schema.json"), file("values.yaml"), both(theirs, ours))
        },
        shown: 40,
        known: &[],
    };
    layer.run(count, seed, question)
}
