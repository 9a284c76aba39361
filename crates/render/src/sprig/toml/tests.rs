//! Texts with upstream's answers; `differential functions` and `texts` ask many more.

use crate::go::{Value, json};

fn check(text: &str, expected: &str) {
    let read = match super::read::read(text.as_bytes()) {
        Ok(map) => json::encode(&Value::Map(map), true).unwrap(),
        Err(error) => error,
    };
    assert_eq!(read, expected, "{text}");
}

#[test]
fn tables_and_values_are_read() {
    check("a = 1\nb.c = 'x'\n[t]\nd = [1, {e = 2}]\n", r#"{"a":1,"b":{"c":"x"},"t":{"d":[1,{"e":2}]}}"#);
    check("[[a]]\nb = 1\n[[a]]\nb = 0x1F\n[a.c]\nd = 1.5\n", r#"{"a":[{"b":1},{"b":31,"c":{"d":1.5}}]}"#);
    check("a = \"\"\"\nx \\\n   y\"\"\"\n", r#"{"a":"x y"}"#);
    check(
        "a = 2024-02-29T01:02:03Z\nb = 2024-02-29\n",
        r#"{"a":"2024-02-29T01:02:03Z","b":"2024-02-29T00:00:00Z"}"#,
    );
}

#[test]
fn faults_name_line_and_last_key() {
    check("a = 1\na = 2\n", "toml: line 2 (last key \"a\"): Key 'a' has already been defined.");
    check("[t]\nx = tru\n", "toml: line 2 (last key \"t.x\"): expected value but found \"tru\" instead");
    check("x y", "toml: line 1: expected '.' or '=', but got 'y' instead");
    check(
        "\"\" = [{a = 1}]\n[[\"\"]]\n",
        "toml: line 2: Key '\"\"' was already created and cannot be used as an array.",
    );
    check("x = 01", "toml: line 1 (last key \"x\"): Invalid integer \"01\": cannot have leading zeroes");
}
