//! Tests of the JSON parser and writer.

use super::*;
use crate::Value;

fn check(text: &str, expected: &str) {
    let value = parse(text.as_bytes()).unwrap();
    assert_eq!(to_string(&value), expected, "{text}");
}

#[test]
fn writes_what_go_writes() {
    for (text, expected) in [
        (
            r#" { "b" : [ 1 , -0 , 1.50 , 1e3 , true ] , "a" : null } "#,
            r#"{"b":[1,0,1.5,1000,true],"a":null}"#,
        ),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854776000"),
        ("1e21", "1e+21"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        (r#""<a>&\u2028\u0001\/\ud83d\ude00\ud83d""#, "\"\\u003ca\\u003e\\u0026\\u2028\\u0001/😀\u{fffd}\""),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ("\"\\u007f\\b\\f\"", "\"\u{7f}\\b\\f\""),
    ] {
        check(text, expected);
    }
    assert_eq!(parse(b"\"\xff\"").unwrap(), Value::from("\u{fffd}"));
}

#[test]
fn complains_as_go_does() {
    for (text, expected) in [
        ("", "unexpected end of JSON input"),
        ("{\"a\"", "unexpected end of JSON input"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("tru1", "invalid character '1' in literal true (expecting 'e')"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("01", "invalid character '1' after top-level value"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
    }
    let deep = "[".repeat(MAX_DEPTH + 1);
    assert_eq!(parse(deep.as_bytes()), Err(Error::Depth));
}

#[test]
fn names_doubled_keys() {
    let text = br#"{"spec":{"ports":[{"name":1,"name":2,"name":3}],"a":1},"spec":1}"#;
    assert!(parse_all(text).unwrap().doubled);
    assert_eq!(duplicates(text).unwrap(), ["spec.ports[0].name", "spec"]);
    let many: Vec<String> = (0..100).rev().map(|at| format!("\"k{at}\":0")).collect();
    let text = format!("{{{},\"k7\":1}}", many.join(","));
    assert_eq!(duplicates(text.as_bytes()).unwrap(), ["k7"]);
    assert_eq!(parse(text.as_bytes()).unwrap().at(&["k7"]), Some(&Value::Int(1)));
}
