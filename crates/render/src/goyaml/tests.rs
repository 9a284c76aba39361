//! Texts and what upstream's decoder makes of them, its faults among them.

use super::{all, first, kyaml};

fn json(text: &str) -> String {
    first(text).map_or_else(|error| error, |value| serde_json::to_string(&value).unwrap())
}

#[test]
fn reads_as_upstream() {
    let check = |text: &str, expected: &str| assert_eq!(json(text), expected, "{text}");
    check(
        "a: 1\nb: [x, 'y', \"z\\n\"]\nc:\n- d: e\n  f: |\n    l1\n    l2\n",
        r#"{"a":1,"b":["x","y","z\n"],"c":[{"d":"e","f":"l1\nl2\n"}]}"#,
    );
    check(
        "on: yes\n1: ~\n1.5: 0x1F\nd: 2001-01-01\no: 0777\n",
        r#"{"true":true,"1":null,"1.5":31,"d":"2001-01-01","o":511}"#,
    );
    check("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n", r#"{"a":{"b":1},"c":{"b":1},"d":{"b":1,"e":2}}"#);
    check("a: 1\na: 2\n", r#"{"a":2}"#);
    check("a: >-\n  folded\n  text\n\n  next\n", r#"{"a":"folded text\nnext"}"#);
    check("", "null");
}

#[test]
fn faults_are_upstreams() {
    let check = |text: &str, expected: &str| {
        assert_eq!(json(text), format!("error converting YAML to JSON: yaml: {expected}"), "{text}");
    };
    check("a: b: c\n", "mapping values are not allowed in this context");
    check("x: 1\na: b: c\n", "line 2: mapping values are not allowed in this context");
    check("a:\n  b: 1\n c: 2\n", "line 2: did not find expected key");
    check("a: [1, 2\nb: 3\n", "line 1: did not find expected ',' or ']'");
    check("a: 'x\n", "line 2: found unexpected end of stream");
    check("a:\n\t- b\n", "line 2: found character that cannot start any token");
    check("a: *nosuch\n", "unknown anchor 'nosuch' referenced");
}

#[test]
fn what_lies_within_itself_is_found_in_its_turn() {
    let check = |text: &str, expected: &str| {
        let got = json(text);
        assert_eq!(
            got.strip_prefix("error converting YAML to JSON: yaml: ").unwrap_or(&got),
            expected,
            "{text}"
        );
    };
    check("a: &a [*a]\n", "anchor 'a' value contains itself");
    check("a: &a\n  <<: *a\n", "anchor 'a' value contains itself");
    check("a: &a\n  b: !!int x\n  c: *a\n", "cannot decode !!str `x` as a !!int");
    check("a: &a\n- <<: *a\n", "map merge requires map or sequence of maps as the value");
    // The inner one of a name is what the name means behind it.
    check("a: &a [&a x, *a]\nb: *a\n", r#"{"a":["x","x"],"b":"x"}"#);
    assert!(kyaml::documents("a: &a [*a]\n").unwrap_err().contains("contains itself"));
    // Aliases nest what a text by itself may not.
    let deep = format!("{}*b{}", "[".repeat(150), "]".repeat(150));
    let deep = format!("a: &b {}\nc: &c {deep}\n", deep.replace("*b", "x"));
    check(&deep, "exceeded max depth of 10000");
    assert!(kyaml::documents(&deep).unwrap_err().contains("exceeded max depth"));
}

#[test]
fn bombs_end() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert_eq!(json(&bomb), "error converting YAML to JSON: yaml: document contains excessive aliasing");
    assert!(kyaml::documents(&bomb).unwrap_err().contains("after aliases are expanded"));
    assert!(json(&"[".repeat(100_000)).contains("exceeded max depth"));
    assert!(kyaml::documents(&"- ".repeat(100_000)).unwrap_err().contains("exceeded max depth"));
    assert_eq!(all("a: 1\n---\nb: 2\n").unwrap().len(), 2);
}

#[test]
fn kustomize_tells_what_is_not_written() {
    let read = |text: &str| kyaml::documents(text).unwrap().swap_remove(0);
    let document = read("a:\nb: ~\nc: {d}\ne: [{f:\n}]\ng: 2001-01-01\nh: |\n  x");
    let text = serde_json::to_string(&document.value).unwrap();
    assert_eq!(text, r#"{"a":null,"b":null,"c":{"d":""},"e":[{"f":""}],"g":"2001-01-01T00:00:00Z","h":"x"}"#);
    assert_eq!(document.unwritten, [["a"]]);
    for doubled in ["a: 1\na: 2\n", r#"{"a": 1, "b": {"c": 1, "c": 2}}"#] {
        assert!(kyaml::documents(doubled).unwrap_err().contains("already defined"));
    }
    assert_eq!(read("{\"a\" : 44e26}").value.get("a"), Some(&api::Value::Float(44e26)));
    // JSON that is no YAML.
    assert!(kyaml::documents(r#"{"a": "\/"}"#).unwrap_err().contains("unknown escape"));
    assert!(kyaml::documents("\t{}").unwrap_err().contains("cannot start any token"));
}

#[test]
fn fields_have_lines() {
    let text = "a: 1\n# c\nlabels:\n- pairs:\n    x.y/z: 1\n    x: 2\n- {pairs: {k: v}}\n";
    let check = |field: &str, line: Option<u32>| assert_eq!(super::line(text, field), line, "{field}");
    check("a", Some(1));
    check("labels", Some(3));
    check("labels[0]", Some(4));
    check("labels[0].pairs.x.y/z", Some(5));
    check("labels[0].pairs.x", Some(6));
    check("labels[1].pairs.k", Some(7));
    check("labels[1].nothing.here", Some(7));
    check("other", None);
    check(".", None);
    assert_eq!(super::line("a: 1\n---\na: 2\n", "a"), None);
}

/// What is not wanted is looked through, and is an error where it is one when all is read.
#[test]
fn heads_are_refused_like_whole_documents() {
    let wanted = |value: api::Value| match value {
        api::Value::Object(mut map) => {
            map.retain(|key, _| ["kind", "metadata"].iter().any(|name| name.eq_ignore_ascii_case(key)));
            map.sort_by_name();
            api::Value::Object(map)
        }
        other => other,
    };
    let check = |text: &str| {
        let head = super::head(text, &["kind", "metadata"]).map(wanted);
        assert_eq!(head, super::first(text).map(wanted), "{text}");
    };
    let below = [
        "1",
        "a",
        "",
        "~",
        "[1, {a: b}, [c: d]]",
        "{a, b: , ? c}",
        "\n- - a\n  - b:\n- c",
        "|\n  x\n  y",
        "&a b",
        "*a",
        "!!int x",
        "!!str 1",
        ".inf",
        "-.INF",
        "1e999",
        "[.nan]",
        "{.inf: 1}",
        "{~: 1}",
        "{null: 1}",
        "{: 1}",
        "{18446744073709551615: 1}",
        "18446744073709551615",
        "{[a]: b}",
        "{{a: b}: c}",
        "\n  ? - a\n  : b",
        "\n  <<: {a: b}",
        "\n  <<: a",
        "\n  <<: [{a: b}]",
        "\n  : b",
        "\n  ~: b",
        "\n  a\n b",
        "[a",
        "'a",
        "\t- a",
        "2001-01-01",
        "{2001-01-01: a}",
        "<<",
        "{a: <<}",
        "{'<<': a}",
        "no",
        "{no: n}",
        "\n- a: 1\n  b: {c: }\n  d:\n  - e\n",
        "!<x> y",
        "{n: 1, N: 2}",
    ];
    for value in below {
        check(&format!("kind: K\nspec: {value}\nmetadata: {{name: a}}\n"));
        check(&format!("spec:\n  below: {value}\nKIND: K\n"));
        check(&format!("spec:\n- {value}\nmetadata:\n  name: {value}\n"));
        check(&format!("{value}: 1\nkind: K\n"));
        check(&format!("x: &a {value}\nmetadata: *a\n"));
        check(&format!("? {value}\n: x\nkind: K\n"));
    }
    check("<<: {kind: K}\nspec: 1\n");
    check("spec: &a {kind: K}\n<<: *a\n");
    check("- kind: K\n");
    check("{kind: K, spec: {a: .inf}}");
    check("kind: K\n---\nspec: .inf\n");
    check("spec: 1\nspec: 2\nkind: K\nkind: L\n");
}
