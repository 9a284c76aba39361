//! Selectors: what they match, print and refuse.

use super::*;

fn labels(text: &str) -> Vec<(SmolStr, SmolStr)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.into(), value.into())).collect()
}

#[test]
fn label_selectors_match_as_upstream() {
    let cases = [
        ("", "x=y", true),
        ("x=y", "x=y", true),
        ("x==y,z=w", "x=y,z=w", true),
        ("x!=y", "z=a", true),
        ("x!=y", "x=y", false),
        ("x in (a,b)", "x=b", true),
        ("x notin (a,b)", "x=b", false),
        ("x notin (a,b)", "y=b", true),
        ("x", "x=", true),
        ("!x", "x=1", false),
        ("x>1", "x=2", true),
        ("x<1", "x=2", false),
        ("x=", "x=", true),
        ("x in ()", "x=", true),
        ("in in (in)", "in=in", true),
    ];
    for (selector, set, expected) in cases {
        let parsed = Labels::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
        assert_eq!(parsed.matches(&labels(set)), expected, "{selector} on {set}");
    }
}

#[test]
fn label_selectors_print_as_upstream() {
    let cases = [
        ("x=a,y=b", "x=a,y=b"),
        ("y==b, x in (c, a,b)", "x in (a,b,c),y==b"),
        ("!z , a", "a,!z"),
        ("x notin ()", "x notin ()"),
        ("x in (,a)", "x in (,a)"),
        ("x>1", "x>1"),
    ];
    for (text, expected) in cases {
        assert_eq!(Labels::parse(text).unwrap().to_string(), expected);
    }
}

#[test]
fn bad_label_selectors_say_why() {
    let cases = [
        ("x in", "unable to parse requirement: found '' expected: '('"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Labels::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn label_selector_objects() {
    let object: Value = serde_json::from_str(
        r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"NotIn","values":["b","a"]}]}"#,
    )
    .unwrap();
    let selector = Labels::from_object(&object).unwrap();
    assert_eq!(selector.to_string(), "app=web,tier notin (a,b)");
    assert!(selector.matches(&labels("app=web")));
    assert!(!Labels::from_object(&Value::Null).unwrap().matches(&[]));
    assert!(Labels::from_object(&Value::object()).unwrap().matches(&[]));
}

#[test]
fn field_selectors() {
    let kinds = crate::kinds::builtin();
    let pods = kinds.resource("", "pods").unwrap();
    let pod: Value =
        serde_json::from_str(r#"{"spec":{"nodeName":"n1"},"status":{"phase":"Running"}}"#).unwrap();
    let fields = pods.field_values(&pod);
    let cases = [
        ("spec.nodeName=n1,status.phase!=Failed", true),
        ("spec.host=n1", true),
        ("metadata.name==web", true),
        ("metadata.namespace!=default", false),
        ("spec.hostNetwork=false", true),
        ("status.podIP=", true),
        ("", true),
    ];
    for (text, expected) in cases {
        let selector = Fields::parse(text).unwrap().resolve(pods, pods, "v1").unwrap();
        assert_eq!(selector.matches("default", "web", &fields), expected, "{text}");
    }
    assert_eq!(
        Fields::parse("spec.x=1").unwrap().resolve(pods, pods, "v1").unwrap_err().to_string(),
        "field label not supported: spec.x"
    );
    assert_eq!(
        Fields::parse("nonsense").unwrap_err().to_string(),
        "invalid selector: 'nonsense'; can't understand 'nonsense'"
    );
    assert_eq!(Fields::parse(r"a=b\,c\=d\\").unwrap().terms[0].value, r"b,c=d\");
    assert_eq!(Fields::parse(r"a=b\,c").unwrap().to_string(), r"a=b\,c");
}

/// Events of events.k8s.io are the core group's, whose fields stand in another order.
#[test]
fn fields_of_another_kind_are_found_where_they_are_kept() {
    let kinds = crate::kinds::builtin();
    let (core, events) = (kinds.kind("", "Event").unwrap(), kinds.kind("events.k8s.io", "Event").unwrap());
    let at = |label: &str| core.fields.iter().position(|field| field.label == label).unwrap();
    let mut values = vec![smol_str::SmolStr::default(); core.fields.len()];
    values[at("reason")] = "Started".into();
    values[at("involvedObject.name")] = "web".into();
    for (text, expected) in [
        ("reason=Started", true),
        ("regarding.name=web,reason!=Killed", true),
        ("regarding.name=Started", false),
    ] {
        let selector = Fields::parse(text).unwrap().resolve(events, core, "v1").unwrap();
        assert_eq!(selector.matches("default", "a", &values), expected, "{text}");
    }
}
